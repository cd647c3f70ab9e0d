//! Derivatives by the image: loss sensitivity and the norm of the input–output Jacobian.

use mftma_train::{Network, StatisticsMode, softmax};
use ndarray::{Array2, ArrayView4, Axis};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::{check_labels, setting};
use crate::scores::BATCH;

/// The gradient of one example's loss by its image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossGradient {
    /// Cross-entropy with the label, in nats.
    pub loss: f64,
    /// Σ |∂ℓ/∂x|, in nats per unit of the network's input: loss sensitivity as in Arpit et al. 2017.
    pub l1: f64,
    /// (Σ (∂ℓ/∂x)²)^½, in the same unit.
    pub l2: f64,
}

/// The gradient of the cross-entropy of each of `images` (n × channels × height × width) with its label by the image itself, running
/// statistics held constant (equation 2 of the note).
///
/// # Errors
/// [`Error::Length`] or [`Error::Label`] where labels do not fit; [`Error::Network`] where the images do not.
pub fn loss_gradients(
    network: &dyn Network,
    images: ArrayView4<'_, f32>,
    labels: &[u16],
) -> Result<Vec<LossGradient>, Error> {
    check_labels(images.len_of(Axis(0)), labels, network.spec().classes)?;
    let mut found = Vec::with_capacity(labels.len());
    for (images, labels) in images
        .axis_chunks_iter(Axis(0), BATCH)
        .zip(labels.chunks(BATCH))
    {
        let mut losses = Vec::new();
        let pulled =
            network.pull_back_to_images(images, StatisticsMode::Running, &mut |scores| {
                let mut p = softmax(scores);
                for (mut row, &label) in p.rows_mut().into_iter().zip(labels) {
                    losses.push(-row[usize::from(label)].max(f64::MIN_POSITIVE).ln());
                    row[usize::from(label)] -= 1.0;
                }
                p.mapv(|value| value as f32)
            })?;
        for (gradient, loss) in pulled.images.axis_iter(Axis(0)).zip(losses) {
            let sum = |term: fn(f64) -> f64| gradient.iter().map(|g| term(f64::from(*g))).sum();
            let (l1, squares): (f64, f64) = (sum(f64::abs), sum(|g| g * g));
            found.push(LossGradient {
                loss,
                l1,
                l2: squares.sqrt(),
            });
        }
    }
    Ok(found)
}

/// What the Jacobian is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outputs {
    /// The class probabilities, as in Novak et al. 2018.
    #[default]
    Probabilities,
    /// The class scores before the softmax.
    Scores,
}

/// How the norm is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JacobianMethod {
    /// A backward pass for each class: exact.
    #[default]
    Exact,
    /// E ‖Jᵀv‖² over random signs v, which is ‖J‖²: unbiased in the square.
    Estimated {
        /// Backward passes for each example, at least 2.
        directions: usize,
        /// Seed of the signs.
        seed: u64,
    },
}

/// The Frobenius norm of one example's Jacobian.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct JacobianNorm {
    /// ‖J‖², in units of outputs² over inputs².
    pub squared: f64,
    /// Standard error of the square over the random directions; 0 where it is exact.
    pub squared_error: f64,
}

impl JacobianNorm {
    /// ‖J‖.
    pub fn norm(&self) -> f64 {
        self.squared.sqrt()
    }
}

/// ‖∂ outputs / ∂ image‖ for each of `images` (n × channels × height × width), running statistics held constant (equation 3 of the note).
///
/// # Errors
/// [`Error::Setting`] for fewer than 2 directions; [`Error::Network`] where the images do not fit.
pub fn jacobian_norms(
    network: &dyn Network,
    images: ArrayView4<'_, f32>,
    outputs: Outputs,
    method: JacobianMethod,
) -> Result<Vec<JacobianNorm>, Error> {
    let classes = network.spec().classes;
    let n = images.len_of(Axis(0));
    let passes = match method {
        JacobianMethod::Exact => classes,
        JacobianMethod::Estimated { directions, .. } => {
            let enough = directions >= 2;
            setting("directions", directions as f64, enough, "give at least 2")?;
            directions
        }
    };
    let mut sums = vec![(0.0, 0.0); n];
    for pass in 0..passes {
        let directions = match method {
            JacobianMethod::Exact => None,
            JacobianMethod::Estimated { seed, .. } => {
                let purpose = format!("mftma-sensitivity/jacobian/{pass}");
                let mut rng = mftma_data::stream(seed, &purpose);
                let sign = || if rng.random::<bool>() { 1.0 } else { -1.0 };
                Some(Array2::<f64>::from_shape_simple_fn((n, classes), sign))
            }
        };
        for (batch, images) in images.axis_chunks_iter(Axis(0), BATCH).enumerate() {
            let first = batch * BATCH;
            let of_batch = |example: usize, class: usize| match &directions {
                None => f64::from(u8::from(class == pass)),
                Some(signs) => signs[[first + example, class]],
            };
            let pulled =
                network.pull_back_to_images(images, StatisticsMode::Running, &mut |scores| {
                    let v = Array2::from_shape_fn(scores.dim(), |(i, c)| of_batch(i, c));
                    match outputs {
                        Outputs::Scores => v.mapv(|v| v as f32),
                        Outputs::Probabilities => through_softmax(&softmax(scores), &v),
                    }
                })?;
            for (example, gradient) in pulled.images.axis_iter(Axis(0)).enumerate() {
                let square: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
                let (sum, squares) = &mut sums[first + example];
                *sum += square;
                *squares += square * square;
            }
        }
    }
    let k = passes as f64;
    let norm = |(sum, squares): (f64, f64)| match method {
        JacobianMethod::Exact => JacobianNorm {
            squared: sum,
            squared_error: 0.0,
        },
        JacobianMethod::Estimated { .. } => {
            let mean = sum / k;
            let variance = ((squares - k * mean * mean) / (k - 1.0)).max(0.0);
            JacobianNorm {
                squared: mean,
                squared_error: (variance / k).sqrt(),
            }
        }
    };
    Ok(sums.into_iter().map(norm).collect())
}

/// (diag p − p pᵀ) v, row by row: derivatives by the probabilities made derivatives by the scores.
fn through_softmax(p: &Array2<f64>, v: &Array2<f64>) -> Array2<f32> {
    let mut out = Array2::zeros(p.dim());
    for ((p, v), mut out) in p.rows().into_iter().zip(v.rows()).zip(out.rows_mut()) {
        let mean = p.dot(&v);
        for ((p, v), out) in p.iter().zip(v).zip(&mut out) {
            *out = (p * (v - mean)) as f32;
        }
    }
    out
}
