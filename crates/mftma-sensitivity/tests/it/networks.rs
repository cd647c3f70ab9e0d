//! Networks and images of these tests.

use mftma_train::{
    Architecture, ImageShape, Network, NetworkSpec, Parameter, ParameterRole, StatisticsMode,
};
use ndarray::{Array2, Array4};

/// A small generator of its own, so that these tests share nothing with the code under test.
pub struct Draw(pub u64);

impl Draw {
    /// From −0.5 to 0.5.
    pub fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32 / (1u64 << 24) as f32) - 0.5
    }
}

/// A network with ordinary random values everywhere, statistics too.
pub fn network(
    architecture: Architecture,
    width: usize,
    batch_norm: bool,
    channels: usize,
) -> Box<dyn Network> {
    let input = ImageShape {
        channels,
        height: 32,
        width: 32,
    };
    let spec = NetworkSpec {
        architecture,
        width,
        batch_norm,
        classes: 4,
        input,
    };
    let mut draw = Draw(7);
    let mut network = spec
        .build(&mut |parameter| {
            let size = match parameter.role() {
                ParameterRole::ConvolutionWeight | ParameterRole::LinearWeight => {
                    (24.0 / parameter.fan_in() as f32).sqrt()
                }
                _ => 0.2,
            };
            let start = f32::from(u8::from(parameter.role() == ParameterRole::Scale));
            for value in parameter.values_mut() {
                *value = start + size * draw.next();
            }
        })
        .unwrap();
    for statistic in network.statistics_mut() {
        let start = f32::from(u8::from(statistic.role() == ParameterRole::RunningVariance));
        for value in statistic.values_mut() {
            *value = start + 0.5 * draw.next();
        }
    }
    network
}

pub fn images(n: usize, channels: usize, seed: u64) -> Array4<f32> {
    let mut draw = Draw(seed);
    Array4::from_shape_simple_fn((n, channels, 32, 32), || 2.0 * draw.next())
}

pub fn parameter<'a>(network: &'a mut dyn Network, name: &str) -> &'a mut Parameter {
    let mut parameters = network.parameters_mut().into_iter();
    parameters.find(|p| p.name() == name).unwrap()
}

/// Sets a matrix, row by row.
pub fn set(network: &mut dyn Network, name: &str, values: &[f32]) {
    parameter(network, name)
        .values_mut()
        .copy_from_slice(values);
}

/// A matrix of a network, out × in, in double precision.
pub fn matrix(network: &dyn Network, name: &str) -> Array2<f64> {
    let parameters = network.parameters();
    let found = parameters.iter().find(|p| p.name() == name).unwrap();
    let shape = (found.shape()[0], found.len() / found.shape()[0]);
    let values = found.values().iter().map(|x| f64::from(*x)).collect();
    Array2::from_shape_vec(shape, values).unwrap()
}

/// A perceptron of one input channel without normalisation whose hidden units are all on for images between −1 and 1: it is linear there.
pub fn linear_network() -> Box<dyn Network> {
    let mut network = network(Architecture::Mlp, 1, false, 1);
    // Far above what weights and pixels can bring about, and no further: scores are kept in single precision.
    for (bias, value) in [("fc1.bias", 10.0), ("fc2.bias", 100.0)] {
        parameter(&mut *network, bias).values_mut().fill(value);
    }
    network
}

/// The mean cross-entropy of one image.
pub fn loss(network: &dyn Network, images: &Array4<f32>, labels: &[u16]) -> f64 {
    let mut network = network.duplicate();
    let step = network.loss_and_gradients(images.view(), labels, StatisticsMode::Running);
    step.unwrap().loss
}
