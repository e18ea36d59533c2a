use std::fmt;

use crate::{Error, Format};

/// How many bad lines are kept; of the rest only the number is known.
const KEPT: usize = 20;

/// How many bad lines an error message shows.
const SHOWN: usize = 10;

/// A line that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The file, as its path was given.
    pub file: String,
    /// The number of the line in the file where the record starts, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// What was found in a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The format of the files.
    pub format: Format,
    /// Number of movies.
    pub movies: usize,
    /// Number of users with ratings.
    pub users: usize,
    /// Number of ratings, duplicates not counted.
    pub ratings: usize,
    /// Movies whose title has no release year.
    pub movies_without_year: usize,
    /// Movies without genres.
    pub movies_without_genres: usize,
    /// Ratings that a later one of the same movie by the same user has replaced.
    pub duplicates: usize,
    /// Rows of `links.csv` for movies that are not in `movies.csv`; they are left out.
    pub unknown_links: usize,
    /// How many malformed rows, or ids in them, `links.csv` has; they are left out.
    pub bad_link_count: usize,
    /// The first twenty of them.
    pub bad_links: Vec<BadLine>,
    /// How many bad lines were skipped.
    pub bad_line_count: usize,
    /// The first twenty of them, in the order of the files.
    pub bad_lines: Vec<BadLine>,
}

impl Report {
    /// Whether malformed lines or links were left out.
    pub const fn is_incomplete(&self) -> bool {
        self.bad_line_count > 0 || self.bad_link_count > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} ({} without a year, {} without genres), {}, {}",
            self.format,
            counted(self.movies, "movie"),
            self.movies_without_year,
            self.movies_without_genres,
            counted(self.users, "user"),
            counted(self.ratings, "rating")
        )?;
        if self.duplicates > 0 {
            let replaced = counted(self.duplicates, "rating");
            write!(f, "\n{replaced} replaced by a later one of the same movie by the same user")?;
        }
        if self.unknown_links > 0 {
            write!(f, "\n{} of unknown movies left out", counted(self.unknown_links, "link"))?;
        }
        if self.bad_link_count > 0 {
            let listing = Listing { count: self.bad_link_count, first: &self.bad_links };
            write!(f, "\n{} left out:{listing}", counted(self.bad_link_count, "malformed link"))?;
        }
        if self.bad_line_count > 0 {
            let listing = Listing { count: self.bad_line_count, first: &self.bad_lines };
            write!(f, "\n{} skipped:{listing}", counted(self.bad_line_count, "bad line"))?;
        }
        Ok(())
    }
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Prints the first bad lines, one a row, and how many more there are.
pub(crate) struct Listing<'a> {
    count: usize,
    first: &'a [BadLine],
}

impl Listing<'_> {
    /// The message of [`Error::BadLines`](crate::Error::BadLines).
    pub(crate) fn refused(count: usize, allowed: usize, first: &[BadLine]) -> String {
        let listing = Listing { count, first };
        format!("{}, and --max-bad-lines allows {allowed}:{listing}", counted(count, "bad line"))
    }
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.first[..self.first.len().min(SHOWN)];
        for bad in shown {
            write!(f, "\n  {bad}")?;
        }
        match self.count - shown.len() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// Bad lines as they are found, in the order of the files.
#[derive(Debug, Default)]
pub(crate) struct BadLines {
    pub(crate) count: usize,
    pub(crate) first: Vec<BadLine>,
}

impl BadLines {
    pub(crate) fn push(&mut self, file: &str, line: u64, what: impl Into<String>) {
        self.count += 1;
        if self.first.len() < KEPT {
            self.first.push(BadLine { file: file.to_owned(), line, what: what.into() });
        }
    }

    pub(crate) fn check(&self, allowed: usize) -> Result<(), Error> {
        if self.count <= allowed {
            return Ok(());
        }
        Err(Error::BadLines { count: self.count, allowed, first: self.first.clone() })
    }

    /// Appends those of a part of `file` before which there are `lines_before` lines.
    pub(crate) fn append(&mut self, file: &str, lines_before: u64, part: BadPart) {
        self.count += part.count;
        let room = KEPT - self.first.len();
        self.first.extend(part.first.into_iter().take(room).map(|(line, what)| BadLine {
            file: file.to_owned(),
            line: lines_before + line,
            what,
        }));
    }
}

/// Bad lines of a part of a file, numbered from 1 within the part.
#[derive(Debug, Default)]
pub(crate) struct BadPart {
    count: usize,
    first: Vec<(u64, String)>,
}

impl BadPart {
    pub(crate) fn push(&mut self, line: u64, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < KEPT {
            self.first.push((line, what()));
        }
    }
}

/// Text from a file as an error message may show it: escaped, and cut to forty characters.
pub(crate) fn shown(text: &[u8]) -> String {
    let (text, cut) = match text.get(..40) {
        Some(start) if text.len() > 40 => (start, "…"),
        _ => (text, ""),
    };
    let mut plain = String::new();
    for chunk in text.utf8_chunks() {
        plain.extend(chunk.valid().escape_debug());
        plain.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    format!("\"{plain}\"{cut}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_text_is_short_and_harmless() {
        assert_eq!(shown(b"a\"b\x1b[1m\n"), "\"a\\\"b\\u{1b}[1m\\n\"");
        assert_eq!(shown(b"caf\xe9"), "\"caf\\xe9\"");
        assert_eq!(shown("é".repeat(300).as_bytes()), format!("\"{}\"…", "é".repeat(20)));
        assert_eq!(shown(&[b'x'; 40]), format!("\"{}\"", "x".repeat(40)));
    }

    #[test]
    fn only_the_first_bad_lines_are_kept() {
        let mut bad = BadLines::default();
        for line in 0..15 {
            bad.push("a", line, "odd");
        }
        let mut part = BadPart::default();
        for line in 1..=1000 {
            part.push(line, || "odd".to_owned());
        }
        bad.append("b", 70, part);
        assert_eq!((bad.count, bad.first.len()), (1015, KEPT));
        assert_eq!(bad.first[15].to_string(), "b:71: odd");
        let message = Listing::refused(bad.count, 3, &bad.first);
        assert!(message.starts_with("1015 bad lines, and --max-bad-lines allows 3:\n  a:0: odd\n"));
        assert!(message.ends_with("\n  a:9: odd\n  and 1005 more"), "{message}");
    }
}
