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

pub(crate) mod buffer;
pub(crate) mod convolution;
pub(crate) mod elementwise;
pub(crate) mod images;
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

use simd::{Vector, WIDTH};

/// The two vectors of a [`Lanes`].
#[inline(always)]
pub(crate) fn load<V: Vector>(lanes: &Lanes) -> [V; 2] {
    let (halves, _) = lanes.as_chunks::<WIDTH>();
    [V::load(&halves[0]), V::load(&halves[1])]
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
