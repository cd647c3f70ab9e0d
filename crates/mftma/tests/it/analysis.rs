//! The whole analysis: what must not change it, what must, and what it refuses.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use mftma::{
    Activations, Analysis, AnalysisSettings, ArrayActivations, Block, Conventions, DimensionCount,
    Error, Geometry, GlobalMean, Progress, RankRule, SourceError, Vectors, Warning, project,
    variance_spectrum,
};
use ndarray::{Array1, Array2, Axis, concatenate, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn normal(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut rng))
}

/// Manifolds whose centres share `shared` directions, and their sizes.
fn correlated(p: usize, m: usize, n: usize, shared: usize, seed: u64) -> (Array2<f64>, Vec<usize>) {
    let common = normal(shared, n, seed);
    let loadings = normal(p, shared, seed + 1) * 1.5;
    let centres = normal(p, n, seed + 2) + loadings.dot(&common);
    let mut points = normal(p * m, n, seed + 3);
    for (row, mut point) in points.outer_iter_mut().enumerate() {
        point += &centres.row(row / m);
    }
    (points, vec![m; p])
}

fn run(
    builder: AnalysisSettings,
    points: &Array2<f64>,
    sizes: &[usize],
) -> Result<Geometry, Error> {
    builder
        .build()?
        .run(&ArrayActivations::new(points.view(), sizes)?)
}

fn quick() -> AnalysisSettings {
    Analysis::builder().vectors(40)
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs())
}

fn assert_same(a: &Geometry, b: &Geometry, tolerance: f64) {
    assert_eq!(a.rank, b.rank);
    assert!(
        close(a.capacity.value, b.capacity.value, tolerance),
        "{} {}",
        a.capacity.value,
        b.capacity.value
    );
    assert!(
        close(a.radius.value, b.radius.value, tolerance),
        "{} {}",
        a.radius.value,
        b.radius.value
    );
    assert!(close(a.dimension.value, b.dimension.value, tolerance));
    assert!(close(a.centre_correlation, b.centre_correlation, 1e-9));
}

#[test]
fn rotation_shift_and_scale_change_nothing() {
    let (points, sizes) = correlated(12, 8, 30, 2, 1);
    let plain = run(quick(), &points, &sizes).unwrap();
    // A product of Householder reflections is a rotation.
    let mut turned = points.clone();
    for seed in 0..4 {
        let v: Array1<f64> = normal(1, 30, 100 + seed).row(0).to_owned();
        let along = turned.dot(&v) * (2.0 / v.dot(&v));
        turned -= &(along.insert_axis(Axis(1)).dot(&v.insert_axis(Axis(0))));
    }
    let shift = normal(1, 30, 99) * 1e3;
    let moved = &turned * 3.7 + &shift;
    assert_same(&plain, &run(quick(), &moved, &sizes).unwrap(), 1e-6);
}

#[test]
fn single_and_double_precision_agree() {
    let (points, sizes) = correlated(12, 8, 600, 2, 2);
    let single = points.mapv(|x| x as f32);
    let widened = single.mapv(f64::from);
    let analysis = quick().build().unwrap();
    let a = analysis
        .run(&ArrayActivations::new(single.view(), &sizes).unwrap())
        .unwrap();
    let b = analysis
        .run(&ArrayActivations::new(widened.view(), &sizes).unwrap())
        .unwrap();
    assert_eq!(a, b, "the same numbers in another width are the same input");
}

/// Rows and columns laid out the other way round.
#[test]
fn memory_order_does_not_matter() {
    let (points, sizes) = correlated(10, 6, 40, 1, 3);
    let mut fortran = Array2::zeros(ndarray::ShapeBuilder::f(points.dim()));
    fortran.assign(&points);
    assert_eq!(
        run(quick(), &points, &sizes).unwrap(),
        run(quick(), &fortran, &sizes).unwrap()
    );
}

#[test]
fn same_bytes_from_one_thread_and_from_two() {
    let (points, sizes) = correlated(20, 12, 1100, 3, 4);
    let under = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let builder = quick().resamples(50).spectrum(0.9);
        let geometry = pool.install(|| run(builder, &points, &sizes)).unwrap();
        serde_json::to_string(&geometry).unwrap()
    };
    let one = under(1);
    assert_eq!(one, under(2));
    assert_eq!(one, under(3));
}

#[test]
fn the_reference_rule_depends_on_its_seed_alone() {
    let (points, sizes) = correlated(15, 10, 60, 2, 5);
    let builder = |seed| quick().conventions(Conventions::reference()).seed(seed);
    let a = run(builder(1), &points, &sizes).unwrap();
    assert_eq!(a, run(builder(1), &points, &sizes).unwrap());
    assert!(a.rank >= 1);
    assert_eq!(a.manifolds[0].coordinates, 10);
}

/// Points that a source yields in blocks of odd widths.
struct Odd(Array2<f64>, Vec<usize>);

impl Activations for Odd {
    fn points_per_manifold(&self) -> &[usize] {
        &self.1
    }
    fn n_features(&self) -> usize {
        self.0.ncols()
    }
    fn for_each_block(
        &self,
        visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let (mut start, mut width) = (0, 1);
        while start < self.0.ncols() {
            let end = self.0.ncols().min(start + width);
            if visit(Block::F64(self.0.slice(s![.., start..end]))).is_break() {
                break;
            }
            (start, width) = (end, 1 + (width * 7) % 701);
        }
        Ok(())
    }
}

#[test]
fn block_widths_do_not_matter() {
    let (points, sizes) = correlated(10, 6, 1500, 1, 6);
    let whole = run(quick(), &points, &sizes).unwrap();
    let odd = quick().build().unwrap().run(&Odd(points, sizes)).unwrap();
    assert_same(&whole, &odd, 1e-7);
}

#[test]
fn shared_directions_are_found_and_removed() {
    let (points, sizes) = correlated(30, 10, 200, 3, 7);
    let g = run(quick(), &points, &sizes).unwrap();
    assert_eq!(g.rank, 3, "{:?}", g.rank_trials);
    assert!(g.residual_centre_correlation < 0.5 * g.centre_correlation);
    assert_eq!(g.rank_trials[0].rank, 0);
    assert!(close(
        g.rank_trials[0].residual_correlation,
        g.centre_correlation,
        1e-9
    ));
    // With a shared direction left, or one more taken, the capacity is another: that is told, and nothing else.
    assert!(
        matches!(g.warnings[..], [Warning::RankMatters { rank: 3, .. }]),
        "{:?}",
        g.warnings
    );
}

#[test]
fn a_fixed_rank_and_a_given_subspace_are_used_as_told() {
    let (points, sizes) = correlated(12, 6, 50, 2, 8);
    let with = |rank_rule| {
        run(
            quick().conventions(Conventions::ours().rank_rule(rank_rule)),
            &points,
            &sizes,
        )
    };
    let none = with(RankRule::Fixed { rank: 0 }).unwrap();
    assert_eq!(none.rank, 0);
    assert!(close(
        none.residual_centre_correlation,
        none.centre_correlation,
        1e-12
    ));
    let empty = with(RankRule::Given {
        directions: Array2::zeros((50, 0)),
    })
    .unwrap();
    assert_same(&none, &empty, 1e-9);
    assert_eq!(with(RankRule::Fixed { rank: 4 }).unwrap().rank, 4);
    assert!(matches!(
        with(RankRule::Fixed { rank: 11 }),
        Err(Error::Setting {
            setting: "rank",
            ..
        })
    ));
    assert!(matches!(
        with(RankRule::Given {
            directions: Array2::ones((50, 2))
        }),
        Err(Error::Setting {
            setting: "directions",
            ..
        })
    ));
    assert!(matches!(
        with(RankRule::Given {
            directions: Array2::eye(49).slice(s![.., ..1]).to_owned()
        }),
        Err(Error::Shape {
            expected: 50,
            found: 49,
            ..
        })
    ));
}

/// More points than features: points are kept in place of an M×M matrix, and nothing else changes.
#[test]
fn more_points_than_features() {
    let (points, sizes) = correlated(8, 30, 12, 1, 9);
    let flat = run(quick(), &points, &sizes).unwrap();
    // The same points among more features than points, all of the added ones nought.
    let wide = concatenate![Axis(1), points, Array2::zeros((240, 40))];
    let padded = run(quick(), &wide, &sizes).unwrap();
    assert_eq!(flat.manifolds[0].rank, 12 - flat.rank.min(1));
    assert_eq!(
        padded
            .warnings
            .iter()
            .filter(|w| **w == Warning::ConstantFeatures { features: 40 })
            .count(),
        1
    );
    for (a, b) in flat.manifolds.iter().zip(&padded.manifolds) {
        assert_eq!(a.rank, b.rank);
        // Other coordinates, so other vectors: equal within their error.
        let spread = 6.0
            * a.capacity
                .standard_error
                .unwrap()
                .hypot(b.capacity.standard_error.unwrap());
        assert!((a.capacity.value - b.capacity.value).abs() < spread);
    }
}

#[test]
fn dimension_counts_the_true_rank() {
    // Segments: D_M = 1 whatever N, where the reference's zero padding gives less.
    let mut points = normal(30, 10, 10) * 5.0;
    for i in 0..15 {
        let end = &points.row(2 * i) + &(normal(1, 10, 50 + i as u64).row(0).to_owned() * 0.3);
        points.row_mut(2 * i + 1).assign(&end);
    }
    let sizes = vec![2; 15];
    let no_removal = |count| {
        Conventions::ours()
            .rank_rule(RankRule::Fixed { rank: 0 })
            .dimension_count(count)
    };
    let ours = run(
        quick().conventions(no_removal(DimensionCount::TrueRank)),
        &points,
        &sizes,
    )
    .unwrap();
    let padded = run(
        quick().conventions(no_removal(DimensionCount::Coordinates)),
        &points,
        &sizes,
    )
    .unwrap();
    for m in &ours.manifolds {
        assert_eq!((m.rank, m.coordinates), (1, 1));
        assert!(close(m.dimension.value, 1.0, 1e-9), "{}", m.dimension.value);
    }
    assert_eq!(padded.manifolds[0].coordinates, 2);
    assert!(padded.dimension.value < 0.95);
}

#[test]
fn one_point_each_is_a_point() {
    let points = normal(40, 100, 11);
    let g = run(quick().vectors(400), &points, &[1; 40]).unwrap();
    for m in &g.manifolds {
        assert_eq!(m.rank, 0);
        assert_eq!(m.radius.value, 0.0);
        assert!((m.capacity.value - 2.0).abs() < 6.0 * m.capacity.standard_error.unwrap());
    }
}

#[test]
fn two_manifolds_keep_their_centres() {
    let (points, sizes) = correlated(2, 5, 20, 0, 12);
    let g = run(quick(), &points, &sizes).unwrap();
    assert_eq!(g.rank, 0);
    assert!(close(g.centre_correlation, 1.0, 1e-12));
    assert!(g.warnings.contains(&Warning::FewManifolds { manifolds: 2 }));
    let reference = run(
        quick().conventions(Conventions::reference()),
        &points,
        &sizes,
    )
    .unwrap();
    assert_eq!(
        reference.rank, 0,
        "removing the only direction would leave no centre"
    );
}

#[test]
fn unequal_sizes_and_the_weights_of_the_global_mean() {
    let (points, _) = correlated(6, 20, 30, 0, 13);
    // One manifold of 70 points, five of 10.
    let sizes = [70, 10, 10, 10, 10, 10];
    let with = |global_mean| {
        let rank_rule = RankRule::Fixed { rank: 0 };
        run(
            quick().conventions(
                Conventions::ours()
                    .rank_rule(rank_rule)
                    .global_mean(global_mean),
            ),
            &points,
            &sizes,
        )
        .unwrap()
    };
    let (by_manifold, by_point) = (with(GlobalMean::ByManifold), with(GlobalMean::ByPoint));
    // The large manifold drags the mean of all points toward itself.
    assert!(by_point.manifolds[0].centre_norm < 0.7 * by_manifold.manifolds[0].centre_norm);
    let norm = |i: usize, weighted: bool| {
        let starts = [0, 70, 80, 90, 100, 110, 120];
        let centre = |j: usize| {
            points
                .slice(s![starts[j]..starts[j + 1], ..])
                .mean_axis(Axis(0))
                .unwrap()
        };
        let mean = if weighted {
            points.mean_axis(Axis(0)).unwrap()
        } else {
            (0..6).map(centre).fold(Array1::zeros(30), |a, c| a + c) / 6.0
        };
        let d = centre(i) - mean;
        d.dot(&d).sqrt()
    };
    for i in 0..6 {
        assert!(close(
            by_manifold.manifolds[i].centre_norm,
            norm(i, false),
            1e-10
        ));
        assert!(close(
            by_point.manifolds[i].centre_norm,
            norm(i, true),
            1e-10
        ));
    }
}

#[test]
fn degenerate_centres_are_named() {
    let (points, sizes) = correlated(6, 5, 20, 0, 14);
    // Every manifold the same points.
    let same = concatenate(Axis(0), &[points.slice(s![0..5, ..]); 4]).unwrap();
    let error = run(quick(), &same, &[5; 4]).unwrap_err();
    assert!(matches!(error, Error::CoincidentCentres { .. }), "{error}");
    assert!(error.to_string().contains("coincide"), "{error}");

    // One centre exactly at the mean of all: ± pairs and a cloud around nought.
    let mut around = points.slice(s![0..15, ..]).to_owned();
    let first = around.slice(s![0..5, ..]).to_owned();
    around.slice_mut(s![5..10, ..]).assign(&(&first * -1.0));
    let cloud = around.slice(s![10..15, ..]).to_owned();
    let mean = cloud.mean_axis(Axis(0)).unwrap();
    around.slice_mut(s![10..15, ..]).assign(&(&cloud - &mean));
    let error = run(quick(), &around, &[5; 3]).unwrap_err();
    assert!(
        matches!(error, Error::NoCentre { manifold: 2, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("global mean"), "{error}");

    // Two of six manifolds coincide: told, not refused.
    let mut twins = points;
    let copy = twins.slice(s![0..5, ..]).to_owned();
    twins.slice_mut(s![10..15, ..]).assign(&copy);
    let g = run(
        quick().conventions(Conventions::ours().rank_rule(RankRule::Fixed { rank: 0 })),
        &twins,
        &sizes,
    )
    .unwrap();
    assert!(
        g.warnings.contains(&Warning::CoincidentCentres {
            manifold: 2,
            other: 0
        }),
        "{:?}",
        g.warnings
    );
}

#[test]
fn bad_input_is_refused_by_name() {
    let (points, sizes) = correlated(6, 5, 700, 0, 15);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut bad = points.clone();
        bad[(13, 650)] = value;
        match run(quick(), &bad, &sizes).unwrap_err() {
            Error::NotFinite {
                manifold: 2,
                point: 3,
                feature: 650,
                ..
            } => {}
            other => panic!("{other}"),
        }
    }
    assert!(matches!(
        run(quick(), &points, &[30]),
        Err(Error::TooFewManifolds { found: 1, .. })
    ));
    assert!(matches!(
        run(quick(), &points, &[15, 0, 15]),
        Err(Error::EmptyManifold { manifold: 1 })
    ));
    assert!(matches!(
        run(quick(), &points, &[15, 14]),
        Err(Error::Shape {
            expected: 29,
            found: 30,
            ..
        })
    ));
    assert!(matches!(
        run(quick(), &Array2::zeros((4, 0)), &[2, 2]),
        Err(Error::NoFeatures)
    ));
    assert!(matches!(
        run(quick().margin(f64::NAN), &points, &sizes),
        Err(Error::Setting {
            setting: "margin",
            ..
        })
    ));
    assert!(matches!(
        run(quick().vectors(0), &points, &sizes),
        Err(Error::Setting {
            setting: "vectors",
            ..
        })
    ));
    let short = quick().sampling(Vectors::Given(vec![Array2::zeros((6, 3)); 5]));
    assert!(matches!(
        run(short, &points, &sizes),
        Err(Error::Shape {
            expected: 6,
            found: 5,
            ..
        })
    ));
    // Values whose products would overflow are brought near 1.
    let plain = run(quick(), &points, &sizes).unwrap();
    let huge = run(quick(), &(&points * 1e200), &sizes).unwrap();
    assert!(close(huge.capacity.value, plain.capacity.value, 1e-9));
    let misfit = quick().sampling(Vectors::Given(vec![Array2::zeros((3, 7)); 6]));
    let error = run(misfit, &points, &sizes).unwrap_err();
    assert!(
        matches!(error, Error::Manifold { manifold: 0, .. }),
        "{error}"
    );
    let cause = std::error::Error::source(&error).expect("a source");
    assert!(cause.to_string().contains("expected 6"), "{cause}");
}

#[test]
fn progress_is_told_and_can_cancel() {
    let (points, sizes) = correlated(6, 5, 2000, 0, 16);
    let source = ArrayActivations::new(points.view(), &sizes).unwrap();
    let analysis = quick().build().unwrap();
    let (features, manifolds) = (AtomicUsize::new(0), AtomicUsize::new(0));
    analysis
        .run_with(&source, &|progress| {
            match progress {
                Progress::Features { done, of } => {
                    assert_eq!(of, 2000);
                    features.fetch_max(done, Ordering::Relaxed);
                }
                Progress::Manifolds { done, of } => {
                    assert_eq!(of, 6);
                    manifolds.fetch_max(done, Ordering::Relaxed);
                }
                _ => {}
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((features.into_inner(), manifolds.into_inner()), (2000, 6));
    for stop in 0..3 {
        let outcome = analysis.run_with(&source, &|progress| {
            let stage = match progress {
                Progress::Features { .. } => 0,
                Progress::Centres => 1,
                _ => 2,
            };
            if stage == stop {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(matches!(outcome, Err(Error::Cancelled)));
    }
}

#[test]
fn results_serialise_and_flatten() {
    let (points, sizes) = correlated(30, 5, 60, 1, 17);
    let g = run(quick().resamples(200).spectrum(0.9), &points, &sizes).unwrap();
    let back: Geometry = serde_json::from_str(&serde_json::to_string(&g).unwrap()).unwrap();
    assert_eq!(g, back);
    let rows = g.rows();
    assert_eq!(
        rows.len(),
        8 + 3 * g.rank_alternatives.len() + 30 * 12,
        "three changes for each K beside the one chosen"
    );
    let capacity = &rows[0];
    assert_eq!(
        (capacity.measure.as_str(), capacity.manifold),
        ("capacity", None)
    );
    let (lower, upper) = (capacity.lower.unwrap(), capacity.upper.unwrap());
    assert!(lower < capacity.value && capacity.value < upper);
    let harmonic = 30.0
        / g.manifolds
            .iter()
            .map(|m| 1.0 / m.capacity.value)
            .sum::<f64>();
    assert!(close(g.capacity.value, harmonic, 1e-12));
    assert!(g.centre_correlation_interval.unwrap().lower <= g.centre_correlation);
}

#[test]
fn the_spectrum_of_known_eigenvalues() {
    // Points at ± each axis: covariance diag(a²)/3.
    let a = [3.0, 2.0, 1.0];
    let mut points = Array2::zeros((6, 3));
    for (i, a) in a.iter().enumerate() {
        points[(2 * i, i)] = *a;
        points[(2 * i + 1, i)] = -a;
    }
    let rotated = |n: usize| {
        // Embed in n features: with n > 6 the Gram matrix of points is the smaller.
        let mut wide = Array2::zeros((6, n));
        wide.slice_mut(s![.., ..3]).assign(&points);
        wide
    };
    for n in [3, 40] {
        // Unequal groups so that no centre is at the mean.
        let g = run(quick().spectrum(0.9), &rotated(n), &[1, 2, 3]).unwrap();
        let spectrum = g.spectrum.unwrap();
        let (sum, squares) = (14.0, 81.0 + 16.0 + 1.0);
        assert!(close(
            spectrum.participation_ratio,
            sum * sum / squares,
            1e-12
        ));
        // 9 + 4 of 14 is 93 %.
        assert_eq!(spectrum.explained_variance_dimension, 2);
        assert_eq!(spectrum.reference_explained_variance_dimension, 1);

        let wide = rotated(n);
        let alone = |share, sizes| {
            let source = ArrayActivations::new(wide.view(), sizes).unwrap();
            variance_spectrum(&source, share, &|_| ControlFlow::Continue(()))
        };
        // An analysis puts points in an order of its own.
        let found = alone(0.9, &[1, 2, 3]).unwrap().unwrap();
        let ratio = found.participation_ratio;
        assert!(close(ratio, spectrum.participation_ratio, 1e-14));
        assert_eq!(found.explained_variance_dimension, 2);
        assert_eq!(found.reference_explained_variance_dimension, 1);
        let error = alone(0.0, &[3, 3]).unwrap_err().to_string();
        assert!(error.contains("spectrum") && error.contains('0'), "{error}");
        assert!(matches!(
            alone(0.9, &[6]),
            Err(Error::TooFewManifolds { .. })
        ));
    }
    let same = Array2::from_elem((4, 3), 7.0);
    let source = ArrayActivations::new(same.view(), &[2, 2]).unwrap();
    let found = variance_spectrum(&source, 0.9, &|_| ControlFlow::Continue(()));
    assert_eq!(found.unwrap(), None);
}

#[test]
fn sampling_until_a_relative_error() {
    let (points, sizes) = correlated(5, 10, 40, 0, 18);
    let until = |relative_error, cap| {
        run(
            quick().sampling(Vectors::UntilRelativeError {
                relative_error,
                cap,
            }),
            &points,
            &sizes,
        )
        .unwrap()
    };
    let loose = until(0.1, 100_000);
    let tight = until(0.02, 100_000);
    for (a, b) in loose.manifolds.iter().zip(&tight.manifolds) {
        assert!(a.capacity.standard_error.unwrap() <= 0.1 * a.capacity.value);
        assert!(b.capacity.standard_error.unwrap() <= 0.02 * b.capacity.value);
        assert!(b.vectors > a.vectors);
    }
    let capped = until(1e-6, 300);
    assert!(capped.manifolds.iter().all(|m| m.vectors <= 300));
    assert!(
        capped
            .warnings
            .iter()
            .any(|w| matches!(w, Warning::RelativeErrorNotReached { .. }))
    );
}

/// The reference's README: α 0.04, R 1.47, D 36.17 (D = M), ρ 0.01, K 1, from its own random numbers.
#[test]
fn known_values_of_the_references_readme() {
    let points = normal(5_000, 5_000, 19);
    let g = run(
        Analysis::builder()
            .vectors(200)
            .conventions(Conventions::reference()),
        &points,
        &[50; 100],
    )
    .unwrap();
    assert!(
        (g.capacity.value - 0.04).abs() < 0.005,
        "{}",
        g.capacity.value
    );
    assert!((g.radius.value - 1.47).abs() < 0.02, "{}", g.radius.value);
    assert!(
        (g.dimension.value - 36.17).abs() < 0.6,
        "{}",
        g.dimension.value
    );
    assert!(
        (g.centre_correlation - 0.01).abs() < 0.005,
        "{}",
        g.centre_correlation
    );
    assert_eq!(g.rank, 1);
}

#[test]
fn a_random_projection_keeps_the_geometry_and_forgets_the_blocks() {
    let (points, sizes) = correlated(8, 6, 1200, 1, 20);
    let source = ArrayActivations::new(points.view(), &sizes).unwrap();
    let projected = project(&source, 900, 3).unwrap();
    let odd = project(&Odd(points.clone(), sizes.clone()), 900, 3).unwrap();
    assert!(
        projected
            .iter()
            .zip(&odd)
            .all(|(a, b)| (a - b).abs() < 1e-9)
    );
    // Directions of unit length shrink squared lengths by features / N on average.
    let ratio = projected.mapv(|x| x * x).sum() / points.mapv(|x| x * x).sum();
    assert!((ratio - 0.75).abs() < 0.03, "{ratio}");
    let fixed = Conventions::ours().rank_rule(RankRule::Fixed { rank: 1 });
    let (full, small) = (
        run(quick().conventions(fixed.clone()), &points, &sizes).unwrap(),
        run(quick().conventions(fixed), &projected, &sizes).unwrap(),
    );
    assert!(close(full.capacity.value, small.capacity.value, 0.1));
    assert!(project(&source, 0, 3).is_err());
}
