//! The example of the reference package's README, through the program: 100 manifolds of 50 standard normal points in
//! N = 5,000, κ = 0, n_t = 200. Its answers there: capacity 0.04, radius 1.47, dimension 36.17, centre correlation 0.01,
//! K = 1, participation ratio 2,499, 2,548 directions for 90 % of the variance.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const MANIFOLDS: usize = 100;
const POINTS: usize = 50;
const FEATURES: usize = 5000;

fn write_example(folder: &Path) {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {FEATURES}), }}\n",
        MANIFOLDS * POINTS
    );
    let mut file = BufWriter::new(std::fs::File::create(folder.join("x.npy")).unwrap());
    file.write_all(b"\x93NUMPY\x01\x00").unwrap();
    file.write_all(&(header.len() as u16).to_le_bytes())
        .unwrap();
    file.write_all(header.as_bytes()).unwrap();
    for _ in 0..MANIFOLDS * POINTS * FEATURES {
        let x: f32 = StandardNormal.sample(&mut rng);
        file.write_all(&x.to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
    let labels: String = (0..MANIFOLDS * POINTS)
        .map(|i| format!("{}\n", i / POINTS))
        .collect();
    std::fs::write(folder.join("y.txt"), labels).unwrap();
}

#[test]
fn the_reference_readme_example_end_to_end() {
    let folder = tempfile::tempdir().unwrap();
    write_example(folder.path());
    let output = Command::new(env!("CARGO_BIN_EXE_mftma"))
        .args([
            "analyze", "x.npy", "--labels", "y.txt", "--n-t", "200", "--kappa", "0",
        ])
        .args([
            "--convention",
            "reference",
            "--measures",
            "mean-field",
            "--spectrum",
            "0.9",
            "--format",
            "json",
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let geometry = &value["layers"][0]["geometry"];
    let close = |pointer: &str, expected: f64, tolerance: f64| {
        let found = geometry
            .pointer(pointer)
            .and_then(serde_json::Value::as_f64);
        let found = found.unwrap_or_else(|| panic!("no {pointer}"));
        assert!(
            (found - expected).abs() <= tolerance,
            "{pointer} is {found}, not {expected}"
        );
    };
    // Other points and other Gaussian vectors than the reference's: the tolerances are its rounding, and the spread of
    // means over 100 manifolds.
    close("/capacity/value", 0.04, 0.005);
    close("/radius/value", 1.47, 0.01);
    close("/dimension/value", 36.17, 0.2);
    close("/centre_correlation", 0.01, 0.005);
    close("/rank", 1.0, 0.0);
    close("/spectrum/participation_ratio", 2499.0, 3.0);
    close("/spectrum/reference_participation_ratio", 2499.0, 3.0);
    close(
        "/spectrum/reference_explained_variance_dimension",
        2548.0,
        3.0,
    );
    close("/spectrum/explained_variance_dimension", 2549.0, 3.0);
}
