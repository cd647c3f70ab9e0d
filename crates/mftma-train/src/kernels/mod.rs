//! Plain kernels on `f32` slices: no tape, no names, no allocation policy.
//!
//! **Layout.** Examples are taken in blocks of [`LANES`]; the last block is padded. Within a block an activation is stored
//! as `[row][column][channel][example]`, so that every vector runs over examples. Then
//! - a convolution is a sum of vectors times scalars for *any* channel count, image size, kernel, stride and padding;
//!   at the borders the absent taps are left out (on 2×2 images that is over half of them);
//! - a linear layer is a convolution on one pixel, and flattening one pixel costs nothing;
//! - normalisation, rectification and pooling are element-wise, without a shuffle.
//!
//! **Padding.** Lanes beyond the batch hold finite, meaningless activations. Gradients there are exactly 0, which every
//! backward kernel preserves, so that sums over lanes need no mask.
//!
//! **Threads.** Each output value is summed in an order given by the data alone, whatever the number of threads.
//!
//! **The seam.** Operators know [`Kernels`] only. [`Level`] implements it for the vector instructions of processors, which all give the
//! same bytes; another device is one more implementation, and so are the plain loops of the tests.

pub(crate) mod buffer;
pub(crate) mod convolution;
pub(crate) mod elementwise;
pub(crate) mod images;
#[cfg(test)]
pub(crate) mod plain;
pub(crate) mod pooling;
pub(crate) mod simd;

/// Examples per block.
pub(crate) const LANES: usize = 32;

/// One value of each example of a block.
pub(crate) type Lanes = [f32; LANES];

/// Blocks needed for a batch.
pub(crate) fn blocks(batch: usize) -> usize {
    batch.div_ceil(LANES)
}

/// 1 for lanes that hold an example, 0 for padding, for block `block` of a batch.
pub(crate) fn lane_mask(batch: usize, block: usize) -> Lanes {
    let used = batch.saturating_sub(block * LANES).min(LANES);
    std::array::from_fn(|lane| if lane < used { 1.0 } else { 0.0 })
}

use std::fmt::Debug;
use std::sync::Arc;

use buffer::Pool;
use convolution::Geometry;
use elementwise::{Activation, Extent, Spread};
use simd::{Level, Vector, WIDTH};

/// All that operators ask of a device, on values in the layout above.
pub(crate) trait Kernels: Debug + Send + Sync {
    /// `out[b, o, y, x] = bias[o] + Σ weight[o, i, ky, kx] · input[b, i, y·s + ky − p, x·s + kx − p]`. `weight` is
    /// out × in × kernel × kernel, row-major.
    fn convolve(
        &self,
        g: &Geometry,
        pool: &Arc<Pool>,
        input: &[Lanes],
        weight: &[f32],
        bias: Option<&[f32]>,
        out: &mut [Lanes],
    );

    /// Gradient of a convolution with respect to its input, from `gradient` with respect to its output.
    fn convolve_to_input(
        &self,
        g: &Geometry,
        pool: &Arc<Pool>,
        gradient: &[Lanes],
        weight: &[f32],
        out: &mut [Lanes],
    );

    /// Gradient of a convolution with respect to its weight (out × in × kernel × kernel, row-major), summed over the batch.
    fn convolve_to_weight(
        &self,
        g: &Geometry,
        pool: &Arc<Pool>,
        input: &[Lanes],
        gradient: &[Lanes],
        out: &mut [f32],
    );

    /// Mean and (biased) variance of each channel over the batch and all pixels.
    fn moments(&self, e: &Extent, x: &[Lanes]) -> (Vec<f64>, Vec<f64>);

    /// `out = max over the window of relu(scale · x + shift)`.
    fn activate(&self, e: &Extent, activation: Activation<'_>, x: &[Lanes], out: &mut [Lanes]);

    /// For each channel, with `d` the gradient that reaches the scaled and shifted value: `Σ d` and `Σ d · (x − mean)`.
    fn reduce_gradient(
        &self,
        e: &Extent,
        activation: Activation<'_>,
        x: &[Lanes],
        gradient: &[Lanes],
        mean: &[f32],
    ) -> Vec<[f64; 2]>;

    /// Gradient of [`activate`](Self::activate) with respect to `x`; see [`Spread`].
    fn return_gradient(
        &self,
        e: &Extent,
        activation: Activation<'_>,
        spread: Spread<'_>,
        x: &[Lanes],
        gradient: &[Lanes],
        out: &mut [Lanes],
    );

    /// `out = a + b`, rectified where `relu` says so.
    fn add(&self, a: &[Lanes], b: &[Lanes], relu: bool, out: &mut [Lanes]);

    /// Sets the gradient to 0 where the rectified `output` is not positive.
    fn keep_positive(&self, output: &[Lanes], gradient: &mut [Lanes]);

    /// Largest value of each window; padding never wins.
    fn max(&self, g: &Geometry, x: &[Lanes], out: &mut [Lanes]);

    /// Gradient of [`max`](Self::max), whose output is `top`, with respect to its input; the first of the largest takes all.
    fn max_backward(
        &self,
        g: &Geometry,
        x: &[Lanes],
        top: &[Lanes],
        gradient: &[Lanes],
        out: &mut [Lanes],
    );

    /// Mean of each window; padding counts as 0 (the divisor is always the full window).
    fn average(&self, g: &Geometry, x: &[Lanes], out: &mut [Lanes]);

    /// Gradient of [`average`](Self::average) with respect to its input.
    fn average_backward(&self, g: &Geometry, gradient: &[Lanes], out: &mut [Lanes]);

    /// Sum over lanes, pixels and blocks of each channel: the gradient of a bias.
    fn channel_sums(&self, e: &Extent, gradient: &[Lanes]) -> Vec<f32> {
        let (zero, ones) = (vec![0.0; e.channels], vec![1.0; e.channels]);
        let plain = Activation {
            scale: &ones,
            shift: &zero,
            relu: false,
            pool: false,
        };
        let sums = self.reduce_gradient(e, plain, gradient, gradient, &zero);
        sums.iter().map(|[sum, _]| *sum as f32).collect()
    }
}

impl Kernels for Level {
    fn convolve(
        &self,
        g: &Geometry,
        pool: &Arc<Pool>,
        input: &[Lanes],
        weight: &[f32],
        bias: Option<&[f32]>,
        out: &mut [Lanes],
    ) {
        convolution::forward(*self, g, pool, input, weight, bias, out);
    }

    fn convolve_to_input(
        &self,
        g: &Geometry,
        pool: &Arc<Pool>,
        gradient: &[Lanes],
        weight: &[f32],
        out: &mut [Lanes],
    ) {
        convolution::backward_input(*self, g, pool, gradient, weight, out);
    }

    fn convolve_to_weight(
        &self,
        g: &Geometry,
        pool: &Arc<Pool>,
        input: &[Lanes],
        gradient: &[Lanes],
        out: &mut [f32],
    ) {
        convolution::backward_weight(*self, g, pool, input, gradient, out);
    }

    fn moments(&self, e: &Extent, x: &[Lanes]) -> (Vec<f64>, Vec<f64>) {
        elementwise::moments(*self, e, x)
    }

    fn activate(&self, e: &Extent, activation: Activation<'_>, x: &[Lanes], out: &mut [Lanes]) {
        elementwise::activate(*self, e, activation, x, out);
    }

    fn reduce_gradient(
        &self,
        e: &Extent,
        activation: Activation<'_>,
        x: &[Lanes],
        gradient: &[Lanes],
        mean: &[f32],
    ) -> Vec<[f64; 2]> {
        elementwise::reduce_gradient(*self, e, activation, x, gradient, mean)
    }

    fn return_gradient(
        &self,
        e: &Extent,
        activation: Activation<'_>,
        spread: Spread<'_>,
        x: &[Lanes],
        gradient: &[Lanes],
        out: &mut [Lanes],
    ) {
        elementwise::return_gradient(*self, e, activation, spread, x, gradient, out);
    }

    fn add(&self, a: &[Lanes], b: &[Lanes], relu: bool, out: &mut [Lanes]) {
        elementwise::add(*self, a, b, relu, out);
    }

    fn keep_positive(&self, output: &[Lanes], gradient: &mut [Lanes]) {
        elementwise::keep_positive(*self, output, gradient);
    }

    fn max(&self, g: &Geometry, x: &[Lanes], out: &mut [Lanes]) {
        pooling::max(*self, g, x, out);
    }

    fn max_backward(
        &self,
        g: &Geometry,
        x: &[Lanes],
        top: &[Lanes],
        gradient: &[Lanes],
        out: &mut [Lanes],
    ) {
        pooling::max_backward(*self, g, x, top, gradient, out);
    }

    fn average(&self, g: &Geometry, x: &[Lanes], out: &mut [Lanes]) {
        pooling::average(*self, g, x, out);
    }

    fn average_backward(&self, g: &Geometry, gradient: &[Lanes], out: &mut [Lanes]) {
        pooling::average_backward(*self, g, gradient, out);
    }
}

/// The two vectors of a [`Lanes`].
#[inline(always)]
pub(crate) fn load<V: Vector>(simd: V::Simd, lanes: &Lanes) -> [V; 2] {
    let (halves, _) = lanes.as_chunks::<WIDTH>();
    [V::load(simd, &halves[0]), V::load(simd, &halves[1])]
}

/// Stores two vectors.
#[inline(always)]
pub(crate) fn store<V: Vector>(vectors: [V; 2], lanes: &mut Lanes) {
    let (halves, _) = lanes.as_chunks_mut::<WIDTH>();
    vectors[0].store(&mut halves[0]);
    vectors[1].store(&mut halves[1]);
}

#[cfg(test)]
mod tests;
