//! Pooling with any window.

use rayon::prelude::*;

use super::convolution::Geometry;
use super::simd::{Kernel, Level, Vector};
use super::{Lanes, load, store};

/// For each output pixel, the input pixels inside its window.
fn windows(g: &Geometry) -> Vec<Vec<usize>> {
    let (height, width) = g.output();
    let mut windows = Vec::with_capacity(height * width);
    for pixel in 0..height * width {
        let mut inside = Vec::new();
        for tap in 0..g.kernel * g.kernel {
            let y = g.source(pixel / width, tap / g.kernel, g.height);
            let x = g.source(pixel % width, tap % g.kernel, g.width);
            if let (Some(y), Some(x)) = (y, x) {
                inside.push(y * g.width + x);
            }
        }
        windows.push(inside);
    }
    windows
}

struct Max<'a> {
    windows: &'a [Vec<usize>],
    channels: usize,
    x: &'a [Lanes],
    out: &'a mut [Lanes],
}

impl Kernel for Max<'_> {
    #[inline(always)]
    fn run<V: Vector>(self, simd: V::Simd) {
        for (window, out) in self
            .windows
            .iter()
            .zip(self.out.chunks_exact_mut(self.channels))
        {
            for (c, out) in out.iter_mut().enumerate() {
                let mut top = [V::splat(simd, f32::NEG_INFINITY); 2];
                for pixel in window {
                    let x: [V; 2] = load(simd, &self.x[pixel * self.channels + c]);
                    top = [x[0].max(top[0]), x[1].max(top[1])];
                }
                store(top, out);
            }
        }
    }
}

/// Largest value of each window; padding never wins.
pub(crate) fn max(level: Level, g: &Geometry, x: &[Lanes], out: &mut [Lanes]) {
    let windows = windows(g);
    let channels = g.channels_in;
    out.par_chunks_mut(windows.len() * channels)
        .zip(x.par_chunks(g.height * g.width * channels))
        .for_each(|(out, x)| {
            level.run(Max {
                windows: &windows,
                channels,
                x,
                out,
            })
        });
}

struct MaxBackward<'a> {
    windows: &'a [Vec<usize>],
    channels: usize,
    x: &'a [Lanes],
    top: &'a [Lanes],
    gradient: &'a [Lanes],
    out: &'a mut [Lanes],
}

impl Kernel for MaxBackward<'_> {
    #[inline(always)]
    fn run<V: Vector>(self, simd: V::Simd) {
        self.out.fill([0.0; super::LANES]);
        for (pixel, window) in self.windows.iter().enumerate() {
            for c in 0..self.channels {
                let top: [V; 2] = load(simd, &self.top[pixel * self.channels + c]);
                let gradient: [V; 2] = load(simd, &self.gradient[pixel * self.channels + c]);
                let mut free = [V::all(simd); 2];
                for source in window {
                    let at = source * self.channels + c;
                    let x: [V; 2] = load(simd, &self.x[at]);
                    let mut sum: [V; 2] = load(simd, &self.out[at]);
                    for half in 0..2 {
                        let lanes = V::both(simd, x[half].equal(top[half]), free[half]);
                        free[half] = V::without(simd, free[half], lanes);
                        sum[half] = sum[half].add(gradient[half].keep(lanes));
                    }
                    store(sum, &mut self.out[at]);
                }
            }
        }
    }
}

/// Gradient with respect to the input of [`max`], whose output is `top`; the first of the largest takes all.
pub(crate) fn max_backward(
    level: Level,
    g: &Geometry,
    x: &[Lanes],
    top: &[Lanes],
    gradient: &[Lanes],
    out: &mut [Lanes],
) {
    let windows = windows(g);
    let channels = g.channels_in;
    let (block_in, block_out) = (g.height * g.width * channels, windows.len() * channels);
    out.par_chunks_mut(block_in)
        .zip(x.par_chunks(block_in))
        .zip(
            top.par_chunks(block_out)
                .zip(gradient.par_chunks(block_out)),
        )
        .for_each(|((out, x), (top, gradient))| {
            level.run(MaxBackward {
                windows: &windows,
                channels,
                x,
                top,
                gradient,
                out,
            });
        });
}

struct Weighted<'a> {
    /// For each output pixel, the inputs to add.
    windows: &'a [Vec<usize>],
    channels: usize,
    weight: f32,
    x: &'a [Lanes],
    out: &'a mut [Lanes],
}

impl Kernel for Weighted<'_> {
    #[inline(always)]
    fn run<V: Vector>(self, simd: V::Simd) {
        let weight = V::splat(simd, self.weight);
        for (window, out) in self
            .windows
            .iter()
            .zip(self.out.chunks_exact_mut(self.channels))
        {
            for (c, out) in out.iter_mut().enumerate() {
                let mut sum = [V::splat(simd, 0.0); 2];
                for pixel in window {
                    let x: [V; 2] = load(simd, &self.x[pixel * self.channels + c]);
                    sum = [x[0].add(sum[0]), x[1].add(sum[1])];
                }
                store([sum[0].mul(weight), sum[1].mul(weight)], out);
            }
        }
    }
}

/// Mean of each window; padding counts as 0 (the divisor is always the full window).
pub(crate) fn average(level: Level, g: &Geometry, x: &[Lanes], out: &mut [Lanes]) {
    weighted(
        level,
        g.channels_in,
        &windows(g),
        g.height * g.width,
        1.0 / (g.kernel * g.kernel) as f32,
        x,
        out,
    );
}

/// Gradient with respect to the input of [`average`].
pub(crate) fn average_backward(level: Level, g: &Geometry, gradient: &[Lanes], out: &mut [Lanes]) {
    let windows = windows(g);
    let mut readers = vec![Vec::new(); g.height * g.width];
    for (pixel, window) in windows.iter().enumerate() {
        for source in window {
            readers[*source].push(pixel);
        }
    }
    weighted(
        level,
        g.channels_in,
        &readers,
        windows.len(),
        1.0 / (g.kernel * g.kernel) as f32,
        gradient,
        out,
    );
}

fn weighted(
    level: Level,
    channels: usize,
    windows: &[Vec<usize>],
    pixels_in: usize,
    weight: f32,
    x: &[Lanes],
    out: &mut [Lanes],
) {
    out.par_chunks_mut(windows.len() * channels)
        .zip(x.par_chunks(pixels_in * channels))
        .for_each(|(out, x)| {
            level.run(Weighted {
                windows,
                channels,
                weight,
                x,
                out,
            })
        });
}
