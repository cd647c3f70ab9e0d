//! Normalisation, rectification and 2×2 pooling in one pass; residual sums.

use rayon::prelude::*;

use super::simd::{Kernel, Level, Vector};
use super::{LANES, Lanes, lane_mask, load, store};

/// Sizes of an activation: blocks × rows × columns × channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Extent {
    fn row(&self) -> usize {
        self.width * self.channels
    }

    /// Rows handled as one unit of work: a quarter of the image, and an even number of rows where there is one.
    fn rows(&self) -> usize {
        self.height.div_ceil(4).next_multiple_of(2).min(self.height)
    }
}

/// What follows a convolution: a scale and shift per channel, then the rectifier, then the maximum of 2×2 pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activation<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) relu: bool,
    pub(crate) pool: bool,
}

/// Mean and (biased) variance of each channel over the batch and all pixels.
pub(crate) fn moments(level: Level, e: &Extent, x: &[Lanes]) -> (Vec<f64>, Vec<f64>) {
    // Deviations from one sample of each channel, so that the sum of squares cancels little.
    let pivot: Vec<f32> = x[..e.channels].iter().map(|lanes| lanes[0]).collect();
    let sums = per_part(e, x, x, |block, x, _, sums: &mut [[Lanes; 2]]| {
        level.run(Deviations {
            x,
            pivot: &pivot,
            mask: &lane_mask(e.batch, block),
            sums,
        });
    });
    let count = (e.batch * e.height * e.width) as f64;
    sums.iter()
        .zip(&pivot)
        .map(|([first, second], pivot)| {
            let first = first / count;
            (
                f64::from(*pivot) + first,
                (second / count - first * first).max(0.0),
            )
        })
        .unzip()
}

/// Runs `work(block, part of a, the same part of b, sums by channel)` over parts of the batch in parallel and adds the
/// parts' sums in order. `b` has the rows of `a`, or half of them.
fn per_part(
    e: &Extent,
    a: &[Lanes],
    b: &[Lanes],
    work: impl Fn(usize, &[Lanes], &[Lanes], &mut [[Lanes; 2]]) + Sync,
) -> Vec<[f64; 2]> {
    let block = e.height * e.row();
    let b_block = b.len() * block / a.len();
    let part = e.rows() * e.row();
    let b_part = part * b_block / block;
    let parts: Vec<Vec<[f64; 2]>> = a
        .par_chunks(block)
        .zip(b.par_chunks(b_block))
        .enumerate()
        .flat_map(|(index, (a, b))| {
            a.par_chunks(part)
                .zip(b.par_chunks(b_part))
                .map(move |(a, b)| (index, a, b))
        })
        .map(|(index, a, b)| {
            let mut sums = vec![[[0.0; LANES]; 2]; e.channels];
            work(index, a, b, &mut sums);
            let total = |lanes: &Lanes| lanes.iter().map(|x| f64::from(*x)).sum();
            sums.iter()
                .map(|[first, second]| [total(first), total(second)])
                .collect()
        })
        .collect();
    let mut sums = vec![[0.0; 2]; e.channels];
    for part in &parts {
        for (sum, part) in sums.iter_mut().zip(part) {
            sum[0] += part[0];
            sum[1] += part[1];
        }
    }
    sums
}

struct Deviations<'a> {
    x: &'a [Lanes],
    pivot: &'a [f32],
    mask: &'a Lanes,
    sums: &'a mut [[Lanes; 2]],
}

impl Kernel for Deviations<'_> {
    #[inline(always)]
    fn run<V: Vector>(self, simd: V::Simd) {
        let mask: [V; 2] = load(simd, self.mask);
        for pixel in self.x.chunks_exact(self.pivot.len()) {
            for ((x, pivot), [first, second]) in pixel.iter().zip(self.pivot).zip(&mut *self.sums) {
                let (x, pivot): ([V; 2], V) = (load(simd, x), V::splat(simd, *pivot));
                let (mut one, mut two): ([V; 2], [V; 2]) = (load(simd, first), load(simd, second));
                for half in 0..2 {
                    let deviation = x[half].sub(pivot).mul(mask[half]);
                    one[half] = one[half].add(deviation);
                    two[half] = deviation.mul_add(deviation, two[half]);
                }
                store(one, first);
                store(two, second);
            }
        }
    }
}

/// The inputs of one output: one pixel, or the four of a 2×2 window.
#[inline(always)]
fn window<V: Vector, const N: usize>(
    simd: V::Simd,
    x: &[Lanes],
    at: usize,
    row: usize,
    channels: usize,
    half: usize,
) -> [V; N] {
    let mut values = [V::splat(simd, 0.0); N];
    for (i, value) in values.iter_mut().enumerate() {
        *value = load::<V>(simd, &x[at + i / 2 * row + i % 2 * channels])[half];
    }
    values
}

/// Scale, shift, rectify; gives the values and their maximum.
#[inline(always)]
fn respond<V: Vector, const N: usize, const RELU: bool>(
    simd: V::Simd,
    x: [V; N],
    scale: V,
    shift: V,
) -> ([V; N], V) {
    let mut z = x;
    for z in &mut z {
        *z = z.mul_add(scale, shift);
        if RELU {
            *z = z.max(V::splat(simd, 0.0));
        }
    }
    let mut top = z[0];
    for z in &z[1..] {
        top = top.max(*z);
    }
    (z, top)
}

/// The part of `gradient` that each input of the window receives: the first of the largest takes all.
#[inline(always)]
fn route<V: Vector, const N: usize, const RELU: bool>(
    simd: V::Simd,
    z: [V; N],
    top: V,
    gradient: V,
) -> [V; N] {
    let mut free = if RELU { top.positive() } else { V::all(simd) };
    let mut parts = z;
    for (part, z) in parts.iter_mut().zip(z) {
        let lanes = if N == 1 {
            free
        } else {
            V::both(simd, z.equal(top), free)
        };
        *part = gradient.keep(lanes);
        free = V::without(simd, free, lanes);
    }
    parts
}

/// Calls a kernel type with the constants (window, rectifier) that an [`Activation`] asks for.
macro_rules! with_constants {
    ($level:expr, $activation:expr, $kernel:ident { $($field:ident $(: $value:expr)?),* $(,)? }) => {
        match ($activation.pool, $activation.relu) {
            (false, false) => $level.run($kernel::<1, false> { $($field $(: $value)?),* }),
            (false, true) => $level.run($kernel::<1, true> { $($field $(: $value)?),* }),
            (true, false) => $level.run($kernel::<4, false> { $($field $(: $value)?),* }),
            (true, true) => $level.run($kernel::<4, true> { $($field $(: $value)?),* }),
        }
    };
}

struct Activate<'a, const N: usize, const RELU: bool> {
    activation: Activation<'a>,
    x: &'a [Lanes],
    width: usize,
    out: &'a mut [Lanes],
}

impl<const N: usize, const RELU: bool> Kernel for Activate<'_, N, RELU> {
    #[inline(always)]
    fn run<V: Vector>(self, simd: V::Simd) {
        let (scale, shift) = (self.activation.scale, self.activation.shift);
        let channels = scale.len();
        let side = if N == 4 { 2 } else { 1 };
        let width_out = self.width / side;
        let row = self.width * channels;
        for (pixel, out) in self.out.chunks_exact_mut(channels).enumerate() {
            let at = pixel / width_out * side * row + pixel % width_out * side * channels;
            for (c, out) in out.iter_mut().enumerate() {
                let (scale, shift) = (V::splat(simd, scale[c]), V::splat(simd, shift[c]));
                let mut tops = [V::splat(simd, 0.0); 2];
                for (half, top) in tops.iter_mut().enumerate() {
                    let x: [V; N] = window(simd, self.x, at + c, row, channels, half);
                    *top = respond::<V, N, RELU>(simd, x, scale, shift).1;
                }
                store(tops, out);
            }
        }
    }
}

/// `out = max over the window of relu(scale · x + shift)`.
pub(crate) fn activate(
    level: Level,
    e: &Extent,
    activation: Activation<'_>,
    x: &[Lanes],
    out: &mut [Lanes],
) {
    let shrink = if activation.pool { 4 } else { 1 };
    let (block, part) = (e.height * e.row(), e.rows() * e.row());
    out.par_chunks_mut(block / shrink)
        .zip(x.par_chunks(block))
        .for_each(|(out, x)| {
            out.par_chunks_mut(part / shrink)
                .zip(x.par_chunks(part))
                .for_each(|(out, x)| {
                    with_constants!(
                        level,
                        activation,
                        Activate {
                            activation,
                            x,
                            width: e.width,
                            out
                        }
                    );
                });
        });
}

struct Reduce<'a, const N: usize, const RELU: bool> {
    activation: Activation<'a>,
    x: &'a [Lanes],
    width: usize,
    gradient: &'a [Lanes],
    mean: &'a [f32],
    sums: &'a mut [[Lanes; 2]],
}

impl<const N: usize, const RELU: bool> Kernel for Reduce<'_, N, RELU> {
    #[inline(always)]
    fn run<V: Vector>(self, simd: V::Simd) {
        let (scale, shift) = (self.activation.scale, self.activation.shift);
        let channels = scale.len();
        let side = if N == 4 { 2 } else { 1 };
        let width_out = self.width / side;
        let row = self.width * channels;
        for (pixel, gradient) in self.gradient.chunks_exact(channels).enumerate() {
            let at = pixel / width_out * side * row + pixel % width_out * side * channels;
            for c in 0..channels {
                let (scale, shift, mean) = (
                    V::splat(simd, scale[c]),
                    V::splat(simd, shift[c]),
                    V::splat(simd, self.mean[c]),
                );
                let [first, second] = &mut self.sums[c];
                let (mut one, mut two): ([V; 2], [V; 2]) = (load(simd, first), load(simd, second));
                for half in 0..2 {
                    let x: [V; N] = window(simd, self.x, at + c, row, channels, half);
                    let (z, top) = respond::<V, N, RELU>(simd, x, scale, shift);
                    let gradient = load::<V>(simd, &gradient[c])[half];
                    for (part, x) in route::<V, N, RELU>(simd, z, top, gradient)
                        .into_iter()
                        .zip(x)
                    {
                        one[half] = one[half].add(part);
                        two[half] = x.sub(mean).mul_add(part, two[half]);
                    }
                }
                store(one, first);
                store(two, second);
            }
        }
    }
}

/// For each channel, with `d` the gradient that reaches the scaled and shifted value: `Σ d` and `Σ d · (x − mean)`.
pub(crate) fn reduce_gradient(
    level: Level,
    e: &Extent,
    activation: Activation<'_>,
    x: &[Lanes],
    gradient: &[Lanes],
    mean: &[f32],
) -> Vec<[f64; 2]> {
    per_part(e, x, gradient, |_, x, gradient, sums| {
        with_constants!(
            level,
            activation,
            Reduce {
                activation,
                x,
                width: e.width,
                gradient,
                mean,
                sums
            }
        );
    })
}

/// The gradient with respect to `x` is `own · d + slope · x + level`, per channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread<'a> {
    pub(crate) own: &'a [f32],
    pub(crate) slope: &'a [f32],
    pub(crate) constant: &'a [f32],
}

struct Return<'a, const N: usize, const RELU: bool> {
    activation: Activation<'a>,
    spread: Spread<'a>,
    x: &'a [Lanes],
    width: usize,
    gradient: &'a [Lanes],
    mask: &'a Lanes,
    out: &'a mut [Lanes],
}

impl<const N: usize, const RELU: bool> Kernel for Return<'_, N, RELU> {
    #[inline(always)]
    fn run<V: Vector>(self, simd: V::Simd) {
        let (scale, shift) = (self.activation.scale, self.activation.shift);
        let channels = scale.len();
        let side = if N == 4 { 2 } else { 1 };
        let width_out = self.width / side;
        let row = self.width * channels;
        let mask: [V; 2] = load(simd, self.mask);
        for (pixel, gradient) in self.gradient.chunks_exact(channels).enumerate() {
            let at = pixel / width_out * side * row + pixel % width_out * side * channels;
            for c in 0..channels {
                let (scale, shift) = (V::splat(simd, scale[c]), V::splat(simd, shift[c]));
                let own = V::splat(simd, self.spread.own[c]);
                let slope = V::splat(simd, self.spread.slope[c]);
                let constant = V::splat(simd, self.spread.constant[c]);
                let mut results = [[V::splat(simd, 0.0); 2]; N];
                for half in 0..2 {
                    let x: [V; N] = window(simd, self.x, at + c, row, channels, half);
                    let (z, top) = respond::<V, N, RELU>(simd, x, scale, shift);
                    let gradient = load::<V>(simd, &gradient[c])[half];
                    let parts = route::<V, N, RELU>(simd, z, top, gradient);
                    for i in 0..N {
                        let all = x[i].mul_add(slope, constant).mul(mask[half]);
                        results[i][half] = parts[i].mul_add(own, all);
                    }
                }
                for (i, result) in results.into_iter().enumerate() {
                    store(
                        result,
                        &mut self.out[at + c + i / 2 * row + i % 2 * channels],
                    );
                }
            }
        }
    }
}

/// Gradient with respect to `x`; see [`Spread`].
#[allow(clippy::too_many_arguments)]
pub(crate) fn return_gradient(
    level: Level,
    e: &Extent,
    activation: Activation<'_>,
    spread: Spread<'_>,
    x: &[Lanes],
    gradient: &[Lanes],
    out: &mut [Lanes],
) {
    let shrink = if activation.pool { 4 } else { 1 };
    let (block, part) = (e.height * e.row(), e.rows() * e.row());
    out.par_chunks_mut(block)
        .zip(x.par_chunks(block))
        .zip(gradient.par_chunks(block / shrink))
        .enumerate()
        .for_each(|(index, ((out, x), gradient))| {
            let mask = lane_mask(e.batch, index);
            out.par_chunks_mut(part)
                .zip(x.par_chunks(part))
                .zip(gradient.par_chunks(part / shrink))
                .for_each(|((out, x), gradient)| {
                    with_constants!(
                        level,
                        activation,
                        Return {
                            activation,
                            spread,
                            x,
                            width: e.width,
                            gradient,
                            mask: &mask,
                            out
                        }
                    );
                });
        });
}

/// Lanes handled as one unit where no structure matters.
const STRETCH: usize = 1 << 10;

struct AddRelu<'a> {
    a: &'a [Lanes],
    b: &'a [Lanes],
    relu: bool,
    out: &'a mut [Lanes],
}

impl Kernel for AddRelu<'_> {
    #[inline(always)]
    fn run<V: Vector>(self, simd: V::Simd) {
        let floor = V::splat(simd, if self.relu { 0.0 } else { f32::NEG_INFINITY });
        for ((a, b), out) in self.a.iter().zip(self.b).zip(self.out) {
            let (a, b): ([V; 2], [V; 2]) = (load(simd, a), load(simd, b));
            store([a[0].add(b[0]).max(floor), a[1].add(b[1]).max(floor)], out);
        }
    }
}

/// `out = a + b`, rectified where `relu` says so.
pub(crate) fn add(level: Level, a: &[Lanes], b: &[Lanes], relu: bool, out: &mut [Lanes]) {
    out.par_chunks_mut(STRETCH)
        .zip(a.par_chunks(STRETCH))
        .zip(b.par_chunks(STRETCH))
        .for_each(|((out, a), b)| level.run(AddRelu { a, b, relu, out }));
}

struct KeepPositive<'a> {
    output: &'a [Lanes],
    gradient: &'a mut [Lanes],
}

impl Kernel for KeepPositive<'_> {
    #[inline(always)]
    fn run<V: Vector>(self, simd: V::Simd) {
        for (output, gradient) in self.output.iter().zip(self.gradient) {
            let (z, d): ([V; 2], [V; 2]) = (load(simd, output), load(simd, gradient));
            store(
                [d[0].keep(z[0].positive()), d[1].keep(z[1].positive())],
                gradient,
            );
        }
    }
}

/// Sets the gradient to 0 where the rectified `output` is not positive.
pub(crate) fn keep_positive(level: Level, output: &[Lanes], gradient: &mut [Lanes]) {
    gradient
        .par_chunks_mut(STRETCH)
        .zip(output.par_chunks(STRETCH))
        .for_each(|(gradient, output)| level.run(KeepPositive { output, gradient }));
}
