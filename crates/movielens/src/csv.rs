//! Records of CSV files (RFC 4180), read strictly: what the format does not allow is an error, never
//! another value.
//!
//! [`Splitter`] splits the record at the beginning of some bytes. It reads two conventions of quoting:
//! a quote inside a quoted field is doubled (RFC 4180, pandas), or has a backslash before it (Spark).
//! A record is read by the second only where the first does not allow it.

use std::fmt;

use memchr::{memchr, memchr_iter, memchr2, memchr3, memmem};

/// Splits records into fields. The buffers are reused from record to record.
#[derive(Debug)]
pub struct Splitter {
    limits: Limits,
    /// The column with the ids.
    id: usize,
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// How large a record may be. Without a limit, one stray quote would make a record of the rest of
/// the file.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a record, its line end included.
    pub bytes: usize,
    /// Columns of a record.
    pub columns: usize,
}

/// Why some bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// A quoted field does not end.
    Unclosed,
    /// A quoted field ends, and neither a comma nor a line end follows.
    TextAfterQuote,
    /// A field that does not begin with a quote has one inside.
    BareQuote,
    /// A quoted field contains a line that begins as a record does: a quote is missing.
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
            Self::BareQuote => f.write_str("quote inside a field that is not quoted"),
            Self::SwallowedRecord => {
                f.write_str("quoted field contains the next record: a closing quote is missing")
            }
            Self::TooLong(bytes) => {
                write!(f, "record longer than {bytes} bytes, perhaps because a quote is not closed")
            }
            Self::TooManyColumns(columns) => write!(f, "more than {columns} columns"),
        }
    }
}

/// How a quote inside a quoted field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    Doubled,
    Backslash,
}

impl Splitter {
    /// A splitter for records with the id in the first column.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, id: 0, text: Vec::new(), ends: Vec::new() }
    }

    /// Sets the column with the ids. A quoted field may contain line ends, but no line that has an id
    /// in this column.
    pub const fn set_id_column(&mut self, column: usize) {
        self.id = column;
    }

    /// Splits the record at the beginning of `data`, which must not begin with a line end. Returns its
    /// length in bytes, line end included. After an error there are no [`fields`](Self::fields).
    pub fn split(&mut self, data: &[u8]) -> Result<usize, Problem> {
        // One byte more shows whether the record is longer than the limit.
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
        let mut at = 0;
        loop {
            at += if data[at..].first() == Some(&b'"') {
                self.quoted(&data[at..], escape)?
            } else {
                let field = &data[at..];
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
            let len = match data[at..] {
                [b',', ..] => {
                    at += 1;
                    continue;
                }
                [b'\r', b'\n', ..] => at + 2,
                [_, ..] => at + 1,
                [] => at,
            };
            if len > self.limits.bytes {
                return Err(Problem::TooLong(self.limits.bytes));
            }
            return Ok(len);
        }
    }

    /// Appends the content of the quoted field at the beginning of `data`. Returns its length, quotes
    /// included.
    fn quoted(&mut self, data: &[u8], escape: Escape) -> Result<usize, Problem> {
        let mut at = 1;
        loop {
            let rest = &data[at..];
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
            at += special;
            match (escape, &data[at..]) {
                (Escape::Doubled, [b'"', b'"', ..]) => self.text.push(b'"'),
                (Escape::Backslash, [b'\\', escaped @ (b'"' | b'\\'), ..]) => {
                    self.text.push(*escaped);
                }
                (Escape::Backslash, [b'\\', ..]) => {
                    self.text.push(b'\\');
                    at += 1;
                    continue;
                }
                (_, [_, b',' | b'\n' | b'\r', ..] | [_]) => {
                    at += 1;
                    break;
                }
                _ => return Err(Problem::TextAfterQuote),
            }
            at += 2;
        }
        // The lines inside, and the last one with what follows the field. Where the id comes after the
        // field, the last line has the id of this record.
        let mut starts = memchr_iter(b'\n', &data[..at]).map(|end| &data[end + 1..]);
        if self.id > 0 {
            starts.next_back();
        }
        for line in starts {
            let line = memchr(b'\n', line).map_or(line, |end| &line[..end]);
            if self.begins_record(line) {
                return Err(Problem::SwallowedRecord);
            }
        }
        Ok(at)
    }

    /// Whether a line has an id in the column of ids.
    fn begins_record(&self, line: &[u8]) -> bool {
        let mut fields = line.split(|&byte| byte == b',');
        let id = fields.nth(self.id).unwrap_or_default();
        let id = id.strip_prefix(b"\"").and_then(|id| id.strip_suffix(b"\"")).unwrap_or(id);
        let more = self.id > 0 || fields.next().is_some();
        more && !id.is_empty() && id.iter().all(u8::is_ascii_digit)
    }

    /// The fields of the record that was split last.
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
    /// How many there are.
    pub const fn len(self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.ends.is_empty()
    }

    /// A field's bytes; empty if there is no such field.
    pub fn get(self, column: usize) -> &'a [u8] {
        let Some(&end) = self.ends.get(column) else { return &[] };
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..end]
    }

    /// All fields in order.
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
    fn quotes_escaped_by_spark_are_read_as_spark_writes_them() {
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
    fn a_quoted_field_does_not_swallow_the_next_record() {
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
    fn records_are_bounded() {
        let long = "x".repeat(LIMITS.bytes);
        assert_eq!(split(&long), Ok(record(64, &[&long])));
        for data in [format!("{long}\n"), format!("\"{long}\"\n"), format!("\"{long}")] {
            assert_eq!(split(&data), Err(Problem::TooLong(64)), "{data}");
        }
        assert_eq!(split("1,2,3,4,5\n"), Err(Problem::TooManyColumns(4)));
    }

    proptest! {
        #[test]
        fn what_is_quoted_reads_back_equal(
            fields in prop::collection::vec("[a-z,\"\\\\\r\n ]{0,8}", 1..4),
            quote_all in any::<bool>(),
        ) {
            let mut data = Vec::new();
            for (at, field) in fields.iter().enumerate() {
                if at > 0 {
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
        fn no_bytes_make_it_panic(data in "[1a,\"\\\\\r\n]{1,80}") {
            let mut splitter = Splitter::new(LIMITS);
            if let Ok(len) = splitter.split(data.as_bytes()) {
                prop_assert!(len <= data.len() && len <= LIMITS.bytes);
            }
        }
    }
}
