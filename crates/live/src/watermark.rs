//! Which writes a data set or a generation contains.

use std::fmt::{self, Write as _};

use crate::Sequence;

/// For each partition of a store for live data, the sequence up to which a data set or a generation contains its writes.
/// Later writes are not contained.
///
/// Watermarks are compared by partition, so of two of them neither may be [contained](Self::is_within) in the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Watermark(Vec<Sequence>);

/// The first line of the file form.
const HEADER: &str = "partition,sequence";

impl Watermark {
    /// The name of its file in an export and in a folder with features.
    pub const FILE: &str = "watermark.csv";
    /// The greatest number of bytes of the file: each of 65,535 partitions takes less than 64.
    pub const LARGEST_FILE: u64 = 4 << 20;

    /// The watermark of data without any writes.
    pub fn new(partitions: u16) -> Self {
        Self(vec![Sequence::default(); usize::from(partitions)])
    }

    /// The number of partitions; 0 if nothing is known about live data.
    pub fn partitions(&self) -> u16 {
        u16::try_from(self.0.len()).unwrap_or(u16::MAX)
    }

    /// The last contained sequence of a partition; `0-0` if there is none.
    pub fn get(&self, partition: u16) -> Sequence {
        self.0.get(usize::from(partition)).copied().unwrap_or_default()
    }

    /// Each partition with its last contained sequence.
    pub fn iter(&self) -> impl Iterator<Item = (u16, Sequence)> {
        (0..).zip(self.0.iter().copied())
    }

    /// Whether the write with this sequence is contained.
    pub fn contains(&self, partition: u16, sequence: Sequence) -> bool {
        sequence <= self.get(partition)
    }

    /// Whether no write is contained.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|&sequence| sequence == Sequence::default())
    }

    /// Whether every write that is contained in this one is contained in the other too.
    pub fn is_within(&self, other: &Self) -> bool {
        self.beyond(other).is_none()
    }

    /// The first partition in which this one contains writes that the other does not: its sequence in the other, and in this
    /// one.
    pub fn beyond(&self, other: &Self) -> Option<(u16, Sequence, Sequence)> {
        let lacks = |&(partition, sequence): &(u16, Sequence)| !other.contains(partition, sequence);
        let (partition, sequence) = self.iter().find(lacks)?;
        Some((partition, other.get(partition), sequence))
    }

    /// Includes the writes of a partition up to a sequence. Partitions up to this one are added if they are missing.
    pub fn advance(&mut self, partition: u16, sequence: Sequence) {
        let index = usize::from(partition);
        if self.0.len() <= index {
            self.0.resize(index + 1, Sequence::default());
        }
        self.0[index] = self.0[index].max(sequence);
    }

    /// The watermark of two data sets together: the greater sequence of each partition.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (partition, sequence) in other.iter() {
            self.advance(partition, sequence);
        }
        self
    }

    /// What two data sets both contain: the lesser sequence of each partition.
    #[must_use]
    pub fn minimum(&self, other: &Self) -> Self {
        let partitions = self.partitions().max(other.partitions());
        Self((0..partitions).map(|at| self.get(at).min(other.get(at))).collect())
    }

    /// The content of [`FILE`](Self::FILE): a line for each partition, in order.
    pub fn to_csv(&self) -> String {
        let mut text = format!("{HEADER}\n");
        for (partition, sequence) in self.iter() {
            let _ = writeln!(text, "{partition},{sequence}");
        }
        text
    }

    /// Parses the content of [`FILE`](Self::FILE). Every partition must have one line, in order.
    ///
    /// # Errors
    /// The first malformed line.
    pub fn from_csv(text: &[u8]) -> Result<Self, InvalidWatermark> {
        let fault = |line: usize, what: String| InvalidWatermark { line, what };
        let text = str::from_utf8(text).map_err(|error| {
            let before = &text[..error.valid_up_to()];
            let line = before.split(|&byte| byte == b'\n').count();
            fault(line, "it is not UTF-8".to_owned())
        })?;
        let mut lines = text.trim_start_matches('\u{feff}').lines();
        if lines.next().map(str::trim_end) != Some(HEADER) {
            return Err(fault(1, format!("expected the header {HEADER:?}")));
        }
        let mut sequences = Vec::new();
        for (index, line) in lines.enumerate() {
            let number = index + 2;
            let partition = sequences.len();
            if partition >= usize::from(u16::MAX) {
                return Err(fault(number, format!("more than {} partitions", u16::MAX)));
            }
            let Some((found, sequence)) = line.trim_end().split_once(',') else {
                return Err(fault(number, "expected a partition and a sequence".to_owned()));
            };
            if found.parse() != Ok(partition) {
                return Err(fault(
                    number,
                    format!("expected partition {partition}, not {found:?}"),
                ));
            }
            let sequence = sequence
                .parse()
                .map_err(|error| fault(number, format!("{sequence:?} is {error}")))?;
            sequences.push(sequence);
        }
        if sequences.is_empty() {
            return Err(fault(2, "expected a partition and a sequence".to_owned()));
        }
        Ok(Self(sequences))
    }
}

/// The content is not a watermark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidWatermark {
    /// The number of the line, from 1.
    pub line: usize,
    /// The fault.
    pub what: String,
}

impl fmt::Display for InvalidWatermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for InvalidWatermark {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn watermark() -> impl Strategy<Value = Watermark> {
        let sequence = (0..3_u64, 0..3_u64);
        let sequence = sequence.prop_map(|(milliseconds, count)| Sequence { milliseconds, count });
        prop::collection::vec(sequence, 1..5).prop_map(Watermark)
    }

    proptest! {
        #[test]
        fn the_file_form_round_trips(watermark in watermark()) {
            let text = watermark.to_csv();
            prop_assert_eq!(Watermark::from_csv(text.as_bytes()), Ok(watermark.clone()));
            let of_windows = text.replace('\n', "\r\n");
            prop_assert_eq!(Watermark::from_csv(of_windows.as_bytes()), Ok(watermark));
        }

        #[test]
        fn no_content_panics(text in "\\PC*", tail in "[0-9,\\-\n]*") {
            let _ = Watermark::from_csv(text.as_bytes());
            let _ = Watermark::from_csv(format!("{HEADER}\n{tail}").as_bytes());
        }

        #[test]
        fn unions_contain_both_and_minima_are_contained_in_both(a in watermark(), b in watermark()) {
            let (union, minimum) = (a.clone().union(&b), a.minimum(&b));
            prop_assert!(a.is_within(&union) && b.is_within(&union));
            prop_assert!(minimum.is_within(&a) && minimum.is_within(&b));
            for partition in 0..5 {
                let either = [a.get(partition), b.get(partition)];
                prop_assert!(either.contains(&union.get(partition)));
                prop_assert!(either.contains(&minimum.get(partition)));
            }
        }
    }

    #[test]
    fn a_watermark_contains_writes_up_to_its_sequence() {
        let mut watermark = Watermark::new(2);
        assert!(watermark.is_zero());
        let at = |count| Sequence { milliseconds: 7, count };
        watermark.advance(1, at(4));
        watermark.advance(1, at(3));
        assert_eq!((watermark.get(1), watermark.get(0)), (at(4), Sequence::default()));
        assert!(watermark.contains(1, at(4)) && !watermark.contains(1, at(5)));
        assert!(!watermark.contains(0, at(0)) && !watermark.contains(9, at(0)));
        assert!(!watermark.is_zero() && Watermark::new(2).is_within(&watermark));
        assert!(!watermark.is_within(&Watermark::new(2)));
    }

    #[test]
    fn malformed_files_name_the_line() {
        for (text, expected) in [
            ("", "line 1: expected the header \"partition,sequence\""),
            ("partition,sequence\n", "line 2: expected a partition and a sequence"),
            ("partition,sequence\n0,1-0\n2,1-0\n", "line 3: expected partition 1, not \"2\""),
            ("partition,sequence\n0,1-0\n0,1-0\n", "line 3: expected partition 1, not \"0\""),
            ("partition,sequence\n0,1-0\n\n", "line 3: expected a partition and a sequence"),
            (
                "partition,sequence\n0,1\n",
                "line 2: \"1\" is not a sequence: expected MILLISECONDS-COUNT",
            ),
        ] {
            let error = Watermark::from_csv(text.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(error, Err(expected.to_owned()), "{text:?}");
        }
        let error = Watermark::from_csv(b"partition,sequence\n0,1-0\n\xff").map_err(|it| it.line);
        assert_eq!(error, Err(3));
    }
}
