//! SIMD vectors of [`LANES`] values, the abstraction over instruction sets.

use super::half::{Halves, from_half};
use super::{LANES, Lanes, multiply_add};

/// [`LANES`] values in the registers of an instruction set.
///
/// The methods are safe to call only if the processor supports the instruction set.
pub(super) trait Vector: Copy {
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: &Lanes) -> Self;
    unsafe fn load_half(from: &Halves) -> Self;
    unsafe fn store(self, to: &mut [f32; LANES]);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn subtract(self, other: Self) -> Self;
    unsafe fn divide(self, other: Self) -> Self;
    unsafe fn max(self, other: Self) -> Self;
    unsafe fn min(self, other: Self) -> Self;
    /// `self * factor + sum`.
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self;
    /// 2ⁿ for `self` = [`ROUNDER`] + n, with n from −126 to 127.
    unsafe fn power_of_two(self) -> Self;
    /// The sum of all lanes.
    unsafe fn sum(self) -> f32;
}

/// Adding this number rounds a value to an integer in the lowest bits.
pub(super) const ROUNDER: f32 = 12_582_912.0;
/// Difference of the bits of [`ROUNDER`] and the exponent bias.
const EXPONENT_OFFSET: i32 = ROUNDER.to_bits().cast_signed() - 127;
impl Lanes {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a loop of a few instructions")]
    fn zip(mut self, other: Self, combine: impl Fn(f32, f32) -> f32) -> Self {
        for (left, right) in self.0.iter_mut().zip(other.0) {
            *left = combine(*left, right);
        }
        self
    }
}

#[expect(clippy::inline_always, reason = "a loop of a few instructions each")]
impl Vector for Lanes {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: &Lanes) -> Self {
        *from
    }

    #[inline(always)]
    unsafe fn load_half(from: &Halves) -> Self {
        Self(from.0.map(from_half))
    }

    #[inline(always)]
    unsafe fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |left, right| left + right)
    }

    #[inline(always)]
    unsafe fn subtract(self, other: Self) -> Self {
        self.zip(other, |left, right| left - right)
    }

    #[inline(always)]
    unsafe fn divide(self, other: Self) -> Self {
        self.zip(other, |left, right| left / right)
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |left, right| if left > right { left } else { right })
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, |left, right| if left < right { left } else { right })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, mut sum: Self) -> Self {
        for ((sum, left), right) in sum.0.iter_mut().zip(self.0).zip(factor.0) {
            *sum = multiply_add(left, right, *sum);
        }
        sum
    }

    #[inline(always)]
    unsafe fn power_of_two(mut self) -> Self {
        for lane in &mut self.0 {
            let exponent = lane.to_bits().cast_signed().wrapping_sub(EXPONENT_OFFSET);
            *lane = f32::from_bits(exponent.cast_unsigned() << 23);
        }
        self
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let Self(mut sums) = self;
        // Pairwise reduction: four vector additions instead of a chain of fifteen.
        let mut half = LANES / 2;
        while half > 0 {
            let (front, back) = sums.split_at_mut(half);
            for (sum, other) in front.iter_mut().zip(back) {
                *sum += *other;
            }
            half /= 2;
        }
        sums[0]
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::{
        __m128i, __m256, __m512, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_load_si128,
        _mm_movehl_ps, _mm_shuffle_ps, _mm256_add_ps, _mm256_castps_si256, _mm256_castps256_ps128,
        _mm256_castsi256_ps, _mm256_cvtph_ps, _mm256_div_ps, _mm256_extractf128_ps,
        _mm256_fmadd_ps, _mm256_load_ps, _mm256_load_si256, _mm256_max_ps, _mm256_min_ps,
        _mm256_set1_epi32, _mm256_set1_ps, _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_epi32,
        _mm256_sub_ps, _mm512_add_ps, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cvtph_ps,
        _mm512_div_ps, _mm512_fmadd_ps, _mm512_load_ps, _mm512_max_ps, _mm512_min_ps,
        _mm512_reduce_add_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_slli_epi32,
        _mm512_storeu_ps, _mm512_sub_epi32, _mm512_sub_ps,
    };

    use super::{EXPONENT_OFFSET, Halves, LANES, Lanes, Vector};

    /// Two AVX2 registers.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Pair(__m256, __m256);

    // The pointers below point to arrays of `LANES` values, those of `Lanes` with an alignment of 64.
    #[expect(clippy::inline_always, reason = "one or two instructions each")]
    impl Vector for Pair {
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller guarantees the instruction set, here and below.
            let half = unsafe { _mm256_set1_ps(value) };
            Self(half, half)
        }

        #[inline(always)]
        unsafe fn load(from: &Lanes) -> Self {
            let from = from.0.as_ptr();
            // SAFETY: see above.
            unsafe { Self(_mm256_load_ps(from), _mm256_load_ps(from.add(8))) }
        }

        #[inline(always)]
        unsafe fn load_half(from: &Halves) -> Self {
            let from: *const __m128i = from.0.as_ptr().cast();
            // SAFETY: see above; `Halves` has 32 bytes and an alignment of 32.
            unsafe {
                let (low, high) = (_mm_load_si128(from), _mm_load_si128(from.add(1)));
                Self(_mm256_cvtph_ps(low), _mm256_cvtph_ps(high))
            }
        }

        #[inline(always)]
        unsafe fn store(self, to: &mut [f32; LANES]) {
            let to = to.as_mut_ptr();
            // SAFETY: see above.
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn subtract(self, other: Self) -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn divide(self, other: Self) -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm256_div_ps(self.0, other.0), _mm256_div_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm256_max_ps(self.0, other.0), _mm256_max_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm256_min_ps(self.0, other.0), _mm256_min_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
            // SAFETY: see above.
            unsafe {
                Self(
                    _mm256_fmadd_ps(self.0, factor.0, sum.0),
                    _mm256_fmadd_ps(self.1, factor.1, sum.1),
                )
            }
        }

        #[inline(always)]
        unsafe fn power_of_two(self) -> Self {
            let half = |half| {
                // SAFETY: see above.
                unsafe {
                    let offset = _mm256_set1_epi32(EXPONENT_OFFSET);
                    let exponent = _mm256_sub_epi32(_mm256_castps_si256(half), offset);
                    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
                }
            };
            Self(half(self.0), half(self.1))
        }

        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            // SAFETY: see above.
            unsafe {
                let eight = _mm256_add_ps(self.0, self.1);
                let four =
                    _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
            }
        }
    }

    #[expect(clippy::inline_always, reason = "one or two instructions each")]
    impl Vector for __m512 {
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller guarantees the instruction set, here and below.
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load(from: &Lanes) -> Self {
            // SAFETY: `Lanes` has 16 values and an alignment of 64.
            unsafe { _mm512_load_ps(from.0.as_ptr()) }
        }

        #[inline(always)]
        unsafe fn load_half(from: &Halves) -> Self {
            // SAFETY: `Halves` has 32 bytes and an alignment of 32.
            unsafe { _mm512_cvtph_ps(_mm256_load_si256(from.0.as_ptr().cast())) }
        }

        #[inline(always)]
        unsafe fn store(self, to: &mut [f32; LANES]) {
            // SAFETY: the array has 16 values.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self) }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: see above.
            unsafe { _mm512_add_ps(self, other) }
        }

        #[inline(always)]
        unsafe fn subtract(self, other: Self) -> Self {
            // SAFETY: see above.
            unsafe { _mm512_sub_ps(self, other) }
        }

        #[inline(always)]
        unsafe fn divide(self, other: Self) -> Self {
            // SAFETY: see above.
            unsafe { _mm512_div_ps(self, other) }
        }

        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: see above.
            unsafe { _mm512_max_ps(self, other) }
        }

        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self {
            // SAFETY: see above.
            unsafe { _mm512_min_ps(self, other) }
        }

        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
            // SAFETY: see above.
            unsafe { _mm512_fmadd_ps(self, factor, sum) }
        }

        #[inline(always)]
        unsafe fn power_of_two(self) -> Self {
            // SAFETY: see above.
            unsafe {
                let exponent =
                    _mm512_sub_epi32(_mm512_castps_si512(self), _mm512_set1_epi32(EXPONENT_OFFSET));
                _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
            }
        }

        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            // SAFETY: see above.
            unsafe { _mm512_reduce_add_ps(self) }
        }
    }
}
