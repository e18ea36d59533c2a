//! A strict parser of CSV records (RFC 4180): every violation of the format is an error.
//!
//! [`Splitter`] splits the first record of a byte slice. It supports two escapes of a quote inside a quoted field: a
//! doubled quote (RFC 4180, pandas) and a backslash (Spark). The second is tried only if the first fails.

use std::fmt;

use memchr::{memchr, memchr_iter, memchr2, memchr3, memmem};

/// Splits records into fields; reuses its buffers.
#[derive(Debug)]
pub struct Splitter {
    limits: Limits,
    /// Index of the id column.
    id: usize,
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// Size limits of a record. They bound the damage of a stray quote, which would otherwise swallow the rest of the
/// file.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum bytes of a record with its line end.
    pub bytes: usize,
    /// Maximum columns of a record.
    pub columns: usize,
}

/// A violation of the CSV format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// A quoted field has no closing quote.
    Unclosed,
    /// A closing quote is followed by neither a comma nor a line end.
    TextAfterQuote,
    /// An unquoted field contains a quote.
    BareQuote,
    /// A quoted field contains a line that starts like a record, so a closing quote is missing.
    SwallowedRecord,
    /// The record is longer than the limit.
    TooLong(usize),
    /// The record has more columns than the limit.
    TooManyColumns(usize),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed => f.write_str("quoted field without a closing quote"),
            Self::TextAfterQuote => f.write_str("text after a closing quote"),
            Self::BareQuote => f.write_str("quote inside an unquoted field"),
            Self::SwallowedRecord => {
                f.write_str("quoted field contains the next record: a closing quote is missing")
            }
            Self::TooLong(bytes) => {
                write!(f, "record longer than {bytes} bytes, possibly due to an unclosed quote")
            }
            Self::TooManyColumns(columns) => write!(f, "more than {columns} columns"),
        }
    }
}

/// The escape of a quote inside a quoted field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    Doubled,
    Backslash,
}

impl Splitter {
    /// Creates a splitter for records with the id in the first column.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, id: 0, text: Vec::new(), ends: Vec::new() }
    }

    /// Sets the id column. A quoted field may contain line ends, but no line with an id in this column.
    pub const fn set_id_column(&mut self, column: usize) {
        self.id = column;
    }

    /// Splits the first record of `data`, which must not start with a line end. Returns its length in bytes with the
    /// line end. After an error, [`fields`](Self::fields) is empty.
    pub fn split(&mut self, data: &[u8]) -> Result<usize, Problem> {
        // One more byte detects a record above the limit.
        let data = &data[..data.len().min(self.limits.bytes + 1)];
        let split = self.split_with(data, Escape::Doubled);
        let Err(problem) = split else { return split };
        let line = memchr(b'\n', data).map_or(data, |end| &data[..end]);
        if memmem::find(line, b"\\\"").is_some() {
            let split = self.split_with(data, Escape::Backslash);
            if split.is_ok() {
                return split;
            }
        }
        self.ends.clear();
        Err(problem)
    }

    fn split_with(&mut self, data: &[u8], escape: Escape) -> Result<usize, Problem> {
        self.text.clear();
        self.ends.clear();
        let mut offset = 0;
        loop {
            offset += if data[offset..].first() == Some(&b'"') {
                self.append_quoted(&data[offset..], escape)?
            } else {
                let field = &data[offset..];
                let len = memchr3(b',', b'\n', b'\r', field).unwrap_or(field.len());
                if memchr(b'"', &field[..len]).is_some() {
                    return Err(Problem::BareQuote);
                }
                self.text.extend_from_slice(&field[..len]);
                len
            };
            if self.ends.len() == self.limits.columns {
                return Err(Problem::TooManyColumns(self.limits.columns));
            }
            self.ends.push(self.text.len());
            let len = match data[offset..] {
                [b',', ..] => {
                    offset += 1;
                    continue;
                }
                [b'\r', b'\n', ..] => offset + 2,
                [_, ..] => offset + 1,
                [] => offset,
            };
            if len > self.limits.bytes {
                return Err(Problem::TooLong(self.limits.bytes));
            }
            return Ok(len);
        }
    }

    /// Appends the content of the quoted field at the start of `data`; returns its length with the quotes.
    fn append_quoted(&mut self, data: &[u8], escape: Escape) -> Result<usize, Problem> {
        let mut offset = 1;
        loop {
            let rest = &data[offset..];
            let special = match escape {
                Escape::Doubled => memchr(b'"', rest),
                Escape::Backslash => memchr2(b'"', b'\\', rest),
            };
            let Some(special) = special else {
                let too_long = data.len() > self.limits.bytes;
                let unclosed = Problem::Unclosed;
                return Err(if too_long { Problem::TooLong(self.limits.bytes) } else { unclosed });
            };
            self.text.extend_from_slice(&rest[..special]);
            offset += special;
            match (escape, &data[offset..]) {
                (Escape::Doubled, [b'"', b'"', ..]) => self.text.push(b'"'),
                (Escape::Backslash, [b'\\', escaped @ (b'"' | b'\\'), ..]) => {
                    self.text.push(*escaped);
                }
                (Escape::Backslash, [b'\\', ..]) => {
                    self.text.push(b'\\');
                    offset += 1;
                    continue;
                }
                (_, [_, b',' | b'\n' | b'\r', ..] | [_]) => {
                    offset += 1;
                    break;
                }
                _ => return Err(Problem::TextAfterQuote),
            }
            offset += 2;
        }
        // Checks the lines inside the field, and the last with the text after the field. If the id column comes later,
        // the last line contains the id of this record.
        let mut starts = memchr_iter(b'\n', &data[..offset]).map(|end| &data[end + 1..]);
        if self.id > 0 {
            starts.next_back();
        }
        for line in starts {
            let line = memchr(b'\n', line).map_or(line, |end| &line[..end]);
            if self.begins_record(line) {
                return Err(Problem::SwallowedRecord);
            }
        }
        Ok(offset)
    }

    /// Returns whether a line has an id in the id column.
    fn begins_record(&self, line: &[u8]) -> bool {
        let mut fields = line.split(|&byte| byte == b',');
        let id = fields.nth(self.id).unwrap_or_default();
        let id = id.strip_prefix(b"\"").and_then(|id| id.strip_suffix(b"\"")).unwrap_or(id);
        let more = self.id > 0 || fields.next().is_some();
        more && !id.is_empty() && id.iter().all(u8::is_ascii_digit)
    }

    /// The fields of the last split record.
    pub fn fields(&self) -> Fields<'_> {
        Fields { text: &self.text, ends: &self.ends }
    }
}

/// The fields of a record.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    text: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Fields<'a> {
    /// The number of fields.
    pub const fn len(self) -> usize {
        self.ends.len()
    }

    /// Returns whether there are no fields.
    pub const fn is_empty(self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the bytes of a field; empty if the column does not exist.
    pub fn get(self, column: usize) -> &'a [u8] {
        let Some(&end) = self.ends.get(column) else { return &[] };
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..end]
    }

    /// Iterates over all fields in order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len()).map(move |column| self.get(column))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { bytes: 64, columns: 4 };

    fn split(data: &str) -> Result<(usize, Vec<String>), Problem> {
        let mut splitter = Splitter::new(LIMITS);
        let len = splitter.split(data.as_bytes())?;
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        Ok((len, splitter.fields().iter().map(text).collect()))
    }

    fn record(len: usize, fields: &[&str]) -> (usize, Vec<String>) {
        (len, fields.iter().map(|&field| field.to_owned()).collect())
    }

    fn assert_record(data: &str, fields: &[&str]) {
        assert_eq!(split(data), Ok(record(data.len(), fields)), "{data}");
    }

    #[test]
    fn quotes_follow_rfc_4180() {
        assert_eq!(split("1,a,b\n2"), Ok(record(6, &["1", "a", "b"])));
        assert_record("1,,\r\n", &["1", "", ""]);
        assert_record("1,\"a,\"\"b\"\"\"", &["1", "a,\"b\""]);
        assert_eq!(split("\"\",\"\"\r2"), Ok(record(6, &["", ""])));
        assert_eq!(split("7,\"a\nb\",c\n8"), Ok(record(10, &["7", "a\nb", "c"])));
        assert_record("7,\"C:\\\",c\n", &["7", "C:\\", "c"]);
    }

    #[test]
    fn backslash_escapes_of_spark_are_decoded() {
        assert_record("1,\"\\\"A\\\" B\",c", &["1", "\"A\" B", "c"]);
        assert_record("1,\"a \\\"\",c", &["1", "a \"", "c"]);
        assert_record("1,\"a\\\\ \\\"b\\c\\\"\"", &["1", "a\\ \"b\\c\""]);
    }

    #[test]
    fn text_around_quotes_is_an_error() {
        assert_eq!(split("7,\"1\"0,4.0,5\n"), Err(Problem::TextAfterQuote));
        assert_eq!(split("\"7\"1,1,5\n"), Err(Problem::TextAfterQuote));
        assert_eq!(split("3,\"Great\" Sea,Drama\n"), Err(Problem::TextAfterQuote));
        assert_eq!(split("3,\"Great\" ,Drama\n"), Err(Problem::TextAfterQuote));
        assert_eq!(split("3,Great \"Sea\",Drama\n"), Err(Problem::BareQuote));
        assert_eq!(split("3, \"Sea\",Drama\n"), Err(Problem::BareQuote));
        assert_eq!(split("3,\"Sea,Drama\n"), Err(Problem::Unclosed));
        assert_eq!(split("3,\"Sea\\\",Drama\"x\n"), Err(Problem::BareQuote));
    }

    #[test]
    fn quoted_field_with_the_next_record_is_an_error() {
        for next in ["2,Sea", "\"2\",Sea"] {
            let data = format!("1,\"Lantern,Drama\n{next}\",War\n");
            assert!(
                matches!(split(&data), Err(Problem::SwallowedRecord | Problem::TextAfterQuote)),
                "{data}"
            );
        }
        assert_record("1,\"Lantern\n2001\",War\n", &["1", "Lantern\n2001", "War"]);
        let mut by_second = Splitter::new(LIMITS);
        by_second.set_id_column(1);
        assert_eq!(by_second.split(b"\"Lantern,1\nSea\",2\n"), Ok(18));
        assert_eq!(
            by_second.split(b"\"Lantern,1\nSea,2\nRiver\",3\n"),
            Err(Problem::SwallowedRecord)
        );
    }

    #[test]
    fn record_above_a_limit_is_an_error() {
        let long = "x".repeat(LIMITS.bytes);
        assert_eq!(split(&long), Ok(record(64, &[&long])));
        for data in [format!("{long}\n"), format!("\"{long}\"\n"), format!("\"{long}")] {
            assert_eq!(split(&data), Err(Problem::TooLong(64)), "{data}");
        }
        assert_eq!(split("1,2,3,4,5\n"), Err(Problem::TooManyColumns(4)));
    }

    proptest! {
        #[test]
        fn written_fields_are_parsed_unchanged(
            fields in prop::collection::vec("[a-z,\"\\\\\r\n ]{0,8}", 1..4),
            quote_all in any::<bool>(),
        ) {
            let mut data = Vec::new();
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    data.push(b',');
                }
                if quote_all {
                    data.extend(format!("\"{}\"", field.replace('"', "\"\"")).bytes());
                } else {
                    crate::write::field(&mut data, field)?;
                }
            }
            prop_assume!(!matches!(data[..], [] | [b'\r' | b'\n', ..]));
            data.push(b'\n');
            let mut splitter = Splitter::new(Limits { bytes: 1024, columns: 4 });
            prop_assert_eq!(splitter.split(&data), Ok(data.len()));
            let read: Vec<&[u8]> = splitter.fields().iter().collect();
            let written: Vec<&[u8]> = fields.iter().map(String::as_bytes).collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(data in "[1a,\"\\\\\r\n]{1,80}") {
            let mut splitter = Splitter::new(LIMITS);
            if let Ok(len) = splitter.split(data.as_bytes()) {
                prop_assert!(len <= data.len() && len <= LIMITS.bytes);
            }
        }
    }
}
