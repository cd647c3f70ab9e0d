//! Links in folders of layers and in zarr stores: followed, or named, and never without end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use mftma_files::read::{self, Entry};

use crate::common::{OPTIONS, fixture};

/// The names of arrays that can be read, and the errors of the others.
fn outcome(entries: Vec<Entry>) -> (Vec<String>, Vec<String>) {
    let (mut read, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        let name = entry.name.clone();
        match entry.load(OPTIONS) {
            Ok(_) => read.push(name),
            Err(error) => failed.push(error.to_string()),
        }
    }
    (read, failed)
}

#[test]
fn links_to_layers_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    symlink(fixture("numbers_float32.npy"), at("conv1.npy")).unwrap();
    symlink(fixture("numbers_v2.zarr/default"), at("fc2.zarr")).unwrap();
    symlink("gone.npy", at("conv2.npy")).unwrap();
    symlink(".", at("again")).unwrap();
    let (read, failed) = outcome(read::open(folder.path()).unwrap());
    assert_eq!(read, ["conv1", "fc2"]);
    assert!(
        failed.len() == 1
            && failed[0].contains("conv2.npy")
            && failed[0].contains("a link to what is not there"),
        "{failed:?}"
    );
    // Alone, it is no empty folder.
    let alone = tempfile::tempdir().unwrap();
    symlink("gone.npy", alone.path().join("conv2.npy")).unwrap();
    let error = read::open(alone.path()).unwrap_err().to_string();
    assert!(error.contains("a link to what is not there"), "{error}");
}

#[test]
fn folders_per_layer_may_be_links() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("elsewhere/deep")).unwrap();
    let from = fixture("numbers_float32.npy");
    fs::copy(&from, at("elsewhere/deep/features.npy")).unwrap();
    fs::create_dir(at("layers")).unwrap();
    symlink("../elsewhere/deep", at("layers/conv1")).unwrap();
    symlink("..", at("layers/again")).unwrap();
    symlink(".", at("layers/itself")).unwrap();
    let (read, failed) = outcome(read::open(&at("layers")).unwrap());
    assert_eq!((read, failed), (vec!["conv1".to_owned()], vec![]));
}

#[cfg(feature = "zarr")]
#[test]
fn stores_may_hold_links() {
    let store = tempfile::tempdir().unwrap();
    let group = |folder: &Path| {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(".zgroup"), "{\"zarr_format\":2}").unwrap();
    };
    let at = |name: &str| store.path().join(name);
    group(store.path());
    group(&at("inner"));
    symlink(fixture("numbers_v2.zarr/default"), at("inner/conv1")).unwrap();
    for (to, from) in [
        (".", "itself"),
        ("..", "inner/around"),
        ("itself", "twice"),
        ("gone", "dead"),
    ] {
        symlink(to, at(from)).unwrap();
    }
    let (read, failed) = outcome(read::open(store.path()).unwrap());
    assert_eq!(read, ["inner/conv1"]);
    assert!(
        failed.len() == 1 && failed[0].contains("array \"dead\""),
        "{failed:?}"
    );

    // Two links from each of many groups to the next: as many ways to one array as there are choices, up to a limit.
    let wide = |levels: usize| {
        let store = tempfile::tempdir().unwrap();
        for level in 0..levels {
            let folder = store.path().join(format!("level{level}"));
            group(&folder);
            for name in ["a", "b"] {
                symlink(format!("../level{}", level + 1), folder.join(name)).unwrap();
            }
        }
        let last = store.path().join(format!("level{levels}"));
        symlink(fixture("numbers_v2.zarr/default"), last).unwrap();
        read::open(&store.path().join("level0")).map(|entries| entries.len())
    };
    assert_eq!(wide(5).unwrap(), 32);
    let error = wide(30).unwrap_err().to_string();
    assert!(error.contains("more than 20000 groups"), "{error}");

    // A chunk that is a link to nothing holds no fill value.
    let store = tempfile::tempdir().unwrap();
    for item in fs::read_dir(fixture("numbers_v2.zarr/default")).unwrap() {
        let from = item.unwrap().path();
        symlink(&from, store.path().join(from.file_name().unwrap())).unwrap();
    }
    let open = || outcome(read::open(store.path()).unwrap());
    assert_eq!(open().0.len(), 1);
    fs::remove_file(store.path().join("0.0")).unwrap();
    symlink("gone", store.path().join("0.0")).unwrap();
    let (read, failed) = open();
    assert!(
        read.is_empty() && failed[0].contains("0.0: a link to what is not there"),
        "{failed:?}"
    );
}
