//! Vectors of sixteen `f32` and the choice of instruction set, through `pulp`, as in the engine.
//!
//! A [`Kernel`] is written once, generic over [`Vector`]; [`Level::run`] compiles it for each instruction set and picks one. A
//! [`Register`] is what an instruction set has to offer: sixteen lanes are one register of AVX-512, two of AVX2, four of NEON. Lanes
//! never meet but in [`Vector::sums`], whose order is fixed, and `a · b + c` is rounded once everywhere: so all give the same bytes.

use mftma::simd::Level as Instructions;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use pulp::{NullaryFnOnce, Simd};

/// Values per vector.
pub(crate) const WIDTH: usize = 16;

/// One register. Where none is at hand to start from, the proof that the processor has the instructions is handed in.
pub(crate) trait Register: Copy {
    /// The proof that the processor has the instructions.
    type Simd: Copy;
    /// Values per register: 4, 8 or 16.
    const LANES: usize;
    /// Whether the instruction set has 32 registers, not 16.
    const MANY: bool;
    /// One bit or one pattern of bits for each lane.
    type Mask: Copy;

    /// The first [`Self::LANES`] of `values`.
    fn load(simd: Self::Simd, values: &[f32]) -> Self;
    /// To the first [`Self::LANES`] of `values`.
    fn store(self, values: &mut [f32]);
    fn splat(simd: Self::Simd, value: f32) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self · b + c`, rounded once.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// `other` where either is not a number, or both are zeros of either sign.
    fn max(self, other: Self) -> Self;
    fn equal(self, other: Self) -> Self::Mask;
    /// Where a lane is above 0.
    fn positive(self) -> Self::Mask;
    /// All lanes.
    fn all(simd: Self::Simd) -> Self::Mask;
    fn both(simd: Self::Simd, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `a` and not `b`.
    fn without(simd: Self::Simd, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// The lanes of the mask, 0 elsewhere.
    fn keep(self, lanes: Self::Mask) -> Self;
    /// For each four lanes of the registers, one after another, (0 + 2) + (1 + 3) of each of the four.
    fn four_sums(registers: [Self; 4]) -> Self;
    /// Given [`Self::four_sums`] of sixteen vectors, four at a time, in `N` registers each: their totals, block (0 + 1) + (2 + 3).
    fn fold<const N: usize>(fours: [[Self; N]; 4]) -> [Self; N];
}

/// Sixteen values in registers of an instruction set.
pub(crate) trait Vector: Copy {
    type Register: Register<Simd = Self::Simd>;
    /// As [`Register::Simd`].
    type Simd: Copy;
    type Mask: Copy;

    fn load(simd: Self::Simd, values: &[f32; WIDTH]) -> Self;
    fn store(self, values: &mut [f32; WIDTH]);
    fn splat(simd: Self::Simd, value: f32) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self · b + c`, rounded once.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// As [`Register::max`].
    fn max(self, other: Self) -> Self;
    fn equal(self, other: Self) -> Self::Mask;
    /// Where a lane is above 0.
    fn positive(self) -> Self::Mask;
    /// All lanes.
    fn all(simd: Self::Simd) -> Self::Mask;
    fn both(simd: Self::Simd, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `a` and not `b`.
    fn without(simd: Self::Simd, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// The lanes of the mask, 0 elsewhere.
    fn keep(self, lanes: Self::Mask) -> Self;
    /// Lane i is the sum of all lanes of `vectors[i]`.
    fn sums(simd: Self::Simd, vectors: [Self; WIDTH]) -> Self;
}

/// `N` registers side by side.
#[derive(Clone, Copy)]
struct Registers<R, const N: usize>([R; N]);

impl<R: Register, const N: usize> Registers<R, N> {
    #[inline(always)]
    fn zip(mut self, other: Self, f: impl Fn(R, R) -> R) -> Self {
        for i in 0..N {
            self.0[i] = f(self.0[i], other.0[i]);
        }
        self
    }
}

impl<R: Register, const N: usize> Vector for Registers<R, N> {
    type Register = R;
    type Simd = R::Simd;
    type Mask = [R::Mask; N];

    #[inline(always)]
    fn load(simd: R::Simd, values: &[f32; WIDTH]) -> Self {
        const { assert!(N * R::LANES == WIDTH) };
        let mut out = [R::splat(simd, 0.0); N];
        for (i, out) in out.iter_mut().enumerate() {
            *out = R::load(simd, &values[i * R::LANES..]);
        }
        Self(out)
    }
    #[inline(always)]
    fn store(self, values: &mut [f32; WIDTH]) {
        for (i, r) in self.0.into_iter().enumerate() {
            r.store(&mut values[i * R::LANES..]);
        }
    }
    #[inline(always)]
    fn splat(simd: R::Simd, value: f32) -> Self {
        Self([R::splat(simd, value); N])
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, R::add)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, R::sub)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, R::mul)
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        let mut out = self.0;
        for (i, out) in out.iter_mut().enumerate() {
            *out = out.mul_add(b.0[i], c.0[i]);
        }
        Self(out)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, R::max)
    }
    #[inline(always)]
    fn equal(self, other: Self) -> Self::Mask {
        let mut mask = [self.0[0].equal(other.0[0]); N];
        for (i, mask) in mask.iter_mut().enumerate() {
            *mask = self.0[i].equal(other.0[i]);
        }
        mask
    }
    #[inline(always)]
    fn positive(self) -> Self::Mask {
        let mut mask = [self.0[0].positive(); N];
        for (mask, r) in mask.iter_mut().zip(self.0) {
            *mask = r.positive();
        }
        mask
    }
    #[inline(always)]
    fn all(simd: R::Simd) -> Self::Mask {
        [R::all(simd); N]
    }
    #[inline(always)]
    fn both(simd: R::Simd, mut a: Self::Mask, b: Self::Mask) -> Self::Mask {
        for i in 0..N {
            a[i] = R::both(simd, a[i], b[i]);
        }
        a
    }
    #[inline(always)]
    fn without(simd: R::Simd, mut a: Self::Mask, b: Self::Mask) -> Self::Mask {
        for i in 0..N {
            a[i] = R::without(simd, a[i], b[i]);
        }
        a
    }
    #[inline(always)]
    fn keep(self, lanes: Self::Mask) -> Self {
        let mut out = self.0;
        for (r, lanes) in out.iter_mut().zip(lanes) {
            *r = r.keep(lanes);
        }
        Self(out)
    }
    #[inline(always)]
    fn sums(simd: R::Simd, v: [Self; WIDTH]) -> Self {
        let mut fours = [[R::splat(simd, 0.0); N]; 4];
        for (four, sums) in fours.iter_mut().enumerate() {
            for (i, sums) in sums.iter_mut().enumerate() {
                let at = 4 * four;
                *sums = R::four_sums([v[at].0[i], v[at + 1].0[i], v[at + 2].0[i], v[at + 3].0[i]]);
            }
        }
        Self(R::fold(fours))
    }
}

/// `a · b + c`, rounded once, on processors that may not have the instruction.
///
/// The product is exact in `f64`. The sum is rounded to odd, so that the second rounding, to `f32`, is that of the exact sum
/// (Boldo & Melquiond, *IEEE Trans. Comput.* 57, 462 (2008), DOI 10.1109/TC.2007.70819).
fn fused(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    // What the rounding of the sum lost (Knuth's two-sum).
    let part = sum - product;
    let lost = (product - (sum - part)) + (c - part);
    let bits = sum.to_bits();
    // Towards the exact sum by one unit in the last place, where that is even and something was lost; of infinite sums no number was.
    if lost == 0.0 || lost.is_nan() || bits & 1 == 1 {
        return sum as f32;
    }
    let away_from_zero = (lost > 0.0) == (sum > 0.0);
    f64::from_bits(if away_from_zero { bits + 1 } else { bits - 1 }) as f32
}

/// Whether rounding a sum of `f64` to `f32` can differ from rounding the exact sum: only where it lies half-way between two `f32`, or is
/// below the normal ones.
#[inline(always)]
fn is_doubtful(sum: f64) -> bool {
    const HALF_WAY: u64 = 1 << (f64::MANTISSA_DIGITS - f32::MANTISSA_DIGITS - 1);
    let bits = sum.to_bits();
    (bits & (2 * HALF_WAY - 1) == HALF_WAY) | (sum.abs() < f64::from(f32::MIN_POSITIVE))
}

/// Plain arrays, which the compiler turns into whatever registers the target has.
#[derive(Clone, Copy)]
struct Plain([f32; 4]);

impl Plain {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self;
        for (a, b) in out.0.iter_mut().zip(other.0) {
            *a = f(*a, b);
        }
        out
    }
}

impl Register for Plain {
    type Simd = ();
    const LANES: usize = 4;
    const MANY: bool = false;
    type Mask = [bool; 4];

    #[inline(always)]
    fn load((): (), values: &[f32]) -> Self {
        let mut out = [0.0; 4];
        out.copy_from_slice(&values[..4]);
        Self(out)
    }
    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        values[..4].copy_from_slice(&self.0);
    }
    #[inline(always)]
    fn splat((): (), value: f32) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        #[cold]
        #[inline(never)]
        fn one_by_one(a: &[f32; 4], b: &[f32; 4], c: &[f32; 4]) -> [f32; 4] {
            std::array::from_fn(|i| fused(a[i], b[i], c[i]))
        }
        let mut out = self;
        if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
            for i in 0..4 {
                out.0[i] = self.0[i].mul_add(b.0[i], c.0[i]);
            }
            return out;
        }
        let mut doubtful = false;
        for i in 0..4 {
            let sum = f64::from(self.0[i]) * f64::from(b.0[i]) + f64::from(c.0[i]);
            // A sum that is 0 is exact.
            doubtful |= is_doubtful(sum) & (sum != 0.0);
            out.0[i] = sum as f32;
        }
        if doubtful {
            out.0 = one_by_one(&self.0, &b.0, &c.0);
        }
        out
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn equal(self, other: Self) -> [bool; 4] {
        std::array::from_fn(|i| self.0[i] == other.0[i])
    }
    #[inline(always)]
    fn positive(self) -> [bool; 4] {
        self.0.map(|x| x > 0.0)
    }
    #[inline(always)]
    fn all((): ()) -> [bool; 4] {
        [true; 4]
    }
    #[inline(always)]
    fn both((): (), a: [bool; 4], b: [bool; 4]) -> [bool; 4] {
        std::array::from_fn(|i| a[i] & b[i])
    }
    #[inline(always)]
    fn without((): (), a: [bool; 4], b: [bool; 4]) -> [bool; 4] {
        std::array::from_fn(|i| a[i] & !b[i])
    }
    #[inline(always)]
    fn keep(self, lanes: [bool; 4]) -> Self {
        let mut out = self;
        for (x, keep) in out.0.iter_mut().zip(lanes) {
            if !keep {
                *x = 0.0;
            }
        }
        out
    }
    #[inline(always)]
    fn four_sums(r: [Self; 4]) -> Self {
        Self(r.map(|Self([a, b, c, d])| (a + c) + (b + d)))
    }
    #[inline(always)]
    fn fold<const N: usize>(fours: [[Self; N]; 4]) -> [Self; N] {
        let mut out = [Self::splat((), 0.0); N];
        for (out, four) in out.iter_mut().zip(fours) {
            *out = four[0].add(four[1]).add(four[2].add(four[3]));
        }
        out
    }
}

/// What of an instruction set `pulp` has under other names for each, or otherwise than [`Register`] wants it.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
trait Shuffles: Simd {
    /// As [`Register::max`].
    fn larger(self, a: Self::f32s, b: Self::f32s) -> Self::f32s;
    /// As [`Register::four_sums`].
    fn four_sums(self, registers: [Self::f32s; 4]) -> Self::f32s;
    /// As [`Register::fold`].
    fn fold<const N: usize>(self, fours: [[Self::f32s; N]; 4]) -> [Self::f32s; N];
}

/// A register of an instruction set that is known to be there.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[derive(Clone, Copy)]
struct Of<S: Shuffles> {
    simd: S,
    lanes: S::f32s,
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl<S: Shuffles> Of<S> {
    #[inline(always)]
    fn with(self, lanes: S::f32s) -> Self {
        Self { lanes, ..self }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl<S: Shuffles> Register for Of<S> {
    type Simd = S;
    const LANES: usize = S::F32_LANES;
    const MANY: bool = S::REGISTER_COUNT >= 32;
    type Mask = S::m32s;

    #[inline(always)]
    fn load(simd: S, values: &[f32]) -> Self {
        let lanes = S::as_simd_f32s(&values[..S::F32_LANES]).0[0];
        Self { simd, lanes }
    }
    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        S::as_mut_simd_f32s(&mut values[..S::F32_LANES]).0[0] = self.lanes;
    }
    #[inline(always)]
    fn splat(simd: S, value: f32) -> Self {
        let lanes = simd.splat_f32s(value);
        Self { simd, lanes }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.with(self.simd.add_f32s(self.lanes, other.lanes))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.with(self.simd.sub_f32s(self.lanes, other.lanes))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.with(self.simd.mul_f32s(self.lanes, other.lanes))
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        self.with(self.simd.mul_add_f32s(self.lanes, b.lanes, c.lanes))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.with(self.simd.larger(self.lanes, other.lanes))
    }
    #[inline(always)]
    fn equal(self, other: Self) -> S::m32s {
        self.simd.equal_f32s(self.lanes, other.lanes)
    }
    #[inline(always)]
    fn positive(self) -> S::m32s {
        self.simd
            .greater_than_f32s(self.lanes, self.simd.splat_f32s(0.0))
    }
    #[inline(always)]
    fn all(simd: S) -> S::m32s {
        simd.equal_u32s(simd.splat_u32s(0), simd.splat_u32s(0))
    }
    #[inline(always)]
    fn both(simd: S, a: S::m32s, b: S::m32s) -> S::m32s {
        simd.and_m32s(a, b)
    }
    #[inline(always)]
    fn without(simd: S, a: S::m32s, b: S::m32s) -> S::m32s {
        simd.xor_m32s(a, simd.and_m32s(a, b))
    }
    #[inline(always)]
    fn keep(self, lanes: S::m32s) -> Self {
        let zero = self.simd.splat_f32s(0.0);
        self.with(self.simd.select_f32s(lanes, self.lanes, zero))
    }
    #[inline(always)]
    fn four_sums(registers: [Self; 4]) -> Self {
        let [a, b, c, d] = registers;
        a.with(a.simd.four_sums([a.lanes, b.lanes, c.lanes, d.lanes]))
    }
    #[inline(always)]
    fn fold<const N: usize>(fours: [[Self; N]; 4]) -> [Self; N] {
        let first = fours[0][0];
        let mut lanes = [[first.lanes; N]; 4];
        for (lanes, four) in lanes.iter_mut().zip(fours) {
            for (lanes, register) in lanes.iter_mut().zip(four) {
                *lanes = register.lanes;
            }
        }
        let mut out = [first; N];
        for (out, lanes) in out.iter_mut().zip(first.simd.fold(lanes)) {
            out.lanes = lanes;
        }
        out
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m512};

    use pulp::x86::{V3, V4};
    use pulp::{Simd, cast, f32x8, f32x16};

    use super::Shuffles;

    impl Shuffles for V4 {
        #[inline(always)]
        fn larger(self, a: f32x16, b: f32x16) -> f32x16 {
            self.max_f32s(a, b)
        }
        #[inline(always)]
        fn four_sums(self, registers: [f32x16; 4]) -> f32x16 {
            let f = self.avx512f;
            let [a, b, c, d] = registers;
            let (a, b, c, d): (__m512, _, _, _) = (cast(a), cast(b), cast(c), cast(d));
            let ab = f._mm512_add_ps(f._mm512_unpacklo_ps(a, b), f._mm512_unpackhi_ps(a, b));
            let cd = f._mm512_add_ps(f._mm512_unpacklo_ps(c, d), f._mm512_unpackhi_ps(c, d));
            let (ab, cd) = (f._mm512_castps_pd(ab), f._mm512_castps_pd(cd));
            let low = f._mm512_castpd_ps(f._mm512_unpacklo_pd(ab, cd));
            let high = f._mm512_castpd_ps(f._mm512_unpackhi_pd(ab, cd));
            cast(f._mm512_add_ps(low, high))
        }
        #[inline(always)]
        fn fold<const N: usize>(self, fours: [[f32x16; N]; 4]) -> [f32x16; N] {
            #[inline(always)]
            fn pair(simd: V4, a: f32x16, b: f32x16) -> f32x16 {
                let (f, a, b) = (simd.avx512f, cast(a), cast(b));
                let even = f._mm512_shuffle_f32x4::<0x88>(a, b);
                let odd = f._mm512_shuffle_f32x4::<0xdd>(a, b);
                cast(f._mm512_add_ps(even, odd))
            }
            let [a, b, c, d] = fours;
            let (left, right) = (pair(self, a[0], b[0]), pair(self, c[0], d[0]));
            [pair(self, left, right); N]
        }
    }

    impl Shuffles for V3 {
        #[inline(always)]
        fn larger(self, a: f32x8, b: f32x8) -> f32x8 {
            self.max_f32s(a, b)
        }
        #[inline(always)]
        fn four_sums(self, registers: [f32x8; 4]) -> f32x8 {
            let f = self.avx;
            let [a, b, c, d] = registers;
            let (a, b, c, d): (__m256, _, _, _) = (cast(a), cast(b), cast(c), cast(d));
            let ab = f._mm256_add_ps(f._mm256_unpacklo_ps(a, b), f._mm256_unpackhi_ps(a, b));
            let cd = f._mm256_add_ps(f._mm256_unpacklo_ps(c, d), f._mm256_unpackhi_ps(c, d));
            let (ab, cd) = (f._mm256_castps_pd(ab), f._mm256_castps_pd(cd));
            let low = f._mm256_castpd_ps(f._mm256_unpacklo_pd(ab, cd));
            let high = f._mm256_castpd_ps(f._mm256_unpackhi_pd(ab, cd));
            cast(f._mm256_add_ps(low, high))
        }
        #[inline(always)]
        fn fold<const N: usize>(self, fours: [[f32x8; N]; 4]) -> [f32x8; N] {
            // Blocks 0 and 1 of a vector are in its first register, 2 and 3 in its second.
            #[inline(always)]
            fn pair(simd: V3, a: f32x8, b: f32x8) -> f32x8 {
                let (f, a, b) = (simd.avx, cast(a), cast(b));
                let even = f._mm256_permute2f128_ps::<0x20>(a, b);
                let odd = f._mm256_permute2f128_ps::<0x31>(a, b);
                cast(f._mm256_add_ps(even, odd))
            }
            let mut out = fours[0];
            for (i, out) in out.iter_mut().enumerate() {
                let (a, b) = (fours[2 * i], fours[2 * i + 1]);
                let (left, right) = (pair(self, a[0], b[0]), pair(self, a[N - 1], b[N - 1]));
                *out = self.add_f32s(left, right);
            }
            out
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::float32x4_t;

    use pulp::aarch64::Neon;
    use pulp::{Simd, cast, f32x4};

    use super::Shuffles;

    impl Shuffles for Neon {
        /// NEON's own maximum treats zeros and what is not a number otherwise.
        #[inline(always)]
        fn larger(self, a: f32x4, b: f32x4) -> f32x4 {
            self.select_f32s(self.greater_than_f32s(a, b), a, b)
        }
        #[inline(always)]
        fn four_sums(self, registers: [f32x4; 4]) -> f32x4 {
            let f = self.neon;
            let [a, b, c, d] = registers;
            let (a, b, c, d): (float32x4_t, _, _, _) = (cast(a), cast(b), cast(c), cast(d));
            let ab = f.vaddq_f32(f.vzip1q_f32(a, b), f.vzip2q_f32(a, b));
            let cd = f.vaddq_f32(f.vzip1q_f32(c, d), f.vzip2q_f32(c, d));
            let low = cast(f.vzip1q_f64(cast(ab), cast(cd)));
            let high = cast(f.vzip2q_f64(cast(ab), cast(cd)));
            cast(f.vaddq_f32(low, high))
        }
        #[inline(always)]
        fn fold<const N: usize>(self, fours: [[f32x4; N]; 4]) -> [f32x4; N] {
            let mut out = fours[0];
            for (out, four) in out.iter_mut().zip(fours) {
                let (left, right) = (
                    self.add_f32s(four[0], four[1]),
                    self.add_f32s(four[2], four[3]),
                );
                *out = self.add_f32s(left, right);
            }
            out
        }
    }
}

/// An instruction set that is known to be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level(Set);

/// Private to this module, so that an instruction set can only be had by detection.
#[derive(Clone, Copy, Debug)]
enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
}

impl Level {
    /// That of the engine: the best that this processor has, unless another was asked for.
    pub(crate) fn current() -> Self {
        Self::of(Instructions::current())
    }

    /// The one of this name; the portable one where the processor does not have it.
    pub(crate) fn of(instructions: Instructions) -> Self {
        let set = match instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => pulp::x86::V4::try_new().map(Set::Avx512),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => pulp::x86::V3::try_new().map(Set::Avx2),
            #[cfg(target_arch = "aarch64")]
            Instructions::Neon => pulp::aarch64::Neon::try_new().map(Set::Neon),
            _ => None,
        };
        Self(set.unwrap_or(Set::Portable))
    }

    /// Runs a kernel with this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        match self.0 {
            Set::Portable => kernel.run::<Registers<Plain, 4>>(()),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(simd) => simd.vectorize(Work::<_, _, 2> { kernel, simd }),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(simd) => simd.vectorize(Work::<_, _, 1> { kernel, simd }),
            #[cfg(target_arch = "aarch64")]
            Set::Neon(simd) => simd.vectorize(Work::<_, _, 4> { kernel, simd }),
        }
    }
}

/// A kernel with vectors of `N` registers, for `pulp` to call where the instructions are enabled.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
struct Work<K, S, const N: usize> {
    kernel: K,
    simd: S,
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl<K: Kernel, S: Shuffles, const N: usize> NullaryFnOnce for Work<K, S, N> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.kernel.run::<Registers<Of<S>, N>>(self.simd);
    }
}

/// Work to be done with vectors. `run` and all it calls on vectors must be `#[inline(always)]`, so that it is compiled
/// for the instruction set of the vectors.
pub(crate) trait Kernel {
    fn run<V: Vector>(self, simd: V::Simd);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use mftma::simd::Level as Instructions;

    use super::{Kernel, Level, Plain, Register, Vector, WIDTH, fused};

    /// All that a [`Vector`] can do, once each.
    struct Everything<'a> {
        x: &'a [[f32; WIDTH]; WIDTH],
        out: &'a mut Vec<[f32; WIDTH]>,
    }

    impl Kernel for Everything<'_> {
        #[inline(always)]
        fn run<V: Vector>(self, simd: V::Simd) {
            let [a, b, c] = [
                V::load(simd, &self.x[0]),
                V::load(simd, &self.x[1]),
                V::load(simd, &self.x[2]),
            ];
            let free = V::without(simd, V::all(simd), a.equal(b));
            let mut vectors = [V::splat(simd, 0.0); WIDTH];
            for (vector, x) in vectors.iter_mut().zip(self.x) {
                *vector = V::load(simd, x);
            }
            for value in [
                a.add(b),
                a.sub(b),
                a.mul(b),
                a.mul_add(b, c),
                a.max(b),
                b.max(a),
                a.max(V::splat(simd, 0.0)),
                c.keep(a.equal(b)),
                c.keep(a.positive()),
                c.keep(V::both(simd, a.positive(), free)),
                V::sums(simd, vectors),
            ] {
                let mut out = [0.0; WIDTH];
                value.store(&mut out);
                self.out.push(out);
            }
        }
    }

    /// Numbers of all sizes, and special ones.
    fn numbers() -> impl Strategy<Value = [[f32; WIDTH]; WIDTH]> {
        let special = prop::sample::select(vec![
            0.0,
            -0.0,
            1.0,
            -1.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            f32::MIN_POSITIVE,
            1e-40,
        ]);
        let number = prop_oneof![3 => -2f32..2.0, 1 => any::<f32>(), 1 => special];
        prop::array::uniform16(prop::array::uniform16(number))
    }

    proptest! {
        #[test]
        fn registers_of_all_instruction_sets_agree(x in numbers()) {
            let run = |instructions| {
                let mut out = Vec::new();
                Level::of(instructions).run(Everything { x: &x, out: &mut out });
                // What is not a number has many patterns of bits.
                let bits = |v: f32| if v.is_nan() { 0 } else { v.to_bits() };
                out.into_iter().map(|values| values.map(bits)).collect::<Vec<_>>()
            };
            let portable = run(Instructions::Portable);
            for instructions in Instructions::available() {
                prop_assert_eq!(&run(instructions), &portable, "{}", instructions);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// The standard library rounds once, on every processor.
        #[test]
        fn fused_rounds_once(a: u32, b: u32, c: u32, near in -3i32..3) {
            let (a, b, c) = (f32::from_bits(a), f32::from_bits(b), f32::from_bits(c));
            // Any bits, and sums that nearly cancel.
            let other = f32::from_bits((-a * b).to_bits().wrapping_add_signed(near));
            for c in [c, other, 0.0, -0.0] {
                let wanted = a.mul_add(b, c);
                let [plain, ..] = Plain([a; 4]).mul_add(Plain([b; 4]), Plain([c; 4])).0;
                for found in [fused(a, b, c), plain] {
                    prop_assert!(
                        found.to_bits() == wanted.to_bits() || (found.is_nan() && wanted.is_nan()),
                        "{a} · {b} + {c}: {found}, not {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn fused_rounds_halves_that_two_roundings_miss() {
        // 1 + 2⁻²⁴ + 2⁻⁶⁰-ish: in f64 the sum is the tie itself, which would go to even.
        let tie = f32::from_bits(0x3380_0000);
        let tiny = 2f32.powi(-30);
        for (a, b, c) in [
            (tiny, tiny, 1.0 + f32::EPSILON),
            (tie, 1.0 + f32::EPSILON, 1.0),
        ] {
            for sign in [1.0, -1.0] {
                assert_eq!(fused(sign * a, b, c), (sign * a).mul_add(b, c));
            }
        }
    }
}
