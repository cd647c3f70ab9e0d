//! Any text as a profile of the study.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use mftma_study::profile::Profile;

fuzz_target!(|text: &str| {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder"));
    let path = folder.path().join("fuzz.toml");
    std::fs::write(&path, text).expect("the folder can be written");
    if let Ok((name, profile)) = Profile::load(&path.to_string_lossy()) {
        assert_eq!(name, "fuzz");
        profile.check().expect("it was checked when it was read");
    }
});
