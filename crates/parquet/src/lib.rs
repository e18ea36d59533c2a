//! Checks Parquet files before they are decoded. The decoder trusts sizes and counts in a file, so
//! that a few hundred bytes can make it allocate gigabytes, and it panics on some damaged files.
//!
//! [`metadata`] checks a footer, [`Columns::check`] the pages of a column, including their
//! checksums if there are any.

mod pages;
mod thrift;

use std::any::Any;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;

use bytes::Bytes;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use sparrow_files::{Hashing, MANIFEST_FILE, Manifest, differs_from};

use thrift::{I32, LIST, Reader, STRUCT};

/// The bytes at the end of a file that contain the length of the footer.
pub const TAIL: u64 = 8;

/// The bytes at the beginning of each file.
const MAGIC: &[u8] = b"PAR1";

/// The maximum length of a footer. A thousand row groups of twenty columns take a few megabytes.
const MAX_FOOTER: u64 = 64 << 20;

/// The maximum nesting of columns. Spark's vectors need four levels.
const MAX_SCHEMA_DEPTH: usize = 32;

/// The maximum number of rows: [`ROWS`], or this number per byte of the file if that is more. Rows
/// have distinct ids and other values, so they take about a byte or more.
const ROWS_PER_BYTE: u64 = 64;
const ROWS: u64 = 1 << 16;

/// The length of the footer that precedes the tail of a file.
pub fn footer_length(tail: &[u8], size: u64) -> Result<u64, String> {
    let (length, magic) = tail.split_at_checked(4).ok_or("it is too short")?;
    if magic == b"PARE" {
        return Err("it is encrypted".to_owned());
    }
    if magic != MAGIC {
        return Err("it does not end like a Parquet file".to_owned());
    }
    let length = length.iter().rev().fold(0, |length, &byte| length << 8 | u64::from(byte));
    if length > MAX_FOOTER || length + TAIL + MAGIC.len() as u64 > size {
        return Err(format!("its footer claims {length} of the file's {size} bytes"));
    }
    Ok(length)
}

/// Decodes the footer of a file of this size.
pub fn metadata(footer: &[u8], size: u64) -> Result<ParquetMetaData, String> {
    check_footer(footer).ok_or("its footer is malformed")?;
    let metadata = catch_panic(|| ParquetMetaDataReader::decode_metadata(footer))?;
    let metadata = metadata.map_err(|error| error.to_string())?;
    let mut rows: u64 = 0;
    let mut starts = HashSet::new();
    for group in metadata.row_groups() {
        let of_group = u64::try_from(group.num_rows()).map_err(|_| "a row count is negative")?;
        rows = rows.saturating_add(of_group);
        for column in group.columns() {
            let name = column.column_path();
            let range = range(column).filter(|(start, length)| {
                *start >= MAGIC.len() as u64
                    && start.checked_add(*length).is_some_and(|end| end <= size - TAIL)
            });
            let (start, length) =
                range.ok_or_else(|| format!("column {name} lies outside of the file"))?;
            if length > 0 && !starts.insert(start) {
                return Err(format!("column {name} starts at the position of another one"));
            }
        }
    }
    if rows > ROWS + ROWS_PER_BYTE * size {
        return Err(format!("it claims {rows} rows in {size} bytes"));
    }
    Ok(metadata)
}

/// Start and length of a column in a row group.
fn range(column: &ColumnChunkMetaData) -> Option<(u64, u64)> {
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    Some((u64::try_from(start).ok()?, u64::try_from(column.compressed_size()).ok()?))
}

/// Traverses a footer, which must be well-formed, with limited nesting of the schema.
fn check_footer(footer: &[u8]) -> Option<()> {
    const SCHEMA: i64 = 2;
    const CHILDREN: i64 = 5;
    // The number of remaining elements on each level.
    let mut levels: Vec<usize> = Vec::new();
    Reader::new(footer).fields(|reader, id, kind| {
        if (id, kind) != (SCHEMA, LIST) {
            return Some(false);
        }
        let (_, elements) = reader.list().filter(|(kind, _)| *kind == STRUCT)?;
        for _ in 0..elements {
            let mut children = 0;
            reader.fields(|reader, id, kind| {
                if (id, kind) != (CHILDREN, I32) {
                    return Some(false);
                }
                children = usize::try_from(reader.int()?).ok().filter(|&n| n <= elements)?;
                Some(true)
            })?;
            while levels.last() == Some(&0) {
                levels.pop();
            }
            if let Some(siblings) = levels.last_mut() {
                *siblings -= 1;
            }
            if children > 0 {
                levels.push(children);
            }
            if levels.len() > MAX_SCHEMA_DEPTH {
                return None;
            }
        }
        Some(true)
    })
}

/// The positions of the columns in a file.
#[derive(Debug, Default)]
pub struct Columns {
    /// Row group and column by start position.
    starts: HashMap<u64, (usize, usize)>,
}

impl Columns {
    /// The columns in a footer.
    pub fn of(metadata: &ParquetMetaData) -> Self {
        let mut starts = HashMap::new();
        for (at, group) in metadata.row_groups().iter().enumerate() {
            for (column, chunk) in group.columns().iter().enumerate() {
                if let Some((start, 1..)) = range(chunk) {
                    starts.insert(start, (at, column));
                }
            }
        }
        Self { starts }
    }

    /// Checks the pages of the column at this position.
    pub fn check(
        &self,
        metadata: &ParquetMetaData,
        start: u64,
        bytes: &Bytes,
    ) -> Result<(), String> {
        if bytes.is_empty() {
            return Ok(());
        }
        let &(group, column) =
            self.starts.get(&start).ok_or("no column starts at this position")?;
        let group = metadata.row_group(group);
        let chunk = group.column(column);
        pages::check(chunk, start, group.num_rows(), bytes)
            .map_err(|what| format!("column {}: {what}", chunk.column_path()))
    }
}

/// Compares a file with its digest in the manifest of the folder, if there is one.
fn check_digest(path: &Path, file: &File) -> io::Result<Result<(), String>> {
    let manifest = Manifest::of(path.parent().unwrap_or(path))?;
    let expected = path.file_name().and_then(|name| manifest.get(name.to_str()?));
    let Some(expected) = expected else { return Ok(Ok(())) };
    let mut hashing = Hashing::new(file);
    io::copy(&mut hashing, &mut io::sink())?;
    let is_same = hashing.sha256() == expected;
    Ok(if is_same { Ok(()) } else { Err(differs_from(MANIFEST_FILE)) })
}

/// Checks a whole file: its digest, and the columns with these names.
pub fn check_file(path: &Path, names: &[&str]) -> io::Result<Result<(), String>> {
    let mut file = sparrow_files::open(path, u64::MAX)?;
    if let Err(what) = check_digest(path, &file)? {
        return Ok(Err(what));
    }
    let size = file.metadata()?.len();
    let mut read = |start: u64, length: u64| -> io::Result<Bytes> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        (&mut file).take(length).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    };
    let tail = read(size.saturating_sub(TAIL), TAIL)?;
    let length = match footer_length(&tail, size) {
        Ok(length) => length,
        Err(what) => return Ok(Err(what)),
    };
    let footer = read(size - TAIL - length, length)?;
    let metadata = match metadata(&footer, size) {
        Ok(metadata) => metadata,
        Err(what) => return Ok(Err(what)),
    };
    let columns = Columns::of(&metadata);
    for group in metadata.row_groups() {
        let selected = group.columns().iter().filter(|chunk| {
            names.contains(&chunk.column_path().parts().first().map_or("", String::as_str))
        });
        for (start, length) in selected.filter_map(range) {
            if let Err(what) = columns.check(&metadata, start, &read(start, length)?) {
                return Ok(Err(what));
            }
        }
    }
    Ok(Ok(()))
}

/// Runs a part of the decoder, and returns its panics as errors.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let _quiet = Quiet::new();
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_message(&*panic))
}

/// The message of a panic in the decoder.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the decoder failed: {}", text.unwrap_or("a panic"))
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Suppresses the output of panics on this thread while it exists.
struct Quiet {
    before: bool,
}

impl Quiet {
    fn new() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let others = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if !IS_QUIET.get() {
                    others(panic);
                }
            }));
        });
        Self { before: IS_QUIET.replace(true) }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        IS_QUIET.set(self.before);
    }
}
