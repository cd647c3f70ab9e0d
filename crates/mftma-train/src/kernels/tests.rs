//! Every kernel at each level of vector instructions: close to plain loops, and byte for byte as at the other levels.

use std::sync::Arc;

use mftma::simd::Level as Instructions;
use ndarray::Array4;
use proptest::prelude::*;

use super::buffer::{Buffer, Pool};
use super::convolution::Geometry;
use super::elementwise::{Activation, Extent, Spread};
use super::plain::PlainLoops;
use super::simd::Level;
use super::{Kernels, LANES, Lanes, blocks, images};

/// Values in a small range, from a hash of index and seed.
fn noise(seed: u64, index: usize) -> f32 {
    let mut x = (seed << 32 | index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((x >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
}

fn per_channel(seed: u64, channels: usize) -> Vec<f32> {
    (0..channels).map(|c| noise(seed, c)).collect()
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

/// A batch in blocks.
fn batch(pool: &Arc<Pool>, seed: u64, shape: [usize; 4]) -> Buffer {
    to_blocks(pool, &array(seed, shape))
}

/// Runs `kernel` at every level of this processor and with plain loops: results at all levels have the same bytes, and are
/// within `tolerance` of the loops' in the lanes that hold an example of the batch.
fn check(batch: usize, tolerance: f64, kernel: impl Fn(&dyn Kernels) -> Vec<Lanes>) {
    let wanted = kernel(&PlainLoops);
    let mut first: Option<Vec<Lanes>> = None;
    for instructions in Instructions::available() {
        let found = kernel(&Level::of(instructions));
        assert_eq!(found.len(), wanted.len());
        let per_block = found.len() / blocks(batch);
        for (index, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            let used = (batch - index / per_block * LANES).min(LANES);
            for lane in 0..used {
                let (found, wanted) = (found[lane], wanted[lane]);
                assert!(
                    f64::from(found - wanted).abs() <= tolerance,
                    "{instructions}, {index}, lane {lane}: {found}, but plain loops give {wanted}"
                );
            }
        }
        match &first {
            None => first = Some(found),
            Some(first) => {
                let bits = |lanes: &Lanes| lanes.map(f32::to_bits);
                let differs = first
                    .iter()
                    .zip(&found)
                    .position(|(a, b)| bits(a) != bits(b));
                assert_eq!(differs, None, "{instructions} gives other bytes");
            }
        }
    }
}

/// The same for results that are no activations: `tolerance` holds for all of them.
fn check_numbers(tolerance: f64, kernel: impl Fn(&dyn Kernels) -> Vec<f64>) {
    let wanted = kernel(&PlainLoops);
    let mut first: Option<Vec<f64>> = None;
    for instructions in Instructions::available() {
        let found = kernel(&Level::of(instructions));
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!(
                (found - wanted).abs() <= tolerance,
                "{instructions}: {found}, but plain loops give {wanted}"
            );
        }
        match &first {
            None => first = Some(found),
            Some(first) => assert!(*first == found, "{instructions} gives other bytes"),
        }
    }
}

/// What `kernel` writes to a buffer of `len`.
fn written(pool: &Arc<Pool>, len: usize, kernel: impl FnOnce(&mut [Lanes])) -> Vec<Lanes> {
    let mut out = pool.take(len);
    kernel(out.lanes_mut());
    out.lanes().to_vec()
}

fn check_convolution(g: Geometry, n: usize, seed: u64) {
    let (height, width) = g.output();
    let pool: Arc<Pool> = Arc::default();
    let x = batch(&pool, seed, [n, g.channels_in, g.height, g.width]);
    let weight = array(
        seed + 1,
        [g.channels_out, g.channels_in, g.kernel, g.kernel],
    );
    let w = weight.as_slice().unwrap();
    let bias = per_channel(seed + 2, g.channels_out);
    let d = batch(&pool, seed + 3, [n, g.channels_out, height, width]);
    check(n, 1e-4, |kernels| {
        written(&pool, d.len(), |out| {
            kernels.convolve(&g, &pool, x.lanes(), w, Some(&bias), out)
        })
    });
    check(n, 1e-4, |kernels| {
        written(&pool, x.len(), |out| {
            kernels.convolve_to_input(&g, &pool, d.lanes(), w, out)
        })
    });
    check_numbers(2e-3, |kernels| {
        let mut out = vec![f32::NAN; w.len()];
        kernels.convolve_to_weight(&g, &pool, x.lanes(), d.lanes(), &mut out);
        out.into_iter().map(f64::from).collect()
    });
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

    /// Channels beyond what is packed at once.
    #[test]
    fn layers_of_many_channels_are_plain_sums(
        channels_in in 60usize..150,
        channels_out in 60usize..80,
        linear: bool,
        batch in 1usize..40,
        seed in 0u64..1000,
    ) {
        let g = Geometry {
            height: 3,
            width: 2,
            kernel: 3,
            padding: 1,
            ..Geometry::linear(channels_in, channels_out)
        };
        let g = if linear { Geometry::linear(channels_in, channels_out) } else { g };
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
        n in 1usize..40,
        seed in 0u64..1000,
    ) {
        let padding = padding.min(kernel - 1);
        let g = Geometry { channels_in: channels, channels_out: channels, height, width, kernel, stride, padding };
        let (rows, columns) = g.output();
        prop_assume!(rows > 0 && columns > 0);
        // Padding of at most half the kernel, so that no window is all padding.
        prop_assume!(padding * 2 <= kernel);
        let pool: Arc<Pool> = Arc::default();
        // Few values, so that several pixels of a window are the largest.
        let x = to_blocks(&pool, &array(seed, [n, channels, height, width]).mapv(|v| (v * 4.0).round()));
        let d = batch(&pool, seed + 1, [n, channels, rows, columns]);
        let largest = |kernels: &dyn Kernels| written(&pool, d.len(), |out| kernels.max(&g, x.lanes(), out));
        check(n, 0.0, largest);
        let top = largest(&PlainLoops);
        check(n, 1e-5, |kernels| written(&pool, x.len(), |out| {
            kernels.max_backward(&g, x.lanes(), &top, d.lanes(), out);
        }));
        check(n, 1e-5, |kernels| written(&pool, d.len(), |out| kernels.average(&g, x.lanes(), out)));
        check(n, 1e-5, |kernels| written(&pool, x.len(), |out| kernels.average_backward(&g, d.lanes(), out)));
    }

    #[test]
    fn activation_is_scale_shift_rectify_maximum(
        channels in 1usize..6,
        half_height in 1usize..6,
        half_width in 1usize..4,
        n in 1usize..40,
        relu: bool,
        pool_pixels: bool,
        seed in 0u64..1000,
    ) {
        let (height, width) = (2 * half_height, 2 * half_width);
        let side = if pool_pixels { 2 } else { 1 };
        let pool: Arc<Pool> = Arc::default();
        let x = batch(&pool, seed, [n, channels, height, width]);
        let d = batch(&pool, seed + 1, [n, channels, height / side, width / side]);
        let vector = |k: u64| per_channel(seed + k, channels);
        let (scale, shift, mean) = (vector(2), vector(3), vector(4));
        let (own, slope, constant) = (vector(5), vector(6), vector(7));
        let e = Extent { batch: n, channels, height, width };
        let activation = Activation { scale: &scale, shift: &shift, relu, pool: pool_pixels };
        let spread = Spread { own: &own, slope: &slope, constant: &constant };
        check(n, 1e-5, |kernels| written(&pool, d.len(), |out| kernels.activate(&e, activation, x.lanes(), out)));
        check(n, 1e-5, |kernels| {
            let out = written(&pool, x.len(), |out| {
                kernels.return_gradient(&e, activation, spread, x.lanes(), d.lanes(), out);
            });
            let padded = out.last().unwrap()[(n - 1) % LANES + 1..].iter().all(|v| *v == 0.0);
            assert!(padded, "gradients of lanes without an example are 0");
            out
        });
        check_numbers(1e-3, |kernels| {
            kernels.reduce_gradient(&e, activation, x.lanes(), d.lanes(), &mean).into_flattened()
        });
        check_numbers(1e-3, |kernels| {
            kernels.channel_sums(&e, x.lanes()).into_iter().map(f64::from).collect()
        });
        check_numbers(1e-5, |kernels| {
            let (means, variances) = kernels.moments(&e, x.lanes());
            [means, variances].concat()
        });
    }

    #[test]
    fn sums_are_rectified_and_their_gradient_with_them(len in 1usize..3000, relu: bool, seed in 0u64..1000) {
        let pool: Arc<Pool> = Arc::default();
        let [a, b] = [seed, seed + 1].map(|seed| batch(&pool, seed, [LANES, len, 1, 1]));
        let sum = |kernels: &dyn Kernels| written(&pool, len, |out| kernels.add(a.lanes(), b.lanes(), relu, out));
        check(LANES, 1e-6, sum);
        let output = sum(&PlainLoops);
        check(LANES, 0.0, |kernels| written(&pool, len, |out| {
            out.copy_from_slice(a.lanes());
            kernels.keep_positive(&output, out);
        }));
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
    let count = x.len() as f64;
    let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let deviations = x.iter().map(|v| (f64::from(*v) - mean).powi(2));
    let variance = deviations.sum::<f64>() / count;
    for instructions in Instructions::available() {
        let (means, variances) = Level::of(instructions).moments(&extent, xb.lanes());
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
