//! A pair of IDX files, each plain or gzipped: the first two bytes say where the first file ends, the third whether
//! each is to be packed here (so that what lies behind the compression is reached).
#![no_main]

use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::fuzz_target;
use mftma_data::loaders::idx::parse;

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

fuzz_target!(|data: &[u8]| {
    let Some((&[low, high, choice], rest)) = data.split_first_chunk() else { return };
    let (images, labels) = rest.split_at(usize::from(u16::from_le_bytes([low, high])).min(rest.len()));
    let images = if choice & 1 == 0 { images.to_vec() } else { packed(images) };
    let labels = if choice & 2 == 0 { labels.to_vec() } else { packed(labels) };
    if let Ok(split) = parse((&images, Path::new("images")), (&labels, Path::new("labels")), 10) {
        assert_eq!(split.len(), split.labels().len());
        assert!(split.labels().iter().all(|&label| label < 10));
    }
});
