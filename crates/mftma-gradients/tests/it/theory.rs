//! The theory against automatic differentiation, exhaustive enumeration and simulation.

use std::sync::OnceLock;

use dfdx::prelude::*;
use mftma_data::{Dataset, Normalization, Shortage, Subset};
use mftma_gradients::theory::{Activation, ClassMoments, Expansion, RatioModel, class_mean_factor};
use ndarray::{Array2, ArrayView2};
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

/// Features of a synthetic input, and of a glyph.
const FEW: usize = 6;
const PIXELS: usize = 32 * 32;
const H: usize = 9;
const K: usize = 7;
const C: usize = 4;
const N: usize = 48;

fn normal(seed: u64, purpose: &str, rows: usize, columns: usize) -> Array2<f64> {
    let mut stream = mftma_data::stream(seed, purpose);
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut stream))
}

/// `C` class means at distance 1 or so, within-class standard deviation `spread`; labels in turn.
fn synthetic(
    seed: u64,
    n: usize,
    d: usize,
    classes: usize,
    spread: f64,
) -> (Array2<f64>, Vec<u16>) {
    let means = normal(seed, "means", classes, d) / (d as f64).sqrt();
    let labels: Vec<u16> = (0..n).map(|i| (i % classes) as u16).collect();
    let mut inputs = normal(seed, "inputs", n, d) * (spread / (d as f64).sqrt());
    for (mut row, &y) in inputs.rows_mut().into_iter().zip(&labels) {
        row += &means.row(usize::from(y));
    }
    (inputs, labels)
}

/// Which non-linearity dfdx differentiates.
#[derive(Clone, Copy)]
enum Phi {
    Tanh,
    Gelu,
    Relu,
}

const GELU: Activation = Activation::Smooth {
    slope: 0.5,
    odd: false,
};

fn flat(a: ArrayView2<'_, f64>) -> Vec<f64> {
    a.iter().copied().collect()
}

/// `N` real images, embedded glyphs of `C` classes chosen by `seed`: normalised pixels (N, side²) and labels.
fn glyphs(seed: u64) -> (Array2<f64>, Vec<u16>) {
    static ALL: OnceLock<Dataset> = OnceLock::new();
    let all = ALL.get_or_init(|| mftma_data::open("glyphs", None).unwrap());
    let chosen = Subset {
        classes: Some(C),
        train_per_class: Some(N / C),
        test_per_class: Some(1),
        seed,
        shortage: Shortage::Refuse,
    };
    let chosen = chosen.of(all).unwrap();
    let normalization = Normalization::from_training(&chosen);
    let images = normalization.apply(chosen.train().images().view()).unwrap();
    let pixels = images.iter().map(|&x| f64::from(x)).collect();
    (
        Array2::from_shape_vec((N, PIXELS), pixels).unwrap(),
        chosen.train().labels().to_vec(),
    )
}

/// Gradients of the summed cross-entropy of a three-layer perceptron without biases, by dfdx's tape.
fn autodiff<const D: usize>(
    weights: &[Array2<f64>],
    phi: Phi,
    inputs: &Array2<f64>,
    labels: &[u16],
) -> Vec<Array2<f64>> {
    let dev: Cpu = Default::default();
    // dfdx multiplies from the right: its weights are inputs × outputs.
    let w1: Tensor<Rank2<D, H>, f64, _> = dev.tensor(flat(weights[0].t()));
    let w2: Tensor<Rank2<H, K>, f64, _> = dev.tensor(flat(weights[1].t()));
    let w3: Tensor<Rank2<K, C>, f64, _> = dev.tensor(flat(weights[2].t()));
    let x: Tensor<Rank2<N, D>, f64, _> = dev.tensor(flat(inputs.view()));
    let mut one_hot = vec![0.0; N * C];
    for (i, &y) in labels.iter().enumerate() {
        one_hot[i * C + usize::from(y)] = 1.0;
    }
    let targets: Tensor<Rank2<N, C>, f64, _> = dev.tensor(one_hot);
    let u1 = x.leaky_trace().matmul(w1.clone());
    let h1 = match phi {
        Phi::Tanh => u1.tanh(),
        Phi::Gelu => u1.accurate_gelu(),
        Phi::Relu => u1.relu(),
    };
    let u2 = h1.matmul(w2.clone());
    let h2 = match phi {
        Phi::Tanh => u2.tanh(),
        Phi::Gelu => u2.accurate_gelu(),
        Phi::Relu => u2.relu(),
    };
    let loss = cross_entropy_with_logits_loss(h2.matmul(w3.clone()), targets);
    let gradients = loss.backward();
    let back = |values: Vec<f64>, inputs: usize, outputs: usize| {
        let by_input = Array2::from_shape_vec((inputs, outputs), values).unwrap();
        // dfdx averages over the batch.
        by_input.t().to_owned() * N as f64
    };
    vec![
        back(gradients.get(&w1).as_vec(), D, H),
        back(gradients.get(&w2).as_vec(), H, K),
        back(gradients.get(&w3).as_vec(), K, C),
    ]
}

fn norm(a: &Array2<f64>) -> f64 {
    a.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Fitted power of the relative error in the weight scale, over the decade 0.002 to 0.02, for each layer. At a scale
/// ten times as large the next order shows for the rare weights whose leading coefficient is small.
fn fitted_orders<const D: usize>(
    phi: Phi,
    activation: Activation,
    (inputs, labels): &(Array2<f64>, Vec<u16>),
    seed: u64,
) -> Vec<f64> {
    let unit = [
        normal(seed, "w1", H, D) / (D as f64).sqrt(),
        normal(seed, "w2", K, H) / (H as f64).sqrt(),
        normal(seed, "w3", C, K) / (K as f64).sqrt(),
    ];
    let scales: Vec<f64> = (0..=8)
        .map(|i| 0.002 * 10f64.powf(f64::from(i) / 8.0))
        .collect();
    let mut errors = vec![Vec::new(); 3];
    for &s in &scales {
        let weights: Vec<Array2<f64>> = unit.iter().map(|a| a * s).collect();
        let predicted = Expansion::new(weights.clone(), activation)
            .unwrap()
            .leading_gradients(inputs.view(), labels)
            .unwrap();
        let exact = autodiff::<D>(&weights, phi, inputs, labels);
        for (layer, exact) in exact.iter().enumerate() {
            errors[layer].push((norm(&(exact - &predicted[layer])) / norm(&predicted[layer])).ln());
        }
    }
    let logs: Vec<f64> = scales.iter().map(|s| s.ln()).collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let spread: f64 = logs.iter().map(|l| (l - mean).powi(2)).sum();
    errors
        .iter()
        .map(|e| {
            e.iter()
                .zip(&logs)
                .map(|(e, l)| e * (l - mean))
                .sum::<f64>()
                / spread
        })
        .collect()
}

fn check_order<const D: usize>(
    phi: Phi,
    activation: Activation,
    data: &(Array2<f64>, Vec<u16>),
    seed: u64,
) {
    let weights = vec![
        Array2::zeros((H, D)),
        Array2::zeros((K, H)),
        Array2::zeros((C, K)),
    ];
    let order = f64::from(
        Expansion::new(weights, activation)
            .unwrap()
            .relative_error_order(),
    );
    for (layer, fitted) in fitted_orders::<D>(phi, activation, data, seed)
        .into_iter()
        .enumerate()
    {
        assert!(
            (fitted - order).abs() < 0.25,
            "layer {layer}: error falls as s^{fitted:.2}, stated s^{order}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn error_falls_with_the_square_of_the_scale_for_tanh(seed in 0u64..10_000) {
        check_order::<FEW>(Phi::Tanh, Activation::TANH, &synthetic(seed, N, FEW, C, 1.0), seed);
    }

    #[test]
    fn error_falls_with_the_scale_for_gelu(seed in 0u64..10_000) {
        check_order::<FEW>(Phi::Gelu, GELU, &synthetic(seed, N, FEW, C, 1.0), seed);
    }

    #[test]
    fn error_falls_with_the_cube_of_the_scale_for_three_rectified_layers(seed in 0u64..10_000) {
        check_order::<FEW>(Phi::Relu, Activation::Rectified, &synthetic(seed, N, FEW, C, 1.0), seed);
    }

    #[test]
    fn moments_give_the_factor(seed in 0u64..10_000, n in 2usize..40, d in 1usize..5, classes in 2usize..6) {
        let inputs = normal(seed, "x", n, d);
        let mut labels: Vec<u16> = (0..n).map(|i| (i * i % classes) as u16).collect();
        labels.shuffle(&mut mftma_data::stream(seed, "labels"));
        let direct = class_mean_factor(inputs.view(), &labels, classes).unwrap();
        let moments = ClassMoments::new(inputs.view(), &labels, classes).unwrap();
        prop_assert!(norm(&(&direct - &moments.gradient())) <= 1e-10 * (1.0 + norm(&direct)));
        // Columns sum to zero: the pull never moves all logits together.
        prop_assert!(direct.sum_axis(ndarray::Axis(0)).iter().all(|v| v.abs() < 1e-9));
    }

    #[test]
    fn a_common_shift_of_balanced_features_does_nothing(seed in 0u64..10_000, shift in -50.0f64..50.0) {
        let (inputs, labels) = synthetic(seed, 24, 3, 4, 1.0);
        let before = class_mean_factor(inputs.view(), &labels, 4).unwrap();
        let after = class_mean_factor((&inputs + shift).view(), &labels, 4).unwrap();
        prop_assert!(norm(&(before - after)) < 1e-9 * (1.0 + shift.abs()));
    }
}

// On real images, where class means are what they are. Fewer cases: an image has 1024 pixels.
proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn on_glyphs_the_error_falls_with_the_square_of_the_scale_for_tanh(seed in 0u64..10_000) {
        check_order::<PIXELS>(Phi::Tanh, Activation::TANH, &glyphs(seed), seed);
    }

    #[test]
    fn on_glyphs_the_error_falls_with_the_scale_for_gelu(seed in 0u64..10_000) {
        check_order::<PIXELS>(Phi::Gelu, GELU, &glyphs(seed), seed);
    }

    #[test]
    fn on_glyphs_the_error_falls_with_the_cube_of_the_scale_for_three_rectified_layers(seed in 0u64..10_000) {
        check_order::<PIXELS>(Phi::Relu, Activation::Rectified, &glyphs(seed), seed);
    }
}

fn permutations(items: &[u16]) -> Vec<Vec<u16>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    (0..items.len())
        .flat_map(|i| {
            let mut rest = items.to_vec();
            let first = rest.remove(i);
            permutations(&rest).into_iter().map(move |mut tail| {
                tail.insert(0, first);
                tail
            })
        })
        .collect()
}

/// Equations 4 and 8 are exact for any n, balanced or not: enumerate all 720 permutations of six labels.
#[test]
fn norm_under_permutation_is_exact() {
    for labels in [
        vec![0u16, 0, 1, 1, 2, 2],
        vec![0, 0, 0, 1, 1, 2],
        vec![0, 0, 0, 0, 0, 2],
    ] {
        let inputs = normal(3, "six", 6, 4);
        let outer = normal(3, "outer", 3, 5);
        let (mut plain, mut through, mut count) = (0.0, 0.0, 0.0);
        for permuted in permutations(&labels) {
            let factor = class_mean_factor(inputs.view(), &permuted, 3).unwrap();
            plain += norm(&factor).powi(2);
            through += norm(&outer.t().dot(&factor)).powi(2);
            count += 1.0;
        }
        let moments = ClassMoments::new(inputs.view(), &labels, 3).unwrap();
        let (expected, expected_through) = (
            moments.squared_norm_under_permutation(),
            moments.squared_norm_under_permutation_through(outer.view()),
        );
        assert!(
            (plain / count / expected - 1.0).abs() < 1e-12,
            "{} {expected}",
            plain / count
        );
        assert!(
            (through / count / expected_through - 1.0).abs() < 1e-12,
            "{} {expected_through}",
            through / count
        );
    }
}

/// Equation 5 through an outer factor: with class means known, the norm's excess over the signal is the stated noise.
#[test]
fn sampling_noise_is_what_repeated_draws_show() {
    let (classes, per_class, d) = (3, 8, 2);
    let outer = normal(5, "outer", classes, 2);
    let means = normal(5, "means", classes, d);
    let labels: Vec<u16> = (0..classes * per_class)
        .map(|i| (i % classes) as u16)
        .collect();
    let factor_of_means = {
        let points = Array2::from_shape_fn((labels.len(), d), |(i, j)| {
            means[(usize::from(labels[i]), j)]
        });
        class_mean_factor(points.view(), &labels, classes).unwrap()
    };
    let signal = norm(&outer.t().dot(&factor_of_means)).powi(2);
    let mut stream = mftma_data::stream(5, "draws");
    let (mut squared, mut predicted, draws) = (0.0, 0.0, 4000);
    for _ in 0..draws {
        let points = Array2::from_shape_fn((labels.len(), d), |(i, j)| {
            let noise: f64 = StandardNormal.sample(&mut stream);
            means[(usize::from(labels[i]), j)] + noise
        });
        let moments = ClassMoments::new(points.view(), &labels, classes).unwrap();
        squared += norm(&outer.t().dot(&moments.gradient())).powi(2);
        predicted += moments.sampling_noise_through(outer.view());
    }
    let (measured, predicted) = (
        squared / f64::from(draws) - signal,
        predicted / f64::from(draws),
    );
    assert!(
        (measured / predicted - 1.0).abs() < 0.08,
        "measured {measured}, predicted {predicted}"
    );
}

/// Equations 9–11 on data with known class means, over repeated draws of data and permutation.
#[test]
fn ratio_before_training_is_what_repeated_draws_show() {
    let (classes, per_class, d, spread) = (5usize, 40usize, 8usize, 1.5);
    for (fraction, removed) in [(0.5, false), (0.25, false), (0.5, true)] {
        let n = classes * per_class;
        let n_permuted = (fraction * n as f64) as usize;
        let means = if removed {
            Array2::zeros((classes, d))
        } else {
            normal(7, "means", classes, d) * 0.5
        };
        let centre = means.mean_axis(ndarray::Axis(0)).unwrap();
        let separation = (&means - &centre)
            .rows()
            .into_iter()
            .map(|gap| gap.dot(&gap))
            .sum::<f64>()
            / classes as f64;
        let model = RatioModel {
            classes,
            per_class: per_class as f64,
            permuted_fraction: fraction,
            separation,
            within: spread * spread * d as f64,
        };
        let predicted = model.predict().unwrap();
        let mut stream = mftma_data::stream(7, "draws");
        let (mut unpermuted, mut permuted, draws) = (0.0, 0.0, 600);
        for _ in 0..draws {
            let labels: Vec<u16> = (0..n).map(|i| (i % classes) as u16).collect();
            let points = Array2::from_shape_fn((n, d), |(i, j)| {
                let noise: f64 = StandardNormal.sample(&mut stream);
                means[(usize::from(labels[i]), j)] + spread * noise
            });
            let (noisy, clean) = points.view().split_at(ndarray::Axis(0), n_permuted);
            let mut assigned = labels[..n_permuted].to_vec();
            assigned.shuffle(&mut stream);
            permuted += norm(&class_mean_factor(noisy, &assigned, classes).unwrap()).powi(2);
            unpermuted +=
                norm(&class_mean_factor(clean, &labels[n_permuted..], classes).unwrap()).powi(2);
        }
        let measured_unpermuted = (unpermuted / f64::from(draws)).sqrt() / (n - n_permuted) as f64;
        let measured_permuted = (permuted / f64::from(draws)).sqrt() / n_permuted as f64;
        assert!((measured_unpermuted / predicted.unpermuted - 1.0).abs() < 0.03);
        assert!((measured_permuted / predicted.permuted - 1.0).abs() < 0.03);
        if removed {
            assert!(
                (predicted.ratio - 1.0).abs() < 1e-12,
                "no class means, no advantage"
            );
        }
    }
}

/// The moments' estimate of separation and variance is unbiased enough to feed the ratio.
#[test]
fn separation_is_corrected_for_sampling_noise() {
    let (mut separation, mut within) = (0.0, 0.0);
    for seed in 0..200 {
        let inputs = normal(seed, "pure noise", 30, 4);
        let labels: Vec<u16> = (0..30).map(|i| (i % 3) as u16).collect();
        let (s, w) = ClassMoments::new(inputs.view(), &labels, 3)
            .unwrap()
            .separation_and_within();
        separation += s / 200.0;
        within += w / 200.0;
    }
    assert!((within - 4.0).abs() < 0.1, "{within}");
    // Uncorrected it would be 4 (1/10 − 1/30) = 0.27; the clamp at 0 leaves a little.
    assert!(separation < 0.12, "{separation}");
}

#[test]
fn bad_input_is_named() {
    let x = Array2::<f64>::zeros((3, 2));
    let message = |e: mftma_gradients::Error| e.to_string();
    assert!(
        message(class_mean_factor(x.view(), &[0, 1], 2).unwrap_err()).contains("2 given where 3")
    );
    assert!(
        message(class_mean_factor(x.view(), &[0, 1, 7], 2).unwrap_err())
            .contains("label 7 of example 2")
    );
    let weights = vec![Array2::zeros((4, 3)), Array2::zeros((2, 5))];
    assert!(
        message(Expansion::new(weights, Activation::TANH).unwrap_err())
            .contains("takes 5 inputs, but gets 4")
    );
    let model = RatioModel {
        classes: 2,
        per_class: 5.0,
        permuted_fraction: 1.0,
        separation: 1.0,
        within: 1.0,
    };
    assert!(message(model.predict().unwrap_err()).contains("permuted_fraction = 1"));
}
