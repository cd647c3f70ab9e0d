use std::sync::Arc;

use dfdx::prelude::{Cpu, HasShape, PutTape, Rank0, Tensor, TensorFromVec};
use ndarray::Array2;

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
    let (logits, mut tape) = logits.split();
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
    let pool = Arc::clone(logits.data().pool());
    let mut gradient = pool.zeros(blocks(batch) * classes);
    let lanes = gradient.lanes_mut();
    let mut sum = 0.0;
    let mut weights = vec![0.0; classes];
    for (example, (row, label)) in scores.rows().into_iter().zip(labels).enumerate() {
        let label = usize::from(*label);
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut total = 0.0;
        for (weight, score) in weights.iter_mut().zip(row) {
            *weight = f64::from(score - top).exp();
            total += *weight;
        }
        sum += total.ln() - f64::from(row[label] - top);
        let (block, lane) = (example / LANES, example % LANES);
        for (class, weight) in weights.iter().enumerate() {
            let wanted = if class == label { 1.0 } else { 0.0 };
            lanes[block * classes + class][lane] =
                ((weight / total - wanted) / batch as f64) as f32;
        }
    }
    let mean = sum / batch as f64;
    if T::OWNS_TAPE {
        // The scalar's own gradient is 1: it is where dfdx starts.
        tape.add_backward_op(move |gradients| deposit(gradients, logits.node(), gradient));
    }
    let loss = Cpu::default()
        .tensor_from_vec(vec![mean as f32], ())
        .put_tape(tape);
    Ok(CrossEntropy {
        loss,
        mean,
        logits: scores,
    })
}
