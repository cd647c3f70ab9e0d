//! Whole data sets against the reference (`golden/b*.npz`): tightly with its own centre subspace and Gaussian vectors,
//! loosely with ours.

use std::path::PathBuf;

use mftma::{
    Analysis, ArrayActivations, Conventions, Geometry, ManifoldGeometry, RankRule, Vectors,
};
use ndarray::{Array2, ShapeBuilder};

struct Golden {
    points: Array2<f64>,
    sizes: Vec<usize>,
    vectors: Vec<Array2<f64>>,
    directions: Array2<f64>,
    kappa: f64,
    /// (seeds, P).
    capacity: Array2<f64>,
    radius: Array2<f64>,
    dimension: Array2<f64>,
    correlation: f64,
    ranks: Vec<i64>,
}

fn golden_dir() -> Option<PathBuf> {
    let shared = std::env::var_os("MFTMA_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let dir = shared.join("golden");
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!(
        "SKIPPED: no golden values at {} (set MFTMA_SHARED to their parent)",
        dir.display()
    );
    None
}

fn array(
    npz: &mut npyz::npz::NpzArchive<std::io::BufReader<std::fs::File>>,
    name: &str,
) -> Array2<f64> {
    let file = npz
        .by_name(name)
        .unwrap()
        .unwrap_or_else(|| panic!("no array {name}"));
    let shape: Vec<usize> = file.shape().iter().map(|&n| n as usize).collect();
    let (rows, columns) = match shape[..] {
        [] => (1, 1),
        [n] => (1, n),
        [rows, columns] => (rows, columns),
        _ => panic!("{name} has shape {shape:?}"),
    };
    let fortran = file.order() == npyz::Order::Fortran;
    let values = file.into_vec::<f64>().unwrap();
    if fortran {
        Array2::from_shape_vec((rows, columns).f(), values).unwrap()
    } else {
        Array2::from_shape_vec((rows, columns), values).unwrap()
    }
}

fn load(name: &str) -> Option<Golden> {
    let path = golden_dir()?.join(name);
    let mut npz = npyz::npz::NpzArchive::open(&path).unwrap();
    let capacity = array(&mut npz, "a_M");
    let p = capacity.ncols();
    let manifolds: Vec<Array2<f64>> = (0..p)
        .map(|i| array(&mut npz, &format!("X_{i:03}")))
        .collect();
    let vectors = (0..p)
        .map(|i| array(&mut npz, &format!("t_{i:03}")))
        .collect();
    let sizes: Vec<usize> = manifolds.iter().map(Array2::ncols).collect();
    let views: Vec<_> = manifolds.iter().map(|m| m.t()).collect();
    Some(Golden {
        points: ndarray::concatenate(ndarray::Axis(0), &views).unwrap(),
        sizes,
        vectors,
        directions: array(&mut npz, "V11_seed0"),
        kappa: array(&mut npz, "kappa")[(0, 0)],
        radius: array(&mut npz, "R_M"),
        dimension: array(&mut npz, "D_M"),
        correlation: array(&mut npz, "res_coeff0")[(0, 0)],
        ranks: npz
            .by_name("KK")
            .unwrap()
            .unwrap()
            .into_vec::<i64>()
            .unwrap(),
        capacity,
    })
}

fn analyse(golden: &Golden, conventions: Conventions) -> Geometry {
    let source = ArrayActivations::new(golden.points.view(), &golden.sizes).unwrap();
    Analysis::builder()
        .margin(golden.kappa)
        .sampling(Vectors::Given(golden.vectors.clone()))
        .conventions(conventions)
        .build()
        .unwrap()
        .run(&source)
        .unwrap()
}

/// Largest relative difference of any manifold's measure from `expected`.
fn worst(
    geometry: &Geometry,
    of: fn(&ManifoldGeometry) -> f64,
    expected: ndarray::ArrayView1<f64>,
) -> f64 {
    geometry
        .manifolds
        .iter()
        .zip(expected)
        .map(|(m, e)| (of(m) / e - 1.0).abs())
        .fold(0.0, f64::max)
}

/// Relative difference of the mean over manifolds from the mean of the reference's rows, averaged over its seeds.
fn mean_shift(geometry: &Geometry, of: fn(&ManifoldGeometry) -> f64, rows: &Array2<f64>) -> f64 {
    let ours = geometry.manifolds.iter().map(of).sum::<f64>() / geometry.manifolds.len() as f64;
    (ours / rows.mean().unwrap() - 1.0).abs()
}

fn check_tight(name: &str) {
    let Some(golden) = load(name) else { return };
    let conventions = Conventions {
        rank_rule: RankRule::Given {
            directions: golden.directions.clone(),
        },
        ..Conventions::reference()
    };
    let geometry = analyse(&golden, conventions);
    assert!((geometry.centre_correlation - golden.correlation).abs() < 1e-10);
    let errors = [
        worst(&geometry, |m| m.capacity.value, golden.capacity.row(0)),
        worst(&geometry, |m| m.radius.value, golden.radius.row(0)),
        worst(&geometry, |m| m.dimension.value, golden.dimension.row(0)),
    ];
    eprintln!("{name}: worst relative errors of α, R, D: {errors:?}");
    assert!(errors.iter().all(|&e| e < 1e-8), "{name}: {errors:?}");
}

/// `means`: the reference's spread of the means over its seeds; `singles`: of single manifolds. `None` skips the
/// comparison of the measures, where the reference's own K is a coin toss.
fn check_loose(name: &str, rank_rule: RankRule, means: [f64; 3], singles: [f64; 3]) {
    let Some(golden) = load(name) else { return };
    let geometry = analyse(
        &golden,
        Conventions {
            rank_rule,
            ..Conventions::reference()
        },
    );
    assert!(
        golden.ranks.contains(&(geometry.rank as i64)),
        "{name}: K = {}",
        geometry.rank
    );
    let shifts = [
        mean_shift(&geometry, |m| m.capacity.value, &golden.capacity),
        mean_shift(&geometry, |m| m.radius.value, &golden.radius),
        mean_shift(&geometry, |m| m.dimension.value, &golden.dimension),
    ];
    let nearest = |of: fn(&ManifoldGeometry) -> f64, rows: &Array2<f64>| {
        rows.rows()
            .into_iter()
            .map(|row| worst(&geometry, of, row))
            .fold(f64::INFINITY, f64::min)
    };
    let worst = [
        nearest(|m| m.capacity.value, &golden.capacity),
        nearest(|m| m.radius.value, &golden.radius),
        nearest(|m| m.dimension.value, &golden.dimension),
    ];
    eprintln!(
        "{name} (K = {}): means {shifts:?}, worst manifold {worst:?}",
        geometry.rank
    );
    assert!(
        shifts.iter().zip(means).all(|(&s, m)| s <= m),
        "{name}: means {shifts:?}"
    );
    assert!(
        worst.iter().zip(singles).all(|(&s, m)| s <= m),
        "{name}: manifolds {worst:?}"
    );
}

#[test]
fn b1_with_the_references_subspace() {
    check_tight("b1_P10_N50_rank2.npz");
}

#[test]
fn b2_with_the_references_subspace() {
    check_tight("b2_P20_N100_rank2.npz");
}

#[test]
fn b3_with_the_references_subspace() {
    check_tight("b3_P30_N200_rank5.npz");
}

#[test]
fn b5_with_the_references_subspace() {
    check_tight("b5_P20_N500_rank2_decay.npz");
}

#[test]
fn b7_with_the_references_subspace() {
    check_tight("b7_P40_N80_uncorr.npz");
}
