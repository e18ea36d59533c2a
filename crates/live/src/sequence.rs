use std::fmt;
use std::str::FromStr;

/// The position of a write among the writes of its partition: that of an entry of a Redis stream. Later writes of a
/// partition have greater sequences. Its text is `{milliseconds}-{count}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence {
    /// Unix time in milliseconds.
    pub milliseconds: u64,
    /// Distinguishes writes of the same millisecond.
    pub count: u64,
}

impl Sequence {
    /// The sequence of a write after this one at `now`, in Unix milliseconds. Greater than `self` also if the clock was
    /// set back.
    #[must_use]
    pub const fn next(self, now: u64) -> Self {
        if now > self.milliseconds {
            Self { milliseconds: now, count: 0 }
        } else {
            Self { milliseconds: self.milliseconds, count: self.count + 1 }
        }
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.count)
    }
}

/// The text is not a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a sequence: expected MILLISECONDS-COUNT")]
pub struct InvalidSequence;

impl FromStr for Sequence {
    type Err = InvalidSequence;

    fn from_str(text: &str) -> Result<Self, InvalidSequence> {
        let (milliseconds, count) = text.split_once('-').ok_or(InvalidSequence)?;
        let number = |text: &str| text.parse().map_err(|_| InvalidSequence);
        Ok(Self { milliseconds: number(milliseconds)?, count: number(count)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_increase_when_the_clock_is_set_back() {
        let first = Sequence::default().next(1000);
        let second = first.next(1000);
        let third = second.next(400);
        assert!(first < second && second < third);
        assert_eq!(third.to_string(), "1000-2");
        assert_eq!("1000-2".parse(), Ok(third));
        assert_eq!("1000".parse::<Sequence>(), Err(InvalidSequence));
        assert_eq!("-1-2".parse::<Sequence>(), Err(InvalidSequence));
    }
}
