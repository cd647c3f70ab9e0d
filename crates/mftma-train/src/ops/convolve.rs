use std::sync::Arc;

use dfdx::prelude::{ConstDim, HasShape};

use super::value::{collect, deposit, deposit_parameter};
use super::{Features, Maps, Parameter, Recording, Value, mismatch};
use crate::error::NetworkError;
use crate::kernels::buffer::{Buffer, Pool};
use crate::kernels::convolution::Geometry;
use crate::kernels::elementwise::Extent;

/// A square window moved over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the window.
    pub kernel: usize,
    /// Step from one output to the next.
    pub stride: usize,
    /// Rows and columns of padding on each side.
    pub padding: usize,
}

impl Window {
    /// The geometry over maps of `H` × `W`, checked against an output of `P` × `Q`.
    pub(crate) fn over<H: ConstDim, W: ConstDim, P: ConstDim, Q: ConstDim>(
        self,
        operator: &'static str,
        channels_in: usize,
        channels_out: usize,
    ) -> Result<Geometry, NetworkError> {
        let Self {
            kernel,
            stride,
            padding,
        } = self;
        if kernel == 0 || stride == 0 || padding >= kernel {
            return Err(mismatch(
                operator,
                format!(
                    "kernel {kernel}, stride {stride}, padding {padding}; the first two must be at least 1 and the \
                     padding smaller than the kernel"
                ),
            ));
        }
        let geometry = Geometry {
            channels_in,
            channels_out,
            height: H::SIZE,
            width: W::SIZE,
            kernel,
            stride,
            padding,
        };
        let (height, width) = geometry.output();
        if (height, width) != (P::SIZE, Q::SIZE) {
            return Err(mismatch(
                operator,
                format!(
                    "kernel {kernel}, stride {stride}, padding {padding} turns {}×{} into {height}×{width}, not {}×{}",
                    H::SIZE,
                    W::SIZE,
                    P::SIZE,
                    Q::SIZE
                ),
            ));
        }
        Ok(geometry)
    }
}

/// Two-dimensional convolution (cross-correlation, as in every deep-learning library): `weight` is out × in × kernel ×
/// kernel, `bias` has one value per output channel. Maps of `H` × `W` become maps of `P` × `Q`.
///
/// # Errors
/// Where the window does not turn `H` × `W` into `P` × `Q`, or the channel counts do not fit the weight.
pub fn convolution<H, W, P, Q, T>(
    input: Value<Maps<H, W>, T>,
    weight: &Parameter,
    bias: Option<&Parameter>,
    window: Window,
) -> Result<Value<Maps<P, Q>, T>, NetworkError>
where
    H: ConstDim,
    W: ConstDim,
    P: ConstDim,
    Q: ConstDim,
    T: Recording,
{
    const NAME: &str = "convolution";
    let (batch, channels, ..) = *input.shape();
    let [outputs, inputs, rows, columns] = *weight.shape() else {
        return Err(mismatch(
            NAME,
            format!(
                "weight {} has {} axes, not 4",
                weight.name(),
                weight.shape().len()
            ),
        ));
    };
    if (inputs, rows, columns) != (channels, window.kernel, window.kernel) {
        return Err(mismatch(
            NAME,
            format!(
                "weight {} takes {inputs} channels with a {rows}×{columns} kernel, but the input has {channels} channels \
                 and the window is {}×{}",
                weight.name(),
                window.kernel,
                window.kernel
            ),
        ));
    }
    let geometry = window.over::<H, W, P, Q>(NAME, channels, outputs)?;
    check_bias(NAME, bias, outputs)?;
    let (input, tape) = input.split();
    let (out, tape) = apply(
        input,
        tape,
        batch,
        geometry,
        weight,
        bias,
        (batch, outputs, P::default(), Q::default()),
    );
    Ok(out.with_tape(tape))
}

/// `output = input · weightᵀ + bias`, with `weight` out × in.
///
/// # Errors
/// Where the feature counts do not fit the weight.
pub fn linear<T: Recording>(
    input: Value<Features, T>,
    weight: &Parameter,
    bias: Option<&Parameter>,
) -> Result<Value<Features, T>, NetworkError> {
    const NAME: &str = "linear layer";
    let (batch, features) = *input.shape();
    let [outputs, inputs] = *weight.shape() else {
        return Err(mismatch(
            NAME,
            format!(
                "weight {} has {} axes, not 2",
                weight.name(),
                weight.shape().len()
            ),
        ));
    };
    if inputs != features {
        return Err(mismatch(
            NAME,
            format!(
                "weight {} takes {inputs} features, but the input has {features}",
                weight.name()
            ),
        ));
    }
    check_bias(NAME, bias, outputs)?;
    let (input, tape) = input.split();
    let geometry = Geometry::linear(inputs, outputs);
    let (out, tape) = apply(input, tape, batch, geometry, weight, bias, (batch, outputs));
    Ok(out.with_tape(tape))
}

fn check_bias(
    operator: &'static str,
    bias: Option<&Parameter>,
    outputs: usize,
) -> Result<(), NetworkError> {
    match bias {
        Some(bias) if bias.len() != outputs => Err(mismatch(
            operator,
            format!(
                "bias {} has {} values for {outputs} outputs",
                bias.name(),
                bias.len()
            ),
        )),
        _ => Ok(()),
    }
}

/// The part that convolutions and linear layers share.
fn apply<S: dfdx::prelude::Shape, O: dfdx::prelude::Shape, T: Recording>(
    input: Value<S>,
    mut tape: T,
    batch: usize,
    geometry: Geometry,
    weight: &Parameter,
    bias: Option<&Parameter>,
    shape: O,
) -> (Value<O>, T) {
    let pool = Arc::clone(input.data().pool());
    let (height, width) = geometry.output();
    let count = crate::kernels::blocks(batch) * geometry.channels_out * height * width;
    let mut data = pool.take(count);
    pool.kernels().convolve(
        &geometry,
        &pool,
        input.data().lanes(),
        weight.values(),
        bias.map(Parameter::values),
        data.lanes_mut(),
    );
    let out = Value::new(shape, data);
    if T::OWNS_TAPE {
        let (node, weights, weight_node) =
            (out.node().clone(), weight.shared(), weight.node().clone());
        let bias_node = bias.map(|bias| bias.node().clone());
        let needs_input = input.tracked();
        tape.add_backward_op(move |gradients| {
            let gradient = collect(gradients, &node, &pool, count)?;
            if let Some(node) = bias_node {
                let extent = Extent {
                    batch,
                    channels: geometry.channels_out,
                    height,
                    width,
                };
                deposit_parameter(
                    gradients,
                    &node,
                    pool.kernels().channel_sums(&extent, gradient.lanes()),
                )?;
            }
            let (for_weight, for_input) = backward(
                &geometry,
                &pool,
                input.data(),
                &gradient,
                &weights,
                needs_input,
            );
            deposit_parameter(gradients, &weight_node, for_weight)?;
            if let Some(for_input) = for_input {
                deposit(gradients, input.node(), for_input)?;
            }
            Ok(())
        });
    }
    (out, tape)
}

fn backward(
    geometry: &Geometry,
    pool: &Arc<Pool>,
    input: &Buffer,
    gradient: &Buffer,
    weights: &[f32],
    needs_input: bool,
) -> (Vec<f32>, Option<Buffer>) {
    let mut for_weight = vec![0.0; weights.len()];
    pool.kernels().convolve_to_weight(
        geometry,
        pool,
        input.lanes(),
        gradient.lanes(),
        &mut for_weight,
    );
    let for_input = needs_input.then(|| {
        let mut out = pool.take(input.len());
        let kernels = pool.kernels();
        kernels.convolve_to_input(geometry, pool, gradient.lanes(), weights, out.lanes_mut());
        out
    });
    (for_weight, for_input)
}
