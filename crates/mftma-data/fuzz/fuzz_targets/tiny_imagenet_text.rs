//! The three text files of Tiny ImageNet, separated by the byte 0.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mftma_data::loaders::tiny_imagenet::{parse_annotations, parse_wnids, parse_words};

fuzz_target!(|data: &str| {
    let mut parts = data.split('\0');
    let mut next = || parts.next().unwrap_or_default();
    let Ok(wnids) = parse_wnids(next(), Path::new("wnids.txt")) else { return };
    assert_eq!(parse_words(next(), &wnids).len(), wnids.len());
    if let Ok(listed) = parse_annotations(next(), Path::new("val_annotations.txt"), &wnids) {
        for (file, label) in listed {
            assert!(!file.is_empty() && !file.contains(['/', '\\']));
            assert!(usize::from(label) < wnids.len());
        }
    }
});
