//! The embedded data set: printable ASCII characters in many typefaces.

use std::path::Path;

use super::{Loader, idx};
use crate::{Dataset, Result, Split};

const TRAIN: [&[u8]; 2] = [
    include_bytes!("../../../../datasets/glyphs/train-images-idx3-ubyte.gz"),
    include_bytes!("../../../../datasets/glyphs/train-labels-idx1-ubyte.gz"),
];
const TEST: [&[u8]; 2] = [
    include_bytes!("../../../../datasets/glyphs/test-images-idx3-ubyte.gz"),
    include_bytes!("../../../../datasets/glyphs/test-labels-idx1-ubyte.gz"),
];

/// Loader of `glyphs`, which is part of the program: no file is read.
///
/// 94 classes, the printable ASCII characters from `!` to `~` in the order of their codes; 32 × 32 pixels, grey, centred.
/// The images are drawn with typefaces of Debian's free font packages; those of the test split belong to font families
/// that the training split does not use. `datasets/glyphs` in the repository holds the licences, and how the set was
/// made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Glyphs;

impl Loader for Glyphs {
    fn name(&self) -> &str {
        "glyphs"
    }

    fn load(&self, _data_dir: &Path) -> Result<Dataset> {
        let class_names: Vec<String> = ('!'..='~').map(String::from).collect();
        let split = |[images, labels]: [&[u8]; 2]| -> Result<Split> {
            let path = Path::new("embedded glyphs");
            idx::parse((images, path), (labels, path), class_names.len())
        };
        let (train, test) = (split(TRAIN)?, split(TEST)?);
        Dataset::new("glyphs", class_names, Vec::new(), train, test)
    }
}
