//! The architectures.
//!
//! | architecture | layers | head | parameters at width 64, 10 classes, 3×32×32 |
//! |---|---|---|---|
//! | `mlp` | `fc1`, `fc2` of 8w units | `fc3` | 1,841,162 |
//! | `vgg11` | `conv1_1` to `conv5_2`: 3×3, channels w, 2w, 4w, 8w, 8w, a 2×2 maximum after each stage | `fc1` | 9,225,610 |
//! | `vgg13` | the same, two convolutions in each stage | `fc1` | 9,410,122 |
//! | `vgg16` | the same, 2, 2, 3, 3, 3 convolutions | `fc1` | 14,719,818 |
//! | `alex-net` | `conv1` to `conv5`: channels w, 3w, 6w, 4w, 4w | `fc1`, `fc2` of 64w units, `fc3` | 23,272,266 |
//! | `res-net18` | `conv1`, `conv2_1a` to `conv5_2b` | global mean, `fc1` | 11,173,962 |
//! | `res-net-shallow` | `conv1`, one block in each of three stages of w, 2w, 4w | global mean, `fc1` | 1,227,594 |
//!
//! Residual networks are counted with batch normalisation, the others without. A block's convolutions end in `a` and `b`,
//! its projection shortcut in `s`. AlexNet on 64×64 images has the published kernels and strides of its convolutions (11×11
//! with stride 4, 5×5, 3×3) and 3×3 pooling with stride 2; on 32×32 its kernels are 3×3 (the first with stride 2) and its
//! pooling 2×2. VGG's head is one linear layer, as is usual for small images, in place of 4096-4096. Published networks with
//! batch normalisation often keep a bias in each convolution, which the normalisation cancels; here there is none.

mod alexnet;
mod mlp;
mod resnet;
mod vgg;

use dfdx::prelude::{Backward, Const, ConstDim, OwnedTape};
use ndarray::{Array2, ArrayView4};

use crate::layers::{Arrays, Blueprint, Halt, Pass};
use crate::network::{
    Architecture, BatchMoments, ImageShape, LayerInfo, MOMENTUM, Network, NetworkError,
    NetworkSpec, Recorder, StatisticsMode, Step,
};
use crate::ops::{
    Features, Halve, Maps, Moments, Parameter, ParameterRole, Recording, Value, Workspace,
    collect_parameter, cross_entropy,
};

/// A network with its spatial sizes in its type.
trait Body: Arrays + Clone + Send + Sync + 'static {
    /// Rows and columns of the images.
    type Side: ConstDim;

    fn forward<T: Recording>(
        &self,
        x: Value<Maps<Self::Side, Self::Side>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Features, T>, Halt>;
}

type Half<S> = <S as Halve>::Half;
type Fourth<S> = Half<Half<S>>;
type Eighth<S> = Half<Fourth<S>>;
type Sixteenth<S> = Half<Eighth<S>>;

type Images<B> = Value<Maps<<B as Body>::Side, <B as Body>::Side>>;

/// A [`Body`] behind the object-safe boundary.
#[derive(Clone)]
struct Built<B> {
    spec: NetworkSpec,
    layers: Vec<LayerInfo>,
    body: B,
    workspace: Workspace,
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
        let mut gradients = outcome
            .loss
            .try_backward()
            .map_err(|error| NetworkError::Tape(error.to_string()))?;
        let gradients = self
            .parameters()
            .into_iter()
            .map(|parameter| collect_parameter(&mut gradients, parameter))
            .collect::<Result<_, _>>()?;
        if statistics == StatisticsMode::Batch {
            self.move_statistics(&moments.0);
        }
        Ok(Step {
            loss: outcome.mean,
            logits: outcome.logits,
            gradients,
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
            .output(0, &|| x.to_array())
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

fn assemble<B: Body>(
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

pub(crate) fn build(spec: &NetworkSpec) -> Result<Box<dyn Network>, NetworkError> {
    let wrong = |reason: String| {
        Err(NetworkError::Spec {
            architecture: spec.architecture,
            reason,
        })
    };
    // Beyond this nothing fits in memory, and products of sizes could overflow.
    const LARGEST: usize = 1 << 12;
    if spec.width == 0 || spec.width > LARGEST {
        return wrong(format!(
            "width {} is not between 1 and {LARGEST}",
            spec.width
        ));
    }
    if spec.classes < 2 || spec.classes > usize::from(u16::MAX) {
        return wrong(format!(
            "{} classes; choose between 2 and {}",
            spec.classes,
            u16::MAX
        ));
    }
    if spec.input.channels == 0 || spec.input.channels > LARGEST {
        return wrong(format!(
            "{} input channels; choose between 1 and {LARGEST}",
            spec.input.channels
        ));
    }
    let side = spec.input.height;
    if spec.input.width != side || (side != 32 && side != 64) {
        return wrong(format!(
            "images of {}; networks take 32×32 or 64×64, so pad or resize the images (28×28 to 32×32, for example)",
            spec.input
        ));
    }
    type Small = Const<32>;
    type Large = Const<64>;
    Ok(match (spec.architecture, side) {
        (Architecture::Mlp, 32) => assemble(spec, mlp::Mlp::<Small>::new),
        (Architecture::Mlp, _) => assemble(spec, mlp::Mlp::<Large>::new),
        (Architecture::Vgg11 | Architecture::Vgg13 | Architecture::Vgg16, 32) => {
            assemble(spec, vgg::Vgg::<Small>::new)
        }
        (Architecture::Vgg11 | Architecture::Vgg13 | Architecture::Vgg16, _) => {
            assemble(spec, vgg::Vgg::<Large>::new)
        }
        (Architecture::AlexNet, 32) => assemble(spec, alexnet::Small::new),
        (Architecture::AlexNet, _) => assemble(spec, alexnet::Large::new),
        (Architecture::ResNet18, 32) => assemble(spec, resnet::ResNet18::<Small>::new),
        (Architecture::ResNet18, _) => assemble(spec, resnet::ResNet18::<Large>::new),
        (Architecture::ResNetShallow, 32) => assemble(spec, resnet::Shallow::<Small>::new),
        (Architecture::ResNetShallow, _) => assemble(spec, resnet::Shallow::<Large>::new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All memory of a step is in the workspace's pool, in the step's gradients and in the parameters.
    #[test]
    fn a_step_needs_at_most_half_as_much_again_as_its_numbers() {
        let input = ImageShape {
            channels: 3,
            height: 32,
            width: 32,
        };
        for width in [8, 16] {
            let spec = NetworkSpec {
                architecture: Architecture::Vgg16,
                width,
                batch_norm: true,
                classes: 10,
                input,
            };
            let mut plan = Blueprint::new(vec![3, 32, 32], true);
            let body = vgg::Vgg::<Const<32>>::new(&mut plan, &spec);
            let layers = plan.into_layers();
            // Each layer's output before and after normalisation (a quarter of it where pooled), once for a batch.
            let pooled = ["conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"];
            let numbers: usize = layers
                .iter()
                .map(|layer| match layer.kind {
                    crate::LayerKind::Convolution if pooled.contains(&layer.name.as_str()) => {
                        layer.features() * 5 / 4
                    }
                    crate::LayerKind::Convolution => 2 * layer.features(),
                    _ => layer.features(),
                })
                .sum();
            let workspace = Workspace::default();
            let pool = workspace.0.clone();
            let mut network = Built {
                spec,
                layers,
                body,
                workspace,
            };
            let parameters: usize = network.parameters().iter().map(|p| p.len()).sum();
            let batch = 64;
            let images = ndarray::Array4::zeros((batch, 3, 32, 32));
            for _ in 0..3 {
                network
                    .loss_and_gradients(images.view(), &vec![0; batch], StatisticsMode::Batch)
                    .unwrap();
            }
            let needed = 4 * (numbers * batch + 2 * parameters);
            let held = pool.free_bytes() + 4 * 2 * parameters;
            assert!(
                2 * held <= 3 * needed,
                "{held} bytes for {needed} bytes of numbers at width {width}"
            );
        }
    }
}
