//! Whole analyses, and the Gram stage against a plain matrix product of the same size.
//!
//! Peers (the project's record of them, two cores, load about 1) beside ours: wall time on two quiet cores (AVX-512), data in
//! memory.
//!
//! | what | peer | here |
//! |---|---|---|
//! | README example (P 100, M 50, N 5,000, n_t 200) | reference 31 s; PyTorch port 1.0 s without centre structure | 0.17–0.19 s |
//! | of that its 20,000 Gaussian vectors | reference 20 s; scipy `nnls` 1.84 s CPU | 0.05 s |
//! | the same with n_t 2,000 in place of 200 | 10 times the vectors | 0.61 s |
//! | P 20, M 50, N 512, n_t 200, correlated centres | reference 24–30 s on a layer of a network | 0.018 s |
//! | P 100, M 50, N 8,192, n_t 300, correlated centres | | 0.24 s |
//! | P 100, M 50, N 65,536, n_t 300, correlated centres | | 1.37–1.44 s |
//! | P 100, M 50, N 3,072 (images of CIFAR-100), n_t 300 | | 0.28 s |
//!
//! One thread takes 1.78 times as long as two with n_t 200, 1.94 times with n_t 2,000.
//!
//! Centre structure beside Gaussian vectors (n_t 300): on layers of a VGG-16 half the time of the vectors (P 100, K = 11: 61 and
//! 125 CPU milliseconds), on the images themselves, with K = 21, more: 0.12 s and 0.08 s of wall time. Under the reference's rule
//! with its ten restarts there 1.2 s.
//!
//! The Gram stage of the README example takes 1.55 times the plain product of the same size: it reads the features twice from
//! memory, centres them, and takes two products a manifold. At N 65,536 it is all but 0.08 s of the time.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use faer::{Accum, Mat, Par, linalg::matmul::matmul};
use mftma::joint::{Centring, JointSettings};
use mftma::{Analysis, ArrayActivations};
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Points around centres that share `shared` directions of falling strength; `shared` 0 for uncorrelated noise alone.
fn points(manifolds: usize, points: usize, features: usize, shared: usize) -> Array2<f32> {
    let stream = |stream: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        rng.set_stream(stream);
        rng
    };
    let directions: Vec<Vec<f32>> = (0..shared)
        .map(|k| {
            let mut rng = stream(k as u64);
            (0..features)
                .map(|_| StandardNormal.sample(&mut rng))
                .collect()
        })
        .collect();
    let mut all = Array2::zeros((manifolds * points, features));
    all.outer_iter_mut()
        .into_par_iter()
        .enumerate()
        .for_each(|(row, mut values)| {
            let mut rng = stream(1_000_000 + row as u64);
            values
                .iter_mut()
                .for_each(|v| *v = StandardNormal.sample(&mut rng));
            if shared == 0 {
                return;
            }
            let mut rng = stream(1_000 + (row / points) as u64);
            for (k, direction) in directions.iter().enumerate() {
                let loading: f32 = StandardNormal.sample(&mut rng);
                let loading = loading * 2.0 / (1.0 + k as f32);
                values
                    .iter_mut()
                    .zip(direction)
                    .for_each(|(v, d)| *v += loading * d);
            }
            for value in &mut values {
                let own: f32 = StandardNormal.sample(&mut rng);
                *value += 0.5 * own;
            }
        });
    all
}

fn whole(c: &mut Criterion) {
    let mut group = c.benchmark_group("analysis");
    group.sample_size(10);
    let mut case = |name: &str, p: usize, m: usize, n: usize, shared: usize, vectors: usize| {
        let data = points(p, m, n, shared);
        let sizes = vec![m; p];
        let Ok(source) = ArrayActivations::new(data.view(), &sizes) else {
            return;
        };
        let Ok(analysis) = Analysis::builder().vectors(vectors).build() else {
            return;
        };
        group.bench_function(name, |b| b.iter(|| analysis.run(black_box(&source))));
        if n == 5_000 {
            for threads in [1, 2] {
                let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else {
                    return;
                };
                group.bench_function(format!("{name}, {threads} thread(s)"), |b| {
                    b.iter(|| pool.install(|| analysis.run(black_box(&source))))
                });
            }
        }
    };
    case(
        "README example P100 M50 N5000 n_t 200",
        100,
        50,
        5_000,
        0,
        200,
    );
    case(
        "README example P100 M50 N5000 n_t 2000",
        100,
        50,
        5_000,
        0,
        2_000,
    );
    case("correlated P20 M50 N512 n_t 200", 20, 50, 512, 5, 200);
    case("correlated P100 M50 N8192 n_t 300", 100, 50, 8_192, 10, 300);
    case(
        "correlated P100 M50 N65536 n_t 300",
        100,
        50,
        65_536,
        10,
        300,
    );
    group.finish();
}

/// The Gram stage takes 100 products of 50 × N by N × 50 (half of each, by symmetry) and of 100 × N by N × 50: the
/// plain product of the same size is 150 × N by N × 5,000 in one call, on both threads.
fn gram_stage(c: &mut Criterion) {
    let mut group = c.benchmark_group("Gram stage");
    group.sample_size(10);
    let n = 5_000;
    let data = points(100, 50, n, 0);
    let sizes = [50; 100];
    if let (Ok(source), Ok(analysis)) = (
        ArrayActivations::new(data.view(), &sizes),
        Analysis::builder().vectors(1).build(),
    ) {
        group.bench_function("analysis up to the centre structure", |b| {
            b.iter(|| {
                analysis.run_with(&source, &|progress| match progress {
                    mftma::Progress::Features { .. } => std::ops::ControlFlow::Continue(()),
                    _ => std::ops::ControlFlow::Break(()),
                })
            })
        });
    }
    let left = Mat::<f64>::from_fn(150, n, |i, j| ((i * 7 + j * 3) % 11) as f64);
    let right = Mat::<f64>::from_fn(n, 5_000, |i, j| ((i * 5 + j * 2) % 13) as f64);
    let mut out = Mat::<f64>::zeros(150, 5_000);
    group.bench_function("plain product of the same size", |b| {
        b.iter(|| {
            matmul(
                out.as_mut(),
                Accum::Replace,
                left.as_ref(),
                right.as_ref(),
                1.0,
                Par::rayon(0),
            )
        })
    });
    group.finish();
}

/// What a call from elsewhere, from Python for instance, has as its lower bound: 6 classes of 3 points in 10 features, as
/// `mftma analyze` measures by default.
fn smallest(c: &mut Criterion) {
    let mut group = c.benchmark_group("smallest");
    let data = points(6, 3, 10, 1);
    let (Ok(source), Ok(analysis)) = (
        ArrayActivations::new(data.view(), &[3; 6]),
        Analysis::builder().resamples(1_000).build(),
    ) else {
        return;
    };
    let joint = JointSettings::default()
        .resamples(1_000)
        .centring(Centring::ByManifold);
    let on = |_| std::ops::ControlFlow::Continue(());
    group.bench_function("mean-field P6 M3 N10", |b| {
        b.iter(|| analysis.run(black_box(&source)))
    });
    group.bench_function("both P6 M3 N10", |b| {
        b.iter(|| analysis.run_with_joint(black_box(&source), &joint, &on))
    });
    group.finish();
}

criterion_group!(benches, whole, gram_stage, smallest);
criterion_main!(benches);
