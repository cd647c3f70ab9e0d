use std::sync::Arc;

use dfdx::prelude::{Const, ConstDim, HasShape};

use super::value::{collect, deposit, deposit_parameter};
use super::{Features, Halve, Maps, Parameter, Recording, Value, mismatch};
use crate::error::NetworkError;
use crate::kernels::elementwise::{Activation, Extent, Spread};

/// Added to the variance before its root is taken; the customary value.
pub const NORMALISATION_EPSILON: f64 = 1e-5;

/// Mean and unbiased variance of each channel over one batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Mean per channel.
    pub mean: Vec<f32>,
    /// Variance per channel, divided by count − 1 (by 1 where the count is 1).
    pub variance: Vec<f32>,
}

/// Batch normalisation: `γ (x − mean) / √(variance + 1e-5) + β` per channel
/// ([arXiv:1502.03167](https://doi.org/10.48550/arXiv.1502.03167)).
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// γ.
    pub scale: &'a Parameter,
    /// β.
    pub shift: &'a Parameter,
    /// Mean and variance to use as constants; `None` takes the batch's own and differentiates through them.
    pub constants: Option<(&'a [f32], &'a [f32])>,
}

/// What [`respond`] gives: maps, and the batch's moments where they were computed.
pub type Response<H, W, T> = (Value<Maps<H, W>, T>, Option<Moments>);

/// What follows the normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rectifier {
    /// Nothing.
    None,
    /// `max(0, x)`; the slope at 0 is 0.
    Relu,
}

/// Batch normalisation (where given), then the rectifier, as one operator. Gives the batch's moments where they were
/// computed.
///
/// # Errors
/// Where the normalisation has another number of channels than the input.
pub fn respond<H: ConstDim, W: ConstDim, T: Recording>(
    input: Value<Maps<H, W>, T>,
    norm: Option<BatchNorm<'_>>,
    rectifier: Rectifier,
) -> Result<Response<H, W, T>, NetworkError> {
    apply(input, norm, rectifier, false)
}

/// As [`respond`], followed by the maximum over 2×2 pixels. The first of equal pixels takes the gradient.
///
/// # Errors
/// Where the normalisation has another number of channels than the input.
pub fn respond_pooled<H: Halve, W: Halve, T: Recording>(
    input: Value<Maps<H, W>, T>,
    norm: Option<BatchNorm<'_>>,
    rectifier: Rectifier,
) -> Result<Response<H::Half, W::Half, T>, NetworkError> {
    apply(input, norm, rectifier, true)
}

/// Rectifies feature vectors.
///
/// # Errors
/// None today; the signature is that of every operator.
pub fn relu<T: Recording>(input: Value<Features, T>) -> Result<Value<Features, T>, NetworkError> {
    let (input, tape) = input.split();
    let shape = *input.shape();
    let maps = input
        .reshaped((shape.0, shape.1, Const::<1>, Const::<1>))
        .with_tape(tape);
    let (out, tape) = respond(maps, None, Rectifier::Relu)?.0.split();
    Ok(out.reshaped(shape).with_tape(tape))
}

fn apply<H: ConstDim, W: ConstDim, P: ConstDim, Q: ConstDim, T: Recording>(
    input: Value<Maps<H, W>, T>,
    norm: Option<BatchNorm<'_>>,
    rectifier: Rectifier,
    pool: bool,
) -> Result<Response<P, Q, T>, NetworkError> {
    let (input, mut tape) = input.split();
    let (batch, channels, ..) = *input.shape();
    let extent = Extent {
        batch,
        channels,
        height: H::SIZE,
        width: W::SIZE,
    };
    let memory = Arc::clone(input.data().pool());
    let count = (batch * H::SIZE * W::SIZE) as f64;

    // y = factor · x + offset, where factor = γ / √(variance + ε).
    let mut moments = None;
    let (mut factor, mut offset) = (vec![1.0; channels], vec![0.0; channels]);
    let mut centre = vec![0.0; channels];
    let mut inverse = vec![1.0; channels];
    if let Some(norm) = norm {
        let sizes = [norm.scale.len(), norm.shift.len()];
        if sizes != [channels; 2]
            || norm
                .constants
                .is_some_and(|(m, v)| [m.len(), v.len()] != [channels; 2])
        {
            return Err(mismatch(
                "batch normalisation",
                format!(
                    "{} has {} channels, but the input has {channels}",
                    norm.scale.name(),
                    sizes[0]
                ),
            ));
        }
        let (mean, variance): (Vec<f64>, Vec<f64>) = match norm.constants {
            Some((mean, variance)) => (
                mean.iter().map(|x| f64::from(*x)).collect(),
                variance.iter().map(|x| f64::from(*x)).collect(),
            ),
            None => {
                let (mean, variance) = memory.kernels().moments(&extent, input.data().lanes());
                let unbiased = count / (count - 1.0).max(1.0);
                moments = Some(Moments {
                    mean: mean.iter().map(|x| *x as f32).collect(),
                    variance: variance.iter().map(|x| (x * unbiased) as f32).collect(),
                });
                (mean, variance)
            }
        };
        for c in 0..channels {
            let root = 1.0 / (variance[c] + NORMALISATION_EPSILON).sqrt();
            let gamma = f64::from(norm.scale.values()[c]);
            factor[c] = (gamma * root) as f32;
            offset[c] = (f64::from(norm.shift.values()[c]) - gamma * root * mean[c]) as f32;
            centre[c] = mean[c] as f32;
            inverse[c] = root;
        }
    }

    let relu = rectifier == Rectifier::Relu;
    let activation = Activation {
        scale: &factor,
        shift: &offset,
        relu,
        pool,
    };
    let count_out = crate::kernels::blocks(batch) * channels * P::SIZE * Q::SIZE;
    let mut data = memory.take(count_out);
    memory
        .kernels()
        .activate(&extent, activation, input.data().lanes(), data.lanes_mut());
    let out = Value::new((batch, channels, P::default(), Q::default()), data);

    if T::OWNS_TAPE {
        let node = out.node().clone();
        let norm = norm.map(|norm| {
            (
                norm.scale.node().clone(),
                norm.shift.node().clone(),
                norm.constants.is_none(),
            )
        });
        tape.add_backward_op(move |gradients| {
            let gradient = collect(gradients, &node, &memory, count_out)?;
            let activation = Activation {
                scale: &factor,
                shift: &offset,
                relu,
                pool,
            };
            let x = input.data().lanes();
            let (mut slope, mut constant) = (vec![0.0; channels], vec![0.0; channels]);
            if let Some((scale, shift, own_moments)) = norm {
                let sums = memory.kernels().reduce_gradient(
                    &extent,
                    activation,
                    x,
                    gradient.lanes(),
                    &centre,
                );
                let for_scale = sums
                    .iter()
                    .zip(&inverse)
                    .map(|([_, s], root)| (s * root) as f32)
                    .collect();
                let for_shift = sums.iter().map(|[s, _]| *s as f32).collect();
                deposit_parameter(gradients, &scale, for_scale)?;
                deposit_parameter(gradients, &shift, for_shift)?;
                if own_moments {
                    // d/dx of the batch's own mean and variance.
                    for c in 0..channels {
                        let (factor, mean, root) =
                            (f64::from(factor[c]), f64::from(centre[c]), inverse[c]);
                        let along = -factor * root * root * sums[c][1] / count;
                        slope[c] = along as f32;
                        constant[c] = (-factor * sums[c][0] / count - along * mean) as f32;
                    }
                }
            }
            let mut back = memory.take(input.data().len());
            let spread = Spread {
                own: &factor,
                slope: &slope,
                constant: &constant,
            };
            memory.kernels().return_gradient(
                &extent,
                activation,
                spread,
                x,
                gradient.lanes(),
                back.lanes_mut(),
            );
            deposit(gradients, input.node(), back)
        });
    }
    Ok((out.with_tape(tape), moments))
}
