//! Joint capacity of all manifolds: column generation, and as the yardstick a plain non-negative least squares on all columns
//! (Lawson & Hanson 1974), on the same points, labels and vectors.
//!
//! Run with `cargo bench -p mftma --bench joint`. Both take a number of draws per iteration that the throughput counts; the
//! engine's time holds the pass over the features as well.
//!
//! Measured in one run on two cores, on which the README example of `benches/analysis.rs` took 0.62 s in the same minutes (0.18 s stand
//! there, from cores three times as fast):
//!
//! | shape, 200 draws | engine | plain NNLS on all columns |
//! |---|---|---|
//! | P 16, M 150, N 300 | 0.62 s, 322 draws/s | 20.5 draws/s: 1/15.7 |
//! | P 100, M 50, N 4,096 | 12.4 s, 16 draws/s | |

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mftma::ArrayActivations;
use mftma::joint::{JointSettings, Labels, joint_geometry};
use ndarray::{Array1, Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn normal(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_fn((rows, columns), |_| StandardNormal.sample(&mut rng))
}

/// P clouds of M points about random centres, as far from them as the centres are long.
fn clouds(p: usize, m: usize, n: usize) -> Array2<f64> {
    let centres = normal(p, n, 1);
    let mut all = normal(p * m, n, 2);
    for (i, mut row) in all.rows_mut().into_iter().enumerate() {
        row += &centres.row(i / m);
    }
    all
}

/// Squared length of the projection of `t` on the cone of the rows of `z`: one column enters at a time, and the least squares
/// on the passive set are solved anew each time by Cholesky factorisation.
fn plain_nnls(z: &Array2<f64>, t: &Array1<f64>) -> f64 {
    let n = z.nrows();
    let mut x = vec![0.0; n];
    let mut passive: Vec<usize> = Vec::new();
    let scale = t.dot(t).sqrt()
        * z.rows()
            .into_iter()
            .map(|r| r.dot(&r))
            .fold(0.0, f64::max)
            .sqrt();
    loop {
        let mut rest = t.clone();
        for &i in &passive {
            rest.scaled_add(-x[i], &z.row(i));
        }
        let slope = z.dot(&rest);
        let best = (0..n)
            .filter(|i| !passive.contains(i))
            .max_by(|&i, &j| slope[i].total_cmp(&slope[j]));
        let Some(best) = best.filter(|&i| slope[i] > 1e-10 * scale) else {
            let p = t - &rest;
            return p.dot(&p);
        };
        passive.push(best);
        loop {
            let rows = z.select(Axis(0), &passive);
            let goal = solve(rows.dot(&rows.t()), rows.dot(t));
            let step = passive
                .iter()
                .zip(&goal)
                .filter(|&(_, &s)| s <= 0.0)
                .map(|(&i, s)| x[i] / (x[i] - s))
                .fold(1.0, f64::min);
            for (&i, s) in passive.iter().zip(&goal) {
                x[i] += step * (s - x[i]);
            }
            if step == 1.0 {
                break;
            }
            passive.retain(|&i| x[i] > 1e-14);
        }
    }
}

/// A·x = b for a positive definite A.
fn solve(mut a: Array2<f64>, mut b: Array1<f64>) -> Array1<f64> {
    let n = b.len();
    for j in 0..n {
        for k in 0..j {
            let c = a[[j, k]];
            for i in j..n {
                a[[i, j]] -= c * a[[i, k]];
            }
        }
        let pivot = a[[j, j]].sqrt();
        for i in j..n {
            a[[i, j]] /= pivot;
        }
    }
    for i in 0..n {
        for k in 0..i {
            b[i] -= a[[i, k]] * b[k];
        }
        b[i] /= a[[i, i]];
    }
    for i in (0..n).rev() {
        for k in i + 1..n {
            b[i] -= a[[k, i]] * b[k];
        }
        b[i] /= a[[i, i]];
    }
    b
}

fn joint(c: &mut Criterion) {
    let mut group = c.benchmark_group("joint");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_secs(1));
    for (p, m, n, draws) in [(16, 150, 300, 200), (100, 50, 4_096, 200)] {
        let points = clouds(p, m, n);
        let name = format!("P{p} M{m} N{n}");
        let source = ArrayActivations::new(points.view(), &vec![m; p]).expect("sizes that fit");
        let settings = JointSettings::default().vectors(draws);
        group.throughput(Throughput::Elements(draws as u64));
        group.bench_function(BenchmarkId::new("engine", &name), |b| {
            b.iter(|| black_box(joint_geometry(&source, &settings).expect("usable points")));
        });
    }
    // The yardstick at the smaller shape, few draws: it is slow.
    let (p, m, n) = (16, 150, 300);
    let mut points = clouds(p, m, n);
    let labels: Vec<i8> = (0..p).map(|i| if i % 2 == 0 { 1 } else { -1 }).collect();
    let t = normal(1, n, 3);
    let source = ArrayActivations::new(points.view(), &[150; 16]).expect("sizes that fit");
    let settings = JointSettings::default()
        .given_vectors(t.clone())
        .labels(Labels::Fixed(vec![labels.clone()]));
    let found = joint_geometry(&source, &settings).expect("usable points");
    for (i, mut row) in points.rows_mut().into_iter().enumerate() {
        row *= f64::from(labels[i / m]);
    }
    let t = t.row(0).to_owned();
    let f = p as f64 / found.capacity.value;
    assert!(
        (plain_nnls(&points, &t) / f - 1.0).abs() < 1e-8,
        "the two agree"
    );
    group.throughput(Throughput::Elements(1));
    group.bench_function("plain NNLS on all columns, P16 M150 N300", |b| {
        b.iter(|| black_box(plain_nnls(&points, &t)));
    });
    group.finish();
}

criterion_group!(benches, joint);
criterion_main!(benches);
