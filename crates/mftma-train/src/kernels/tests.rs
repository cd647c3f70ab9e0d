//! Every kernel against plain loops, at each instruction set, with any number of threads.

use std::sync::Arc;

use ndarray::{Array1, Array4, Array5};
use proptest::prelude::*;

use super::buffer::{Buffer, Pool};
use super::convolution::{self, Geometry};
use super::elementwise::{self, Activation, Extent, Spread};
use super::simd::Level;
use super::{blocks, images, pooling};

const LEVELS: [fn() -> Level; 2] = [Level::detect, || Level::PORTABLE];

/// Values in a small range, from a hash of index and seed.
fn noise(seed: u64, index: usize) -> f32 {
    let mut x = (seed << 32 | index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((x >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
}

fn array(seed: u64, shape: [usize; 4]) -> Array4<f32> {
    let mut index = 0;
    Array4::from_shape_simple_fn(shape, || {
        index += 1;
        noise(seed, index)
    })
}

fn to_blocks(pool: &Arc<Pool>, array: &Array4<f32>) -> Buffer {
    let (n, c, h, w) = array.dim();
    let mut out = pool.take(blocks(n) * c * h * w);
    images::pack(array.view(), out.lanes_mut());
    out
}

fn from_blocks(buffer: &Buffer, shape: [usize; 4]) -> Array4<f32> {
    let mut out = Array4::zeros(shape);
    images::unpack(
        buffer.lanes(),
        shape[1],
        shape[2] * shape[3],
        out.as_slice_mut().unwrap(),
    );
    out
}

fn close(found: &Array4<f32>, wanted: &Array4<f64>, tolerance: f64) {
    assert_eq!(found.dim(), wanted.dim());
    for (index, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(
            (f64::from(*found) - wanted).abs() <= tolerance,
            "element {index}: {found} but plain loops give {wanted}"
        );
    }
}

/// Calls `visit(output row, output column, tap row, tap column, input row, input column)` for taps inside the image.
fn taps(g: &Geometry, mut visit: impl FnMut(usize, usize, usize, usize, usize, usize)) {
    let (height, width) = g.output();
    for oy in 0..height {
        for ox in 0..width {
            for ky in 0..g.kernel {
                for kx in 0..g.kernel {
                    let y = (oy * g.stride + ky) as isize - g.padding as isize;
                    let x = (ox * g.stride + kx) as isize - g.padding as isize;
                    if (0..g.height as isize).contains(&y) && (0..g.width as isize).contains(&x) {
                        visit(oy, ox, ky, kx, y as usize, x as usize);
                    }
                }
            }
        }
    }
}

fn check_convolution(g: Geometry, batch: usize, seed: u64) {
    let (height, width) = g.output();
    let input = array(seed, [batch, g.channels_in, g.height, g.width]);
    let weight = array(
        seed + 1,
        [g.channels_out, g.channels_in, g.kernel, g.kernel],
    );
    let bias: Array1<f32> = (0..g.channels_out).map(|i| noise(seed + 2, i)).collect();
    let gradient = array(seed + 3, [batch, g.channels_out, height, width]);

    let mut out = Array4::<f64>::zeros([batch, g.channels_out, height, width]);
    let mut for_input = Array4::<f64>::zeros(input.dim());
    let mut for_weight = Array4::<f64>::zeros(weight.dim());
    for n in 0..batch {
        for o in 0..g.channels_out {
            for oy in 0..height {
                for ox in 0..width {
                    out[[n, o, oy, ox]] = f64::from(bias[o]);
                }
            }
            for i in 0..g.channels_in {
                taps(&g, |oy, ox, ky, kx, y, x| {
                    let w = f64::from(weight[[o, i, ky, kx]]);
                    let d = f64::from(gradient[[n, o, oy, ox]]);
                    let v = f64::from(input[[n, i, y, x]]);
                    out[[n, o, oy, ox]] += w * v;
                    for_input[[n, i, y, x]] += w * d;
                    for_weight[[o, i, ky, kx]] += v * d;
                });
            }
        }
    }

    let pool: Arc<Pool> = Arc::default();
    let (x, d) = (to_blocks(&pool, &input), to_blocks(&pool, &gradient));
    let w = weight.as_slice().unwrap();
    for level in LEVELS {
        let level = level();
        let mut y = pool.take(d.len());
        convolution::forward(level, &g, x.lanes(), w, bias.as_slice(), y.lanes_mut());
        close(
            &from_blocks(&y, [batch, g.channels_out, height, width]),
            &out,
            1e-4,
        );
        let mut dx = pool.take(x.len());
        convolution::backward_input(level, &g, d.lanes(), w, dx.lanes_mut());
        close(
            &from_blocks(&dx, [batch, g.channels_in, g.height, g.width]),
            &for_input,
            1e-4,
        );
        let mut dw = vec![f32::NAN; w.len()];
        convolution::backward_weight(level, &g, &pool, x.lanes(), d.lanes(), &mut dw);
        let dw = Array4::from_shape_vec(weight.dim(), dw).unwrap();
        close(&dw, &for_weight, 2e-3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn convolution_is_the_plain_sum(
        channels_in in 1usize..10,
        channels_out in 1usize..19,
        height in 1usize..9,
        width in 1usize..9,
        kernel in 1usize..5,
        stride in 1usize..4,
        padding in 0usize..4,
        batch in 1usize..40,
        seed in 0u64..1000,
    ) {
        let padding = padding.min(kernel - 1);
        let g = Geometry { channels_in, channels_out, height, width, kernel, stride, padding };
        prop_assume!(g.output().0 > 0 && g.output().1 > 0);
        check_convolution(g, batch, seed);
    }

    #[test]
    fn pooling_is_the_plain_window(
        channels in 1usize..5,
        height in 1usize..9,
        width in 1usize..9,
        kernel in 1usize..5,
        stride in 1usize..4,
        padding in 0usize..4,
        batch in 1usize..40,
        seed in 0u64..1000,
    ) {
        let padding = padding.min(kernel - 1);
        let g = Geometry { channels_in: channels, channels_out: channels, height, width, kernel, stride, padding };
        let (rows, columns) = g.output();
        prop_assume!(rows > 0 && columns > 0);
        // Padding of at most half the kernel, so that no window is all padding.
        prop_assume!(padding * 2 <= kernel);
        let mut x = array(seed, [batch, channels, height, width]);
        x.mapv_inplace(|v| (v * 4.0).round());
        let d = array(seed + 1, [batch, channels, rows, columns]);
        let mut max = Array4::from_elem(d.dim(), f64::NEG_INFINITY);
        let mut mean = Array4::<f64>::zeros(d.dim());
        let (mut for_max, mut for_mean) = (Array4::<f64>::zeros(x.dim()), Array4::<f64>::zeros(x.dim()));
        let area = (kernel * kernel) as f64;
        for n in 0..batch {
            for c in 0..channels {
                let mut winner = Array5::<usize>::zeros((1, 1, rows, columns, 2));
                taps(&g, |oy, ox, _, _, y, x_| {
                    let v = f64::from(x[[n, c, y, x_]]);
                    mean[[n, c, oy, ox]] += v / area;
                    for_mean[[n, c, y, x_]] += f64::from(d[[n, c, oy, ox]]) / area;
                    if v > max[[n, c, oy, ox]] {
                        max[[n, c, oy, ox]] = v;
                        winner[[0, 0, oy, ox, 0]] = y;
                        winner[[0, 0, oy, ox, 1]] = x_;
                    }
                });
                for oy in 0..rows {
                    for ox in 0..columns {
                        let (y, x_) = (winner[[0, 0, oy, ox, 0]], winner[[0, 0, oy, ox, 1]]);
                        for_max[[n, c, y, x_]] += f64::from(d[[n, c, oy, ox]]);
                    }
                }
            }
        }
        let pool: Arc<Pool> = Arc::default();
        let (xb, db) = (to_blocks(&pool, &x), to_blocks(&pool, &d));
        let (shape_in, shape_out) = ([batch, channels, height, width], [batch, channels, rows, columns]);
        for level in LEVELS {
            let level = level();
            let (mut y, mut dx) = (pool.take(db.len()), pool.take(xb.len()));
            pooling::max(level, &g, xb.lanes(), y.lanes_mut());
            close(&from_blocks(&y, shape_out), &max, 0.0);
            pooling::max_backward(level, &g, xb.lanes(), y.lanes(), db.lanes(), dx.lanes_mut());
            close(&from_blocks(&dx, shape_in), &for_max, 1e-5);
            pooling::average(level, &g, xb.lanes(), y.lanes_mut());
            close(&from_blocks(&y, shape_out), &mean, 1e-5);
            pooling::average_backward(level, &g, db.lanes(), dx.lanes_mut());
            close(&from_blocks(&dx, shape_in), &for_mean, 1e-5);
        }
    }

    #[test]
    fn activation_is_scale_shift_rectify_maximum(
        channels in 1usize..6,
        half_height in 1usize..6,
        half_width in 1usize..4,
        batch in 1usize..40,
        relu: bool,
        pool_pixels: bool,
        seed in 0u64..1000,
    ) {
        let (height, width) = (2 * half_height, 2 * half_width);
        let side = if pool_pixels { 2 } else { 1 };
        let (rows, columns) = (height / side, width / side);
        let x = array(seed, [batch, channels, height, width]);
        let d = array(seed + 1, [batch, channels, rows, columns]);
        let per_channel = |seed| (0..channels).map(|c| noise(seed, c)).collect::<Vec<f32>>();
        let (scale, shift) = (per_channel(seed + 2), per_channel(seed + 3));
        let (mean, own) = (per_channel(seed + 4), per_channel(seed + 5));
        let (slope, constant) = (per_channel(seed + 6), per_channel(seed + 7));

        let mut out = Array4::<f64>::zeros(d.dim());
        let mut back = Array4::<f64>::zeros(x.dim());
        let mut sums = vec![[0.0f64; 2]; channels];
        let (mut total, mut squares) = (vec![0.0f64; channels], vec![0.0f64; channels]);
        for n in 0..batch {
            for c in 0..channels {
                for oy in 0..rows {
                    for ox in 0..columns {
                        let mut best = (f64::NEG_INFINITY, 0, 0);
                        for py in 0..side {
                            for px in 0..side {
                                let (y, x_) = (oy * side + py, ox * side + px);
                                let v = f64::from(x[[n, c, y, x_]]);
                                total[c] += v;
                                squares[c] += v * v;
                                let z = v * f64::from(scale[c]) + f64::from(shift[c]);
                                if z > best.0 {
                                    best = (z, y, x_);
                                }
                                back[[n, c, y, x_]] = v * f64::from(slope[c]) + f64::from(constant[c]);
                            }
                        }
                        out[[n, c, oy, ox]] = if relu { best.0.max(0.0) } else { best.0 };
                        if !relu || best.0 > 0.0 {
                            let d = f64::from(d[[n, c, oy, ox]]);
                            let v = f64::from(x[[n, c, best.1, best.2]]);
                            back[[n, c, best.1, best.2]] += f64::from(own[c]) * d;
                            sums[c][0] += d;
                            sums[c][1] += d * (v - f64::from(mean[c]));
                        }
                    }
                }
            }
        }

        let pool: Arc<Pool> = Arc::default();
        let (xb, db) = (to_blocks(&pool, &x), to_blocks(&pool, &d));
        let extent = Extent { batch, channels, height, width };
        let activation = Activation { scale: &scale, shift: &shift, relu, pool: pool_pixels };
        let count = (batch * height * width) as f64;
        for level in LEVELS {
            let level = level();
            let mut y = pool.take(db.len());
            elementwise::activate(level, &extent, activation, xb.lanes(), y.lanes_mut());
            close(&from_blocks(&y, [batch, channels, rows, columns]), &out, 1e-5);
            let spread = Spread { own: &own, slope: &slope, constant: &constant };
            let mut dx = pool.take(xb.len());
            elementwise::return_gradient(level, &extent, activation, spread, xb.lanes(), db.lanes(), dx.lanes_mut());
            close(&from_blocks(&dx, [batch, channels, height, width]), &back, 1e-5);
            let padded = dx.lanes().last().unwrap()[(batch - 1) % super::LANES + 1..].iter().all(|v| *v == 0.0);
            prop_assert!(padded, "gradients of lanes without an example are 0");
            let found = elementwise::reduce_gradient(level, &extent, activation, xb.lanes(), db.lanes(), &mean);
            for (found, wanted) in found.iter().zip(&sums) {
                prop_assert!((found[0] - wanted[0]).abs() < 1e-3 && (found[1] - wanted[1]).abs() < 1e-3);
            }
            let (means, variances) = elementwise::moments(level, &extent, xb.lanes());
            for c in 0..channels {
                let mean = total[c] / count;
                prop_assert!((means[c] - mean).abs() < 1e-5);
                prop_assert!((variances[c] - (squares[c] / count - mean * mean)).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn large_kernel_and_stride_of_the_first_layer() {
    let g = Geometry {
        channels_in: 3,
        channels_out: 8,
        height: 64,
        width: 64,
        kernel: 11,
        stride: 4,
        padding: 5,
    };
    assert_eq!(g.output(), (16, 16));
    check_convolution(g, 3, 5);
}

#[test]
fn variance_survives_a_large_mean() {
    let x = array(1, [40, 1, 8, 8]).mapv(|v| v + 1000.0);
    let pool: Arc<Pool> = Arc::default();
    let xb = to_blocks(&pool, &x);
    let extent = Extent {
        batch: 40,
        channels: 1,
        height: 8,
        width: 8,
    };
    let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / x.len() as f64;
    let variance = x
        .iter()
        .map(|v| (f64::from(*v) - mean).powi(2))
        .sum::<f64>()
        / x.len() as f64;
    for level in LEVELS {
        let (means, variances) = elementwise::moments(level(), &extent, xb.lanes());
        assert!((means[0] - mean).abs() < 1e-3, "{} {mean}", means[0]);
        assert!(
            (variances[0] - variance).abs() < 1e-4 * variance,
            "{} {variance}",
            variances[0]
        );
    }
}

#[test]
fn buffers_are_aligned_and_reused() {
    let pool: Arc<Pool> = Arc::default();
    let buffer = pool.take(5);
    let address = buffer.lanes().as_ptr() as usize;
    assert_eq!(address % 64, 0);
    assert_eq!(buffer.len(), 5);
    let again = pool.adopt(buffer.into_values());
    assert_eq!(again.lanes().as_ptr() as usize, address);
    drop(again);
    assert_eq!(pool.take(5).lanes().as_ptr() as usize, address);
    assert_ne!(pool.take(6).lanes().as_ptr() as usize, address);
}
