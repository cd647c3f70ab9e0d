//! Random-matrix predictions against large matrices, errors over time, permuted labels.

use mftma_linear::{
    Dynamics, Errors, LinearError, Modes, Spiked, Svd, Whitening, centred, correlation, one_hot,
    permuted_edges, white_permuted_edges,
};
use ndarray::{Array2, arr1, array, s};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn noise(seed: u64, n: usize, p: usize) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((n, p), || StandardNormal.sample(&mut rng))
}

/// A teacher (m, n) with these singular values and random vectors.
fn teacher(seed: u64, m: usize, n: usize, strengths: &[f64]) -> (Array2<f64>, Svd) {
    let k = strengths.len();
    let left = Svd::new(noise(seed, m, k).view()).unwrap().left;
    let right = Svd::new(noise(seed + 1, n, k).view()).unwrap().left;
    let matrix = left
        .dot(&Array2::from_diag(&arr1(strengths)))
        .dot(&right.t());
    let values = strengths.to_vec();
    (
        matrix,
        Svd {
            left,
            values,
            right,
        },
    )
}

const STRENGTHS: [f64; 3] = [3.0, 1.8, 0.5];

/// A noisy correlation matrix, the teacher and its modes, and the theory of it.
fn large(seed: u64, m: usize, n: usize) -> (Svd, Array2<f64>, Svd, Spiked) {
    let sigma = 0.9;
    let (matrix, modes) = teacher(seed, m, n, &STRENGTHS);
    let noisy = &matrix + &(sigma / (n as f64).sqrt() * noise(seed + 7, m, n));
    (
        Svd::new(noisy.view()).unwrap(),
        matrix,
        modes,
        Spiked::new(m, n, sigma).unwrap(),
    )
}

#[test]
fn large_matrices_behave_as_predicted() {
    const DRAWS: usize = 4;
    for (seed, m, n) in [(1, 250, 500), (20, 500, 250), (40, 350, 350)] {
        let draws: Vec<_> = (0..DRAWS as u64)
            .map(|k| large(seed + 3 * k, m, n))
            .collect();
        let theory = draws[0].3;
        let mean = |of: &dyn Fn(&Svd, &Svd) -> f64| {
            draws
                .iter()
                .map(|(data, _, modes, _)| of(data, modes))
                .sum::<f64>()
                / DRAWS as f64
        };
        assert!(theory.threshold() > 0.5 && theory.threshold() < 1.8);
        for (k, &strength) in STRENGTHS[..2].iter().enumerate() {
            let (left, right) = theory.overlaps(strength);
            let seen = mean(&|d, t| d.left.column(k).dot(&t.left.column(k)).powi(2));
            assert!(
                (seen - left).abs() < 0.05,
                "{m}×{n}, mode {k}: {seen} {left}"
            );
            let seen = mean(&|d, t| d.right.column(k).dot(&t.right.column(k)).powi(2));
            assert!(
                (seen - right).abs() < 0.05,
                "{m}×{n}, mode {k}: {seen} {right}"
            );
            let (seen, value) = (mean(&|d, _| d.values[k]), theory.observed(strength));
            assert!(
                (seen / value - 1.0).abs() < 0.02,
                "{m}×{n}, mode {k}: {seen} {value}"
            );
        }
        // The third is lost in the noise, whose edges are those of Marchenko and Pastur.
        let edges = theory.edges();
        let seen = mean(&|d, _| d.values[2]);
        assert!((seen / edges.upper - 1.0).abs() < 0.03, "{seen} {edges:?}");
        let least = mean(&|d, _| d.values[d.values.len() - 1]);
        assert!((least - edges.lower).abs() < 0.03, "{least} {edges:?}");
        let overlap = mean(&|d, t| d.left.column(2).dot(&t.left.column(2)).powi(2));
        assert!(overlap < 0.05, "{overlap}");
        // Averages over the bulk.
        let bulk = theory.bulk(200).unwrap();
        for power in [1, 2, 4] {
            let predicted: f64 = bulk.iter().map(|(s, w)| w * s.powi(power)).sum();
            let rest = (m.min(n) - 2) as f64;
            let seen =
                mean(&|d, _| d.values[2..].iter().map(|s| s.powi(power)).sum::<f64>() / rest);
            assert!(
                (seen / predicted - 1.0).abs() < 0.02,
                "{m}×{n}, power {power}: {seen} {predicted}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn formulas_of_the_spiked_model(m in 1usize..200, n in 1usize..200, sigma in 0.01f64..5.0, theta in 1.01f64..20.0) {
        let model = Spiked::new(m, n, sigma).unwrap();
        let c = m as f64 / n as f64;
        // Weights of the bulk sum to 1; its mean square is that of the entries, σ² max(1, c).
        let bulk = model.bulk(400).unwrap();
        let total: f64 = bulk.iter().map(|b| b.1).sum();
        let square: f64 = bulk.iter().map(|b| b.1 * b.0 * b.0).sum();
        prop_assert!((total - 1.0).abs() < 1e-2);
        prop_assert!((square / (sigma * sigma * c.max(1.0)) - 1.0).abs() < 1e-9);
        prop_assert!(bulk.iter().all(|b| b.0 >= model.edges().lower - 1e-9 && b.0 <= model.edges().upper + 1e-9));
        // Above the transition: the alignment is Gavish and Donoho's shrinkage of what is seen.
        let strength = theta * model.threshold();
        let y = model.observed(strength) / sigma;
        let shrunk = sigma * (((y * y - c - 1.0).powi(2) - 4.0 * c).max(0.0)).sqrt() / y;
        prop_assert!((model.alignment(strength) / shrunk - 1.0).abs() < 1e-6);
        prop_assert!((model.teacher(model.observed(strength)).unwrap() / strength - 1.0).abs() < 1e-6);
        // Overlaps as written in the source.
        let q = strength / sigma;
        let (left, right) = model.overlaps(strength);
        prop_assert!((left - (1.0 - c * (1.0 + q * q) / (q * q * (q * q + c)))).abs() < 1e-9);
        prop_assert!((right - (1.0 - (c + q * q) / (q * q * (q * q + 1.0)))).abs() < 1e-9);
        // Rows and columns exchanged: entries of the same size are noise σ√c.
        let turned = Spiked::new(n, m, sigma * c.sqrt()).unwrap();
        prop_assert!((turned.observed(strength) / model.observed(strength) - 1.0).abs() < 1e-9);
        let (right_turned, left_turned) = turned.overlaps(strength);
        prop_assert!((left_turned - left).abs() < 1e-9 && (right_turned - right).abs() < 1e-9);
        // At the transition all is continuous; below it nothing is left.
        prop_assert!((model.observed(model.threshold() * (1.0 + 1e-6)) / model.edges().upper - 1.0).abs() < 1e-5);
        prop_assert_eq!(model.overlaps(0.99 * model.threshold()), (0.0, 0.0));
        prop_assert_eq!(model.teacher(model.edges().upper), None);
    }
}

#[test]
fn errors_over_time_are_as_predicted_and_as_simulated() {
    let (data, matrix, _, theory) = large(5, 200, 400);
    let measured = Modes::measured(&data, matrix.view()).unwrap();
    let predicted = Modes::predicted(&theory, &STRENGTHS, 200).unwrap();
    let (power, rebuilt) = (measured.teacher_power(), &data);
    assert!((power - STRENGTHS.iter().map(|s| s * s).sum::<f64>()).abs() < 1e-9);
    assert!((measured.data_power() / predicted.data_power() - 1.0).abs() < 0.02);
    let times = [0.0, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 1e4];
    for depth in [1, 2, 3] {
        let dynamics = Dynamics::new(depth, 1e-3, 1.0).unwrap();
        let seen = measured.errors(&dynamics, &times).unwrap();
        for (k, &t) in times.iter().enumerate() {
            // The student put together as a matrix.
            let strengths = rebuilt.values.iter().map(|&s| dynamics.strength(s, t));
            let strengths: Vec<f64> = strengths.collect();
            let student = rebuilt
                .left
                .dot(&Array2::from_diag(&arr1(&strengths)))
                .dot(&rebuilt.right.t());
            let test: f64 = (&matrix - &student).iter().map(|x| x * x).sum();
            assert!(
                (test - seen[k].test).abs() < 1e-8 * (1.0 + test),
                "{depth} {t}"
            );
            // Singular values of a matrix of this size are a few per cent off, so the theory's clock may be.
            let around = predicted
                .errors(&dynamics, &[0.95 * t, t, 1.05 * t])
                .unwrap();
            let within = |seen: f64, of: &dyn Fn(&Errors) -> f64| {
                let values = around.iter().map(of);
                let (low, high) =
                    values.fold((f64::INFINITY, 0.0f64), |b, v| (b.0.min(v), b.1.max(v)));
                let margin = 0.03 * high.max(power);
                assert!(
                    seen > low - margin && seen < high + margin,
                    "{depth} {t}: {seen}, {low} to {high}"
                );
            };
            within(seen[k].test, &|e| e.test);
            within(seen[k].train, &|e| e.train);
        }
        assert!(seen[8].train < 1e-9 * seen[0].train);
        assert!(seen.windows(2).all(|pair| pair[1].train < pair[0].train));
    }
}

#[test]
fn the_best_time_to_stop() {
    let theory = Spiked::new(50, 100, 1.0).unwrap();
    let modes = Modes::predicted(&theory, &[4.0, 2.0], 200).unwrap();
    let dynamics = Dynamics::new(2, 1e-3, 1.0).unwrap();
    let stop = modes.optimal_stopping(&dynamics, 100.0).unwrap();
    assert!(stop.overfits && stop.best.time > 0.0 && stop.best.time < 10.0);
    assert!(stop.best.test < modes.teacher_power() && stop.best.test < stop.end.test);
    // No better time on a fine grid; slope 0 there; better still where each mode stops by itself.
    let grid: Vec<f64> = (0..2000).map(|i| 0.01 * f64::from(i)).collect();
    for errors in modes.errors(&dynamics, &grid).unwrap() {
        assert!(errors.test >= stop.best.test - 1e-9);
    }
    let near = modes
        .errors(&dynamics, &[stop.best.time - 1e-3, stop.best.time + 1e-3])
        .unwrap();
    assert!((near[1].test - near[0].test).abs() < 1e-4);
    assert!(modes.best_test() < stop.best.test);
    // A single mode seen through noise: the best time is that at which it has reached its alignment.
    let (weak, one) = (
        Spiked::new(1, 1, 0.3).unwrap(),
        Dynamics::new(2, 1e-4, 1.0).unwrap(),
    );
    let single = Modes::predicted(&weak, &[1.0], 10).unwrap();
    let stop = single.optimal_stopping(&one, 50.0).unwrap();
    let expected = one
        .time_to(weak.observed(1.0), weak.alignment(1.0))
        .unwrap();
    assert!(
        (stop.best.time / expected - 1.0).abs() < 1e-5,
        "{} {expected}",
        stop.best.time
    );
    assert!((single.best_test() - stop.best.test).abs() < 1e-9);
    // Without noise training longer never harms.
    let clean = Modes::predicted(&Spiked::new(50, 100, 0.0).unwrap(), &[4.0, 2.0], 10).unwrap();
    let stop = clean.optimal_stopping(&dynamics, 100.0).unwrap();
    assert!(stop.best.test < 1e-3 && stop.end.test - stop.best.test < 1e-3);
    // Pure noise, as of permuted labels: best not to start.
    let pure = Modes::predicted(&theory, &[], 200).unwrap();
    assert_eq!(
        pure.optimal_stopping(&dynamics, 100.0).unwrap().best.time,
        0.0
    );
    assert!(modes.optimal_stopping(&dynamics, 0.0).is_err());
}

fn shuffled(seed: u64, per_class: usize, classes: usize) -> Vec<u16> {
    let mut labels: Vec<u16> = (0..per_class * classes)
        .map(|i| (i % classes) as u16)
        .collect();
    labels.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    labels
}

#[test]
fn permuted_labels_leave_singular_values_within_their_edges() {
    let (per_class, classes, n) = (20, 81, 200);
    let examples = per_class * classes;
    let targets = one_hot(&shuffled(1, per_class, classes), classes).unwrap();
    let targets = centred(targets.view()).unwrap();
    let raw = noise(2, examples, n) + &noise(3, 1, n);

    let whitening = Whitening::fit(raw.view(), n).unwrap();
    let white = whitening.apply(raw.view()).unwrap();
    let identity = white.t().dot(&white) / examples as f64 - Array2::<f64>::eye(n);
    assert!(identity.iter().all(|x| x.abs() < 1e-9));
    let values = Svd::new(correlation(white.view(), targets.view()).unwrap().view())
        .unwrap()
        .values;
    let edges = white_permuted_edges(n, examples, classes).unwrap();
    // One of them is 0: targets are centred.
    assert!(values[classes - 1] < 1e-12);
    assert!(
        (values[0] / edges.upper - 1.0).abs() < 0.03,
        "{} {edges:?}",
        values[0]
    );
    assert!(
        (values[classes - 2] / edges.lower - 1.0).abs() < 0.05,
        "{} {edges:?}",
        values[classes - 2]
    );
    // Labels that are not permuted lie beyond.
    let labels: Vec<u16> = (0..examples).map(|i| (i % classes) as u16).collect();
    let means = noise(4, classes, n);
    let clean = Array2::from_shape_fn((examples, n), |(i, j)| {
        raw[[i, j]] + 4.0 * means[[i % classes, j]]
    });
    let fit = Whitening::fit(clean.view(), n).unwrap();
    let kept = centred(one_hot(&labels, classes).unwrap().view()).unwrap();
    let white = fit.apply(clean.view()).unwrap();
    let values = Svd::new(correlation(white.view(), kept.view()).unwrap().view())
        .unwrap()
        .values;
    assert!(values[classes - 2] > 1.2 * edges.upper);
}

#[test]
fn permuted_labels_of_inputs_that_are_not_white() {
    let (per_class, classes, n) = (60, 81, 200);
    let examples = per_class * classes;
    let mut inputs = noise(6, examples, n);
    inputs.slice_mut(s![.., ..50]).mapv_inplace(|x| 3.0 * x);
    let inputs = centred(inputs.view()).unwrap();
    let variances = Whitening::fit(inputs.view(), 1)
        .unwrap()
        .variances()
        .to_vec();
    assert_eq!(variances.len(), n);
    let edges = permuted_edges(&variances, examples, classes).unwrap();
    const DRAWS: u64 = 6;
    let (mut upper, mut lower) = (0.0, 0.0);
    for draw in 0..DRAWS {
        let targets = one_hot(&shuffled(draw, per_class, classes), classes).unwrap();
        let targets = centred(targets.view()).unwrap();
        let sigma = correlation(inputs.view(), targets.view()).unwrap();
        let values = Svd::new(sigma.view()).unwrap().values;
        upper += values[0] / DRAWS as f64;
        lower += values[classes - 2] / DRAWS as f64;
    }
    assert!(
        (upper / edges.upper - 1.0).abs() < 0.05,
        "{upper} {edges:?}"
    );
    // The least value of 80 lies farther inside than the largest; their own edge is tested by the larger case below.
    assert!(
        lower > edges.lower && lower < 1.1 * edges.lower,
        "{lower} {edges:?}"
    );
}

/// The law behind it by itself, larger: normal entries with two variances.
#[test]
fn edges_of_noise_with_two_variances() {
    let (classes, n) = (301, 700);
    let mut z = noise(8, classes - 1, n);
    z.slice_mut(s![.., ..200]).mapv_inplace(|x| 2.0 * x);
    let variances: Vec<f64> = (0..n).map(|j| if j < 200 { 4.0 } else { 1.0 }).collect();
    let values = Svd::new(z.view()).unwrap().values;
    let examples = 1_001;
    let edges = permuted_edges(&variances, examples, classes).unwrap();
    let scale = (classes as f64 * (examples - 1) as f64).sqrt();
    assert!(
        (values[0] / scale / edges.upper - 1.0).abs() < 0.02,
        "{} {edges:?}",
        values[0] / scale
    );
    let least = values[classes - 2] / scale;
    assert!(
        (least / edges.lower - 1.0).abs() < 0.02,
        "{least} {edges:?}"
    );
}

#[test]
fn edges_in_closed_cases() {
    // White inputs: Marchenko and Pastur, on either side of a square.
    for (n, classes) in [(100, 26), (26, 101), (9, 10)] {
        let edges = permuted_edges(&vec![1.0; n], 5001, classes).unwrap();
        let scale = (classes as f64 * 5000.0).sqrt();
        let (x, y) = ((n as f64).sqrt(), (classes as f64 - 1.0).sqrt());
        assert!(
            (edges.upper - (x + y) / scale).abs() < 1e-9,
            "{n} {classes}"
        );
        assert!(
            (edges.lower - (x - y).abs() / scale).abs() < 1e-7,
            "{n} {classes}"
        );
    }
    // Many more examples than inputs and classes: the exact proportions no longer matter.
    let exact = white_permuted_edges(100, 10_000_000, 26).unwrap();
    let limit = permuted_edges(&[1.0; 100], 10_000_000, 26).unwrap();
    assert!(
        (exact.upper / limit.upper - 1.0).abs() < 1e-5
            && (exact.lower / limit.lower - 1.0).abs() < 1e-4
    );
    // The law is that of noise in the spiked model with n inputs and C − 1 outputs.
    let model = Spiked::new(25, 100, (100.0 / (26.0 * 9_999_999.0f64)).sqrt()).unwrap();
    assert!((model.edges().upper / limit.upper - 1.0).abs() < 1e-9);
}

#[test]
fn correlations_by_hand() {
    let inputs = array![[1.0f32, 2.0], [3.0, 0.0], [5.0, 4.0], [7.0, 2.0]];
    let x = centred(inputs.view()).unwrap();
    assert_eq!(x, array![[-3.0, 0.0], [-1.0, -2.0], [1.0, 2.0], [3.0, 0.0]]);
    let y = one_hot(&[0, 0, 1, 1], 2).unwrap();
    assert_eq!(
        correlation(x.view(), y.view()).unwrap(),
        array![[-1.0, -0.5], [1.0, 0.5]]
    );
    let modes = Svd::new(array![[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]].view()).unwrap();
    assert!((modes.values[0] - 2.0).abs() < 1e-15 && (modes.values[1] - 1.0).abs() < 1e-15);
    assert_eq!(modes.shape(), (2, 3));
}

#[test]
fn unusable_input_is_refused() {
    assert!(matches!(
        one_hot(&[0, 3], 3),
        Err(LinearError::Setting {
            setting: "labels",
            ..
        })
    ));
    let (x, y) = (noise(1, 4, 2), noise(2, 5, 2));
    assert!(matches!(
        correlation(x.view(), y.view()),
        Err(LinearError::Shape {
            expected: 4,
            found: 5,
            ..
        })
    ));
    let mut bad = x.clone();
    bad[[2, 1]] = f64::NAN;
    assert!(matches!(
        centred(bad.view()),
        Err(LinearError::NotFinite {
            row: 2,
            column: 1,
            ..
        })
    ));
    assert!(matches!(
        Svd::new(bad.view()),
        Err(LinearError::NotFinite { .. })
    ));
    assert!(matches!(
        Svd::new(Array2::zeros((0, 3)).view()),
        Err(LinearError::Empty { .. })
    ));
    assert!(Whitening::fit(Array2::<f64>::ones((4, 2)).view(), 2).is_err());
    assert!(Whitening::fit(x.view(), 0).is_err());
    assert!(
        Whitening::fit(x.view(), 2)
            .unwrap()
            .apply(noise(1, 3, 3).view())
            .is_err()
    );
    assert!(Spiked::new(0, 1, 1.0).is_err() && Spiked::new(1, 1, -1.0).is_err());
    let model = Spiked::new(2, 3, 1.0).unwrap();
    assert!(Modes::predicted(&model, &[1.0; 3], 10).is_err());
    assert!(Modes::predicted(&model, &[-1.0], 10).is_err() && model.bulk(0).is_err());
    let data = Svd::new(x.view()).unwrap();
    assert!(matches!(
        Modes::measured(&data, y.view()),
        Err(LinearError::Shape { .. })
    ));
    assert!(white_permuted_edges(100, 105, 10).is_err() && white_permuted_edges(1, 10, 1).is_err());
    assert!(permuted_edges(&[], 10, 2).is_err() && permuted_edges(&[0.0], 10, 2).is_err());
}
