//! One manifold against the exact solutions of the golden set (`a_*.npz`), and the closed forms that they hold.

use std::path::{Path, PathBuf};

use crate::common::{Archive, golden_dir, kept_golden_dir};
use mftma::{ManifoldProblem, SolverStatus};
use ndarray::{Array2, s};

/// Agreement asked for, relative to max(1, |value|).
const TOLERANCE: f64 = 1e-8;

struct Case {
    name: String,
    points: Array2<f64>,
    vectors: Array2<f64>,
    margin: f64,
    alpha: f64,
    radius: f64,
    dimension: f64,
    f: Vec<f64>,
    anchors: Array2<f64>,
}

fn load(path: &Path) -> Case {
    let mut archive = Archive::open(path);
    let mut array = |name: &str| archive.doubles(name);
    let points = array("sD1");
    Case {
        name: path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned(),
        points: points.slice(s![..-1, ..]).to_owned(),
        vectors: array("t_vec"),
        margin: array("kappa")[[0, 0]],
        alpha: array("exact_a")[[0, 0]],
        radius: array("exact_R")[[0, 0]],
        dimension: array("exact_D")[[0, 0]],
        f: array("exact_F").iter().copied().collect(),
        anchors: array("exact_s_all"),
    }
}

fn cases(dir: &Path) -> Vec<Case> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
        .expect("golden folder reads")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("a_") && name.ends_with(".npz")
        })
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no cases in {}", dir.display());
    paths.iter().map(|path| load(path)).collect()
}

fn close(what: &str, found: f64, expected: f64) {
    let error = (found - expected).abs() / expected.abs().max(1.0);
    assert!(
        error <= TOLERANCE,
        "{what}: {found} instead of {expected} (off by {error:e})"
    );
}

fn check_measures_agree_with_the_exact_solution(dir: &Path) {
    for case in cases(dir) {
        let problem = ManifoldProblem::from_points(case.points.t()).expect("usable points");
        let found = problem
            .measure_supplied(case.margin, case.vectors.t())
            .expect("usable vectors");
        let name = &case.name;
        close(
            &format!("{name}: capacity"),
            found.capacity.value,
            case.alpha,
        );
        close(&format!("{name}: radius"), found.radius.value, case.radius);
        close(
            &format!("{name}: dimension"),
            found.dimension.cosine_handed_in.value,
            case.dimension,
        );
        assert!(
            found.worst_kkt_residual < 1e-12,
            "{name}: KKT residual {:e}",
            found.worst_kkt_residual
        );
        assert_eq!(found.statuses.iteration_limit, 0, "{name}");
    }
}

fn check_every_vector_agrees_with_the_exact_solution(dir: &Path) {
    for case in cases(dir) {
        let problem = ManifoldProblem::from_points(case.points.t()).expect("usable points");
        let found = problem
            .anchors(case.margin, case.vectors.t())
            .expect("usable vectors");
        let name = &case.name;
        for (v, &expected) in case.f.iter().enumerate() {
            close(&format!("{name}: F of vector {v}"), found.f[v], expected);
            assert_eq!(
                found.statuses[v] == SolverStatus::Interior,
                expected == 0.0,
                "{name}: vector {v}"
            );
            for row in 0..case.anchors.nrows() {
                let what = format!("{name}: anchor of vector {v}, coordinate {row}");
                close(&what, found.anchors[[v, row]], case.anchors[[row, v]]);
            }
        }
    }
}

/// The same answers from inner products alone, where drawing them from coordinates loses nothing.
fn check_a_gram_matrix_gives_the_same_manifold(dir: &Path) {
    for case in cases(dir) {
        let from_points = ManifoldProblem::from_points(case.points.t()).expect("usable points");
        let gram = case.points.t().dot(&case.points);
        let from_gram = ManifoldProblem::from_gram(gram.view(), case.points.nrows())
            .expect("usable Gram matrix");
        let exact = case.name.contains("nearcollinear");
        assert!(
            exact || from_gram.rank() == from_points.rank(),
            "{}: ranks differ",
            case.name
        );
        let sampling = mftma::Sampling::default()
            .vectors(20_000)
            .margin(case.margin);
        if case.points.ncols() > 60 {
            continue; // time
        }
        let (a, b) = (
            from_points.measure(&sampling).expect("measures"),
            from_gram.measure(&sampling).expect("measures"),
        );
        for (what, x, y) in [
            ("capacity", a.capacity, b.capacity),
            ("radius", a.radius, b.radius),
            (
                "dimension",
                a.dimension.mean_square,
                b.dimension.mean_square,
            ),
        ] {
            let error = x
                .standard_error
                .unwrap_or(0.0)
                .hypot(y.standard_error.unwrap_or(0.0))
                .max(1e-9);
            assert!(
                (x.value - y.value).abs() < 5.0 * error,
                "{}: {what} {x:?} {y:?}",
                case.name
            );
        }
    }
}

#[test]
fn measures_agree_with_the_exact_solution() {
    check_measures_agree_with_the_exact_solution(&kept_golden_dir());
}

#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn measures_agree_with_the_exact_solution_on_the_whole_set() {
    check_measures_agree_with_the_exact_solution(&golden_dir());
}

#[test]
fn every_vector_agrees_with_the_exact_solution() {
    check_every_vector_agrees_with_the_exact_solution(&kept_golden_dir());
}

#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn every_vector_agrees_with_the_exact_solution_on_the_whole_set() {
    check_every_vector_agrees_with_the_exact_solution(&golden_dir());
}

#[test]
fn a_gram_matrix_gives_the_same_manifold() {
    check_a_gram_matrix_gives_the_same_manifold(&kept_golden_dir());
}

#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn a_gram_matrix_gives_the_same_manifold_on_the_whole_set() {
    check_a_gram_matrix_gives_the_same_manifold(&golden_dir());
}
