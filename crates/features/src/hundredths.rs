use std::fmt;

/// A non-negative number with two decimals, the stored and printed form of features: `3.92`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hundredths(pub u32);

impl Hundredths {
    /// Rounds the binary value to two decimals, ties to even, like `{:.2}` and Spark's `format_number`.
    ///
    /// `value` is from 0 to 40 million; negative numbers and NaN become 0.
    pub fn round(value: f64) -> Self {
        let below = (value * 100.0).floor();
        // Fused multiply-add rounds once, so the sign is that of the exact difference.
        let above_tie = value.mul_add(100.0, -(below + 0.5));
        let odd = below % 2.0 != 0.0;
        let up = above_tie > 0.0 || (above_tie == 0.0 && odd);
        Self((below + f64::from(u8::from(up))) as u32)
    }

    /// The nearest `f32`.
    pub fn value(self) -> f32 {
        (f64::from(self.0) / 100.0) as f32
    }
}

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ties_are_those_of_the_binary_value() {
        for (value, text) in [
            (0.0, "0.00"),
            (3.125, "3.12"),
            (3.375, "3.38"),
            // No tie: the binary value is less.
            (4.005, "4.00"),
            (2.0 / 3.0, "0.67"),
            // No tie: the binary value is greater.
            (3.555, "3.56"),
            (1999.996, "2000.00"),
            (f64::NAN, "0.00"),
        ] {
            assert_eq!(Hundredths::round(value).to_string(), text);
        }
        assert_eq!(Hundredths(392).value().to_string(), "3.92");
    }

    proptest! {
        #[test]
        fn rounding_equals_formatting(sum in 0..20_000_u32, count in 1..2000_u32) {
            let mean = f64::from(sum) / f64::from(count);
            for value in [mean, mean.sqrt(), f64::from(sum) / 200.0] {
                prop_assert_eq!(Hundredths::round(value).to_string(), format!("{value:.2}"));
            }
        }
    }
}
