//! CSV files record by record, with the line where each starts; for the small files, which are
//! read whole. Ratings have their own way of reading.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr_iter};
use sparrow_model::skip_byte_order_mark;

use crate::Error;
use crate::csv::{Fields, Limits, Splitter};
use crate::report::shown;

/// Longest record and longest line, in bytes. The longest in real data have some hundred.
pub(crate) const MAX_LEN: usize = 1 << 16;

/// What a record of a MovieLens file may be.
pub(crate) const LIMITS: Limits = Limits { bytes: MAX_LEN, columns: 64 };

/// A CSV file with a header row, in memory.
pub(crate) struct Table<'a> {
    data: &'a [u8],
    at: usize,
    /// Number of the line that `at` is in.
    line: u64,
    columns: usize,
    splitter: Splitter,
}

/// A table whose header row has been read, and where its columns are.
pub(crate) struct Opened<'a, const N: usize, const M: usize> {
    pub(crate) table: Table<'a>,
    pub(crate) needed: [usize; N],
    pub(crate) optional: [Option<usize>; M],
}

impl<'a> Table<'a> {
    /// Reads the header row and finds the columns of these names, in any order. The first is that of
    /// the ids.
    pub(crate) fn new<const N: usize>(
        file: &str,
        data: &'a [u8],
        names: [&str; N],
    ) -> Result<(Self, [usize; N]), Error> {
        let Opened { table, needed, .. } = Self::with_optional(file, data, names, [])?;
        Ok((table, needed))
    }

    /// The same with columns that may be missing.
    pub(crate) fn with_optional<const N: usize, const M: usize>(
        file: &str,
        data: &'a [u8],
        names: [&str; N],
        optional: [&str; M],
    ) -> Result<Opened<'a, N, M>, Error> {
        let at = data.len() - skip_byte_order_mark(data).len();
        let mut table = Self { data, at, line: 1, columns: 0, splitter: Splitter::new(LIMITS) };
        table.skip_blank_lines();
        let row = &data[table.at..];
        let len = if row.is_empty() { 0 } else { table.splitter.split(row).unwrap_or_default() };
        let found = table.splitter.fields();
        let place = |name: &str| found.iter().position(|field| field == name.as_bytes());
        let missing: Vec<&str> = names.into_iter().filter(|name| place(name).is_none()).collect();
        let (line, _) = first_line(row);
        let line = &row[line];
        if !missing.is_empty() {
            return Err(header_error(file, line, &names, &missing));
        }
        let all = || names.into_iter().chain(optional);
        let count = |name: &str| {
            found.iter().filter(|field| field.eq_ignore_ascii_case(name.as_bytes())).count()
        };
        if let Some(twice) = all().find(|name| count(name) > 1) {
            let (file, column, header) = (file.to_owned(), twice.to_owned(), shown(line));
            return Err(Error::RepeatedColumn { file, column, header });
        }
        let needed = names.map(|name| place(name).unwrap_or_default());
        let optional = optional.map(place);
        table.columns = found.len();
        table.splitter.set_id_column(needed.first().copied().unwrap_or_default());
        table.advance(len);
        Ok(Opened { table, needed, optional })
    }

    /// How many columns the header row names; records with more or fewer are bad.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// How many bytes have been read, and the number of the line there.
    pub(crate) fn position(&self) -> (usize, u64) {
        (self.at, self.line)
    }

    /// The next record with the number of its first line, or why that line is bad.
    pub(crate) fn next(&mut self) -> Option<(u64, Result<Fields<'_>, String>)> {
        self.skip_blank_lines();
        let rest = &self.data[self.at..];
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
            Err(what) => {
                // The cause may be a stray quote, which has taken in good lines: go on with the next.
                let (_, len) = first_line(rest);
                self.advance(len);
                return Some((line, Err(what)));
            }
        }
        let fields = self.splitter.fields();
        if let Some(field) = fields.iter().find(|field| str::from_utf8(field).is_err()) {
            return Some((line, Err(format!("{} is not UTF-8", shown(field)))));
        }
        Some((line, Ok(fields)))
    }

    fn skip_blank_lines(&mut self) {
        let rest = &self.data[self.at..];
        self.advance(rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count());
    }

    fn advance(&mut self, len: usize) {
        self.line += memchr_iter(b'\n', &self.data[self.at..self.at + len]).count() as u64;
        self.at += len;
    }
}

pub(crate) fn wrong_columns(expected: usize, found: usize) -> String {
    let plural = if expected == 1 { "" } else { "s" };
    format!("{expected} column{plural} expected, {found} found")
}

/// Why the header row of a file does not do.
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
    let header = if line.is_empty() { "missing".to_owned() } else { shown(line) };
    Error::Header { file, missing: missing.join(", "), header }
}

/// Lines with their numbers, without line ends; blank ones are left out.
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

/// A line of an old data set: UTF-8 as in ml-10m, or else Windows-1252, of which the Latin-1 of ml-1m
/// and ml-100k is a part. Each line is decoded on its own, because files of both occur.
fn decode(line: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(line.iter().map(|&byte| windows_1252(byte)).collect()),
    }
}

/// The characters of the bytes from 0x80 to 0x9f as browsers decode them.
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

/// Parses an id: a whole number from 1 to 4294967295.
pub(crate) fn id(column: &str, text: &[u8]) -> Result<u32, String> {
    match integral(text) {
        Some(id) if id > 0 => Ok(id),
        _ => Err(format!("{column} is {}, not a whole number from 1 to 4294967295", shown(text))),
    }
}

/// Parses digits, and nothing else.
pub(crate) fn whole(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.iter().try_fold(0_u32, |number, digit| {
        number.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
    })
}

/// Parses digits, perhaps with a fraction of zeros: pandas writes `5.0` in columns with gaps.
pub(crate) fn integral(text: &[u8]) -> Option<u32> {
    whole(without_zero_fraction(text))
}

/// `862` for `862.0`; other text as it is.
pub(crate) fn without_zero_fraction(text: &[u8]) -> &[u8] {
    match memchr(b'.', text) {
        Some(point) if point + 1 < text.len() && text[point + 1..].iter().all(|&d| d == b'0') => {
            &text[..point]
        }
        _ => text,
    }
}

/// The range of a line at the beginning of `data` without its line end, and its length with it.
pub(crate) fn first_line(data: &[u8]) -> (Range<usize>, usize) {
    let (end, len) = memchr(b'\n', data).map_or((data.len(), data.len()), |end| (end, end + 1));
    let end = if data[..end].ends_with(b"\r") { end - 1 } else { end };
    (0..end, len)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// Records of a table with the columns `a` and `b`, as (line, "a|b" or what is wrong).
    fn records(data: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let (mut table, [a, b]) = Table::new("t", data, ["a", "b"]).unwrap();
        let mut all = Vec::new();
        while let Some((line, fields)) = table.next() {
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

    fn bad(line: u64, what: &str) -> (u64, Result<String, String>) {
        (line, Err(what.to_owned()))
    }

    #[test]
    fn records_know_their_first_line() {
        let data = b"a,b\n1,2\n\n\"x\ny\",\"say \"\"hi\"\", sir\"\n3,4";
        assert_eq!(
            records(data),
            [good(2, "1|2"), good(4, "x\ny|say \"hi\", sir"), good(6, "3|4")]
        );
    }

    #[test]
    fn line_ends_marks_and_the_order_of_columns_do_not_matter() {
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
    fn a_stray_quote_spoils_its_line_alone() {
        let data = b"a,b\n1,\"2\n3,4\n5\",6,7\n8,9\n";
        let (swallowed, bare) = (
            "quoted field contains the next record: a closing quote is missing",
            "quote inside a field that is not quoted",
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
    fn records_that_are_none() {
        assert_eq!(records(b"a,b\n1\n"), [bad(2, "2 columns expected, 1 found")]);
        assert_eq!(
            records(b"a,b\n ,\n\xe9,x\n"),
            [good(2, " |"), bad(3, "\"\\xe9\" is not UTF-8")]
        );
        // Valid only where the fields are glued together.
        assert_eq!(records(b"a,b\n\xc3,\xa9\n"), [bad(2, "\"\\xc3\" is not UTF-8")]);
        let many = [b"a,b\n".to_vec(), vec![b','; 70], b"\n1,2".to_vec()].concat();
        assert_eq!(records(&many), [bad(2, "more than 64 columns"), good(3, "1|2")]);
        let long = [b"a,b\n".to_vec(), vec![b'x'; MAX_LEN], b",1\n1,2".to_vec()].concat();
        let found = records(&long);
        assert_eq!(found[1], good(3, "1|2"));
        assert!(found[0].1.as_ref().is_err_and(|what| what.starts_with("record longer")));
    }

    #[test]
    fn the_header_is_checked_by_name() {
        for (data, missing, header) in [
            (&b"x,b\r\n1,2\n"[..], "a", "\"x,b\""),
            (b"1,2\n", "a, b", "\"1,2\""),
            (b"A,B\n", "a, b", "\"A,B\""),
            (b"", "a, b", "missing"),
            (b"\xef\xbb\xbf\n", "a, b", "missing"),
            (b"\"a,b\n1,2\n", "a, b", "\"\\\"a,b\""),
        ] {
            let error = Table::new("f", data, ["a", "b"]).map(|_| ()).unwrap_err();
            let expected = format!("f: no column {missing} in the header row, which is {header}");
            assert_eq!(error.to_string(), expected);
        }
        for (data, expected) in [
            (&b"b;a\n2;1\n"[..], "f: its columns are separated by semicolons, not by commas"),
            (b"\"a\"\t\"b\"\n", "f: its columns are separated by tabs, not by commas"),
            (b"a,b,b\n", "f: two columns b in the header row, which is \"a,b,b\""),
            (b"a,b,B\n", "f: two columns b in the header row, which is \"a,b,B\""),
        ] {
            let error = Table::new("f", data, ["a", "b"]).map(|_| ()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn columns_may_be_missing_where_the_reader_allows_it() {
        let opened = Table::with_optional("f", b"c,a\n1,2\n", ["a"], ["b", "c"]).unwrap();
        assert_eq!((opened.needed, opened.optional), ([1], [None, Some(0)]));
    }

    #[test]
    fn each_line_is_decoded_on_its_own() {
        let content = b"\xef\xbb\xbfCaf\xc3\xa9\r\n\nCaf\xe9 \x93Night\x94 \x85\n\xef\xbb\xbf";
        let decoded: Vec<_> = lines(content).collect();
        let expected = [(1, "Café"), (3, "Café “Night” …"), (4, "\u{feff}")];
        assert_eq!(decoded, expected.map(|(number, line)| (number, Cow::Borrowed(line))));
    }

    #[test]
    fn fractions_of_zeros_are_whole_numbers() {
        for text in ["862.0", "862.000", "862"] {
            assert_eq!(integral(text.as_bytes()), Some(862), "{text}");
        }
        for text in ["862.", "862.5", ".0", "862.0.0", "8.62e2", "-1.0", "NaN"] {
            assert_eq!(integral(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_digits() {
        assert_eq!(whole(b"0"), Some(0));
        assert_eq!(whole(b"007"), Some(7));
        assert_eq!(whole(b"4294967295"), Some(u32::MAX));
        for text in ["", " 1", "1 ", "+1", "-1", "1.0", "4294967296", "99999999999999999999", "١"]
        {
            assert_eq!(whole(text.as_bytes()), None, "{text:?}");
        }
        assert!(id("movieId", b"0").is_err_and(|what| what.starts_with("movieId is \"0\", not")));
    }
}
