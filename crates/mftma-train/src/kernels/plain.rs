//! The kernels once more, as plain loops in double precision: slow, and easy to compare with their definitions.

use std::sync::Arc;

use super::buffer::Pool;
use super::convolution::Geometry;
use super::elementwise::{Activation, Extent, Spread};
use super::{Kernels, LANES, Lanes};

/// See the module.
#[derive(Debug)]
pub(crate) struct PlainLoops;

/// Calls `visit(output pixel, tap, input pixel)` for all taps inside the image.
fn taps(g: &Geometry, mut visit: impl FnMut(usize, usize, usize)) {
    let (height, width) = g.output();
    for (oy, ox) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        for (ky, kx) in (0..g.kernel).flat_map(|y| (0..g.kernel).map(move |x| (y, x))) {
            let y = (oy * g.stride + ky) as isize - g.padding as isize;
            let x = (ox * g.stride + kx) as isize - g.padding as isize;
            if (0..g.height as isize).contains(&y) && (0..g.width as isize).contains(&x) {
                let input = y as usize * g.width + x as usize;
                visit(oy * width + ox, ky * g.kernel + kx, input);
            }
        }
    }
}

fn pixels(g: &Geometry) -> (usize, usize) {
    let (height, width) = g.output();
    (g.height * g.width, height * width)
}

/// Calls `visit(channel, the window's input pixels, output pixel)` for a block of an activation.
fn windows(e: &Extent, pool: bool, mut visit: impl FnMut(usize, &[usize], usize)) {
    let side = if pool { 2 } else { 1 };
    for pixel in 0..e.height * e.width / (side * side) {
        let (y, x) = (pixel / (e.width / side), pixel % (e.width / side));
        let inside: Vec<usize> = (0..side * side)
            .map(|i| (y * side + i / side) * e.width + x * side + i % side)
            .collect();
        for c in 0..e.channels {
            visit(c, &inside, pixel);
        }
    }
}

/// The input pixel whose value passes through the window, the value scaled and shifted, and whether the rectifier lets it.
fn winner(
    a: &Activation<'_>,
    inside: &[usize],
    x: impl Fn(usize) -> f32,
    c: usize,
) -> (usize, f64, bool) {
    let z = |pixel: usize| f64::from(x(pixel).mul_add(a.scale[c], a.shift[c]));
    let mut best = inside[0];
    for &pixel in &inside[1..] {
        if z(pixel) > z(best) {
            best = pixel;
        }
    }
    (best, z(best), !a.relu || z(best) > 0.0)
}

impl Kernels for PlainLoops {
    fn convolve(
        &self,
        g: &Geometry,
        _pool: &Arc<Pool>,
        input: &[Lanes],
        weight: &[f32],
        bias: Option<&[f32]>,
        out: &mut [Lanes],
    ) {
        let (inputs, outputs) = pixels(g);
        let area = g.kernel * g.kernel;
        for (x, out) in input
            .chunks(inputs * g.channels_in)
            .zip(out.chunks_mut(outputs * g.channels_out))
        {
            for lane in 0..LANES {
                for o in 0..g.channels_out {
                    let mut sums = vec![bias.map_or(0.0, |bias| f64::from(bias[o])); outputs];
                    taps(g, |to, tap, from| {
                        for i in 0..g.channels_in {
                            let w = f64::from(weight[(o * g.channels_in + i) * area + tap]);
                            sums[to] += w * f64::from(x[from * g.channels_in + i][lane]);
                        }
                    });
                    for (pixel, sum) in sums.into_iter().enumerate() {
                        out[pixel * g.channels_out + o][lane] = sum as f32;
                    }
                }
            }
        }
    }

    fn convolve_to_input(
        &self,
        g: &Geometry,
        _pool: &Arc<Pool>,
        gradient: &[Lanes],
        weight: &[f32],
        out: &mut [Lanes],
    ) {
        let (inputs, outputs) = pixels(g);
        let area = g.kernel * g.kernel;
        for (d, out) in gradient
            .chunks(outputs * g.channels_out)
            .zip(out.chunks_mut(inputs * g.channels_in))
        {
            for lane in 0..LANES {
                for i in 0..g.channels_in {
                    let mut sums = vec![0.0; inputs];
                    taps(g, |to, tap, from| {
                        for o in 0..g.channels_out {
                            let w = f64::from(weight[(o * g.channels_in + i) * area + tap]);
                            sums[from] += w * f64::from(d[to * g.channels_out + o][lane]);
                        }
                    });
                    for (pixel, sum) in sums.into_iter().enumerate() {
                        out[pixel * g.channels_in + i][lane] = sum as f32;
                    }
                }
            }
        }
    }

    fn convolve_to_weight(
        &self,
        g: &Geometry,
        _: &Arc<Pool>,
        input: &[Lanes],
        gradient: &[Lanes],
        out: &mut [f32],
    ) {
        let (inputs, outputs) = pixels(g);
        let area = g.kernel * g.kernel;
        let mut sums = vec![0.0; out.len()];
        for (x, d) in input
            .chunks(inputs * g.channels_in)
            .zip(gradient.chunks(outputs * g.channels_out))
        {
            taps(g, |to, tap, from| {
                for o in 0..g.channels_out {
                    for i in 0..g.channels_in {
                        for lane in 0..LANES {
                            let d = f64::from(d[to * g.channels_out + o][lane]);
                            let x = f64::from(x[from * g.channels_in + i][lane]);
                            sums[(o * g.channels_in + i) * area + tap] += d * x;
                        }
                    }
                }
            });
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum as f32;
        }
    }

    fn moments(&self, e: &Extent, x: &[Lanes]) -> (Vec<f64>, Vec<f64>) {
        let count = (e.batch * e.height * e.width) as f64;
        let block = e.height * e.width * e.channels;
        let values = |c: usize| {
            (0..e.batch).flat_map(move |n| {
                let x = &x[n / LANES * block..][..block];
                (0..e.height * e.width).map(move |p| f64::from(x[p * e.channels + c][n % LANES]))
            })
        };
        let means: Vec<f64> = (0..e.channels)
            .map(|c| values(c).sum::<f64>() / count)
            .collect();
        let variances = (0..e.channels)
            .map(|c| values(c).map(|v| (v - means[c]).powi(2)).sum::<f64>() / count)
            .collect();
        (means, variances)
    }

    fn activate(&self, e: &Extent, activation: Activation<'_>, x: &[Lanes], out: &mut [Lanes]) {
        let block = e.height * e.width * e.channels;
        let shrink = if activation.pool { 4 } else { 1 };
        for (x, out) in x.chunks(block).zip(out.chunks_mut(block / shrink)) {
            windows(e, activation.pool, |c, inside, pixel| {
                for lane in 0..LANES {
                    let value = |pixel: usize| x[pixel * e.channels + c][lane];
                    let (_, z, through) = winner(&activation, inside, value, c);
                    out[pixel * e.channels + c][lane] = if through { z as f32 } else { 0.0 };
                }
            });
        }
    }

    fn reduce_gradient(
        &self,
        e: &Extent,
        activation: Activation<'_>,
        x: &[Lanes],
        gradient: &[Lanes],
        mean: &[f32],
    ) -> Vec<[f64; 2]> {
        let block = e.height * e.width * e.channels;
        let shrink = if activation.pool { 4 } else { 1 };
        let mut sums = vec![[0.0; 2]; e.channels];
        for (x, d) in x.chunks(block).zip(gradient.chunks(block / shrink)) {
            windows(e, activation.pool, |c, inside, pixel| {
                for lane in 0..LANES {
                    let value = |pixel: usize| x[pixel * e.channels + c][lane];
                    let (best, _, through) = winner(&activation, inside, value, c);
                    if through {
                        let d = f64::from(d[pixel * e.channels + c][lane]);
                        sums[c][0] += d;
                        sums[c][1] += d * (f64::from(value(best)) - f64::from(mean[c]));
                    }
                }
            });
        }
        sums
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
        let block = e.height * e.width * e.channels;
        let shrink = if activation.pool { 4 } else { 1 };
        let blocks = x.chunks(block).zip(gradient.chunks(block / shrink));
        for (number, ((x, d), out)) in blocks.zip(out.chunks_mut(block)).enumerate() {
            windows(e, activation.pool, |c, inside, pixel| {
                for lane in 0..LANES {
                    let is_example = number * LANES + lane < e.batch;
                    let value = |pixel: usize| x[pixel * e.channels + c][lane];
                    let (best, _, through) = winner(&activation, inside, value, c);
                    for &from in inside {
                        let own = if from == best && through {
                            f64::from(spread.own[c]) * f64::from(d[pixel * e.channels + c][lane])
                        } else {
                            0.0
                        };
                        let all = f64::from(value(from)) * f64::from(spread.slope[c])
                            + f64::from(spread.constant[c]);
                        out[from * e.channels + c][lane] =
                            if is_example { (own + all) as f32 } else { 0.0 };
                    }
                }
            });
        }
    }

    fn add(&self, a: &[Lanes], b: &[Lanes], relu: bool, out: &mut [Lanes]) {
        let terms = a.as_flattened().iter().zip(b.as_flattened());
        for (out, (a, b)) in out.as_flattened_mut().iter_mut().zip(terms) {
            *out = if relu && a + b <= 0.0 { 0.0 } else { a + b };
        }
    }

    fn keep_positive(&self, output: &[Lanes], gradient: &mut [Lanes]) {
        let output = output.as_flattened();
        for (d, z) in gradient.as_flattened_mut().iter_mut().zip(output) {
            *d = if *z > 0.0 { *d } else { 0.0 };
        }
    }

    fn max(&self, g: &Geometry, x: &[Lanes], out: &mut [Lanes]) {
        let ((inputs, outputs), channels) = (pixels(g), g.channels_in);
        for (x, out) in x
            .chunks(inputs * channels)
            .zip(out.chunks_mut(outputs * channels))
        {
            out.fill([f32::NEG_INFINITY; LANES]);
            taps(g, |to, _, from| {
                for at in 0..channels * LANES {
                    let (c, lane) = (at / LANES, at % LANES);
                    let top = &mut out[to * channels + c][lane];
                    *top = top.max(x[from * channels + c][lane]);
                }
            });
        }
    }

    fn max_backward(
        &self,
        g: &Geometry,
        x: &[Lanes],
        top: &[Lanes],
        gradient: &[Lanes],
        out: &mut [Lanes],
    ) {
        let ((inputs, outputs), channels) = (pixels(g), g.channels_in);
        out.fill([0.0; LANES]);
        let tops = top
            .chunks(outputs * channels)
            .zip(gradient.chunks(outputs * channels));
        let blocks = x
            .chunks(inputs * channels)
            .zip(out.chunks_mut(inputs * channels));
        for ((x, out), (top, d)) in blocks.zip(tops) {
            let mut taken = vec![[false; LANES]; outputs * channels];
            taps(g, |to, _, from| {
                for at in 0..channels * LANES {
                    let (c, lane) = (at / LANES, at % LANES);
                    let (to, from) = (to * channels + c, from * channels + c);
                    if x[from][lane] == top[to][lane] && !taken[to][lane] {
                        taken[to][lane] = true;
                        out[from][lane] += d[to][lane];
                    }
                }
            });
        }
    }

    fn average(&self, g: &Geometry, x: &[Lanes], out: &mut [Lanes]) {
        let ((inputs, outputs), channels) = (pixels(g), g.channels_in);
        let area = (g.kernel * g.kernel) as f32;
        for (x, out) in x
            .chunks(inputs * channels)
            .zip(out.chunks_mut(outputs * channels))
        {
            out.fill([0.0; LANES]);
            taps(g, |to, _, from| {
                for at in 0..channels * LANES {
                    let (c, lane) = (at / LANES, at % LANES);
                    out[to * channels + c][lane] += x[from * channels + c][lane] / area;
                }
            });
        }
    }

    fn average_backward(&self, g: &Geometry, gradient: &[Lanes], out: &mut [Lanes]) {
        let ((inputs, outputs), channels) = (pixels(g), g.channels_in);
        let area = (g.kernel * g.kernel) as f32;
        out.fill([0.0; LANES]);
        for (d, out) in gradient
            .chunks(outputs * channels)
            .zip(out.chunks_mut(inputs * channels))
        {
            taps(g, |to, _, from| {
                for at in 0..channels * LANES {
                    let (c, lane) = (at / LANES, at % LANES);
                    out[from * channels + c][lane] += d[to * channels + c][lane] / area;
                }
            });
        }
    }
}
