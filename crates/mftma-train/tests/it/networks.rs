//! Whole networks: gradients against finite differences and PyTorch, threads, names and sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use mftma_train::{
    Architecture, ImageShape, Moments, Network, NetworkSpec, Optimizer, OptimizerSettings,
    ParameterRole, Place, Recorder, StatisticsMode,
};
use ndarray::{Array2, Array4};

/// A small generator of its own, so that these tests share nothing with the code under test.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32 / (1u64 << 24) as f32) - 0.5
    }
}

fn spec(architecture: Architecture, width: usize, batch_norm: bool, side: usize) -> NetworkSpec {
    let input = ImageShape {
        channels: 3,
        height: side,
        width: side,
    };
    NetworkSpec {
        architecture,
        width,
        batch_norm,
        classes: 10,
        input,
    }
}

fn build(spec: &NetworkSpec) -> Box<dyn Network> {
    let mut draw = Draw(7);
    spec.build(&mut |parameter| {
        let size = match parameter.role() {
            ParameterRole::ConvolutionWeight | ParameterRole::LinearWeight => {
                (24.0 / parameter.fan_in() as f32).sqrt()
            }
            _ => 0.2,
        };
        let start = if parameter.role() == ParameterRole::Scale {
            1.0
        } else {
            0.0
        };
        for value in parameter.values_mut() {
            *value = start + size * draw.next();
        }
    })
    .unwrap()
}

fn batch(spec: &NetworkSpec, count: usize) -> (Array4<f32>, Vec<u16>) {
    let mut draw = Draw(3);
    let ImageShape {
        channels,
        height,
        width,
    } = spec.input;
    let images =
        Array4::from_shape_simple_fn((count, channels, height, width), || 2.0 * draw.next());
    let labels = (0..count).map(|i| (i * 7 % spec.classes) as u16).collect();
    (images, labels)
}

/// For every parameter array, the change of the loss along a short straight path against the integral of the tape's slope on it.
///
/// A difference quotient would compare the slope at one point with its average over all the kinks of rectifiers and maxima that the step
/// crosses, of which a deep network has thousands. The integral holds across kinks.
fn check_gradients(spec: &NetworkSpec, mode: StatisticsMode) {
    const HALF: f64 = 0.001;
    const POINTS: usize = 12;
    let network = build(spec);
    let (images, labels) = batch(spec, 27);
    let at_start = network
        .duplicate()
        .loss_and_gradients(images.view(), &labels, mode)
        .unwrap();
    let mut draw = Draw(11);
    for (index, gradient) in at_start.gradients.iter().enumerate() {
        // Half along the gradient, to see its length; half anywhere, to see what it may lack.
        let other: Vec<f32> = gradient.iter().map(|_| draw.next()).collect();
        let (own, apart) = (norm(gradient).max(1e-12), norm(&other));
        let direction: Vec<f64> = (gradient.iter().zip(&other))
            .map(|(g, o)| f64::from(*g) / own + f64::from(*o) / apart)
            .collect();
        let at = |t: f64| {
            let mut moved = network.duplicate();
            let values = moved.parameters_mut().swap_remove(index).values_mut();
            for (value, direction) in values.iter_mut().zip(&direction) {
                *value += (HALF * t * direction) as f32;
            }
            moved
                .loss_and_gradients(images.view(), &labels, mode)
                .unwrap()
        };
        let change = at(1.0).loss - at(-1.0).loss;
        let slopes = (0..POINTS).map(|i| {
            let step = at((2 * i + 1) as f64 / POINTS as f64 - 1.0);
            (step.gradients[index].iter().zip(&direction))
                .map(|(g, d)| f64::from(*g) * d)
                .sum::<f64>()
        });
        let integral = 2.0 * HALF * slopes.sum::<f64>() / POINTS as f64;
        let error = (change - integral).abs();
        let allowed = 0.03 * 2.0 * HALF * own + 3e-6;
        let name = network.parameters()[index].name().to_owned();
        assert!(
            error < allowed,
            "{} {name}: the loss changes by {change}, its slope integrates to {integral}",
            spec.architecture
        );
    }
}

fn norm(values: &[f32]) -> f64 {
    values
        .iter()
        .map(|v| f64::from(*v).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// One architecture with each kind of connection; all are compared with PyTorch below.
#[test]
fn gradients_integrate_to_the_change_of_the_loss() {
    use Architecture::*;
    for architecture in [Mlp, Vgg11, AlexNet, ResNetShallow] {
        for batch_norm in [false, true] {
            check_gradients(
                &spec(architecture, 2, batch_norm, 32),
                StatisticsMode::BatchOnly,
            );
        }
    }
    check_gradients(&spec(ResNetShallow, 2, true, 32), StatisticsMode::Running);
}

#[derive(serde::Deserialize)]
struct Reference {
    architecture: Architecture,
    batch_norm: bool,
    side: usize,
    losses: [f64; 3],
    gradients: BTreeMap<String, [f64; 3]>,
    statistics: BTreeMap<String, [f64; 3]>,
    scores: [f64; 3],
}

/// Three steps of SGD with momentum of every architecture against PyTorch in double precision; see `fixtures/networks.py`.
#[test]
fn every_architecture_agrees_with_pytorch() {
    /// Norm, and products with two vectors.
    fn summary(values: &[f32]) -> [f64; 3] {
        let mut draw = Draw(13);
        let mut product = || -> f64 {
            values
                .iter()
                .map(|v| f64::from(*v) * f64::from(draw.next()))
                .sum()
        };
        [norm(values), product(), product()]
    }
    let close = |what: &str, found: [f64; 3], wanted: [f64; 3], tolerance: f64| {
        for (a, b) in found.iter().zip(wanted) {
            assert!(
                (a - b).abs() <= tolerance * wanted[0] + 1e-7,
                "{what}: {found:?}, PyTorch {wanted:?}"
            );
        }
    };
    let text = include_str!("../fixtures/networks.json");
    let references: Vec<Reference> = serde_json::from_str(text).unwrap();
    assert_eq!(references.len(), 4 * Architecture::ALL.len());
    for wanted in references {
        let spec = spec(wanted.architecture, 2, wanted.batch_norm, wanted.side);
        let what = |part: &str| {
            format!(
                "{}, {} rows, normalised {}: {part}",
                wanted.architecture, wanted.side, wanted.batch_norm
            )
        };
        let mut network = build(&spec);
        let (images, labels) = batch(&spec, 5);
        let names: Vec<(String, usize)> = (network.parameters().iter())
            .map(|p| (p.name().to_owned(), p.len()))
            .collect();
        assert!(
            wanted
                .gradients
                .keys()
                .eq(names.iter().map(|(name, _)| name).collect::<BTreeSet<_>>())
        );
        let sgd = OptimizerSettings::Sgd {
            momentum: 0.9,
            weight_decay: 0.0,
        };
        let mut optimizer = Optimizer::new(sgd, names.iter().map(|(n, len)| (n.as_str(), *len)));
        for (number, loss) in wanted.losses.into_iter().enumerate() {
            let step = network
                .loss_and_gradients(images.view(), &labels, StatisticsMode::Batch)
                .unwrap();
            close(&what("loss"), [step.loss; 3], [loss; 3], 1e-4);
            optimizer.begin_step();
            for (index, parameter) in network.parameters_mut().into_iter().enumerate() {
                let gradient = &step.gradients[index];
                if number == 0 {
                    let name = parameter.name();
                    close(&what(name), summary(gradient), wanted.gradients[name], 1e-4);
                }
                optimizer.update(index, 0.01, parameter.values_mut(), gradient);
            }
        }
        assert_eq!(network.statistics().len(), wanted.statistics.len());
        for statistic in network.statistics() {
            let name = statistic.name();
            close(
                &what(name),
                summary(statistic.values()),
                wanted.statistics[name],
                1e-4,
            );
        }
        let scores = network.logits(images.view()).unwrap();
        close(
            &what("scores"),
            summary(scores.as_slice().unwrap()),
            wanted.scores,
            1e-3,
        );
    }
}

fn count(network: &dyn Network, of: impl Fn(&str) -> bool) -> usize {
    network
        .parameters()
        .iter()
        .filter(|p| of(p.layer()))
        .map(|p| p.len())
        .sum()
}

/// Published totals are those of torchvision's ImageNet networks (1000 classes, 224×224 images), whose classifiers differ:
/// what is compared is everything before the first linear layer.
#[test]
fn parameter_counts_are_the_published_ones() {
    let vgg_head = 512 * 49 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000;
    let alexnet_head = 9216 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000;
    for (architecture, side, published, head) in [
        (Architecture::Vgg11, 32, 132_863_336, vgg_head),
        (Architecture::Vgg13, 32, 133_047_848, vgg_head),
        (Architecture::Vgg16, 32, 138_357_544, vgg_head),
        (Architecture::AlexNet, 64, 61_100_840, alexnet_head),
    ] {
        let network = spec(architecture, 64, false, side)
            .build(&mut |_| {})
            .unwrap();
        assert_eq!(
            count(&*network, |layer| layer.starts_with("conv")),
            published - head,
            "{architecture}"
        );
    }
    // Whole networks for CIFAR-10, as commonly reported: one linear layer after VGG's convolutions. The reported VGG-16
    // with batch normalisation (14,728,266) also has a bias before each normalisation, which cancels: 4,224 fewer here.
    let total = |architecture, batch_norm| {
        let network = spec(architecture, 64, batch_norm, 32)
            .build(&mut |_| {})
            .unwrap();
        count(&*network, |_| true)
    };
    assert_eq!(total(Architecture::Vgg16, false), 14_719_818);
    assert_eq!(total(Architecture::Vgg16, true), 14_728_266 - 4_224);
    assert_eq!(total(Architecture::ResNet18, true), 11_173_962);
}

#[test]
fn names_are_stable_and_unique() {
    let names = |architecture| -> Vec<String> {
        let network = spec(architecture, 1, true, 32).build(&mut |_| {}).unwrap();
        let mut all: Vec<&str> = Vec::new();
        let (parameters, statistics) = (network.parameters(), network.statistics());
        all.extend(parameters.iter().chain(&statistics).map(|p| p.name()));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "{architecture}: names repeat");
        network
            .layers()
            .iter()
            .map(|layer| layer.name.clone())
            .collect()
    };
    assert_eq!(names(Architecture::Mlp), ["input", "fc1", "fc2", "fc3"]);
    let vgg = [
        "input", "conv1_1", "conv1_2", "pool1", "conv2_1", "conv2_2", "pool2", "conv3_1",
        "conv3_2", "conv3_3", "pool3", "conv4_1", "conv4_2", "conv4_3", "pool4", "conv5_1",
        "conv5_2", "conv5_3", "pool5", "fc1",
    ];
    assert_eq!(names(Architecture::Vgg16), vgg);
    assert_eq!(
        names(Architecture::AlexNet),
        [
            "input", "conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5", "fc1",
            "fc2", "fc3"
        ]
    );
    let resnet = names(Architecture::ResNet18);
    assert_eq!(resnet[..4], ["input", "conv1", "conv2_1a", "conv2_1b"]);
    assert_eq!(resnet.len(), 1 + 1 + 4 * 4 + 3 + 1 + 1);
}

#[test]
fn the_same_bytes_with_any_number_of_threads() {
    for architecture in [
        Architecture::Vgg11,
        Architecture::ResNet18,
        Architecture::AlexNet,
        Architecture::Mlp,
    ] {
        let spec = spec(architecture, 3, true, 32);
        let (images, labels) = batch(&spec, 70);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let mut network = build(&spec);
                let step = network
                    .loss_and_gradients(images.view(), &labels, StatisticsMode::Batch)
                    .unwrap();
                let statistics: Vec<Vec<f32>> = network
                    .statistics()
                    .iter()
                    .map(|s| s.values().to_vec())
                    .collect();
                (step.loss.to_bits(), step.logits, step.gradients, statistics)
            })
        };
        let one = run(1);
        for threads in [2, 3, 7] {
            assert!(run(threads) == one, "{architecture} with {threads} threads");
        }
    }
}

/// The derivatives of the mean cross-entropy carried back are its gradient, and parts of them carried back add up to it.
#[test]
fn derivatives_by_the_scores_are_carried_back() {
    for (architecture, mode) in [
        (Architecture::Vgg11, StatisticsMode::Running),
        (Architecture::ResNetShallow, StatisticsMode::BatchOnly),
        (Architecture::Mlp, StatisticsMode::Running),
    ] {
        let spec = spec(architecture, 2, true, 32);
        let (images, labels) = batch(&spec, 19);
        let mut network = build(&spec);
        let whole = network
            .loss_and_gradients(images.view(), &labels, mode)
            .unwrap();
        // Of each example and class: the softmax, and where the label is.
        let pull = |softmax: f32, label: f32| {
            let pulled = network.pull_back(images.view(), mode, &mut |scores| {
                let mut pull = scores.mapv(f32::exp);
                for (mut row, label_of) in pull.rows_mut().into_iter().zip(&labels) {
                    let sum = row.sum();
                    row.mapv_inplace(|weight| softmax * weight / sum);
                    row[usize::from(*label_of)] -= label;
                }
                pull / 19.0
            });
            let pulled = pulled.unwrap();
            assert_eq!(pulled.logits, whole.logits);
            pulled.gradients.concat()
        };
        let (both, softmax, label) = (pull(1.0, 1.0), pull(1.0, 0.0), pull(0.0, 1.0));
        let expected = whole.gradients.concat();
        let size = norm(&label) + norm(&softmax);
        assert!(
            norm(&expected) > 1e-3 * size,
            "{architecture}: nothing is tested"
        );
        let apart = |found: &dyn Fn(usize) -> f32| {
            let gaps = expected.iter().enumerate().map(|(i, e)| e - found(i));
            norm(&gaps.collect::<Vec<_>>())
        };
        assert!(apart(&|i| both[i]) < 1e-5 * size, "{architecture}");
        assert!(
            apart(&|i| softmax[i] + label[i]) < 1e-5 * size,
            "{architecture}"
        );
    }
}

#[test]
fn derivatives_of_another_shape_are_refused() {
    let spec = spec(Architecture::Mlp, 1, false, 32);
    let (images, _) = batch(&spec, 3);
    let refused = build(&spec).pull_back(images.view(), StatisticsMode::Running, &mut |scores| {
        Array2::zeros((scores.nrows(), scores.ncols() + 1))
    });
    assert!(refused.unwrap_err().to_string().contains("derivatives"));
}

#[test]
fn examples_are_independent_with_running_statistics() {
    let spec = spec(Architecture::Vgg11, 3, true, 32);
    let (images, labels) = batch(&spec, 40);
    let mut network = build(&spec);
    let mut gradients = |range: std::ops::Range<usize>| {
        let count = range.len() as f32;
        let part = images.slice(ndarray::s![range.clone(), .., .., ..]);
        let step = network
            .loss_and_gradients(part, &labels[range], StatisticsMode::Running)
            .unwrap();
        let sums: Vec<f32> = step.gradients.concat().iter().map(|g| g * count).collect();
        (sums, step.logits)
    };
    let (all, logits) = gradients(0..40);
    let (first, second) = (gradients(0..13), gradients(13..40));
    for ((all, a), b) in all.iter().zip(&first.0).zip(&second.0) {
        assert!(
            (all - (a + b)).abs() < 1e-3 * (1.0 + all.abs()),
            "{all} is not {a} + {b}"
        );
    }
    for (part, whole) in second
        .1
        .rows()
        .into_iter()
        .zip(logits.rows().into_iter().skip(13))
    {
        assert!(part.iter().zip(whole).all(|(a, b)| (a - b).abs() < 1e-5));
    }
    assert!(
        (network.logits(images.view()).unwrap() - logits)
            .iter()
            .all(|d| d.abs() < 1e-6)
    );
}

#[test]
fn activations_are_what_the_layers_compute() {
    for architecture in Architecture::ALL {
        for (side, place) in [
            (32, Place::Preactivation),
            (32, Place::Activation),
            (64, Place::Preactivation),
            (64, Place::Activation),
        ] {
            let spec = spec(architecture, 2, true, side);
            let (images, _) = batch(&spec, 3);
            let network = build(&spec);
            let last = network.layers().len() - 1;
            let wanted: Vec<usize> = (0..=last).collect();
            let mut seen = Vec::new();
            network
                .activations(
                    images.view(),
                    &wanted,
                    place,
                    &mut |position, activations| {
                        assert_eq!(
                            activations.dim(),
                            (3, network.layers()[position].features())
                        );
                        if position == 0 {
                            assert!(
                                activations.iter().eq(&images),
                                "the input, in (channel, row, column) order"
                            );
                        }
                        if position == last {
                            assert_eq!(activations, network.logits(images.view()).unwrap());
                        }
                        seen.push(position);
                    },
                )
                .unwrap();
            seen.sort_unstable();
            assert_eq!(seen, wanted, "{architecture}");
            let mut one = Vec::new();
            network
                .activations(images.view(), &[2, 1], place, &mut |position, _| {
                    one.push(position)
                })
                .unwrap();
            assert_eq!(one, [1, 0], "positions refer to the list of layers");
        }
    }
}

/// The first layer's activations against plain loops: convolution output before normalisation.
#[test]
fn convolution_activations_are_before_normalisation() {
    let spec = spec(Architecture::Vgg11, 2, true, 32);
    let (images, _) = batch(&spec, 2);
    let network = build(&spec);
    let weight = network.parameters()[0].values().to_vec();
    network
        .activations(
            images.view(),
            &[1],
            Place::Preactivation,
            &mut |_, activations| {
                let mut sum = 0.0;
                for c in 0..3 {
                    for ky in 0..3 {
                        for kx in 0..3 {
                            sum += weight[((3 + c) * 3 + ky) * 3 + kx]
                                * images[[1, c, 4 + ky, 9 + kx]];
                        }
                    }
                }
                let found = activations[[1, 32 * 32 + 5 * 32 + 10]];
                assert!((found - sum).abs() < 1e-5, "{found} {sum}");
            },
        )
        .unwrap();
}

/// Keeps all that a pass offers.
#[derive(Default)]
struct Everything {
    inputs: BTreeMap<usize, Array2<f32>>,
    outputs: BTreeMap<usize, Array2<f32>>,
    activations: BTreeMap<usize, Array2<f32>>,
    moments: Vec<(usize, Moments)>,
    last: Option<usize>,
}

impl Recorder for Everything {
    fn input(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> ControlFlow<()> {
        self.inputs.insert(layer, values());
        ControlFlow::Continue(())
    }

    fn output(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> ControlFlow<()> {
        self.outputs.insert(layer, values());
        if self.last == Some(layer) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn activation(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> ControlFlow<()> {
        self.activations.insert(layer, values());
        ControlFlow::Continue(())
    }

    fn moments(&mut self, layer: usize, moments: Moments) {
        self.moments.push((layer, moments));
    }
}

/// Activations are the preactivations normalised and rectified; what follows in a chain is given them, to the bit, and a pooling takes
/// their maxima.
#[test]
fn activations_are_normalised_and_rectified_preactivations() {
    let network = build(&spec(Architecture::Vgg16, 2, true, 32));
    let (images, _) = batch(network.spec(), 5);
    let mut seen = Everything::default();
    network
        .forward(images.view(), StatisticsMode::Running, &mut seen)
        .unwrap();
    let names: Vec<&str> = network.layers().iter().map(|l| l.name.as_str()).collect();
    let at = |name| names.iter().position(|n| *n == name).unwrap();
    for same in ["input", "pool1", "pool5", "fc1"] {
        assert_eq!(seen.activations[&at(same)], seen.outputs[&at(same)]);
    }
    for (before, after) in [
        ("conv1_1", "conv1_2"),
        ("conv3_2", "conv3_3"),
        ("pool4", "conv5_1"),
    ] {
        assert_eq!(seen.activations[&at(before)], seen.inputs[&at(after)]);
    }
    let statistic = |layer: &str, role| {
        let mut all = network.statistics().into_iter().chain(network.parameters());
        let found = all
            .find(|p| p.layer() == layer && p.role() == role)
            .unwrap();
        f64::from(found.values()[1])
    };
    for layer in ["conv1_1", "conv2_2", "conv5_3"] {
        let [mean, variance, scale, shift] = [
            ParameterRole::RunningMean,
            ParameterRole::RunningVariance,
            ParameterRole::Scale,
            ParameterRole::Shift,
        ]
        .map(|role| statistic(layer, role));
        let shape = &network.layers()[at(layer)].shape;
        let plane = shape[1] * shape[2];
        let (before, after) = (&seen.outputs[&at(layer)], &seen.activations[&at(layer)]);
        let mut positive = 0;
        for column in plane..2 * plane {
            let x = f64::from(before[[3, column]]);
            let wanted = (scale * (x - mean) / (variance + 1e-5).sqrt() + shift).max(0.0);
            assert!((f64::from(after[[3, column]]) - wanted).abs() < 1e-4 * (1.0 + wanted));
            positive += usize::from(wanted > 0.0);
        }
        assert!(positive > 0 || plane < 64, "{layer}: nothing was compared");
    }
    let (conv, pool) = (
        &seen.activations[&at("conv1_2")],
        &seen.activations[&at("pool1")],
    );
    for (y, x) in [(0, 0), (3, 9), (15, 15)] {
        let pixel = |dy, dx| conv[[2, (2 * y + dy) * 32 + 2 * x + dx]];
        let largest = pixel(0, 0)
            .max(pixel(0, 1))
            .max(pixel(1, 0))
            .max(pixel(1, 1));
        assert_eq!(pool[[2, y * 16 + x]], largest);
    }
}

#[test]
fn a_recorder_sees_inputs_outputs_and_moments_of_one_pass() {
    let plain = build(&spec(Architecture::Mlp, 2, false, 32));
    let (images, labels) = batch(plain.spec(), 40);
    let mut seen = Everything::default();
    let scores = plain
        .forward(images.view(), StatisticsMode::Running, &mut seen)
        .unwrap();
    assert_eq!(scores.as_ref(), seen.outputs.get(&3), "the last layer's");
    assert_eq!(seen.inputs[&1], seen.outputs[&0], "the images");
    for layer in [2, 3] {
        let rectified = seen.outputs[&(layer - 1)].mapv(|v| v.max(0.0));
        assert_eq!(seen.inputs[&layer], rectified, "layer {layer}");
    }
    assert!(seen.moments.is_empty(), "no normalisation");
    let mut half = Everything {
        last: Some(2),
        ..Everything::default()
    };
    let ended = plain.forward(images.view(), StatisticsMode::Running, &mut half);
    assert_eq!(ended.unwrap(), None);
    assert!(half.outputs.keys().eq(&[0, 1, 2]));

    // With normalisations: the scores and moments are those of a step of training, to the bit.
    for architecture in [Architecture::Vgg11, Architecture::ResNetShallow] {
        let mut network = build(&spec(architecture, 2, true, 32));
        let before: Vec<Vec<f32>> = values(network.statistics());
        let mut seen = Everything::default();
        let scores = network
            .forward(images.view(), StatisticsMode::Batch, &mut seen)
            .unwrap();
        assert_eq!(values(network.statistics()), before, "nothing moves");
        network
            .statistics_mut()
            .into_iter()
            .for_each(|s| s.values_mut().fill(0.0));
        let step = network
            .loss_and_gradients(images.view(), &labels, StatisticsMode::Batch)
            .unwrap();
        assert_eq!(scores, Some(step.logits));
        let names: BTreeSet<&str> = network.statistics().iter().map(|s| s.layer()).collect();
        assert_eq!(seen.moments.len(), names.len());
        for (layer, moments) in &seen.moments {
            let name = &network.layers()[*layer].name;
            for s in network.statistics() {
                let own = match s.role() {
                    ParameterRole::RunningMean => &moments.mean,
                    _ => &moments.variance,
                };
                let moved = own.iter().map(|b| mftma_train::network::MOMENTUM * b);
                assert!(s.layer() != name || moved.eq(s.values().iter().copied()));
            }
        }
    }
}

fn values(arrays: Vec<&mftma_train::Parameter>) -> Vec<Vec<f32>> {
    arrays.iter().map(|a| a.values().to_vec()).collect()
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let refused = |change: &dyn Fn(&mut NetworkSpec)| {
        let mut spec = spec(Architecture::Vgg16, 4, true, 32);
        change(&mut spec);
        spec.build(&mut |_| {}).err().expect("refused").to_string()
    };
    assert!(refused(&|s| s.width = 0).contains("width 0"));
    assert!(refused(&|s| s.classes = 1).contains("1 classes"));
    assert!(refused(&|s| s.input.channels = 0).contains("0 input channels"));
    let message = refused(&|s| (s.input.height, s.input.width) = (28, 28));
    assert!(
        message.contains("28×28") && message.contains("32×32"),
        "{message}"
    );
    let network = build(&spec(Architecture::Mlp, 1, true, 32));
    let wrong = Array4::zeros((2, 1, 32, 32));
    assert!(
        network
            .logits(wrong.view())
            .unwrap_err()
            .to_string()
            .contains("images of 1×32×32")
    );
    let none = Array4::zeros((0, 3, 32, 32));
    assert!(
        network
            .logits(none.view())
            .unwrap_err()
            .to_string()
            .contains("empty")
    );
    let right = Array4::zeros((2, 3, 32, 32));
    let unknown = network
        .activations(right.view(), &[9], Place::default(), &mut |_, _| {})
        .unwrap_err();
    assert!(unknown.to_string().contains("layer index 9"));
}
