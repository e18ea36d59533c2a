//! The forward pass of a small network, [`LANES`] items at a time: written once over a vector type,
//! compiled for each instruction set.

use super::{LANES, Lanes, multiply_add};

/// Outputs of a layer that are summed at the same time: enough chains of additions to keep the
/// processor busy, few enough for the sums to stay in AVX2's sixteen registers.
const GROUP: usize = 5;

/// A fully connected layer, its weights in the order in which they are used: for each group of
/// [`GROUP`] outputs (the last may have fewer) their biases, then for each input its weights to them.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    inputs: usize,
    outputs: usize,
    weights: Vec<f32>,
}

impl Layer {
    /// `weight` has a row for each input, with a column for each output.
    pub(crate) fn new(weight: &[f32], bias: &[f32]) -> Self {
        let outputs = bias.len();
        let inputs = weight.len() / outputs.max(1);
        assert_eq!(inputs * outputs, weight.len());
        let mut weights = Vec::with_capacity(weight.len() + outputs);
        for first in (0..outputs).step_by(GROUP) {
            let group = first..(first + GROUP).min(outputs);
            weights.extend_from_slice(&bias[group.clone()]);
            for row in weight.chunks_exact(outputs) {
                weights.extend_from_slice(&row[group.clone()]);
            }
        }
        Self { inputs, outputs, weights }
    }
}

/// A network that scores items: what is the same for every user.
///
/// An item is a column of a block, with `hidden` numbers and then `linear` ones. The hidden ones are
/// the items' half of the first layer before its ReLU; the linear ones are weighed and added up beside
/// the layers. The score is the sigmoid of the sum of both.
#[derive(Debug, Clone)]
pub(crate) struct Stack {
    /// Numbers of an item that enter the layers; none where there are no layers.
    pub(crate) hidden: usize,
    /// Numbers of an item that are added up.
    pub(crate) linear: usize,
    /// The layers behind the first one. The last has one output; the others end in a ReLU.
    pub(crate) layers: Vec<Layer>,
}

impl Stack {
    /// Numbers an item.
    pub(crate) const fn width(&self) -> usize {
        self.hidden + self.linear
    }

    /// Whether the sizes fit together; what is unsafe below relies on nothing else.
    fn check(&self, user: &User, blocks: &[Lanes], scores: &[f32]) {
        let mut inputs = self.hidden;
        for layer in &self.layers {
            assert_eq!(layer.inputs, inputs);
            inputs = layer.outputs;
        }
        assert!(if self.hidden == 0 { self.layers.is_empty() } else { inputs == 1 });
        assert!(self.width() > 0);
        assert_eq!((user.hidden.len(), user.linear.len()), (self.hidden, self.linear));
        assert_eq!(scores.len() % LANES, 0);
        assert_eq!(blocks.len() * LANES, scores.len() * self.width());
    }
}

/// What a user adds.
#[derive(Debug, Clone, Default)]
pub(crate) struct User {
    /// The user's half of the first layer, its bias included.
    pub(crate) hidden: Vec<f32>,
    /// The weights of the items' linear numbers.
    pub(crate) linear: Vec<f32>,
    /// Added to every sum.
    pub(crate) bias: f32,
}

/// [`LANES`] numbers in the registers of an instruction set.
///
/// The methods may be called only where the processor has that instruction set.
trait Vector: Copy {
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: &Lanes) -> Self;
    unsafe fn store(self, to: &mut [f32; LANES]);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn subtract(self, other: Self) -> Self;
    unsafe fn divide(self, other: Self) -> Self;
    unsafe fn max(self, other: Self) -> Self;
    unsafe fn min(self, other: Self) -> Self;
    /// `self * factor + sum`.
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self;
    /// 2ⁿ, where `self` is [`ROUNDER`] + n and n from −126 to 127.
    unsafe fn power_of_two(self) -> Self;
}

/// A number so large that adding it rounds to whole numbers, which are then its lowest bits.
const ROUNDER: f32 = 12_582_912.0;
/// The bits that a power of two in the lowest bits of [`ROUNDER`] has too many.
const EXPONENT_OFFSET: i32 = ROUNDER.to_bits().cast_signed() - 127;

/// 1 / (1 + e⁻ˣ), to about 1e-7.
#[inline(always)]
unsafe fn sigmoid<V: Vector>(x: V) -> V {
    // ln 2 in two parts, the first with few enough digits for its multiples to be exact.
    const HIGH: f32 = 355.0 / 512.0;
    const LOW: f32 = (std::f64::consts::LN_2 - 355.0 / 512.0) as f32;
    // SAFETY: the caller answers for the instruction set.
    unsafe {
        let splat = |value| V::splat(value);
        // Beyond these the sigmoid is 0 or 1 to single precision.
        let x = x.max(splat(-87.0)).min(splat(87.0));
        // e⁻ˣ = 2ⁿ eʳ with a whole n and a small r.
        let shifted = x.mul_add(splat(-std::f32::consts::LOG2_E), splat(ROUNDER));
        let n = shifted.subtract(splat(ROUNDER));
        let minus_x = x.mul_add(splat(-1.0), splat(0.0));
        let r = n.mul_add(splat(-LOW), n.mul_add(splat(-HIGH), minus_x));
        // The series of eʳ; with |r| < 0.35 what is left out is below 1e-8.
        let mut power = splat(1.0 / 5040.0);
        for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            power = power.mul_add(r, splat(coefficient));
        }
        let one = splat(1.0);
        one.divide(power.mul_add(shifted.power_of_two(), one))
    }
}

/// The sums of a group of outputs.
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of functions for other instruction sets")]
unsafe fn group<V: Vector, const N: usize>(weights: &[f32], inputs: &[Lanes]) -> [V; N] {
    let (bias, weights) = weights.split_at(N);
    // SAFETY: the caller answers for the instruction set.
    let mut sums = [unsafe { V::splat(0.0) }; N];
    for (sum, &bias) in sums.iter_mut().zip(bias) {
        // SAFETY: as above.
        *sum = unsafe { V::splat(bias) };
    }
    for (input, weights) in inputs.iter().zip(weights.as_chunks::<N>().0) {
        // SAFETY: as above.
        unsafe {
            let input = V::load(input);
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                *sum = input.mul_add(V::splat(weight), *sum);
            }
        }
    }
    sums
}

/// A layer with its ReLU.
#[inline(always)]
unsafe fn dense<V: Vector>(layer: &Layer, inputs: &[Lanes], outputs: &mut [Lanes]) {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "part of functions for other instruction sets")]
    unsafe fn part<V: Vector, const N: usize>(
        weights: &[f32],
        inputs: &[Lanes],
        out: &mut [Lanes],
    ) {
        // SAFETY: the caller answers for the instruction set.
        unsafe {
            for (sum, out) in group::<V, N>(weights, inputs).into_iter().zip(out) {
                sum.max(V::splat(0.0)).store(&mut out.0);
            }
        }
    }
    let inputs = &inputs[..layer.inputs];
    let groups = layer.weights.chunks(GROUP * (1 + layer.inputs));
    for (weights, out) in groups.zip(outputs[..layer.outputs].chunks_mut(GROUP)) {
        // SAFETY: as above.
        unsafe {
            match out.len() {
                1 => part::<V, 1>(weights, inputs, out),
                2 => part::<V, 2>(weights, inputs, out),
                3 => part::<V, 3>(weights, inputs, out),
                4 => part::<V, 4>(weights, inputs, out),
                _ => part::<V, GROUP>(weights, inputs, out),
            }
        }
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "part of functions for other instruction sets")]
unsafe fn forward<V: Vector>(stack: &Stack, user: &User, blocks: &[Lanes], scores: &mut [f32]) {
    stack.check(user, blocks, scores);
    let widest = stack.layers.iter().map(|layer| layer.inputs).max().unwrap_or(0);
    let mut work = vec![Lanes::default(); 2 * widest];
    let (mut from, mut to) = work.split_at_mut(widest);
    let scores = scores.as_chunks_mut::<LANES>().0;
    for (block, scores) in blocks.chunks_exact(stack.width()).zip(scores) {
        let (hidden, linear) = block.split_at(stack.hidden);
        // SAFETY: the caller answers for the instruction set.
        unsafe {
            let mut logit = V::splat(user.bias);
            for (column, &weight) in linear.iter().zip(&user.linear) {
                logit = V::load(column).mul_add(V::splat(weight), logit);
            }
            if let Some((last, layers)) = stack.layers.split_last() {
                for ((column, &half), sum) in hidden.iter().zip(&user.hidden).zip(&mut *from) {
                    let sums = V::load(column).add(V::splat(half));
                    sums.max(V::splat(0.0)).store(&mut sum.0);
                }
                for layer in layers {
                    dense::<V>(layer, from, to);
                    (from, to) = (to, from);
                }
                let [sum] = group::<V, 1>(&last.weights, &from[..last.inputs]);
                logit = logit.add(sum);
            }
            sigmoid(logit).store(scores);
        }
    }
}

pub(super) fn plain(stack: &Stack, user: &User, blocks: &[Lanes], scores: &mut [f32]) {
    // SAFETY: arrays of numbers need no instruction set in particular.
    unsafe { forward::<Lanes>(stack, user, blocks, scores) }
}

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
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm256_add_ps, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_div_ps,
        _mm256_fmadd_ps, _mm256_load_ps, _mm256_max_ps, _mm256_min_ps, _mm256_set1_epi32,
        _mm256_set1_ps, _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_epi32, _mm256_sub_ps,
        _mm512_add_ps, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_div_ps, _mm512_fmadd_ps,
        _mm512_load_ps, _mm512_max_ps, _mm512_min_ps, _mm512_set1_epi32, _mm512_set1_ps,
        _mm512_slli_epi32, _mm512_storeu_ps, _mm512_sub_epi32, _mm512_sub_ps,
    };

    use super::{EXPONENT_OFFSET, LANES, Lanes, Stack, User, Vector, forward};

    #[target_feature(enable = "avx2,fma")]
    pub(in super::super) fn avx2(stack: &Stack, user: &User, blocks: &[Lanes], scores: &mut [f32]) {
        // SAFETY: this function has the features itself.
        unsafe { forward::<Pair>(stack, user, blocks, scores) }
    }

    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn avx512(
        stack: &Stack,
        user: &User,
        blocks: &[Lanes],
        scores: &mut [f32],
    ) {
        // SAFETY: as in `avx2`.
        unsafe { forward::<__m512>(stack, user, blocks, scores) }
    }

    /// Two registers of AVX2.
    #[derive(Clone, Copy)]
    pub(super) struct Pair(__m256, __m256);

    // The pointers below are those of whole arrays of `LANES` numbers, `Lanes` on a boundary of 64.
    #[expect(clippy::inline_always, reason = "one or two instructions each")]
    impl Vector for Pair {
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller answers for the instruction set, here and below.
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
    }

    #[expect(clippy::inline_always, reason = "one or two instructions each")]
    impl Vector for __m512 {
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller answers for the instruction set, here and below.
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load(from: &Lanes) -> Self {
            // SAFETY: `Lanes` has 16 numbers, on a boundary of 64.
            unsafe { _mm512_load_ps(from.0.as_ptr()) }
        }

        #[inline(always)]
        unsafe fn store(self, to: &mut [f32; LANES]) {
            // SAFETY: there are 16 numbers.
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
    }
}
