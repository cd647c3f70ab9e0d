//! Whole data sets against the reference (`golden/b*.npz`): tightly with its own centre subspace and Gaussian vectors,
//! loosely with ours.

use crate::common::{Archive, golden_dir, kept_golden_dir};
use mftma::{
    Analysis, ArrayActivations, Conventions, Geometry, ManifoldGeometry, RankRule, Simulation,
    Vectors, simulate_capacity,
};
use ndarray::{Array2, Axis, s};

/// What agreement with the reference can be asked for where everything is given.
const TIGHT: f64 = 1e-8;

struct Golden {
    points: Array2<f64>,
    sizes: Vec<usize>,
    vectors: Vec<Array2<f64>>,
    directions: Array2<f64>,
    margin: f64,
    /// (seeds, P).
    capacity: Array2<f64>,
    radius: Array2<f64>,
    dimension: Array2<f64>,
    correlation: f64,
    ranks: Vec<i64>,
}

fn load(name: &str) -> Golden {
    let kept = kept_golden_dir().join(name);
    let path = if kept.exists() {
        kept
    } else {
        golden_dir().join(name)
    };
    let mut npz = Archive::open(&path);
    let capacity = npz.doubles("a_M");
    let p = capacity.ncols();
    let manifolds: Vec<Array2<f64>> = (0..p).map(|i| npz.doubles(&format!("X_{i:03}"))).collect();
    let vectors = (0..p)
        .map(|i| npz.doubles(&format!("t_{i:03}")).reversed_axes())
        .collect();
    let sizes: Vec<usize> = manifolds.iter().map(Array2::ncols).collect();
    let views: Vec<_> = manifolds.iter().map(|m| m.t()).collect();
    Golden {
        points: ndarray::concatenate(ndarray::Axis(0), &views).unwrap(),
        sizes,
        vectors,
        directions: npz.doubles("V11_seed0"),
        margin: npz.doubles("kappa")[(0, 0)],
        radius: npz.doubles("R_M"),
        dimension: npz.doubles("D_M"),
        correlation: npz.doubles("res_coeff0")[(0, 0)],
        ranks: npz.integers("KK"),
        capacity,
    }
}

fn analyse(golden: &Golden, conventions: Conventions) -> Geometry {
    let source = ArrayActivations::new(golden.points.view(), &golden.sizes).unwrap();
    Analysis::builder()
        .margin(golden.margin)
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

fn check_tight(name: &str) {
    let golden = load(name);
    let conventions = Conventions::reference().rank_rule(RankRule::Given {
        directions: golden.directions.clone(),
    });
    let geometry = analyse(&golden, conventions);
    assert!((geometry.centre_correlation - golden.correlation).abs() < 1e-10);
    let errors = [
        worst(&geometry, |m| m.capacity.value, golden.capacity.row(0)),
        worst(&geometry, |m| m.radius.value, golden.radius.row(0)),
        worst(&geometry, |m| m.dimension.value, golden.dimension.row(0)),
    ];
    eprintln!("{name}: worst relative errors of α, R, D: {errors:?}");
    assert!(errors.iter().all(|&e| e < TIGHT), "{name}: {errors:?}");
}

/// α (harmonic), R and D (arithmetic) over manifolds.
fn means(of: impl Fn(usize) -> [f64; 3], manifolds: usize) -> [f64; 3] {
    let n = manifolds as f64;
    let sum = |f: &dyn Fn([f64; 3]) -> f64| (0..manifolds).map(|i| f(of(i))).sum::<f64>();
    [
        n / sum(&|m| 1.0 / m[0]),
        sum(&|m| m[1]) / n,
        sum(&|m| m[2]) / n,
    ]
}

/// The reference's spread over its own seeds, relative, of α, R and D: of their means, and of the worst single manifold.
struct Spread {
    means: [f64; 3],
    singles: [f64; 3],
}

/// Our subspace, by `rank_rule`, within the spread: means from the mean of the reference's, single manifolds from the
/// nearest of its seeds.
fn check_loose(name: &str, rank_rule: RankRule, restarts: usize, spread: &Spread) {
    let golden = load(name);
    let source = ArrayActivations::new(golden.points.view(), &golden.sizes).unwrap();
    let conventions = Conventions::reference().rank_rule(rank_rule.clone());
    let geometry = Analysis::builder()
        .margin(golden.margin)
        .sampling(Vectors::Given(golden.vectors.clone()))
        .conventions(conventions)
        .restarts(restarts)
        .build()
        .unwrap()
        .run(&source)
        .unwrap();
    let m = &geometry.manifolds;
    let ours = means(
        |i| [m[i].capacity.value, m[i].radius.value, m[i].dimension.value],
        m.len(),
    );
    let seeds: Vec<[f64; 3]> = (0..golden.capacity.nrows())
        .map(|s| {
            let row = |i| {
                [
                    golden.capacity[(s, i)],
                    golden.radius[(s, i)],
                    golden.dimension[(s, i)],
                ]
            };
            means(row, m.len())
        })
        .collect();
    let shifts: [f64; 3] = std::array::from_fn(|f| {
        let theirs = seeds.iter().map(|s| s[f]).sum::<f64>() / seeds.len() as f64;
        (ours[f] / theirs - 1.0).abs()
    });
    let nearest = |of: fn(&ManifoldGeometry) -> f64, rows: &Array2<f64>| {
        rows.outer_iter()
            .map(|row| worst(&geometry, of, row))
            .fold(f64::INFINITY, f64::min)
    };
    let singles = [
        nearest(|m| m.capacity.value, &golden.capacity),
        nearest(|m| m.radius.value, &golden.radius),
        nearest(|m| m.dimension.value, &golden.dimension),
    ];
    let said = format!(
        "{name}, {rank_rule:?}: K {} (the reference's {:?}), means off by {shifts:?}, worst manifold {singles:?}",
        geometry.rank, golden.ranks
    );
    eprintln!("{said}");
    let (low, high) = (
        golden.ranks.iter().min().unwrap(),
        golden.ranks.iter().max().unwrap(),
    );
    assert!((*low..=*high).contains(&(geometry.rank as i64)), "{said}");
    assert!(
        shifts
            .iter()
            .zip(spread.means)
            .all(|(&s, m)| s <= m.max(TIGHT)),
        "{said}"
    );
    assert!(
        singles
            .iter()
            .zip(spread.singles)
            .all(|(&s, m)| s <= m.max(TIGHT)),
        "{said}"
    );
}

/// ½Σ cos² between the centres that `directions` (N, K) leave.
fn cost(golden: &Golden, directions: &Array2<f64>) -> f64 {
    let p = golden.sizes.len();
    let mut centres = Array2::zeros((p, golden.points.ncols()));
    let mut start = 0;
    for (mut centre, m) in centres.outer_iter_mut().zip(&golden.sizes) {
        centre.assign(
            &golden
                .points
                .slice(s![start..start + m, ..])
                .mean_axis(Axis(0))
                .unwrap(),
        );
        start += m;
    }
    let mean = centres.mean_axis(Axis(0)).unwrap();
    centres -= &mean;
    let rest = &centres - &centres.dot(directions).dot(&directions.t());
    let gram = rest.dot(&rest.t());
    let cosine_squared = |i, j| gram[(i, j)] * gram[(i, j)] / (gram[(i, i)] * gram[(j, j)]);
    0.5 * (0..p)
        .map(|i| (0..p).map(|j| cosine_squared(i, j)).sum::<f64>())
        .sum::<f64>()
}

#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn our_subspace_costs_no_more_than_the_references() {
    for name in [
        "b1_P10_N50_rank2.npz",
        "b2_P20_N100_rank2.npz",
        "b3_P30_N200_rank5.npz",
        "b5_P20_N500_rank2_decay.npz",
        "b7_P40_N80_uncorr.npz",
    ] {
        let golden = load(name);
        let rank = golden.directions.ncols();
        let geometry = analyse(
            &golden,
            Conventions::ours().rank_rule(RankRule::Fixed { rank }),
        );
        let (ours, theirs) = (
            geometry.rank_trials[rank].cost,
            cost(&golden, &golden.directions),
        );
        eprintln!("{name}: ours {ours}, the reference's {theirs}");
        assert!(
            ours <= theirs * (1.0 + 1e-7),
            "{name}: {ours} over {theirs}"
        );
    }
}

const B1: Spread = Spread {
    means: [4e-8, 3e-8, 2e-8],
    singles: [6e-7, 6e-7, 3e-7],
};

/// The reference keeps the subspace that leaves the largest smallest norm, here at a cost of 7.359 over 7.324, and so do
/// we under its rule. Starts are random; with ten of them we miss that minimum once in a while.
#[test]
fn b1_by_the_references_rule() {
    check_loose("b1_P10_N50_rank2.npz", RankRule::Reference, 40, &B1);
}

/// Our search with the reference's criterion finds the cheaper subspace: single manifolds differ, the means by 0.2 % (α), 0.2 %
/// (R) and 0.4 % (D).
#[test]
fn b1_by_least_residual() {
    let spread = Spread {
        means: [2e-3, 2e-3, 4e-3],
        singles: [0.8, 1.0, 0.3],
    };
    check_loose("b1_P10_N50_rank2.npz", RankRule::LeastResidual, 10, &spread);
}

/// Ten manifolds in 50 features tell one direction by our rule, where the reference takes two. Simulation is the judge.
#[test]
fn b1_by_our_rule_is_nearer_to_simulation() {
    let golden = load("b1_P10_N50_rank2.npz");
    let source = ArrayActivations::new(golden.points.view(), &golden.sizes).unwrap();
    let simulation = Simulation::default().repetitions(400);
    let truth = simulate_capacity(&source, &simulation)
        .unwrap()
        .capacity
        .unwrap();
    let off = |rule| {
        let conventions = Conventions::ours().rank_rule(rule);
        let analysis = Analysis::builder()
            .conventions(conventions)
            .build()
            .unwrap();
        analysis.run(&source).unwrap().capacity.value / truth - 1.0
    };
    let (ours, before) = (off(RankRule::Reproducible), off(RankRule::LeastResidual));
    eprintln!("b1: {ours:+.3} by our rule, {before:+.3} by least residual");
    assert!(ours.abs() < before.abs(), "{ours} and {before}");
    assert!(ours.abs() < 0.12, "{ours}");
}

#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn b2_by_both_rules() {
    let spread = Spread {
        means: [6e-4, 7e-4, 2e-4],
        singles: [0.08, 0.05, 0.04],
    };
    check_loose("b2_P20_N100_rank2.npz", RankRule::Reference, 10, &spread);
    // A subspace of cost 12.864, where that of the reference's rule costs 12.885: single manifolds differ.
    let cheaper = Spread {
        means: [3e-3, 1e-4, 2e-3],
        singles: [0.09, 0.04, 0.06],
    };
    check_loose(
        "b2_P20_N100_rank2.npz",
        RankRule::Reproducible,
        10,
        &cheaper,
    );
}

#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn b3_by_both_rules() {
    let spread = Spread {
        means: [3e-3, 3e-3, 4e-3],
        singles: [0.2, 0.14, 0.11],
    };
    check_loose("b3_P30_N200_rank5.npz", RankRule::Reference, 10, &spread);
    check_loose("b3_P30_N200_rank5.npz", RankRule::Reproducible, 10, &spread);
}

#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn b5_by_both_rules() {
    let spread = Spread {
        means: [6e-9, 7e-9, 4e-9],
        singles: [2.9e-7, 3.3e-7, 1.4e-7],
    };
    check_loose(
        "b5_P20_N500_rank2_decay.npz",
        RankRule::Reference,
        10,
        &spread,
    );
    check_loose(
        "b5_P20_N500_rank2_decay.npz",
        RankRule::Reproducible,
        10,
        &spread,
    );
}

/// Uncorrelated centres: the reference's own answer is a coin toss.
#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn b7_by_least_residual() {
    let spread = Spread {
        means: [0.09, 0.03, 0.05],
        singles: [0.96, 0.64, 0.78],
    };
    check_loose(
        "b7_P40_N80_uncorr.npz",
        RankRule::LeastResidual,
        10,
        &spread,
    );
}

/// There is nothing shared to remove.
#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn b7_by_our_rule() {
    let golden = load("b7_P40_N80_uncorr.npz");
    assert_eq!(analyse(&golden, Conventions::ours()).rank, 0);
}

#[test]
fn b1_with_the_references_subspace() {
    check_tight("b1_P10_N50_rank2.npz");
}

#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn b2_with_the_references_subspace() {
    check_tight("b2_P20_N100_rank2.npz");
}

#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn b3_with_the_references_subspace() {
    check_tight("b3_P30_N200_rank5.npz");
}

#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn b5_with_the_references_subspace() {
    check_tight("b5_P20_N500_rank2_decay.npz");
}

#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn b7_with_the_references_subspace() {
    check_tight("b7_P40_N80_uncorr.npz");
}
