//! Batches of a split as a network takes them, and whether the two fit.

use mftma_data::Split;
use ndarray::ArrayView4;

use crate::{Network, TrainError, TrainingData};

/// A batch of `n` images of `split`'s shape over a buffer filled for it.
pub(crate) fn images_view<'a>(split: &Split, n: usize, buffer: &'a [f32]) -> ArrayView4<'a, f32> {
    let [channels, height, width] = split.image_shape();
    ArrayView4::from_shape((n, channels, height, width), buffer)
        .expect("the buffer was sized for this batch")
}

/// The data may have fewer classes than the network, not more.
pub(crate) fn check_classes(network: &dyn Network, data: &TrainingData) -> Result<(), TrainError> {
    let (classes, needed) = (network.spec().classes, data.dataset().classes());
    if classes < needed {
        return Err(TrainError::Shape {
            what: "classes of the network".into(),
            expected: format!("at least the {needed} of {}", data.dataset().name()),
            found: classes.to_string(),
            remedy: "set `network.classes` to the data set's number of classes",
        });
    }
    Ok(())
}

/// Every index is an example of the split.
pub(crate) fn check_indices(split: &Split, indices: &[usize]) -> Result<(), TrainError> {
    match indices.iter().find(|&&i| i >= split.len()) {
        None => Ok(()),
        Some(i) => Err(TrainError::Shape {
            what: "index of an example".into(),
            expected: format!("below {}", split.len()),
            found: i.to_string(),
            remedy: "list examples of the group's own split",
        }),
    }
}
