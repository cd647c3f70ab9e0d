//! Whole networks: gradients against finite differences, threads, names and sizes.

use mftma_train::{Architecture, ImageShape, Network, NetworkSpec, ParameterRole, StatisticsMode};
use ndarray::Array4;

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

/// The directional derivative along the gradient of each parameter array is the squared norm of the gradient.
fn check_gradients(spec: &NetworkSpec, mode: StatisticsMode) {
    let mut network = build(spec);
    let (images, labels) = batch(spec, 5);
    let step = network
        .loss_and_gradients(images.view(), &labels, mode)
        .unwrap();
    let names: Vec<String> = network
        .parameters()
        .iter()
        .map(|p| p.name().to_owned())
        .collect();
    for (index, gradient) in step.gradients.iter().enumerate() {
        let norm: f64 = gradient
            .iter()
            .map(|g| f64::from(*g).powi(2))
            .sum::<f64>()
            .sqrt();
        if norm < 1e-4 {
            continue;
        }
        // Small enough to cross few kinks of the rectifiers, large enough for single precision.
        let size = 2e-3 / norm.max(0.1) as f32;
        let mut losses = [0.0; 2];
        for (sign, loss) in [1.0, -1.0].into_iter().zip(&mut losses) {
            let mut moved = network.duplicate();
            for (value, gradient) in moved.parameters_mut()[index]
                .values_mut()
                .iter_mut()
                .zip(gradient)
            {
                *value += sign * size * gradient / norm as f32;
            }
            *loss = moved
                .loss_and_gradients(images.view(), &labels, mode)
                .unwrap()
                .loss;
        }
        let slope = (losses[0] - losses[1]) / (2.0 * f64::from(size));
        println!("{} {norm} {slope}", names[index]);
        assert!(
            (slope - norm).abs() < 0.05 * norm + 1e-3,
            "{}: {slope} by differences, {norm} by the tape",
            names[index]
        );
    }
}

#[test]
fn gradients_agree_with_differences() {
    for architecture in Architecture::ALL {
        for batch_norm in [false, true] {
            println!("{architecture} {batch_norm}");
            check_gradients(
                &spec(architecture, 2, batch_norm, 32),
                StatisticsMode::BatchOnly,
            );
        }
    }
}
