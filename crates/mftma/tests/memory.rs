//! Peak memory of an analysis; alone in its binary, because the peak is the whole process's.
#![cfg(target_os = "linux")]

use std::ops::ControlFlow;

use mftma::{Activations, Analysis, Block, SourceError};
use ndarray::{Array2, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const MANIFOLDS: usize = 100;
const POINTS: usize = 50;
const FEATURES: usize = 65_536;
const WIDTH: usize = 256;

/// 100 manifolds of 50 points of 65,536 single-precision features: 1.3 GB that never stand in memory, being windows upon
/// one table.
struct Windows {
    table: Array2<f32>,
    sizes: Vec<usize>,
}

impl Activations for Windows {
    fn points_per_manifold(&self) -> &[usize] {
        &self.sizes
    }
    fn n_features(&self) -> usize {
        FEATURES
    }
    fn for_each_block(
        &self,
        visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        for block in 0..FEATURES / WIDTH {
            let start = block % WIDTH;
            let window = self.table.slice(s![.., start..start + WIDTH]);
            if visit(Block::F32(window)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The greatest memory use of this process so far, in MB (`VmHWM`).
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.expect("a peak").parse::<f64>().expect("a number") / 1e3
}

#[test]
fn an_analysis_of_65536_features_takes_less_than_300_mb_beyond_its_input() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let source = Windows {
        table: Array2::from_shape_simple_fn((MANIFOLDS * POINTS, 2 * WIDTH), || {
            StandardNormal.sample(&mut rng)
        }),
        sizes: vec![POINTS; MANIFOLDS],
    };
    let before = peak();
    let geometry = Analysis::builder()
        .vectors(20)
        .build()
        .expect("settings")
        .run(&source)
        .expect("a geometry");
    assert_eq!(geometry.features, FEATURES);
    let taken = peak() - before;
    eprintln!("{taken:.0} MB beyond the input");
    assert!(taken < 300.0, "{taken} MB");
    // The measure can tell: one inner-product matrix a manifold must be in it.
    let least = (MANIFOLDS * POINTS * (POINTS + MANIFOLDS) * 8) as f64 / 1e6;
    assert!(
        taken > 0.5 * least,
        "{taken} MB, {least} MB of inner products"
    );
}
