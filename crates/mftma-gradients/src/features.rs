//! What enters the last layer, for the prediction at uniform softmax.

use mftma_train::{LayerKind, Network, StatisticsMode};
use ndarray::{Array2, ArrayView2, ArrayView4, Axis, s};

use crate::Error;

/// Inputs of the network's last linear layer, (n, d), for `images` (n, channels, height, width), with running statistics.
///
/// They are read off the layer's gradient, whatever comes before it: over a batch of B examples the gradient of the last weight is
/// Q H with Q (C, B) the pulls p − y of the examples and H (B, d) their inputs. With B at most half the number of classes, and another
/// label for each example, Q has full rank, and its pseudo-inverse gives H, to the precision of an f32 product.
///
/// # Errors
/// [`Error::NoLinearHead`] where the last layer is not linear; [`Error::Network`] where the images do not fit.
pub fn last_layer_inputs(
    network: &dyn Network,
    images: ArrayView4<'_, f32>,
) -> Result<Array2<f64>, Error> {
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
    let (n, classes) = (images.len_of(Axis(0)), network.spec().classes);
    let width = network.parameters()[index].fan_in();
    let mut features = Array2::zeros((n, width));
    let mut network = network.duplicate();
    let batch = (classes / 2).max(1);
    for (images, mut features) in images
        .axis_chunks_iter(Axis(0), batch)
        .zip(features.axis_chunks_iter_mut(Axis(0), batch))
    {
        let softmax = softmax(network.logits(images)?.view());
        let labels = unlikely_labels(softmax.view());
        let step = network.loss_and_gradients(images, &labels, StatisticsMode::Running)?;
        let count = labels.len();
        // Of the summed loss, in double precision.
        let gradient = Array2::from_shape_fn((classes, width), |(c, j)| {
            count as f64 * f64::from(step.gradients[index][c * width + j])
        });
        let mut pulls = softmax;
        for (mut row, &y) in pulls.rows_mut().into_iter().zip(&labels) {
            row[usize::from(y)] -= 1.0;
        }
        // `pulls` is Qᵀ: (Qᵀ Q) H = Qᵀ G.
        let solved = solve(pulls.dot(&pulls.t()), pulls.dot(&gradient));
        features.assign(&solved);
    }
    Ok(features)
}

/// The softmax of each row of class scores.
pub(crate) fn softmax(logits: ArrayView2<'_, f32>) -> Array2<f64> {
    let mut out = logits.mapv(f64::from);
    for mut row in out.rows_mut() {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.mapv_inplace(|z| (z - top).exp());
        let sum = row.sum();
        row /= sum;
    }
    out
}

/// For each row of probabilities the least likely class that no row before it has: its pull is far from 0.
fn unlikely_labels(softmax: ArrayView2<'_, f64>) -> Vec<u16> {
    let mut free: Vec<usize> = (0..softmax.ncols()).collect();
    let rows = softmax.rows().into_iter();
    rows.filter_map(|row| {
        let place = (0..free.len()).min_by(|&a, &b| row[free[a]].total_cmp(&row[free[b]]))?;
        Some(free.swap_remove(place) as u16)
    })
    .collect()
}

/// A X = B by elimination, A symmetric and positive definite, B (rows of A, any columns).
fn solve(mut a: Array2<f64>, mut b: Array2<f64>) -> Array2<f64> {
    let n = a.nrows();
    for k in 0..n {
        for i in k + 1..n {
            let factor = a[(i, k)] / a[(k, k)];
            for j in k..n {
                a[(i, j)] -= factor * a[(k, j)];
            }
            let (above, mut below) = b.multi_slice_mut((s![k, ..], s![i, ..]));
            below.scaled_add(-factor, &above);
        }
    }
    for k in (0..n).rev() {
        for i in k + 1..n {
            let factor = a[(k, i)];
            let (mut above, below) = b.multi_slice_mut((s![k, ..], s![i, ..]));
            above.scaled_add(-factor, &below);
        }
        b.row_mut(k).mapv_inplace(|v| v / a[(k, k)]);
    }
    b
}
