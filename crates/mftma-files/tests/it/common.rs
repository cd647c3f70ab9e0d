//! What the readers' tests share: fixtures and their values.

use std::path::{Path, PathBuf};

use mftma_files::read::ReadOptions;

/// A file that `fixtures/make.py` made.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub const OPTIONS: ReadOptions<'static> = ReadOptions {
    inflate_limit: 1 << 20,
    interrupted: &|| false,
};

/// The value of feature `j` of point `i` in every fixture.
pub fn number(i: usize, j: usize) -> f64 {
    ((7 * i + 3 * j) % 11) as f64
}
