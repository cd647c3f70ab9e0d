use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use mftma_data::loaders::tiny_imagenet::{
    TinyImageNet, parse_annotations, parse_wnids, parse_words,
};
use mftma_data::{Dataset, Error, Loader};
use proptest::prelude::*;

use crate::{at_thread_counts, refused, write};

const WNIDS: [&str; 3] = ["n00000007", "n00000003", "n00000005"];

fn jpeg(image: DynamicImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

fn colour(value: u8, side: u32) -> Vec<u8> {
    jpeg(
        RgbImage::from_fn(side, side, |x, y| {
            image::Rgb([value, (4 * x) as u8, (4 * y) as u8])
        })
        .into(),
    )
}

/// Three classes of four training and two validation images; the last training image of each class is grey.
fn fill(folder: &Path) {
    write(&folder.join("wnids.txt"), WNIDS.join("\n"));
    write(
        &folder.join("words.txt"),
        "n00000003\tthree, trio\nn00000007\tseven\nn00000009\tnine\n",
    );
    let mut annotations = String::new();
    for (label, wnid) in WNIDS.iter().enumerate() {
        let images = folder.join("train").join(wnid).join("images");
        for i in 0..3 {
            write(
                &images.join(format!("{wnid}_{i}.JPEG")),
                colour((80 * label + 10 * i) as u8, 64),
            );
        }
        let grey = GrayImage::from_fn(64, 64, |x, _| image::Luma([(3 * x) as u8]));
        write(&images.join(format!("{wnid}_3.JPEG")), jpeg(grey.into()));
        for i in 0..2 {
            let file = format!("val_{}.JPEG", 2 * i + label);
            annotations += &format!("{file}\t{wnid}\t0\t32\t44\t62\n");
            write(
                &folder.join("val/images").join(file),
                colour((80 * label) as u8, 64),
            );
        }
    }
    // A class that wnids.txt leaves out.
    annotations += "val_99.JPEG\tn00000009\t0\t0\t1\t1\n";
    write(&folder.join("val/val_annotations.txt"), annotations);
}

fn load(dir: &Path) -> Result<Dataset, Error> {
    TinyImageNet.load(dir)
}

#[test]
fn a_part_of_the_classes_is_read_like_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    fill(&dir.path().join("tiny-imagenet-200"));
    let dataset = load(dir.path()).unwrap();
    assert_eq!(dataset.class_names(), ["seven", "three, trio", "n00000005"]);
    assert_eq!(
        dataset.train().labels(),
        [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    );
    assert_eq!(dataset.test().labels(), [0, 0, 1, 1, 2, 2]);
    assert_eq!(dataset.image_shape(), [3, 64, 64]);
    // JPEG is lossy, but a linear ramp comes back within a few levels.
    let image = dataset.train().image(5);
    for (channel, expected) in [(0, 90), (1, 4 * 40), (2, 4 * 20)] {
        let pixel = i32::from(image[[channel, 20, 40]]);
        assert!(
            (pixel - expected).abs() < 12,
            "channel {channel}: {pixel}, expected about {expected}"
        );
    }
    let grey = dataset.train().image(3);
    assert!((i32::from(grey[[0, 5, 30]]) - 90).abs() < 8);
    for channel in 1..3 {
        assert_eq!(
            grey.index_axis(ndarray::Axis(0), channel),
            grey.index_axis(ndarray::Axis(0), 0)
        );
    }
}

#[test]
fn same_bytes_at_any_thread_count() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let sums = at_thread_counts(|| load(dir.path()).unwrap().checksum());
    assert!(sums.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn damaged_folders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    refused(
        load(dir.path()),
        &["tiny-imagenet-200", "wnids.txt", "MFTMA_DATA_DIR"],
    );
    let spoil = |file: &str, bytes: &[u8], parts: &[&str]| {
        fill(dir.path());
        write(&dir.path().join(file), bytes);
        refused(load(dir.path()), parts);
    };
    let image = "train/n00000003/images/n00000003_1.JPEG";
    let name = "n00000003_1.JPEG";
    spoil(image, b"", &[name, "replace the file"]);
    spoil(image, b"no image", &[name, "replace the file"]);
    spoil(
        image,
        &colour(9, 63),
        &[name, "is 63 × 63 pixels", "expected 64 × 64"],
    );
    let whole = colour(9, 64);
    for cut in [
        3,
        30,
        300,
        600,
        whole.len() * 3 / 4,
        whole.len() - 10,
        whole.len() - 1,
    ] {
        spoil(image, &whole[..cut], &[name, "replace the file"]);
    }
    fill(dir.path());
    spoil(
        "wnids.txt",
        b"n00000003\nn00000003\n",
        &["wnids.txt", "line 2", "listed twice"],
    );
    spoil(
        "wnids.txt",
        b"../../etc\n",
        &["wnids.txt", "line 1", "no WordNet identifier"],
    );
    spoil("wnids.txt", b"\n", &["wnids.txt", "lists 0 classes"]);
    spoil("wnids.txt", b"n00000004\n", &["cannot read", "n00000004"]);
    spoil(
        "val/val_annotations.txt",
        b"../a.JPEG\tn00000003\n",
        &["val_annotations.txt", "line 1", "../a.JPEG"],
    );
    spoil(
        "val/val_annotations.txt",
        b"a.JPEG n00000003\n",
        &["line 1", "expected a file name"],
    );
    spoil(
        "val/val_annotations.txt",
        b"a.JPEG\tn00000003\t0\n",
        &["cannot read", "a.JPEG"],
    );
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text: String) {
        let path = Path::new("file");
        let wnids = WNIDS.map(String::from);
        let _ = parse_wnids(&text, path);
        prop_assert_eq!(parse_words(&text, &wnids).len(), 3);
        if let Ok(listed) = parse_annotations(&text, path, &wnids) {
            prop_assert!(listed.iter().all(|(file, label)| !file.contains('/') && *label < 3));
        }
    }
}
