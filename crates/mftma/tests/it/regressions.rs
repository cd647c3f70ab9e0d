//! Inputs that break this kind of solver, or once broke this one or the reference.

use mftma::{ManifoldMeasures, ManifoldProblem, ProblemError, Sampling, SolverStatus};
use ndarray::{Array2, array};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn normal(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_fn((rows, columns), |_| StandardNormal.sample(&mut rng))
}

fn sphere(d: usize, m: usize, radius: f64, seed: u64) -> Array2<f64> {
    let mut points = normal(d, m, seed);
    for mut column in points.columns_mut() {
        let norm = column.dot(&column).sqrt();
        column.mapv_inplace(|v| v * radius / norm);
    }
    points
}

fn finite(m: &ManifoldMeasures) {
    for (what, e) in [
        ("capacity", m.capacity),
        ("radius", m.radius),
        ("dimension", m.dimension.cosine),
        ("dimension handed in", m.dimension.cosine_handed_in),
        ("dimension, mean square", m.dimension.mean_square),
    ] {
        assert!(
            e.value.is_finite() && e.value >= 0.0,
            "{what} is {}",
            e.value
        );
        assert!(
            e.standard_error.is_some_and(|e| e.is_finite() && e >= 0.0),
            "{what}: {:?}",
            e.standard_error
        );
    }
    assert_eq!(m.statuses.iteration_limit, 0);
    assert!(
        m.worst_kkt_residual < 1e-11,
        "KKT residual {:e}",
        m.worst_kkt_residual
    );
}

fn measure(points: &Array2<f64>, vectors: usize, margin: f64) -> ManifoldMeasures {
    let problem = ManifoldProblem::from_points(points.t()).expect("usable points");
    let found = problem
        .measure(&Sampling::default().vectors(vectors).margin(margin))
        .expect("measures");
    finite(&found);
    found
}

/// The reference's solver crashes where the optimum is the apex of the cone.
#[test]
fn apex_of_the_cone() {
    for (radius, margin) in [(1.0, 0.0), (5.0, 0.0), (5.0, 1.0), (100.0, 0.0)] {
        let found = measure(&sphere(5, 200, radius, 1), 500, margin);
        assert!(
            found.statuses.degenerate > 0,
            "the apex is degenerate: {:?}",
            found.statuses
        );
    }
}

#[test]
fn one_point() {
    let found = measure(&Array2::zeros((3, 1)), 2_000, 0.0);
    assert_eq!(
        (found.rank, found.radius.value, found.dimension.cosine.value),
        (0, 0.0, 0.0)
    );
    assert!(
        (found.capacity.value - 2.0).abs() < 1e-9,
        "the control variate makes it exact: {:?}",
        found.capacity
    );
    // A point away from its centre, as nobody should hand in, is still no reason for a NaN.
    measure(&array![[0.5], [0.0]], 500, 0.0);
}

#[test]
fn coincident_points() {
    for m in [2, 7, 500] {
        let found = measure(&Array2::zeros((5, m)), 1_000, 0.0);
        assert_eq!(
            (found.rank, found.radius.value, found.dimension.cosine.value),
            (0, 0.0, 0.0)
        );
        assert_eq!(
            found.statuses.solved, 0,
            "multipliers of coincident points are not unique"
        );
    }
    let found = measure(&Array2::from_elem((5, 7), 0.3), 1_000, 0.0);
    assert_eq!(found.rank, 1);
    assert!(found.radius.value < 1e-12);
}

#[test]
fn collinear_and_nearly_collinear_points() {
    for off_axis in [0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-3] {
        let mut points = normal(5, 20, 3) * off_axis;
        for j in 0..20 {
            points[[0, j]] = j as f64 / 10.0 - 0.95;
        }
        let line = measure(&points, 600, 0.0);
        let from_gram = ManifoldProblem::from_gram(points.t().dot(&points).view(), 5)
            .expect("usable Gram matrix");
        finite(
            &from_gram
                .measure(&Sampling::default().vectors(600))
                .expect("measures"),
        );
        assert!((line.radius.value - 0.85).abs() < 0.1, "{:?}", line.radius);
    }
}

/// More points than an M × M matrix of them would fit (3.2 GB): constraints are generated.
#[test]
fn twenty_thousand_points() {
    let found = measure(&sphere(20, 20_000, 1.0, 4), 24, 0.0);
    assert_eq!(
        found.statuses.solved + found.statuses.degenerate + found.statuses.interior,
        24
    );
    assert!(
        found.capacity.value > 2.0 / 21.0 && found.capacity.value < 0.2,
        "{:?}",
        found.capacity
    );
}

#[test]
fn every_scale() {
    for exponent in [-300, -150, -20, -8, -3, 0, 2, 4] {
        let points = normal(4, 12, 5) * 10f64.powi(exponent);
        measure(&points, 200, 0.0);
        measure(&points, 200, -2.0);
    }
}

/// From about 1e5 distances of the centre on, the centre's coordinate is lost little by little in inner products of double precision.
/// No value is a NaN then, and the residual is reported.
#[test]
fn points_out_of_all_proportion() {
    for exponent in [8, 20, 60] {
        let points = normal(4, 12, 5) * 10f64.powi(exponent);
        let problem = ManifoldProblem::from_points(points.t()).expect("usable points");
        let found = problem
            .measure(&Sampling::default().vectors(200))
            .expect("measures");
        assert!(
            !found.capacity.value.is_nan()
                && !found.radius.value.is_nan()
                && found.worst_kkt_residual.is_finite()
        );
        assert!(
            !found.dimension.cosine.value.is_nan() && !found.dimension.mean_square.value.is_nan()
        );
    }
}

#[test]
fn extreme_margins() {
    let points = normal(4, 12, 5);
    measure(&points, 200, 50.0);
    // Nothing ever binds: capacity is unbounded and has no standard error.
    let problem = ManifoldProblem::from_points((&points * 0.1).t()).expect("usable points");
    let found = problem
        .measure(&Sampling::default().vectors(200).margin(-50.0))
        .expect("measures");
    assert_eq!(found.statuses.interior, 200);
    assert!(found.capacity.value > 1e12 && !found.capacity.value.is_nan());
    assert!(found.radius.value.is_finite() && found.dimension.cosine.value.is_finite());
}

#[test]
fn integer_grid_has_many_ties() {
    let points = Array2::from_shape_fn((3, 125), |(d, j)| {
        ((j / 5usize.pow(d as u32)) % 5) as f64 - 2.0
    });
    let problem = ManifoldProblem::from_points(points.t()).expect("usable points");
    let vectors = Array2::from_shape_fn((4, 256), |(d, v)| {
        ((v / 4usize.pow(d as u32)) % 4) as f64 - 1.5
    });
    let found = problem.anchors(0.0, vectors.t()).expect("usable vectors");
    assert!(
        found
            .statuses
            .iter()
            .all(|&s| s != SolverStatus::IterationLimit)
    );
    assert!(found.kkt_residuals.iter().all(|&r| r < 1e-11));
}

#[test]
fn one_vector_has_no_standard_error() {
    let problem = ManifoldProblem::from_points(normal(3, 5, 1).t()).expect("usable points");
    let found = problem
        .measure(&Sampling::default().vectors(1))
        .expect("measures");
    assert_eq!(found.vectors, 1);
    assert_eq!(found.radius.standard_error, None);
}

#[test]
fn errors_name_what_is_wrong() {
    let mut points = normal(3, 5, 1);
    points[[1, 2]] = f64::NAN;
    let error = ManifoldProblem::from_points(points.t()).expect_err("a NaN");
    assert!(
        matches!(
            error,
            ProblemError::NotFinite {
                row: 2,
                column: 1,
                ..
            }
        ),
        "{error}"
    );
    let error = ManifoldProblem::from_points(Array2::zeros((3, 0)).t()).expect_err("no points");
    assert_eq!(error, ProblemError::NoPoints);
    let error =
        ManifoldProblem::from_gram(Array2::zeros((2, 3)).view(), 3).expect_err("not square");
    assert_eq!(
        error,
        ProblemError::NotSquare {
            rows: 2,
            columns: 3
        }
    );
    let error =
        ManifoldProblem::from_points((normal(3, 5, 1) * 1e200).t()).expect_err("squares overflow");
    assert!(matches!(error, ProblemError::TooLarge { .. }), "{error}");
    let problem = ManifoldProblem::from_points(normal(3, 5, 1).t()).expect("usable points");
    assert_eq!(
        problem.measure(&Sampling::default().vectors(0)),
        Err(ProblemError::NoVectors)
    );
    for sampling in [
        Sampling::default().margin(f64::NAN),
        Sampling::default().margin(1e200),
        Sampling::default().relative_error(Some(0.0)),
    ] {
        let error = problem.measure(&sampling).expect_err("out of range");
        assert!(matches!(error, ProblemError::Setting { .. }), "{error}");
    }
    let error = problem
        .measure_supplied(0.0, Array2::zeros((4, 3)).view())
        .expect_err("a column is missing");
    assert_eq!(
        error,
        ProblemError::VectorShape {
            expected: 4,
            found: 3
        }
    );
}
