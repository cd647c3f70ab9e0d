//! Mode strengths: closed forms, the differential equation, gradient descent on real linear networks.

use mftma_linear::{
    Dynamics, LinearError, Svd, Whitening, aligned_weights, correlation, layer_strengths,
};
use ndarray::{Array2, ArrayView2};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn noise(seed: u64, n: usize, p: usize) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((n, p), || StandardNormal.sample(&mut rng))
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1e-3)
}

/// Strength by the layers' own differential equation, from equal layers.
fn by_layers(depth: usize, u0: f64, s: f64, times: &[f64]) -> Vec<f64> {
    let each = u0.powf(1.0 / depth as f64);
    let layers = layer_strengths(&vec![each; depth], s, 1.7, times).unwrap();
    layers.rows().into_iter().map(|row| row.product()).collect()
}

#[test]
fn the_equation_gives_the_closed_forms_back() {
    let times = [0.0, 0.3, 1.0, 2.5, 6.0, 12.0];
    for depth in [1, 2] {
        for (u0, s) in [(1e-3, 2.0), (0.2, 0.7), (1.5, 0.4), (0.3, 0.0), (0.5, 0.5)] {
            let dynamics = Dynamics::new(depth, u0, 1.7).unwrap();
            for (numeric, &t) in by_layers(depth, u0, s, &times).iter().zip(&times) {
                // The formulas of the paper, as written there.
                let exact = match depth {
                    1 => s + (u0 - s) * (-t / 1.7f64).exp(),
                    _ if s == 0.0 => u0 / (1.0 + 2.0 * u0 * t / 1.7),
                    _ => {
                        let grown = (2.0 * s * t / 1.7f64).exp();
                        s * grown / (grown - 1.0 + s / u0)
                    }
                };
                assert!(
                    (exact - dynamics.strength(s, t)).abs() < 1e-14,
                    "{depth} {u0} {s} {t}"
                );
                assert!(
                    (exact - numeric).abs() < 1e-10,
                    "{depth} {u0} {s} {t}: {exact} {numeric}"
                );
            }
        }
    }
}

#[test]
fn deeper_networks_agree_with_their_layers() {
    let times = [0.0, 0.5, 2.0, 5.0, 20.0, 60.0];
    for depth in [3, 4, 7] {
        for (u0, s) in [(1e-2, 2.0), (0.2, 0.7), (1.5, 0.4), (50.0, 0.4), (0.3, 0.0)] {
            let dynamics = Dynamics::new(depth, u0, 1.7).unwrap();
            for (numeric, &t) in by_layers(depth, u0, s, &times).iter().zip(&times) {
                let u = dynamics.strength(s, t);
                assert!(
                    close(u, *numeric, 1e-9),
                    "{depth} {u0} {s} {t}: {u} {numeric}"
                );
            }
        }
    }
}

/// As the depth grows: Nt/τ = 1/s² ln(u(u₀ − s)/(u₀(u − s))) + 1/(su₀) − 1/(su), Saxe et al. 2013 in the limit of many layers.
#[test]
fn very_deep_networks_approach_their_limit() {
    let (u0, u, s) = (0.1f64, 1.5f64, 2.0f64);
    let limit = (u * (u0 - s) / (u0 * (u - s))).ln() / (s * s) + 1.0 / (s * u0) - 1.0 / (s * u);
    let error = |depth: usize| {
        let time = Dynamics::new(depth, u0, 1.0)
            .unwrap()
            .time_to(s, u)
            .unwrap();
        (time * depth as f64 / limit - 1.0).abs()
    };
    let (coarse, fine) = (error(100), error(10_000));
    assert!(
        fine < 2e-3 && (coarse / fine - 100.0).abs() < 10.0,
        "{coarse} {fine}"
    );
}

#[test]
fn limits() {
    for depth in 1..6 {
        let dynamics = Dynamics::new(depth, 1e-6, 2.0).unwrap();
        for s in [1e-3, 1.0, 1e3] {
            assert_eq!(dynamics.strength(s, 0.0), 1e-6);
            assert!(close(dynamics.strength(s, 1e18), s, 1e-12), "{depth} {s}");
        }
        // A mode that is not in the data decays; one that starts at its strength stays.
        assert!(dynamics.strength(0.0, 1e30) < 1e-12);
        assert_eq!(dynamics.strength(1e-6, 5.0), 1e-6);
        assert!(dynamics.strength(-1.0, 1.0).is_nan());
        assert!(dynamics.strength(1.0, -1.0).is_nan());
        assert!(dynamics.strengths(&[1.0], &[f64::NAN]).is_err());
        assert!(dynamics.strengths(&[f64::INFINITY], &[1.0]).is_err());
        for (s, t) in [
            (1e300, 1e300),
            (1e-300, 1e300),
            (f64::MIN_POSITIVE, 1.0),
            (1e300, 1e-300),
        ] {
            assert!(dynamics.strength(s, t).is_finite(), "{depth} {s} {t}");
        }
    }
    assert_eq!(Dynamics::new(1, 0.0, 1.0).unwrap().strength(3.0, 0.0), 0.0);
    for (depth, u0, tau) in [
        (0, 1.0, 1.0),
        (2, 0.0, 1.0),
        (2, f64::NAN, 1.0),
        (2, 1.0, 0.0),
        (3, 1.0, f64::INFINITY),
    ] {
        assert!(matches!(
            Dynamics::new(depth, u0, tau),
            Err(LinearError::Setting { .. })
        ));
    }
    // The mode is learned in a time of order 1/s at depth 2, in the same time for all modes at depth 1.
    let half = |depth, s: f64| {
        Dynamics::new(depth, 1e-9, 1.0)
            .unwrap()
            .time_to(s, 0.5 * s)
            .unwrap()
    };
    assert!(close(
        half(2, 1.0) / half(2, 2.0),
        2.0 * 1e9f64.ln() / 2e9f64.ln(),
        1e-6
    ));
    assert!(close(half(1, 1.0), half(1, 2.0), 1e-8));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Strength after the time that quadrature says it takes.
    #[test]
    fn times_invert_strengths(depth in 1usize..8, start in 1e-6f64..0.5, s in 0.01f64..20.0, share in 0.001f64..0.999) {
        let u0 = start * s;
        let dynamics = Dynamics::new(depth, u0, 3.0).unwrap();
        let target = u0 + share * (s - u0);
        let time = dynamics.time_to(s, target).unwrap();
        prop_assert!((dynamics.strength(s, time) / target - 1.0).abs() < 1e-9);
        prop_assert_eq!(dynamics.time_to(s, u0), Some(0.0));
        prop_assert_eq!(dynamics.time_to(s, s), None);
    }

    /// The slope is that of the equation, by central differences; the order in which times are asked for does not matter.
    #[test]
    fn strengths_solve_the_equation(depth in 1usize..7, u0 in 0.01f64..3.0, s in 0.0f64..3.0, t in 0.1f64..4.0) {
        let dynamics = Dynamics::new(depth, u0, 1.3).unwrap();
        let h = 1e-4;
        let u = dynamics.strengths(&[s], &[t + h, t - h, t]).unwrap();
        let d = depth as f64;
        let slope = d * u[[2, 0]].powf(2.0 - 2.0 / d) * (s - u[[2, 0]]) / 1.3;
        prop_assert!(((u[[0, 0]] - u[[1, 0]]) / (2.0 * h) - slope).abs() < 1e-5 * (1.0 + slope.abs()));
    }

    /// a_k² − a_l² does not change.
    #[test]
    fn differences_of_squares_are_kept(initial in prop::collection::vec(0.05f64..1.5, 2..6), s in 0.0f64..4.0) {
        let path = layer_strengths(&initial, s, 1.0, &[0.2, 1.0, 5.0, 30.0]).unwrap();
        for row in path.rows() {
            for (a, a0) in row.iter().zip(&initial).skip(1) {
                let (now, before) = (a.powi(2) - row[0].powi(2), a0.powi(2) - initial[0].powi(2));
                prop_assert!((now - before).abs() < 1e-9, "{} {}", now, before);
            }
        }
    }
}

#[test]
fn unbalanced_layers_reach_the_same_end() {
    let path = layer_strengths(&[0.5, 0.01], 2.0, 1.0, &[50.0]).unwrap();
    assert!((path[[0, 0]] * path[[0, 1]] - 2.0).abs() < 1e-9);
    assert!(path[[0, 0]] > path[[0, 1]]);
    assert!(matches!(
        layer_strengths(&[], 1.0, 1.0, &[1.0]),
        Err(LinearError::Empty { .. })
    ));
    assert!(layer_strengths(&[f64::NAN], 1.0, 1.0, &[1.0]).is_err());
    // Far beyond convergence, where stability and not accuracy limits an explicit method.
    let late = layer_strengths(&[1.0, 0.3], 1.1e6, 1.0, &[1e9]);
    assert!(matches!(late, Err(LinearError::Steps { .. })), "{late:?}");
}

#[test]
fn the_wave_passes_strong_modes_first() {
    for depth in [2, 3, 5] {
        let dynamics = Dynamics::new(depth, 1e-4, 1.0).unwrap();
        let mut before = f64::INFINITY;
        assert_eq!(dynamics.front(0.0, 0.5), Some(before));
        for t in [0.1, 1.0, 3.0, 10.0] {
            let front = dynamics.front(t, 0.5).unwrap();
            assert!(front < before, "{depth} {t}");
            assert!(close(dynamics.strength(front, t), 0.5 * front, 1e-7));
            // Just above it is learned, just below it is not.
            assert!(dynamics.strength(1.01 * front, t) > 0.505 * front);
            assert!(dynamics.strength(0.99 * front, t) < 0.495 * front);
            before = front;
        }
        assert_eq!(dynamics.front(1e12, 0.5), None);
        assert_eq!(dynamics.front(1.0, 1.5), None);
    }
    assert_eq!(Dynamics::new(1, 1e-4, 1.0).unwrap().front(1.0, 0.5), None);
}

/// White inputs (P, n), targets (P, m), and their modes.
fn task(seed: u64) -> (Array2<f64>, Array2<f64>, Svd) {
    let raw = noise(seed, 15, 6);
    let inputs = Whitening::fit(raw.view(), 6)
        .unwrap()
        .apply(raw.view())
        .unwrap();
    let targets = 1.5 * noise(seed + 1, 15, 4);
    let modes = Svd::new(correlation(inputs.view(), targets.view()).unwrap().view()).unwrap();
    (inputs, targets, modes)
}

fn whole(weights: &[Array2<f64>]) -> Array2<f64> {
    weights[1..]
        .iter()
        .fold(weights[0].clone(), |product, w| w.dot(&product))
}

/// One step of full-batch gradient descent on ½⟨‖y − W_D ⋯ W_1 x‖²⟩, by back-propagation of the examples.
fn step(weights: &mut [Array2<f64>], inputs: ArrayView2<f64>, targets: ArrayView2<f64>, rate: f64) {
    let mut layers = vec![inputs.t().to_owned()];
    for w in weights.iter() {
        layers.push(w.dot(&layers[layers.len() - 1]));
    }
    let mut back = (&targets.t() - &layers[weights.len()]) / inputs.nrows() as f64;
    for l in (0..weights.len()).rev() {
        let change = back.dot(&layers[l].t());
        back = weights[l].t().dot(&back);
        weights[l] = &weights[l] + &(rate * &change);
    }
}

/// Largest difference from the theory of any entry of UᵀWV, over five times, after training with this learning rate.
fn departure(hidden: &[usize], rate: f64) -> f64 {
    let (inputs, targets, modes) = task(3);
    let dynamics = Dynamics::new(hidden.len() + 1, 0.05, 1.0).unwrap();
    let mut weights = aligned_weights(&modes, hidden, 0.05).unwrap();
    let mut worst: f64 = 0.0;
    for block in 1..=5 {
        for _ in 0..(1.6 / rate).round() as usize {
            step(&mut weights, inputs.view(), targets.view(), rate);
        }
        let learned = modes.left.t().dot(&whole(&weights)).dot(&modes.right);
        for ((i, j), &u) in learned.indexed_iter() {
            let predicted = if i == j {
                dynamics.strength(modes.values[i], 1.6 * f64::from(block))
            } else {
                0.0
            };
            worst = worst.max((u - predicted).abs());
        }
    }
    worst
}

#[test]
fn gradient_descent_approaches_the_theory_linearly_in_the_learning_rate() {
    for hidden in [&[][..], &[5], &[7, 4]] {
        let rates = [0.04, 0.02, 0.01, 0.005];
        let errors = rates.map(|rate| departure(hidden, rate));
        let (x, y) = (rates.map(f64::ln), errors.map(f64::ln));
        let mean = |v: &[f64; 4]| v.iter().sum::<f64>() / 4.0;
        let (mx, my) = (mean(&x), mean(&y));
        let order = x
            .iter()
            .zip(&y)
            .map(|(x, y)| (x - mx) * (y - my))
            .sum::<f64>()
            / x.iter().map(|x| (x - mx).powi(2)).sum::<f64>();
        println!(
            "{} layers: errors {errors:?}, order {order}",
            hidden.len() + 1
        );
        assert!(
            (order - 1.0).abs() < 0.1,
            "{hidden:?}: order {order}, errors {errors:?}"
        );
        assert!(errors[3] < 0.01);
    }
}

#[test]
fn small_random_weights_learn_modes_in_the_order_of_their_strengths() {
    let raw = noise(11, 20, 5);
    let inputs = Whitening::fit(raw.view(), 5)
        .unwrap()
        .apply(raw.view())
        .unwrap();
    let frame = Svd::new(noise(12, 3, 5).view()).unwrap();
    let strengths = [4.0, 2.0, 1.0];
    let teacher = frame
        .left
        .dot(&Array2::from_diag(&ndarray::arr1(&strengths)))
        .dot(&frame.right.t());
    let targets = inputs.dot(&teacher.t());
    let small = 1e-4;
    let mut weights = vec![small * noise(13, 6, 5), small * noise(14, 3, 6)];
    let mut half = [0.0; 3];
    let rate = 0.005;
    for k in 1..6000 {
        step(&mut weights, inputs.view(), targets.view(), rate);
        let learned = frame.left.t().dot(&whole(&weights)).dot(&frame.right);
        for (i, half) in half.iter_mut().enumerate() {
            if *half == 0.0 && learned[[i, i]] > 0.5 * strengths[i] {
                *half = f64::from(k) * rate;
            }
        }
    }
    // Times as 1/s, but for the logarithm of where each mode happened to start.
    assert!(half[0] > 0.0 && half[2] > 0.0, "{half:?}");
    for pair in half.windows(2) {
        let ratio = pair[1] / pair[0];
        assert!((1.6..2.5).contains(&ratio), "{half:?}");
    }
}

#[test]
fn aligned_weights_start_where_they_should() {
    let (_, _, modes) = task(5);
    for hidden in [&[][..], &[9], &[4, 6], &[2, 8, 3]] {
        let weights = aligned_weights(&modes, hidden, 0.03).unwrap();
        let sizes: Vec<_> = weights.iter().map(|w| w.dim()).collect();
        assert_eq!(sizes[0].1, 6);
        assert_eq!(sizes[hidden.len()].0, 4);
        let start = modes.left.t().dot(&whole(&weights)).dot(&modes.right);
        let kept = hidden.iter().copied().fold(4, usize::min);
        for ((i, j), &u) in start.indexed_iter() {
            let expected = if i == j && i < kept { 0.03 } else { 0.0 };
            assert!((u - expected).abs() < 1e-12);
        }
        // Balanced: W_{l+1}ᵀW_{l+1} = W_lW_lᵀ on the hidden layer between.
        for pair in weights.windows(2) {
            let difference = pair[1].t().dot(&pair[1]) - pair[0].dot(&pair[0].t());
            assert!(difference.iter().all(|x| x.abs() < 1e-12));
        }
    }
    assert!(aligned_weights(&modes, &[3, 0], 0.1).is_err());
    assert!(aligned_weights(&modes, &[3], 0.0).is_err());
}
