//! The embedded data set `glyphs` as it lies in the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

const CLASSES: usize = 94;
const PIXELS: usize = 32 * 32;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/glyphs")
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// Content of an IDX file after its header, which must be this one.
fn idx(name: &str, header: &[u32]) -> Vec<u8> {
    let packed = fs::read(folder().join(name)).unwrap();
    // No flags (so no file name) and no time: the bytes depend on the images alone.
    assert_eq!(packed[3..8], [0; 5], "{name}");
    let mut bytes = Vec::new();
    GzDecoder::new(packed.as_slice())
        .read_to_end(&mut bytes)
        .unwrap();
    let wanted: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
    assert_eq!(bytes[..wanted.len()], wanted, "{name}");
    bytes.split_off(wanted.len())
}

/// Rows of a table without quoted fields.
fn rows(name: &str) -> Vec<Vec<String>> {
    text(name)
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect()
}

/// Images of one part, and its faces: family, package.
fn part(name: &str) -> (Vec<u8>, Vec<(String, String)>) {
    let faces: Vec<(String, String)> = rows("faces.csv")
        .into_iter()
        .filter(|row| row[0] == name)
        .enumerate()
        .map(|(position, row)| {
            assert_eq!(row.len(), 9, "{row:?}");
            assert_eq!(row[1], position.to_string());
            (row[2].clone(), row[4].clone())
        })
        .collect();
    let count = u32::try_from(faces.len() * CLASSES).unwrap();
    let images = idx(
        &format!("{name}-images-idx3-ubyte.gz"),
        &[0x803, count, 32, 32],
    );
    let labels = idx(&format!("{name}-labels-idx1-ubyte.gz"), &[0x801, count]);
    assert_eq!(images.len(), faces.len() * CLASSES * PIXELS);
    // Balanced, in the order that the README states.
    assert_eq!(labels.len(), faces.len() * CLASSES);
    assert!(
        labels
            .iter()
            .enumerate()
            .all(|(i, &label)| usize::from(label) == i % CLASSES)
    );
    (images, faces)
}

#[test]
fn checksums_are_those_of_record_and_the_set_is_small() {
    let sums = text("SHA256SUMS");
    let mut size = 0;
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let bytes = fs::read(folder().join(name)).unwrap();
        size += bytes.len();
        let found: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(found, sum, "{name}");
    }
    assert_eq!(sums.lines().count(), 4);
    assert!(size < 4_000_000, "{size} bytes");
}

#[test]
fn images_are_inked_unclipped_and_distinct() {
    let mut seen: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut faces = 0;
    for name in ["train", "test"] {
        let (images, list) = part(name);
        faces += list.len();
        for (index, image) in images.chunks_exact(PIXELS).enumerate() {
            let ink: u32 = image.iter().map(|&p| u32::from(p)).sum();
            assert!(ink > 255, "{name} {index}: hardly any ink");
            // The one-pixel margin: a clipped glyph would have ink there.
            for side in 0..32 {
                for edge in [side, 31 * 32 + side, side * 32, side * 32 + 31] {
                    assert_eq!(image[edge], 0, "{name} {index}: ink on the edge");
                }
            }
        }
        for face in images.chunks_exact(PIXELS * CLASSES) {
            *seen.entry(face.to_vec()).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), faces, "two faces are equal");
}

#[test]
fn there_are_many_families_and_none_is_on_both_sides() {
    let families = |name: &str| -> BTreeSet<String> {
        part(name).1.into_iter().map(|(family, _)| family).collect()
    };
    let (train, test) = (families("train"), families("test"));
    assert!(train.len() + test.len() >= 120);
    assert!(test.len() >= 30);
    // The superfamily, too: `DejaVu Sans` and `DejaVu Serif`.
    let first = |family: &String| family.split([' ', '-']).next().unwrap().to_lowercase();
    let (train, test): (BTreeSet<String>, BTreeSet<String>) = (
        train.iter().map(first).collect(),
        test.iter().map(first).collect(),
    );
    assert_eq!(train.intersection(&test).count(), 0);
}

#[test]
fn every_face_is_of_a_listed_package_with_an_accepted_licence() {
    const ACCEPTED: [&str; 9] = [
        "OFL-1.0",
        "OFL-1.1",
        "Apache-2.0",
        "Bitstream-Vera",
        "MIT",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "GUST-Font-License",
        "public-domain",
    ];
    let packages: BTreeMap<String, String> = rows("packages.csv")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let table = text("LICENSES.md");
    for row in rows("faces.csv") {
        let (family, package, version, licence) = (&row[2], &row[4], &row[5], &row[6]);
        assert_eq!(&packages[package], licence);
        assert!(
            ACCEPTED.contains(&licence.as_str()) || licence == "CC0-1.0",
            "{licence}"
        );
        let line = table
            .lines()
            .find(|line| line.starts_with(&format!("| {package} | {version} | {licence} |")))
            .unwrap_or_else(|| panic!("{package} is not in the licence table"));
        assert!(
            line.contains(family.as_str()),
            "{family} is not in the line of {package}"
        );
        assert!(!line.ends_with("|  |"), "{package} has no copyright holder");
    }
}

/// A leak check by pixels: no test image is nearly a training image's twin face by face.
#[test]
fn no_test_face_repeats_a_training_face() {
    let (train, _) = part("train");
    let (test, names) = part("test");
    for (face, (family, _)) in test.chunks_exact(PIXELS * CLASSES).zip(&names) {
        let nearest = train
            .chunks_exact(PIXELS * CLASSES)
            .map(|other| {
                let apart: u64 = face
                    .iter()
                    .zip(other)
                    .map(|(&a, &b)| u64::from(a.abs_diff(b)))
                    .sum();
                let ink: u64 = face
                    .iter()
                    .zip(other)
                    .map(|(&a, &b)| u64::from(a.max(b)))
                    .sum();
                apart as f64 / ink as f64
            })
            .fold(1.0, f64::min);
        assert!(
            nearest > 0.15,
            "{family} is {nearest:.3} from a training face"
        );
    }
}
