//! Per-channel normalisation.

use ndarray::{Array4, ArrayView4, Axis, Zip};
use serde::{Deserialize, Serialize};

use crate::{Dataset, Error, Result};

/// Mean and standard deviation of each channel, of pixel values scaled to 0…1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Normalization {
    mean: Vec<f64>,
    standard_deviation: Vec<f64>,
}

/// The fields of a [`Normalization`] as read, not yet checked.
#[derive(Deserialize)]
struct Stored {
    mean: Vec<f64>,
    standard_deviation: Vec<f64>,
}

impl TryFrom<Stored> for Normalization {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        Self::new(stored.mean, stored.standard_deviation)
    }
}

impl Normalization {
    /// Measured on all pixels of the *training* split; the test split is never looked at.
    ///
    /// Population standard deviation. Both numbers come from a histogram of the 256 pixel values counted in
    /// integers, so they do not depend on any order of summation.
    pub fn from_training(dataset: &Dataset) -> Self {
        let images = dataset.train().images();
        let (mean, standard_deviation) = images
            .axis_iter(Axis(1))
            .map(|channel| {
                let mut histogram = [0u64; 256];
                channel.for_each(|&pixel| histogram[usize::from(pixel)] += 1);
                let count = channel.len().max(1) as f64;
                let moment = |value: &dyn Fn(f64) -> f64| -> f64 {
                    (0..=255u8)
                        .map(|pixel| {
                            histogram[usize::from(pixel)] as f64 * value(f64::from(pixel) / 255.0)
                        })
                        .sum::<f64>()
                        / count
                };
                let mean = moment(&|x| x);
                (mean, moment(&|x| (x - mean).powi(2)).sqrt())
            })
            .unzip();
        Self {
            mean,
            standard_deviation,
        }
    }

    /// From given numbers, one for each channel, of pixel values scaled to 0…1.
    ///
    /// # Errors
    /// [`Error::Argument`] where a number is not finite or a deviation is negative, [`Error::Inconsistent`] where the
    /// lengths differ.
    pub fn new(mean: Vec<f64>, standard_deviation: Vec<f64>) -> Result<Self> {
        if mean.len() != standard_deviation.len() {
            return Err(Error::Inconsistent(format!(
                "{} channel means, but {} standard deviations",
                mean.len(),
                standard_deviation.len()
            )));
        }
        if let Some(bad) = mean.iter().find(|m| !m.is_finite()) {
            return Err(Error::argument("channel mean", bad, "finite"));
        }
        if let Some(bad) = standard_deviation
            .iter()
            .find(|s| !(s.is_finite() && **s >= 0.0))
        {
            return Err(Error::argument(
                "channel standard deviation",
                bad,
                "finite and not negative",
            ));
        }
        Ok(Self {
            mean,
            standard_deviation,
        })
    }

    /// Mean of each channel.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Standard deviation of each channel.
    pub fn standard_deviation(&self) -> &[f64] {
        &self.standard_deviation
    }

    /// The normalised value of every possible pixel of `channel`: (pixel / 255 − mean) / standard deviation.
    ///
    /// A channel without variance is centred only.
    ///
    /// # Panics
    /// Where there is no such channel.
    pub fn table(&self, channel: usize) -> [f32; 256] {
        let deviation = self.standard_deviation[channel];
        let scale = if deviation > 0.0 {
            1.0 / deviation
        } else {
            1.0
        };
        std::array::from_fn(|pixel| ((pixel as f64 / 255.0 - self.mean[channel]) * scale) as f32)
    }

    /// Normalises images (examples, channels, height, width).
    ///
    /// # Errors
    /// [`Error::Inconsistent`] where the number of channels differs.
    pub fn apply(&self, images: ArrayView4<'_, u8>) -> Result<Array4<f32>> {
        let mut out = Array4::zeros(images.raw_dim());
        if images.len_of(Axis(1)) != self.mean.len() {
            return Err(Error::Inconsistent(format!(
                "images of {} channels cannot be normalised with the statistics of {}",
                images.len_of(Axis(1)),
                self.mean.len()
            )));
        }
        for channel in 0..self.mean.len() {
            let table = self.table(channel);
            Zip::from(out.index_axis_mut(Axis(1), channel))
                .and(images.index_axis(Axis(1), channel))
                .for_each(|value, &pixel| *value = table[usize::from(pixel)]);
        }
        Ok(out)
    }
}
