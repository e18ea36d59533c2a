//! Buffered writers of the CSV format, with LF line ends and quoting by RFC 4180.
//!
//! Call [`finish`](RatingsWriter::finish) on each writer: dropping it ignores the error of the last write.
//!
//! ```
//! use sparrow_model::{MovieId, Stars, UserId};
//! use sparrow_movielens::write::{MoviesWriter, RatingsWriter};
//!
//! let mut movies = MoviesWriter::new(Vec::new())?;
//! movies.write(MovieId(1), "Lantern, The (1994)", ["Adventure", "Comedy"])?;
//! let expected = "movieId,title,genres\n1,\"Lantern, The (1994)\",Adventure|Comedy\n";
//! assert_eq!(movies.finish()?, expected.as_bytes());
//!
//! let mut ratings = RatingsWriter::new(Vec::new())?;
//! ratings.write(UserId(7), MovieId(1), Stars::LIKED, 964_982_703)?;
//! assert_eq!(ratings.finish()?, b"userId,movieId,rating,timestamp\n7,1,3.5,964982703\n");
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io::{self, BufWriter, Write};

use sparrow_model::{MovieId, Stars, UserId};

use crate::movies::NO_GENRES;

const BUFFER: usize = 1 << 16;

/// Writes `movies.csv`.
#[derive(Debug)]
pub struct MoviesWriter<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> MoviesWriter<W> {
    /// Writes the header row.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(BUFFER, out);
        out.write_all(b"movieId,title,genres\n")?;
        Ok(Self { out })
    }

    /// Writes a movie. `title` includes the release year in parentheses, if any. Without genres, writes
    /// `(no genres listed)`.
    ///
    /// # Errors
    /// `InvalidInput` if a genre name contains the separator `|`; otherwise the error of the output.
    pub fn write<'a>(
        &mut self,
        id: MovieId,
        title: &str,
        genres: impl IntoIterator<Item = &'a str>,
    ) -> io::Result<()> {
        let mut list = String::new();
        for genre in genres {
            if genre.contains('|') {
                let problem = format!("genre {genre:?} contains the separator |");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
            }
            if !list.is_empty() {
                list.push('|');
            }
            list.push_str(genre);
        }
        if list.is_empty() {
            list.push_str(NO_GENRES);
        }
        self.out.write_all(itoa::Buffer::new().format(id.0).as_bytes())?;
        self.out.write_all(b",")?;
        field(&mut self.out, title)?;
        self.out.write_all(b",")?;
        field(&mut self.out, &list)?;
        self.out.write_all(b"\n")
    }

    /// Flushes the buffer and returns the output.
    pub fn finish(self) -> io::Result<W> {
        finish(self.out)
    }
}

/// Writes `ratings.csv`.
#[derive(Debug)]
pub struct RatingsWriter<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> RatingsWriter<W> {
    /// Writes the header row.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(BUFFER, out);
        out.write_all(b"userId,movieId,rating,timestamp\n")?;
        Ok(Self { out })
    }

    /// Creates a writer without a header row, for a part of a file.
    pub fn without_header(out: W) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER, out) }
    }

    /// Writes a rating; `timestamp` is Unix time in seconds.
    pub fn write(
        &mut self,
        user: UserId,
        movie: MovieId,
        stars: Stars,
        timestamp: u32,
    ) -> io::Result<()> {
        // One write per line: three numbers of up to ten digits, the stars, and separators.
        let mut line = [0; 40];
        let mut len = 0;
        let mut append = |text: &[u8]| {
            line[len..len + text.len()].copy_from_slice(text);
            len += text.len();
        };
        let mut digits = itoa::Buffer::new();
        append(digits.format(user.0).as_bytes());
        append(b",");
        append(digits.format(movie.0).as_bytes());
        let half_stars = stars.half_stars();
        let half = if half_stars.is_multiple_of(2) { b'0' } else { b'5' };
        append(&[b',', b'0' + half_stars / 2, b'.', half, b',']);
        append(digits.format(timestamp).as_bytes());
        append(b"\n");
        self.out.write_all(&line[..len])
    }

    /// Flushes the buffer and returns the output.
    pub fn finish(self) -> io::Result<W> {
        finish(self.out)
    }
}

/// Writes `links.csv`.
#[derive(Debug)]
pub struct LinksWriter<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> LinksWriter<W> {
    /// Writes the header row.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(BUFFER, out);
        out.write_all(b"movieId,imdbId,tmdbId\n")?;
        Ok(Self { out })
    }

    /// Writes the IMDb id (at least seven digits, with leading zeros) and the TMDB id of a movie.
    pub fn write(&mut self, id: MovieId, imdb: Option<&str>, tmdb: Option<&str>) -> io::Result<()> {
        self.out.write_all(itoa::Buffer::new().format(id.0).as_bytes())?;
        for other in [imdb, tmdb] {
            self.out.write_all(b",")?;
            field(&mut self.out, other.unwrap_or_default())?;
        }
        self.out.write_all(b"\n")
    }

    /// Flushes the buffer and returns the output.
    pub fn finish(self) -> io::Result<W> {
        finish(self.out)
    }
}

/// Writes a field, quoted if necessary (RFC 4180).
pub fn field(out: &mut impl Write, text: &str) -> io::Result<()> {
    if !text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        return out.write_all(text.as_bytes());
    }
    out.write_all(b"\"")?;
    for (number, part) in text.split('"').enumerate() {
        if number > 0 {
            out.write_all(b"\"\"")?;
        }
        out.write_all(part.as_bytes())?;
    }
    out.write_all(b"\"")
}

fn finish<W: Write>(mut out: BufWriter<W>) -> io::Result<W> {
    out.flush()?;
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_only_if_necessary() {
        let mut movies = MoviesWriter::new(Vec::new()).unwrap();
        movies.write(MovieId(u32::MAX), "The \"Inner\" Sea\r\n(1990)", []).unwrap();
        movies.write(MovieId(2), " plain ", ["Sea, Sky", "War"]).unwrap();
        assert_eq!(
            String::from_utf8(movies.finish().unwrap()).unwrap(),
            "movieId,title,genres\n\
             4294967295,\"The \"\"Inner\"\" Sea\r\n(1990)\",(no genres listed)\n\
             2, plain ,\"Sea, Sky|War\"\n"
        );
    }

    #[test]
    fn genre_with_separator_is_an_error() {
        let mut movies = MoviesWriter::new(Vec::new()).unwrap();
        let error = movies.write(MovieId(1), "Lantern", ["a|b"]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(movies.finish().unwrap(), b"movieId,title,genres\n");
    }

    #[test]
    fn longest_rating_fits_the_line_buffer() {
        let mut ratings = RatingsWriter::new(Vec::new()).unwrap();
        ratings.write(UserId(u32::MAX), MovieId(u32::MAX), Stars::MIN, u32::MAX).unwrap();
        ratings.write(UserId(1), MovieId(0), Stars::MAX, 0).unwrap();
        assert_eq!(
            String::from_utf8(ratings.finish().unwrap()).unwrap(),
            "userId,movieId,rating,timestamp\n\
             4294967295,4294967295,0.5,4294967295\n1,0,5.0,0\n"
        );
    }

    #[test]
    fn missing_ids_are_written_empty() {
        let mut links = LinksWriter::new(Vec::new()).unwrap();
        links.write(MovieId(3), Some("0012345"), None).unwrap();
        links.write(MovieId(4), None, Some("862")).unwrap();
        let written = links.finish().unwrap();
        assert_eq!(written, b"movieId,imdbId,tmdbId\n3,0012345,\n4,,862\n");
    }

    #[test]
    fn finish_returns_write_errors() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = RatingsWriter::new(Full).unwrap().finish().map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
