//! Vectors of sixteen `f32` and the choice of instruction set; the crate's only module with `unsafe` code.
//!
//! A [`Kernel`] is written once, generic over [`Vector`]; [`Level::run`] compiles it for each instruction set and picks one. A
//! [`Register`] is what an instruction set has to offer: sixteen lanes are one register of AVX-512, two of AVX2, four of NEON. Lanes
//! never meet but in [`Vector::sums`], whose order is fixed, and `a · b + c` is rounded once everywhere: so all give the same bytes.
#![allow(unsafe_code)]

use mftma::simd::Level as Instructions;

/// Values per vector.
pub(crate) const WIDTH: usize = 16;

/// One register. Implementations other than [`Plain`] may only be used inside a function compiled for their instruction set, which
/// [`Level::run`] sees to; nothing else can name them.
pub(crate) trait Register: Copy {
    /// Values per register: 4, 8 or 16.
    const LANES: usize;
    /// Whether the instruction set has 32 registers, not 16.
    const MANY: bool;
    /// One bit or one pattern of bits for each lane.
    type Mask: Copy;

    /// The first [`Self::LANES`] of `values`.
    fn load(values: &[f32]) -> Self;
    /// To the first [`Self::LANES`] of `values`.
    fn store(self, values: &mut [f32]);
    fn splat(value: f32) -> Self;
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
    fn all() -> Self::Mask;
    fn both(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `a` and not `b`.
    fn without(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// The lanes of the mask, 0 elsewhere.
    fn keep(self, lanes: Self::Mask) -> Self;
    /// For each four lanes of the registers, one after another, (0 + 2) + (1 + 3) of each of the four.
    fn four_sums(registers: [Self; 4]) -> Self;
    /// Given [`Self::four_sums`] of sixteen vectors, four at a time, in `N` registers each: their totals, block (0 + 1) + (2 + 3).
    fn fold<const N: usize>(fours: [[Self; N]; 4]) -> [Self; N];
}

/// Sixteen values in registers of an instruction set.
pub(crate) trait Vector: Copy {
    type Register: Register;
    type Mask: Copy;

    fn load(values: &[f32; WIDTH]) -> Self;
    fn store(self, values: &mut [f32; WIDTH]);
    fn splat(value: f32) -> Self;
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
    fn all() -> Self::Mask;
    fn both(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `a` and not `b`.
    fn without(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// The lanes of the mask, 0 elsewhere.
    fn keep(self, lanes: Self::Mask) -> Self;
    /// Lane i is the sum of all lanes of `vectors[i]`.
    fn sums(vectors: [Self; WIDTH]) -> Self;
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

    #[inline(always)]
    fn mask(f: impl Fn(usize) -> R::Mask) -> [R::Mask; N] {
        let mut mask = [R::all(); N];
        for (i, mask) in mask.iter_mut().enumerate() {
            *mask = f(i);
        }
        mask
    }
}

impl<R: Register, const N: usize> Vector for Registers<R, N> {
    type Register = R;
    type Mask = [R::Mask; N];

    #[inline(always)]
    fn load(values: &[f32; WIDTH]) -> Self {
        const { assert!(N * R::LANES == WIDTH) };
        let mut out = [R::splat(0.0); N];
        for (i, out) in out.iter_mut().enumerate() {
            *out = R::load(&values[i * R::LANES..]);
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
    fn splat(value: f32) -> Self {
        Self([R::splat(value); N])
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
        Self::mask(|i| self.0[i].equal(other.0[i]))
    }
    #[inline(always)]
    fn positive(self) -> Self::Mask {
        Self::mask(|i| self.0[i].positive())
    }
    #[inline(always)]
    fn all() -> Self::Mask {
        [R::all(); N]
    }
    #[inline(always)]
    fn both(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        Self::mask(|i| R::both(a[i], b[i]))
    }
    #[inline(always)]
    fn without(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        Self::mask(|i| R::without(a[i], b[i]))
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
    fn sums(v: [Self; WIDTH]) -> Self {
        let mut fours = [[R::splat(0.0); N]; 4];
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
    const LANES: usize = 4;
    const MANY: bool = false;
    type Mask = [bool; 4];

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        let mut out = [0.0; 4];
        out.copy_from_slice(&values[..4]);
        Self(out)
    }
    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        values[..4].copy_from_slice(&self.0);
    }
    #[inline(always)]
    fn splat(value: f32) -> Self {
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
    fn all() -> [bool; 4] {
        [true; 4]
    }
    #[inline(always)]
    fn both(a: [bool; 4], b: [bool; 4]) -> [bool; 4] {
        std::array::from_fn(|i| a[i] & b[i])
    }
    #[inline(always)]
    fn without(a: [bool; 4], b: [bool; 4]) -> [bool; 4] {
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
        let mut out = [Self::splat(0.0); N];
        for (out, four) in out.iter_mut().zip(fours) {
            *out = four[0].add(four[1]).add(four[2].add(four[3]));
        }
        out
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::Register;

    /// One `zmm` register.
    #[derive(Clone, Copy)]
    pub(super) struct Avx512(__m512);

    // SAFETY (all blocks below): the intrinsics need AVX-512F. `Level::run` alone names this type, inside a
    // function compiled with that feature and called only at a level that was detected. Pointers come from slices
    // of at least sixteen values, and the unaligned forms are used.
    impl Register for Avx512 {
        const LANES: usize = 16;
        const MANY: bool = true;
        type Mask = u16;

        #[inline(always)]
        fn load(values: &[f32]) -> Self {
            let values = &values[..16];
            // SAFETY: see above.
            Self(unsafe { _mm512_loadu_ps(values.as_ptr()) })
        }
        #[inline(always)]
        fn store(self, values: &mut [f32]) {
            let values = &mut values[..16];
            // SAFETY: see above.
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_set1_ps(value) })
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_sub_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_mul_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_max_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn equal(self, other: Self) -> u16 {
            // SAFETY: see above.
            unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, other.0) }
        }
        #[inline(always)]
        fn positive(self) -> u16 {
            // SAFETY: see above.
            unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, _mm512_setzero_ps()) }
        }
        #[inline(always)]
        fn all() -> u16 {
            u16::MAX
        }
        #[inline(always)]
        fn both(a: u16, b: u16) -> u16 {
            a & b
        }
        #[inline(always)]
        fn without(a: u16, b: u16) -> u16 {
            a & !b
        }
        #[inline(always)]
        fn keep(self, lanes: u16) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_maskz_mov_ps(lanes, self.0) })
        }
        #[inline(always)]
        fn four_sums([a, b, c, d]: [Self; 4]) -> Self {
            // SAFETY: see above.
            unsafe {
                let ab = _mm512_add_ps(_mm512_unpacklo_ps(a.0, b.0), _mm512_unpackhi_ps(a.0, b.0));
                let cd = _mm512_add_ps(_mm512_unpacklo_ps(c.0, d.0), _mm512_unpackhi_ps(c.0, d.0));
                let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
                let low = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
                let high = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
                Self(_mm512_add_ps(low, high))
            }
        }
        #[inline(always)]
        fn fold<const N: usize>(fours: [[Self; N]; 4]) -> [Self; N] {
            #[inline(always)]
            fn pair(a: Avx512, b: Avx512) -> Avx512 {
                // SAFETY: see above.
                unsafe {
                    let even = _mm512_shuffle_f32x4::<0x88>(a.0, b.0);
                    let odd = _mm512_shuffle_f32x4::<0xdd>(a.0, b.0);
                    Avx512(_mm512_add_ps(even, odd))
                }
            }
            let [a, b, c, d] = fours.map(|four| four[0]);
            [pair(pair(a, b), pair(c, d)); N]
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::Register;

    /// One `ymm` register.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2(__m256);

    // SAFETY (all blocks below): the intrinsics need AVX2 and FMA. `Level::run` alone names this type, inside a
    // function compiled with those features and called only at a level that was detected. Pointers come from slices
    // of at least eight values, and the unaligned forms are used.
    impl Register for Avx2 {
        const LANES: usize = 8;
        const MANY: bool = false;
        type Mask = __m256;

        #[inline(always)]
        fn load(values: &[f32]) -> Self {
            let values = &values[..8];
            // SAFETY: see above.
            Self(unsafe { _mm256_loadu_ps(values.as_ptr()) })
        }
        #[inline(always)]
        fn store(self, values: &mut [f32]) {
            let values = &mut values[..8];
            // SAFETY: see above.
            unsafe { _mm256_storeu_ps(values.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_set1_ps(value) })
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_sub_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_mul_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_max_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn equal(self, other: Self) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_cmp_ps::<_CMP_EQ_OQ>(self.0, other.0) }
        }
        #[inline(always)]
        fn positive(self) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, _mm256_setzero_ps()) }
        }
        #[inline(always)]
        fn all() -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_castsi256_ps(_mm256_set1_epi32(-1)) }
        }
        #[inline(always)]
        fn both(a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_and_ps(a, b) }
        }
        #[inline(always)]
        fn without(a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_andnot_ps(b, a) }
        }
        #[inline(always)]
        fn keep(self, lanes: __m256) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_and_ps(self.0, lanes) })
        }
        #[inline(always)]
        fn four_sums([a, b, c, d]: [Self; 4]) -> Self {
            // SAFETY: see above.
            unsafe {
                let ab = _mm256_add_ps(_mm256_unpacklo_ps(a.0, b.0), _mm256_unpackhi_ps(a.0, b.0));
                let cd = _mm256_add_ps(_mm256_unpacklo_ps(c.0, d.0), _mm256_unpackhi_ps(c.0, d.0));
                let (ab, cd) = (_mm256_castps_pd(ab), _mm256_castps_pd(cd));
                let low = _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd));
                let high = _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd));
                Self(_mm256_add_ps(low, high))
            }
        }
        #[inline(always)]
        fn fold<const N: usize>(fours: [[Self; N]; 4]) -> [Self; N] {
            // Blocks 0 and 1 of a vector are in its first register, 2 and 3 in its second.
            #[inline(always)]
            fn pair(a: Avx2, b: Avx2) -> Avx2 {
                // SAFETY: see above.
                unsafe {
                    let even = _mm256_permute2f128_ps::<0x20>(a.0, b.0);
                    let odd = _mm256_permute2f128_ps::<0x31>(a.0, b.0);
                    Avx2(_mm256_add_ps(even, odd))
                }
            }
            let mut out = [Self::splat(0.0); N];
            for (i, out) in out.iter_mut().enumerate() {
                let (a, b) = (fours[2 * i], fours[2 * i + 1]);
                *out = pair(a[0], b[0]).add(pair(a[N - 1], b[N - 1]));
            }
            out
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    use super::Register;

    /// One `v` register.
    #[derive(Clone, Copy)]
    pub(super) struct Neon(float32x4_t);

    // SAFETY (all blocks below): the intrinsics need NEON. `Level::run` alone names this type, inside a function compiled with that
    // feature and called only at a level that was detected. Pointers come from slices of at least four values.
    impl Register for Neon {
        const LANES: usize = 4;
        const MANY: bool = true;
        type Mask = uint32x4_t;

        #[inline(always)]
        fn load(values: &[f32]) -> Self {
            let values = &values[..4];
            // SAFETY: see above.
            Self(unsafe { vld1q_f32(values.as_ptr()) })
        }
        #[inline(always)]
        fn store(self, values: &mut [f32]) {
            let values = &mut values[..4];
            // SAFETY: see above.
            unsafe { vst1q_f32(values.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: see above.
            Self(unsafe { vdupq_n_f32(value) })
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { vaddq_f32(self.0, other.0) })
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { vsubq_f32(self.0, other.0) })
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { vmulq_f32(self.0, other.0) })
        }
        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { vfmaq_f32(c.0, self.0, b.0) })
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // NEON's own maximum treats zeros and what is not a number otherwise.
            // SAFETY: see above.
            Self(unsafe { vbslq_f32(vcgtq_f32(self.0, other.0), self.0, other.0) })
        }
        #[inline(always)]
        fn equal(self, other: Self) -> uint32x4_t {
            // SAFETY: see above.
            unsafe { vceqq_f32(self.0, other.0) }
        }
        #[inline(always)]
        fn positive(self) -> uint32x4_t {
            // SAFETY: see above.
            unsafe { vcgtzq_f32(self.0) }
        }
        #[inline(always)]
        fn all() -> uint32x4_t {
            // SAFETY: see above.
            unsafe { vdupq_n_u32(u32::MAX) }
        }
        #[inline(always)]
        fn both(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
            // SAFETY: see above.
            unsafe { vandq_u32(a, b) }
        }
        #[inline(always)]
        fn without(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
            // SAFETY: see above.
            unsafe { vbicq_u32(a, b) }
        }
        #[inline(always)]
        fn keep(self, lanes: uint32x4_t) -> Self {
            // SAFETY: see above.
            Self(unsafe { vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(self.0), lanes)) })
        }
        #[inline(always)]
        fn four_sums([a, b, c, d]: [Self; 4]) -> Self {
            // SAFETY: see above.
            unsafe {
                let ab = vaddq_f32(vzip1q_f32(a.0, b.0), vzip2q_f32(a.0, b.0));
                let cd = vaddq_f32(vzip1q_f32(c.0, d.0), vzip2q_f32(c.0, d.0));
                let (ab, cd) = (vreinterpretq_f64_f32(ab), vreinterpretq_f64_f32(cd));
                let low = vreinterpretq_f32_f64(vzip1q_f64(ab, cd));
                let high = vreinterpretq_f32_f64(vzip2q_f64(ab, cd));
                Self(vaddq_f32(low, high))
            }
        }
        #[inline(always)]
        fn fold<const N: usize>(fours: [[Self; N]; 4]) -> [Self; N] {
            let mut out = [Self::splat(0.0); N];
            for (out, four) in out.iter_mut().zip(fours) {
                *out = four[0].add(four[1]).add(four[2].add(four[3]));
            }
            out
        }
    }
}

/// An instruction set that is known to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(Set);

/// Private to this module, so that an instruction set can only be had by detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Level {
    /// That of the engine: the best that this processor has, unless another was asked for.
    pub(crate) fn current() -> Self {
        Self::of(Instructions::current())
    }

    /// The one of this name; the portable one where the processor does not have it.
    pub(crate) fn of(instructions: Instructions) -> Self {
        if !instructions.is_available() {
            return Self(Set::Portable);
        }
        match instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => Self(Set::Avx512),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => Self(Set::Avx2),
            #[cfg(target_arch = "aarch64")]
            Instructions::Neon => Self(Set::Neon),
            _ => Self(Set::Portable),
        }
    }

    /// Runs a kernel with this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        match self.0 {
            Set::Portable => kernel.run::<Registers<Plain, 4>>(),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => {
                #[target_feature(enable = "avx2,fma")]
                fn run<K: Kernel>(kernel: K) {
                    kernel.run::<Registers<avx2::Avx2, 2>>();
                }
                // SAFETY: this variant exists only where `of` found AVX2 and FMA.
                unsafe { run(kernel) }
            }
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => {
                #[target_feature(enable = "avx512f")]
                fn run<K: Kernel>(kernel: K) {
                    kernel.run::<Registers<avx512::Avx512, 1>>();
                }
                // SAFETY: this variant exists only where `of` found AVX-512F.
                unsafe { run(kernel) }
            }
            #[cfg(target_arch = "aarch64")]
            Set::Neon => {
                #[target_feature(enable = "neon")]
                fn run<K: Kernel>(kernel: K) {
                    kernel.run::<Registers<neon::Neon, 4>>();
                }
                // SAFETY: this variant exists only where `of` found NEON.
                unsafe { run(kernel) }
            }
        }
    }
}

/// Work to be done with vectors. `run` and all it calls on vectors must be `#[inline(always)]`, so that it is compiled
/// for the instruction set of the vectors.
pub(crate) trait Kernel {
    fn run<V: Vector>(self);
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
        fn run<V: Vector>(self) {
            let [a, b, c] = [
                V::load(&self.x[0]),
                V::load(&self.x[1]),
                V::load(&self.x[2]),
            ];
            let free = V::without(V::all(), a.equal(b));
            let mut vectors = [V::splat(0.0); WIDTH];
            for (vector, x) in vectors.iter_mut().zip(self.x) {
                *vector = V::load(x);
            }
            for value in [
                a.add(b),
                a.sub(b),
                a.mul(b),
                a.mul_add(b, c),
                a.max(b),
                b.max(a),
                a.max(V::splat(0.0)),
                c.keep(a.equal(b)),
                c.keep(a.positive()),
                c.keep(V::both(a.positive(), free)),
                V::sums(vectors),
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
