//! CSV files record by record, with the line where each starts; for the small files, which are
//! read whole. Ratings have their own way of reading.

use std::ops::Range;

use csv_core::{ReadRecordResult, Reader};
use memchr::{memchr, memchr_iter};

use crate::Error;
use crate::report::shown;

/// Longest record and longest line, in bytes. The longest in real data have some hundred; without a
/// bound, one stray quote would make a record of the rest of the file.
pub(crate) const MAX_LEN: usize = 1 << 16;

/// Most columns that a file may have.
const MAX_COLUMNS: usize = 64;

/// Splits CSV records (RFC 4180) into fields.
pub(crate) struct Splitter {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    columns: usize,
}

impl Splitter {
    pub(crate) fn new() -> Self {
        let (text, ends) = (vec![0; MAX_LEN], vec![0; MAX_COLUMNS]);
        Self { reader: Reader::new(), text, ends, columns: 0 }
    }

    /// Splits the record at the beginning of `data`, which must not begin with a line end. Returns
    /// how many bytes the record takes, its line end included, and why it is none if that is so.
    pub(crate) fn split(&mut self, data: &[u8]) -> (usize, Result<(), &'static str>) {
        let data = &data[..data.len().min(MAX_LEN)];
        self.reader.reset();
        self.columns = 0;
        let (mut len, mut written) = (0, 0);
        // A last line without a line end gets one. A record that is not complete even then has an
        // opening quote and no closing one.
        let mut result = ReadRecordResult::InputEmpty;
        for part in [data, b"\n"] {
            let (text, ends) = (&mut self.text[written..], &mut self.ends[self.columns..]);
            let (part_result, read, more, ended) = self.reader.read_record(part, text, ends);
            len += read;
            written += more;
            self.columns += ended;
            result = part_result;
            if !matches!(result, ReadRecordResult::InputEmpty) {
                break;
            }
        }
        let len = len.min(data.len());
        let result = match result {
            ReadRecordResult::OutputEndsFull => Err("more than 64 columns"),
            _ if len == MAX_LEN => {
                Err("record longer than 65536 bytes, perhaps because a quote is not closed")
            }
            ReadRecordResult::Record => Ok(()),
            _ => Err("quoted field without a closing quote"),
        };
        (len, result)
    }

    /// The fields of the record that was split last.
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields { text: &self.text, ends: &self.ends[..self.columns] }
    }
}

/// The fields of a record.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    text: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Fields<'a> {
    pub(crate) fn len(self) -> usize {
        self.ends.len()
    }

    /// A field's bytes; empty if there is no such field.
    pub(crate) fn get(self, column: usize) -> &'a [u8] {
        let Some(&end) = self.ends.get(column) else { return &[] };
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..end]
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len()).map(move |column| self.get(column))
    }
}

/// A CSV file with a header row, in memory.
pub(crate) struct Table<'a> {
    data: &'a [u8],
    at: usize,
    /// Number of the line that `at` is in.
    line: u64,
    columns: usize,
    splitter: Splitter,
}

impl<'a> Table<'a> {
    /// Reads the header row and finds the columns of these names, in any order.
    pub(crate) fn new<const N: usize>(
        file: &str,
        data: &'a [u8],
        names: [&str; N],
    ) -> Result<(Self, [usize; N]), Error> {
        let mut table = Self { data, at: 0, line: 1, columns: 0, splitter: Splitter::new() };
        if data.starts_with(b"\xef\xbb\xbf") {
            table.at = 3;
        }
        table.skip_blank_lines();
        let row = &data[table.at..];
        let (len, _) = table.splitter.split(row);
        let found = table.splitter.fields();
        let place = |name: &str| found.iter().position(|field| field == name.as_bytes());
        let missing: Vec<&str> = names.into_iter().filter(|name| place(name).is_none()).collect();
        if !missing.is_empty() {
            let (line, _) = first_line(row);
            let header = if row.is_empty() { "missing".to_owned() } else { shown(&row[line]) };
            let missing = missing.join(", ");
            return Err(Error::Header { file: file.to_owned(), missing, header });
        }
        let places = names.map(|name| place(name).unwrap_or_default());
        table.columns = found.len();
        table.advance(len);
        Ok((table, places))
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
        let (len, result) = self.splitter.split(rest);
        let found = self.splitter.fields().len();
        let problem = match result {
            Ok(()) if found == self.columns => None,
            Ok(()) => Some(wrong_columns(self.columns, found)),
            Err(what) => Some(what.to_owned()),
        };
        if let Some(what) = problem {
            // The cause may be a stray quote, which has taken in good lines: go on with the next.
            let (_, len) = first_line(rest);
            self.advance(len);
            return Some((line, Err(what)));
        }
        self.advance(len);
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

/// Lines with their numbers, without line ends; blank ones are left out.
pub(crate) fn lines(data: &str) -> impl Iterator<Item = (u64, &str)> {
    (1..).zip(data.lines()).filter(|(_, line)| !line.is_empty())
}

/// Parses an id: a whole number from 1 to 4294967295.
pub(crate) fn id(column: &str, text: &[u8]) -> Result<u32, String> {
    match whole(text) {
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
        let (four, three) = ("2 columns expected, 4 found", "2 columns expected, 3 found");
        assert_eq!(records(data), [bad(2, four), good(3, "3|4"), bad(4, three), good(5, "8|9")]);
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
        ] {
            let error = Table::new("f", data, ["a", "b"]).map(|_| ()).unwrap_err();
            let expected = format!("f: no column {missing} in the header row, which is {header}");
            assert_eq!(error.to_string(), expected);
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
