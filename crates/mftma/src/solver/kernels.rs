//! Vector kernels, compiled for each instruction set and chosen at run time (through `pulp`).
//!
//! Everything outside this file is compiled once, for the plain instruction set: the kernels are where the time goes,
//! and compiling the whole solver three times over would take minutes.
//! Every row is padded with zeros to a multiple of [`LANES`], so that no kernel has a tail.
//!
//! Every sum over a row has [`LANES`] lanes, in one, two or four registers, which are added in one order, and products are added with
//! one rounding: so the bytes are the same with every instruction set.

use pulp::{Arch, Simd, WithSimd};

/// Padding of rows and lanes of their sums: the widest vector of doubles in use (AVX-512).
pub(crate) const LANES: usize = 8;

/// Length of a row of `n` entries with its padding.
pub(crate) fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// y + a·x, in place.
#[inline(always)]
fn add_scaled<S: Simd>(simd: S, a: f64, x: &[f64], y: &mut [f64]) {
    let a = simd.splat_f64s(a);
    let (x, _) = S::as_simd_f64s(x);
    let (y, _) = S::as_mut_simd_f64s(y);
    for (y, x) in y.iter_mut().zip(x) {
        *y = simd.mul_add_f64s(a, *x, *y);
    }
}

/// [`LANES`] running sums, in the first registers.
#[derive(Clone, Copy)]
struct Sums<S: Simd>([S::f64s; LANES]);

impl<S: Simd> Sums<S> {
    /// How many registers are in use.
    const REGISTERS: usize = LANES / S::F64_LANES;

    #[inline(always)]
    fn zero(simd: S) -> Self {
        Self([simd.splat_f64s(0.0); LANES])
    }

    /// The sum of the lanes: the upper half is added to the lower one, three times.
    #[inline(always)]
    fn total(mut self, simd: S) -> f64 {
        let mut registers = Self::REGISTERS;
        while registers > 1 {
            registers /= 2;
            for i in 0..registers {
                self.0[i] = simd.add_f64s(self.0[i], self.0[i + registers]);
            }
        }
        simd.reduce_sum_f64s(self.0[0])
    }
}

#[inline(always)]
fn inner<S: Simd>(simd: S, x: &[f64], y: &[f64]) -> f64 {
    let (x, _) = S::as_simd_f64s(x);
    let (y, _) = S::as_simd_f64s(y);
    let n = Sums::<S>::REGISTERS;
    let mut sums = Sums::zero(simd);
    for (x, y) in x.chunks_exact(n).zip(y.chunks_exact(n)) {
        for i in 0..n {
            sums.0[i] = simd.mul_add_f64s(x[i], y[i], sums.0[i]);
        }
    }
    sums.total(simd)
}

/// x·y.
pub(crate) fn dot(arch: Arch, x: &[f64], y: &[f64]) -> f64 {
    arch.dispatch(Dot { x, y })
}

struct Dot<'a> {
    x: &'a [f64],
    y: &'a [f64],
}

impl WithSimd for Dot<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        inner(simd, self.x, self.y)
    }
}

/// y ← y + a·x.
pub(crate) fn axpy(arch: Arch, a: f64, x: &[f64], y: &mut [f64]) {
    arch.dispatch(Axpy { a, x, y });
}

struct Axpy<'a> {
    a: f64,
    x: &'a [f64],
    y: &'a mut [f64],
}

impl WithSimd for Axpy<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        add_scaled(simd, self.a, self.x, self.y);
    }
}

/// H ← H + a·uuᵀ for the first rows of H, which are `stride` apart; as many as u has entries before its padding, `k`.
pub(crate) fn rank_one(arch: Arch, a: f64, u: &[f64], k: usize, h: &mut [f64], stride: usize) {
    arch.dispatch(RankOne { a, u, k, h, stride });
}

struct RankOne<'a> {
    a: f64,
    u: &'a [f64],
    k: usize,
    h: &'a mut [f64],
    stride: usize,
}

impl WithSimd for RankOne<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.u.len();
        for (row, u) in self.h.chunks_exact_mut(self.stride).zip(&self.u[..self.k]) {
            add_scaled(simd, self.a * u, self.u, &mut row[..width]);
        }
    }
}

/// First index of the largest of the first `n` entries, and its value; (0, −∞) where n = 0.
pub(crate) fn argmax(arch: Arch, x: &[f64], n: usize) -> (usize, f64) {
    let whole = n - n % LANES;
    let mut top = arch.dispatch(Largest { x: &x[..whole] });
    for &value in &x[whole..n] {
        top = top.max(value);
    }
    let at = x[..n].iter().position(|&value| value == top).unwrap_or(0);
    (at, top)
}

struct Largest<'a> {
    x: &'a [f64],
}

impl WithSimd for Largest<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (x, _) = S::as_simd_f64s(self.x);
        let mut top = simd.splat_f64s(f64::NEG_INFINITY);
        for x in x {
            top = simd.max_f64s(top, *x);
        }
        simd.reduce_max_f64s(top)
    }
}

/// Σ_j w_j · max(0, x_j + shift)².
pub(crate) fn squared_excess(arch: Arch, x: &[f64], w: &[f64], shift: f64) -> f64 {
    arch.dispatch(SquaredExcess { x, w, shift })
}

struct SquaredExcess<'a> {
    x: &'a [f64],
    w: &'a [f64],
    shift: f64,
}

impl WithSimd for SquaredExcess<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (x, _) = S::as_simd_f64s(self.x);
        let (w, _) = S::as_simd_f64s(self.w);
        let (zero, shift) = (simd.splat_f64s(0.0), simd.splat_f64s(self.shift));
        let n = Sums::<S>::REGISTERS;
        let mut sums = Sums::zero(simd);
        for (x, w) in x.chunks_exact(n).zip(w.chunks_exact(n)) {
            for i in 0..n {
                let excess = simd.max_f64s(simd.add_f64s(x[i], shift), zero);
                let weighted = simd.mul_f64s(excess, w[i]);
                sums.0[i] = simd.mul_add_f64s(weighted, excess, sums.0[i]);
            }
        }
        sums.total(simd)
    }
}

/// ratio_i ← max(0, x_i) / u_i where u_i > 0, infinity elsewhere; returns the smallest.
pub(crate) fn ratios(arch: Arch, x: &[f64], u: &[f64], ratio: &mut [f64]) -> f64 {
    arch.dispatch(Ratios { x, u, ratio })
}

struct Ratios<'a> {
    x: &'a [f64],
    u: &'a [f64],
    ratio: &'a mut [f64],
}

impl WithSimd for Ratios<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (x, _) = S::as_simd_f64s(self.x);
        let (u, _) = S::as_simd_f64s(self.u);
        let (ratio, _) = S::as_mut_simd_f64s(self.ratio);
        let zero = simd.splat_f64s(0.0);
        let infinity = simd.splat_f64s(f64::INFINITY);
        let mut nearest = infinity;
        for ((ratio, x), u) in ratio.iter_mut().zip(x).zip(u) {
            let quotient = simd.div_f64s(simd.max_f64s(*x, zero), *u);
            *ratio = simd.select_f64s(simd.greater_than_f64s(*u, zero), quotient, infinity);
            nearest = simd.min_f64s(nearest, *ratio);
        }
        simd.reduce_min_f64s(nearest)
    }
}

/// A guess of the optimum of ½αᵀGα − αᵀb over α ≥ 0, left in `alpha`: exact for orthogonal points, then a few sweeps
/// of coordinate descent, fewer once a sweep leaves the support as it was.
pub(crate) struct Guess<'a> {
    pub(crate) gram: &'a [f64],
    pub(crate) stride: usize,
    /// 1/G_jj and 1/K_jj, padded with zeros.
    pub(crate) inverse_diagonal: &'a [f64],
    pub(crate) inverse_lengths: &'a [f64],
    pub(crate) b: &'a [f64],
    pub(crate) tolerance: f64,
    pub(crate) sweeps: usize,
    pub(crate) alpha: &'a mut [f64],
    /// Scratch.
    pub(crate) g: &'a mut [f64],
}

impl Guess<'_> {
    /// With K diagonal, α_j = max(0, b_j − A)/K_jj where A = Σα: one Newton step on that convex equation.
    #[inline(always)]
    fn newton<S: Simd>(&self, simd: S, total: f64) -> f64 {
        let (b, _) = S::as_simd_f64s(self.b);
        let (k, _) = S::as_simd_f64s(self.inverse_lengths);
        let (zero, shift) = (simd.splat_f64s(0.0), simd.splat_f64s(total));
        let n = Sums::<S>::REGISTERS;
        let (mut sums, mut slopes) = (Sums::zero(simd), Sums::zero(simd));
        for (b, k) in b.chunks_exact(n).zip(k.chunks_exact(n)) {
            for i in 0..n {
                let excess = simd.sub_f64s(b[i], shift);
                let k = simd.select_f64s(simd.greater_than_f64s(excess, zero), k[i], zero);
                sums.0[i] = simd.mul_add_f64s(excess, k, sums.0[i]);
                slopes.0[i] = simd.add_f64s(slopes.0[i], k);
            }
        }
        (sums.total(simd) - total) / (1.0 + slopes.total(simd))
    }
}

impl WithSimd for Guess<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut total = 0.0;
        for _ in 0..6 {
            let step = self.newton(simd, total);
            total += step;
            if step.abs() <= 1e-3 * total {
                break;
            }
        }
        let Self {
            gram,
            stride,
            inverse_diagonal,
            inverse_lengths,
            b,
            tolerance,
            sweeps,
            alpha,
            g,
        } = self;
        g.copy_from_slice(b);
        for (j, alpha) in alpha.iter_mut().enumerate() {
            let excess = b[j] - total;
            *alpha = 0.0;
            if excess > 0.0 && inverse_lengths[j] > 0.0 {
                *alpha = excess * inverse_lengths[j];
                add_scaled(simd, -*alpha, &gram[j * stride..][..stride], g);
            }
        }
        for _ in 0..sweeps {
            let mut changed = false;
            for (j, alpha) in alpha.iter_mut().enumerate() {
                let old = *alpha;
                if old == 0.0 && g[j] <= tolerance {
                    continue;
                }
                let new = (old + g[j] * inverse_diagonal[j]).max(0.0);
                changed |= (old > 0.0) != (new > 0.0);
                *alpha = new;
                add_scaled(simd, old - new, &gram[j * stride..][..stride], g);
            }
            if !changed {
                break;
            }
        }
    }
}

/// Rows of a matrix, one after another or by index.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f64],
    pub(crate) stride: usize,
    /// Row i of the sum is this row of the matrix.
    pub(crate) index: Option<&'a [u32]>,
}

/// out ← out + scale·Σ_i c_i · row_i, over as many columns as `out` has.
pub(crate) fn combine(arch: Arch, scale: f64, c: &[f64], rows: Rows<'_>, out: &mut [f64]) {
    arch.dispatch(Combine {
        scale,
        c,
        rows,
        out,
    });
}

struct Combine<'a> {
    scale: f64,
    c: &'a [f64],
    rows: Rows<'a>,
    out: &'a mut [f64],
}

impl WithSimd for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut from = 0;
        while from < self.out.len() {
            let vectors = ((self.out.len() - from) / S::F64_LANES).min(8);
            match vectors {
                1 => self.columns::<S, 1>(simd, from),
                2 => self.columns::<S, 2>(simd, from),
                3 => self.columns::<S, 3>(simd, from),
                4 => self.columns::<S, 4>(simd, from),
                5 => self.columns::<S, 5>(simd, from),
                6 => self.columns::<S, 6>(simd, from),
                7 => self.columns::<S, 7>(simd, from),
                _ => self.columns::<S, 8>(simd, from),
            }
            from += vectors * S::F64_LANES;
        }
    }
}

impl Combine<'_> {
    /// The columns from `from` on that fit in N registers.
    #[inline(always)]
    fn columns<S: Simd, const N: usize>(&mut self, simd: S, from: usize) {
        let width = N * S::F64_LANES;
        let (out, _) = S::as_mut_simd_f64s(&mut self.out[from..from + width]);
        let mut sums = [simd.splat_f64s(0.0); N];
        sums.copy_from_slice(out);
        let Rows {
            data,
            stride,
            index,
        } = self.rows;
        for (i, &c) in self.c.iter().enumerate() {
            let row = index.map_or(i, |index| index[i] as usize);
            let (row, _) = S::as_simd_f64s(&data[row * stride + from..][..width]);
            let c = simd.splat_f64s(self.scale * c);
            for n in 0..N {
                sums[n] = simd.mul_add_f64s(c, row[n], sums[n]);
            }
        }
        out.copy_from_slice(&sums);
    }
}

/// out ← left · right for `left` (rows, inner) and `right` (inner, columns), all row-major; rows of `left` are
/// `left_stride` apart, those of `right` and `out` are `stride` long (padded).
pub(crate) fn product(
    arch: Arch,
    (left, left_stride): (&[f64], usize),
    inner: usize,
    right: &[f64],
    stride: usize,
    out: &mut [f64],
) {
    let mut blocks = out.chunks_exact_mut(4 * stride);
    let mut done = 0;
    for out in blocks.by_ref() {
        let left = &left[done * left_stride..];
        arch.dispatch(FourRows {
            left,
            left_stride,
            inner,
            right,
            stride,
            out,
        });
        done += 4;
    }
    for out in blocks.into_remainder().chunks_exact_mut(stride) {
        out.fill(0.0);
        let left = &left[done * left_stride..][..inner];
        combine(
            arch,
            1.0,
            left,
            Rows {
                data: right,
                stride,
                index: None,
            },
            out,
        );
        done += 1;
    }
}

/// Four rows of a [`product`].
struct FourRows<'a> {
    left: &'a [f64],
    left_stride: usize,
    inner: usize,
    right: &'a [f64],
    stride: usize,
    out: &'a mut [f64],
}

impl WithSimd for FourRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut from = 0;
        while from < self.stride {
            if self.stride - from >= 4 * S::F64_LANES {
                self.columns::<S, 4>(simd, from);
                from += 4 * S::F64_LANES;
            } else {
                self.columns::<S, 1>(simd, from);
                from += S::F64_LANES;
            }
        }
    }
}

impl FourRows<'_> {
    /// The columns from `from` on that fit in N registers for each row.
    #[inline(always)]
    fn columns<S: Simd, const N: usize>(&mut self, simd: S, from: usize) {
        let width = N * S::F64_LANES;
        let mut sums = [[simd.splat_f64s(0.0); N]; 4];
        let rows: [&[f64]; 4] =
            core::array::from_fn(|r| &self.left[r * self.left_stride..][..self.inner]);
        for i in 0..self.inner {
            let (right, _) = S::as_simd_f64s(&self.right[i * self.stride + from..][..width]);
            for (sums, row) in sums.iter_mut().zip(rows) {
                let l = simd.splat_f64s(row[i]);
                for n in 0..N {
                    sums[n] = simd.mul_add_f64s(l, right[n], sums[n]);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let (out, _) = S::as_mut_simd_f64s(&mut self.out[r * self.stride + from..][..width]);
            out.copy_from_slice(sums);
        }
    }
}

/// Turn independent Gaussian rows (padded to `width`) into orthogonal rows that keep their lengths: a Haar-distributed
/// frame with independent χ lengths, since a Gaussian vector's length does not depend on its direction.
pub(crate) fn orthogonalise(arch: Arch, rows: &mut [f64], width: usize) {
    arch.dispatch(Orthogonalise { rows, width });
}

struct Orthogonalise<'a> {
    rows: &'a mut [f64],
    width: usize,
}

impl WithSimd for Orthogonalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, width } = self;
        let n = rows.len() / width;
        for i in 0..n {
            let (before, rest) = rows.split_at_mut(i * width);
            let row = &mut rest[..width];
            let length = inner(simd, row, row);
            for other in before.chunks_exact(width) {
                let c = inner(simd, other, row) / inner(simd, other, other);
                add_scaled(simd, -c, other, row);
            }
            let left = inner(simd, row, row);
            let scale = if left > 0.0 {
                (length / left).sqrt()
            } else {
                0.0
            };
            row.iter_mut().for_each(|t| *t *= scale);
        }
    }
}
