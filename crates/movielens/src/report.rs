use std::fmt;

use crate::{Error, Format};

/// Maximum number of bad lines that are stored; further ones are only counted.
const MAX_STORED: usize = 20;

/// Maximum number of bad lines in an error message.
const MAX_LISTED: usize = 10;

/// A malformed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The path of the file as given.
    pub file: String,
    /// The line number at which the record starts, from 1.
    pub line: u64,
    /// The error.
    pub message: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// Counts of a data set, and its skipped lines.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The format of the files.
    pub format: Format,
    /// Number of movies.
    pub movies: usize,
    /// Number of users with ratings.
    pub users: usize,
    /// Number of ratings without duplicates.
    pub ratings: usize,
    /// Number of movies without a release year in the title.
    pub movies_without_year: usize,
    /// Number of movies without genres.
    pub movies_without_genres: usize,
    /// Number of ratings replaced by a later rating of the same user and movie.
    pub duplicates: usize,
    /// Number of skipped rows of `links.csv` for unknown movies.
    pub unknown_links: usize,
    /// Number of skipped malformed rows and ids of `links.csv`.
    pub bad_link_count: usize,
    /// The first 20 of them.
    pub bad_links: Vec<BadLine>,
    /// Number of skipped bad lines.
    pub bad_line_count: usize,
    /// The first 20 of them, in file order.
    pub bad_lines: Vec<BadLine>,
}

impl Report {
    /// Returns whether malformed lines or links were skipped.
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
            let duplicates = counted(self.duplicates, "duplicate rating");
            write!(f, "\n{duplicates} replaced by the latest of the same user and movie")?;
        }
        if self.unknown_links > 0 {
            write!(f, "\n{} of unknown movies skipped", counted(self.unknown_links, "link"))?;
        }
        if self.bad_link_count > 0 {
            let listing = Listing { count: self.bad_link_count, first: &self.bad_links };
            write!(f, "\n{} skipped:{listing}", counted(self.bad_link_count, "malformed link"))?;
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

/// Formats the first bad lines, one per row, and the number of further ones.
pub(crate) struct Listing<'a> {
    count: usize,
    first: &'a [BadLine],
}

impl Listing<'_> {
    /// The message of [`Error::BadLines`](crate::Error::BadLines).
    pub(crate) fn too_many(count: usize, allowed: usize, first: &[BadLine]) -> String {
        let listing = Listing { count, first };
        format!("{}, more than --max-bad-lines={allowed}:{listing}", counted(count, "bad line"))
    }
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = &self.first[..self.first.len().min(MAX_LISTED)];
        for bad in listed {
            write!(f, "\n  {bad}")?;
        }
        match self.count - listed.len() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// Collects bad lines in file order.
#[derive(Debug, Default)]
pub(crate) struct BadLines {
    pub(crate) count: usize,
    pub(crate) first: Vec<BadLine>,
}

impl BadLines {
    pub(crate) fn push(&mut self, file: &str, line: u64, message: impl Into<String>) {
        self.count += 1;
        if self.first.len() < MAX_STORED {
            self.first.push(BadLine { file: file.to_owned(), line, message: message.into() });
        }
    }

    pub(crate) fn check(&self, allowed: usize) -> Result<(), Error> {
        if self.count <= allowed {
            return Ok(());
        }
        Err(Error::BadLines { count: self.count, allowed, first: self.first.clone() })
    }

    /// Appends the bad lines of a part of `file` that starts after `lines_before` lines.
    pub(crate) fn append(&mut self, file: &str, lines_before: u64, part: BadPart) {
        self.count += part.count;
        let free = MAX_STORED - self.first.len();
        self.first.extend(part.first.into_iter().take(free).map(|(line, message)| BadLine {
            file: file.to_owned(),
            line: lines_before + line,
            message,
        }));
    }
}

/// Bad lines of a part of a file, with line numbers from 1 within the part.
#[derive(Debug, Default)]
pub(crate) struct BadPart {
    count: usize,
    first: Vec<(u64, String)>,
}

impl BadPart {
    pub(crate) fn push(&mut self, line: u64, message: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < MAX_STORED {
            self.first.push((line, message()));
        }
    }
}

/// Escapes text from a file for an error message, truncated to 40 bytes.
pub(crate) fn excerpt(text: &[u8]) -> String {
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
    fn excerpt_is_escaped_and_truncated() {
        assert_eq!(excerpt(b"a\"b\x1b[1m\n"), "\"a\\\"b\\u{1b}[1m\\n\"");
        assert_eq!(excerpt(b"caf\xe9"), "\"caf\\xe9\"");
        assert_eq!(excerpt("é".repeat(300).as_bytes()), format!("\"{}\"…", "é".repeat(20)));
        assert_eq!(excerpt(&[b'x'; 40]), format!("\"{}\"", "x".repeat(40)));
    }

    #[test]
    fn only_the_first_bad_lines_are_stored() {
        let mut bad = BadLines::default();
        for line in 0..15 {
            bad.push("a", line, "odd");
        }
        let mut part = BadPart::default();
        for line in 1..=1000 {
            part.push(line, || "odd".to_owned());
        }
        bad.append("b", 70, part);
        assert_eq!((bad.count, bad.first.len()), (1015, MAX_STORED));
        assert_eq!(bad.first[15].to_string(), "b:71: odd");
        let message = Listing::too_many(bad.count, 3, &bad.first);
        assert!(message.starts_with("1015 bad lines, more than --max-bad-lines=3:\n  a:0: odd\n"));
        assert!(message.ends_with("\n  a:9: odd\n  and 1005 more"), "{message}");
    }
}
