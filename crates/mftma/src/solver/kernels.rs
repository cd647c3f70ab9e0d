//! Vector kernels, compiled for the best instruction set at run time (through `pulp`).
//!
//! Every row is padded with zeros to a multiple of [`LANES`], so that no kernel has a tail.

use pulp::Simd;

/// Padding of rows: the widest vector of doubles in use (AVX-512).
pub(crate) const LANES: usize = 8;

/// Length of a row of `n` entries with its padding.
pub(crate) fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// y ← y + a·x.
#[inline(always)]
pub(crate) fn axpy<S: Simd>(simd: S, a: f64, x: &[f64], y: &mut [f64]) {
    let a = simd.splat_f64s(a);
    let (x, _) = S::as_simd_f64s(x);
    let (y, _) = S::as_mut_simd_f64s(y);
    for (y, x) in y.iter_mut().zip(x) {
        *y = simd.mul_add_e_f64s(a, *x, *y);
    }
}

/// x·y.
#[inline(always)]
pub(crate) fn dot<S: Simd>(simd: S, x: &[f64], y: &[f64]) -> f64 {
    let (x, _) = S::as_simd_f64s(x);
    let (y, _) = S::as_simd_f64s(y);
    let mut sum = simd.splat_f64s(0.0);
    for (x, y) in x.iter().zip(y) {
        sum = simd.mul_add_e_f64s(*x, *y, sum);
    }
    simd.reduce_sum_f64s(sum)
}

/// Largest entry; rows may not be empty.
#[inline(always)]
pub(crate) fn largest<S: Simd>(simd: S, x: &[f64]) -> f64 {
    let (x, _) = S::as_simd_f64s(x);
    let mut top = simd.splat_f64s(f64::NEG_INFINITY);
    for x in x {
        top = simd.max_f64s(top, *x);
    }
    simd.reduce_max_f64s(top)
}

/// First index of the largest of the first `n` entries, and its value.
#[inline(always)]
pub(crate) fn argmax<S: Simd>(simd: S, x: &[f64], n: usize) -> (usize, f64) {
    let whole = n - n % LANES;
    let mut top = if whole > 0 {
        largest(simd, &x[..whole])
    } else {
        f64::NEG_INFINITY
    };
    for &value in &x[whole..n] {
        top = top.max(value);
    }
    let at = x[..n].iter().position(|&value| value == top).unwrap_or(0);
    (at, top)
}

/// out ← out + Σ_i c_i · row(i), each row as long as `out`.
#[inline(always)]
pub(crate) fn combine<'a, S: Simd>(
    simd: S,
    c: &[f64],
    row: impl Fn(usize) -> &'a [f64],
    out: &mut [f64],
) {
    let mut from = 0;
    while from < out.len() {
        let vectors = ((out.len() - from) / S::F64_LANES).min(8);
        let to = from + vectors * S::F64_LANES;
        let slice = &mut out[from..to];
        match vectors {
            1 => combine_columns::<S, 1>(simd, c, &row, from, slice),
            2 => combine_columns::<S, 2>(simd, c, &row, from, slice),
            3 => combine_columns::<S, 3>(simd, c, &row, from, slice),
            4 => combine_columns::<S, 4>(simd, c, &row, from, slice),
            5 => combine_columns::<S, 5>(simd, c, &row, from, slice),
            6 => combine_columns::<S, 6>(simd, c, &row, from, slice),
            7 => combine_columns::<S, 7>(simd, c, &row, from, slice),
            _ => combine_columns::<S, 8>(simd, c, &row, from, slice),
        }
        from = to;
    }
}

/// `combine` for the columns from `from` on that fit in N registers.
#[inline(always)]
fn combine_columns<'a, S: Simd, const N: usize>(
    simd: S,
    c: &[f64],
    row: &impl Fn(usize) -> &'a [f64],
    from: usize,
    out: &mut [f64],
) {
    let (out, _) = S::as_mut_simd_f64s(out);
    let mut sums = [simd.splat_f64s(0.0); N];
    for n in 0..N {
        sums[n] = out[n];
    }
    for (i, &c) in c.iter().enumerate() {
        let (row, _) = S::as_simd_f64s(&row(i)[from..from + N * S::F64_LANES]);
        let c = simd.splat_f64s(c);
        for n in 0..N {
            sums[n] = simd.mul_add_e_f64s(c, row[n], sums[n]);
        }
    }
    out[..N].copy_from_slice(&sums);
}

/// out ← left · right for `left` (rows, inner) and `right` (inner, columns), all row-major; rows of `left` are
/// `left_stride` apart, those of `right` and `out` are `stride` long (padded).
#[inline(always)]
pub(crate) fn product<S: Simd>(
    simd: S,
    left: &[f64],
    left_stride: usize,
    inner: usize,
    right: &[f64],
    stride: usize,
    out: &mut [f64],
) {
    let mut rows = out.chunks_exact_mut(4 * stride);
    let mut done = 0;
    for block in rows.by_ref() {
        let mut from = 0;
        while from < stride {
            if stride - from >= 4 * S::F64_LANES {
                product_tile::<S, 4>(
                    simd,
                    &left[done * left_stride..],
                    left_stride,
                    inner,
                    right,
                    stride,
                    from,
                    block,
                );
                from += 4 * S::F64_LANES;
            } else {
                product_tile::<S, 1>(
                    simd,
                    &left[done * left_stride..],
                    left_stride,
                    inner,
                    right,
                    stride,
                    from,
                    block,
                );
                from += S::F64_LANES;
            }
        }
        done += 4;
    }
    for out in rows.into_remainder().chunks_exact_mut(stride) {
        out.fill(0.0);
        combine(
            simd,
            &left[done * left_stride..][..inner],
            |i| &right[i * stride..][..stride],
            out,
        );
        done += 1;
    }
}

/// Four rows and N registers of columns of [`product`].
#[inline(always)]
#[allow(clippy::too_many_arguments)] // the operands of a matrix product and one offset
fn product_tile<S: Simd, const N: usize>(
    simd: S,
    left: &[f64],
    left_stride: usize,
    inner: usize,
    right: &[f64],
    stride: usize,
    from: usize,
    out: &mut [f64],
) {
    let mut sums = [[simd.splat_f64s(0.0); N]; 4];
    let rows: [&[f64]; 4] = core::array::from_fn(|r| &left[r * left_stride..][..inner]);
    for i in 0..inner {
        let (right, _) = S::as_simd_f64s(&right[i * stride + from..][..N * S::F64_LANES]);
        for r in 0..4 {
            let l = simd.splat_f64s(rows[r][i]);
            for n in 0..N {
                sums[r][n] = simd.mul_add_e_f64s(l, right[n], sums[r][n]);
            }
        }
    }
    for r in 0..4 {
        let (out, _) = S::as_mut_simd_f64s(&mut out[r * stride + from..][..N * S::F64_LANES]);
        out.copy_from_slice(&sums[r]);
    }
}
