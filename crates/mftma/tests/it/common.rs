//! What several test files share: the golden values, and random numbers.

#![allow(dead_code)] // every test file uses a part of it

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use ndarray::{Array2, ShapeBuilder};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use zip::ZipArchive;

/// Independent standard normals.
pub fn normal(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut rng))
}

/// The golden values that are kept in the repository; `make.py` beside them says where they come from.
pub fn kept_golden_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The folder of all golden values, which are too large for the repository. Only for tests that are ignored unless asked for.
pub fn golden_dir() -> PathBuf {
    let shared = std::env::var_os("MFTMA_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let dir = shared.join("golden");
    assert!(
        dir.is_dir(),
        "no golden values at {}: set MFTMA_SHARED to their parent",
        dir.display()
    );
    dir
}

/// An `.npz` archive.
pub struct Archive(ZipArchive<BufReader<File>>);

impl Archive {
    pub fn open(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(ZipArchive::new(BufReader::new(file)).expect("a zip archive"))
    }

    /// An array of doubles of at most two dimensions; (1, n) for a vector, (1, 1) for a number.
    pub fn doubles(&mut self, name: &str) -> Array2<f64> {
        let member = self.0.by_name(&format!("{name}.npy")).expect("a member");
        let file = npyz::NpyFile::new(member).expect("an array");
        let shape: Vec<usize> = file.shape().iter().map(|&n| n as usize).collect();
        let fortran = file.order() == npyz::Order::Fortran;
        let (rows, columns) = match shape[..] {
            [] => (1, 1),
            [n] => (1, n),
            [rows, columns] => (rows, columns),
            _ => panic!("{name} has shape {shape:?}"),
        };
        let values = file.into_vec::<f64>().expect("doubles");
        Array2::from_shape_vec((rows, columns).set_f(fortran), values).expect("its shape")
    }

    /// An array of integers, flat.
    pub fn integers(&mut self, name: &str) -> Vec<i64> {
        let member = self.0.by_name(&format!("{name}.npy")).expect("a member");
        npyz::NpyFile::new(member)
            .expect("an array")
            .into_vec::<i64>()
            .expect("integers")
    }
}
