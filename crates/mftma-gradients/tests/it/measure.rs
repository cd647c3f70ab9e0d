//! Measured gradients: exact, additive, and what the theory says they are.

use std::ops::ControlFlow;

use mftma_gradients::theory::{ClassMoments, RatioModel};
use mftma_gradients::{
    Advantage, AdvantageVerdict, Contributions, Examples, GradientGroup, InputAblation, LayerRatio,
    Measure, MeasureSettings, compare_depths, flat, measure, measure_parts, over_seeds,
    predict_last_layer, predict_perceptron, prediction_rows, rows,
};
use mftma_train::{Architecture, ImageShape, Network, NetworkSpec, ParameterRole, StatisticsMode};
use ndarray::{Array4, Axis};
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

struct Data {
    images: Array4<f32>,
    truth: Vec<u16>,
    assigned: Vec<u16>,
    permuted: Vec<bool>,
}

impl Data {
    /// `per_class` images of each class, its mean plus white noise of variance 1, the first half of the set permuted. Class
    /// means are smooth, sums of long waves of standard deviation `separation`: a convolution's small kernels tell them apart,
    /// as they do means of real images, but hardly see means that are white noise themselves.
    fn synthetic(
        seed: u64,
        classes: usize,
        per_class: usize,
        side: usize,
        separation: f32,
    ) -> Self {
        let n = classes * per_class;
        let mut stream = mftma_data::stream(seed, "synthetic images");
        let mut normal = || -> f32 { StandardNormal.sample(&mut stream) };
        let waves: Vec<[f32; 8]> = (0..classes)
            .map(|_| std::array::from_fn(|_| normal()))
            .collect();
        let means = Array4::from_shape_fn((classes, 1, side, side), |(c, _, row, column)| {
            let turn = std::f32::consts::TAU / side as f32;
            let (y, x) = (row as f32 * turn, column as f32 * turn);
            let shapes = [y, x, x + y, 2.0 * x].map(f32::sin_cos);
            let terms = shapes.iter().zip(waves[c].chunks(2));
            separation * terms.map(|(&(s, k), w)| w[0] * s + w[1] * k).sum::<f32>() / 2.0
        });
        let truth: Vec<u16> = (0..n).map(|i| (i % classes) as u16).collect();
        let mut images = Array4::from_shape_simple_fn((n, 1, side, side), &mut normal);
        for (mut image, &y) in images.axis_iter_mut(Axis(0)).zip(&truth) {
            image += &means.index_axis(Axis(0), usize::from(y));
        }
        let permuted: Vec<bool> = (0..n).map(|i| i < n / 2).collect();
        let mut assigned = truth.clone();
        assigned[..n / 2].shuffle(&mut mftma_data::stream(seed, "permutation"));
        Self {
            images,
            truth,
            assigned,
            permuted,
        }
    }

    fn examples(&self) -> Examples<'_> {
        Examples::new(
            self.images.view(),
            &self.assigned,
            &self.truth,
            &self.permuted,
        )
        .unwrap()
    }
}

/// Weights of standard deviation scale/√fan-in, everything else as built.
fn network(
    architecture: Architecture,
    classes: usize,
    side: usize,
    width: usize,
    scale: f32,
    seed: u64,
) -> Box<dyn Network> {
    let input = ImageShape {
        channels: 1,
        height: side,
        width: side,
    };
    let spec = NetworkSpec {
        architecture,
        width,
        batch_norm: false,
        classes,
        input,
    };
    spec.build(&mut |parameter| {
        if matches!(
            parameter.role(),
            ParameterRole::ConvolutionWeight | ParameterRole::LinearWeight
        ) {
            let mut stream = mftma_data::stream(seed, parameter.name());
            let deviation = scale / (parameter.fan_in() as f32).sqrt();
            for value in parameter.values_mut() {
                let z: f32 = StandardNormal.sample(&mut stream);
                *value = deviation * z;
            }
        }
    })
    .unwrap()
}

fn run(
    network: &mut dyn Network,
    examples: &Examples<'_>,
    settings: &MeasureSettings,
) -> Contributions {
    measure(network, examples, settings, &mut |_, _| {
        ControlFlow::Continue(())
    })
    .unwrap()
    .unwrap()
}

const QUIET: MeasureSettings = MeasureSettings {
    batch_size: 32,
    blocks: 4,
    per_example: 0,
    seed: 0,
};

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// Summed gradients add up over groups, equal one pass over the whole group, and do not depend on the batch size.
#[test]
fn group_gradients_add_up_and_are_exact() {
    let data = Data::synthetic(1, 4, 12, 32, 0.5);
    let mut net = network(Architecture::Vgg11, 4, 32, 4, 1.0, 1);
    let examples = data.examples();
    let measured = run(net.as_mut(), &examples, &QUIET);
    let again = run(
        net.as_mut(),
        &examples,
        &MeasureSettings {
            batch_size: 5,
            seed: 9,
            ..QUIET
        },
    );
    for name in net
        .parameters()
        .iter()
        .map(|p| p.name().to_owned())
        .collect::<Vec<_>>()
    {
        let index = net
            .parameters()
            .iter()
            .position(|p| p.name() == name)
            .unwrap();
        for group in GradientGroup::ALL {
            let members = examples.indices(group);
            let labels: Vec<u16> = members.iter().map(|&i| examples.labels(group)[i]).collect();
            let images = data.images.select(Axis(0), &members);
            let step = net
                .loss_and_gradients(images.view(), &labels, StatisticsMode::Running)
                .unwrap();
            let whole = step.gradients[index]
                .iter()
                .map(|&g| f64::from(g) * members.len() as f64);
            let sum = measured.gradient(&name, group).unwrap();
            let size = norm(sum.iter().copied()).max(1e-6);
            assert!(
                norm(whole.zip(&sum).map(|(a, b)| a - b)) < 2e-4 * size,
                "{name} {}",
                group.name()
            );
            let other = again.gradient(&name, group).unwrap();
            assert!(
                norm(other.iter().zip(&sum).map(|(a, b)| a - b)) < 2e-4 * size,
                "{name} {}",
                group.name()
            );
        }
    }
    for layer in measured.rows.chunks(4) {
        let [all, unpermuted, permuted, _] = layer else {
            panic!("four groups per layer")
        };
        assert!((unpermuted.share + permuted.share - 1.0).abs() < 1e-9);
        assert!((all.cosine_with_total - 1.0).abs() < 1e-12);
        assert!((unpermuted.cosine_with_other - permuted.cosine_with_other).abs() < 1e-12);
    }
}

/// Both parts add up to the whole, the label part is linear in the labels alone, and the other does not know them.
#[test]
fn the_parts_add_up_to_the_whole() {
    let data = Data::synthetic(4, 4, 12, 32, 0.5);
    let net = network(Architecture::Vgg11, 4, 32, 4, 1.0, 1);
    let examples = data.examples();
    let go = &mut |_, _| ControlFlow::Continue(());
    let parts = measure_parts(net.as_ref(), &examples, &QUIET, go);
    let parts = parts.unwrap().unwrap();
    let whole = measure(net.as_ref(), &examples, &QUIET, go);
    let whole = whole.unwrap().unwrap();
    for parameter in net.parameters() {
        for group in GradientGroup::ALL {
            let of = |c: &Contributions| c.gradient(parameter.name(), group).unwrap();
            let (expected, label, free) = (of(&whole), of(&parts.label), of(&parts.label_free));
            let size = norm(label.iter().copied()) + norm(free.iter().copied());
            let gap = expected.iter().zip(label.iter().zip(&free));
            assert!(
                norm(gap.map(|(w, (l, f))| w - l - f)) <= 1e-5 * size,
                "{} {group:?}",
                parameter.name()
            );
            let sum = of(&parts.whole);
            assert!(
                sum.iter()
                    .zip(label.iter().zip(&free))
                    .all(|(w, (l, f))| *w == l + f)
            );
        }
        let free = |group| parts.label_free.gradient(parameter.name(), group);
        assert_eq!(free(GradientGroup::Permuted), free(GradientGroup::Restored));
    }
}

/// Equation 14 in the last layer: the label part is the class-mean factor of its inputs (equation 2), at any scale of the weights.
#[test]
fn the_label_part_of_the_last_layer_is_the_class_mean_term() {
    let data = Data::synthetic(5, 5, 10, 32, 0.5);
    let net = network(Architecture::Mlp, 5, 32, 4, 3.0, 2);
    let examples = data.examples();
    let go = &mut |_, _| ControlFlow::Continue(());
    let parts = measure_parts(net.as_ref(), &examples, &QUIET, go);
    let parts = parts.unwrap().unwrap();
    let of_label = predict_last_layer(net.as_ref(), &examples, &parts.label).unwrap();
    let of_whole = predict_last_layer(net.as_ref(), &examples, &parts.whole).unwrap();
    for (label, whole) in of_label.iter().zip(&of_whole) {
        assert!((label.predicted_cosine - 1.0).abs() < 1e-6, "{label:?}");
        assert!((label.measured_norm / label.predicted_norm - 1.0).abs() < 1e-5);
        // The whole gradient is another one at this scale.
        assert!(whole.predicted_cosine < 0.99, "{whole:?}");
    }
}

/// The direction of the measured gradient is the direction in which the loss falls: central differences.
#[test]
fn summed_gradient_is_the_slope_of_the_summed_loss() {
    let data = Data::synthetic(2, 3, 8, 32, 0.5);
    let mut net = network(Architecture::Mlp, 3, 32, 2, 1.0, 2);
    let examples = data.examples();
    let measured = run(net.as_mut(), &examples, &QUIET);
    let members = examples.indices(GradientGroup::Permuted);
    let labels: Vec<u16> = members.iter().map(|&i| data.assigned[i]).collect();
    let images = data.images.select(Axis(0), &members);
    let loss = |net: &mut dyn Network| {
        let step = net
            .loss_and_gradients(images.view(), &labels, StatisticsMode::Running)
            .unwrap();
        step.loss * members.len() as f64
    };
    let names: Vec<String> = net
        .parameters()
        .iter()
        .map(|p| p.name().to_owned())
        .collect();
    for (index, name) in names.iter().enumerate() {
        let gradient = measured.gradient(name, GradientGroup::Permuted).unwrap();
        let size = norm(gradient.iter().copied());
        let step = 3e-3;
        let shift = |net: &mut dyn Network, sign: f64| {
            for (value, g) in net.parameters_mut()[index]
                .values_mut()
                .iter_mut()
                .zip(&gradient)
            {
                *value += (sign * step * g / size) as f32;
            }
        };
        shift(net.as_mut(), 1.0);
        let up = loss(net.as_mut());
        shift(net.as_mut(), -2.0);
        let down = loss(net.as_mut());
        shift(net.as_mut(), 1.0);
        let slope = (up - down) / (2.0 * step);
        assert!(
            (slope / size - 1.0).abs() < 0.02,
            "{name}: slope {slope}, norm {size}"
        );
    }
}

#[test]
fn same_bytes_from_one_thread_and_two() {
    let data = Data::synthetic(3, 4, 12, 32, 0.5);
    let settings = MeasureSettings {
        per_example: 20,
        ..QUIET
    };
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let mut net = network(Architecture::Vgg11, 4, 32, 4, 1.0, 3);
            run(net.as_mut(), &data.examples(), &settings).rows
        })
    };
    assert_eq!(on(1), on(2));
}

/// On a network of mftma-train the rectified expansion holds to the order it states, layer by layer, and on real f32 sums.
#[test]
fn expansion_predicts_the_measured_gradient_of_a_perceptron() {
    let (classes, side) = (4, 32);
    let data = Data::synthetic(4, classes, 20, side, 0.6);
    let examples = data.examples();
    let [small, large] = [0.1f32, 0.3].map(|scale| {
        let mut net = network(Architecture::Mlp, classes, side, 2, scale, 4);
        let measured = run(net.as_mut(), &examples, &QUIET);
        predict_perceptron(net.as_ref(), &examples, &measured).unwrap()
    });
    for (small, large) in small.iter().zip(&large) {
        let errors = (small.leading_error, large.leading_error);
        let order = (errors.1 / errors.0).ln() / 3f64.ln();
        assert!(
            errors.0 < 5e-3 && (order - 3.0).abs() < 0.5,
            "{} {}: errors {errors:?}, order {order}",
            small.layer,
            small.group.name()
        );
        // The linear part of the rectifier is not everything, but most of what the unpermuted examples share.
        if small.group == GradientGroup::Unpermuted {
            let share = small.predicted_norm / small.measured_norm;
            assert!(
                small.predicted_cosine > 0.6 && (0.4..1.1).contains(&share),
                "{small:?}"
            );
        }
    }
    let tidy = prediction_rows(&small, &"raw", 4, 0);
    assert_eq!(tidy.len(), 3 * 3 * 5); // no offset in a perceptron's rows
}

/// A network to which the expansion does not apply is refused, not predicted wrongly.
#[test]
fn expansions_are_for_perceptrons_at_their_initialization() {
    let data = Data::synthetic(4, 3, 8, 32, 0.6);
    let examples = data.examples();
    let refusal = |net: &mut dyn Network| {
        let measured = run(net, &examples, &QUIET);
        predict_perceptron(net, &examples, &measured)
            .unwrap_err()
            .to_string()
    };
    let mut vgg = network(Architecture::Vgg11, 3, 32, 2, 1.0, 0);
    assert!(refusal(vgg.as_mut()).contains("no multilayer perceptron"));
    let mut trained = network(Architecture::Mlp, 3, 32, 2, 1.0, 0);
    for parameter in trained.parameters_mut() {
        if parameter.role() == ParameterRole::Bias {
            parameter.values_mut().fill(0.1);
        }
    }
    assert!(refusal(trained.as_mut()).contains("biases are not zero"));
}

/// At small weights the last layer's measured norms are those of the class means and of the permutation floor.
#[test]
fn last_layer_is_predicted_from_class_means() {
    let (classes, side) = (5, 32);
    let (mut ratio, seeds) = (0.0, 12);
    for seed in 0..seeds {
        let data = Data::synthetic(seed, classes, 20, side, 0.5);
        let mut net = network(Architecture::Vgg11, classes, side, 4, 0.5, seed);
        let examples = data.examples();
        let measured = run(net.as_mut(), &examples, &QUIET);
        for p in predict_last_layer(net.as_ref(), &examples, &measured).unwrap() {
            assert!(p.leading_error < 0.02, "seed {seed}: {p:?}");
            if p.group == GradientGroup::Permuted {
                ratio += (p.measured_norm / p.noise_floor).powi(2) / f64::from(seeds as u32);
            }
        }
    }
    // A few effective directions per seed: the mean of 12 scatters by some 20 %.
    assert!(
        (ratio - 1.0).abs() < 0.5,
        "measured over predicted squared norm of the permuted group: {ratio}"
    );
}

/// The whole argument on synthetic images and weights so small that the softmax is uniform: permuted examples start small, in a
/// perceptron by about what the ratio model says; without class means the advantage vanishes; with nothing but class means
/// it is there.
#[test]
fn ablation_says_whether_the_advantage_vanished() {
    let (classes, per_class, side, seeds) = (5, 40, 32, 4u64);
    for (architecture, scale) in [(Architecture::Mlp, 0.2), (Architecture::Vgg11, 0.5)] {
        let mut judged = Vec::new();
        let mut tidy = Vec::new();
        let (mut measured_log, mut predicted_log) = (0.0, 0.0);
        for ablation in InputAblation::ALL {
            let mut ratios = Vec::new();
            for seed in 0..seeds {
                let data = Data::synthetic(seed, classes, per_class, side, 1.0);
                let images = ablation
                    .apply(data.images.view(), &data.truth, classes)
                    .unwrap();
                let examples = data.examples().with_images(images.view()).unwrap();
                let mut net = network(architecture, classes, side, 4, scale, seed);
                let settings = MeasureSettings {
                    per_example: 16,
                    ..QUIET
                };
                let measured = run(net.as_mut(), &examples, &settings);
                let depths = compare_depths(&measured, GradientGroup::Unpermuted).unwrap();
                assert!(depths.coherence_late <= 1.0 + 1e-9);
                tidy.extend(rows(&measured, &ablation, seed, 0));
                if ablation == InputAblation::Raw {
                    let moments =
                        ClassMoments::new(flat(images.view()).view(), &data.truth, classes)
                            .unwrap();
                    let (separation, within) = moments.separation_and_within();
                    let model = RatioModel {
                        classes,
                        per_class: per_class as f64,
                        permuted_fraction: 0.5,
                        separation,
                        within,
                    };
                    predicted_log += model.predict().unwrap().ratio.ln() / seeds as f64;
                    measured_log += measured.ratios()[0].ratio.ln() / seeds as f64;
                }
                ratios.push(measured.ratios());
            }
            judged.push(Advantage::judge(&ratios).unwrap());
        }
        let [raw, centred, means] = judged[..] else {
            panic!("three ablations")
        };
        let all = format!("{architecture}: raw {raw:?}, centred {centred:?}, means {means:?}");
        assert_eq!(raw.verdict, AdvantageVerdict::Present, "{all}");
        assert_ne!(centred.verdict, AdvantageVerdict::Present, "{all}");
        assert_eq!(means.verdict, AdvantageVerdict::Present, "{all}");
        // The first layer of a perceptron sees the images' own moments; behind rectifiers a part of them is noise.
        let excess = measured_log - predicted_log;
        assert!(
            architecture != Architecture::Mlp || (-0.2..0.6).contains(&excess),
            "measured over predicted ratio, logarithm: {excess} of {predicted_log}"
        );
        let summaries = over_seeds(&tidy);
        assert!(
            summaries
                .iter()
                .all(|s| s.over_seeds.n == 4 && s.over_seeds.low <= s.over_seeds.high)
        );
        assert!(
            summaries
                .iter()
                .any(|s| s.row.measure == Measure::Ratio && s.row.group == GradientGroup::Permuted)
        );
    }
}

/// Beyond uniform softmax: where the logits share an offset, the exact gradient of the last layer is equation 13, both groups
/// contain the offset's term, and it hides the advantage.
#[test]
fn an_offset_of_all_logits_hides_the_advantage() {
    let (classes, side) = (5, 32);
    let data = Data::synthetic(3, classes, 40, side, 1.0);
    let examples = data.examples();
    let measure_with = |offset: f32| {
        let mut net = network(Architecture::Mlp, classes, side, 4, 0.2, 3);
        for parameter in net.parameters_mut() {
            if parameter.name() == "fc3.bias" {
                parameter.values_mut()[0] = offset;
            }
        }
        let measured = run(net.as_mut(), &examples, &QUIET);
        let predicted = predict_last_layer(net.as_ref(), &examples, &measured).unwrap();
        let ratio = measured.ratios().last().unwrap().ratio;
        (predicted, ratio)
    };
    let (plain, ratio) = measure_with(0.0);
    let (shifted, hidden) = measure_with(2.0);
    assert!(ratio < 0.6 && hidden > 0.9, "{ratio} {hidden}");
    for p in &shifted {
        assert!(p.leading_error < 0.01, "{p:?}");
        assert!(p.offset_norm.unwrap() > p.predicted_norm, "{p:?}");
    }
    assert!(
        plain
            .iter()
            .all(|p| p.offset_norm.unwrap() < 0.1 * p.predicted_norm)
    );
}

/// The verdict must be able to say each of its words.
#[test]
fn verdicts_on_made_up_ratios() {
    let layer = |ratio: f64, examples| LayerRatio {
        layer: "fc1".to_owned(),
        ratio,
        examples,
    };
    let seeds = |values: &[f64]| -> Vec<Vec<LayerRatio>> {
        values.iter().map(|&v| vec![layer(v, (50, 50))]).collect()
    };
    let verdict = |values: &[f64]| Advantage::judge(&seeds(values)).unwrap().verdict;
    assert_eq!(verdict(&[0.20, 0.22, 0.18]), AdvantageVerdict::Present);
    assert_eq!(verdict(&[1.02, 0.97, 1.01]), AdvantageVerdict::Vanished);
    assert_eq!(verdict(&[0.5, 1.2, 0.9]), AdvantageVerdict::Undecided);
    assert_eq!(
        verdict(&[0.1]),
        AdvantageVerdict::Undecided,
        "one seed decides nothing"
    );
    assert!(Advantage::judge(&[]).is_none());
    // A quarter permuted: noise alone gives √3, which is no advantage of the permuted.
    let quarter = vec![vec![layer(3f64.sqrt(), (75, 25))]; 3];
    assert!(Advantage::judge(&quarter).unwrap().log_ratio.mean.abs() < 1e-12);
}

#[test]
fn ablations_do_what_they_say() {
    let data = Data::synthetic(6, 3, 10, 4, 1.0);
    let moments = |ablation: InputAblation| {
        let images = ablation.apply(data.images.view(), &data.truth, 3).unwrap();
        ClassMoments::new(flat(images.view()).view(), &data.truth, 3).unwrap()
    };
    let raw = moments(InputAblation::Raw);
    let centred = moments(InputAblation::CentredClasses);
    let means = moments(InputAblation::ClassMeansOnly);
    for c in 0..3 {
        let gap = &centred.class_means.row(c) - &raw.mean;
        assert!(norm(gap.iter().copied()) < 1e-5);
        assert!((centred.class_variances[c] / raw.class_variances[c] - 1.0).abs() < 1e-5);
        assert!(means.class_variances[c] < 1e-9);
        assert!(
            norm(
                (&means.class_means.row(c) - &raw.class_means.row(c))
                    .iter()
                    .copied()
            ) < 1e-5
        );
    }
}

#[test]
fn bad_input_is_named() {
    let data = Data::synthetic(7, 3, 4, 32, 1.0);
    let short = Examples::new(
        data.images.view(),
        &data.assigned[1..],
        &data.truth,
        &data.permuted,
    )
    .unwrap_err();
    assert!(
        short
            .to_string()
            .contains("assigned labels: 11 given where 12"),
        "{short}"
    );
    let mut net = network(Architecture::Mlp, 3, 32, 2, 1.0, 0);
    let mut go = |settings: &MeasureSettings, mask: &[bool]| {
        let examples =
            Examples::new(data.images.view(), &data.assigned, &data.truth, mask).unwrap();
        let result = measure(net.as_mut(), &examples, settings, &mut |_, _| {
            ControlFlow::Continue(())
        });
        result.unwrap_err().to_string()
    };
    let odd = go(&MeasureSettings { blocks: 3, ..QUIET }, &data.permuted);
    assert!(odd.contains("blocks = 3"), "{odd}");
    let none = go(&QUIET, &[false; 12]);
    assert!(
        none.contains("the permuted group holds 0 examples"),
        "{none}"
    );
}

#[test]
fn a_measurement_can_be_stopped() {
    let data = Data::synthetic(8, 3, 8, 32, 1.0);
    let mut net = network(Architecture::Mlp, 3, 32, 2, 1.0, 0);
    let stopped = measure(net.as_mut(), &data.examples(), &QUIET, &mut |_, _| {
        ControlFlow::Break(())
    })
    .unwrap();
    assert!(stopped.is_none());
}
