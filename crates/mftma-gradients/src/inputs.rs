//! Ablations of the input: the images without their class means, and nothing but their class means.

use std::fmt;

use ndarray::{Array4, ArrayD, ArrayView4, Axis};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::theory::check_labels;

/// What is done to the images before their gradients are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputAblation {
    /// Nothing.
    Raw,
    /// Each class is moved onto the global mean: x − x̄_c + x̄. The advantage of unpermuted examples must vanish.
    CentredClasses,
    /// Each image is replaced by its class's mean image: x̄_c. Only the shared features are left.
    ClassMeansOnly,
}

impl InputAblation {
    /// All of them, raw first.
    pub const ALL: [Self; 3] = [Self::Raw, Self::CentredClasses, Self::ClassMeansOnly];

    /// Name in tables: `raw`, `class means removed`, `class means only`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::CentredClasses => "class means removed",
            Self::ClassMeansOnly => "class means only",
        }
    }

    /// The ablated images, (n, channels, height, width) as given. `truth` holds the **true** label of each image;
    /// class means are taken over all images of a true class, permuted and unpermuted together.
    ///
    /// # Errors
    /// [`Error::Length`] or [`Error::Label`] where labels and images do not fit.
    pub fn apply(
        self,
        images: ArrayView4<'_, f32>,
        truth: &[u16],
        classes: usize,
    ) -> Result<Array4<f32>, Error> {
        check_labels(images.len_of(Axis(0)), truth, classes)?;
        let mut out = images.to_owned();
        if self == Self::Raw || truth.is_empty() {
            return Ok(out);
        }
        let pixels = images.raw_dim();
        let mut sums = vec![ArrayD::<f64>::zeros(vec![pixels[1], pixels[2], pixels[3]]); classes];
        let mut counts = vec![0usize; classes];
        for (image, &y) in images.axis_iter(Axis(0)).zip(truth) {
            let y = usize::from(y);
            counts[y] += 1;
            sums[y].zip_mut_with(&image.into_dyn(), |sum, &x| *sum += f64::from(x));
        }
        let mut global = ArrayD::<f64>::zeros(sums[0].raw_dim());
        for sum in &sums {
            global += sum;
        }
        global /= truth.len() as f64;
        for (sum, &count) in sums.iter_mut().zip(&counts) {
            *sum /= count.max(1) as f64;
        }
        for (image, &y) in out.axis_iter_mut(Axis(0)).zip(truth) {
            let mean = &sums[usize::from(y)];
            ndarray::Zip::from(&mut image.into_dyn())
                .and(mean)
                .and(&global)
                .for_each(|x, &mean, &global| {
                    *x = match self {
                        Self::ClassMeansOnly => mean as f32,
                        _ => (f64::from(*x) - mean + global) as f32,
                    };
                });
        }
        Ok(out)
    }
}

impl fmt::Display for InputAblation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
