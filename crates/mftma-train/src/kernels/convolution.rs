//! Convolution: products of vectors over examples with single weights, tap by tap.

use std::sync::Arc;

use rayon::prelude::*;

use super::buffer::{Buffer, Pool};
use super::simd::{Kernel, Level, Register, Vector, WIDTH};
use super::{LANES, Lanes, load, store};

/// Output channels computed together: with two vectors each, 16 sums stay in registers.
const TILE: usize = 8;

/// Channels of either side in one tile of the weight gradient: 4 × 4 sums.
const SIDE: usize = 4;

/// Pixels (times blocks) gathered for one pass of the weight gradient; each side of a tile then takes 16 KiB of L1.
const GATHER: usize = 32;

/// Bytes of input that one pass of the product should leave in the second-level cache.
const NEAR: usize = 1 << 19;

/// Sizes of a convolution (or, on one pixel, of a linear layer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) channels_in: usize,
    pub(crate) channels_out: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl Geometry {
    /// A linear layer: one pixel.
    pub(crate) fn linear(channels_in: usize, channels_out: usize) -> Self {
        Self {
            channels_in,
            channels_out,
            height: 1,
            width: 1,
            kernel: 1,
            stride: 1,
            padding: 0,
        }
    }

    /// Rows and columns of the output; 0 where the kernel is larger than the padded image.
    pub(crate) fn output(&self) -> (usize, usize) {
        let side = |size: usize| match (size + 2 * self.padding).checked_sub(self.kernel) {
            Some(room) => room / self.stride + 1,
            None => 0,
        };
        (side(self.height), side(self.width))
    }

    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    fn pixels_in(&self) -> usize {
        self.height * self.width
    }

    fn pixels_out(&self) -> usize {
        let (height, width) = self.output();
        height * width
    }

    /// Input row (or column) that output `o` reads at tap `tap`, if it is inside.
    pub(super) fn source(&self, o: usize, tap: usize, size: usize) -> Option<usize> {
        (o * self.stride + tap)
            .checked_sub(self.padding)
            .filter(|i| *i < size)
    }

    /// Outputs `lo..hi` of a row whose tap `tap` is inside the input.
    fn inside(&self, tap: usize, size: usize, outputs: usize) -> (usize, usize) {
        let lo = self.padding.saturating_sub(tap).div_ceil(self.stride);
        let hi = (size + self.padding)
            .saturating_sub(tap)
            .div_ceil(self.stride)
            .min(outputs);
        (lo.min(hi), hi)
    }
}

/// A stretch of input (pixels × channels, contiguous) and the stretch of packed weights it meets.
#[derive(Clone, Copy)]
struct Run {
    input: usize,
    weight: usize,
    len: usize,
}

/// For each output pixel, the runs whose products make it up.
struct Pattern {
    starts: Vec<usize>,
    runs: Vec<Run>,
}

impl Pattern {
    /// `source(pixel, tap)` is the input pixel met by `tap` (in packed order), if any.
    fn new(
        pixels: usize,
        taps: usize,
        channels: usize,
        source: impl Fn(usize, usize) -> Option<usize>,
    ) -> Self {
        let mut starts = Vec::with_capacity(pixels + 1);
        let mut runs: Vec<Run> = Vec::new();
        starts.push(0);
        for pixel in 0..pixels {
            let first = runs.len();
            for tap in 0..taps {
                let Some(input) = source(pixel, tap) else {
                    continue;
                };
                let run = Run {
                    input: input * channels,
                    weight: tap * channels,
                    len: channels,
                };
                match runs[first..].last_mut() {
                    Some(last)
                        if last.input + last.len == run.input
                            && last.weight + last.len == run.weight =>
                    {
                        last.len += run.len;
                    }
                    _ => runs.push(run),
                }
            }
            starts.push(runs.len());
        }
        Self { starts, runs }
    }

    fn of(&self, pixel: usize) -> &[Run] {
        &self.runs[self.starts[pixel]..self.starts[pixel + 1]]
    }
}

/// Weights in the order in which [`Product`] meets them: `[tile][tap][channel][TILE]`, padded with 0 to whole tiles.
struct Packed {
    memory: Buffer,
    /// Of one tile: taps × channels.
    tile_len: usize,
    tiles: usize,
}

impl Packed {
    fn new(pool: &Arc<Pool>, outputs: usize, tile_len: usize) -> Self {
        let tiles = outputs.div_ceil(TILE);
        Self {
            memory: pool.take((tiles * tile_len * TILE).div_ceil(LANES)),
            tile_len,
            tiles,
        }
    }

    fn values(&self) -> &[[f32; TILE]] {
        let (values, _) = self.memory.lanes().as_flattened().as_chunks();
        &values[..self.tiles * self.tile_len]
    }

    fn values_mut(&mut self) -> &mut [[f32; TILE]] {
        let (values, _) = self.memory.lanes_mut().as_flattened_mut().as_chunks_mut();
        &mut values[..self.tiles * self.tile_len]
    }

    /// For the forward pass: tiles of output channels.
    fn forward(pool: &Arc<Pool>, g: &Geometry, weight: &[f32]) -> Self {
        let (taps, inputs) = (g.taps(), g.channels_in);
        let row = inputs * taps;
        let mut packed = Self::new(pool, g.channels_out, row);
        let tiles = packed.values_mut().par_chunks_exact_mut(row);
        tiles.enumerate().for_each(|(tile, packed)| {
            let rows = &weight[tile * TILE * row..];
            let rows = &rows[..rows.len().min(TILE * row)];
            for input in 0..inputs {
                for tap in 0..taps {
                    let packed = &mut packed[tap * inputs + input];
                    *packed = [0.0; TILE];
                    let weights = rows[input * taps + tap..].iter().step_by(row);
                    packed.iter_mut().zip(weights).for_each(|(p, w)| *p = *w);
                }
            }
        });
        packed
    }

    /// For the way back to the input: tiles of input channels, taps in reverse, so that neighbouring taps meet neighbouring outputs in
    /// rising order.
    fn backward(pool: &Arc<Pool>, g: &Geometry, weight: &[f32]) -> Self {
        // Tiles at a time, for they lie beside each other in the weight.
        const GROUP: usize = 8;
        let (taps, inputs, outputs) = (g.taps(), g.channels_in, g.channels_out);
        let tile_len = taps * outputs;
        let mut packed = Self::new(pool, inputs, tile_len);
        let groups = packed.values_mut().par_chunks_mut(GROUP * tile_len);
        groups.enumerate().for_each(|(group, packed)| {
            for (output, row) in weight.chunks_exact(inputs * taps).enumerate() {
                let row = row[group * GROUP * TILE * taps..].chunks(TILE * taps);
                for (packed, weights) in packed.chunks_exact_mut(tile_len).zip(row) {
                    for (tap, packed) in packed[output..].iter_mut().step_by(outputs).enumerate() {
                        *packed = [0.0; TILE];
                        let weights = weights[taps - 1 - tap..].iter().step_by(taps);
                        packed.iter_mut().zip(weights).for_each(|(p, w)| *p = *w);
                    }
                }
            }
        });
        packed
    }
}

/// Outputs of some pixels and some tiles of channels.
struct Product<'a> {
    /// `[pixel][channel]` of the pixels and channels to compute.
    out: &'a mut [Lanes],
    /// Channels per pixel in `out`.
    channels: usize,
    first_pixel: usize,
    first_channel: usize,
    input: &'a [Lanes],
    packed: &'a [[f32; TILE]],
    tile_len: usize,
    pattern: &'a Pattern,
    bias: Option<&'a [f32]>,
}

/// One tile of a [`Product`].
struct Tile<'a> {
    weights: &'a [[f32; TILE]],
    /// Where the sums start.
    start: [f32; TILE],
    /// First channel in `out`, and how many there are.
    first: usize,
    used: usize,
}

impl Kernel for Product<'_> {
    #[inline(always)]
    fn run<V: Vector>(mut self, simd: V::Simd) {
        let pixels = self.out.len() / self.channels;
        for first in (0..self.channels).step_by(TILE) {
            let number = (self.first_channel + first) / TILE;
            let used = TILE.min(self.channels - first);
            let mut start = [0.0; TILE];
            if let Some(bias) = self.bias {
                let from = self.first_channel + first;
                start[..used].copy_from_slice(&bias[from..from + used]);
            }
            let tile = Tile {
                weights: &self.packed[number * self.tile_len..(number + 1) * self.tile_len],
                start,
                first,
                used,
            };
            for pixel in 0..pixels {
                // As many sums as the registers hold beside their operands.
                match (V::Register::MANY, V::Register::LANES) {
                    (true, 16) => self.part::<V::Register, 8, 0, 2>(simd, &tile, pixel),
                    (true, _) => {
                        self.part::<V::Register, 4, 0, 4>(simd, &tile, pixel);
                        self.part::<V::Register, 4, 4, 4>(simd, &tile, pixel);
                    }
                    (false, 8) => {
                        self.part::<V::Register, 3, 0, 4>(simd, &tile, pixel);
                        self.part::<V::Register, 3, 3, 4>(simd, &tile, pixel);
                        self.part::<V::Register, 2, 6, 4>(simd, &tile, pixel);
                    }
                    (false, _) => {
                        self.part::<V::Register, 4, 0, 2>(simd, &tile, pixel);
                        self.part::<V::Register, 4, 4, 2>(simd, &tile, pixel);
                    }
                }
            }
        }
    }
}

impl Product<'_> {
    /// One pixel's outputs `FROM..FROM + OUTS` of a tile, `REGISTERS` registers of examples at a time.
    #[inline(always)]
    fn part<R: Register, const OUTS: usize, const FROM: usize, const REGISTERS: usize>(
        &mut self,
        simd: R::Simd,
        tile: &Tile<'_>,
        pixel: usize,
    ) {
        let used = tile.used.saturating_sub(FROM).min(OUTS);
        if used == 0 {
            return;
        }
        for from in (0..LANES).step_by(REGISTERS * R::LANES) {
            let mut sums = [[R::splat(simd, 0.0); REGISTERS]; OUTS];
            for (sums, start) in sums.iter_mut().zip(&tile.start[FROM..]) {
                *sums = [R::splat(simd, *start); REGISTERS];
            }
            for run in self.pattern.of(self.first_pixel + pixel) {
                let input = &self.input[run.input..run.input + run.len];
                let weights = &tile.weights[run.weight..run.weight + run.len];
                for (input, weights) in input.iter().zip(weights) {
                    let input = &input[from..from + REGISTERS * R::LANES];
                    if OUTS < REGISTERS {
                        // Weights stay in registers, for they are fewer.
                        let mut w = [R::splat(simd, 0.0); OUTS];
                        for o in 0..OUTS {
                            w[o] = R::splat(simd, weights[FROM + o]);
                        }
                        for r in 0..REGISTERS {
                            let x = R::load(simd, &input[r * R::LANES..]);
                            for o in 0..OUTS {
                                sums[o][r] = x.mul_add(w[o], sums[o][r]);
                            }
                        }
                        continue;
                    }
                    let mut x = [R::splat(simd, 0.0); REGISTERS];
                    for r in 0..REGISTERS {
                        x[r] = R::load(simd, &input[r * R::LANES..]);
                    }
                    for o in 0..OUTS {
                        let weight = R::splat(simd, weights[FROM + o]);
                        for r in 0..REGISTERS {
                            sums[o][r] = x[r].mul_add(weight, sums[o][r]);
                        }
                    }
                }
            }
            let out = &mut self.out[pixel * self.channels + tile.first + FROM..][..used];
            for (out, sums) in out.iter_mut().zip(sums) {
                let out = &mut out[from..from + REGISTERS * R::LANES];
                for (r, sum) in sums.into_iter().enumerate() {
                    sum.store(&mut out[r * R::LANES..]);
                }
            }
        }
    }
}

/// Runs [`Product`] over all blocks, in parallel over blocks and pixels (or tiles of channels, where there is one pixel).
#[allow(clippy::too_many_arguments)]
fn product(
    level: Level,
    input: &[Lanes],
    input_per_block: usize,
    packed: &Packed,
    pattern: &Pattern,
    bias: Option<&[f32]>,
    channels: usize,
    pixels: usize,
    out: &mut [Lanes],
) {
    let run = |out, channels, first_pixel, first_channel, input| {
        level.run(Product {
            out,
            channels,
            first_pixel,
            first_channel,
            input,
            packed: packed.values(),
            tile_len: packed.tile_len,
            pattern,
            bias,
        });
    };
    if pixels == 1 {
        // A tile of weights meets all blocks while it is near.
        let mut tiles: Vec<Vec<&mut [Lanes]>> = Vec::new();
        tiles.resize_with(packed.tiles, Vec::new);
        for block in out.chunks_mut(channels) {
            for (tile, out) in tiles.iter_mut().zip(block.chunks_mut(TILE)) {
                tile.push(out);
            }
        }
        tiles.into_par_iter().enumerate().for_each(|(tile, out)| {
            for (out, input) in out.into_iter().zip(input.chunks(input_per_block)) {
                let channels = out.len();
                run(out, channels, 0, tile * TILE, input);
            }
        });
        return;
    }
    out.par_chunks_mut(channels * pixels)
        .zip(input.par_chunks(input_per_block))
        .for_each(|(out, input)| {
            let bytes = (input.len() / pixels).max(1) * size_of::<Lanes>();
            let step = (NEAR / bytes).clamp(1, pixels);
            out.par_chunks_mut(step * channels)
                .enumerate()
                .for_each(|(i, out)| run(out, channels, i * step, 0, input));
        });
}

/// `out[b, o, y, x] = bias[o] + Σ weight[o, i, ky, kx] · input[b, i, y·s + ky − p, x·s + kx − p]`, in blocked layout.
/// `weight` is out × in × kernel × kernel, row-major.
pub(crate) fn forward(
    level: Level,
    g: &Geometry,
    pool: &Arc<Pool>,
    input: &[Lanes],
    weight: &[f32],
    bias: Option<&[f32]>,
    out: &mut [Lanes],
) {
    let (taps, (_, width_out)) = (g.taps(), g.output());
    let packed = Packed::forward(pool, g, weight);
    let pattern = Pattern::new(g.pixels_out(), taps, g.channels_in, |pixel, tap| {
        let y = g.source(pixel / width_out, tap / g.kernel, g.height)?;
        let x = g.source(pixel % width_out, tap % g.kernel, g.width)?;
        Some(y * g.width + x)
    });
    product(
        level,
        input,
        g.channels_in * g.pixels_in(),
        &packed,
        &pattern,
        bias,
        g.channels_out,
        g.pixels_out(),
        out,
    );
}

/// Gradient with respect to the input, from `gradient` with respect to the output.
pub(crate) fn backward_input(
    level: Level,
    g: &Geometry,
    pool: &Arc<Pool>,
    gradient: &[Lanes],
    weight: &[f32],
    out: &mut [Lanes],
) {
    let (taps, (height_out, width_out)) = (g.taps(), g.output());
    let packed = Packed::backward(pool, g, weight);
    let target = |i: usize, tap: usize, outputs: usize| {
        let shifted = (i + g.padding).checked_sub(tap)?;
        (shifted % g.stride == 0)
            .then_some(shifted / g.stride)
            .filter(|o| *o < outputs)
    };
    let pattern = Pattern::new(g.pixels_in(), taps, g.channels_out, |pixel, tap| {
        let tap = taps - 1 - tap;
        let y = target(pixel / g.width, tap / g.kernel, height_out)?;
        let x = target(pixel % g.width, tap % g.kernel, width_out)?;
        Some(y * width_out + x)
    });
    product(
        level,
        gradient,
        g.channels_out * g.pixels_out(),
        &packed,
        &pattern,
        None,
        g.channels_in,
        g.pixels_in(),
        out,
    );
}

/// A stretch of output pixels and the input pixels that one tap joins to them.
#[derive(Clone, Copy)]
struct Segment {
    gradient: usize,
    input: usize,
    len: usize,
}

/// [`SIDE`] channels of one pixel.
type Quad = [Lanes; SIDE];

/// Copies channels of a row of pixels to `[quad][pixel]`, padding the last quad with 0.
struct Gather<'a> {
    /// `[pixel][channel]`.
    from: &'a [Lanes],
    channels: usize,
    first_quad: usize,
    quads: usize,
    /// `[quad][capacity]`; pixels go to `offset..`.
    to: &'a mut [Lanes],
    capacity: usize,
    offset: usize,
}

impl Kernel for Gather<'_> {
    #[inline(always)]
    fn run<V: Vector>(self, simd: V::Simd) {
        let (to, _) = self.to.as_chunks_mut::<SIDE>();
        for quad in 0..self.quads {
            let channel = (self.first_quad + quad) * SIDE;
            let used = SIDE.min(self.channels - channel);
            let to = &mut to[quad * self.capacity + self.offset..];
            for (from, to) in self.from.chunks_exact(self.channels).zip(to) {
                for (lane, to) in to.iter_mut().enumerate() {
                    if lane < used {
                        store(load::<V>(simd, &from[channel + lane]), to);
                    } else {
                        *to = [0.0; LANES];
                    }
                }
            }
        }
    }
}

/// Adds to each tile of the weight gradient the products over the gathered pixels.
struct Outer<'a> {
    /// `[quad out][quad in][tap]`, each 4 × 4 sums.
    sums: &'a mut [[f32; WIDTH]],
    gradient: &'a [Quad],
    gradient_capacity: usize,
    input: &'a [Quad],
    input_capacity: usize,
    quads_in: usize,
    stride: usize,
    /// Segments of each tap.
    taps: &'a [Vec<Segment>],
}

impl Kernel for Outer<'_> {
    #[inline(always)]
    fn run<V: Vector>(self, simd: V::Simd) {
        let taps = self.taps.len();
        // As many quads of input as stay near while all quads of output meet them.
        let near = (NEAR / 2 / (self.input_capacity.max(1) * size_of::<Quad>())).max(1);
        for first in (0..self.quads_in).step_by(near) {
            let last = self.quads_in.min(first + near);
            let rows = self.sums.chunks_exact_mut(self.quads_in * taps);
            let gradient = self.gradient.chunks_exact(self.gradient_capacity);
            for (sums, gradient) in rows.zip(gradient) {
                let tiles = sums[first * taps..last * taps].chunks_exact_mut(taps);
                for (quad, sums) in (first..last).zip(tiles) {
                    let input = &self.input[quad * self.input_capacity..][..self.input_capacity];
                    for (segments, sums) in self.taps.iter().zip(sums) {
                        add_outer::<V>(simd, gradient, input, segments, self.stride, sums);
                    }
                }
            }
        }
    }
}

/// Adds the products of four outputs with four inputs.
#[inline(always)]
fn add_outer<V: Vector>(
    simd: V::Simd,
    gradient: &[Quad],
    input: &[Quad],
    segments: &[Segment],
    stride: usize,
    sums: &mut [f32; WIDTH],
) {
    let mut acc = [[0.0; WIDTH]; WIDTH];
    if V::Register::LANES == WIDTH {
        outer_part::<V::Register, SIDE, 0>(simd, gradient, input, segments, stride, &mut acc);
    } else {
        outer_part::<V::Register, 2, 0>(simd, gradient, input, segments, stride, &mut acc);
        outer_part::<V::Register, 2, 2>(simd, gradient, input, segments, stride, &mut acc);
    }
    let mut vectors = [V::splat(simd, 0.0); WIDTH];
    for (vector, acc) in vectors.iter_mut().zip(&acc) {
        *vector = V::load(simd, acc);
    }
    V::sums(simd, vectors).add(V::load(simd, sums)).store(sums);
}

/// The products of a tile's outputs `FROM..FROM + OUTS` with all its inputs, a register of examples at a time.
#[inline(always)]
fn outer_part<R: Register, const OUTS: usize, const FROM: usize>(
    simd: R::Simd,
    gradient: &[Quad],
    input: &[Quad],
    segments: &[Segment],
    stride: usize,
    sums: &mut [[f32; WIDTH]; WIDTH],
) {
    for from in (0..WIDTH).step_by(R::LANES) {
        let mut acc = [[R::splat(simd, 0.0); SIDE]; OUTS];
        for segment in segments {
            let gradient = &gradient[segment.gradient..][..segment.len];
            let input = input[segment.input..].iter().step_by(stride);
            for (gradient, input) in gradient.iter().zip(input) {
                for half in [0, WIDTH] {
                    let at = half + from;
                    let mut x = [R::splat(simd, 0.0); SIDE];
                    for i in 0..SIDE {
                        x[i] = R::load(simd, &input[i][at..at + R::LANES]);
                    }
                    for o in 0..OUTS {
                        let d = R::load(simd, &gradient[FROM + o][at..at + R::LANES]);
                        for i in 0..SIDE {
                            acc[o][i] = d.mul_add(x[i], acc[o][i]);
                        }
                    }
                }
            }
        }
        for o in 0..OUTS {
            for i in 0..SIDE {
                acc[o][i].store(&mut sums[(FROM + o) * SIDE + i][from..from + R::LANES]);
            }
        }
    }
}

/// Gradient with respect to the weight (out × in × kernel × kernel, row-major), summed over the batch.
pub(crate) fn backward_weight(
    level: Level,
    g: &Geometry,
    pool: &Arc<Pool>,
    input: &[Lanes],
    gradient: &[Lanes],
    out: &mut [f32],
) {
    let (taps, (height_out, width_out)) = (g.taps(), g.output());
    let quads_in = g.channels_in.div_ceil(SIDE);
    let quads_out = g.channels_out.div_ceil(SIDE);
    // The sums of one output channel do not depend on the split, which only balances the work.
    let share = quads_out.div_ceil(rayon::current_num_threads());
    let blocks = gradient.len() / (g.channels_out * g.pixels_out());

    // One pass of `Outer` takes some rows of a block, or all of several small blocks. What is gathered at once holds
    // several such passes, so that input rows at their seams are gathered less often.
    let rows = (GATHER / width_out).clamp(1, height_out);
    let images = if rows == height_out {
        (GATHER / g.pixels_out()).max(1)
    } else {
        1
    };
    let row_bytes = g.channels_in * g.width * g.stride * size_of::<Lanes>();
    let rows_gathered = (NEAR / row_bytes)
        .next_multiple_of(rows)
        .clamp(rows, height_out);
    let gradient_capacity = rows_gathered * width_out * images;
    let rows_in = ((rows_gathered - 1) * g.stride + g.kernel).min(g.height);
    let input_capacity = rows_in * g.width * images;

    out.par_chunks_mut(share * SIDE * g.channels_in * taps)
        .enumerate()
        .for_each(|(part, out)| {
            let first_quad = part * share;
            let quads = share.min(quads_out - first_quad);
            let mut gathered_gradient = pool.take(quads * gradient_capacity * SIDE);
            let mut gathered_input = pool.take(quads_in * input_capacity * SIDE);
            let tiles = quads * quads_in * taps;
            let mut sums = pool.zeros((tiles * WIDTH).div_ceil(LANES));
            let (sums, _) = sums.lanes_mut().as_flattened_mut().as_chunks_mut();
            let sums = &mut sums[..tiles];
            let mut segments: Vec<Vec<Segment>> = vec![Vec::new(); taps];
            for first_block in (0..blocks).step_by(images) {
                let images = images.min(blocks - first_block);
                for first_row in (0..height_out).step_by(rows_gathered) {
                    let rows_gathered = rows_gathered.min(height_out - first_row);
                    // Input rows that the output rows read.
                    let top = (first_row * g.stride)
                        .saturating_sub(g.padding)
                        .min(g.height);
                    let bottom = ((first_row + rows_gathered - 1) * g.stride + g.kernel)
                        .saturating_sub(g.padding)
                        .clamp(top, g.height);
                    for image in 0..images {
                        let block = first_block + image;
                        let from =
                            (block * g.pixels_out() + first_row * width_out) * g.channels_out;
                        level.run(Gather {
                            from: &gradient
                                [from..from + rows_gathered * width_out * g.channels_out],
                            channels: g.channels_out,
                            first_quad,
                            quads,
                            to: gathered_gradient.lanes_mut(),
                            capacity: gradient_capacity,
                            offset: image * rows_gathered * width_out,
                        });
                        let from = (block * g.pixels_in() + top * g.width) * g.channels_in;
                        level.run(Gather {
                            from: &input[from..from + (bottom - top) * g.width * g.channels_in],
                            channels: g.channels_in,
                            first_quad: 0,
                            quads: quads_in,
                            to: gathered_input.lanes_mut(),
                            capacity: input_capacity,
                            offset: image * (bottom - top) * g.width,
                        });
                    }
                    for start in (0..rows_gathered).step_by(rows) {
                        for (tap, segments) in segments.iter_mut().enumerate() {
                            segments.clear();
                            let (lo, hi) = g.inside(tap % g.kernel, g.width, width_out);
                            let Some(x) = g.source(lo, tap % g.kernel, g.width) else {
                                continue;
                            };
                            for image in 0..images {
                                for row in start..rows_gathered.min(start + rows) {
                                    let Some(y) =
                                        g.source(first_row + row, tap / g.kernel, g.height)
                                    else {
                                        continue;
                                    };
                                    segments.push(Segment {
                                        gradient: (image * rows_gathered + row) * width_out + lo,
                                        input: (image * (bottom - top) + y - top) * g.width + x,
                                        len: hi - lo,
                                    });
                                }
                            }
                        }
                        level.run(Outer {
                            sums: &mut *sums,
                            gradient: gathered_gradient.lanes().as_chunks().0,
                            gradient_capacity,
                            input: gathered_input.lanes().as_chunks().0,
                            input_capacity,
                            quads_in,
                            stride: g.stride,
                            taps: &segments,
                        });
                    }
                }
            }
            let row = g.channels_in * taps;
            let quads = sums.chunks_exact(quads_in * taps);
            for (sums, out) in quads.zip(out.chunks_mut(SIDE * row)) {
                for (quad, sums) in sums.chunks_exact(taps).enumerate() {
                    let used = SIDE.min(g.channels_in - quad * SIDE);
                    for (tap, sums) in sums.iter().enumerate() {
                        for (out, sums) in out.chunks_exact_mut(row).zip(sums.as_chunks::<SIDE>().0)
                        {
                            let out = out[quad * SIDE * taps + tap..].iter_mut().step_by(taps);
                            out.zip(&sums[..used]).for_each(|(out, sum)| *out = *sum);
                        }
                    }
                }
            }
        });
}
