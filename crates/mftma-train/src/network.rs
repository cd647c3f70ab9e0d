//! The contract between networks and everything that trains, rewinds or measures them: an object-safe trait, whose concrete type
//! (spatial sizes in the types, see [`crate::assembly`]) stays hidden, so that twenty widths share one compiled network.

use std::ops::ControlFlow;

use ndarray::{Array2, Array4, ArrayView1, ArrayView2, ArrayView4};
use serde::{Deserialize, Serialize};

use crate::error::NetworkError;
use crate::ops::{Moments, Parameter};
use crate::spec::NetworkSpec;

/// How far a running statistic moves towards the batch's in one step of training; the customary value.
pub const MOMENTUM: f32 = 0.1;

/// What a [`LayerInfo`] describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// The images as they enter the network.
    Input,
    /// A convolution, with its normalisation and non-linearity.
    Convolution,
    /// A linear layer, with its normalisation and non-linearity.
    Linear,
    /// A pooling: what leaves a stage.
    Pooling,
}

/// One layer whose activations can be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// Stable name: `input`, `conv3_2`, `pool3`, `fc1`.
    pub name: String,
    /// What the layer is.
    pub kind: LayerKind,
    /// Shape of one example's output: `[channels, height, width]`, or `[features]` for a linear layer.
    pub shape: Vec<usize>,
}

impl LayerInfo {
    /// Features of one flattened example.
    pub fn features(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Which statistics batch normalisation uses in [`Network::loss_and_gradients`] and [`Network::forward`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatisticsMode {
    /// The batch's own, and the running ones move towards them (ordinary training; in [`Network::forward`] nothing moves).
    Batch,
    /// The batch's own; the running ones stay.
    BatchOnly,
    /// The running ones, held constant: examples do not influence each other, so gradients of groups add up exactly.
    Running,
}

/// What one pass over a batch gives.
#[derive(Debug)]
pub struct Step {
    /// Mean cross-entropy over the batch, in nats.
    pub loss: f64,
    /// Class scores, batch × classes.
    pub logits: Array2<f32>,
    /// Gradient of the **mean** loss for each parameter, in the order of [`Network::parameters`]; each in the
    /// parameter's own order of elements. (Multiply by the batch size for the gradient of the summed loss.)
    pub gradients: Vec<Vec<f32>>,
}

/// What one backward pass from given derivatives by the scores gives.
#[derive(Debug)]
pub struct Pulled {
    /// Class scores, batch × classes.
    pub logits: Array2<f32>,
    /// Σ over the batch of ⟨derivative by the scores, ∂ scores / ∂ parameter⟩, for each parameter, in the order of
    /// [`Network::parameters`]; each in the parameter's own order of elements.
    pub gradients: Vec<Vec<f32>>,
}

/// What one backward pass to the images gives.
#[derive(Debug)]
pub struct PulledImages {
    /// Class scores, batch × classes.
    pub logits: Array2<f32>,
    /// ⟨derivative by an example's scores, ∂ its scores / ∂ its image⟩, in the shape of the images.
    pub images: Array4<f32>,
}

impl Step {
    /// How many examples of the batch have their largest score at their label.
    pub fn correct(&self, labels: &[u16]) -> usize {
        correct(self.logits.view(), labels)
    }
}

/// Number of rows of `logits` (batch × classes) whose largest entry is at the label; the first wins a tie.
pub fn correct(logits: ArrayView2<'_, f32>, labels: &[u16]) -> usize {
    let rows = logits.rows().into_iter().zip(labels);
    rows.filter(|(row, label)| predicted(*row) == usize::from(**label))
        .count()
}

/// The class of the largest score, the first of equals.
pub fn predicted(scores: ArrayView1<'_, f32>) -> usize {
    let mut best = 0;
    for (class, value) in scores.iter().enumerate() {
        if *value > scores[best] {
            best = class;
        }
    }
    best
}

/// The softmax of each row of class scores (batch × classes).
pub fn softmax(scores: ArrayView2<'_, f32>) -> Array2<f64> {
    let mut out = scores.mapv(f64::from);
    for mut row in out.rows_mut() {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.mapv_inplace(|z| (z - top).exp());
        let sum = row.sum();
        row /= sum;
    }
    out
}

/// Where in a layer values are taken. Input and poolings have one place only, and so has a last layer without non-linearity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// What a convolution or linear layer computes, before its normalisation and non-linearity: what a hook on the module is given.
    #[default]
    Preactivation,
    /// What leaves the layer: after its own normalisation and non-linearity, before a pooling or the sum of a residual block.
    Activation,
}

/// Receives `(index into the layers asked for, activations)`; activations are batch × features, each row flattened in
/// `(channel, row, column)` order.
pub type ActivationSink<'a> = dyn FnMut(usize, ArrayView2<'_, f32>) + 'a;

/// Watches a forward pass. Each method is told what it is offered by the index of the layer in [`Network::layers`], takes it or
/// leaves it (values are copied out only when they are asked for), and may end the pass. Every method does nothing by itself;
/// `()` records nothing.
pub trait Recorder {
    /// What enters a convolution or linear layer, batch × features, each row in `(channel, row, column)` order.
    fn input(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> ControlFlow<()> {
        let _ = (layer, values);
        ControlFlow::Continue(())
    }

    /// What leaves a layer, in the same form: of a convolution or linear layer before normalisation and non-linearity, of a pooling as it
    /// is. Layer 0, the input, gives the images.
    fn output(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> ControlFlow<()> {
        let _ = (layer, values);
        ControlFlow::Continue(())
    }

    /// What leaves a convolution or linear layer after its own normalisation and non-linearity, in the same form; of input and poolings
    /// what [`Recorder::output`] is offered.
    fn activation(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> ControlFlow<()> {
        let _ = (layer, values);
        ControlFlow::Continue(())
    }

    /// The batch's moments at the normalisation after a layer, where the pass uses the batch's own.
    fn moments(&mut self, layer: usize, moments: Moments) {
        let _ = (layer, moments);
    }
}

impl Recorder for () {}

/// The batch's moments, by layer.
#[derive(Debug, Default)]
pub struct BatchMoments(pub Vec<(usize, Moments)>);

impl Recorder for BatchMoments {
    fn moments(&mut self, layer: usize, moments: Moments) {
        self.0.push((layer, moments));
    }
}

/// Hands on the outputs of some layers, and ends the pass after the last of them.
struct Outputs<'a, 'b> {
    wanted: &'a [usize],
    place: Place,
    left: usize,
    sink: &'a mut ActivationSink<'b>,
}

impl Outputs<'_, '_> {
    fn take(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> ControlFlow<()> {
        if self.wanted.contains(&layer) {
            let values = values();
            for (position, wanted) in self.wanted.iter().enumerate() {
                if *wanted == layer {
                    (self.sink)(position, values.view());
                    self.left -= 1;
                }
            }
        }
        if self.left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Recorder for Outputs<'_, '_> {
    fn output(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> ControlFlow<()> {
        match self.place {
            Place::Preactivation => self.take(layer, values),
            Place::Activation => ControlFlow::Continue(()),
        }
    }

    fn activation(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> ControlFlow<()> {
        match self.place {
            Place::Preactivation => ControlFlow::Continue(()),
            Place::Activation => self.take(layer, values),
        }
    }
}

/// A network with named layers and parameters. Work runs on rayon's current pool; the same bytes at any thread count.
pub trait Network: Send + Sync {
    /// The specification it was built from.
    fn spec(&self) -> &NetworkSpec;

    /// The input and every convolution, pooling and linear layer, in the order of computation.
    fn layers(&self) -> &[LayerInfo];

    /// Trainable arrays, in a fixed order, with names such as `conv1_1.weight` and `conv1_1.bn.gamma`.
    fn parameters(&self) -> Vec<&Parameter>;

    /// The same, to change.
    fn parameters_mut(&mut self) -> Vec<&mut Parameter>;

    /// Running means and variances of normalisation layers, such as `conv1_1.bn.running_mean`. Not trained by gradient.
    fn statistics(&self) -> Vec<&Parameter>;

    /// The same, to change.
    fn statistics_mut(&mut self) -> Vec<&mut Parameter>;

    /// Mean loss, scores and gradients of one batch (n × channels × height × width).
    ///
    /// # Errors
    /// Where images or labels do not fit the network.
    fn loss_and_gradients(
        &mut self,
        images: ArrayView4<'_, f32>,
        labels: &[u16],
        statistics: StatisticsMode,
    ) -> Result<Step, NetworkError>;

    /// Carries derivatives by the class scores back to the parameters: `derivatives` is given the batch's scores (n × classes) and
    /// makes them, in the same shape. With p − e_y over n they are those of the mean cross-entropy, and the result that of
    /// [`Network::loss_and_gradients`]; with a part of it, that part's gradient. Changes no statistic.
    ///
    /// # Errors
    /// Where images or derivatives do not fit the network.
    fn pull_back(
        &self,
        images: ArrayView4<'_, f32>,
        statistics: StatisticsMode,
        derivatives: &mut dyn FnMut(ArrayView2<'_, f32>) -> Array2<f32>,
    ) -> Result<Pulled, NetworkError>;

    /// As [`Network::pull_back`], to the images instead of the parameters. With running statistics row i depends on image i alone.
    ///
    /// # Errors
    /// Where images or derivatives do not fit the network.
    fn pull_back_to_images(
        &self,
        images: ArrayView4<'_, f32>,
        statistics: StatisticsMode,
        derivatives: &mut dyn FnMut(ArrayView2<'_, f32>) -> Array2<f32>,
    ) -> Result<PulledImages, NetworkError>;

    /// One forward pass, watched by `recorder`: class scores (n × classes), or none where the recorder ended it. Keeps nothing for a
    /// backward pass and changes no statistic.
    ///
    /// # Errors
    /// Where the images do not fit the network.
    fn forward(
        &self,
        images: ArrayView4<'_, f32>,
        statistics: StatisticsMode,
        recorder: &mut dyn Recorder,
    ) -> Result<Option<Array2<f32>>, NetworkError>;

    /// Class scores (n × classes) with running statistics.
    ///
    /// # Errors
    /// Where the images do not fit the network.
    fn logits(&self, images: ArrayView4<'_, f32>) -> Result<Array2<f32>, NetworkError> {
        self.forward(images, StatisticsMode::Running, &mut ())?
            .ok_or_else(|| NetworkError::Tape("a pass ended early".to_owned()))
    }

    /// Hands what `layers` (indices into [`Network::layers`]) compute to `sink` as it comes, taken at `place`, with running statistics.
    /// No layer is held longer than the next one needs it; computation stops after the last layer asked for.
    ///
    /// # Errors
    /// Where the images do not fit the network, or a layer does not exist.
    fn activations(
        &self,
        images: ArrayView4<'_, f32>,
        layers: &[usize],
        place: Place,
        sink: &mut ActivationSink<'_>,
    ) -> Result<(), NetworkError> {
        let count = self.layers().len();
        if let Some(&index) = layers.iter().find(|index| **index >= count) {
            return Err(NetworkError::Layer { index, count });
        }
        if layers.is_empty() {
            return Ok(());
        }
        let mut outputs = Outputs {
            wanted: layers,
            place,
            left: layers.len(),
            sink,
        };
        self.forward(images, StatisticsMode::Running, &mut outputs)?;
        Ok(())
    }

    /// A copy with the same values.
    fn duplicate(&self) -> Box<dyn Network>;
}
