//! In and out of the blocked layout.

use ndarray::{ArrayView4, Axis};
use rayon::prelude::*;

use super::{LANES, Lanes};

/// Images (n × channels × height × width) to blocks; lanes beyond the batch become 0.
pub(crate) fn pack(images: ArrayView4<'_, f32>, out: &mut [Lanes]) {
    let (_, channels, height, width) = images.dim();
    let pixels = height * width;
    out.par_chunks_mut(channels * pixels)
        .enumerate()
        .for_each(|(block, out)| {
            out.fill([0.0; LANES]);
            let examples = images.axis_iter(Axis(0)).skip(block * LANES).take(LANES);
            for (lane, image) in examples.enumerate() {
                for (index, value) in image.iter().enumerate() {
                    out[index % pixels * channels + index / pixels][lane] = *value;
                }
            }
        });
}

/// Blocks to rows of `(channel, row, column)`, one per example: `out` is batch × (channels · pixels), row-major.
pub(crate) fn unpack(blocks: &[Lanes], channels: usize, pixels: usize, out: &mut [f32]) {
    let features = channels * pixels;
    out.par_chunks_mut(LANES * features)
        .zip(blocks.par_chunks(features))
        .for_each(|(out, block)| {
            for (lane, row) in out.chunks_exact_mut(features).enumerate() {
                for (channel, plane) in row.chunks_exact_mut(pixels).enumerate() {
                    for (value, block) in plane
                        .iter_mut()
                        .zip(block[channel..].iter().step_by(channels))
                    {
                        *value = block[lane];
                    }
                }
            }
        });
}

/// `[pixel][channel]` to `[channel][pixel]` within each block.
pub(crate) fn channels_first(x: &[Lanes], channels: usize, pixels: usize, out: &mut [Lanes]) {
    transpose(x, pixels, channels, out);
}

/// The inverse of [`channels_first`].
pub(crate) fn channels_last(x: &[Lanes], channels: usize, pixels: usize, out: &mut [Lanes]) {
    transpose(x, channels, pixels, out);
}

fn transpose(x: &[Lanes], rows: usize, columns: usize, out: &mut [Lanes]) {
    out.par_chunks_mut(rows * columns)
        .zip(x.par_chunks(rows * columns))
        .for_each(|(out, x)| {
            for (index, out) in out.iter_mut().enumerate() {
                *out = x[index % rows * columns + index / rows];
            }
        });
}
