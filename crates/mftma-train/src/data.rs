//! What a network is trained and measured on: a data set with permuted labels, handed out as normalised batches.

use mftma_data::{Augmentation, Dataset, ExampleGroup, LabelPermutation, Normalization, Split};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// A data set, the permutation of its training labels, and the normalisation of its pixels.
///
/// Pixels stay `u8`; each batch is normalised to `f32` as it is asked for, by a table of 256 values a channel.
#[derive(Clone, Debug)]
pub struct TrainingData {
    dataset: Dataset,
    permutation: LabelPermutation,
    normalization: Normalization,
    tables: Vec<[f32; 256]>,
}

/// Which images and labels a run was trained on: it stands in every checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataIdentity {
    /// Name of the data set.
    pub dataset: String,
    /// [`Dataset::checksum`], in hexadecimal.
    pub dataset_checksum: String,
    /// [`LabelPermutation::checksum`], in hexadecimal.
    pub permutation_checksum: String,
    /// The normalisation of the pixels.
    pub normalization: Normalization,
}

impl TrainingData {
    /// Puts a data set and a permutation of its training labels together, with the normalisation of its own training split.
    ///
    /// # Errors
    /// [`TrainError::Shape`] where the permutation was drawn for other labels.
    pub fn new(dataset: Dataset, permutation: LabelPermutation) -> Result<Self, TrainError> {
        let normalization = Normalization::from_training(&dataset);
        Self::with_normalization(dataset, permutation, normalization)
    }

    /// Like [`TrainingData::new`] with given means and standard deviations, one of each for every channel.
    ///
    /// # Errors
    /// [`TrainError::Shape`] where the permutation was drawn for other labels or the number of channels differs.
    pub fn with_normalization(
        dataset: Dataset,
        permutation: LabelPermutation,
        normalization: Normalization,
    ) -> Result<Self, TrainError> {
        if permutation.true_labels() != dataset.train().labels() {
            return Err(TrainError::Shape {
                what: "true labels of the permutation".into(),
                expected: format!(
                    "the {} training labels of {}",
                    dataset.train().len(),
                    dataset.name()
                ),
                found: format!("{} others", permutation.len()),
                remedy: "draw the permutation from this data set's training labels",
            });
        }
        let channels = dataset.image_shape()[0];
        if normalization.mean().len() != channels {
            return Err(TrainError::Shape {
                what: "channels of the normalisation".into(),
                expected: channels.to_string(),
                found: normalization.mean().len().to_string(),
                remedy: "give one mean and one standard deviation for each channel",
            });
        }
        let tables = (0..channels).map(|c| normalization.table(c)).collect();
        Ok(TrainingData {
            dataset,
            permutation,
            normalization,
            tables,
        })
    }

    /// The data set.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The permutation of the training labels.
    pub fn permutation(&self) -> &LabelPermutation {
        &self.permutation
    }

    /// The normalisation of the pixels.
    pub fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    /// The split that a group's examples come from.
    pub fn split(&self, group: ExampleGroup) -> &Split {
        if group.is_training() {
            self.dataset.train()
        } else {
            self.dataset.test()
        }
    }

    /// The labels that a group's accuracy is counted against, for every example of its split: those trained on for unpermuted and
    /// permuted examples, the true ones for restored and test examples.
    pub fn labels(&self, group: ExampleGroup) -> &[u16] {
        match group {
            ExampleGroup::Unpermuted | ExampleGroup::Permuted => self.permutation.assigned_labels(),
            ExampleGroup::Restored => self.permutation.true_labels(),
            ExampleGroup::Test => self.dataset.test().labels(),
        }
    }

    /// The examples of a group, ascending: indices into its split.
    pub fn group_indices(&self, group: ExampleGroup) -> Vec<usize> {
        match group {
            ExampleGroup::Test => (0..self.dataset.test().len()).collect(),
            _ => {
                let permuted = group != ExampleGroup::Unpermuted;
                let mask = self.permutation.mask().iter().enumerate();
                mask.filter(|&(_, &chosen)| chosen == permuted)
                    .map(|(i, _)| i)
                    .collect()
            }
        }
    }

    /// Which images and labels these are.
    pub fn identity(&self) -> DataIdentity {
        DataIdentity {
            dataset: self.dataset.name().to_string(),
            dataset_checksum: self.dataset.checksum().to_string(),
            permutation_checksum: self.permutation.checksum().to_string(),
            normalization: self.normalization.clone(),
        }
    }

    /// Normalised images of `split` at `indices`, in that order: `out` becomes (examples, channels, height, width), row-major. Its
    /// allocation is reused.
    ///
    /// # Panics
    /// Where an index is not below the number of examples.
    pub fn batch_into(&self, split: &Split, indices: &[usize], out: &mut Vec<f32>) {
        let len: usize = split.image_shape().iter().product();
        out.resize(indices.len() * len, 0.0);
        if len == 0 {
            return;
        }
        let pixels = split.pixels();
        out.par_chunks_mut(len).zip(indices).for_each(|(out, &i)| {
            self.normalize(&pixels[i * len..(i + 1) * len], out);
        });
    }

    /// Like [`TrainingData::batch_into`] for training images, augmented as they are in `epoch`.
    ///
    /// # Errors
    /// [`TrainError::Data`] where the augmentation's settings are out of range.
    pub fn augmented_batch_into(
        &self,
        augmentation: &Augmentation,
        epoch: usize,
        indices: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), TrainError> {
        let train = self.dataset.train();
        let shape = train.image_shape();
        let len: usize = shape.iter().product();
        out.resize(indices.len() * len, 0.0);
        if len == 0 {
            return Ok(());
        }
        out.par_chunks_mut(len)
            .zip(indices)
            .try_for_each(|(out, &i)| {
                let mut image = ndarray::Array3::<u8>::zeros(shape);
                augmentation.apply(train.image(i), epoch as u64, i as u64, image.view_mut())?;
                // `zeros` is in standard layout, so the slice is always there.
                self.normalize(image.as_slice().unwrap_or_default(), out);
                Ok(())
            })
    }

    /// Normalises one image (channels, height, width).
    fn normalize(&self, image: &[u8], out: &mut [f32]) {
        let plane = image.len() / self.tables.len();
        for ((image, out), table) in image
            .chunks(plane)
            .zip(out.chunks_mut(plane))
            .zip(&self.tables)
        {
            for (value, &pixel) in out.iter_mut().zip(image) {
                *value = table[usize::from(pixel)];
            }
        }
    }
}
