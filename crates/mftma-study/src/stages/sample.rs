//! Examples drawn from a group, with their images and labels.

use mftma_data::{ExampleGroup, stream};
use ndarray::Array4;
use rand::seq::SliceRandom;

use crate::experiment::Experiment;

/// Some examples of one group.
pub struct Sample {
    /// Their places in the group's split.
    pub indices: Vec<usize>,
    /// Images, normalised: examples × channels × rows × columns.
    pub images: Array4<f32>,
    /// The group's labels of them.
    pub labels: Vec<u16>,
}

impl Sample {
    /// Examples at these places in the split of `group`.
    pub fn at(experiment: &Experiment, group: ExampleGroup, indices: Vec<usize>) -> Self {
        let data = &experiment.data;
        let split = data.split(group);
        let [channels, height, width] = split.image_shape();
        let mut pixels = Vec::new();
        data.batch_into(split, &indices, &mut pixels);
        let images = Array4::from_shape_vec((indices.len(), channels, height, width), pixels)
            .expect("the buffer was sized for these images");
        let labels = data.labels(group);
        Self {
            images,
            labels: indices.iter().map(|&i| labels[i]).collect(),
            indices,
        }
    }

    /// `limit` examples of `group` at most, drawn by the run's seed for `purpose`. Permuted and restored ones are the same images.
    pub fn draw(experiment: &Experiment, group: ExampleGroup, limit: usize, purpose: &str) -> Self {
        Self::at(experiment, group, drawn(experiment, group, limit, purpose))
    }
}

/// The places of what [`Sample::draw`] draws.
pub fn drawn(
    experiment: &Experiment,
    group: ExampleGroup,
    limit: usize,
    purpose: &str,
) -> Vec<usize> {
    let mut indices = shuffled(experiment, group, purpose);
    indices.truncate(limit);
    indices
}

/// All examples of `group` in an order drawn by the run's seed for `purpose`.
pub fn shuffled(experiment: &Experiment, group: ExampleGroup, purpose: &str) -> Vec<usize> {
    let drawn = match group {
        ExampleGroup::Restored => ExampleGroup::Permuted,
        group => group,
    };
    let mut indices = experiment.data.group_indices(group);
    let purpose = format!("mftma-study/{purpose}/{drawn}");
    indices.shuffle(&mut stream(experiment.seed, &purpose));
    indices
}
