use std::sync::Arc;

use dfdx::prelude::{Cpu, Tensor, ZerosTensor};
use serde::{Deserialize, Serialize};

/// What a parameter does, which decides how it is initialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterRole {
    /// Kernel of a convolution: out × in × height × width.
    ConvolutionWeight,
    /// Matrix of a linear layer: out × in.
    LinearWeight,
    /// Added per output channel.
    Bias,
    /// Scale γ of a normalisation; 1 at the start.
    Scale,
    /// Shift β of a normalisation; 0 at the start.
    Shift,
    /// Running mean of a normalisation; a statistic, never trained.
    RunningMean,
    /// Running variance (unbiased) of a normalisation; a statistic, never trained.
    RunningVariance,
}

/// A key in dfdx's gradients: a tensor of no elements, whose identity marks a value on the tape.
pub(crate) type Node = Tensor<(usize,), f32, Cpu>;

pub(crate) fn new_node() -> Node {
    Cpu::default().zeros_like(&(0,))
}

/// A named array of a network: values in row-major order of [`shape`](Self::shape).
#[derive(Clone, Debug)]
pub struct Parameter {
    name: String,
    layer: String,
    role: ParameterRole,
    shape: Vec<usize>,
    values: Arc<Vec<f32>>,
    node: Node,
}

impl Parameter {
    /// An array named `{layer}.{suffix}`: scales and running variances start at 1, all else at 0.
    pub fn new(layer: &str, suffix: &str, role: ParameterRole, shape: Vec<usize>) -> Self {
        let start = match role {
            ParameterRole::Scale | ParameterRole::RunningVariance => 1.0,
            _ => 0.0,
        };
        let values = Arc::new(vec![start; shape.iter().product()]);
        Self {
            name: format!("{layer}.{suffix}"),
            layer: layer.to_owned(),
            role,
            shape,
            values,
            node: new_node(),
        }
    }

    /// Stable name, for example `conv3_2.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name of the layer it belongs to, for example `conv3_2` (also for the normalisation after that convolution).
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// What it does.
    pub fn role(&self) -> ParameterRole {
        self.role
    }

    /// Its shape: out × in × height × width, out × in, or channels.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it has no value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Inputs that feed one output value: in × kernel area. 1 for anything but a weight.
    pub fn fan_in(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Outputs that one input value feeds: out × kernel area. 1 for anything but a weight.
    pub fn fan_out(&self) -> usize {
        match self.role {
            ParameterRole::ConvolutionWeight | ParameterRole::LinearWeight => {
                self.shape[0] * self.shape.iter().skip(2).product::<usize>()
            }
            _ => 1,
        }
    }

    /// The values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values, to change. Free of copies unless a tape still holds them.
    pub fn values_mut(&mut self) -> &mut [f32] {
        let values: &mut Vec<f32> = Arc::make_mut(&mut self.values);
        values
    }

    pub(crate) fn shared(&self) -> Arc<Vec<f32>> {
        Arc::clone(&self.values)
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }
}
