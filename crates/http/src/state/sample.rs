//! Shares of requests.

/// The multiplier of Fibonacci hashing: multiples of it are spread evenly.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A share of numbers that count up, evenly spread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Numbers whose multiple of [`GOLDEN`] is less are in it.
    below: u64,
}

impl Sample {
    /// From 0 to 1.
    pub(crate) fn new(share: f64) -> Self {
        // The greatest share is all of them: the cast saturates.
        Self { below: (share.clamp(0.0, 1.0) * u64::MAX as f64) as u64 }
    }

    pub(crate) fn includes(self, number: u64) -> bool {
        number.wrapping_mul(GOLDEN) < self.below
    }
}
