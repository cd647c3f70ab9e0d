//! What is read off class scores.

use mftma_train::Network;
use ndarray::{Array2, ArrayView4, Axis, s};

use crate::Error;
use crate::error::check_labels;

/// Images in one pass. No result depends on it: running statistics treat examples one by one.
pub(crate) const BATCH: usize = 128;

/// Class scores of `images` (n × channels × height × width), n × classes, with running statistics.
///
/// # Errors
/// [`Error::Network`] where the images do not fit.
pub fn scores(network: &dyn Network, images: ArrayView4<'_, f32>) -> Result<Array2<f32>, Error> {
    let mut out = Array2::zeros((images.len_of(Axis(0)), network.spec().classes));
    for (index, batch) in images.axis_chunks_iter(Axis(0), BATCH).enumerate() {
        let first = index * BATCH;
        let scores = network.logits(batch)?;
        out.slice_mut(s![first..first + scores.nrows(), ..])
            .assign(&scores);
    }
    Ok(out)
}

/// The margin of each image: its score at its label less the largest of the others. Positive where it is classified so.
///
/// # Errors
/// [`Error::Length`] or [`Error::Label`] where labels do not fit; [`Error::Network`] where the images do not.
pub fn margins(
    network: &dyn Network,
    images: ArrayView4<'_, f32>,
    labels: &[u16],
) -> Result<Vec<f64>, Error> {
    check_labels(images.len_of(Axis(0)), labels, network.spec().classes)?;
    let scores = scores(network, images)?;
    let rows = scores.rows().into_iter().zip(labels);
    Ok(rows
        .map(|(row, &label)| {
            let label = usize::from(label);
            let others = row.iter().enumerate().filter(|(class, _)| *class != label);
            let rival = others.fold(f64::NEG_INFINITY, |top, (_, &s)| top.max(f64::from(s)));
            f64::from(row[label]) - rival
        })
        .collect())
}
