use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use mftma_data::loaders::folder::ClassFolders;
use mftma_data::{Loader, open};

use crate::{refused, write};

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn grey(value: u8, width: u32, height: u32) -> Vec<u8> {
    png(GrayImage::from_pixel(width, height, image::Luma([value])))
}

fn colour(width: u32, height: u32) -> Vec<u8> {
    png(RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([x as u8, y as u8, 77])
    }))
}

#[test]
fn train_and_test_folders_are_taken_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join("mine").join(path);
    write(&at("train/b/2.PNG"), grey(2, 4, 3));
    write(&at("train/b/1.png"), grey(1, 4, 3));
    write(&at("train/a/9.png"), grey(9, 4, 3));
    write(&at("train/a/notes.txt"), "passed over");
    write(&at("train/a/.hidden.png"), "passed over");
    write(&at("test/b/5.png"), grey(5, 4, 3));
    let dataset = open("folder:mine", Some(dir.path())).unwrap();
    assert_eq!(dataset.name(), "folder:mine");
    assert_eq!(dataset.class_names(), ["a", "b"]);
    assert_eq!(
        (dataset.train().labels(), dataset.test().labels()),
        (&[0, 1, 1][..], &[1][..])
    );
    assert_eq!(dataset.image_shape(), [1, 3, 4]);
    let values: Vec<u8> = (0..3)
        .map(|i| dataset.train().image(i)[[0, 2, 3]])
        .collect();
    assert_eq!(values, [9, 1, 2]);

    // One coloured image makes all of them coloured.
    write(&at("test/a/c.png"), colour(4, 3));
    let dataset = open("folder:mine", Some(dir.path())).unwrap();
    assert_eq!(dataset.image_shape(), [3, 3, 4]);
    assert_eq!(
        dataset
            .test()
            .image(0)
            .iter()
            .copied()
            .take(5)
            .collect::<Vec<_>>(),
        [0, 1, 2, 3, 0]
    );
    assert_eq!(dataset.test().image(0)[[1, 2, 0]], 2);
    assert_eq!(dataset.train().image(0)[[2, 1, 1]], 9);

    write(&at("test/z/1.png"), grey(1, 4, 3));
    refused(
        open("folder:mine", Some(dir.path())),
        &["z", "class without training images"],
    );
    std::fs::remove_dir_all(at("test")).unwrap();
    refused(
        open("folder:mine", Some(dir.path())),
        &["folder:mine", "test or val"],
    );
}

#[test]
fn without_a_train_folder_a_share_of_each_class_is_held_out() {
    let dir = tempfile::tempdir().unwrap();
    for class in ["x", "y"] {
        for i in 0..10u8 {
            write(
                &dir.path().join(class).join(format!("{i}.png")),
                grey(i, 2, 2),
            );
        }
    }
    let loader = ClassFolders::new(dir.path());
    let load = |seed, test_fraction| {
        ClassFolders {
            seed,
            test_fraction,
            ..loader.clone()
        }
        .load(Path::new("elsewhere"))
        .unwrap()
    };
    let dataset = load(0, 0.3);
    assert_eq!(dataset.train().labels(), [[0; 7], [1; 7]].concat());
    assert_eq!(dataset.test().labels(), [[0; 3], [1; 3]].concat());
    let mut all: Vec<u8> = [dataset.train(), dataset.test()]
        .iter()
        .flat_map(|split| {
            (0..split.len())
                .filter(|&i| split.labels()[i] == 0)
                .map(|i| split.image(i)[[0, 0, 0]])
        })
        .collect();
    all.sort_unstable();
    assert_eq!(all, (0..10).collect::<Vec<u8>>());
    assert_eq!(load(0, 0.3).checksum(), dataset.checksum());
    assert_ne!(load(1, 0.3).checksum(), dataset.checksum());
    let wrong = ClassFolders {
        test_fraction: 1.0,
        ..loader
    };
    refused(wrong.load(Path::new("")), &["test fraction", "below 1"]);
}

#[test]
fn sizes_must_agree_unless_images_are_scaled() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("train/a/1.png"), grey(10, 4, 3));
    write(&dir.path().join("train/a/2.png"), grey(20, 8, 6));
    write(&dir.path().join("test/a/1.png"), grey(30, 5, 5));
    let loader = ClassFolders::new(dir.path());
    refused(
        loader.load(dir.path()),
        &["2.png", "8 × 6", "expected 4 × 3", "resized"],
    );
    let scaled = ClassFolders {
        resize: Some((2, 7)),
        ..loader
    }
    .load(dir.path())
    .unwrap();
    assert_eq!(scaled.image_shape(), [1, 2, 7]);
    assert!(scaled.train().image(1).iter().all(|&pixel| pixel == 20));
}

#[test]
fn empty_and_missing_folders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    refused(
        open("folder:none", Some(dir.path())),
        &["folder:none", "one folder of images for each class"],
    );
    refused(
        ClassFolders::new(dir.path()).load(dir.path()),
        &["holds no image"],
    );
    write(&dir.path().join("a/1.png"), b"not an image");
    refused(
        ClassFolders::new(dir.path()).load(dir.path()),
        &["1.png", "replace the file"],
    );
}

#[test]
fn an_image_that_declares_more_than_it_holds_is_refused() {
    // A PNG header may declare any size; the file behind it stays a few dozen bytes.
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = grey(1, 4, 3);
    bytes[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let mut sum = flate2::Crc::new();
    sum.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    write(&dir.path().join("a/1.png"), bytes);
    refused(
        ClassFolders::new(dir.path()).load(dir.path()),
        &["1.png", "60000 × 60000", "cannot hold"],
    );
}

#[test]
fn unknown_names_list_the_known_ones() {
    for name in ["cifar", "", "folder:"] {
        refused(
            open(name, None),
            &[
                &format!("{name:?}"),
                "cifar100",
                "tiny-imagenet-200",
                "folder:PATH",
            ],
        );
    }
}
