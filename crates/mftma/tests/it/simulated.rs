//! Simulated capacity against Cover's theorem and against α_M of the same manifolds.

use mftma::{
    ArrayActivations, Dichotomy, ManifoldProblem, Sampling, Simulation, simulate_capacity,
};
use ndarray::{Array2, Axis, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn normal(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_fn((rows, columns), |_| StandardNormal.sample(&mut rng))
}

/// Rows of one array as manifolds of so many points each.
fn manifold_rows<'a>(all: &'a Array2<f64>, counts: &[usize]) -> ArrayActivations<'a, f64> {
    ArrayActivations::new(all.view(), counts).expect("rows for all points")
}

/// P manifolds of M points each, rows of one array: a centre of random direction at unit distance, points around it.
/// Many features, so that axes and centres hardly overlap: the theory takes them as independent.
fn manifolds(p: usize, m: usize, n: usize, around: impl Fn(u64) -> Array2<f64>) -> Array2<f64> {
    let mut centres = normal(p, n, 1);
    for mut centre in centres.rows_mut() {
        let length = centre.dot(&centre).sqrt();
        centre.mapv_inplace(|v| v / length);
    }
    let mut all = Array2::zeros((p * m, n));
    for i in 0..p {
        let shape = around(i as u64 + 10); // (D, M)
        let axes = normal(shape.nrows(), n, 1000 + i as u64) / (n as f64).sqrt();
        let points = shape.t().dot(&axes);
        let mut rows = all.slice_mut(s![i * m..(i + 1) * m, ..]);
        rows.assign(&(points + centres.row(i)));
    }
    all
}

/// Harmonic mean of α_M over the manifolds, each relative to its own centre at unit distance, the global mean removed.
fn mean_field(all: &Array2<f64>, p: usize, m: usize) -> f64 {
    let all = all - &all.mean_axis(Axis(0)).expect("points");
    let mut inverse = 0.0;
    for i in 0..p {
        let points = all.slice(s![i * m..(i + 1) * m, ..]);
        let centre = points.mean_axis(Axis(0)).expect("points");
        let unit = centre.dot(&centre).sqrt();
        let s = (&points - &centre) / unit;
        let problem = ManifoldProblem::from_gram(s.dot(&s.t()).view(), m.min(all.ncols()))
            .expect("usable points");
        inverse += problem
            .measure(&Sampling::default().stream(i as u64))
            .expect("measures")
            .capacity
            .value
            .recip();
    }
    p as f64 / inverse
}

fn agrees(all: &Array2<f64>, p: usize, m: usize) {
    let settings = Simulation::default().repetitions(80);
    let found =
        simulate_capacity(&manifold_rows(all, &vec![m; p]), &settings).expect("usable points");
    let alpha = mean_field(all, p, m);
    let (low, high) = found.interval;
    assert!(
        low < alpha && alpha < high,
        "α_M {alpha} outside {low}..{high}, simulated {:?}",
        found.capacity
    );
    assert!(
        high / low < 1.35,
        "the interval says something: {low}..{high}"
    );
}

/// Points in general position: capacity 2 (Cover 1965, DOI 10.1109/PGEC.1965.264137).
#[test]
fn points() {
    let all = normal(24, 60, 3);
    let found = simulate_capacity(
        &manifold_rows(&all, &[1; 24]),
        &Simulation::default().repetitions(400),
    )
    .expect("usable points");
    let (low, high) = found.interval;
    assert!(low < 2.0 && 2.0 < high && high / low < 1.2, "{low}..{high}");
    // Cover's count gives the whole distribution: C(P, n)/2^P of the dichotomies are separable at n.
    let p = 24u64;
    let choose = |n: u64, k: u64| (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
    for n in [9, 12, 15] {
        let expected = 2.0 * (0..n).map(|k| choose(p - 1, k)).sum::<f64>() / 2f64.powi(p as i32);
        let share = found
            .thresholds
            .iter()
            .filter(|t| t.is_some_and(|t| t as u64 <= n))
            .count() as f64
            / 400.0;
        let error = (expected * (1.0 - expected) / 400.0).sqrt();
        assert!(
            (share - expected).abs() < 4.0 * error,
            "n {n}: {share} and {expected}"
        );
    }
}

#[test]
fn balls() {
    let all = manifolds(48, 10, 1_000, |seed| {
        let mut points = normal(2, 10, seed);
        for mut column in points.columns_mut() {
            let norm = column.dot(&column).sqrt();
            column.mapv_inplace(|v| v * 0.6 / norm);
        }
        points
    });
    agrees(&all, 48, 10);
}

#[test]
fn gaussian_clouds() {
    let all = manifolds(48, 8, 1_000, |seed| normal(6, 8, seed) * 0.3);
    agrees(&all, 48, 8);
}

#[test]
fn sparse_labels_and_a_bias() {
    let all = manifolds(20, 5, 100, |seed| normal(3, 5, seed) * 0.3);
    let capacity = |dichotomy, bias| {
        let settings = Simulation::default()
            .repetitions(60)
            .dichotomy(dichotomy)
            .bias(bias);
        let found =
            simulate_capacity(&manifold_rows(&all, &[5; 20]), &settings).expect("usable points");
        found.capacity.expect("separable")
    };
    // One against the rest is easier than a fair dichotomy once the hyperplane may miss the origin.
    let sparse = capacity(Dichotomy::Sparse { positive: 1 }, true);
    let uniform = capacity(Dichotomy::Uniform, true);
    assert!(sparse > 1.3 * uniform, "{sparse} and {uniform}");
    assert!(uniform >= capacity(Dichotomy::Uniform, false) * 0.98);
}

/// Manifolds that share a point cannot be told apart: no capacity rather than a wrong one.
#[test]
fn inseparable_manifolds() {
    let mut all = normal(8, 20, 4);
    let first = all.row(0).to_owned();
    for i in 0..4 {
        all.row_mut(2 * i).assign(&first);
    }
    let found = simulate_capacity(&manifold_rows(&all, &[2; 4]), &Simulation::default())
        .expect("usable points");
    assert_eq!(found.capacity, None);
    assert_eq!(found.interval.0, 0.0);
}

#[test]
fn the_same_from_any_number_of_threads_and_features() {
    let all = manifolds(10, 4, 30, |seed| normal(3, 4, seed) * 0.3);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("a pool");
        pool.install(|| {
            simulate_capacity(&manifold_rows(&all, &[4; 10]), &Simulation::default())
                .expect("usable points")
        })
    };
    assert_eq!(with(1), with(2));
}

#[test]
fn errors_name_what_is_wrong() {
    let all = normal(6, 4, 5);
    let run = |counts: &[usize], settings: &Simulation| {
        simulate_capacity(&manifold_rows(&all, counts), settings)
            .expect_err("an error")
            .to_string()
    };
    assert!(run(&[6], &Simulation::default()).contains("at least 2"));
    assert!(run(&[6, 0], &Simulation::default()).contains("manifold 1 has no point"));
    let mut bad = all.clone();
    bad[[4, 2]] = f64::INFINITY;
    let error = simulate_capacity(&manifold_rows(&bad, &[3, 3]), &Simulation::default())
        .expect_err("not finite");
    assert!(
        error.to_string().contains("manifold 1, point 1, feature 2"),
        "{error}"
    );
    assert!(run(&[3, 3], &Simulation::default().repetitions(0)).contains("repetitions"));
    let sparse = Simulation::default().dichotomy(Dichotomy::Sparse { positive: 2 });
    assert!(run(&[3, 3], &sparse).contains("`positive` is 2"));
}
