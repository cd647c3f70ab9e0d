//! What enters the last layer, for the prediction at uniform softmax.

use std::ops::ControlFlow;

use mftma_train::{LayerKind, Network, ParameterRole, Recorder, StatisticsMode};
use ndarray::{Array2, ArrayView4, Axis};

use crate::Error;

/// Images in one forward pass.
const BATCH: usize = 250;

/// Takes the input of one layer and ends the pass there.
struct LayerInput {
    layer: usize,
    values: Option<Array2<f32>>,
}

impl Recorder for LayerInput {
    fn input(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> ControlFlow<()> {
        if layer != self.layer {
            return ControlFlow::Continue(());
        }
        self.values = Some(values());
        ControlFlow::Break(())
    }
}

/// Inputs of the network's last linear layer, (n, d), for `images` (n, channels, height, width), with running statistics.
///
/// # Errors
/// [`Error::NoLinearHead`] where the last layer is not linear; [`Error::Network`] where the images do not fit.
pub fn last_layer_inputs(
    network: &dyn Network,
    images: ArrayView4<'_, f32>,
) -> Result<Array2<f64>, Error> {
    let layers = network.layers();
    let head = layers.last().filter(|l| l.kind == LayerKind::Linear);
    let weight = head.and_then(|head| {
        let mut parameters = network.parameters().into_iter();
        parameters.find(|p| p.layer() == head.name && p.role() == ParameterRole::LinearWeight)
    });
    let width = weight.ok_or(Error::NoLinearHead)?.fan_in();
    let mut features = Array2::zeros((images.len_of(Axis(0)), width));
    for (images, mut features) in images
        .axis_chunks_iter(Axis(0), BATCH)
        .zip(features.axis_chunks_iter_mut(Axis(0), BATCH))
    {
        let mut input = LayerInput {
            layer: layers.len() - 1,
            values: None,
        };
        network.forward(images, StatisticsMode::Running, &mut input)?;
        let values = input.values.ok_or(Error::NoLinearHead)?;
        features.assign(&values.mapv(f64::from));
    }
    Ok(features)
}
