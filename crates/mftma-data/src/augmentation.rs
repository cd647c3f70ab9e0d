//! Random crops, flips and rotations.

use ndarray::{ArrayView3, ArrayViewMut3};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::rng::counted_stream;
use crate::{Error, Result};

/// Random changes to an image, applied in the order rotation, crop, flip.
///
/// Off by default: the paper trains without regularisation \[P\].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Augmentation {
    /// Pixels of padding on each side before a crop of the image's own size is drawn: a shift of up to so many
    /// pixels either way, uniform, with zeros where the image does not reach.
    pub crop_padding: usize,
    /// Whether half the images are mirrored left to right.
    pub flip: bool,
    /// Largest angle of rotation about the centre in degrees (0 to 180), uniform in both directions; bilinear, with zeros where
    /// the image does not reach.
    pub rotation_degrees: f32,
    /// Seed, apart from every other seed of a run.
    pub seed: u64,
}

impl Augmentation {
    /// Writes the augmented `image` (channels, height, width) to `out`, of the same shape.
    ///
    /// The draw depends on the seed, `epoch` and `example` only, so neither the batch nor the thread matters.
    ///
    /// # Errors
    /// [`Error::Argument`] where the angle is not in 0…180, [`Error::Inconsistent`] where the shapes differ.
    pub fn apply(
        &self,
        image: ArrayView3<'_, u8>,
        epoch: u64,
        example: u64,
        mut out: ArrayViewMut3<'_, u8>,
    ) -> Result<()> {
        if !(0.0..=180.0).contains(&self.rotation_degrees) {
            return Err(Error::argument(
                "rotation in degrees",
                self.rotation_degrees,
                "between 0 and 180",
            ));
        }
        if self.crop_padding > usize::from(u16::MAX) {
            return Err(Error::argument(
                "crop padding",
                self.crop_padding,
                "at most 65535",
            ));
        }
        if image.dim() != out.dim() {
            return Err(Error::Inconsistent(format!(
                "augmentation of an image of shape {:?} into one of {:?}",
                image.dim(),
                out.dim()
            )));
        }
        let (channels, height, width) = image.dim();
        let mut rng = counted_stream(self.seed, "augmentation", &[epoch, example]);
        // Every draw is made whether used or not, so that one setting does not move the draws of another.
        let angle = (2.0 * rng.random::<f64>() - 1.0) * f64::from(self.rotation_degrees);
        let padding = self.crop_padding as i64;
        let (down, right) = (
            rng.random_range(-padding..=padding),
            rng.random_range(-padding..=padding),
        );
        let flip = rng.random::<bool>() && self.flip;
        let (sine, cosine) = angle.to_radians().sin_cos();
        let (middle_y, middle_x) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);

        let pixel = |channel: usize, y: i64, x: i64| -> f64 {
            if (0..height as i64).contains(&y) && (0..width as i64).contains(&x) {
                f64::from(image[[channel, y as usize, x as usize]])
            } else {
                0.0
            }
        };
        for y in 0..height {
            for x in 0..width {
                let from_x = (if flip { width - 1 - x } else { x }) as i64 + right;
                let from_y = y as i64 + down;
                if angle == 0.0 {
                    for channel in 0..channels {
                        out[[channel, y, x]] = pixel(channel, from_y, from_x) as u8;
                    }
                    continue;
                }
                let (dy, dx) = (from_y as f64 - middle_y, from_x as f64 - middle_x);
                let source_y = middle_y + cosine * dy + sine * dx;
                let source_x = middle_x - sine * dy + cosine * dx;
                let (top, left) = (source_y.floor(), source_x.floor());
                let (part_y, part_x) = (source_y - top, source_x - left);
                let (top, left) = (top as i64, left as i64);
                for channel in 0..channels {
                    let upper = pixel(channel, top, left) * (1.0 - part_x)
                        + pixel(channel, top, left + 1) * part_x;
                    let lower = pixel(channel, top + 1, left) * (1.0 - part_x)
                        + pixel(channel, top + 1, left + 1) * part_x;
                    out[[channel, y, x]] = (upper * (1.0 - part_y) + lower * part_y).round() as u8;
                }
            }
        }
        Ok(())
    }
}
