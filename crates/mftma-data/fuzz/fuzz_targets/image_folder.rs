//! An image file of any of the supported formats in a class folder.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use mftma_data::Loader;
use mftma_data::loaders::folder::ClassFolders;

fuzz_target!(|data: &[u8]| {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("class")).expect("the folder can be written");
        folder
    });
    std::fs::write(folder.path().join("class/image.png"), data).expect("the folder can be written");
    let loader = ClassFolders { test_fraction: 0.0, ..ClassFolders::new(folder.path()) };
    if let Ok(dataset) = loader.load(folder.path()) {
        assert_eq!((dataset.train().len(), dataset.test().len()), (1, 0));
    }
});
