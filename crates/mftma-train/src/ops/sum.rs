use std::sync::Arc;

use dfdx::prelude::{ConstDim, HasShape};

use super::value::{collect, deposit};
use super::{Maps, Recording, Rectifier, Value, mismatch};
use crate::error::NetworkError;

/// Residual addition: `a + b`, then the rectifier.
///
/// # Errors
/// Where the batch or channel counts differ.
pub fn residual_sum<H: ConstDim, W: ConstDim, T: Recording>(
    a: Value<Maps<H, W>, T>,
    b: Value<Maps<H, W>, T>,
    rectifier: Rectifier,
) -> Result<Value<Maps<H, W>, T>, NetworkError> {
    let (a, tape) = a.split();
    let (b, other) = b.split();
    let mut tape = tape.merge(other);
    if a.shape() != b.shape() {
        return Err(mismatch(
            "residual addition",
            format!(
                "{} channels of {} examples + {} channels of {}",
                a.shape().1,
                a.shape().0,
                b.shape().1,
                b.shape().0
            ),
        ));
    }
    let pool = Arc::clone(a.data().pool());
    let count = a.data().len();
    let relu = rectifier == Rectifier::Relu;
    let mut data = pool.take(count);
    pool.kernels()
        .add(a.data().lanes(), b.data().lanes(), relu, data.lanes_mut());
    let out = Value::new(*a.shape(), data);
    if T::OWNS_TAPE {
        let saved = out.again();
        let nodes = [a.node().clone(), b.node().clone()];
        tape.add_backward_op(move |gradients| {
            let mut gradient = collect(gradients, saved.node(), &pool, count)?;
            if relu {
                let kernels = pool.kernels();
                kernels.keep_positive(saved.data().lanes(), gradient.lanes_mut());
            }
            let mut copy = pool.take(count);
            copy.lanes_mut().copy_from_slice(gradient.lanes());
            let [a, b] = nodes;
            deposit(gradients, &a, gradient)?;
            deposit(gradients, &b, copy)
        });
    }
    Ok(out.with_tape(tape))
}
