//! Random numbers that are identical on every machine.
//!
//! A seed must produce the same files everywhere. Therefore this crate does not call the
//! mathematics library of the platform, whose last digits differ between systems, but uses only
//! additions, multiplications, divisions and square roots, which IEEE 754 defines exactly.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};

/// A seeded random number generator.
#[derive(Debug, Clone)]
pub struct Random(Pcg64Mcg);

impl Random {
    /// Stream number `stream` of `seed`. Streams are independent, so work can be distributed over
    /// threads without affecting the result.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut bytes = [0; 16];
        let (low, high) = bytes.split_at_mut(8);
        low.copy_from_slice(&scramble(seed ^ scramble(stream)).to_le_bytes());
        high.copy_from_slice(&scramble(stream.wrapping_add(scramble(seed))).to_le_bytes());
        Self(Pcg64Mcg::from_seed(bytes))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// An integer below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        debug_assert!(bound > 0, "an empty range has no numbers");
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// An integer from 0 and below `bound`, which must be positive.
    pub fn below_signed(&mut self, bound: i64) -> i64 {
        debug_assert!(bound > 0, "an empty range has no numbers");
        ((u128::from(self.bits()) * u128::from(bound.unsigned_abs())) >> 64) as i64
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        unit(self.bits())
    }

    /// A number in `low..high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Approximately normal with mean 0 and standard deviation 1: the sum of four uniform numbers,
    /// with absolute values up to 3.5. Fast.
    pub fn normal(&mut self) -> f64 {
        let bits = self.bits();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        (sum as f64 / 65_536.0 - 2.0) * 1.732_050_807_568_877_2
    }

    /// Normal with realistic tails: the sum of twelve uniform numbers, with absolute values up to
    /// 6.
    pub fn normal_with_tails(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// A uniformly random element; the slice must not be empty.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Shuffles the elements.
    pub fn shuffle<T>(&mut self, elements: &mut [T]) {
        for last in (1..elements.len()).rev() {
            elements.swap(last, self.below(last + 1));
        }
    }
}

/// Maps 64 random bits to `0.0..1.0`.
pub fn unit(bits: u64) -> f64 {
    // The precision of the type is 53 bits.
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): neighbouring seeds become unrelated.
pub const fn scramble(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// e to the power of `x`, bit-identical on all machines.
pub fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0) / 1024.0;
    let series = 1.0 + x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0))));
    (0..10).fold(series, |power, _| power * power)
}

/// A positive number to a power from -1 to 1, bit-identical on all machines: by one square root per
/// binary digit of the exponent.
pub fn power(base: f64, exponent: f64) -> f64 {
    let (mut root, mut power, mut rest) = (base, 1.0, exponent.abs());
    for _ in 0..=24 {
        if rest >= 1.0 {
            power *= root;
            rest -= 1.0;
        }
        root = root.sqrt();
        rest *= 2.0;
    }
    if exponent < 0.0 { 1.0 / power } else { power }
}

/// Draws an index with a probability proportional to its weight in constant time: Walker's alias
/// method, as built by Vose (1991).
#[derive(Debug, Clone)]
pub struct Weighted {
    /// Per slot: its own share (as a fraction of 2³²), and the index that owns the rest.
    slots: Vec<(u32, u32)>,
}

impl Weighted {
    /// Takes non-negative weights. If none is positive, all are equal.
    pub fn new(weights: &[f64]) -> Self {
        let sum: f64 = weights.iter().sum();
        let scale = weights.len() as f64 / sum;
        let mut rest: Vec<f64> = if sum > 0.0 && scale.is_finite() {
            weights.iter().map(|weight| weight * scale).collect()
        } else {
            vec![1.0; weights.len()]
        };
        let mut slots: Vec<(u32, u32)> =
            (0..weights.len()).map(|index| (u32::MAX, index as u32)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..rest.len()).partition(|&index| rest[index] < 1.0);
        while let (Some(poor), Some(&rich)) = (small.pop(), large.last()) {
            slots[poor] = ((rest[poor] * 4_294_967_296.0) as u32, rich as u32);
            rest[rich] -= 1.0 - rest[poor];
            if rest[rich] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Self { slots }
    }

    /// Whether there are no weights.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Draws an index; there must be at least one weight.
    pub fn draw(&self, random: &mut Random) -> usize {
        let bits = random.bits();
        // The high half selects the slot, the low half the choice within it.
        let slot = (((bits >> 32) * self.slots.len() as u64) >> 32) as usize;
        let (own, other) = self.slots[slot];
        if (bits as u32) < own { slot } else { other as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_seeds_differ_and_repeat() {
        let first = |seed, stream| Random::new(seed, stream).bits();
        assert_eq!(first(1, 1), first(1, 1));
        let all = [first(1, 1), first(1, 2), first(2, 1), first(0, 0), first(u64::MAX, 0)];
        for (index, bits) in all.iter().enumerate() {
            assert!(!all[..index].contains(bits));
        }
    }

    /// Pinned, because a change of the generator would change every data set.
    #[test]
    fn the_sequence_is_pinned() {
        let mut random = Random::new(42, 7);
        let drawn: Vec<usize> = (0..8).map(|_| random.below(1000)).collect();
        assert_eq!(drawn, PINNED);
    }
    const PINNED: [usize; 8] = [159, 255, 302, 773, 557, 789, 196, 546];

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        for tails in [false, true] {
            let mut random = Random::new(3, 0);
            let drawn: Vec<f64> = (0..20_000)
                .map(|_| if tails { random.normal_with_tails() } else { random.normal() })
                .collect();
            let mean = drawn.iter().sum::<f64>() / 20_000.0;
            let variance = drawn.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 20_000.0;
            assert!(mean.abs() < 0.03, "mean {mean}");
            assert!((variance - 1.0).abs() < 0.05, "variance {variance}");
        }
    }

    #[test]
    fn exp_is_accurate() {
        for x in [-20.0, -6.0, -1.0, -1e-9, 0.0, 0.5, 1.0, 6.0, 20.0_f64] {
            let relative = exp(x) / x.exp() - 1.0;
            assert!(relative.abs() < 1e-10, "exp({x}) is off by {relative}");
        }
    }

    #[test]
    fn power_is_accurate() {
        for base in [1.0, 2.0, 329.0, 1e7_f64] {
            for exponent in [-1.0, -0.5, 0.0, 0.1, 0.3, 0.75, 1.0] {
                let relative = power(base, exponent) / base.powf(exponent) - 1.0;
                assert!(relative.abs() < 1e-6, "{base}^{exponent} is off by {relative}");
            }
        }
    }

    #[test]
    fn weighted_draws_follow_the_weights() {
        let weights = [0.0, 5.0, 1.0, 2.0, 0.0];
        let table = Weighted::new(&weights);
        let mut random = Random::new(9, 9);
        let mut counts = [0_u32; 5];
        for _ in 0..80_000 {
            counts[table.draw(&mut random)] += 1;
        }
        assert_eq!((counts[0], counts[4]), (0, 0));
        for (weight, count) in weights.iter().zip(counts) {
            assert!((f64::from(count) - weight * 10_000.0).abs() < 500.0, "{counts:?}");
        }
    }

    #[test]
    fn weights_without_a_positive_one_are_equal() {
        let table = Weighted::new(&[0.0, 0.0]);
        let mut random = Random::new(9, 9);
        let drawn: Vec<usize> = (0..50).map(|_| table.draw(&mut random)).collect();
        assert!(drawn.contains(&0) && drawn.contains(&1));
    }
}
