//! Reads one file in batches.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write as _;
use std::mem;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use object_store::ObjectStoreExt as _;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use sparrow_model::skip_byte_order_mark;
use sparrow_movielens::csv::{Limits, Splitter};
use sparrow_movielens::kind::{self, Kind};
use sparrow_parquet::Columns;
use sparrow_store::Entry;

use super::column_mapping::ColumnMapping;
use super::files::File;
use super::{Error, Table};

const BATCH: usize = 1024;

/// The maximum size of a line, and of a record of a CSV file.
const MAX_LINE: usize = 1 << 20;

const LIMITS: Limits = Limits { bytes: MAX_LINE, columns: 1 << 12 };

#[derive(Debug)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    /// The approximate number of bytes of the file that they took.
    pub(super) bytes: u64,
}

pub(super) type BatchStream = BoxStream<'static, Result<Batch, Error>>;

/// Opens a file. Its beginning determines the format: Parquet; vectors by line (`id:f f f …`);
/// otherwise CSV with a header. Text may be compressed with gzip.
pub(super) async fn open(file: File, table: Table) -> Result<BatchStream, Error> {
    let mut text = Text::open(file.clone()).await?;
    let named_parquet = file.name.to_ascii_lowercase().ends_with(".parquet");
    let mut kind = Kind::of(text.peek(kind::MAGIC_LEN).await?);
    if kind == Kind::Gzip && !named_parquet {
        text.decompress();
        kind = Kind::of(text.peek(kind::MAGIC_LEN).await?);
    }
    match kind {
        _ if named_parquet => return parquet_rows(file, table).await,
        Kind::Parquet if !text.is_compressed => return parquet_rows(file, table).await,
        Kind::Parquet | Kind::Gzip => {
            return Err(file.malformed("contains another compressed file: decompress it"));
        }
        Kind::Other(found) => return Err(file.malformed(format!("is {found}"))),
        Kind::Text => {}
    }
    text.skip_byte_order_mark().await?;
    if table.is_of_vectors() && is_vector_line(text.peek(64).await?) {
        return Ok(vector_lines(text, table));
    }
    csv(text, table).await
}

/// Whether a file begins with an id and a colon.
fn is_vector_line(start: &[u8]) -> bool {
    let start = start.trim_ascii_start();
    let digits = start.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && start[digits..].trim_ascii_start().first() == Some(&b':')
}

async fn parquet_rows(file: File, table: Table) -> Result<BatchStream, Error> {
    // The Parquet reader reports a file shorter than a footer as a misuse of its API.
    if file.size < 12 {
        return Err(file.malformed("is not Parquet: it is too short"));
    }
    // The column types are sufficient, without the schema of Arrow.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let ranges = Ranges { file: file.clone(), checked: None };
    let mut opened = pin!(ParquetRecordBatchStreamBuilder::new_with_options(ranges, options));
    let builder = future::poll_fn(|context| {
        let polled = sparrow_parquet::catch_panic(|| opened.as_mut().poll(context));
        polled.unwrap_or_else(|what| Poll::Ready(Err(ParquetError::General(what))))
    });
    let builder = builder.await.map_err(|error| broken(&file, error))?;
    let layout =
        ColumnMapping::find(table, builder.schema()).map_err(|what| file.malformed(what))?;
    let roots: Vec<usize> = layout
        .columns()
        .filter_map(|column| Some(builder.schema().column_with_name(column)?.0))
        .collect();
    let projection = ProjectionMask::roots(builder.parquet_schema(), roots);
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let builder = builder.with_projection(projection).with_batch_size(BATCH);
    let batches = sparrow_parquet::catch_panic(|| builder.build());
    let batches = batches.map_err(|what| file.malformed(not_parquet(what)))?;
    let mut batches = batches.map_err(|error| broken(&file, error))?;
    let batches = stream::poll_fn(move |context| {
        let polled = sparrow_parquet::catch_panic(|| batches.poll_next_unpin(context));
        polled.unwrap_or_else(|what| Poll::Ready(Some(Err(ParquetError::General(what)))))
    });
    let mut done = 0;
    let rows = batches.map(move |batch| {
        let batch = batch.map_err(|error| broken(&file, error))?;
        let entries = layout.entries(&batch, done + 1).map_err(|what| file.malformed(what))?;
        let share = |done: u64| u128::from(file.size) * u128::from(done) / u128::from(rows.max(1));
        let before = share(done);
        done += batch.num_rows() as u64;
        Ok(Batch { entries, bytes: (share(done) - before) as u64 })
    });
    Ok(rows.boxed())
}

/// Separates content errors of the Parquet reader from others.
fn broken(file: &File, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => file.unreadable(source),
        ParquetError::General(what) => file.malformed(not_parquet(what)),
        error => file.malformed(not_parquet(error)),
    }
}

fn not_parquet(what: impl fmt::Display) -> String {
    format!("is not readable as Parquet: {what}")
}

/// A file for the Parquet reader, which receives only checked content.
#[derive(Debug)]
struct Ranges {
    file: File,
    /// The footer, after it was read.
    checked: Option<(Arc<ParquetMetaData>, Columns)>,
}

type Fetched<'a, T> = BoxFuture<'a, Result<T, ParquetError>>;

impl Ranges {
    async fn fetch(&self, range: Range<u64>) -> Result<Bytes, ParquetError> {
        let bytes = self.file.store.get_range(&self.file.path, range).await;
        bytes.map_err(|error| ParquetError::External(error.into()))
    }

    /// Checks the column that starts with this range.
    fn check(&self, range: &Range<u64>, bytes: &Bytes) -> Result<(), ParquetError> {
        let Some((metadata, columns)) = &self.checked else { return Ok(()) };
        columns.check(metadata, range.start, bytes).map_err(ParquetError::General)
    }
}

impl AsyncFileReader for Ranges {
    fn get_bytes(&mut self, range: Range<u64>) -> Fetched<'_, Bytes> {
        async move {
            let bytes = self.fetch(range.clone()).await?;
            self.check(&range, &bytes).map(|()| bytes)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> Fetched<'_, Vec<Bytes>> {
        async move {
            let all = self.file.store.get_ranges(&self.file.path, &ranges).await;
            let all = all.map_err(|error| ParquetError::External(error.into()))?;
            for (range, bytes) in ranges.iter().zip(&all) {
                self.check(range, bytes)?;
            }
            Ok(all)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> Fetched<'a, Arc<ParquetMetaData>> {
        async move {
            let size = self.file.size;
            let footer_end = size - sparrow_parquet::TAIL;
            let tail = self.fetch(footer_end..size).await?;
            let length =
                sparrow_parquet::footer_length(&tail, size).map_err(ParquetError::General)?;
            let footer = self.fetch(footer_end - length..footer_end).await?;
            let metadata =
                sparrow_parquet::metadata(&footer, size).map_err(ParquetError::General)?;
            let metadata = Arc::new(metadata);
            self.checked = Some((Arc::clone(&metadata), Columns::of(&metadata)));
            Ok(metadata)
        }
        .boxed()
    }
}

/// The text of a file as a stream.
struct Text {
    file: File,
    chunks: BoxStream<'static, object_store::Result<Bytes>>,
    /// The decompressor of a compressed file; `None` at its end.
    decoder: Option<MultiGzDecoder<Vec<u8>>>,
    /// The bytes read but not decompressed yet.
    compressed: Bytes,
    is_compressed: bool,
    /// The bytes read but not consumed yet.
    ahead: Vec<u8>,
    /// The number of bytes read, and the part of them already reported as progress.
    read: u64,
    reported: u64,
    /// The number of lines consumed.
    line: u64,
}

impl Text {
    async fn open(file: File) -> Result<Self, Error> {
        let opened = file.store.get(&file.path).await.map_err(|error| file.unreadable(error))?;
        let chunks = opened.into_stream();
        Ok(Self {
            file,
            chunks,
            decoder: None,
            compressed: Bytes::new(),
            is_compressed: false,
            ahead: Vec::new(),
            read: 0,
            reported: 0,
            line: 0,
        })
    }

    /// Treats everything from the beginning as compressed.
    fn decompress(&mut self) {
        self.compressed = mem::take(&mut self.ahead).into();
        self.decoder = Some(MultiGzDecoder::new(Vec::new()));
        self.is_compressed = true;
    }

    /// Reads more; false at the end of the file.
    async fn more(&mut self) -> Result<bool, Error> {
        if self.decoder.is_some() && !self.compressed.is_empty() {
            return self.decode(false);
        }
        let chunk = self.chunks.try_next().await.map_err(|error| self.file.unreadable(error))?;
        let Some(chunk) = chunk else {
            return if self.decoder.is_some() { self.decode(true) } else { Ok(false) };
        };
        self.read += chunk.len() as u64;
        if self.is_compressed {
            self.compressed = chunk;
        } else {
            self.ahead.extend_from_slice(&chunk);
        }
        Ok(true)
    }

    /// Decompresses a chunk, or the rest at the end of the file. A chunk expands to at most 16 MiB.
    fn decode(&mut self, at_end: bool) -> Result<bool, Error> {
        let Some(decoder) = &mut self.decoder else { return Ok(false) };
        let piece = self.compressed.split_to(self.compressed.len().min(1 << 14));
        let mut outcome = decoder.write_all(&piece);
        if at_end {
            outcome = outcome.and_then(|()| decoder.try_finish());
        }
        if let Err(error) = outcome {
            return Err(self.file.malformed(format!("is not readable as gzip: {error}")));
        }
        self.ahead.append(decoder.get_mut());
        if at_end {
            self.decoder = None;
        }
        Ok(true)
    }

    /// Reads until there are `wanted` bytes after `offset`, or the file ends.
    async fn fill(&mut self, offset: usize, wanted: usize) -> Result<&[u8], Error> {
        while self.ahead.len() < offset + wanted && self.more().await? {}
        Ok(&self.ahead[offset..])
    }

    /// The next bytes, without consuming them; fewer than `wanted` only at the end of the file.
    async fn peek(&mut self, wanted: usize) -> Result<&[u8], Error> {
        let ahead = self.fill(0, wanted).await?;
        Ok(&ahead[..wanted.min(ahead.len())])
    }

    async fn skip_byte_order_mark(&mut self) -> Result<(), Error> {
        let start = self.peek(3).await?;
        let mark = start.len() - skip_byte_order_mark(start).len();
        self.consume(mark);
        Ok(())
    }

    fn consume(&mut self, bytes: usize) {
        self.ahead.drain(..bytes);
    }

    /// Consumes bytes, and counts the lines in them.
    fn consume_lines(&mut self, bytes: usize) {
        self.line += memchr::memchr_iter(b'\n', &self.ahead[..bytes]).count() as u64;
        self.consume(bytes);
    }

    /// The number of bytes read since the last call.
    fn progress(&mut self) -> u64 {
        self.read - mem::replace(&mut self.reported, self.read)
    }

    /// The length of the next line with its line end; `None` at the end of the file.
    async fn line_length(&mut self, from: usize) -> Result<Option<usize>, Error> {
        let mut searched = from;
        loop {
            let end = self.ahead[searched..].iter().position(|&byte| byte == b'\n');
            if let Some(end) = end {
                return Ok(Some(searched + end + 1 - from));
            }
            searched = self.ahead.len();
            if searched - from > MAX_LINE {
                let line = self.line + 1;
                return Err(self.file.malformed(format!("line {line} has no end: is it text?")));
            }
            if !self.more().await? {
                return Ok((searched > from).then_some(searched - from));
            }
        }
    }
}

/// A file with lines `id:f f f …`.
fn vector_lines(text: Text, table: Table) -> BatchStream {
    stream::try_unfold(text, move |text| next_vectors(text, table)).boxed()
}

async fn next_vectors(mut text: Text, table: Table) -> Result<Option<(Batch, Text)>, Error> {
    let (mut entries, mut offset) = (Vec::new(), 0);
    while entries.len() < BATCH {
        let Some(length) = text.line_length(offset).await? else { break };
        text.line += 1;
        let line = &text.ahead[offset..offset + length];
        offset += length;
        let malformed = |what| text.file.malformed(format!("line {}: {what}", text.line));
        let line = str::from_utf8(skip_byte_order_mark(line));
        let line = line.map_err(|_| malformed("not UTF-8 text".to_owned()))?;
        let line = line.trim();
        if !line.is_empty() {
            let mut vector = Vec::new();
            let id = sparrow_neural::parse_line(line, &mut vector).map_err(malformed)?;
            entries.push(table.embedding(id, vector));
        }
    }
    text.consume(offset);
    let bytes = text.progress();
    Ok((offset > 0).then_some((Batch { entries, bytes }, text)))
}

/// A CSV file with a header.
async fn csv(mut text: Text, table: Table) -> Result<BatchStream, Error> {
    let blank = text.peek(MAX_LINE).await?.iter().take_while(|byte| is_line_end(**byte)).count();
    text.consume_lines(blank);
    let Some(length) = text.line_length(0).await? else {
        // Spark writes such files for partitions without rows.
        return Ok(stream::empty().boxed());
    };
    let mut splitter = Splitter::new(LIMITS);
    let names = header(&mut splitter, &text.ahead[..length]);
    let names = names.map_err(|what| text.file.malformed(format!("header: {what}")))?;
    text.consume_lines(length);
    // All columns are read as text, and converted row by row.
    let fields = names.iter().map(|name| Field::new(name, DataType::Utf8, true));
    let all = Schema::new(fields.collect::<Vec<_>>());
    let layout = ColumnMapping::find(table, &all).map_err(|what| text.file.malformed(what))?;
    let index = |name: &str| names.iter().position(|column| column == name);
    // A column may be required twice.
    let indexes: BTreeSet<usize> = layout.columns().filter_map(index).collect();
    let fields = indexes.iter().map(|&column| all.field(column).clone());
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    splitter.set_id_column(index(layout.id()).unwrap_or_default());
    let indexes = indexes.into_iter().collect();
    let state = Csv { text, splitter, columns: names.len(), indexes, schema, layout, rows: 0 };
    Ok(stream::try_unfold(state, Csv::next).boxed())
}

/// The names in a header row.
fn header(splitter: &mut Splitter, line: &[u8]) -> Result<Vec<String>, String> {
    let length = splitter.split(line).map_err(|problem| problem.to_string())?;
    if length < line.len() {
        return Err("it contains a line end".to_owned());
    }
    let name = |field| str::from_utf8(field).map(|name| name.trim().to_owned());
    splitter.fields().iter().map(name).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

const fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

struct Csv {
    text: Text,
    splitter: Splitter,
    /// The number of columns of a record.
    columns: usize,
    /// The required columns, and their schema.
    indexes: Vec<usize>,
    schema: SchemaRef,
    layout: ColumnMapping,
    rows: u64,
}

impl Csv {
    async fn next(mut self) -> Result<Option<(Batch, Self)>, Error> {
        let mut values: Vec<StringBuilder> =
            self.indexes.iter().map(|_| StringBuilder::new()).collect();
        let (mut rows, mut offset) = (0, 0);
        while rows < BATCH {
            // The splitter needs the whole record, or more than the maximum.
            let rest = self.text.fill(offset, MAX_LINE + 1).await?;
            let blank = rest.iter().take_while(|byte| is_line_end(**byte)).count();
            if blank > 0 {
                offset += blank;
                continue;
            }
            if rest.is_empty() {
                break;
            }
            match record(&mut self.splitter, rest, self.columns, &self.indexes, &mut values) {
                Ok(length) => offset += length,
                Err(what) => {
                    self.text.consume_lines(offset);
                    let line = self.text.line + 1;
                    let what = format!("is not readable as CSV: line {line}: {what}");
                    return Err(self.text.file.malformed(what));
                }
            }
            rows += 1;
        }
        self.text.consume_lines(offset);
        if rows == 0 {
            return Ok(None);
        }
        let columns = values.iter_mut().map(|values| Arc::new(values.finish()) as ArrayRef);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns.collect());
        let batch = batch.map_err(|error| self.text.file.malformed(error.to_string()))?;
        // Row 1 is line 2, unless quoted fields contain line ends.
        let entries = self.layout.entries(&batch, self.rows + 1);
        let entries = entries.map_err(|what| self.text.file.malformed(what))?;
        self.rows += rows as u64;
        let bytes = self.text.progress();
        Ok(Some((Batch { entries, bytes }, self)))
    }
}

/// Splits the record at the beginning of `data`, and appends the required fields to `values`.
/// Returns the length of the record.
fn record(
    splitter: &mut Splitter,
    data: &[u8],
    columns: usize,
    indexes: &[usize],
    values: &mut [StringBuilder],
) -> Result<usize, String> {
    let length = splitter.split(data).map_err(|problem| problem.to_string())?;
    let fields = splitter.fields();
    if fields.len() != columns {
        return Err(format!("{columns} columns expected, {} found", fields.len()));
    }
    if fields.iter().any(|field| str::from_utf8(field).is_err()) {
        return Err("not UTF-8 text".to_owned());
    }
    for (values, &column) in values.iter_mut().zip(indexes) {
        let text = str::from_utf8(fields.get(column)).unwrap_or_default();
        values.append_option((!text.is_empty()).then_some(text));
    }
    Ok(length)
}
