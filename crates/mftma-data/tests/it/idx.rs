use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use mftma_data::loaders::idx::{Idx, parse};
use mftma_data::{Error, Loader, Split};
use proptest::prelude::*;

use crate::{refused, write};

fn idx(kind: u8, extents: &[u32], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, kind, extents.len() as u8];
    extents
        .iter()
        .for_each(|extent| bytes.extend(extent.to_be_bytes()));
    bytes.extend(content);
    bytes
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn images(n: usize) -> Vec<u8> {
    let content: Vec<u8> = (0..n * 6).map(|i| (i * 7) as u8).collect();
    idx(8, &[n as u32, 2, 3], &content)
}

fn labels(n: usize) -> Vec<u8> {
    idx(
        8,
        &[n as u32],
        &(0..n).map(|i| (i % 10) as u8).collect::<Vec<_>>(),
    )
}

fn parsed(images: &[u8], labels: &[u8]) -> Result<Split, Error> {
    parse(
        (images, Path::new("images")),
        (labels, Path::new("labels")),
        10,
    )
}

#[test]
fn plain_and_gzipped_files_read_alike() {
    let plain = parsed(&images(12), &labels(12)).unwrap();
    assert_eq!((plain.len(), plain.image_shape()), (12, [1, 2, 3]));
    assert_eq!(plain.image(4)[[0, 1, 2]], ((4 * 6 + 5) * 7) as u8);
    assert_eq!(plain.labels()[11], 1);
    assert_eq!(parsed(&gz(&images(12)), &labels(12)).unwrap(), plain);
    assert_eq!(parsed(&images(12), &gz(&labels(12))).unwrap(), plain);
}

#[test]
fn every_usual_name_and_folder_is_found() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, dot, zipped) in [
        ("mnist", "-", true),
        ("mnist", "-", false),
        ("MNIST/raw", ".", false),
        ("", "-", true),
    ] {
        let sub = tempfile::tempdir_in(dir.path()).unwrap();
        for (part, n) in [("train", 12), ("t10k", 5)] {
            for (content, d, bytes) in [("images", 3, images(n)), ("labels", 1, labels(n))] {
                let (bytes, end) = if zipped {
                    (gz(&bytes), ".gz")
                } else {
                    (bytes, "")
                };
                let name = format!("{part}-{content}{dot}idx{d}-ubyte{end}");
                write(&sub.path().join(folder).join(name), bytes);
            }
        }
        let dataset = Idx::mnist().load(sub.path()).unwrap();
        assert_eq!((dataset.name(), dataset.classes()), ("mnist", 10));
        assert_eq!((dataset.train().len(), dataset.test().len()), (12, 5));
    }
    refused(
        Idx::mnist().load(dir.path()),
        &["mnist", "train-images-idx3-ubyte", "MFTMA_DATA_DIR"],
    );
}

#[test]
fn emnist_is_turned_upright_and_letters_count_from_zero() {
    let dir = tempfile::tempdir().unwrap();
    let name = |part: &str, end: &str| {
        dir.path()
            .join(format!("gzip/emnist-letters-{part}-{end}-ubyte.gz"))
    };
    for part in ["train", "test"] {
        write(&name(part, "images-idx3"), gz(&images(2)));
        write(&name(part, "labels-idx1"), gz(&idx(8, &[2], &[1, 26])));
    }
    let loaders = Idx::emnist();
    let counts: Vec<_> = loaders
        .iter()
        .map(|loader| loader.name().to_owned())
        .collect();
    assert_eq!(counts.len(), 6);
    let letters = loaders
        .iter()
        .find(|loader| loader.name() == "emnist-letters")
        .unwrap();
    let dataset = letters.load(dir.path()).unwrap();
    assert_eq!(
        (dataset.classes(), dataset.train().labels()),
        (26, &[0, 25][..])
    );
    assert_eq!(dataset.image_shape(), [1, 3, 2]);
    // Row 2, column 1 of the upright image is row 1, column 2 of the stored one: its last pixel.
    assert_eq!(dataset.train().image(0)[[0, 2, 1]], 35);
    write(&name("test", "labels-idx1"), gz(&idx(8, &[2], &[0, 26])));
    refused(
        letters.load(dir.path()),
        &["emnist-letters-test", "record 0", "label 0", "26 classes"],
    );
}

#[test]
fn damaged_headers_are_refused() {
    let (images, labels) = (images(3), labels(3));
    for length in 0..16 {
        refused(
            parsed(&images[..length], &labels),
            &["images", "ends within its header", "fetch it again"],
        );
    }
    for (at, value) in [(0, 1), (1, 1), (2, 9), (2, 0), (3, 1), (3, 255)] {
        let mut bytes = images.clone();
        bytes[at] = value;
        refused(
            parsed(&bytes, &labels),
            &["images", "starts with bytes", "expected [0, 0, 8, 3]"],
        );
    }
    for extents in [[0, 2, 3], [3, 0, 3], [3, 2, 0]] {
        refused(
            parsed(&idx(8, &extents, &[]), &labels),
            &["images", "no content"],
        );
    }
    // Images and labels exchanged.
    refused(
        parsed(&labels, &images),
        &["starts with bytes [0, 0, 8, 1]"],
    );
}

#[test]
fn wrong_lengths_are_refused() {
    let (good, labels) = (images(3), labels(3));
    refused(
        parsed(&good[..good.len() - 1], &labels),
        &["images", "expected 18 bytes after the header"],
    );
    refused(
        parsed(&[&good[..], &[0]].concat(), &labels),
        &["images", "goes on after the 18 bytes"],
    );
    refused(
        parsed(&gz(&[&good[..], &[0]].concat()), &labels),
        &["images", "goes on after the 18 bytes"],
    );
    refused(
        parsed(&gz(&good[..good.len() - 2]), &labels),
        &["expected 18 bytes after the header, found 16"],
    );
    let zipped = gz(&good);
    for length in 2..zipped.len() {
        // Within the compressed data or within the checksum after it.
        assert!(
            parsed(&zipped[..length], &labels).is_err(),
            "accepted {length} bytes"
        );
    }
    let mut wrong_sum = zipped.clone();
    let end = wrong_sum.len() - 8;
    wrong_sum[end] ^= 1;
    refused(
        parsed(&wrong_sum, &labels),
        &["cannot read images", "checksum"],
    );
}

#[test]
fn headers_that_ask_for_more_than_the_file_holds_allocate_nothing() {
    // 2^32 − 1 in every place: some 10^28 bytes.
    let huge = idx(8, &[u32::MAX; 3], &[0; 100]);
    refused(parsed(&huge, &labels(3)), &["images", "cannot hold"]);
    refused(parsed(&gz(&huge), &labels(3)), &["images", "cannot hold"]);
    // A gigabyte of zeros packs to a megabyte; so does a header alone that promises it.
    refused(
        parsed(&gz(&idx(8, &[1 << 20, 32, 32], &[0; 1000])), &labels(3)),
        &["1073741824", "cannot hold"],
    );
}

#[test]
fn files_that_disagree_are_refused() {
    refused(
        parsed(&images(4), &labels(3)),
        &["labels", "expected 4 labels, one for each image, found 3"],
    );
    refused(
        parsed(&images(3), &idx(8, &[3], &[0, 10, 0])),
        &["labels", "record 1", "label 10", "10 classes (0 to 9)"],
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(images: Vec<u8>, labels: Vec<u8>, zipped: bool) {
        let images = if zipped { gz(&images) } else { images };
        let _ = parsed(&images, &labels);
    }

    #[test]
    fn what_is_written_is_read(n in 1usize..20, h in 1usize..5, w in 1usize..5, seed: u8) {
        let pixels: Vec<u8> = (0..n * h * w).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
        let split = parsed(&idx(8, &[n as u32, h as u32, w as u32], &pixels), &labels(n)).unwrap();
        prop_assert_eq!(split.pixels(), &pixels[..]);
        prop_assert_eq!(split.image_shape(), [1, h, w]);
    }
}
