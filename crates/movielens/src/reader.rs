//! Reads CSV files in memory record by record, with line numbers, and parses ids. Ratings files, which are large,
//! have their own reader.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr_iter};
use sparrow_model::skip_byte_order_mark;

use crate::Error;
use crate::csv::{Fields, Limits, Splitter};
use crate::report::excerpt;

/// Maximum length of a record and of a line in bytes. Real data have a few hundred.
pub(crate) const MAX_LEN: usize = 1 << 16;

/// Limits of a record of a MovieLens file.
pub(crate) const LIMITS: Limits = Limits { bytes: MAX_LEN, columns: 64 };

/// A reader of a CSV file with a header row, in memory.
pub(crate) struct CsvReader<'a> {
    data: &'a [u8],
    offset: usize,
    /// Line number of `offset`.
    line: u64,
    columns: usize,
    splitter: Splitter,
}

/// A reader after the header row, and the indexes of its columns.
pub(crate) struct WithOptional<'a, const N: usize, const M: usize> {
    pub(crate) reader: CsvReader<'a>,
    pub(crate) needed: [usize; N],
    pub(crate) optional: [Option<usize>; M],
}

impl<'a> CsvReader<'a> {
    /// Reads the header row and finds the columns of these names, in any order. The first name must be the id
    /// column.
    pub(crate) fn new<const N: usize>(
        file: &str,
        data: &'a [u8],
        names: [&str; N],
    ) -> Result<(Self, [usize; N]), Error> {
        let WithOptional { reader, needed, .. } = Self::with_optional(file, data, names, [])?;
        Ok((reader, needed))
    }

    /// Like [`new`](Self::new), with optional columns.
    pub(crate) fn with_optional<const N: usize, const M: usize>(
        file: &str,
        data: &'a [u8],
        names: [&str; N],
        optional: [&str; M],
    ) -> Result<WithOptional<'a, N, M>, Error> {
        let offset = data.len() - skip_byte_order_mark(data).len();
        let mut reader =
            Self { data, offset, line: 1, columns: 0, splitter: Splitter::new(LIMITS) };
        reader.skip_blank_lines();
        let row = &data[reader.offset..];
        let len = if row.is_empty() { 0 } else { reader.splitter.split(row).unwrap_or_default() };
        let found = reader.splitter.fields();
        let index_of = |name: &str| found.iter().position(|field| field == name.as_bytes());
        let missing: Vec<&str> =
            names.into_iter().filter(|name| index_of(name).is_none()).collect();
        let (line, _) = first_line(row);
        let line = &row[line];
        if !missing.is_empty() {
            return Err(header_error(file, line, &names, &missing));
        }
        let all = || names.into_iter().chain(optional);
        let count = |name: &str| {
            found.iter().filter(|field| field.eq_ignore_ascii_case(name.as_bytes())).count()
        };
        if let Some(duplicate) = all().find(|name| count(name) > 1) {
            let (file, column, header) = (file.to_owned(), duplicate.to_owned(), excerpt(line));
            return Err(Error::RepeatedColumn { file, column, header });
        }
        let needed = names.map(|name| index_of(name).unwrap_or_default());
        let optional = optional.map(index_of);
        reader.columns = found.len();
        reader.splitter.set_id_column(needed.first().copied().unwrap_or_default());
        reader.advance(len);
        Ok(WithOptional { reader, needed, optional })
    }

    /// The number of columns of the header row; records with another number are malformed.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The offset in bytes and the line number of the next record.
    pub(crate) fn position(&self) -> (usize, u64) {
        (self.offset, self.line)
    }

    /// Returns the next record, or an error message, with the number of its first line.
    pub(crate) fn next(&mut self) -> Option<(u64, Result<Fields<'_>, String>)> {
        self.skip_blank_lines();
        let rest = &self.data[self.offset..];
        if rest.is_empty() {
            return None;
        }
        let line = self.line;
        let split = self.splitter.split(rest).map_err(|problem| problem.to_string());
        let columns = self.splitter.fields().len();
        let split = split.and_then(|len| match columns {
            found if found == self.columns => Ok(len),
            found => Err(wrong_columns(self.columns, found)),
        });
        match split {
            Ok(len) => self.advance(len),
            Err(message) => {
                // A stray quote may have swallowed valid lines: continue after the first line.
                let (_, len) = first_line(rest);
                self.advance(len);
                return Some((line, Err(message)));
            }
        }
        let fields = self.splitter.fields();
        if let Some(field) = fields.iter().find(|field| str::from_utf8(field).is_err()) {
            return Some((line, Err(format!("{} is not UTF-8", excerpt(field)))));
        }
        Some((line, Ok(fields)))
    }

    fn skip_blank_lines(&mut self) {
        let rest = &self.data[self.offset..];
        self.advance(rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count());
    }

    fn advance(&mut self, len: usize) {
        self.line += memchr_iter(b'\n', &self.data[self.offset..self.offset + len]).count() as u64;
        self.offset += len;
    }
}

pub(crate) fn wrong_columns(expected: usize, found: usize) -> String {
    let plural = if expected == 1 { "" } else { "s" };
    format!("expected {expected} column{plural}, found {found}")
}

/// The error for a header row with missing columns.
fn header_error(file: &str, line: &[u8], names: &[&str], missing: &[&str]) -> Error {
    let has_all = |separator: u8| {
        let fields: Vec<&[u8]> = line
            .split(|&byte| byte == separator)
            .map(|field| field.strip_prefix(b"\"").unwrap_or(field))
            .map(|field| field.strip_suffix(b"\"").unwrap_or(field))
            .collect();
        names.iter().all(|name| fields.contains(&name.as_bytes()))
    };
    let file = file.to_owned();
    for (separator, name) in [(b';', "semicolons"), (b'\t', "tabs"), (b'|', "vertical bars")] {
        if has_all(separator) {
            return Error::Separator { file, separator: name };
        }
    }
    let header = if line.is_empty() { "(empty)".to_owned() } else { excerpt(line) };
    Error::Header { file, missing: missing.join(", "), header }
}

/// Iterates over non-blank lines with their numbers, without line ends.
pub(crate) fn lines(content: &[u8]) -> impl Iterator<Item = (u64, Cow<'_, str>)> {
    let mut rest = skip_byte_order_mark(content);
    let mut number = 0;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (line, len) = first_line(rest);
            let line = &rest[line];
            rest = &rest[len..];
            number += 1;
            if !line.is_empty() {
                return Some((number, decode(line)));
            }
        }
        None
    })
}

/// Decodes a line of an old data set: UTF-8 as in ml-10m, otherwise Windows-1252, a superset of the Latin-1 of
/// ml-1m and ml-100k. Per line, because files may mix both.
fn decode(line: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(line.iter().map(|&byte| windows_1252(byte)).collect()),
    }
}

/// The characters of the bytes 0x80 to 0x9f in Windows-1252 (WHATWG encoding).
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

fn windows_1252(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// Parses an id: an integer from 1 to 4294967295.
pub(crate) fn parse_id(column: &str, text: &[u8]) -> Result<u32, String> {
    match parse_integer(text) {
        Some(id) if id > 0 => Ok(id),
        _ => Err(format!("{column} is {}, not an integer from 1 to 4294967295", excerpt(text))),
    }
}

/// Parses decimal digits without sign.
pub(crate) fn parse_digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.iter().try_fold(0_u32, |number, digit| {
        number.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
    })
}

/// Parses digits with an optional zero fraction: pandas writes `5.0` in columns with missing values.
pub(crate) fn parse_integer(text: &[u8]) -> Option<u32> {
    parse_digits(strip_zero_fraction(text))
}

/// Strips a zero fraction: `862` for `862.0`.
pub(crate) fn strip_zero_fraction(text: &[u8]) -> &[u8] {
    match memchr(b'.', text) {
        Some(point) if point + 1 < text.len() && text[point + 1..].iter().all(|&d| d == b'0') => {
            &text[..point]
        }
        _ => text,
    }
}

/// Returns the range of the first line without its line end, and its length with it.
pub(crate) fn first_line(data: &[u8]) -> (Range<usize>, usize) {
    let (end, len) = memchr(b'\n', data).map_or((data.len(), data.len()), |end| (end, end + 1));
    let end = if data[..end].ends_with(b"\r") { end - 1 } else { end };
    (0..end, len)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// Reads columns `a` and `b` as (line, "a|b" or the error message).
    fn records(data: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let (mut reader, [a, b]) = CsvReader::new("t", data, ["a", "b"]).unwrap();
        let mut all = Vec::new();
        while let Some((line, fields)) = reader.next() {
            let text = |field| String::from_utf8(field).unwrap();
            all.push((
                line,
                fields.map(|f| format!("{}|{}", text(f.get(a).into()), text(f.get(b).into()))),
            ));
        }
        all
    }

    fn good(line: u64, text: &str) -> (u64, Result<String, String>) {
        (line, Ok(text.to_owned()))
    }

    fn bad(line: u64, message: &str) -> (u64, Result<String, String>) {
        (line, Err(message.to_owned()))
    }

    #[test]
    fn records_have_the_number_of_their_first_line() {
        let data = b"a,b\n1,2\n\n\"x\ny\",\"say \"\"hi\"\", sir\"\n3,4";
        assert_eq!(
            records(data),
            [good(2, "1|2"), good(4, "x\ny|say \"hi\", sir"), good(6, "3|4")]
        );
    }

    #[test]
    fn line_ends_byte_order_mark_and_column_order_are_ignored() {
        let expected = [good(2, "1|2"), good(3, "3|4"), good(5, "5|6")];
        for data in [
            &b"a,b\n1,2\n3,4\n\n5,6\n"[..],
            b"a,b\r\n1,2\r\n3,4\r\n\r\n5,6\r\n",
            b"a,b\r\n1,2\r\n3,4\r\n\r\n5,6",
            b"\xef\xbb\xbfa,b\n1,2\n3,4\n\n5,6\n\n\n",
            b"b,a\n2,1\n4,3\n\n6,5\n",
            b"more,b,a\n,2,1\nx,4,3\n\n,6,5\n",
            b"\"b\",a\n\"2\",1\n4,\"3\"\n\n6,5\n",
        ] {
            assert_eq!(records(data), expected, "{}", data.escape_ascii());
        }
    }

    #[test]
    fn stray_quote_invalidates_only_its_line() {
        let data = b"a,b\n1,\"2\n3,4\n5\",6,7\n8,9\n";
        let (swallowed, bare) = (
            "quoted field contains the next record: a closing quote is missing",
            "quote inside an unquoted field",
        );
        assert_eq!(
            records(data),
            [bad(2, swallowed), good(3, "3|4"), bad(4, bare), good(5, "8|9")]
        );
        let unclosed = "quoted field without a closing quote";
        assert_eq!(records(b"a,b\n1,\"2\n3,4\n"), [bad(2, unclosed), good(3, "3|4")]);
        assert_eq!(records(b"a,b\n1,\"2"), [bad(2, unclosed)]);
        assert_eq!(records(b"a,b\n1,\""), [bad(2, unclosed)]);
    }

    #[test]
    fn malformed_records_are_errors() {
        assert_eq!(records(b"a,b\n1\n"), [bad(2, "expected 2 columns, found 1")]);
        assert_eq!(
            records(b"a,b\n ,\n\xe9,x\n"),
            [good(2, " |"), bad(3, "\"\\xe9\" is not UTF-8")]
        );
        // Valid UTF-8 only if the fields are concatenated.
        assert_eq!(records(b"a,b\n\xc3,\xa9\n"), [bad(2, "\"\\xc3\" is not UTF-8")]);
        let many = [b"a,b\n".to_vec(), vec![b','; 70], b"\n1,2".to_vec()].concat();
        assert_eq!(records(&many), [bad(2, "more than 64 columns"), good(3, "1|2")]);
        let long = [b"a,b\n".to_vec(), vec![b'x'; MAX_LEN], b",1\n1,2".to_vec()].concat();
        let found = records(&long);
        assert_eq!(found[1], good(3, "1|2"));
        assert!(found[0].1.as_ref().is_err_and(|message| message.starts_with("record longer")));
    }

    #[test]
    fn missing_or_duplicate_columns_are_errors() {
        for (data, missing, header) in [
            (&b"x,b\r\n1,2\n"[..], "a", "\"x,b\""),
            (b"1,2\n", "a, b", "\"1,2\""),
            (b"A,B\n", "a, b", "\"A,B\""),
            (b"", "a, b", "(empty)"),
            (b"\xef\xbb\xbf\n", "a, b", "(empty)"),
            (b"\"a,b\n1,2\n", "a, b", "\"\\\"a,b\""),
        ] {
            let error = CsvReader::new("f", data, ["a", "b"]).map(|_| ()).unwrap_err();
            let expected = format!("f: missing column {missing} in the header row {header}");
            assert_eq!(error.to_string(), expected);
        }
        for (data, expected) in [
            (&b"b;a\n2;1\n"[..], "f: columns are separated by semicolons, expected commas"),
            (b"\"a\"\t\"b\"\n", "f: columns are separated by tabs, expected commas"),
            (b"a,b,b\n", "f: duplicate column b in the header row \"a,b,b\""),
            (b"a,b,B\n", "f: duplicate column b in the header row \"a,b,B\""),
        ] {
            let error = CsvReader::new("f", data, ["a", "b"]).map(|_| ()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn optional_columns_may_be_missing() {
        let opened = CsvReader::with_optional("f", b"c,a\n1,2\n", ["a"], ["b", "c"]).unwrap();
        assert_eq!((opened.needed, opened.optional), ([1], [None, Some(0)]));
    }

    #[test]
    fn encoding_is_detected_per_line() {
        let content = b"\xef\xbb\xbfCaf\xc3\xa9\r\n\nCaf\xe9 \x93Night\x94 \x85\n\xef\xbb\xbf";
        let decoded: Vec<_> = lines(content).collect();
        let expected = [(1, "Café"), (3, "Café “Night” …"), (4, "\u{feff}")];
        assert_eq!(decoded, expected.map(|(number, line)| (number, Cow::Borrowed(line))));
    }

    #[test]
    fn zero_fractions_parse_as_integers() {
        for text in ["862.0", "862.000", "862"] {
            assert_eq!(parse_integer(text.as_bytes()), Some(862), "{text}");
        }
        for text in ["862.", "862.5", ".0", "862.0.0", "8.62e2", "-1.0", "NaN"] {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn parse_digits_accepts_only_digits() {
        assert_eq!(parse_digits(b"0"), Some(0));
        assert_eq!(parse_digits(b"007"), Some(7));
        assert_eq!(parse_digits(b"4294967295"), Some(u32::MAX));
        for text in ["", " 1", "1 ", "+1", "-1", "1.0", "4294967296", "99999999999999999999", "١"]
        {
            assert_eq!(parse_digits(text.as_bytes()), None, "{text:?}");
        }
        assert!(
            parse_id("movieId", b"0")
                .is_err_and(|message| message.starts_with("movieId is \"0\", not"))
        );
    }
}
