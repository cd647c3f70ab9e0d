//! Any bytes as a checkpoint.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use mftma_train::checkpoint::{Checkpoint, Header};

fuzz_target!(|bytes: &[u8]| {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder"));
    let path = folder.path().join("fuzz.safetensors");
    std::fs::write(&path, bytes).expect("the folder can be written");
    let header = Header::read(&path);
    if let Ok(checkpoint) = Checkpoint::open(&path) {
        assert_eq!(header.ok().as_ref(), Some(checkpoint.header()));
        let _ = checkpoint.network();
    }
});
