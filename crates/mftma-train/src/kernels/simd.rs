//! Vectors of sixteen `f32` and the choice of instruction set; the crate's only module with `unsafe` code.
//!
//! A [`Kernel`] is written once, generic over [`Vector`]; [`Level::run`] compiles it twice, for AVX-512 and for whatever
//! the target offers, and picks one.
#![allow(unsafe_code)]

/// Values per vector.
pub(crate) const WIDTH: usize = 16;

/// Sixteen values. Implementations other than [`Portable`] may only be used inside a function compiled for their
/// instruction set, which [`Level::run`] sees to; nothing else can name them.
pub(crate) trait Vector: Copy {
    fn load(values: &[f32; WIDTH]) -> Self;
    fn store(self, values: &mut [f32; WIDTH]);
    fn splat(value: f32) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self · b + c`, rounded once where the processor can.
    fn mul_add(self, b: Self, c: Self) -> Self;
    fn max(self, other: Self) -> Self;
    /// Bit i is set where lane i of `self` equals lane i of `other`.
    fn equal(self, other: Self) -> u16;
    /// Bit i is set where lane i is above 0.
    fn positive(self) -> u16;
    /// Lane i where bit i is set, 0 elsewhere.
    fn keep(self, lanes: u16) -> Self;
    /// Lane i is the sum of all lanes of `vectors[i]`.
    fn sums(vectors: [Self; WIDTH]) -> Self;
}

/// Plain arrays, which the compiler turns into whatever vectors the target has.
#[derive(Clone, Copy)]
struct Portable([f32; WIDTH]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self;
        for (a, b) in out.0.iter_mut().zip(other.0) {
            *a = f(*a, b);
        }
        out
    }
}

impl Vector for Portable {
    #[inline(always)]
    fn load(values: &[f32; WIDTH]) -> Self {
        Self(*values)
    }
    #[inline(always)]
    fn store(self, values: &mut [f32; WIDTH]) {
        *values = self.0;
    }
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; WIDTH])
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
        self.mul(b).add(c)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // As the x86 instruction: the second operand where either is NaN.
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn equal(self, other: Self) -> u16 {
        let mut bits = 0;
        for i in 0..WIDTH {
            bits |= u16::from(self.0[i] == other.0[i]) << i;
        }
        bits
    }
    #[inline(always)]
    fn positive(self) -> u16 {
        let mut bits = 0;
        for i in 0..WIDTH {
            bits |= u16::from(self.0[i] > 0.0) << i;
        }
        bits
    }
    #[inline(always)]
    fn keep(self, lanes: u16) -> Self {
        let mut out = self;
        for i in 0..WIDTH {
            if lanes >> i & 1 == 0 {
                out.0[i] = 0.0;
            }
        }
        out
    }
    #[inline(always)]
    fn sums(vectors: [Self; WIDTH]) -> Self {
        let mut out = [0.0; WIDTH];
        for (sum, vector) in out.iter_mut().zip(vectors) {
            *sum = vector.0.iter().sum();
        }
        Self(out)
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{Vector, WIDTH};

    /// One `zmm` register.
    #[derive(Clone, Copy)]
    pub(super) struct Avx512(__m512);

    // SAFETY (all blocks below): the intrinsics need AVX-512F. `Level::run` alone names this type, inside a
    // function compiled with that feature and called only at a level that was detected. Pointers come from references to
    // sixteen values, and the unaligned forms are used.
    impl Vector for Avx512 {
        #[inline(always)]
        fn load(values: &[f32; WIDTH]) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_loadu_ps(values.as_ptr()) })
        }
        #[inline(always)]
        fn store(self, values: &mut [f32; WIDTH]) {
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
        fn keep(self, lanes: u16) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_maskz_mov_ps(lanes, self.0) })
        }
        #[inline(always)]
        fn sums(v: [Self; WIDTH]) -> Self {
            // Halves the number of vectors four times, each time adding two halves of each.
            // SAFETY: see above.
            unsafe {
                let mut eight = [_mm512_setzero_ps(); 8];
                for i in 0..8 {
                    let (a, b) = (v[2 * i].0, v[2 * i + 1].0);
                    eight[i] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                }
                let mut four = [_mm512_setzero_ps(); 4];
                for i in 0..4 {
                    let a = _mm512_castps_pd(eight[2 * i]);
                    let b = _mm512_castps_pd(eight[2 * i + 1]);
                    let low = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                    let high = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
                    four[i] = _mm512_add_ps(low, high);
                }
                let mut two = [_mm512_setzero_ps(); 2];
                for i in 0..2 {
                    let (a, b) = (four[2 * i], four[2 * i + 1]);
                    let even = _mm512_shuffle_f32x4::<0x88>(a, b);
                    let odd = _mm512_shuffle_f32x4::<0xdd>(a, b);
                    two[i] = _mm512_add_ps(even, odd);
                }
                let even = _mm512_shuffle_f32x4::<0x88>(two[0], two[1]);
                let odd = _mm512_shuffle_f32x4::<0xdd>(two[0], two[1]);
                Self(_mm512_add_ps(even, odd))
            }
        }
    }
}

/// An instruction set that is known to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(Set);

/// Private to this module, so that AVX-512 can only be had by detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The fastest that this processor has.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") {
            return Self(Set::Avx512);
        }
        Self::PORTABLE
    }

    /// What every processor has.
    pub(crate) const PORTABLE: Self = Self(Set::Portable);

    /// Runs a kernel with this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        match self.0 {
            Set::Portable => kernel.run::<Portable>(),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => {
                #[target_feature(enable = "avx512f")]
                fn run<K: Kernel>(kernel: K) {
                    kernel.run::<avx512::Avx512>();
                }
                // SAFETY: this variant exists only where `detect` found AVX-512F.
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
