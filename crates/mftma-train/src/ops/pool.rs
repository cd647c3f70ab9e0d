use std::sync::Arc;

use dfdx::prelude::{ConstDim, HasShape};

use super::value::{collect, deposit};
use super::{Features, Maps, Recording, Value, Window};
use crate::error::NetworkError;
use crate::kernels::{blocks, images};

/// Largest value of each window; padding never wins, and the first of equal pixels takes the gradient.
///
/// # Errors
/// Where the window does not turn `H` × `W` into `P` × `Q`.
pub fn max_pool<H, W, P, Q, T>(
    input: Value<Maps<H, W>, T>,
    window: Window,
) -> Result<Value<Maps<P, Q>, T>, NetworkError>
where
    H: ConstDim,
    W: ConstDim,
    P: ConstDim,
    Q: ConstDim,
    T: Recording,
{
    let (input, mut tape) = input.split();
    let (batch, channels, ..) = *input.shape();
    let geometry = window.over::<H, W, P, Q>("max pooling", channels, channels)?;
    let pool = Arc::clone(input.data().pool());
    let count = blocks(batch) * channels * P::SIZE * Q::SIZE;
    let mut data = pool.take(count);
    let kernels = pool.kernels();
    kernels.max(&geometry, input.data().lanes(), data.lanes_mut());
    let out = Value::new((batch, channels, P::default(), Q::default()), data);
    if T::OWNS_TAPE {
        let saved = out.again();
        tape.add_backward_op(move |gradients| {
            let gradient = collect(gradients, saved.node(), &pool, count)?;
            let mut back = pool.take(input.data().len());
            let (x, top) = (input.data().lanes(), saved.data().lanes());
            let kernels = pool.kernels();
            kernels.max_backward(&geometry, x, top, gradient.lanes(), back.lanes_mut());
            deposit(gradients, input.node(), back)
        });
    }
    Ok(out.with_tape(tape))
}

/// Mean of each window; padding counts as zeros.
///
/// # Errors
/// Where the window does not turn `H` × `W` into `P` × `Q`.
pub fn average_pool<H, W, P, Q, T>(
    input: Value<Maps<H, W>, T>,
    window: Window,
) -> Result<Value<Maps<P, Q>, T>, NetworkError>
where
    H: ConstDim,
    W: ConstDim,
    P: ConstDim,
    Q: ConstDim,
    T: Recording,
{
    let (input, mut tape) = input.split();
    let (batch, channels, ..) = *input.shape();
    let geometry = window.over::<H, W, P, Q>("average pooling", channels, channels)?;
    let pool = Arc::clone(input.data().pool());
    let count = blocks(batch) * channels * P::SIZE * Q::SIZE;
    let mut data = pool.take(count);
    let kernels = pool.kernels();
    kernels.average(&geometry, input.data().lanes(), data.lanes_mut());
    let out = Value::new((batch, channels, P::default(), Q::default()), data);
    if T::OWNS_TAPE {
        let (node, source, len) = (out.node().clone(), input.node().clone(), input.data().len());
        tape.add_backward_op(move |gradients| {
            let gradient = collect(gradients, &node, &pool, count)?;
            let mut back = pool.take(len);
            let kernels = pool.kernels();
            kernels.average_backward(&geometry, gradient.lanes(), back.lanes_mut());
            deposit(gradients, &source, back)
        });
    }
    Ok(out.with_tape(tape))
}

/// Mean of each map: maps to features.
///
/// # Errors
/// None today; the signature is that of every operator.
pub fn global_average_pool<H: ConstDim, T: Recording>(
    input: Value<Maps<H, H>, T>,
) -> Result<Value<Features, T>, NetworkError> {
    let window = Window {
        kernel: H::SIZE,
        stride: 1,
        padding: 0,
    };
    type One = dfdx::prelude::Const<1>;
    flatten(average_pool::<H, H, One, One, T>(input, window)?)
}

/// Maps to features in `(channel, row, column)` order.
///
/// # Errors
/// None today; the signature is that of every operator.
pub fn flatten<H: ConstDim, W: ConstDim, T: Recording>(
    input: Value<Maps<H, W>, T>,
) -> Result<Value<Features, T>, NetworkError> {
    let (input, mut tape) = input.split();
    let (batch, channels, ..) = *input.shape();
    let pixels = H::SIZE * W::SIZE;
    let shape = (batch, channels * pixels);
    if pixels == 1 {
        return Ok(input.reshaped(shape).with_tape(tape));
    }
    let pool = Arc::clone(input.data().pool());
    let count = input.data().len();
    let mut data = pool.take(count);
    images::channels_first(input.data().lanes(), channels, pixels, data.lanes_mut());
    let out = Value::new(shape, data).track(input.tracked());
    if T::OWNS_TAPE && input.tracked() {
        let (node, source) = (out.node().clone(), input.node().clone());
        tape.add_backward_op(move |gradients| {
            let gradient = collect(gradients, &node, &pool, count)?;
            let mut back = pool.take(count);
            images::channels_last(gradient.lanes(), channels, pixels, back.lanes_mut());
            deposit(gradients, &source, back)
        });
    }
    Ok(out.with_tape(tape))
}
