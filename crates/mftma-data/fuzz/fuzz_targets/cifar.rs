//! Both CIFAR record formats: the first byte chooses the format and how many records are expected.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mftma_data::loaders::cifar::{Variant, parse};

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    let variant = if choice & 1 == 0 { Variant::Ten } else { Variant::Hundred };
    let records = usize::from(choice >> 1);
    // Short inputs are repeated up to the right length, so that labels and not only lengths are reached.
    let whole: Vec<u8>;
    let bytes = if choice & 2 == 0 || rest.is_empty() {
        rest
    } else {
        whole = rest.iter().cycle().take(records * variant.record_bytes()).copied().collect();
        &whole
    };
    if let Ok(split) = parse(bytes, Path::new("fuzz"), variant, records) {
        assert_eq!((split.len(), split.pixels().len()), (records, 3072 * records));
    }
});
