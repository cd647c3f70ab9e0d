use std::path::Path;

use mftma_data::loaders::cifar::{Cifar, Variant, parse};
use mftma_data::{Dataset, Error, Loader};

use crate::{refused, write};

/// `records` records whose labels and pixels follow from their place.
fn content(variant: Variant, records: usize) -> Vec<u8> {
    (0..records)
        .flat_map(|record| {
            let labels = match variant {
                Variant::Ten => vec![(record % 10) as u8],
                Variant::Hundred => vec![(record % 20) as u8, (record % 100) as u8],
            };
            labels
                .into_iter()
                .chain((0..3072).map(move |pixel| (record * 13 + pixel) as u8))
        })
        .collect()
}

fn names(count: usize) -> String {
    (0..count).map(|class| format!("name {class}\n")).collect()
}

fn hundred_in(folder: &Path) {
    write(&folder.join("train.bin"), content(Variant::Hundred, 150));
    write(&folder.join("test.bin"), content(Variant::Hundred, 70));
    write(&folder.join("fine_label_names.txt"), names(100));
    write(&folder.join("coarse_label_names.txt"), names(20));
}

fn load(folder: &Path) -> Result<Dataset, Error> {
    Cifar::hundred().with_records(150, 70).load(folder)
}

#[test]
fn records_come_apart_into_labels_and_pixels() {
    let dir = tempfile::tempdir().unwrap();
    hundred_in(&dir.path().join("cifar-100-binary"));
    let dataset = load(dir.path()).unwrap();
    assert_eq!(
        (dataset.name(), dataset.classes(), dataset.image_shape()),
        ("cifar100", 100, [3, 32, 32])
    );
    assert_eq!(
        (
            dataset.class_names()[99].as_str(),
            dataset.coarse_names().len()
        ),
        ("name 99", 20)
    );
    for (split, records) in [(dataset.train(), 150), (dataset.test(), 70)] {
        assert_eq!(split.len(), records);
        for record in 0..records {
            assert_eq!(split.labels()[record], (record % 100) as u16);
            assert_eq!(split.coarse_labels().unwrap()[record], (record % 20) as u16);
            for ((channel, y, x), &pixel) in split.image(record).indexed_iter() {
                assert_eq!(pixel, (record * 13 + channel * 1024 + y * 32 + x) as u8);
            }
        }
    }
    // The data set's own folder does as well as the one above it.
    let direct = load(&dir.path().join("cifar-100-binary")).unwrap();
    assert_eq!(direct.checksum(), dataset.checksum());
}

#[test]
fn cifar10_joins_its_five_files_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("cifar-10-batches-bin");
    let all = content(Variant::Ten, 35);
    for (batch, bytes) in all.chunks(7 * 3073).enumerate() {
        write(&folder.join(format!("data_batch_{}.bin", batch + 1)), bytes);
    }
    write(&folder.join("test_batch.bin"), content(Variant::Ten, 11));
    write(&folder.join("batches.meta.txt"), names(10) + "\n");
    let dataset = Cifar::ten().with_records(7, 11).load(dir.path()).unwrap();
    let whole = parse(&all, Path::new("all"), Variant::Ten, 35).unwrap();
    assert_eq!(dataset.train(), &whole);
    assert_eq!((dataset.test().len(), dataset.classes()), (11, 10));
    assert!(dataset.train().coarse_labels().is_none());
}

#[test]
fn wrong_sizes_name_both_sizes() {
    let path = Path::new("some.bin");
    let good = content(Variant::Hundred, 3);
    for length in [
        0,
        1,
        3073,
        3074,
        good.len() - 1,
        good.len() + 1,
        2 * good.len(),
    ] {
        let bytes: Vec<u8> = good.iter().cycle().take(length).copied().collect();
        let (expected, actual) = (good.len().to_string(), format!("found {length}"));
        refused(
            parse(&bytes, path, Variant::Hundred, 3),
            &["some.bin", &expected, &actual, "fetch it again"],
        );
    }
    // A count that no memory could hold is compared, not allocated.
    refused(
        parse(&good, path, Variant::Hundred, usize::MAX),
        &["some.bin", "9222"],
    );
}

#[test]
fn labels_out_of_range_name_file_record_and_value() {
    let path = Path::new("some.bin");
    for (variant, at, value, kind, classes) in [
        (Variant::Ten, 0, 10, "fine", "10 classes"),
        (Variant::Hundred, 0, 20, "coarse", "20 classes"),
        (Variant::Hundred, 1, 100, "fine", "100 classes"),
        (Variant::Hundred, 1, 255, "fine", "100 classes"),
    ] {
        let mut bytes = content(variant, 80);
        bytes[70 * variant.record_bytes() + at] = value;
        let value = format!("{kind} label {value}");
        refused(
            parse(&bytes, path, variant, 80),
            &["some.bin", "record 70", &value, classes],
        );
    }
}

#[test]
fn damaged_folders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("cifar-100-binary");
    refused(
        load(dir.path()),
        &["cifar100", "train.bin", "MFTMA_DATA_DIR", "fetch"],
    );
    let spoil = |file: &str, bytes: &[u8], parts: &[&str]| {
        hundred_in(&folder);
        write(&folder.join(file), bytes);
        refused(load(dir.path()), &[&[file][..], parts].concat());
    };
    spoil(
        "train.bin",
        &content(Variant::Hundred, 149),
        &["461100", "458026"],
    );
    spoil("test.bin", b"", &["215180", "found 0"]);
    spoil(
        "fine_label_names.txt",
        names(99).as_bytes(),
        &["expected 100 class names, found 99"],
    );
    spoil(
        "coarse_label_names.txt",
        b"",
        &["expected 20 class names, found 0"],
    );
    spoil("fine_label_names.txt", b"caf\xff", &["UTF-8", "byte 3"]);
    hundred_in(&folder);
    std::fs::remove_file(folder.join("test.bin")).unwrap();
    refused(load(dir.path()), &["cannot read", "test.bin"]);
    std::fs::create_dir(folder.join("test.bin")).unwrap();
    refused(load(dir.path()), &["test.bin", "not a file"]);
    // The canonical loader insists on the canonical numbers.
    refused(
        Cifar::hundred().load(dir.path()),
        &["train.bin", "153700000", "461100"],
    );
}
