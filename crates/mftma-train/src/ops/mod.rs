//! Operators on dfdx's tape: shapes of dfdx, its tape and its gradients, with this crate's kernels.
//!
//! Batch and channel counts are values (`usize`), rows and columns are types (`Const<32>`): pooling, strides and
//! flattening that do not fit do not compile, and yet one compiled network serves every width. What is a value is
//! checked where the operator is applied, and layers check it where the network is built.

mod convolve;
mod loss;
mod normalise;
mod parameter;
mod pool;
mod sum;
mod value;

pub use convolve::{Window, convolution, linear};
pub use dfdx::prelude::{Const, NoneTape, OwnedTape};
pub use loss::{CrossEntropy, Pull, cross_entropy, pull};
pub use normalise::{
    BatchNorm, Moments, NORMALISATION_EPSILON, Rectifier, Response, relu, respond, respond_pooled,
};
pub use parameter::{Parameter, ParameterRole};
pub use pool::{average_pool, flatten, global_average_pool, max_pool};
pub use sum::residual_sum;
pub use value::{Recording, Value, back_propagate};

pub(crate) use value::collect_parameter;

use dfdx::prelude::ConstDim;
use ndarray::{Array2, ArrayView4};
use std::sync::Arc;

use crate::error::NetworkError;
use crate::kernels::buffer::Pool;
use crate::kernels::{blocks, images};
use crate::spec::ImageShape;

/// A batch of images or feature maps: examples × channels × rows × columns.
pub type Maps<H, W> = (usize, usize, H, W);

/// A batch of feature vectors: examples × features.
pub type Features = (usize, usize);

/// Sides that a stride or pooling window of two halves exactly.
pub trait Halve: ConstDim {
    /// Half the side.
    type Half: ConstDim;
}

macro_rules! halve {
    ($($side:literal => $half:literal),*) => {
        $(impl Halve for Const<$side> { type Half = Const<$half>; })*
    };
}
halve!(256 => 128, 128 => 64, 64 => 32, 32 => 16, 28 => 14, 16 => 8, 14 => 7, 8 => 4, 4 => 2, 2 => 1);

/// Sides that a stride of `S` divides exactly.
pub trait Stride<const S: usize>: ConstDim {
    /// The side after the stride.
    type Side: ConstDim;
}
impl<D: ConstDim> Stride<1> for D {
    type Side = D;
}
impl<D: Halve> Stride<2> for D {
    type Side = D::Half;
}
impl<D: Halve> Stride<4> for D
where
    D::Half: Halve,
{
    type Side = <D::Half as Halve>::Half;
}

/// Memory shared by the values of one network; handed from step to step.
#[derive(Clone, Debug, Default)]
pub struct Workspace(pub(crate) Arc<Pool>);

impl Workspace {
    /// Images (n × channels × H × W) as a value.
    ///
    /// # Errors
    /// Where the rows or columns are not those of the type, or the batch is empty.
    pub fn images<H: ConstDim, W: ConstDim>(
        &self,
        images: ArrayView4<'_, f32>,
    ) -> Result<Value<Maps<H, W>>, NetworkError> {
        let (batch, channels, height, width) = images.dim();
        if batch == 0 {
            return Err(NetworkError::EmptyBatch);
        }
        if (height, width) != (H::SIZE, W::SIZE) {
            return Err(NetworkError::Images {
                expected: ImageShape {
                    channels,
                    height: H::SIZE,
                    width: W::SIZE,
                },
                found: ImageShape {
                    channels,
                    height,
                    width,
                },
            });
        }
        let mut data = self.0.take(blocks(batch) * channels * height * width);
        images::pack(images, data.lanes_mut());
        Ok(Value::new((batch, channels, H::default(), W::default()), data).track(false))
    }
}

impl<H: ConstDim, W: ConstDim, T> Value<Maps<H, W>, T> {
    /// The elements as rows of `(channel, row, column)`, one row per example.
    pub fn to_array(&self) -> Array2<f32> {
        let (batch, channels, ..) = *dfdx::prelude::HasShape::shape(self);
        rows(self.data().lanes(), batch, channels, H::SIZE * W::SIZE)
    }
}

impl<T> Value<Features, T> {
    /// The elements, one row per example.
    pub fn to_array(&self) -> Array2<f32> {
        let (batch, features) = *dfdx::prelude::HasShape::shape(self);
        rows(self.data().lanes(), batch, features, 1)
    }
}

/// Takes all that came back to a batch of images; zeros where nothing did. As [`Value::to_array`].
pub(crate) fn collect_images<H: ConstDim, W: ConstDim>(
    gradients: &mut value::TapeGradients,
    images: &Value<Maps<H, W>>,
) -> Result<Array2<f32>, NetworkError> {
    let (batch, channels, ..) = *dfdx::prelude::HasShape::shape(images);
    let (pool, len) = (images.data().pool(), images.data().len());
    let gradient = value::collect(gradients, images.node(), pool, len)
        .map_err(|error| NetworkError::Tape(error.to_string()))?;
    Ok(rows(gradient.lanes(), batch, channels, H::SIZE * W::SIZE))
}

fn rows(
    blocks: &[crate::kernels::Lanes],
    batch: usize,
    channels: usize,
    pixels: usize,
) -> Array2<f32> {
    let mut out = Array2::zeros((batch, channels * pixels));
    if let Some(out) = out.as_slice_mut() {
        images::unpack(blocks, channels, pixels, out);
    }
    out
}

fn mismatch(operator: &'static str, reason: String) -> NetworkError {
    NetworkError::Shape { operator, reason }
}

#[cfg(test)]
mod tests;
