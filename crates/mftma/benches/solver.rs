//! Time per Gaussian vector on one thread: drawing, products with the points, the exact anchor point and the measures.
//!
//! What others take for one vector (project's record of peers; reference: the Python package with cvxopt; `nnls`: SciPy;
//! PyTorch: a batched projected-gradient port, errors 1e-8 to 3e-4), the target, and here, on a quiet machine (AVX-512):
//!
//! | shape | reference | nnls | PyTorch | target | here |
//! |---|---|---|---|---|---|
//! | README (D 49, M 50) | 960 µs | 92 µs | | 12 µs | 5.5 µs |
//! | Gaussian D 100, M 50, s 0.1 | | | 140 µs | 2 µs | 1.7 µs |
//! | Gaussian D 50, M 100, s 0.2 | | | 190 µs | | 3.0 µs |
//! | sphere D 10, M 500 | | | 1,500 µs | 8 µs | 7.2 µs |
//! | sphere D 20, M 1,000 | | | 5,100 µs | 25 µs | 15.3 µs |
//! | sphere D 50, M 500 | 9,400 µs | 1,300 µs | | | 27 µs |
//! | Gaussian D 200, M 1,000, s 0.1 | 77,000 µs | 20,000 µs | | | 48 µs |
//! | Gaussian D 500, M 1,000, s 0.1 | not measured, surely above the row before | | | 1/50 of the reference | 135 µs |
//! | sphere D 20, M 20,000 | | | | | 380 µs |
//!
//! Run with `cargo bench -p mftma --bench solver`; throughput is per vector.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mftma::{ManifoldProblem, Sampling};
use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn normal(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_fn((rows, columns), |_| StandardNormal.sample(&mut rng))
}

/// 50 standard-normal points in 5,000 features, relative to their mean in units of its length.
fn readme() -> ManifoldProblem {
    let x = normal(5_000, 50, 1);
    let centre = x.mean_axis(Axis(1)).expect("points");
    let length = centre.dot(&centre).sqrt();
    let s = (&x - &centre.insert_axis(Axis(1))) / length;
    ManifoldProblem::from_gram(s.t().dot(&s).view(), 50).expect("usable points")
}

fn gaussian(d: usize, m: usize, size: f64) -> ManifoldProblem {
    ManifoldProblem::from_points((normal(d, m, 1) * size).t()).expect("usable points")
}

fn sphere(d: usize, m: usize) -> ManifoldProblem {
    let mut points = normal(d, m, 1);
    for mut column in points.columns_mut() {
        let length = column.dot(&column).sqrt();
        column.mapv_inplace(|v| v / length);
    }
    ManifoldProblem::from_points(points.t()).expect("usable points")
}

fn per_vector(c: &mut Criterion) {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a pool");
    let mut group = c.benchmark_group("vector");
    group
        .measurement_time(Duration::from_secs(3))
        .sample_size(30);
    let shapes = [
        ("README D49 M50", readme(), 512),
        ("gaussian D100 M50", gaussian(100, 50, 0.1), 512),
        ("gaussian D50 M100", gaussian(50, 100, 0.2), 512),
        ("sphere D10 M500", sphere(10, 500), 512),
        ("sphere D20 M1000", sphere(20, 1_000), 512),
        ("sphere D50 M500", sphere(50, 500), 128),
        ("gaussian D200 M1000", gaussian(200, 1_000, 0.1), 64),
        ("gaussian D500 M1000", gaussian(500, 1_000, 0.1), 16),
        ("sphere D20 M20000", sphere(20, 20_000), 64),
    ];
    for (name, problem, vectors) in shapes {
        group.throughput(Throughput::Elements(vectors as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            let sampling = Sampling::default().vectors(vectors);
            b.iter(|| pool.install(|| black_box(problem.measure(black_box(&sampling)))));
        });
    }
    group.finish();
}

criterion_group!(benches, per_vector);
criterion_main!(benches);
