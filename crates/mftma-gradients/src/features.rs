//! What enters the last layer, for the prediction at uniform softmax.

use mftma_train::{LayerKind, Network, StatisticsMode};
use ndarray::{Array2, ArrayView4, Axis};
use rayon::prelude::*;

use crate::Error;

/// Inputs of the network's last linear layer, (n, d), for `images` (n, channels, height, width), with running statistics.
///
/// They are read off the gradient of single examples: row c of the last weight's gradient is (p_c − y_c) h. That holds for
/// any architecture whose last layer is linear, to the precision of one f32 product.
///
/// # Errors
/// [`Error::NoLinearHead`] where the last layer is not linear; [`Error::Network`] where the images do not fit.
pub fn last_layer_inputs(
    network: &dyn Network,
    images: ArrayView4<'_, f32>,
) -> Result<Array2<f64>, Error> {
    const RUN: usize = 16;
    let Some(head) = network
        .layers()
        .last()
        .filter(|layer| layer.kind == LayerKind::Linear)
    else {
        return Err(Error::NoLinearHead);
    };
    let wanted = format!("{}.weight", head.name);
    let Some(index) = network.parameters().iter().position(|p| p.name() == wanted) else {
        return Err(Error::NoLinearHead);
    };
    let width = network.parameters()[index].fan_in();
    let runs: Vec<Vec<f64>> = (0..images.len_of(Axis(0)).div_ceil(RUN))
        .into_par_iter()
        .map(|run| {
            let mut network = network.duplicate();
            let mut features = Vec::with_capacity(RUN * width);
            for i in run * RUN..((run + 1) * RUN).min(images.len_of(Axis(0))) {
                let image = images.select(Axis(0), &[i]);
                // The least likely class has the largest p − y, at least 1/2 in size.
                let logits = network.logits(image.view())?;
                let least = (0..logits.ncols())
                    .min_by(|&a, &b| logits[(0, a)].total_cmp(&logits[(0, b)]))
                    .unwrap_or(0);
                let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let weights: Vec<f64> = logits.iter().map(|z| f64::from(z - top).exp()).collect();
                let pull = weights[least] / weights.iter().sum::<f64>() - 1.0;
                let step = network.loss_and_gradients(
                    image.view(),
                    &[least as u16],
                    StatisticsMode::Running,
                )?;
                let row = &step.gradients[index][least * width..(least + 1) * width];
                features.extend(row.iter().map(|&g| f64::from(g) / pull));
            }
            Ok(features)
        })
        .collect::<Result<_, Error>>()?;
    let flat = runs.concat();
    Ok(Array2::from_shape_fn(
        (images.len_of(Axis(0)), width),
        |(i, j)| flat[i * width + j],
    ))
}
