//! The forward pass of a small network for [`LANES`] items at a time, generic over the vector type of an instruction
//! set.

use super::vector::{ROUNDER, Vector};
use super::{LANES, Lanes};

/// Number of outputs summed concurrently: enough independent chains of additions to hide latency, few enough for the
/// 16 registers of AVX2.
const GROUP: usize = 5;

/// A fully connected layer with weights in order of use: for each group of [`GROUP`] outputs (or fewer in the last),
/// their biases, then their weights for each input.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    inputs: usize,
    outputs: usize,
    weights: Vec<f32>,
}

impl Layer {
    /// `weight` has the shape [inputs, outputs].
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

/// The part of a scoring network that is independent of the user.
///
/// An item is a column of a block with `inputs` and then `linear` values. The inputs, times the factors of the units, are
/// the item's part of the first layer before the ReLU. The linear values enter a weighted sum beside the layers. The score
/// is the sigmoid of both sums.
#[derive(Debug, Clone)]
pub(crate) struct Stack {
    /// Number of an item's values that enter the first layer; 0 without layers.
    pub(crate) inputs: usize,
    /// The units of the first layer.
    pub(crate) units: Vec<Unit>,
    /// Number of an item's values in the weighted sum.
    pub(crate) linear: usize,
    /// The layers after the first. The last has one output; the others end in a ReLU.
    pub(crate) layers: Vec<Layer>,
}

/// The item's part of a unit of the first layer: one of its inputs, times a factor. Several units may have the same input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unit {
    pub(crate) input: usize,
    pub(crate) factor: f32,
}

/// A unit of the only hidden layer, for a user.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    input: usize,
    factor: f32,
    /// The user's part.
    offset: f32,
    /// Its weight in the output.
    weight: f32,
}

/// Number of sums of an output that are computed concurrently.
const CHAINS: usize = 4;

impl Stack {
    /// Number of values per item.
    pub(crate) const fn width(&self) -> usize {
        self.inputs + self.linear
    }

    /// The units in groups of [`CHAINS`], the last one padded, and the bias of the output, if there is one hidden layer.
    fn steps(&self, user: &User) -> Option<(Vec<[Step; CHAINS]>, f32)> {
        let [output] = &self.layers[..] else { return None };
        let (bias, weights) = output.weights.split_first()?;
        let mut groups = vec![[Step::default(); CHAINS]; self.units.len().div_ceil(CHAINS)];
        let units = self.units.iter().zip(&user.hidden).zip(weights);
        let steps = groups.as_flattened_mut().iter_mut();
        for (step, ((&Unit { input, factor }, &offset), &weight)) in steps.zip(units) {
            *step = Step { input, factor, offset, weight };
        }
        Some((groups, *bias))
    }

    /// Asserts consistent sizes, on which the unsafe code relies.
    fn check(&self, user: &User, blocks: &[Lanes], scores: &[f32]) {
        assert!(self.units.iter().all(|unit| unit.input < self.inputs));
        let mut inputs = self.units.len();
        for layer in &self.layers {
            assert_eq!(layer.inputs, inputs);
            inputs = layer.outputs;
        }
        assert!(if inputs == 0 { self.layers.is_empty() } else { inputs == 1 });
        assert!(self.width() > 0);
        assert_eq!((user.hidden.len(), user.linear.len()), (self.units.len(), self.linear));
        assert_eq!(scores.len() % LANES, 0);
        assert_eq!(blocks.len() * LANES, scores.len() * self.width());
    }
}

/// The part of a user.
#[derive(Debug, Clone, Default)]
pub(crate) struct User {
    /// The user's part of the first layer, with its bias.
    pub(crate) hidden: Vec<f32>,
    /// The weights of the items' linear values.
    pub(crate) linear: Vec<f32>,
    /// Added to every sum.
    pub(crate) bias: f32,
}

/// 1 / (1 + e⁻ˣ), to about 1e-7.
#[inline(always)]
unsafe fn sigmoid<V: Vector>(x: V) -> V {
    // ln 2 in two parts; the multiples of the first are exact.
    const HIGH: f32 = 355.0 / 512.0;
    const LOW: f32 = (std::f64::consts::LN_2 - 355.0 / 512.0) as f32;
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let splat = |value| V::splat(value);
        // Outside this range the sigmoid is 0 or 1 in single precision.
        let x = x.max(splat(-87.0)).min(splat(87.0));
        // e⁻ˣ = 2ⁿ eʳ with an integer n and a small r.
        let shifted = x.mul_add(splat(-std::f32::consts::LOG2_E), splat(ROUNDER));
        let n = shifted.subtract(splat(ROUNDER));
        let minus_x = x.mul_add(splat(-1.0), splat(0.0));
        let r = n.mul_add(splat(-LOW), n.mul_add(splat(-HIGH), minus_x));
        // Taylor series of eʳ; for |r| < 0.35 the remainder is below 1e-8.
        let mut power = splat(1.0 / 5040.0);
        for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            power = power.mul_add(r, splat(coefficient));
        }
        let one = splat(1.0);
        one.divide(power.mul_add(shifted.power_of_two(), one))
    }
}

/// Computes the sums of a group of outputs.
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of functions for other instruction sets")]
unsafe fn group<V: Vector, const N: usize>(weights: &[f32], inputs: &[Lanes]) -> [V; N] {
    let (bias, weights) = weights.split_at(N);
    // SAFETY: the caller guarantees the instruction set.
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

/// Applies a layer and its ReLU.
#[inline(always)]
unsafe fn dense<V: Vector>(layer: &Layer, inputs: &[Lanes], outputs: &mut [Lanes]) {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "part of functions for other instruction sets")]
    unsafe fn part<V: Vector, const N: usize>(
        weights: &[f32],
        inputs: &[Lanes],
        out: &mut [Lanes],
    ) {
        // SAFETY: the caller guarantees the instruction set.
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
    let steps = stack.steps(user);
    let scores = scores.as_chunks_mut::<LANES>().0;
    for (block, scores) in blocks.chunks_exact(stack.width()).zip(scores) {
        let (inputs, linear) = block.split_at(stack.inputs);
        // SAFETY: the caller guarantees the instruction set.
        unsafe {
            let mut logit = V::splat(user.bias);
            for (column, &weight) in linear.iter().zip(&user.linear) {
                logit = V::load(column).mul_add(V::splat(weight), logit);
            }
            let zero = V::splat(0.0);
            if let Some((steps, bias)) = &steps {
                let mut sums = [zero; CHAINS];
                for group in steps {
                    for (sum, step) in sums.iter_mut().zip(group) {
                        // `check` has compared the inputs of all units with the number of inputs.
                        let input = V::load(inputs.get_unchecked(step.input));
                        let unit = input.mul_add(V::splat(step.factor), V::splat(step.offset));
                        *sum = unit.max(zero).mul_add(V::splat(step.weight), *sum);
                    }
                }
                let [first, second, third, fourth] = sums;
                logit = logit.add(V::splat(*bias)).add(first.add(second).add(third.add(fourth)));
            } else if let Some((last, layers)) = stack.layers.split_last() {
                for ((unit, &half), sum) in stack.units.iter().zip(&user.hidden).zip(&mut *from) {
                    let input = V::load(inputs.get_unchecked(unit.input));
                    let sums = input.mul_add(V::splat(unit.factor), V::splat(half));
                    sums.max(zero).store(&mut sum.0);
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
    // SAFETY: arrays require no particular instruction set.
    unsafe { forward::<Lanes>(stack, user, blocks, scores) }
}
#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::__m512;

    use super::super::vector::x86::Pair;
    use super::{Lanes, Stack, User, forward};

    #[target_feature(enable = "avx2,fma")]
    pub(in super::super) fn avx2(stack: &Stack, user: &User, blocks: &[Lanes], scores: &mut [f32]) {
        // SAFETY: this function enables the features.
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
}
