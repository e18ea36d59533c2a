//! Reads ratings files in blocks, in parallel.
//!
//! A line belongs to the block in which it starts. Each thread takes the next block and parses it into its own
//! collection. Collections are merged in file order, so duplicates and line numbers equal those of a sequential pass.

use std::collections::BTreeMap;
use std::io::{self, Read, SeekFrom, Write as _};
use std::mem;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use memchr::{memchr, memmem, memrchr};
use sparrow_files::Hashing;
use sparrow_model::{MovieId, MovieIndex, Movies, RatingLog, Stars, UserId, skip_byte_order_mark};

use crate::Error;
use crate::csv::Splitter;
use crate::reader::{CsvReader, LIMITS, MAX_LEN, first_line, parse_id, wrong_columns};
use crate::report::{BadLines, BadPart, excerpt};
use crate::source::{Content, Format, Input, ReadSeek, Source};
use crate::timestamp;

/// Block size and number of threads. Tests use blocks smaller than a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockPlan {
    /// Block size in bytes, at least 1.
    pub(crate) block: u64,
    pub(crate) threads: usize,
}

impl BlockPlan {
    /// Blocks of 4 MiB, one thread per core.
    pub(crate) fn all_cores() -> Self {
        Self { block: 4 << 20, threads: thread::available_parallelism().map_or(1, NonZero::get) }
    }
}

/// A mergeable collection of rows.
pub(crate) trait Collect: Default + Send {
    fn push(&mut self, user: UserId, movie: MovieIndex, stars: Stars, timestamp: u32);

    /// Appends rows from later in the file.
    fn append(&mut self, later: Self);
}

impl Collect for RatingLog {
    fn push(&mut self, user: UserId, movie: MovieIndex, stars: Stars, timestamp: u32) {
        Self::push(self, user, movie, stars, timestamp);
    }

    fn append(&mut self, later: Self) {
        if !later.is_empty() {
            Self::append(self, later);
        }
    }
}

/// The content of a ratings file.
pub(crate) struct ReadRatings<C> {
    pub(crate) rows: C,
    /// Number of rows that the fast path rejects: quoted, with other columns, or with unusual number formats.
    pub(crate) unusual: u64,
    /// Whether the file is uncompressed.
    pub(crate) plain_file: bool,
}

/// Reads the ratings of a data set after its movies.
pub(crate) fn read<C: Collect>(
    source: &Source,
    movies: &Movies,
    bad: &mut BadLines,
    plan: BlockPlan,
) -> Result<ReadRatings<C>, Error> {
    let input = &source.ratings;
    let mut content = input.open()?;
    let mut layout = Layout {
        separator: b",",
        columns: 4,
        column_indexes: [0, 1, 2, 3],
        movies,
        movies_file: source.movies.file_name(),
    };
    let beginning = content.read_up_to(MAX_LEN as u64).map_err(|error| input.io_error(error))?;
    // Offset and line number of the first row.
    let mut start = (beginning.len() - skip_byte_order_mark(&beginning).len(), 1);
    match source.format {
        Format::Ml1m => layout.separator = b"::",
        Format::Ml100k => layout.separator = b"\t",
        Format::Latest => {
            let names = ["userId", "movieId", "rating", "timestamp"];
            let (reader, column_indexes) = CsvReader::new(&input.name, &beginning, names)?;
            (layout.columns, layout.column_indexes) = (reader.columns(), column_indexes);
            start = reader.position();
        }
    }
    let block = plan.block.max(1);
    let (blocks, count) = match content {
        Content::Plain(mut reader) => {
            let end = reader.seek(SeekFrom::End(0)).map_err(|error| input.io_error(error))?;
            let start = start.0 as u64;
            let blocks = Blocks::Seekable { start, end, next: AtomicU64::new(0) };
            (blocks, end.saturating_sub(start).div_ceil(block))
        }
        Content::Gzip(reader) => {
            input.check_whole()?;
            let read_ahead = beginning[start.0..].to_vec();
            (Blocks::Streamed(Mutex::new(Stream { reader, read_ahead, next: 0 })), u64::MAX)
        }
    };
    let plain_file = matches!(blocks, Blocks::Seekable { .. });
    let digest = (plain_file && input.has_digest()).then(|| Digest::new(&beginning[..start.0]));
    let job = Job {
        input,
        layout,
        digest,
        blocks,
        block,
        stop: AtomicBool::new(false),
        merged: Mutex::new(Merged {
            next: 0,
            waiting: BTreeMap::new(),
            ratings: ReadRatings { rows: C::default(), unusual: 0, plain_file },
            lines: start.1 - 1,
            bad: mem::take(bad),
        }),
    };
    let outcome = thread::scope(|scope| {
        let helpers = (plan.threads as u64).min(count).saturating_sub(1);
        // If a thread cannot be spawned, the others do the work.
        let helpers: Vec<_> = (0..helpers)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, || job.work()).ok())
            .collect();
        let own = job.work();
        helpers.into_iter().fold(own, |outcome, helper| {
            outcome.and(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    });
    let merged = job.merged.into_inner().unwrap_or_else(PoisonError::into_inner);
    *bad = merged.bad;
    outcome?;
    // Before the bad lines are counted: they may come from the damage.
    if let Some(digest) = job.digest {
        input.check(&digest.finish())?;
    }
    Ok(merged.ratings)
}

/// State shared by the threads.
struct Job<'a, C> {
    input: &'a Input,
    layout: Layout<'a>,
    /// For a file that is to be compared with a digest.
    digest: Option<Digest>,
    blocks: Blocks,
    /// Block size in bytes.
    block: u64,
    /// Set if a thread has failed.
    stop: AtomicBool,
    merged: Mutex<Merged<C>>,
}

/// The access to the next block.
enum Blocks {
    /// Each thread seeks to its block in the byte range `start..end`.
    Seekable {
        start: u64,
        end: u64,
        /// Number of the next unassigned block.
        next: AtomicU64,
    },
    /// The threads read their blocks in turn from a stream.
    Streamed(Mutex<Stream>),
}

/// The SHA-256 of a file whose blocks are read by several threads. Each hashes its block when the blocks before it
/// are hashed: what is parsed is what is hashed, and the file is read once.
struct Digest {
    state: Mutex<Hashed>,
    advanced: Condvar,
}

struct Hashed {
    hashing: Hashing<io::Sink>,
    /// The next block to hash.
    next: u64,
}

impl Digest {
    /// Starts with the bytes before the first block.
    fn new(beginning: &[u8]) -> Self {
        let mut hashing = Hashing::new(io::sink());
        // A sink never fails.
        drop(hashing.write_all(beginning));
        Self { state: Mutex::new(Hashed { hashing, next: 0 }), advanced: Condvar::new() }
    }

    /// Adds a block after the blocks before it, unless another thread has failed.
    fn add(&self, number: u64, block: &[u8], stop: &AtomicBool) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .advanced
            .wait_while(state, |state| state.next != number && !stop.load(Ordering::Relaxed));
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state.hashing.write_all(block));
        state.next += 1;
        drop(state);
        self.advanced.notify_all();
    }

    /// Wakes threads that wait for a block of a failed thread.
    fn wake(&self) {
        // With the lock: a thread that has just looked at the flag does not miss it.
        let _state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.advanced.notify_all();
    }

    fn finish(self) -> String {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).hashing.sha256()
    }
}

/// The results, merged in file order.
struct Merged<C> {
    /// Number of the next block to merge.
    next: u64,
    /// Parsed blocks that wait for an earlier one.
    waiting: BTreeMap<u64, Part<C>>,
    ratings: ReadRatings<C>,
    /// Number of lines before the next block.
    lines: u64,
    bad: BadLines,
}

impl<C: Collect> Merged<C> {
    fn insert(&mut self, file: &str, number: u64, part: Part<C>) {
        self.waiting.insert(number, part);
        while let Some(part) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.bad.append(file, self.lines, part.bad);
            self.lines += part.lines;
            self.ratings.rows.append(part.rows);
            self.ratings.unusual += part.unusual;
        }
    }
}

impl<C: Collect> Job<'_, C> {
    fn work(&self) -> Result<(), Error> {
        let done = self.parse_blocks();
        if done.is_err() {
            self.stop.store(true, Ordering::Relaxed);
            if let Some(digest) = &self.digest {
                digest.wake();
            }
        }
        done
    }

    fn parse_blocks(&self) -> Result<(), Error> {
        let mut reader = match self.blocks {
            Blocks::Seekable { .. } => Some(self.input.reopen()?),
            Blocks::Streamed(_) => None,
        };
        let mut lines = Lines::default();
        let mut splitter = Splitter::new(LIMITS);
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next_block(reader.as_deref_mut(), &mut lines);
            let Some(number) = number.map_err(|error| self.input.io_error(error))? else { break };
            if let Some(digest) = &self.digest {
                digest.add(number, lines.block(), &self.stop);
            }
            let part = self.layout.parse(&lines, &mut splitter);
            let mut merged = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
            merged.insert(&self.input.name, number, part);
        }
        Ok(())
    }

    /// Reads the next block and returns its number; `None` at the end of the file.
    fn next_block(
        &self,
        reader: Option<&mut (dyn ReadSeek + 'static)>,
        lines: &mut Lines,
    ) -> io::Result<Option<u64>> {
        match (&self.blocks, reader) {
            (Blocks::Seekable { start, end, next }, Some(reader)) => {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let from = number.checked_mul(self.block).and_then(|at| at.checked_add(*start));
                let Some(from) = from.filter(|from| from < end) else { return Ok(None) };
                let to = from.saturating_add(self.block).min(*end);
                lines.read(reader, from, to, from == *start)?;
                Ok(Some(number))
            }
            (Blocks::Streamed(stream), _) => {
                stream.lock().unwrap_or_else(PoisonError::into_inner).read(lines, self.block)
            }
            (Blocks::Seekable { .. }, None) => Ok(None),
        }
    }
}

/// A decompressing reader that is read block by block.
struct Stream {
    reader: Box<dyn Read + Send>,
    /// Bytes read beyond the last block.
    read_ahead: Vec<u8>,
    /// The number of the next block.
    next: u64,
}

impl Stream {
    /// Reads a block of whole lines and returns its number; `None` at the end of the file.
    fn read(&mut self, lines: &mut Lines, block: u64) -> io::Result<Option<u64>> {
        let bytes = &mut lines.bytes;
        bytes.clear();
        bytes.append(&mut self.read_ahead);
        let missing = block.saturating_sub(bytes.len() as u64);
        self.reader.by_ref().take(missing).read_to_end(bytes)?;
        let last_line = memrchr(b'\n', bytes).map_or(0, |line_end| line_end + 1);
        while bytes.len() > last_line {
            let before = bytes.len();
            self.reader.by_ref().take(CHUNK).read_to_end(bytes)?;
            if bytes.len() == before {
                break;
            }
            if let Some(line_end) = memchr(b'\n', &bytes[before..]) {
                self.read_ahead = bytes.split_off(before + line_end + 1);
                break;
            }
            // The truncated bytes belong to a line that exceeds the limit anyway.
            bytes.truncate(last_line + MAX_LEN + 1);
        }
        (lines.start, lines.first, lines.end) = (0, 0, bytes.len());
        if bytes.is_empty() {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(self.next - 1))
    }
}

/// The lines that start in a block, in a reusable buffer.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Offset of the block.
    start: usize,
    /// Offset of the first line.
    first: usize,
    /// End of the block. The last line starts before it and may continue after it.
    end: usize,
}

impl Lines {
    /// The bytes of the block.
    fn block(&self) -> &[u8] {
        &self.bytes[self.start.min(self.end)..self.end]
    }

    /// Reads the lines that start in the byte range `start..end`. `at_line` forces a line start at `start`.
    fn read(
        &mut self,
        reader: &mut dyn ReadSeek,
        start: u64,
        end: u64,
        at_line: bool,
    ) -> io::Result<()> {
        // The byte before the block determines whether a line starts at its start.
        let from = if at_line { start } else { start - 1 };
        self.start = (start - from) as usize;
        reader.seek(SeekFrom::Start(from))?;
        self.bytes.clear();
        self.bytes.reserve_exact((end - from) as usize + CHUNK as usize);
        reader.take(end - from).read_to_end(&mut self.bytes)?;
        // Shorter than requested if the file was truncated meanwhile.
        self.end = self.bytes.len();
        self.first = match memchr(b'\n', &self.bytes) {
            _ if at_line => 0,
            Some(line_end) => line_end + 1,
            None => self.end,
        };
        if self.first >= self.end {
            return Ok(());
        }
        while self.bytes.last() != Some(&b'\n') && self.bytes.len() - self.end <= MAX_LEN {
            let before = self.bytes.len();
            reader.take(CHUNK).read_to_end(&mut self.bytes)?;
            if self.bytes.len() == before {
                break;
            }
            if let Some(line_end) = memchr(b'\n', &self.bytes[before..]) {
                self.bytes.truncate(before + line_end + 1);
            }
        }
        Ok(())
    }
}

/// Bytes per read when searching the end of the last line.
const CHUNK: u64 = 1 << 10;

/// The parsed rows of a block.
#[derive(Debug, Default)]
struct Part<C> {
    rows: C,
    lines: u64,
    unusual: u64,
    bad: BadPart,
}

/// The columns of a line.
struct Layout<'a> {
    separator: &'static [u8],
    columns: usize,
    /// Indexes of the columns user id, movie id, rating and timestamp.
    column_indexes: [usize; 4],
    movies: &'a Movies,
    /// The name of the movies file, for messages.
    movies_file: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    user: UserId,
    movie: MovieIndex,
    stars: Stars,
    timestamp: u32,
}

impl Layout<'_> {
    fn parse<C: Collect>(&self, lines: &Lines, splitter: &mut Splitter) -> Part<C> {
        match self.separator {
            _ if self.columns != 4 || self.column_indexes != [0, 1, 2, 3] => {
                self.parse_with(lines, splitter, |_| None)
            }
            b"," => self.parse_with(lines, splitter, |data| self.parse_fast(data, *b",")),
            b"::" => self.parse_with(lines, splitter, |data| self.parse_fast(data, *b"::")),
            _ => self.parse_with(lines, splitter, |data| self.parse_fast(data, *b"\t")),
        }
    }

    /// Parses each line with the fast path, and falls back to [`parse_slow`](Self::parse_slow).
    fn parse_with<C: Collect>(
        &self,
        lines: &Lines,
        splitter: &mut Splitter,
        fast: impl Fn(&[u8]) -> Option<(Row, usize)>,
    ) -> Part<C> {
        let mut part: Part<C> = Part::default();
        let mut at = lines.first;
        while at < lines.end {
            part.lines += 1;
            let data = &lines.bytes[at..];
            if let Some((row, len)) = fast(data) {
                part.rows.push(row.user, row.movie, row.stars, row.timestamp);
                at += len;
                continue;
            }
            let (line, len) = first_line(data);
            at += len;
            let line = &data[line];
            if line.is_empty() {
                continue;
            }
            match self.parse_slow(line, splitter) {
                Ok(row) => {
                    part.unusual += 1;
                    part.rows.push(row.user, row.movie, row.stars, row.timestamp);
                }
                Err(message) => part.bad.push(part.lines, || message),
            }
        }
        part
    }

    /// Parses a line of plain numbers at the start of `data`. Returns the row and the length of the line, or `None` for
    /// any other line, valid or not.
    #[inline]
    fn parse_fast<const N: usize>(&self, data: &[u8], separator: [u8; N]) -> Option<(Row, usize)> {
        let (user, rest) = parse_number(data)?;
        let (movie, rest) = parse_number(rest.strip_prefix(&separator)?)?;
        let rest = rest.strip_prefix(&separator)?;
        let [star @ b'0'..=b'5', rest @ ..] = rest else { return None };
        let full_stars = (star - b'0') * 2;
        let (half_stars, rest) = match rest {
            [b'.', b'0', rest @ ..] => (full_stars, rest),
            [b'.', b'5', rest @ ..] => (full_stars + 1, rest),
            _ => (full_stars, rest),
        };
        let (timestamp, rest) = parse_number(rest.strip_prefix(&separator)?)?;
        let rest = match rest {
            [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => rest,
            [] => rest,
            _ => return None,
        };
        if user == 0 {
            return None;
        }
        let row = Row {
            user: UserId(user),
            movie: self.movies.index_of(MovieId(movie))?,
            stars: Stars::from_half_stars(half_stars)?,
            timestamp,
        };
        Some((row, data.len() - rest.len()))
    }

    /// Parses any line; the error is a message.
    fn parse_slow(&self, line: &[u8], splitter: &mut Splitter) -> Result<Row, String> {
        if line.len() > MAX_LEN {
            return Err("line longer than 65536 bytes".to_owned());
        }
        if self.separator == b"," && memchr(b'"', line).is_some() {
            let len = splitter.split(line).map_err(|problem| problem.to_string())?;
            if len < line.len() {
                return Err("carriage return inside a line".to_owned());
            }
            let fields = splitter.fields();
            return self.row(fields.len(), |column| fields.get(column));
        }
        let mut fields = Vec::with_capacity(4);
        let mut start = 0;
        for end in memmem::find_iter(line, self.separator) {
            fields.push(&line[start..end]);
            start = end + self.separator.len();
        }
        fields.push(&line[start..]);
        self.row(fields.len(), |column| fields[column])
    }

    fn row<'a>(&self, columns: usize, field: impl Fn(usize) -> &'a [u8]) -> Result<Row, String> {
        if columns != self.columns {
            return Err(wrong_columns(self.columns, columns));
        }
        let [user, movie, stars, timestamp] = self.column_indexes.map(&field);
        if let Some(column) = (0..columns).find(|&column| str::from_utf8(field(column)).is_err()) {
            return Err(format!("{} is not UTF-8", excerpt(field(column))));
        }
        let user = UserId(parse_id("userId", user)?);
        let movie = MovieId(parse_id("movieId", movie)?);
        let stars = parse_stars(stars)?;
        let timestamp = timestamp::parse(timestamp)?;
        let Some(movie) = self.movies.index_of(movie) else {
            return Err(format!("movieId {movie} is not in {}", self.movies_file));
        };
        Ok(Row { user, movie, stars, timestamp })
    }
}

/// Parses up to ten digits at the start of `data`; returns the number and the rest.
#[inline]
fn parse_number(data: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0_u64;
    let mut len = 0;
    while let Some(digit @ b'0'..=b'9') = data.get(len) {
        number = number * 10 + u64::from(digit - b'0');
        len += 1;
        if len > 10 {
            return None;
        }
    }
    if len == 0 {
        return None;
    }
    Some((u32::try_from(number).ok()?, &data[len..]))
}

/// Parses a rating: a number without sign or exponent, in steps of half a star.
fn parse_stars(text: &[u8]) -> Result<Stars, String> {
    let plain = text.first().is_some_and(u8::is_ascii_digit)
        && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.'));
    let value = str::from_utf8(text).ok().filter(|_| plain).and_then(|text| text.parse().ok());
    let Some(value): Option<f64> = value else {
        return Err(format!("rating is {}, not a number", excerpt(text)));
    };
    let half_stars = value * 2.0;
    let on_grid = half_stars.fract() == 0.0 && half_stars <= 10.0;
    Stars::from_half_stars(if on_grid { half_stars as u8 } else { 0 })
        .ok_or_else(|| format!("rating is {}, expected 0.5, 1.0, … 5.0", excerpt(text)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::samples::{bad_lines, gzip, load, load_blocks, ratings, source};

    const MOVIES: (&str, &[u8]) =
        ("movies.csv", b"movieId,title,genres\n1,Lantern,Drama\n2,Sea,Drama\n30,Harbour,War\n");

    fn loaded(data: &[u8]) -> Vec<(u32, u32, u8, u32)> {
        ratings(&load(&[MOVIES, ("ratings.csv", data)], 0).unwrap().catalog)
    }

    #[test]
    fn equivalent_notations_parse_to_equal_ratings() {
        let expected = [(1, 1, 8, 964_982_703), (1, 30, 1, u32::MAX), (7, 2, 10, 0)];
        for data in [
            "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,30,0.5,4294967295\n7,2,5,0\n",
            "userId,movieId,rating,timestamp\n1,1,4,964982703\n1,30,0.5,4294967295\n7,2,5.0,0",
            "\u{feff}userId,movieId,rating,timestamp\r\n1,1,4.0,964982703\r\n\r\n\
             1,30,0.5,4294967295\r\n7,2,5.0,0\r\n\r\n",
            "userId,movieId,rating,timestamp\n\"1\",1,\"4.0\",964982703\n\
             1,\"30\",0.5,\"4294967295\"\r\n\"7\",\"2\",\"5\",\"0\"",
            "timestamp,rating,extra,movieId,userId\n964982703,4.0,,1,1\n\
             4294967295,0.5,\"a,b\",30,1\n0,5.0,é,2,7\n",
            "userId,movieId,rating,timestamp\n01,001,4.00,0964982703\n\
             1,30,00.5,00000004294967295\n7,2,5.,0\n",
            "userId,movieId,rating,timestamp\n1.0,1,4.0,964982703.0\n\
             1.0,30.0,0.5,4294967295.00\n7,2.0,5,0.0\n",
            "userId,movieId,rating,timestamp\n1,1,4.0,2000-07-30 18:45:03\n\
             1,30,0.5,\"2106-02-07 06:28:15\"\n7,2,5,1970-01-01T00:00:00\n",
        ] {
            assert_eq!(loaded(data.as_bytes()), expected, "{data:?}");
        }
    }

    #[test]
    fn file_without_ratings_is_valid() {
        for data in ["userId,movieId,rating,timestamp", "userId,movieId,rating,timestamp\r\n\r\n"] {
            assert_eq!(loaded(data.as_bytes()), []);
        }
        let error = load(&[MOVIES, ("ratings.csv", b"")], 0).unwrap_err();
        assert!(
            error.to_string().starts_with("set/ratings.csv: missing column userId, movieId, rat")
        );
    }

    #[test]
    fn last_rating_of_a_user_and_movie_is_kept() {
        let data =
            b"userId,movieId,rating,timestamp\n1,1,1.0,50\n2,1,2.0,50\n1,1,3.0,50\n2,1,1.5,9\n";
        let loaded = load(&[MOVIES, ("ratings.csv", data)], 0).unwrap();
        assert_eq!(ratings(&loaded.catalog), [(1, 1, 6, 50), (2, 1, 4, 50)]);
        assert_eq!((loaded.report.ratings, loaded.report.duplicates), (2, 2));
        assert!(loaded.report.to_string().contains("2 duplicate ratings replaced by the latest"));
    }

    #[test]
    fn malformed_ratings_are_bad_lines() {
        let integer = |column: &str, value: &str| {
            let least = u32::from(column != "timestamp");
            format!("{column} is \"{value}\", not an integer from {least} to 4294967295")
        };
        let grid = |value: &str| format!("rating is \"{value}\", expected 0.5, 1.0, … 5.0");
        let number = |value: &str| format!("rating is \"{value}\", not a number");
        let columns = |found: usize| format!("expected 4 columns, found {found}");
        for (row, message) in [
            ("0,1,4.0,5", integer("userId", "0")),
            ("-1,1,4.0,5", integer("userId", "-1")),
            ("4294967296,1,4.0,5", integer("userId", "4294967296")),
            (" 1,1,4.0,5", integer("userId", " 1")),
            ("1,0,4.0,5", integer("movieId", "0")),
            ("1,1e3,4.0,5", integer("movieId", "1e3")),
            ("1,,4.0,5", integer("movieId", "")),
            ("1,3,4.0,5", "movieId 3 is not in movies.csv".to_owned()),
            ("1,1,0,5", grid("0")),
            ("1,1,0.0,5", grid("0.0")),
            ("1,1,5.5,5", grid("5.5")),
            ("1,1,6,5", grid("6")),
            ("1,1,3.2,5", grid("3.2")),
            ("1,1,128.5,5", grid("128.5")),
            ("1,1,-1,5", number("-1")),
            ("1,1,+1,5", number("+1")),
            ("1,1,nan,5", number("nan")),
            ("1,1,inf,5", number("inf")),
            ("1,1,1e0,5", number("1e0")),
            ("1,1,.5,5", number(".5")),
            ("1,1,1.2.3,5", number("1.2.3")),
            ("1,1,,5", number("")),
            ("1,1,4.0,-5", integer("timestamp", "-5")),
            ("1,1,4.0,4294967296", integer("timestamp", "4294967296")),
            ("1,1,4.0,99999999999999999999999", integer("timestamp", "99999999999999999999999")),
            ("1,1,4.0,5.5", integer("timestamp", "5.5")),
            ("1.5,1,4.0,5", integer("userId", "1.5")),
            ("1,\"1\"0,4.0,5", "text after a closing quote".to_owned()),
            ("\"1\"1,1,\"4.0\",5", "text after a closing quote".to_owned()),
            ("1\"1\",1,4.0,5", "quote inside an unquoted field".to_owned()),
            (
                "1,1,4.0,964982703000",
                "timestamp is \"964982703000\", in milliseconds, expected seconds".to_owned(),
            ),
            ("1,1,4.0,5 ", integer("timestamp", "5 ")),
            ("1,1,4.0,", integer("timestamp", "")),
            ("1,1,4.0", columns(3)),
            ("1,1,4.0,5,", columns(5)),
            ("1", columns(1)),
            (" ", columns(1)),
            ("1;1;4.0;5", columns(1)),
            ("\"1,1,4.0,5", "quoted field without a closing quote".to_owned()),
            ("\"1\",1,4.0,5\r1", "carriage return inside a line".to_owned()),
            ("1,1,4.0,\u{1b}[2J", integer("timestamp", "\\u{1b}[2J")),
        ] {
            let start = "userId,movieId,rating,timestamp\r\n2,2,4.0,7\r\n\r\n";
            for end in ["", "\n", "\r\n", "\r\n9,2,4.0,7\n"] {
                let data = format!("{start}{row}{end}");
                let files = [MOVIES, ("ratings.csv", data.as_bytes())];
                assert_eq!(bad_lines(&files), [format!("ratings.csv:4: {message}")], "{data:?}");
            }
        }
    }

    #[test]
    fn overlong_lines_are_bad_lines_with_bounded_memory() {
        let long = "1".repeat(MAX_LEN * 3);
        let data = format!("userId,movieId,rating,timestamp\n1,1,4,5\n{long}\n1,2,4,5\n{long}");
        let compressed = source(&[MOVIES, ("ratings.csv", &gzip(data.as_bytes()))]).unwrap();
        let source = source(&[MOVIES, ("ratings.csv", data.as_bytes())]).unwrap();
        for block in [100, MAX_LEN as u64, 1 << 30] {
            for source in [&source, &compressed] {
                let loaded = load_blocks(source, block, 2).unwrap();
                let bad: Vec<String> =
                    loaded.report.bad_lines.iter().map(ToString::to_string).collect();
                let expected =
                    [3, 5].map(|n| format!("set/ratings.csv:{n}: line longer than 65536 bytes"));
                assert_eq!(bad, expected, "{block}");
                assert_eq!(loaded.report.ratings, 2);
            }
        }
    }

    #[test]
    fn error_lists_the_first_bad_lines() {
        let mut data = "userId,movieId,rating,timestamp\n".to_owned();
        for n in 0..5000 {
            data += if n % 2 == 0 { "1,1,4.0,5\n" } else { "1,1,9.0,5\n" };
        }
        let source = source(&[MOVIES, ("ratings.csv", data.as_bytes())]).unwrap();
        let error = load_blocks(&source, 512, 4).unwrap_err().to_string();
        let rows: Vec<&str> = error.lines().collect();
        assert_eq!(rows[0], "2500 bad lines, more than --max-bad-lines=1000:");
        assert_eq!(rows[1], "  set/ratings.csv:3: rating is \"9.0\", expected 0.5, 1.0, … 5.0");
        assert!(rows[10].starts_with("  set/ratings.csv:21: "));
        assert_eq!(rows[11..], ["  and 2490 more"]);
    }

    /// Generates valid and malformed lines with LF and CRLF ends.
    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let good = (1..5_u32, prop::sample::select(vec![1, 2, 30]), 1..=10_u8, 0..40_u32).prop_map(
            |(user, movie, half, time)| {
                format!("{user},{movie},{},{time}", f32::from(half) / 2.0).into_bytes()
            },
        );
        let odd = prop::sample::select(vec![
            &b""[..],
            b"\"1\",2,\"3.5\",4",
            b"1,2,3.5",
            b"1,\"2,3.5,4",
            b"1,77,3.5,4",
            b"1,2,9,4",
            b"1,2,3,4,5",
            b"\r",
            b"\xff\xfe",
            b"1,2,3.5,4294967296",
        ]);
        let line = prop_oneof![3 => good, 1 => odd.prop_map(<[u8]>::to_vec)];
        let end = prop::sample::select(vec![&b"\n"[..], b"\r\n"]);
        (vec((line, end), 0..30), any::<bool>()).prop_map(|(rows, last_end)| {
            let mut data = b"userId,movieId,rating,timestamp\r\n".to_vec();
            for (line, end) in rows {
                data.extend(line);
                data.extend(end);
            }
            if !last_end {
                data.truncate(data.len() - 1);
            }
            data
        })
    }

    /// Generates bytes with syntactic meaning in a format, mixed with arbitrary ones.
    fn noise(len: usize) -> impl Strategy<Value = Vec<u8>> {
        let signs = prop::sample::select(b"0123459,,,\"\"\n\n\r.:::|||\t\t -\xc3\xa9".to_vec());
        vec(prop_oneof![9 => signs, 1 => any::<u8>()], 0..len)
    }

    proptest! {
        #[test]
        fn result_is_independent_of_blocks_and_threads(data in lines(), block in 1..64_u64, threads in 1..4_usize) {
            let compressed = source(&[MOVIES, ("ratings.csv", &gzip(&data))]).unwrap();
            let source = source(&[MOVIES, ("ratings.csv", &data)]).unwrap();
            let whole = load_blocks(&source, u64::MAX, 1).unwrap();
            let parts = load_blocks(&source, block, threads).unwrap();
            prop_assert_eq!(&parts.report, &whole.report);
            prop_assert_eq!(ratings(&parts.catalog), ratings(&whole.catalog));
            let parts = load_blocks(&compressed, block, threads).unwrap();
            prop_assert_eq!(&parts.report, &whole.report);
            prop_assert_eq!(ratings(&parts.catalog), ratings(&whole.catalog));
        }

        #[test]
        fn fast_and_slow_path_agree(
            line in "[0-9]{1,11},(1|2|30|5|007),[0-6](\\.[0-9])?,[0-9]{1,11}",
        ) {
            let source = source(&[MOVIES, ("ratings.csv", b"")]).unwrap();
            let (movies, _) = crate::movies::read(&source, &mut BadLines::default()).unwrap();
            let layout = Layout {
                separator: b",",
                columns: 4,
                column_indexes: [0, 1, 2, 3],
                movies: &movies,
                movies_file: "movies.csv",
            };
            let parse_slow = layout.parse_slow(line.as_bytes(), &mut Splitter::new(LIMITS)).ok();
            for end in ["", "\n", "\r\n", "\nmore"] {
                let data = format!("{line}{end}");
                let len = data.len() - if end == "\nmore" { 4 } else { 0 };
                if let Some((row, used)) = layout.parse_fast(data.as_bytes(), *b",") {
                    prop_assert_eq!((Some(row), used), (parse_slow, len));
                }
            }
            // The fast path must accept every valid line whose fields have at most ten digits.
            if line.split(',').all(|field| field.len() <= 10) {
                let fast = layout.parse_fast(line.as_bytes(), *b",").map(|(row, _)| row);
                prop_assert_eq!(fast, parse_slow);
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(
            movies in noise(60),
            others in noise(120),
            block in 1..64_u64,
        ) {
            let headed = |header: &[u8], rest: &[u8]| [header, b"\n", rest].concat();
            let files = |names: [&'static str; 3], contents: [Vec<u8>; 3]| {
                let files: Vec<(&str, &[u8])> =
                    names.into_iter().zip(contents.iter().map(Vec::as_slice)).collect();
                source(&files).unwrap()
            };
            let csv = ["movies.csv", "ratings.csv", "links.csv"];
            let contents = [
                headed(b"movieId,title,genres\n1,Lantern,Drama", &movies),
                headed(b"userId,movieId,rating,timestamp", &others),
                headed(b"movieId,imdbId,tmdbId", &others),
            ];
            let bare = [movies.clone(), others.clone(), others.clone()];
            let loaded = load_blocks(&files(csv, contents), block, 2);
            prop_assert!(loaded.is_ok(), "{:?}", loaded.err());
            let _ = load_blocks(&files(csv, bare.clone()), block, 2);
            let _ = load_blocks(&files(["movies.dat", "ratings.dat", "x"], bare.clone()), block, 2);
            let _ = load_blocks(&files(["u.item", "u.data", "u.genre"], bare), block, 2);
        }
    }
}
