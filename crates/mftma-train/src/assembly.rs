//! A network with its spatial sizes in its type, put behind the contract.
//!
//! A network of your own takes a struct of [layers](crate::layers), a function that adds them to a [`Blueprint`] in the order of
//! computation, and a [`Body`] that applies them:
//!
//! ```
//! use mftma_train::assembly::{Body, assemble};
//! use mftma_train::layers::{Blueprint, Convolution, Halt, Linear, Pass, Pooling, visit_fields};
//! use mftma_train::ops::{Const, Features, Maps, Recording, Rectifier, Value, flatten};
//! use mftma_train::{Architecture, ImageShape, Network, NetworkSpec};
//!
//! #[derive(Clone)]
//! struct OneStage {
//!     convolution: Convolution<5, 1>,
//!     pooling: Pooling,
//!     last: Linear,
//! }
//!
//! // Poolings have no parameters to visit.
//! visit_fields!([] OneStage: one(convolution, last) many() then());
//!
//! impl OneStage {
//!     fn new(plan: &mut Blueprint, spec: &NetworkSpec) -> Self {
//!         let w = spec.width;
//!         Self {
//!             convolution: Convolution::new::<Const<28>>(plan, "conv1", spec.input.channels, w),
//!             pooling: Pooling::to_maps::<Const<14>>(plan, "pool1", w),
//!             last: Linear::last(plan, "fc1", w * 14 * 14, spec.classes),
//!         }
//!     }
//! }
//!
//! impl Body for OneStage {
//!     type Side = Const<28>;
//!
//!     fn forward<T: Recording>(
//!         &self,
//!         x: Value<Maps<Const<28>, Const<28>>, T>,
//!         pass: &mut Pass<'_>,
//!     ) -> Result<Value<Features, T>, Halt> {
//!         let x = self.convolution.forward_pooled(x, &self.pooling, pass)?;
//!         self.last.forward(flatten(x)?, Rectifier::None, pass)
//!     }
//! }
//!
//! let input = ImageShape { channels: 1, height: 28, width: 28 };
//! let spec = NetworkSpec { architecture: Architecture::Own, width: 8, batch_norm: true, classes: 10, input };
//! let network = assemble(&spec, OneStage::new);
//! let names: Vec<&str> = network.layers().iter().map(|layer| layer.name.as_str()).collect();
//! assert_eq!(names, ["input", "conv1", "pool1", "fc1"]);
//! ```
//!
//! [`Trainer::of_network`](crate::Trainer::of_network) trains it, [`Checkpoint::load_into`](crate::Checkpoint::load_into) puts a kept
//! epoch into a copy of it, and [`rewind_network`](crate::rewind_network) exchanges layers between two states.

use dfdx::prelude::{Backward, ConstDim, Cpu, OwnedTape, Rank0, Tensor};
use ndarray::{Array2, ArrayView2, ArrayView4};

use crate::error::NetworkError;
use crate::layers::{Arrays, Blueprint, Halt, Pass};
use crate::network::{
    BatchMoments, LayerInfo, MOMENTUM, Network, Pulled, PulledImages, Recorder, StatisticsMode,
    Step,
};
use crate::ops::{
    Features, Halve, Maps, Moments, Parameter, ParameterRole, Recording, Value, Workspace,
    collect_images, collect_parameter, cross_entropy, pull,
};
use crate::spec::{ImageShape, NetworkSpec};

/// A network with its spatial sizes in its type.
pub trait Body: Arrays + Clone + Send + Sync + 'static {
    /// Rows and columns of the images.
    type Side: ConstDim;

    /// The class scores of a batch: layer after layer, in the order in which they were added to the blueprint.
    ///
    /// # Errors
    /// Where an operator refuses its operands, or the recorder ends the pass.
    fn forward<T: Recording>(
        &self,
        x: Value<Maps<Self::Side, Self::Side>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Features, T>, Halt>;
}

/// A scalar with the tape that leads back from it.
type Scalar = Tensor<Rank0, f32, Cpu, OwnedTape<f32, Cpu>>;
type Images<B> = Value<Maps<<B as Body>::Side, <B as Body>::Side>>;

/// A [`Body`] behind the object-safe boundary.
#[derive(Clone)]
pub(crate) struct Built<B> {
    pub(crate) spec: NetworkSpec,
    pub(crate) layers: Vec<LayerInfo>,
    pub(crate) body: B,
    pub(crate) workspace: Workspace,
}

impl<B: Body> Built<B> {
    fn images(&self, images: ArrayView4<'_, f32>) -> Result<Images<B>, NetworkError> {
        let (_, channels, height, width) = images.dim();
        let found = ImageShape {
            channels,
            height,
            width,
        };
        if found != self.spec.input {
            return Err(NetworkError::Images {
                expected: self.spec.input,
                found,
            });
        }
        self.workspace.images(images)
    }

    fn arrays(&self) -> Vec<&Parameter> {
        let mut arrays = Vec::new();
        self.body.arrays(&mut arrays);
        arrays
    }

    fn arrays_mut(&mut self) -> Vec<&mut Parameter> {
        let mut arrays = Vec::new();
        self.body.arrays_mut(&mut arrays);
        arrays
    }

    /// The gradient of a scalar by each parameter, in their order.
    fn gradients(&self, of: Scalar) -> Result<Vec<Vec<f32>>, NetworkError> {
        let mut gradients = of
            .try_backward()
            .map_err(|error| NetworkError::Tape(error.to_string()))?;
        self.parameters()
            .into_iter()
            .map(|parameter| collect_parameter(&mut gradients, parameter))
            .collect()
    }

    fn move_statistics(&mut self, moments: &[(usize, Moments)]) {
        let Self { layers, body, .. } = self;
        let mut arrays = Vec::new();
        body.arrays_mut(&mut arrays);
        for array in arrays {
            let of_array = |(layer, _): &&(usize, Moments)| layers[*layer].name == array.layer();
            let Some((_, moments)) = moments.iter().find(of_array) else {
                continue;
            };
            let towards = match array.role() {
                ParameterRole::RunningMean => &moments.mean,
                ParameterRole::RunningVariance => &moments.variance,
                _ => continue,
            };
            for (value, towards) in array.values_mut().iter_mut().zip(towards) {
                *value += MOMENTUM * (towards - *value);
            }
        }
    }
}

fn is_statistic(array: &Parameter) -> bool {
    matches!(
        array.role(),
        ParameterRole::RunningMean | ParameterRole::RunningVariance
    )
}

/// The error of a pass that records nothing, and so cannot finish early.
fn failure(halt: Halt) -> NetworkError {
    match halt {
        Halt::Failed(error) => error,
        Halt::Finished => NetworkError::Tape("a pass ended early".to_owned()),
    }
}

impl<B: Body> Network for Built<B> {
    fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    fn layers(&self) -> &[LayerInfo] {
        &self.layers
    }

    fn parameters(&self) -> Vec<&Parameter> {
        let mut arrays = self.arrays();
        arrays.retain(|array| !is_statistic(array));
        arrays
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let mut arrays = self.arrays_mut();
        arrays.retain(|array| !is_statistic(array));
        arrays
    }

    fn statistics(&self) -> Vec<&Parameter> {
        let mut arrays = self.arrays();
        arrays.retain(|array| is_statistic(array));
        arrays
    }

    fn statistics_mut(&mut self) -> Vec<&mut Parameter> {
        let mut arrays = self.arrays_mut();
        arrays.retain(|array| is_statistic(array));
        arrays
    }

    fn loss_and_gradients(
        &mut self,
        images: ArrayView4<'_, f32>,
        labels: &[u16],
        statistics: StatisticsMode,
    ) -> Result<Step, NetworkError> {
        let x = self.images(images)?.with_tape(OwnedTape::default());
        let mut moments = BatchMoments::default();
        let mut pass = Pass::new(statistics, &mut moments);
        let scores = self.body.forward(x, &mut pass).map_err(failure)?;
        let outcome = cross_entropy(scores, labels)?;
        let gradients = self.gradients(outcome.loss)?;
        if statistics == StatisticsMode::Batch {
            self.move_statistics(&moments.0);
        }
        Ok(Step {
            loss: outcome.mean,
            logits: outcome.logits,
            gradients,
        })
    }

    fn pull_back(
        &self,
        images: ArrayView4<'_, f32>,
        statistics: StatisticsMode,
        derivatives: &mut dyn FnMut(ArrayView2<'_, f32>) -> Array2<f32>,
    ) -> Result<Pulled, NetworkError> {
        let x = self.images(images)?.with_tape(OwnedTape::default());
        let mut recorder = ();
        let mut pass = Pass::new(statistics, &mut recorder);
        let scores = self.body.forward(x, &mut pass).map_err(failure)?;
        let outcome = pull(scores, derivatives)?;
        Ok(Pulled {
            gradients: self.gradients(outcome.origin)?,
            logits: outcome.logits,
        })
    }

    fn pull_back_to_images(
        &self,
        images: ArrayView4<'_, f32>,
        statistics: StatisticsMode,
        derivatives: &mut dyn FnMut(ArrayView2<'_, f32>) -> Array2<f32>,
    ) -> Result<PulledImages, NetworkError> {
        let x = self.images(images)?.track(true);
        let mut recorder = ();
        let mut pass = Pass::new(statistics, &mut recorder);
        let taped = x.again().with_tape(OwnedTape::default());
        let scores = self.body.forward(taped, &mut pass).map_err(failure)?;
        let outcome = pull(scores, derivatives)?;
        let mut gradients = outcome
            .origin
            .try_backward()
            .map_err(|error| NetworkError::Tape(error.to_string()))?;
        let back = collect_images(&mut gradients, &x)?;
        Ok(PulledImages {
            logits: outcome.logits,
            images: back
                .into_shape_with_order(images.raw_dim())
                .map_err(|error| NetworkError::Tape(error.to_string()))?,
        })
    }

    fn forward(
        &self,
        images: ArrayView4<'_, f32>,
        statistics: StatisticsMode,
        recorder: &mut dyn Recorder,
    ) -> Result<Option<Array2<f32>>, NetworkError> {
        let x = self.images(images)?;
        let mut pass = Pass::new(statistics, recorder);
        let run = pass
            .passing(0, &|| x.to_array())
            .and_then(|()| self.body.forward(x, &mut pass));
        match run {
            Ok(scores) => Ok(Some(scores.to_array())),
            Err(Halt::Finished) => Ok(None),
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    fn duplicate(&self) -> Box<dyn Network> {
        Box::new(Self {
            workspace: Workspace::default(),
            ..self.clone()
        })
    }
}

/// A network of `spec`'s input, normalisation and classes around a body that `body` builds: it adds its layers to the blueprint in the order
/// of computation, and ends in as many scores as there are classes.
pub fn assemble<B: Body>(
    spec: &NetworkSpec,
    body: impl FnOnce(&mut Blueprint, &NetworkSpec) -> B,
) -> Box<dyn Network> {
    let ImageShape {
        channels,
        height,
        width,
    } = spec.input;
    let mut plan = Blueprint::new(vec![channels, height, width], spec.batch_norm);
    let body = body(&mut plan, spec);
    Box::new(Built {
        spec: spec.clone(),
        layers: plan.into_layers(),
        body,
        workspace: Workspace::default(),
    })
}

/// Sides after poolings of two.
pub(crate) type Half<S> = <S as Halve>::Half;
pub(crate) type Fourth<S> = Half<Half<S>>;
pub(crate) type Eighth<S> = Half<Fourth<S>>;
pub(crate) type Sixteenth<S> = Half<Eighth<S>>;
