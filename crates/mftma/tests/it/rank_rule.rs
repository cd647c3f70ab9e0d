//! The rule for K, classes as sets, and degenerate input that is named.

use crate::common::normal;
use mftma::{
    Analysis, AnalysisSettings, ArrayActivations, Conventions, Error, Geometry, RankRule, Warning,
};
use ndarray::{Array2, Axis, s};
use proptest::prelude::*;

fn run(
    builder: AnalysisSettings,
    points: &Array2<f64>,
    sizes: &[usize],
) -> Result<Geometry, Error> {
    builder
        .build()?
        .run(&ArrayActivations::new(points.view(), sizes)?)
}

fn with(rank_rule: RankRule) -> AnalysisSettings {
    Analysis::builder()
        .vectors(40)
        .conventions(Conventions::ours().rank_rule(rank_rule))
}

/// P clouds of M points about independent centres.
fn clouds(p: usize, m: usize, n: usize, radius: f64, seed: u64) -> (Array2<f64>, Vec<usize>) {
    let centres = normal(p, n, seed);
    let mut points = normal(p * m, n, seed + 1_000) * radius;
    for (row, mut point) in points.outer_iter_mut().enumerate() {
        point += &centres.row(row / m);
    }
    (points, vec![m; p])
}

/// Independent centres have no shared direction, even where features are few.
#[test]
fn nothing_is_removed_of_independent_centres() {
    let mut taken = Vec::new();
    for seed in 1..=4 {
        let (points, sizes) = clouds(30, 10, 60, 0.5, seed);
        let g = run(with(RankRule::Reproducible), &points, &sizes).unwrap();
        let before = run(with(RankRule::LeastResidual), &points, &sizes).unwrap();
        assert!(before.rank >= 2, "the former rule takes {}", before.rank);
        assert!(before.capacity.value < g.capacity.value);
        taken.push(g.rank);
    }
    assert!(taken.iter().all(|&k| k == 0), "{taken:?}");
}

#[test]
fn a_cap_and_a_rank_are_kept_to() {
    let (mut points, sizes) = clouds(30, 6, 200, 0.5, 7);
    let (common, loadings) = (normal(3, 200, 8), normal(30, 3, 9) * 2.0);
    for (row, mut point) in points.outer_iter_mut().enumerate() {
        point += &loadings.row(row / 6).dot(&common);
    }
    let rank = |rule| run(with(rule), &points, &sizes).unwrap().rank;
    assert_eq!(rank(RankRule::Reproducible), 3);
    assert_eq!(rank(RankRule::AtMost { rank: 5 }), 3);
    assert_eq!(rank(RankRule::AtMost { rank: 2 }), 2);
    assert_eq!(rank(RankRule::AtMost { rank: 0 }), 0);
    assert_eq!(rank(RankRule::Fixed { rank: 5 }), 5);
    // What K − 1 and K + 1 would change is what they do change, up to the noise of the fewer vectors.
    let g = run(with(RankRule::Reproducible), &points, &sizes).unwrap();
    let ranks: Vec<usize> = g.rank_alternatives.iter().map(|a| a.rank).collect();
    assert_eq!(ranks, [2, 4]);
    for a in &g.rank_alternatives {
        let other = run(with(RankRule::Fixed { rank: a.rank }), &points, &sizes).unwrap();
        let changes = [
            (a.capacity_change, other.capacity.value / g.capacity.value),
            (a.radius_change, other.radius.value / g.radius.value),
            (
                a.dimension_change,
                other.dimension.value / g.dimension.value,
            ),
        ];
        for (said, ratio) in changes {
            assert!((said + 1.0 - ratio).abs() < 0.05 * ratio, "{a:?}: {ratio}");
        }
    }
    assert!(g.rank_alternatives[0].capacity_change > 0.1);
}

/// The bytes of a result with its manifolds in the order of `classes`.
fn bytes(mut g: Geometry, classes: &[usize]) -> String {
    let manifolds = g.manifolds.clone();
    for (m, &class) in manifolds.into_iter().zip(classes) {
        let mut m = m;
        m.manifold = class;
        g.manifolds[class] = m;
    }
    serde_json::to_string(&g).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn order_and_powers_of_two_change_no_byte(
        seed in 0_u64..1_000,
        classes in Just((0..7_usize).collect::<Vec<_>>()).prop_shuffle(),
        within in Just((0..5_usize).collect::<Vec<_>>()).prop_shuffle(),
        power in prop::sample::select(vec![-1000, -700, -300, -3, 5, 260, 700, 1000]),
    ) {
        let (mut points, sizes) = clouds(7, 5, 9, 0.5, seed);
        // Rows that only late features tell apart, and rows that nothing does.
        points.slice_mut(s![.., 0..2]).fill(0.0);
        let twin = points.row(3).to_owned();
        points.row_mut(4).assign(&twin);
        let settings = || Analysis::builder().vectors(30).seed(seed).resamples(20).spectrum(0.9);
        let plain = run(settings(), &points, &sizes).unwrap();
        let rows: Vec<usize> = classes
            .iter()
            .flat_map(|&class| within.iter().map(move |&point| 5 * class + point))
            .collect();
        let moved = points.select(Axis(0), &rows);
        let other = run(settings(), &moved, &sizes).unwrap();
        let in_order: Vec<usize> = (0..7).collect();
        prop_assert_eq!(bytes(plain.clone(), &in_order), bytes(other, &classes));

        let scale = 2f64.powi(power);
        let mut scaled = run(settings(), &(&points * scale), &sizes).unwrap();
        for m in &mut scaled.manifolds {
            m.centre_norm /= scale;
        }
        prop_assert_eq!(bytes(plain, &in_order), bytes(scaled, &in_order));
    }
}

/// Every class centred by itself: the centres are rounding.
#[test]
fn coincident_centres_are_refused() {
    let (mut points, sizes) = clouds(20, 10, 30, 1.0, 3);
    for i in 0..20 {
        let mut rows = points.slice_mut(s![10 * i..10 * (i + 1), ..]);
        let mean = rows.mean_axis(Axis(0)).unwrap();
        rows -= &mean;
    }
    for points in [points.clone(), points.mapv(|x| f64::from(x as f32))] {
        let error = run(with(RankRule::Reproducible), &points, &sizes).unwrap_err();
        assert!(matches!(error, Error::CoincidentCentres { .. }), "{error}");
        assert!(
            error.to_string().contains("was each class centred"),
            "{error}"
        );
    }
}

#[test]
fn degenerate_input_is_named() {
    let (points, sizes) = clouds(30, 6, 40, 0.5, 5);
    let clean = run(with(RankRule::Reproducible), &points, &sizes).unwrap();
    assert_eq!(clean.warnings, []);

    let mut near = points.clone();
    let mut rows = near.slice_mut(s![6 * 13..6 * 14, ..]);
    let mean = rows.mean_axis(Axis(0)).unwrap() * 0.999;
    rows -= &mean;
    // The global mean itself is not nought; move it there but for the one class.
    let others: Vec<usize> = (0..180).filter(|row| row / 6 != 13).collect();
    let mean = near.select(Axis(0), &others).mean_axis(Axis(0)).unwrap();
    for &row in &others {
        let mut row = near.row_mut(row);
        row -= &mean;
    }
    let g = run(with(RankRule::Fixed { rank: 0 }), &near, &sizes).unwrap();
    let note = g.warnings.iter().find_map(|w| match w {
        Warning::NearGlobalMean { manifold, share } => Some((*manifold, *share)),
        _ => None,
    });
    assert!(
        note.is_some_and(|(i, share)| i == 13 && share < 0.01),
        "{:?}",
        g.warnings
    );

    let mut one_feature = points.clone();
    one_feature.column_mut(17).mapv_inplace(|x| 1e3 * x);
    let g = run(with(RankRule::Fixed { rank: 0 }), &one_feature, &sizes).unwrap();
    assert!(
        g.warnings
            .iter()
            .any(|w| matches!(w, Warning::DominantFeature { feature: 17, share } if *share > 0.99)),
        "{:?}",
        g.warnings
    );

    let mut one_point = points.clone();
    one_point.row_mut(6 * 4 + 2).mapv_inplace(|x| 1e3 * x);
    let g = run(with(RankRule::Fixed { rank: 0 }), &one_point, &sizes).unwrap();
    let named = |w: &Warning| {
        matches!(
            w,
            Warning::DominantPoint {
                manifold: 4,
                point: 2,
                ..
            }
        )
    };
    assert!(g.warnings.iter().any(named), "{:?}", g.warnings);

    let g = run(with(RankRule::Reproducible), &points, &[1; 180]).unwrap();
    let single = Warning::SinglePoints {
        manifolds: 180,
        of: 180,
    };
    assert!(g.warnings.contains(&single), "{:?}", g.warnings);

    let mut empty = points;
    for i in 1..30 {
        let first = empty.row(6 * i).to_owned();
        empty.slice_mut(s![6 * i..6 * (i + 1), ..]).assign(&first);
    }
    let g = run(with(RankRule::Fixed { rank: 0 }), &empty, &sizes).unwrap();
    let without = Warning::WithoutVariance {
        manifolds: 29,
        of: 30,
    };
    assert!(g.warnings.contains(&without), "{:?}", g.warnings);
}
