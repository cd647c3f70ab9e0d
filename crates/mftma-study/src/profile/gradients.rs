//! Settings of figure 5.

use serde::{Deserialize, Serialize};

use super::ExperimentSettings;

/// Gradients near initialization: a short training of its own for each run, and a perceptron at its initialization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradientSettings {
    /// Independent runs: intervals are over these.
    pub runs: u64,
    /// The network and its training, which ends with the last epoch to be measured.
    pub experiment: ExperimentSettings,
    /// Optimiser steps after which gradients are measured; 0 is the initialization.
    pub steps: Vec<usize>,
    /// Epochs after which they are measured too; training ends with the last.
    pub epochs: Vec<usize>,
    /// Examples of each group whose own gradient's norm is taken.
    pub examples: usize,
    /// Base width of the perceptron, which has two hidden layers of eight times as many units.
    pub perceptron_width: usize,
    /// Factors on the perceptron's initial weights, small and ordinary.
    pub weight_scales: Vec<f32>,
}
