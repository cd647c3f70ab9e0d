//! Closed forms of `golden/README.md`: integrals over T by quadrature, so that nothing is left to chance.

use crate::common::{Archive, kept_golden_dir};
use mftma::ManifoldProblem;
use ndarray::{Array2, array};

const STEPS: usize = 400;
const REACH: f64 = 8.0;

fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// Φ by Simpson's rule.
fn cumulative(x: f64) -> f64 {
    let n = 2000;
    let h = (x + 12.0) / n as f64;
    let weight = |i: usize| {
        if i == 0 || i == n {
            1.0
        } else {
            2.0 + 2.0 * (i % 2) as f64
        }
    };
    (0..=n)
        .map(|i| weight(i) * density(-12.0 + i as f64 * h))
        .sum::<f64>()
        * h
        / 3.0
}

/// 1/α of a point.
fn point(margin: f64) -> f64 {
    (1.0 + margin * margin) * cumulative(margin) + margin * density(margin)
}

/// α and R_M of the manifold with these points, integrating over t₀ and over one radial coordinate with density `radial`
/// on the first axis; ⟨s⟩ must vanish by symmetry.
fn integrate(
    points: &Array2<f64>,
    margin: f64,
    from: f64,
    radial: impl Fn(f64) -> f64,
) -> (f64, f64) {
    let d = points.nrows();
    let problem = ManifoldProblem::from_points(points.t()).expect("usable points");
    let step = (REACH - from) / STEPS as f64;
    let step0 = 2.0 * REACH / STEPS as f64;
    let at = |i: usize| from + (i as f64 + 0.5) * step;
    let at0 = |i: usize| -REACH + (i as f64 + 0.5) * step0;
    let mut vectors = Array2::zeros((d + 1, STEPS * STEPS));
    for (v, mut t) in vectors.columns_mut().into_iter().enumerate() {
        t[0] = at(v / STEPS);
        t[d] = at0(v % STEPS);
    }
    let found = problem
        .anchors(margin, vectors.t())
        .expect("usable vectors");
    let (mut inverse, mut squared) = (0.0, 0.0);
    for v in 0..STEPS * STEPS {
        let weight = radial(at(v / STEPS)) * density(at0(v % STEPS)) * step * step0;
        inverse += weight * found.f[v];
        squared += weight * (0..d).map(|r| found.anchors[[v, r]].powi(2)).sum::<f64>();
    }
    (1.0 / inverse, squared.sqrt())
}

fn segment(half_length: f64) -> Array2<f64> {
    array![[half_length, -half_length]]
}

/// A polygon of so many corners that it is a disk to a few parts in 1e5.
fn disk(radius: f64) -> Array2<f64> {
    let corners = 720;
    Array2::from_shape_fn((2, corners), |(row, j)| {
        let angle = 2.0 * std::f64::consts::PI * j as f64 / corners as f64;
        radius * if row == 0 { angle.cos() } else { angle.sin() }
    })
}

/// Density of the length of a two-dimensional Gaussian vector.
fn rayleigh(t: f64) -> f64 {
    t * (-0.5 * t * t).exp()
}

fn table(name: &str) -> Array2<f64> {
    Archive::open(&kept_golden_dir().join("closed_forms.npz")).doubles(name)
}

#[test]
fn a_point() {
    let rows = table("point");
    let problem = ManifoldProblem::from_points(Array2::zeros((1, 1)).t()).expect("usable point");
    let n = 4000;
    let step = 2.0 * 12.0 / n as f64;
    let mut vectors = Array2::zeros((2, n));
    for (v, mut t) in vectors.columns_mut().into_iter().enumerate() {
        t[1] = -12.0 + (v as f64 + 0.5) * step;
    }
    for row in rows.rows() {
        let found = problem
            .anchors(row[0], vectors.t())
            .expect("usable vectors");
        let inverse: f64 = found
            .f
            .iter()
            .zip(vectors.row(1))
            .map(|(f, t)| f * density(*t) * step)
            .sum();
        assert!(
            (1.0 / inverse / row[1] - 1.0).abs() < 1e-4,
            "κ {}: {} and {}",
            row[0],
            1.0 / inverse,
            row[1]
        );
        assert!(
            (1.0 / point(row[0]) / row[1] - 1.0).abs() < 1e-9,
            "the formula itself at κ {}",
            row[0]
        );
    }
}

/// Every ball of the golden table: all margins, radii and dimensions.
#[test]
fn balls() {
    let rows = table("ball");
    for row in rows.rows() {
        let (margin, radius, dimension, alpha) = (row[0], row[1], row[2], row[3]);
        let found = mftma::ball_capacity(radius, dimension, margin).expect("a ball");
        assert!(
            (found / alpha - 1.0).abs() < 1e-7,
            "κ {margin} R {radius} D {dimension}: {found} and {alpha}"
        );
    }
    assert!(rows.nrows() >= 20, "only {} rows", rows.nrows());
}

/// A segment is a ball in one dimension, and so exact.
#[test]
fn segments() {
    let rows = table("ball");
    let mut checked = 0;
    for row in rows
        .rows()
        .into_iter()
        .filter(|row| row[2] == 1.0 && row[0] <= 1.0)
    {
        // Half of the Gaussian line by symmetry.
        let (alpha, radius) = integrate(&segment(row[1]), row[0], 0.0, |t| 2.0 * density(t));
        let case = format!("κ {} R {}", row[0], row[1]);
        assert!(
            (alpha / row[3] - 1.0).abs() < 2e-3,
            "{case}: α {alpha} and {}",
            row[3]
        );
        assert!(
            (radius / row[4] - 1.0).abs() < 2e-3,
            "{case}: R_M {radius} and {}",
            row[4]
        );
        checked += 1;
    }
    assert!(checked >= 20, "only {checked} rows");
}

#[test]
fn disks() {
    let rows = table("ball");
    let mut checked = 0;
    for row in rows
        .rows()
        .into_iter()
        .filter(|row| row[2] == 2.0 && row[0] == 0.5 && row[1] >= 0.2 && row[1] <= 5.0)
    {
        let (alpha, radius) = integrate(&disk(row[1]), row[0], 0.0, rayleigh);
        let case = format!("κ {} R {}", row[0], row[1]);
        assert!(
            (alpha / row[3] - 1.0).abs() < 2e-3,
            "{case}: α {alpha} and {}",
            row[3]
        );
        assert!(
            (radius / row[4] - 1.0).abs() < 2e-3,
            "{case}: R_M {radius} and {}",
            row[4]
        );
        checked += 1;
    }
    assert!(checked >= 4, "only {checked} rows");
}

/// R = 1, κ = 0: α = 2/(D + 1). R → 0: α → 2. R → ∞: α → 1/(D + ½).
#[test]
fn limits_of_the_ball() {
    let (alpha, _) = integrate(&segment(1.0), 0.0, 0.0, |t| 2.0 * density(t));
    assert!((alpha - 1.0).abs() < 1e-3, "{alpha}");
    let (alpha, _) = integrate(&disk(1.0), 0.0, 0.0, rayleigh);
    assert!((alpha - 2.0 / 3.0).abs() < 1e-3, "{alpha}");
    let (alpha, _) = integrate(&segment(1e-6), 0.0, 0.0, |t| 2.0 * density(t));
    assert!((alpha - 2.0).abs() < 2e-3, "{alpha}");
    let (alpha, _) = integrate(&segment(1e4), 0.0, 0.0, |t| 2.0 * density(t));
    assert!((alpha - 1.0 / 1.5).abs() < 2e-3, "{alpha}");
}

/// No sampled sphere does better than its ball, and per vector F of the ball is known.
#[test]
fn a_sampled_sphere_stays_below_its_ball() {
    let (d, m, radius, margin) = (5, 400, 0.7, 0.3);
    let wave = |i: usize, j: usize| ((i * 131 + j * 71 + i * j * 17) as f64 * 0.7548).sin();
    let mut points = Array2::from_shape_fn((d, m), |(i, j)| wave(i + 1, j + 1));
    for mut column in points.columns_mut() {
        let norm = column.dot(&column).sqrt();
        column.mapv_inplace(|v| v * radius / norm);
    }
    let vectors = Array2::from_shape_fn((d + 1, 500), |(i, j)| 2.0 * wave(i + 7, j + 3));
    let problem = ManifoldProblem::from_points(points.t()).expect("usable points");
    let found = problem
        .anchors(margin, vectors.t())
        .expect("usable vectors");
    for (v, t) in vectors.columns().into_iter().enumerate() {
        let tau = (0..d).map(|i| t[i] * t[i]).sum::<f64>().sqrt();
        let u = -t[d];
        let ball = if u > margin + radius * tau {
            0.0
        } else if u > margin - tau / radius {
            (radius * tau + margin - u).powi(2) / (1.0 + radius * radius)
        } else {
            tau * tau + (u - margin).powi(2)
        };
        assert!(
            found.f[v] <= ball + 1e-9,
            "vector {v}: {} above {ball}",
            found.f[v]
        );
    }
}

/// Regular simplex of circumradius √D: the rows (s, 1) are orthogonal, so each F is a plain sum.
#[test]
fn a_regular_simplex() {
    for d in [1, 2, 5, 20, 40] {
        let m = d + 1;
        // Corners of a simplex in its own d coordinates, by Helmert's matrix, at distance √D from their centre.
        let points = Array2::from_shape_fn((d, m), |(i, j)| {
            let k = (i + 1) as f64;
            let helmert = match j.cmp(&(i + 1)) {
                std::cmp::Ordering::Less => 1.0 / (k * (k + 1.0)).sqrt(),
                std::cmp::Ordering::Equal => -k / (k * (k + 1.0)).sqrt(),
                std::cmp::Ordering::Greater => 0.0,
            };
            helmert * (m as f64).sqrt()
        });
        let vectors = Array2::from_shape_fn((d + 1, 300), |(i, j)| {
            2.0 * ((i * 37 + j * 101 + i * j) as f64 * 0.618).sin()
        });
        let problem = ManifoldProblem::from_points(points.t()).expect("usable points");
        for margin in [-0.5, 0.0, 1.0] {
            let found = problem
                .anchors(margin, vectors.t())
                .expect("usable vectors");
            for (v, t) in vectors.columns().into_iter().enumerate() {
                let expected: f64 = points
                    .columns()
                    .into_iter()
                    .map(|s| {
                        (s.iter().zip(t).map(|(s, t)| s * t).sum::<f64>() + t[d] + margin)
                            .max(0.0)
                            .powi(2)
                    })
                    .sum::<f64>()
                    / m as f64;
                assert!(
                    (found.f[v] - expected).abs() < 1e-10 * expected.max(1.0),
                    "D {d} κ {margin} vector {v}"
                );
            }
        }
    }
}
