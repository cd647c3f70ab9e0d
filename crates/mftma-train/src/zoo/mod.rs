//! The architectures.
//!
//! | architecture | layers | head | parameters at width 64, 10 classes, 3×32×32 |
//! |---|---|---|---|
//! | `mlp` | `fc1`, `fc2` of 8w units | `fc3` | 1,841,162 |
//! | `vgg11` | `conv1_1` to `conv5_2`: 3×3, channels w, 2w, 4w, 8w, 8w, a 2×2 maximum after each stage (`pool1` to `pool5`) | `fc1` | 9,225,610 |
//! | `vgg13` | the same, two convolutions in each stage | `fc1` | 9,410,122 |
//! | `vgg16` | the same, 2, 2, 3, 3, 3 convolutions | `fc1` | 14,719,818 |
//! | `alex-net` | `conv1` to `conv5`: channels w, 3w, 6w, 4w, 4w; `pool1`, `pool2`, `pool5` | `fc1`, `fc2` of 64w units, `fc3` | 23,272,266 |
//! | `res-net18` | `conv1`, `conv2_1a` to `conv5_2b` | `pool5` (global mean), `fc1` | 11,173,962 |
//! | `res-net-shallow` | `conv1`, one block in each of three stages of w, 2w, 4w | `pool4` (global mean), `fc1` | 1,227,594 |
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

use dfdx::prelude::Const;

use crate::assembly::assemble;
use crate::error::NetworkError;
use crate::network::Network;
use crate::ops::Parameter;
use crate::spec::{Architecture, NetworkSpec};

impl NetworkSpec {
    /// Builds the network. `initialise` fills each parameter once, in the order of [`Network::parameters`]; it sees the
    /// parameter's name, role, shape and fans. Before the call weights and shifts are 0, and scales are 1.
    /// Running means start at 0 and running variances at 1.
    ///
    /// # Errors
    /// Where a size is impossible for the architecture; the message names the size and the remedy.
    pub fn build(
        &self,
        initialise: &mut dyn FnMut(&mut Parameter),
    ) -> Result<Box<dyn Network>, NetworkError> {
        let mut network = build(self)?;
        for parameter in network.parameters_mut() {
            initialise(parameter);
        }
        Ok(network)
    }
}

fn build(spec: &NetworkSpec) -> Result<Box<dyn Network>, NetworkError> {
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
    let fits = spec.input.width == side && (side == 32 || side == 64);
    if spec.architecture != Architecture::Own && !fits {
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
        (Architecture::Own, _) => {
            return wrong(
                "only the program that made it can build it; assemble it with `assembly::assemble` and hand it to `Trainer::of_network` or \
                 `Checkpoint::load_into`"
                    .to_owned(),
            );
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::assembly::Built;
    use crate::kernels::buffer::Pool;
    use crate::kernels::plain::PlainLoops;
    use crate::layers::Blueprint;
    use crate::ops::Workspace;
    use crate::{ImageShape, StatisticsMode};

    /// Operators know kernels by their trait alone, so a network runs on plain loops too.
    #[test]
    fn a_step_on_plain_loops_is_the_same_step() {
        let input = ImageShape {
            channels: 2,
            height: 32,
            width: 32,
        };
        let spec = NetworkSpec {
            architecture: Architecture::Vgg11,
            width: 1,
            batch_norm: true,
            classes: 3,
            input,
        };
        let images = ndarray::Array4::from_shape_fn((3, 2, 32, 32), |(n, c, y, x)| {
            (((n * 37 + c * 11 + y * 5 + x) % 23) as f32 - 11.0) / 11.0
        });
        let step = |pool: Pool| {
            let mut plan = Blueprint::new(vec![2, 32, 32], true);
            let body = vgg::Vgg::<Const<32>>::new(&mut plan, &spec);
            let mut network = Built {
                spec: spec.clone(),
                layers: plan.into_layers(),
                body,
                workspace: Workspace(Arc::new(pool)),
            };
            for parameter in network.parameters_mut() {
                crate::Initialization::default().fill(5, parameter);
            }
            let labels = [0, 2, 1];
            network.loss_and_gradients(images.view(), &labels, StatisticsMode::BatchOnly)
        };
        let found = step(Pool::default()).unwrap();
        let wanted = step(Pool::new(PlainLoops)).unwrap();
        assert!(
            (found.loss - wanted.loss).abs() < 1e-4,
            "{} {}",
            found.loss,
            wanted.loss
        );
        for (found, wanted) in found.gradients.iter().zip(&wanted.gradients) {
            let largest = wanted.iter().fold(1e-3f32, |top, x| top.max(x.abs()));
            for (found, wanted) in found.iter().zip(wanted) {
                assert!(
                    (found - wanted).abs() < 1e-2 * largest,
                    "{found} {wanted} {largest}"
                );
            }
        }
    }

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
                    crate::LayerKind::Pooling => 0,
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
