//! Deeper layers of a multilayer perceptron, expanded in the scale of its weights.

use ndarray::{Array2, ArrayView2, Axis};

use super::class_mean_factor;
use super::moments::check_labels;
use crate::Error;

/// What follows each hidden layer's weights, as far as the leading order knows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// Smooth with φ(0) = 0: its slope at 0 and whether it is odd (φ(−u) = −φ(u): tanh, erf, sine), which kills the
    /// quadratic term.
    Smooth {
        /// φ′(0).
        slope: f64,
        /// Whether φ is odd.
        odd: bool,
    },
    /// max(0, u). Not differentiable at 0, but homogeneous: the gates do not depend on the scale of the weights.
    Rectified,
}

impl Activation {
    /// Hyperbolic tangent.
    pub const TANH: Self = Self::Smooth {
        slope: 1.0,
        odd: true,
    };

    /// Slope of the linear part: φ′(0) where φ is smooth; ½ for the rectifier, whose even half |u|/2 is not linear in
    /// the input.
    pub fn linear_slope(self) -> f64 {
        match self {
            Self::Smooth { slope, .. } => slope,
            Self::Rectified => 0.5,
        }
    }
}

/// A multilayer perceptron without biases, x → W₁ → φ → … → W_L → logits, expanded around small weights.
///
/// Under W_l = s·A_l the gradient with respect to W_l is s^(L−1) times a leading term plus a relative error of the
/// order [`relative_error_order`](Self::relative_error_order) (equations 6 and 7).
#[derive(Debug, Clone)]
pub struct Expansion {
    weights: Vec<Array2<f64>>,
    activation: Activation,
}

impl Expansion {
    /// Takes the weights from the input to the logits, each outputs × inputs, scale included.
    ///
    /// # Errors
    /// [`Error::Shape`] where a matrix does not take what the one before it gives; [`Error::Setting`] for none at all.
    pub fn new(weights: Vec<Array2<f64>>, activation: Activation) -> Result<Self, Error> {
        if weights.is_empty() {
            return Err(Error::Setting {
                name: "layers",
                value: 0.0,
                remedy: "give at least one weight matrix",
            });
        }
        for (layer, pair) in weights.windows(2).enumerate() {
            if pair[1].ncols() != pair[0].nrows() {
                return Err(Error::Shape {
                    layer: layer + 1,
                    takes: pair[1].ncols(),
                    gets: pair[0].nrows(),
                });
            }
        }
        Ok(Self {
            weights,
            activation,
        })
    }

    /// Number of weight layers L.
    pub fn layers(&self) -> usize {
        self.weights.len()
    }

    /// Number of classes C.
    pub fn classes(&self) -> usize {
        self.weights[self.weights.len() - 1].nrows()
    }

    /// The power q in: relative error of [`leading_gradients`](Self::leading_gradients) = O(s^q).
    ///
    /// The softmax leaves uniformity at relative order s^L. A smooth φ adds its first non-linear term: s for a general
    /// φ, s² for an odd one. The rectifier adds nothing.
    pub fn relative_error_order(&self) -> u32 {
        let depth = u32::try_from(self.weights.len()).unwrap_or(u32::MAX);
        match self.activation {
            _ if depth == 1 => 1,
            Activation::Rectified => depth,
            Activation::Smooth { odd: true, .. } => depth.min(2),
            Activation::Smooth { odd: false, .. } => 1,
        }
    }

    /// F_(l−1) = slope^(l−1) W_(l−1)…W₁: the linear features of the input that reach weight layer `layer` (0 next to the
    /// input). Shape (inputs of that layer, d); the identity for layer 0.
    pub fn linear_features(&self, layer: usize) -> Array2<f64> {
        let slope = self.activation.linear_slope();
        self.weights[..layer]
            .iter()
            .fold(Array2::eye(self.weights[0].ncols()), |features, weight| {
                weight.dot(&features) * slope
            })
    }

    /// B_l = slope^(L−l) W_L…W_(l+1): how the layer's outputs reach the logits, to leading order. Shape (C, outputs of that
    /// layer); the identity for the last layer.
    pub fn linear_outer(&self, layer: usize) -> Array2<f64> {
        let slope = self.activation.linear_slope();
        self.weights[layer + 1..]
            .iter()
            .rev()
            .fold(Array2::eye(self.classes()), |outer, weight| {
                outer.dot(weight) * slope
            })
    }

    /// B_lᵀ M F_(l−1)ᵀ (equation 6): the part of the summed gradient that is driven by class means of linear features of
    /// the input. `factor` is M (C, d) of [`class_mean_factor`] on the raw inputs. The leading order where φ is smooth;
    /// for the rectifier the linear part of it.
    pub fn linear_gradient(&self, layer: usize, factor: ArrayView2<'_, f64>) -> Array2<f64> {
        self.linear_outer(layer)
            .t()
            .dot(&factor)
            .dot(&self.linear_features(layer).t())
    }

    /// Leading order of the summed gradient of every weight matrix over the examples `inputs` (n, d) with `labels`.
    ///
    /// Smooth φ: [`linear_gradient`](Self::linear_gradient). Rectifier: the gates of each example are kept and only the
    /// softmax is taken as uniform (equation 7).
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Label`] or [`Error::Shape`] where inputs, labels and weights do not fit.
    pub fn leading_gradients(
        &self,
        inputs: ArrayView2<'_, f64>,
        labels: &[u16],
    ) -> Result<Vec<Array2<f64>>, Error> {
        self.check(inputs, labels)?;
        match self.activation {
            Activation::Smooth { .. } => self.linear_gradients(inputs, labels),
            Activation::Rectified => Ok(self.gated_gradients(inputs, labels)),
        }
    }

    /// [`linear_gradient`](Self::linear_gradient) of every layer.
    ///
    /// # Errors
    /// As [`leading_gradients`](Self::leading_gradients).
    pub fn linear_gradients(
        &self,
        inputs: ArrayView2<'_, f64>,
        labels: &[u16],
    ) -> Result<Vec<Array2<f64>>, Error> {
        self.check(inputs, labels)?;
        let factor = class_mean_factor(inputs, labels, self.classes())?;
        Ok((0..self.layers())
            .map(|layer| self.linear_gradient(layer, factor.view()))
            .collect())
    }

    fn check(&self, inputs: ArrayView2<'_, f64>, labels: &[u16]) -> Result<(), Error> {
        if inputs.ncols() != self.weights[0].ncols() {
            return Err(Error::Shape {
                layer: 0,
                takes: self.weights[0].ncols(),
                gets: inputs.ncols(),
            });
        }
        check_labels(inputs.nrows(), labels, self.classes())
    }

    fn gated_gradients(&self, inputs: ArrayView2<'_, f64>, labels: &[u16]) -> Vec<Array2<f64>> {
        let last = self.layers() - 1;
        let mut hidden = vec![inputs.to_owned()];
        for weight in &self.weights[..last] {
            let below = &hidden[hidden.len() - 1];
            hidden.push(below.dot(&weight.t()).mapv_into(|u| u.max(0.0)));
        }
        // Rows of `pull` are ∂loss/∂output of the layer at hand, starting from 1/C − y at the logits.
        let mut pull = Array2::from_elem(
            (inputs.nrows(), self.classes()),
            1.0 / self.classes() as f64,
        );
        for (mut row, &y) in pull.axis_iter_mut(Axis(0)).zip(labels) {
            row[usize::from(y)] -= 1.0;
        }
        let mut gradients = Vec::with_capacity(self.layers());
        for layer in (0..=last).rev() {
            gradients.push(pull.t().dot(&hidden[layer]));
            if layer > 0 {
                pull = pull.dot(&self.weights[layer]);
                pull.zip_mut_with(&hidden[layer], |p, &h| {
                    if h <= 0.0 {
                        *p = 0.0
                    }
                });
            }
        }
        gradients.reverse();
        gradients
    }
}
