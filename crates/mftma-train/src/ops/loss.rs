use std::sync::Arc;

use dfdx::prelude::{Cpu, HasShape, PutTape, Rank0, Tensor, TensorFromVec};
use ndarray::{Array2, ArrayView2};

use super::value::deposit;
use super::{Features, Recording, Value, mismatch};
use crate::error::NetworkError;
use crate::kernels::{LANES, blocks};

/// What [`cross_entropy`] gives.
#[derive(Debug)]
pub struct CrossEntropy<T> {
    /// Mean loss in nats, as a dfdx scalar with the tape: `backward()` gives dfdx's gradients.
    pub loss: Tensor<Rank0, f32, Cpu, T>,
    /// The same in double precision.
    pub mean: f64,
    /// The scores that went in, one row per example.
    pub logits: Array2<f32>,
}

/// Mean over the batch of `−log softmax(logits)[label]`.
///
/// # Errors
/// Where there are not as many labels as examples, or a label is not below the number of scores.
pub fn cross_entropy<T: Recording>(
    logits: Value<Features, T>,
    labels: &[u16],
) -> Result<CrossEntropy<T>, NetworkError> {
    let (logits, tape) = logits.split();
    let (batch, classes) = *logits.shape();
    if labels.len() != batch {
        return Err(NetworkError::LabelCount {
            images: batch,
            labels: labels.len(),
        });
    }
    if classes == 0 {
        return Err(mismatch("cross-entropy", "there are no scores".to_owned()));
    }
    if let Some(position) = labels
        .iter()
        .position(|label| usize::from(*label) >= classes)
    {
        return Err(NetworkError::Label {
            label: labels[position],
            position,
            classes,
        });
    }
    let scores = logits.to_array();
    let mut pull = Array2::zeros((batch, classes));
    let mut sum = 0.0;
    let mut weights = vec![0.0; classes];
    for ((row, label), mut pull) in scores.rows().into_iter().zip(labels).zip(pull.rows_mut()) {
        let label = usize::from(*label);
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut total = 0.0;
        for (weight, score) in weights.iter_mut().zip(row) {
            *weight = f64::from(score - top).exp();
            total += *weight;
        }
        sum += total.ln() - f64::from(row[label] - top);
        for (class, (weight, pull)) in weights.iter().zip(&mut pull).enumerate() {
            let wanted = if class == label { 1.0 } else { 0.0 };
            *pull = ((weight / total - wanted) / batch as f64) as f32;
        }
    }
    let mean = sum / batch as f64;
    Ok(CrossEntropy {
        loss: pulled(logits, tape, pull.view(), mean as f32),
        mean,
        logits: scores,
    })
}

/// What [`pull`] gives.
#[derive(Debug)]
pub struct Pull<T> {
    /// A dfdx scalar with the tape (its value is 0): `backward()` carries the derivatives back to the parameters.
    pub origin: Tensor<Rank0, f32, Cpu, T>,
    /// The scores that went in, one row per example.
    pub logits: Array2<f32>,
}

/// The start of a backward pass from given derivatives by the scores: `derivatives` makes them (batch × classes) of the scores.
///
/// # Errors
/// Where the derivatives do not have the scores' shape.
pub fn pull<T: Recording>(
    logits: Value<Features, T>,
    derivatives: &mut dyn FnMut(ArrayView2<'_, f32>) -> Array2<f32>,
) -> Result<Pull<T>, NetworkError> {
    let (logits, tape) = logits.split();
    let scores = logits.to_array();
    let derivatives = derivatives(scores.view());
    if derivatives.dim() != scores.dim() {
        let (found, wanted) = (derivatives.dim(), scores.dim());
        return Err(mismatch(
            "pull",
            format!("derivatives are {found:?}, scores {wanted:?}"),
        ));
    }
    Ok(Pull {
        origin: pulled(logits, tape, derivatives.view(), 0.0),
        logits: scores,
    })
}

/// A scalar of some value whose derivatives by `logits` are `pull`.
fn pulled<T: Recording>(
    logits: Value<Features>,
    mut tape: T,
    pull: ArrayView2<'_, f32>,
    value: f32,
) -> Tensor<Rank0, f32, Cpu, T> {
    if T::OWNS_TAPE {
        let (batch, classes) = pull.dim();
        let pool = Arc::clone(logits.data().pool());
        let mut gradient = pool.zeros(blocks(batch) * classes);
        let lanes = gradient.lanes_mut();
        for ((example, class), pull) in pull.indexed_iter() {
            lanes[example / LANES * classes + class][example % LANES] = *pull;
        }
        // The scalar's own gradient is 1: it is where dfdx starts.
        tape.add_backward_op(move |gradients| deposit(gradients, logits.node(), gradient));
    }
    Cpu::default()
        .tensor_from_vec(vec![value], ())
        .put_tape(tape)
}
