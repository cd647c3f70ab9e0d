//! Joint capacity and effective geometry: golden values, closed forms, invariances, an independent solver, simulation.

use std::cell::Cell;
use std::io::Read;
use std::ops::ControlFlow;

use crate::common::{golden_dir, normal};
use clarabel::algebra::CscMatrix;
use clarabel::solver::{DefaultSettings, DefaultSolver, IPSolver, NonnegativeConeT};
use mftma::joint::{
    Centring, InactiveManifolds, JointGeometry, JointSettings, Labels, ManifoldsPerDraw,
    joint_geometry, joint_geometry_with,
};
use mftma::{
    Activations, Analysis, AnalysisSettings, ArrayActivations, Block, Conventions, Error,
    ManifoldProblem, Progress, Sampling, Simulation, SourceError, simulate_capacity,
};
use ndarray::{Array2, ArrayView2, concatenate, s};

fn measure(
    points: ArrayView2<'_, f64>,
    sizes: &[usize],
    settings: &JointSettings,
) -> JointGeometry {
    let source = ArrayActivations::new(points, sizes).expect("sizes that fit");
    joint_geometry(&source, settings).expect("usable points")
}

fn close(what: &str, found: f64, expected: f64, tolerance: f64) {
    let error = (found - expected).abs() / expected.abs().max(1.0);
    assert!(
        error <= tolerance,
        "{what}: {found} instead of {expected} (off by {error:e})"
    );
}

/// P clouds of M points: centres that share one direction, and points around them along axes of falling length.
fn clouds(p: usize, m: usize, n: usize, size: f64, seed: u64) -> Array2<f64> {
    let shared = normal(1, n, seed);
    let own = normal(p, n, seed + 1);
    let mut all = normal(p * m, n, seed + 2);
    for (i, mut row) in all.rows_mut().into_iter().enumerate() {
        for (j, x) in row.iter_mut().enumerate() {
            let axis = size * ((j + 1) as f64).powf(-0.3);
            *x = axis * *x + own[[i / m, j]] + shared[[0, j]];
        }
    }
    all
}

/// Values of a golden file and its shape.
fn array(archive: &mut zip::ZipArchive<std::fs::File>, name: &str) -> (Vec<f64>, Vec<usize>) {
    let mut bytes = Vec::new();
    archive
        .by_name(&format!("{name}.npy"))
        .expect("a member")
        .read_to_end(&mut bytes)
        .expect("it reads");
    let file = npyz::NpyFile::new(&bytes[..]).expect("an array");
    assert_eq!(file.order(), npyz::Order::C, "{name}");
    let shape = file.shape().iter().map(|&n| n as usize).collect();
    (file.into_vec::<f64>().expect("doubles"), shape)
}

#[test]
#[ignore = "needs all golden values: MFTMA_SHARED"]
fn golden_values() {
    let dir = golden_dir();
    for name in ["points", "uncorr", "centres", "small"] {
        let path = dir.join(format!("glue_{name}.npz"));
        let file = std::fs::File::open(&path).expect("a golden file");
        let mut archive = zip::ZipArchive::new(file).expect("an archive");
        let mut read = |name: &str| array(&mut archive, name);
        let (points, shape) = read("points");
        let (p, m, n) = (shape[0], shape[1], shape[2]);
        let points = Array2::from_shape_vec((p * m, n), points).expect("its shape");
        let (labels, _) = read("dichotomies");
        let labels: Vec<Vec<i8>> = labels
            .chunks(p)
            .map(|row| row.iter().map(|&y| y as i8).collect())
            .collect();
        let (vectors, _) = read("gaussians");
        let vectors = Array2::from_shape_vec((labels.len(), n), vectors).expect("its shape");
        let (anchors, _) = read("anchors");
        for (rule, inactive) in [
            ("zero", InactiveManifolds::Zero),
            ("active", InactiveManifolds::Active),
        ] {
            let settings = JointSettings::default()
                .given_vectors(vectors.clone())
                .labels(Labels::Fixed(labels.clone()))
                .inactive(inactive)
                .keep_draws(true);
            let found = measure(points.view(), &vec![m; p], &settings);
            assert!(
                found.kkt_residual < 1e-12,
                "{name}: KKT residual {:e}",
                found.kkt_residual
            );
            let mut expected = |of: &str| read(&format!("{rule}_{of}")).0;
            let (f, b, c) = (expected("F"), expected("b"), expected("c"));
            for (v, draw) in found.draws.iter().enumerate() {
                let what = format!("{name}, {rule}, draw {v}");
                close(&format!("{what}: F"), draw.f, f[v], 1e-8);
                // Rounding is all that single points have left of b and c; theirs is not cut off.
                let floor = |x: f64| if x.abs() < 1e-20 { 0.0 } else { x };
                close(&format!("{what}: b"), draw.b, floor(b[v]), 1e-6);
                close(&format!("{what}: c"), draw.c, floor(c[v]), 1e-6);
                let mut rows = Array2::<f64>::zeros((p, n));
                for (&i, &w) in draw.members.iter().zip(&draw.weights) {
                    let mut row = rows.row_mut(i as usize / m);
                    row.scaled_add(w, &points.row(i as usize));
                }
                for (x, y) in rows.iter().zip(&anchors[v * p * n..]) {
                    close(&format!("{what}: anchor"), *x, *y, 1e-8);
                }
            }
            let mut check = |of: &str, value: f64| {
                close(
                    &format!("{name}, {rule}: {of}"),
                    value,
                    expected(of)[0],
                    1e-6,
                );
            };
            check("alpha", found.capacity.value);
            check("D", found.dimension.value);
            if (name, rule) == ("points", "active") {
                assert_eq!(found.radius.value, 0.0);
            } else {
                check("R", found.radius.value);
            }
            check("utility", found.utility.value);
            check("rho_c", found.alignments.centres.absolute);
            check("rho_c_cosine", found.alignments.centres.cosine);
            check("rho_a", found.alignments.axes.absolute);
            check("psi", found.alignments.centre_axes.absolute);
            check("active", found.active);
        }
    }
}

/// b, c and the alignments of two manifolds from their definitions, with anchors in the features and explicit 2 × 2 inverses.
#[test]
fn two_manifolds_agree_with_the_definitions() {
    let (m, n, draws) = (10, 12, 50);
    let points = clouds(2, m, n, 0.7, 13);
    let vectors = normal(draws, n, 14);
    let settings = JointSettings::default()
        .given_vectors(vectors.clone())
        .keep_draws(true);
    let found = measure(points.view(), &[m; 2], &settings);
    let anchors: Vec<Array2<f64>> = found
        .draws
        .iter()
        .map(|draw| {
            let mut rows = Array2::zeros((2, n));
            for (&i, &w) in draw.members.iter().zip(&draw.weights) {
                let mut row = rows.row_mut(i as usize / m);
                row.scaled_add(w, &points.row(i as usize));
            }
            rows
        })
        .collect();
    let mean = anchors.iter().fold(Array2::zeros((2, n)), |sum, s| sum + s) / draws as f64;
    let quadratic = |a: &Array2<f64>, v: &ndarray::Array1<f64>| {
        let determinant = a[[0, 0]] * a[[1, 1]] - a[[0, 1]] * a[[1, 0]];
        (v[0] * v[0] * a[[1, 1]] - 2.0 * v[0] * v[1] * a[[0, 1]] + v[1] * v[1] * a[[0, 0]])
            / determinant
    };
    let (mut b, mut c, mut axes, mut across) = (0.0, 0.0, 0.0, 0.0);
    for (v, (draw, anchor)) in found.draws.iter().zip(&anchors).enumerate() {
        let deviation = anchor - &mean;
        let along = deviation.dot(&vectors.row(v));
        let own = deviation.dot(&deviation.t());
        let both = &own + &mean.dot(&mean.t());
        close("b", draw.b, quadratic(&own, &along), 1e-9);
        close("c", draw.c, quadratic(&both, &along), 1e-9);
        (b, c) = (b + draw.b, c + draw.c);
        axes += own[[0, 1]].abs();
        let mixed = mean.dot(&deviation.t());
        across += 0.5 * (mixed[[0, 1]].abs() + mixed[[1, 0]].abs());
    }
    let f: f64 = found.draws.iter().map(|draw| draw.f).sum();
    let n_t = draws as f64;
    close("capacity", found.capacity.value, 2.0 * n_t / f, 1e-12);
    close("dimension", found.dimension.value, b / n_t / 2.0, 1e-12);
    close("radius", found.radius.value, (c / (b - c)).sqrt(), 1e-12);
    close("utility", found.utility.value, c / f, 1e-12);
    close("axes", found.alignments.axes.absolute, axes / n_t, 1e-9);
    close(
        "centre-axes",
        found.alignments.centre_axes.absolute,
        across / n_t,
        1e-9,
    );
    let between = mean.row(0).dot(&mean.row(1));
    close(
        "centres",
        found.alignments.centres.absolute,
        between.abs(),
        1e-9,
    );
    let lengths = (mean.row(0).dot(&mean.row(0)) * mean.row(1).dot(&mean.row(1))).sqrt();
    close(
        "cosine",
        found.alignments.centres.cosine,
        between / lengths,
        1e-9,
    );
}

#[test]
fn points_in_general_position_have_capacity_2() {
    let settings = JointSettings::default().vectors(2_000).resamples(100);
    let found = measure(normal(20, 40, 1).view(), &[1; 20], &settings);
    let error = found.capacity.standard_error.expect("many draws");
    assert!(error < 0.04);
    assert!(
        (found.capacity.value - 2.0).abs() < 4.0 * error,
        "{found:?}"
    );
    assert!((found.active - 0.5).abs() < 0.02);
    let interval = found.capacity.interval.expect("resamples");
    assert!(interval.lower <= found.capacity.value && found.capacity.value <= interval.upper);
}

/// α = Ψ(1 + R⁻²)/D for all manifolds and for each, and shares that add up.
#[test]
fn the_identity_holds_to_rounding() {
    let points = clouds(6, 12, 30, 0.8, 3);
    for labels in [
        Labels::Random,
        Labels::Balanced,
        Labels::OneAgainstRest,
        Labels::Pairs,
        Labels::Fixed(vec![vec![1, -1, 1, -1, -1, 1]]),
    ] {
        for inactive in [InactiveManifolds::Zero, InactiveManifolds::Active] {
            for margin in [0.0, 0.5] {
                let settings = JointSettings::default()
                    .vectors(64)
                    .labels(labels.clone())
                    .inactive(inactive)
                    .margin(margin);
                // Enough features for any dichotomy to have a margin.
                let wide = clouds(6, 4, 60, 0.8, 4);
                let found = match margin > 0.0 {
                    true => measure(wide.view(), &[4; 6], &settings),
                    false => measure(points.view(), &[12; 6], &settings),
                };
                let identity = |alpha: f64, d: f64, r: f64, utility: f64| {
                    let other = utility * (1.0 + r.powi(-2)) / d;
                    assert!((alpha / other - 1.0).abs() < 1e-12, "{alpha} and {other}");
                };
                let m = &found;
                identity(
                    m.capacity.value,
                    m.dimension.value,
                    m.radius.value,
                    m.utility.value,
                );
                for m in found.manifolds.iter().filter(|m| m.radius.value > 0.0) {
                    identity(
                        m.capacity.value,
                        m.dimension.value,
                        m.radius.value,
                        m.utility.value,
                    );
                }
                if labels != Labels::Pairs {
                    let shares = &found.manifolds;
                    let inverse: f64 = shares.iter().map(|m| m.capacity.value.recip()).sum();
                    close("capacity", 6.0 / inverse, found.capacity.value, 1e-12);
                    let sum: f64 = shares.iter().map(|m| m.dimension.value).sum();
                    close("dimension", sum / 6.0, found.dimension.value, 1e-12);
                }
                assert!(found.kkt_residual < 1e-12);
            }
        }
    }
}

#[test]
fn labels_are_what_they_say() {
    let points = clouds(7, 3, 40, 0.5, 5);
    let draws = |labels| {
        let settings = JointSettings::default()
            .vectors(40)
            .labels(labels)
            .keep_draws(true);
        measure(points.view(), &[3; 7], &settings).draws
    };
    let positive = |y: &[i8]| y.iter().filter(|&&y| y == 1).count();
    assert!(
        draws(Labels::Balanced)
            .iter()
            .all(|d| matches!(positive(&d.labels), 3 | 4))
    );
    assert!(
        draws(Labels::OneAgainstRest)
            .iter()
            .all(|d| positive(&d.labels) == 1)
    );
    for draw in draws(Labels::Pairs) {
        assert_eq!(
            (positive(&draw.labels), draw.labels.iter().sum::<i8>()),
            (1, 0)
        );
        assert!(
            draw.members
                .iter()
                .all(|&i| draw.labels[i as usize / 3] != 0)
        );
    }
    let random = draws(Labels::Random);
    assert!(
        random
            .iter()
            .any(|d| positive(&d.labels) != positive(&random[0].labels))
    );
}

/// Cover's count of the dichotomies of P points in general position in N dimensions that a plane through the origin separates, as a
/// share of all: 2^(1-P) Σ_{k<N} C(P - 1, k).
fn separable_share(p: u32, n: u32) -> f64 {
    let (mut binomial, mut sum) = (1.0, 0.0);
    for k in 0..n.min(p) {
        sum += binomial;
        binomial *= f64::from(p - 1 - k) / f64::from(k + 1);
    }
    sum * 2.0_f64.powi(1 - p as i32)
}

#[test]
fn as_many_draws_are_separable_as_cover_counts() {
    for (p, n) in [(20, 12), (24, 12), (16, 9), (5, 8)] {
        let points = normal(p as usize, n as usize, u64::from(p));
        let settings = JointSettings::default().vectors(2_000);
        let source = ArrayActivations::new(points.view(), &vec![1; p as usize]).unwrap();
        let expected = separable_share(p, n);
        let found = match joint_geometry(&source, &settings) {
            Ok(found) => found.separable,
            Err(Error::NotSeparable {
                separable, draws, ..
            }) => separable as f64 / draws as f64,
            Err(error) => panic!("{error}"),
        };
        let error = (expected * (1.0 - expected) / 2_000.0).sqrt();
        assert!(
            (found - expected).abs() <= 4.0 * error,
            "{p} in {n}: {found} of {expected}"
        );
    }
}

/// Beyond their capacity manifolds have no joint measures; what no vector separates has F of the whole span.
#[test]
fn what_cannot_be_separated_is_refused_or_measured_with_fewer_manifolds() {
    // 200 points in 30 features.
    let points = clouds(20, 10, 30, 3.0, 31);
    let source = ArrayActivations::new(points.view(), &[10; 20]).unwrap();
    let settings = JointSettings::default().centring(Centring::ByManifold);
    let error = joint_geometry(&source, &settings).expect_err("20 classes in 30 features");
    let Error::NotSeparable {
        separable,
        draws,
        manifolds,
        rank,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((separable, draws, manifolds, rank), (0, 200, 20.0, 30));
    assert!(
        error.to_string().contains("below 20 / 30 = 0.667"),
        "{error}"
    );

    let fewer = measure(
        points.view(),
        &[10; 20],
        &settings
            .clone()
            .manifolds_per_draw(ManifoldsPerDraw::Separable),
    );
    assert!(fewer.separable > 0.9, "{fewer:?}");
    assert!(fewer.manifolds_per_draw < 10 && fewer.manifolds.len() == 20);
    assert!(
        fewer
            .manifolds
            .iter()
            .all(|m| m.capacity.value.is_finite() && m.active > 0.0)
    );
    let asked = ManifoldsPerDraw::Count(fewer.manifolds_per_draw);
    let asked = measure(
        points.view(),
        &[10; 20],
        &settings.clone().manifolds_per_draw(asked),
    );
    assert_eq!(
        (asked.capacity, asked.manifolds),
        (fewer.capacity, fewer.manifolds)
    );

    // In enough features nothing changes, and a tenth of the draws beyond the threshold is told.
    let wide = clouds(6, 4, 60, 0.5, 32);
    let all = measure(wide.view(), &[4; 6], &JointSettings::default());
    let separable = JointSettings::default().manifolds_per_draw(ManifoldsPerDraw::Separable);
    let same = measure(wide.view(), &[4; 6], &separable);
    assert_eq!(
        (same.capacity, same.manifolds),
        (all.capacity, all.manifolds)
    );
    assert_eq!((all.separable, all.manifolds_per_draw), (1.0, 6));
}

/// One-sided labellings of centred manifolds, of which few manifolds have many, are no sign of too few features.
#[test]
fn few_centred_manifolds_in_many_features_all_take_part() {
    for p in 2..=8 {
        let points = clouds(p, 10, 200, 0.3, 50 + p as u64);
        let settings = JointSettings::default()
            .centring(Centring::ByManifold)
            .manifolds_per_draw(ManifoldsPerDraw::Separable);
        let found = measure(points.view(), &vec![10; p], &settings);
        assert_eq!((found.manifolds_per_draw, found.separable), (p, 1.0));
    }
}

/// Two of sixty manifolds take part in each of twenty draws: most in none.
#[test]
fn manifolds_that_no_draw_takes_count_for_nothing() {
    let points = clouds(60, 5, 40, 0.8, 71);
    let settings = JointSettings::default()
        .vectors(20)
        .resamples(200)
        .manifolds_per_draw(ManifoldsPerDraw::Count(2));
    let found = measure(points.view(), &[5; 60], &settings);
    let never = found.manifolds.iter().filter(|m| m.capacity.value.is_nan());
    assert!((20..=58).contains(&never.count()));
    let interval = found.capacity.interval.expect("resamples");
    assert!(
        interval.lower < found.capacity.value && found.capacity.value < interval.upper,
        "{:?}",
        found.capacity
    );
}

/// Manifolds that share nothing have the capacity of any number of them.
#[test]
fn independent_manifolds_have_one_capacity_however_many_take_part() {
    let points = {
        let own = normal(24, 600, 41);
        let mut all = normal(24 * 6, 600, 42);
        for (i, mut row) in all.rows_mut().into_iter().enumerate() {
            row += &own.row(i / 6);
        }
        all
    };
    let found = |manifolds| {
        let settings = JointSettings::default()
            .vectors(1_000)
            .manifolds_per_draw(manifolds);
        measure(points.view(), &[6; 24], &settings)
    };
    let all = found(ManifoldsPerDraw::All);
    for (count, labels) in [(3, 3), (12, 12)] {
        let some = found(ManifoldsPerDraw::Count(count));
        assert_eq!(some.manifolds_per_draw, labels);
        let ratio = some.capacity.value / all.capacity.value;
        assert!((ratio - 1.0).abs() < 0.06, "{count}: {ratio}");
        let identity =
            some.utility.value * (1.0 + some.radius.value.powi(-2)) / some.dimension.value;
        close("the identity", identity, some.capacity.value, 1e-12);
    }
}

/// Zero features and a rotation leave the inner products alone, and so the same draws; a common scale scales the anchors.
#[test]
fn zero_features_rotation_and_scale_change_nothing() {
    let points = clouds(5, 8, 24, 0.7, 6);
    let settings = JointSettings::default().vectors(60);
    let found = measure(points.view(), &[8; 5], &settings);
    let wide = concatenate![ndarray::Axis(1), points, Array2::zeros((40, 9))];
    let mut turned = points.clone();
    for seed in 0..10 {
        // Householder reflections.
        let v = normal(24, 1, 100 + seed);
        let scale = 2.0 / v.iter().map(|x| x * x).sum::<f64>();
        turned = &turned - &(turned.dot(&v).dot(&v.t()) * scale);
    }
    for (what, other, scale) in [
        ("zero features", wide, 1.0),
        ("rotation", turned, 1.0),
        ("scale", &points * 1024.0, 1024.0),
        ("small scale", &points * 1e-9, 1e-9),
    ] {
        let other = measure(other.view(), &[8; 5], &settings);
        let pairs = [
            (found.capacity.value, other.capacity.value),
            (found.dimension.value, other.dimension.value),
            (found.radius.value, other.radius.value),
            (found.utility.value, other.utility.value),
            (
                found.alignments.axes.absolute,
                other.alignments.axes.absolute / (scale * scale),
            ),
            (
                found.alignments.centre_axes.cosine,
                other.alignments.centre_axes.cosine,
            ),
        ];
        for (x, y) in pairs {
            close(what, y, x, 1e-9);
        }
    }
}

#[test]
fn the_same_bytes_on_any_number_of_threads() {
    let points = clouds(6, 60, 90, 0.7, 7);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().expect("a pool").install(|| {
            let settings = JointSettings::default().vectors(40).keep_draws(true);
            let found = measure(points.view(), &[60; 6], &settings);
            serde_json::to_string(&found).expect("json")
        })
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(3));
    let back: JointGeometry = serde_json::from_str(&one).expect("json");
    assert_eq!(back.draws.len(), 40);
    assert!(back.capacity.value > 0.0);
}

/// An interior-point solver on the primal, min ½‖v − t‖² subject to y⟨z, v⟩ ≥ κ.
#[test]
fn an_independent_solver_agrees() {
    for (seed, (p, m, n, margin)) in [
        (4, 15, 20, 0.0),
        (10, 8, 15, 0.0),
        (6, 5, 40, 0.7),
        (3, 60, 10, 0.0),
        (24, 1, 40, 1.3),
    ]
    .into_iter()
    .enumerate()
    {
        let points = clouds(p, m, n, 0.8, 20 + seed as u64);
        let vectors = normal(6, n, 40 + seed as u64);
        let settings = JointSettings::default()
            .given_vectors(vectors.clone())
            .margin(margin)
            .keep_draws(true);
        let found = measure(points.view(), &vec![m; p], &settings);
        for (v, draw) in found.draws.iter().enumerate() {
            // A·v + slack = −κ for A = −y z.
            let signed = |i: usize, j: usize| -f64::from(draw.labels[i / m]) * points[[i, j]];
            let dense: Vec<f64> = (0..n)
                .flat_map(|j| (0..p * m).map(move |i| (i, j)))
                .map(|(i, j)| signed(i, j))
                .collect();
            let a = CscMatrix::new(
                p * m,
                n,
                (0..=n).map(|j| j * p * m).collect(),
                (0..n).flat_map(|_| 0..p * m).collect(),
                dense,
            );
            // The program's t has the other sign where the primal's v is subtracted from it: the projection on the cone of
            // y z is what −t leaves of it.
            let q: Vec<f64> = vectors.row(v).iter().copied().collect();
            let quiet = DefaultSettings {
                verbose: false,
                tol_gap_abs: 1e-11,
                tol_gap_rel: 1e-11,
                tol_feas: 1e-11,
                ..Default::default()
            };
            let mut solver = DefaultSolver::new(
                &CscMatrix::identity(n),
                &q,
                &a,
                &vec![-margin; p * m],
                &[NonnegativeConeT(p * m)],
                quiet,
            )
            .expect("a problem");
            solver.solve();
            let x = &solver.solution.x;
            let expected: f64 = x.iter().zip(&q).map(|(x, q)| (x + q) * (x + q)).sum();
            close(&format!("case {seed}, draw {v}"), draw.f, expected, 1e-6);
        }
    }
}

/// Manifolds in orthogonal subspaces do not see each other: then F is the sum of single manifolds' F, and the joint capacity
/// the mean-field capacity of single manifolds.
#[test]
fn orthogonal_manifolds_have_the_mean_field_capacity() {
    let (p, m, d) = (5, 12, 6);
    let mut points = Array2::<f64>::zeros((p * m, p * (d + 1)));
    let mut inverse = 0.0;
    for i in 0..p {
        let mut shape = normal(d, m, 60 + i as u64) * (0.2 + 0.2 * i as f64);
        let mean = shape.mean_axis(ndarray::Axis(1)).expect("points");
        shape -= &mean.insert_axis(ndarray::Axis(1));
        for mu in 0..m {
            points[[i * m + mu, i * (d + 1)]] = 1.0;
            for j in 0..d {
                points[[i * m + mu, i * (d + 1) + 1 + j]] = shape[[j, mu]];
            }
        }
        let problem = ManifoldProblem::from_points(shape.t()).expect("usable points");
        let sampling = Sampling::default().vectors(40_000);
        let single = problem.measure(&sampling).expect("measures");
        inverse += single.capacity.value.recip();
    }
    let found = measure(
        points.view(),
        &vec![m; p],
        &JointSettings::default().vectors(4_000),
    );
    let mean_field = p as f64 / inverse;
    let error = found.capacity.standard_error.expect("many draws");
    assert!(error < 0.01 * mean_field);
    assert!(
        (found.capacity.value - mean_field).abs() < 4.0 * error,
        "{} ± {error} and {mean_field}",
        found.capacity.value
    );
}

/// Few manifolds in few features with a shared direction: what mean-field theory does not cover.
#[test]
fn correlated_manifolds_have_the_simulated_capacity() {
    for (p, seed) in [(30, 80), (20, 81)] {
        let points = clouds(p, 6, 120, 0.6, seed);
        let simulation = Simulation::default()
            .repetitions(200)
            .subtract_global_mean(false);
        let source = ArrayActivations::new(points.view(), &vec![6; p]).expect("sizes that fit");
        let simulated = simulate_capacity(&source, &simulation).expect("usable points");
        let found = measure(
            points.view(),
            &vec![6; p],
            &JointSettings::default().vectors(400),
        );
        let (low, high) = simulated.interval;
        let (alpha, error) = (
            found.capacity.value,
            found.capacity.standard_error.expect("many draws"),
        );
        assert!(
            high / low < 1.25,
            "the interval says something: {low}..{high}"
        );
        assert!(
            low - 2.0 * error < alpha && alpha < high + 2.0 * error,
            "joint {alpha} ± {error}, simulated {low}..{high}"
        );
    }
}

#[test]
fn centring_is_subtraction() {
    let points = clouds(4, 6, 20, 0.5, 9);
    let mean = points.mean_axis(ndarray::Axis(0)).expect("points");
    let settings = JointSettings::default().vectors(40);
    for centring in [Centring::ByManifold, Centring::ByPoint] {
        let one = measure(points.view(), &[6; 4], &settings.clone().centring(centring));
        let other = measure((&points - &mean).view(), &[6; 4], &settings);
        close("capacity", one.capacity.value, other.capacity.value, 1e-9);
        close("radius", one.radius.value, other.radius.value, 1e-8);
    }
    let raw = measure(points.view(), &[6; 4], &settings);
    let centred = settings.centring(Centring::ByPoint);
    let centred = measure(points.view(), &[6; 4], &centred);
    assert!((raw.capacity.value - centred.capacity.value).abs() > 0.01);
}

#[test]
fn sampling_stops_at_the_error_asked_for() {
    let points = clouds(8, 5, 60, 0.5, 10);
    let until = |error, cap| {
        let settings = JointSettings::default().until_relative_error(error, cap);
        measure(points.view(), &[5; 8], &settings)
    };
    let found = until(0.02, 20_000);
    assert!(
        found.vectors > 200 && found.vectors < 20_000,
        "{}",
        found.vectors
    );
    for m in [found.capacity, found.dimension, found.radius] {
        assert!(m.standard_error.expect("many draws") <= 0.02 * m.value);
    }
    assert_eq!(until(1e-6, 300).vectors, 300);
}

#[test]
fn it_can_be_cancelled_and_tells_how_far_it_is() {
    let points = clouds(4, 5, 30, 0.5, 11);
    let source = ArrayActivations::new(points.view(), &[5; 4]).expect("sizes that fit");
    let stopped = joint_geometry_with(&source, &JointSettings::default(), &|told| match told {
        Progress::Vectors { done, of } if done >= 20 => {
            assert_eq!(of, 200);
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(stopped, Err(Error::Cancelled)));
}

#[test]
fn errors_name_what_is_wrong() {
    let points = clouds(3, 4, 10, 0.5, 12);
    let fails = |points: &Array2<f64>, settings: JointSettings| {
        let source = ArrayActivations::new(points.view(), &[4; 3]).expect("sizes that fit");
        joint_geometry(&source, &settings)
            .expect_err("unusable")
            .to_string()
    };
    let with = JointSettings::default;
    assert!(fails(&points, with().margin(-1.0)).contains("`margin` is -1"));
    assert!(fails(&points, with().vectors(0)).contains("`vectors` is 0"));
    assert!(fails(&points, with().labels(Labels::Fixed(vec![vec![1, 2, 1]]))).contains("is 2"));
    assert!(fails(&points, with().labels(Labels::Fixed(vec![vec![1, 1]]))).contains("found 2"));
    assert!(fails(&points, with().given_vectors(normal(3, 9, 1))).contains("found 9"));
    for count in [0, 1, 4] {
        let some = with().manifolds_per_draw(ManifoldsPerDraw::Count(count));
        assert!(fails(&points, some).contains(&format!("`manifolds_per_draw` is {count}")));
    }
    let given = with().labels(Labels::Fixed(vec![vec![1, -1, 1]]));
    let both = given.manifolds_per_draw(ManifoldsPerDraw::Count(2));
    assert!(fails(&points, both).contains("where labels are given"));
    assert!(fails(&Array2::zeros((12, 10)), with()).contains("at the origin"));
    // Twelve points in two features have no margin for most dichotomies.
    let narrow = points.slice(s![.., ..2]).to_owned();
    assert!(fails(&narrow, with().margin(1.0)).contains("not separable"));
    let mut broken = points.clone();
    broken[[7, 3]] = f64::NAN;
    assert!(fails(&broken, with()).contains("manifold 1, point 3, feature 3 is NaN"));
}

/// Two manifolds of 200 points on spheres of `dimension` directions and radius `radius` around centres of length 1 at the cosine
/// `alignment`, in 1,000 features.
fn spheres(dimension: usize, radius: f64, alignment: f64, seed: u64) -> Array2<f64> {
    const POINTS: usize = 200;
    // Orthonormal: a direction that both centres share, one of each centre, the axes of each.
    let mut basis = normal(3 + 2 * dimension, 1000, seed);
    for i in 0..basis.nrows() {
        let (done, mut rest) = basis.view_mut().split_at(ndarray::Axis(0), i);
        let mut row = rest.row_mut(0);
        for other in done.rows() {
            let along = row.dot(&other);
            row.scaled_add(-along, &other);
        }
        let length = row.dot(&row).sqrt();
        row /= length;
    }
    let mut places = normal(2 * POINTS, dimension, seed + 1);
    for mut place in places.rows_mut() {
        let length = place.dot(&place).sqrt();
        place *= radius / length;
    }
    let (shared, own) = (alignment.sqrt(), (1.0 - alignment).sqrt());
    let mut points = Array2::zeros((2 * POINTS, 1000));
    for (i, mut point) in points.rows_mut().into_iter().enumerate() {
        let manifold = i / POINTS;
        point.scaled_add(shared, &basis.row(0));
        point.scaled_add(own, &basis.row(1 + manifold));
        for (axis, &along) in places.row(i).iter().enumerate() {
            point.scaled_add(along, &basis.row(3 + manifold * dimension + axis));
        }
    }
    points
}

/// The published recovery of planted geometry by GLUE's measures (two manifolds of 200 points in 1,000 features): what comes back of planted
/// dimensions, radii and alignments of centres. The two manifolds have opposite labels: with random ones, which are equal half of the time, the
/// radius rises to 1.17 with the alignment instead of 1.82. The published draws are not known: dimensions and radii must agree within 6 %,
/// alignments within .05, for theirs are means of absolute cosines, which independent centres do not bring to 0.
#[test]
fn planted_geometry_is_recovered_as_published() {
    let settings = JointSettings::default()
        .vectors(600)
        .labels(Labels::Fixed(vec![vec![1, -1]]));
    let found = |dimension, radius, alignment| {
        let points = spheres(dimension, radius, alignment, 40);
        measure(points.view(), &[200, 200], &settings)
    };
    let near = |what: &str, found: f64, published: f64| {
        let error = (found / published - 1.0).abs();
        assert!(error < 0.06, "{what}: {found}, published {published}");
    };
    for (planted, published) in [(2, 2.25), (4, 4.07), (6, 5.61), (8, 6.98), (10, 8.17)] {
        let dimension = found(planted, 1.0, 0.0).dimension.value;
        near(&format!("D {planted}"), dimension, published);
    }
    for (planted, published) in [
        (0.8, 0.87),
        (1.0, 1.03),
        (1.4, 1.34),
        (1.7, 1.56),
        (2.0, 1.77),
    ] {
        let radius = found(4, planted, 0.0).radius.value;
        near(&format!("R {planted}"), radius, published);
    }
    let mut before = 0.0;
    // Of the radii the ends are published.
    for (planted, published, radius) in [
        (0.0, 0.04, Some(1.02)),
        (0.2, 0.22, None),
        (0.4, 0.41, None),
        (0.6, 0.61, None),
        (0.8, 0.81, Some(1.82)),
    ] {
        let geometry = found(4, 1.0, planted);
        let cosine = geometry.alignments.centres.cosine;
        let gap = (cosine - published).abs();
        assert!(
            gap < 0.05,
            "alignment {planted}: {cosine}, published {published}"
        );
        if let Some(radius) = radius {
            near(
                &format!("R at alignment {planted}"),
                geometry.radius.value,
                radius,
            );
        }
        // What tells opposite labels apart is the centres' difference: the more aligned they are, the shorter it is beside the same spread.
        assert!(geometry.radius.value > before, "alignment {planted}");
        before = geometry.radius.value;
    }
}

/// Hands out blocks of a width of its own, and counts those that go out.
struct Counted<'a> {
    points: ArrayActivations<'a, f64>,
    width: usize,
    blocks: Cell<usize>,
}

impl Activations for Counted<'_> {
    fn points_per_manifold(&self) -> &[usize] {
        self.points.points_per_manifold()
    }

    fn n_features(&self) -> usize {
        self.points.n_features()
    }

    fn for_each_block(
        &self,
        visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        for start in (0..self.n_features()).step_by(self.width) {
            self.blocks.set(self.blocks.get() + 1);
            let end = self.n_features().min(start + self.width);
            let block = self.points.points();
            if visit(Block::F64(block.slice(s![.., start..end]))).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Blocks wider and narrower than the engine's own, one that it cuts in two and one that leaves a rest.
#[test]
fn both_kinds_of_measures_come_of_one_pass_with_the_bytes_that_each_has_alone() {
    let points = clouds(6, 5, 5_000, 0.7, 40);
    let analysis = AnalysisSettings::default()
        .vectors(20)
        .resamples(50)
        .spectrum(0.9);
    let analysis = Analysis::new(analysis).expect("settings in range");
    let joint = JointSettings::default()
        .vectors(20)
        .resamples(50)
        .centring(Centring::ByManifold);
    for width in [700, 1_024, 1_500, 5_000] {
        let source = || Counted {
            points: ArrayActivations::new(points.view(), &[5; 6]).expect("sizes that fit"),
            width,
            blocks: Cell::new(0),
        };
        let together = source();
        let (geometry, found) = analysis
            .run_with_joint(&together, &joint, &go_on)
            .expect("usable points");
        let alone = source();
        assert_eq!(
            geometry.expect("usable points"),
            analysis.run(&alone).expect("usable points")
        );
        assert_eq!(together.blocks.get(), alone.blocks.get(), "{width}");
        let expected = joint_geometry(&source(), &joint).expect("usable points");
        // As text, because a radius may be NaN, and NaN is not equal to itself.
        let found = found.expect("usable points");
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{width}");
    }
    // The reference's conventions keep the order of the points, and the joint measures do not.
    let analysis = AnalysisSettings::default()
        .vectors(20)
        .conventions(Conventions::reference());
    let analysis = Analysis::new(analysis).expect("settings in range");
    let source = ArrayActivations::new(points.view(), &[5; 6]).expect("sizes that fit");
    let (geometry, found) = analysis
        .run_with_joint(&source, &joint, &go_on)
        .expect("usable points");
    assert_eq!(
        geometry.expect("usable points"),
        analysis.run(&source).expect("usable points")
    );
    let expected = joint_geometry(&source, &joint).expect("usable points");
    let found = found.expect("usable points");
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

#[test]
fn one_kind_of_measures_may_fail_and_leaves_the_other() {
    let analysis = Analysis::new(AnalysisSettings::default().vectors(10)).expect("in range");
    let joint = JointSettings::default().vectors(10);
    let mut points = clouds(4, 6, 30, 0.7, 41);
    // The centre of one class is the mean of all, so that it has none.
    let mean = points.mean_axis(ndarray::Axis(0)).expect("points");
    let own = points
        .slice(s![..6, ..])
        .mean_axis(ndarray::Axis(0))
        .expect("points");
    let others = (&mean * 24.0 - &own * 6.0) / 18.0;
    for mut row in points.slice_mut(s![..6, ..]).rows_mut() {
        row += &(&others - &own);
    }
    let source = ArrayActivations::new(points.view(), &[6; 4]).expect("sizes that fit");
    let (geometry, found) = analysis
        .run_with_joint(&source, &joint, &go_on)
        .expect("one of them");
    let error = geometry.expect_err("a class without a centre");
    assert!(
        matches!(error, Error::NoCentre { manifold: 0, .. }),
        "{error}"
    );
    let expected = joint_geometry(&source, &joint).expect("the joint measures");
    let found = found.expect("the joint measures");
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));

    let points = clouds(4, 6, 30, 0.7, 42);
    let source = ArrayActivations::new(points.view(), &[6; 4]).expect("sizes that fit");
    let settings = joint.clone().margin(-1.0);
    let (geometry, found) = analysis
        .run_with_joint(&source, &settings, &go_on)
        .expect("one of them");
    assert!(geometry.is_ok());
    assert!(matches!(
        found,
        Err(Error::Setting {
            setting: "margin",
            ..
        })
    ));

    let stop = |_: Progress| ControlFlow::Break(());
    let error = analysis.run_with_joint(&source, &joint, &stop);
    assert!(matches!(error, Err(Error::Cancelled)));
    let mut points = points;
    points[(7, 3)] = f64::NAN;
    let source = ArrayActivations::new(points.view(), &[6; 4]).expect("sizes that fit");
    let error = analysis.run_with_joint(&source, &joint, &go_on);
    assert!(matches!(
        error,
        Err(Error::NotFinite {
            manifold: 1,
            point: 1,
            feature: 3,
            ..
        })
    ));
}

/// At κ = 0 shares are taken from the faces that draws end on, above it from the duals: they have the same expectation.
#[test]
fn shares_of_manifolds_have_the_expectation_of_their_duals_terms() {
    let points = clouds(5, 6, 60, 0.8, 50);
    let settings = JointSettings::default()
        .centring(Centring::ByManifold)
        .vectors(4_000);
    let faces = measure(points.view(), &[6; 5], &settings);
    let duals = measure(points.view(), &[6; 5], &settings.margin(1e-12));
    let share = |m: &mftma::joint::JointManifold| {
        let error = m.capacity.standard_error.expect("many draws");
        (m.capacity.value.recip(), error / m.capacity.value.powi(2))
    };
    let mut unequal = false;
    for (a, b) in faces.manifolds.iter().zip(&duals.manifolds) {
        let ((a, error_a), (b, error_b)) = (share(a), share(b));
        assert!((a - b).abs() < 4.0 * error_a.hypot(error_b), "{a} {b}");
        assert!(error_a < error_b, "{error_a} {error_b}");
        unequal |= error_b > 2.0 * error_a;
    }
    assert!(unequal, "a rule without use");
}

/// Nearly all directions are needed, so that duals are huge; shares and intervals are no worse for it.
#[test]
fn intervals_over_classes_stand_where_the_capacity_is_near_its_bound() {
    let points = clouds(30, 8, 40, 0.4, 51);
    let settings = JointSettings::default()
        .centring(Centring::ByManifold)
        .resamples(400);
    let found = measure(points.view(), &[8; 30], &settings);
    let alpha = found.capacity.value;
    let interval = found.capacity.interval.expect("asked for");
    assert!(
        0.7 * alpha < interval.lower && interval.lower < alpha,
        "{alpha} {interval:?}"
    );
    assert!(
        alpha < interval.upper && interval.upper < 1.4 * alpha,
        "{alpha} {interval:?}"
    );
    assert!(found.manifolds.iter().all(|m| m.capacity.value > 0.0));
}

/// Inner products of points whose directions differ by 10⁶ and more in size leave few digits: the active set must neither run in circles
/// nor lose the solution that it had.
#[test]
fn directions_of_very_unequal_size() {
    let (p, m, n) = (10, 20, 100);
    for decades in [6.0, 7.0, 8.0, 10.0, 14.0] {
        let mut points = normal(p * m, n, 5);
        let centres = normal(p, n, 6);
        for (i, mut row) in points.rows_mut().into_iter().enumerate() {
            for (j, x) in row.iter_mut().enumerate() {
                let size = 10f64.powf(-decades * j as f64 / n as f64);
                *x = size * (3.0 * *x + centres[[i / m, j]]);
            }
        }
        let found = measure(
            points.view(),
            &vec![m; p],
            &JointSettings::default().vectors(10),
        );
        assert!(
            found.kkt_residual < 1e-4 && found.capacity.value > 0.1,
            "{decades} decades: residual {:e}, capacity {}",
            found.kkt_residual,
            found.capacity.value
        );
    }
}
