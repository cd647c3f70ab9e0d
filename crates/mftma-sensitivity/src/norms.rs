//! Norms of a trained network's weights: spectral norms of its layers as operators, and its path norm.

use std::ops::ControlFlow;

use mftma_train::ops::NORMALISATION_EPSILON;
use mftma_train::{Network, ParameterRole, Recorder, StatisticsMode};
use ndarray::{Array2, Array4};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::setting;

/// Power iteration for spectral norms. Defaults are decided by us \[D\].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpectralSettings {
    /// Steps at most.
    pub iterations: usize,
    /// Ends where a step changes the norm by less than this fraction.
    pub tolerance: f64,
    /// Seed of the start.
    pub seed: u64,
}

impl Default for SpectralSettings {
    fn default() -> Self {
        Self {
            iterations: 200,
            tolerance: 1e-5,
            seed: 0,
        }
    }
}

/// The linear map of one convolution or linear layer with its normalisation folded in: what it does to a difference of two inputs before
/// its rectifier, with running statistics.
#[derive(Debug, Clone)]
pub struct LayerOperator {
    layer: String,
    layer_index: usize,
    /// out × in × kernel × kernel, each output channel multiplied by γ / √(variance + ε).
    weights: Vec<f64>,
    outputs: usize,
    inputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    side_in: usize,
    side_out: usize,
}

/// Norms of one layer's operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerNorms {
    /// Place of the layer in the network.
    pub layer_index: usize,
    /// Its name.
    pub layer: String,
    /// ‖A‖₂, the largest singular value. Power iteration comes from below.
    pub spectral: f64,
    /// ‖AᵀA v − σ² v‖ / σ² at the end of the iteration: some singular value lies within σ times about half of this of σ.
    pub residual: f64,
    /// ‖A‖_F.
    pub frobenius: f64,
}

impl LayerNorms {
    /// ‖A‖_F² / ‖A‖₂²: how many directions carry the operator, at least 1.
    pub fn stable_rank(&self) -> f64 {
        (self.frobenius / self.spectral).powi(2)
    }
}

/// Counts what enters each layer.
#[derive(Default)]
struct Inputs(Vec<(usize, usize)>);

impl Recorder for Inputs {
    fn input(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> ControlFlow<()> {
        self.0.push((layer, values().ncols()));
        ControlFlow::Continue(())
    }
}

/// The operators of all convolutions and linear layers, in the order of computation.
///
/// # Errors
/// [`Error::Layer`] where a convolution is not square with a padding of half its kernel; [`Error::Network`].
pub fn operators(network: &dyn Network) -> Result<Vec<LayerOperator>, Error> {
    let mut entering = Inputs::default();
    let blank = blank(network, 0.0);
    network.forward(blank.view(), StatisticsMode::Running, &mut entering)?;
    entering
        .0
        .into_iter()
        .map(|(index, features)| operator(network, index, features))
        .collect()
}

/// One image of a single value.
fn blank(network: &dyn Network, value: f32) -> Array4<f32> {
    let input = network.spec().input;
    Array4::from_elem((1, input.channels, input.height, input.width), value)
}

fn operator(network: &dyn Network, index: usize, features: usize) -> Result<LayerOperator, Error> {
    let info = &network.layers()[index];
    let refuse = |reason| Error::Layer {
        layer: info.name.clone(),
        reason,
    };
    let parameters = network.parameters();
    let of = |role: ParameterRole| {
        let of_layer = |p: &&&mftma_train::Parameter| p.layer() == info.name && p.role() == role;
        parameters.iter().find(of_layer).copied()
    };
    let weight = of(ParameterRole::ConvolutionWeight).or_else(|| of(ParameterRole::LinearWeight));
    let weight = weight.ok_or_else(|| refuse("it has no weight; ask for layers that have one"))?;
    let (outputs, inputs) = (weight.shape()[0], weight.shape()[1]);
    let kernel = weight.shape().get(2).copied().unwrap_or(1);
    let side_out = info.shape.get(1).copied().unwrap_or(1);
    let side_in = (features / inputs.max(1)).isqrt();
    let stride = side_in / side_out.max(1);
    let padding = (kernel - 1) / 2;
    let fits = side_in * side_in * inputs == features
        && stride > 0
        && (side_in + 2 * padding - kernel) / stride + 1 == side_out;
    if !fits {
        return Err(refuse(
            "its maps are not square, or its padding is not half its kernel; such layers have no operator here",
        ));
    }
    let factors = factors(network, &info.name, outputs);
    let per_output = weight.len() / outputs;
    let weights = weight.values().iter().enumerate();
    Ok(LayerOperator {
        layer: info.name.clone(),
        layer_index: index,
        weights: weights
            .map(|(i, w)| f64::from(*w) * factors[i / per_output])
            .collect(),
        outputs,
        inputs,
        kernel,
        stride,
        padding,
        side_in,
        side_out,
    })
}

/// γ / √(variance + ε) of each channel of a layer's normalisation; 1 where it has none.
fn factors(network: &dyn Network, layer: &str, channels: usize) -> Vec<f64> {
    let parameters = network.parameters();
    let statistics = network.statistics();
    let of = |role| {
        let mut arrays = parameters.iter().chain(&statistics);
        arrays.find(|array| array.layer() == layer && array.role() == role)
    };
    match (of(ParameterRole::Scale), of(ParameterRole::RunningVariance)) {
        (Some(scale), Some(variance)) => scale
            .values()
            .iter()
            .zip(variance.values())
            .map(|(g, v)| f64::from(*g) / (f64::from(*v) + NORMALISATION_EPSILON).sqrt())
            .collect(),
        _ => vec![1.0; channels],
    }
}

impl LayerOperator {
    /// Name of the layer.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// Its place in the network.
    pub fn layer_index(&self) -> usize {
        self.layer_index
    }

    /// Length of what goes in: channels × rows × columns.
    pub fn inputs(&self) -> usize {
        self.inputs * self.side_in * self.side_in
    }

    /// Length of what comes out, in the same order.
    pub fn outputs(&self) -> usize {
        self.outputs * self.side_out * self.side_out
    }

    /// Calls `visit(weight, first output, first input, count)` for each run of `count` neighbouring outputs in a row that a weight reaches.
    fn each_run(&self, mut visit: impl FnMut(f64, usize, usize, usize)) {
        let (k, s, p) = (self.kernel, self.stride, self.padding);
        let (a, b) = (self.side_in, self.side_out);
        // Outputs y with 0 ≤ s y + tap − p < side_in.
        let range = |tap: usize| {
            let low = p.saturating_sub(tap).div_ceil(s);
            let high = if a + p > tap {
                (a + p - tap - 1) / s + 1
            } else {
                0
            };
            (low, high.min(b))
        };
        for out in 0..self.outputs {
            for input in 0..self.inputs {
                for row in 0..k {
                    let (top, bottom) = range(row);
                    for column in 0..k {
                        let weight =
                            self.weights[((out * self.inputs + input) * k + row) * k + column];
                        let (left, right) = range(column);
                        if left >= right {
                            continue;
                        }
                        for y in top..bottom {
                            let from = (input * a + s * y + row - p) * a + s * left + column - p;
                            visit(weight, (out * b + y) * b + left, from, right - left);
                        }
                    }
                }
            }
        }
    }

    /// A x.
    ///
    /// # Panics
    /// Where `x` has not [`LayerOperator::inputs`] values.
    pub fn apply(&self, x: &[f64]) -> Vec<f64> {
        assert_eq!(x.len(), self.inputs(), "one value for each input");
        let mut out = vec![0.0; self.outputs()];
        self.each_run(|weight, to, from, count| {
            let out = &mut out[to..to + count];
            match self.stride {
                1 => out
                    .iter_mut()
                    .zip(&x[from..])
                    .for_each(|(o, x)| *o += weight * x),
                s => out
                    .iter_mut()
                    .zip(x[from..].iter().step_by(s))
                    .for_each(|(o, x)| *o += weight * x),
            }
        });
        out
    }

    /// Aᵀ y.
    ///
    /// # Panics
    /// Where `y` has not [`LayerOperator::outputs`] values.
    pub fn apply_transposed(&self, y: &[f64]) -> Vec<f64> {
        assert_eq!(y.len(), self.outputs(), "one value for each output");
        let mut out = vec![0.0; self.inputs()];
        self.each_run(|weight, to, from, count| {
            let y = &y[to..to + count];
            match self.stride {
                1 => out[from..]
                    .iter_mut()
                    .zip(y)
                    .for_each(|(o, y)| *o += weight * y),
                s => out[from..]
                    .iter_mut()
                    .step_by(s)
                    .zip(y)
                    .for_each(|(o, y)| *o += weight * y),
            }
        });
        out
    }

    /// ‖A‖_F, of the matrix of the map: a weight counts as often as it is used.
    pub fn frobenius(&self) -> f64 {
        let mut squares = 0.0;
        self.each_run(|weight, _, _, count| squares += weight * weight * count as f64);
        squares.sqrt()
    }

    /// The norms, by power iteration on AᵀA from a random start (equation 7 of the note).
    ///
    /// # Errors
    /// [`Error::Setting`] for no step; [`Error::NotFinite`] for weights that are not finite.
    pub fn norms(&self, settings: &SpectralSettings) -> Result<LayerNorms, Error> {
        setting(
            "iterations",
            settings.iterations as f64,
            settings.iterations > 0,
            "give at least 1",
        )?;
        let purpose = format!("mftma-sensitivity/spectral/{}", self.layer);
        let mut rng = mftma_data::stream(settings.seed, &purpose);
        let mut v: Vec<f64> = (0..self.inputs())
            .map(|_| StandardNormal.sample(&mut rng))
            .collect();
        let (mut spectral, mut residual) = (0.0, 0.0);
        normalise(&mut v);
        for _ in 0..settings.iterations {
            let mut next = self.apply_transposed(&self.apply(&v));
            // ‖v‖ = 1, so vᵀAᵀAv is the square of the norm so far.
            let square: f64 = v.iter().zip(&next).map(|(a, b)| a * b).sum();
            let off: f64 = v
                .iter()
                .zip(&next)
                .map(|(v, w)| (w - square * v).powi(2))
                .sum();
            let found = square.max(0.0).sqrt();
            residual = if square > 0.0 {
                off.sqrt() / square
            } else {
                0.0
            };
            let settled = (found - spectral).abs() <= settings.tolerance * found;
            spectral = found;
            normalise(&mut next);
            v = next;
            if settled {
                break;
            }
        }
        if !spectral.is_finite() {
            return Err(Error::NotFinite {
                what: "a spectral norm",
            });
        }
        Ok(LayerNorms {
            layer_index: self.layer_index,
            layer: self.layer.clone(),
            spectral,
            residual,
            frobenius: self.frobenius(),
        })
    }
}

fn normalise(v: &mut [f64]) {
    let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    if norm > 0.0 {
        v.iter_mut().for_each(|x| *x /= norm);
    }
}

/// Norms of every layer's operator, in the order of computation; layers side by side on rayon's current pool.
///
/// # Errors
/// As [`operators`] and [`LayerOperator::norms`].
pub fn layer_norms(
    network: &dyn Network,
    settings: &SpectralSettings,
) -> Result<Vec<LayerNorms>, Error> {
    let operators = operators(network)?;
    operators
        .par_iter()
        .map(|operator| operator.norms(settings))
        .collect()
}

/// The path norm: the root of the sum, over all paths from an input pixel to a class score, of the squared product of the weights along
/// it, normalisation folded in, biases and shifts left out (Neyshabur et al. 2015, arXiv 1503.00036; equation 8 of the note).
///
/// It is one forward pass of the network with squared weights on an image of ones. A maximum over pixels stays a maximum: of the paths
/// through a pooling's window those of the heaviest pixel count, as where the measure is used in practice (Jiang et al. 2019,
/// arXiv 1912.02178).
///
/// # Errors
/// [`Error::NotFinite`] where the square leaves single precision; [`Error::Network`].
pub fn path_norm(network: &dyn Network) -> Result<f64, Error> {
    let mut squared = network.duplicate();
    let layers: Vec<String> = network.layers().iter().map(|l| l.name.clone()).collect();
    let folded: Vec<(String, Vec<f64>)> = layers
        .into_iter()
        .map(|layer| {
            // Layers without normalisation have no scale to set.
            let factors = factors(network, &layer, 0);
            (layer, factors)
        })
        .collect();
    let of_layer = |layer: &str| {
        folded
            .iter()
            .find(|(name, _)| name == layer)
            .map(|(_, f)| f)
    };
    for parameter in squared.parameters_mut() {
        let layer = parameter.layer().to_owned();
        let role = parameter.role();
        for (i, value) in parameter.values_mut().iter_mut().enumerate() {
            *value = match role {
                ParameterRole::ConvolutionWeight | ParameterRole::LinearWeight => *value * *value,
                // The statistics become mean 0 and variance 1, whose root with ε is divided out again.
                ParameterRole::Scale => {
                    let factor = of_layer(&layer).map_or(0.0, |factors| factors[i]);
                    (factor * factor * (1.0 + NORMALISATION_EPSILON).sqrt()) as f32
                }
                _ => 0.0,
            };
        }
    }
    for statistic in squared.statistics_mut() {
        let value = f32::from(u8::from(statistic.role() == ParameterRole::RunningVariance));
        statistic.values_mut().fill(value);
    }
    let scores = squared.logits(blank(network, 1.0).view())?;
    let norm = scores.iter().map(|s| f64::from(*s)).sum::<f64>().sqrt();
    if norm.is_finite() {
        Ok(norm)
    } else {
        Err(Error::NotFinite {
            what: "the path norm",
        })
    }
}
