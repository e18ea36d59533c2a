//! Reads one file, in pieces.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::csv::ReaderBuilder;
use datafusion::arrow::csv::reader::{Decoder, Format};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use object_store::ObjectStoreExt as _;
use sparrow_store::Entry;

use super::files::File;
use super::layout::Layout;
use super::{Error, Table};

/// Rows that are handed on at a time.
const BATCH: usize = 1024;

/// The longest line: what has a longer one is no text file.
const MAX_LINE: usize = 1 << 20;

/// Some rows of a file.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) entries: Vec<Entry>,
    /// How many bytes of the file they took, about.
    pub(super) bytes: u64,
}

pub(super) type RowStream = BoxStream<'static, Result<Rows, Error>>;

/// Opens a file. What it is shows at its beginning: Parquet; vectors a line (`id:f f f …`); or else
/// CSV with a header.
pub(super) async fn open(file: File, table: Table) -> Result<RowStream, Error> {
    let mut text = Text::open(file.clone()).await?;
    let start = text.peek(4).await?;
    let named_parquet = file.name.to_ascii_lowercase().ends_with(".parquet");
    if start == b"PAR1" || named_parquet {
        return parquet(file, table).await;
    }
    if start.starts_with(&[0x1f, 0x8b]) {
        return Err(file.malformed("is compressed with gzip; unpack it first"));
    }
    if table.is_of_vectors() && is_vector_line(text.peek(64).await?) {
        return Ok(vector_lines(text, table));
    }
    csv(text, table).await
}

/// Whether a file begins with an id and a colon.
fn is_vector_line(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let digits = start.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && start[digits..].trim_ascii_start().first() == Some(&b':')
}

async fn parquet(file: File, table: Table) -> Result<RowStream, Error> {
    // The footer's reader would take a file shorter than a footer for a mistake of its caller.
    if file.size < 12 {
        return Err(file.malformed("is not Parquet: it is too short"));
    }
    let builder = ParquetRecordBatchStreamBuilder::new(Ranges(file.clone())).await;
    let builder = builder.map_err(|error| broken(&file, error))?;
    let layout = Layout::find(table, builder.schema()).map_err(|what| file.malformed(what))?;
    let roots: Vec<usize> = layout
        .columns()
        .filter_map(|column| Some(builder.schema().column_with_name(column)?.0))
        .collect();
    let projection = ProjectionMask::roots(builder.parquet_schema(), roots);
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let batches = builder
        .with_projection(projection)
        .with_batch_size(BATCH)
        .build()
        .map_err(|error| broken(&file, error))?;
    let mut done = 0;
    let rows = batches.map(move |batch| {
        let batch = batch.map_err(|error| broken(&file, error))?;
        let entries = layout.entries(&batch, done + 1).map_err(|what| file.malformed(what))?;
        let share = |done: u64| u128::from(file.size) * u128::from(done) / u128::from(rows.max(1));
        let before = share(done);
        done += batch.num_rows() as u64;
        Ok(Rows { entries, bytes: (share(done) - before) as u64 })
    });
    Ok(rows.boxed())
}

/// Errors of the Parquet reader that come from the file's content, and others.
fn broken(file: &File, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => file.unreadable(source),
        error => file.malformed(format!("is not readable as Parquet: {error}")),
    }
}

/// A file for the Parquet reader.
#[derive(Debug)]
struct Ranges(File);

type Fetched<'a, T> = BoxFuture<'a, Result<T, ParquetError>>;

impl AsyncFileReader for Ranges {
    fn get_bytes(&mut self, range: Range<u64>) -> Fetched<'_, Bytes> {
        let bytes = self.0.store.get_range(&self.0.path, range);
        bytes.map_err(|error| ParquetError::External(error.into())).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> Fetched<'_, Vec<Bytes>> {
        async move {
            let bytes = self.0.store.get_ranges(&self.0.path, &ranges).await;
            bytes.map_err(|error| ParquetError::External(error.into()))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> Fetched<'a, Arc<ParquetMetaData>> {
        async move {
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            let size = self.0.size;
            reader.load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
}

/// A file's bytes as they come.
struct Text {
    file: File,
    chunks: BoxStream<'static, object_store::Result<Bytes>>,
    /// What has been read and not been taken.
    ahead: Vec<u8>,
    /// How many bytes have been taken.
    taken: u64,
    line: u64,
}

impl Text {
    async fn open(file: File) -> Result<Self, Error> {
        let opened = file.store.get(&file.path).await.map_err(|error| file.unreadable(error))?;
        Ok(Self { chunks: opened.into_stream(), file, ahead: Vec::new(), taken: 0, line: 0 })
    }

    /// Reads on; false at the end of the file.
    async fn more(&mut self) -> Result<bool, Error> {
        match self.chunks.try_next().await.map_err(|error| self.file.unreadable(error))? {
            Some(chunk) => {
                self.ahead.extend_from_slice(&chunk);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The next bytes, which stay; fewer than `wanted` only at the end of the file.
    async fn peek(&mut self, wanted: usize) -> Result<&[u8], Error> {
        while self.ahead.len() < wanted && self.more().await? {}
        Ok(&self.ahead[..wanted.min(self.ahead.len())])
    }

    fn take(&mut self, bytes: usize) {
        self.ahead.drain(..bytes);
        self.taken += bytes as u64;
    }

    /// How many bytes the next line has, its end included; `None` at the end of the file.
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

/// A file with `id:f f f …` a line.
fn vector_lines(text: Text, table: Table) -> RowStream {
    stream::try_unfold(text, move |text| next_vectors(text, table)).boxed()
}

async fn next_vectors(mut text: Text, table: Table) -> Result<Option<(Rows, Text)>, Error> {
    let (mut entries, mut at) = (Vec::new(), 0);
    while entries.len() < BATCH {
        let Some(length) = text.line_length(at).await? else { break };
        text.line += 1;
        let line = &text.ahead[at..at + length];
        at += length;
        let malformed = |what| text.file.malformed(format!("line {}: {what}", text.line));
        let line = str::from_utf8(line).map_err(|_| malformed("not UTF-8 text".to_owned()))?;
        let line = line.trim_start_matches('\u{feff}').trim();
        if !line.is_empty() {
            let mut vector = Vec::new();
            let id = sparrow_neural::parse_line(line, &mut vector).map_err(malformed)?;
            entries.push(table.embedding(id, vector));
        }
    }
    text.take(at);
    Ok((at > 0).then_some((Rows { entries, bytes: at as u64 }, text)))
}

/// A CSV file whose first line names the columns.
async fn csv(mut text: Text, table: Table) -> Result<RowStream, Error> {
    if text.peek(3).await? == b"\xef\xbb\xbf" {
        text.take(3);
    }
    let Some(length) = text.line_length(0).await? else {
        // Spark leaves such files where a partition has no rows.
        return Ok(stream::empty().boxed());
    };
    let header = Format::default().with_header(true).infer_schema(&text.ahead[..length], Some(0));
    let (header, _) = header.map_err(|error| text.file.malformed(format!("header: {error}")))?;
    text.take(length);
    // Everything is text, and becomes what it should be row by row.
    let fields = header.fields().iter();
    let fields = fields.map(|field| Field::new(field.name().trim(), DataType::Utf8, true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let layout = Layout::find(table, &schema).map_err(|what| text.file.malformed(what))?;
    let decoder = ReaderBuilder::new(schema.into()).with_batch_size(BATCH).build_decoder();
    let state = Csv { text, decoder, layout, rows: 0 };
    Ok(stream::try_unfold(state, Csv::next).boxed())
}

struct Csv {
    text: Text,
    decoder: Decoder,
    layout: Layout,
    rows: u64,
}

impl Csv {
    async fn next(mut self) -> Result<Option<(Rows, Self)>, Error> {
        let before = self.text.taken;
        loop {
            if self.text.ahead.is_empty() {
                self.text.more().await?;
            }
            // Nothing ahead is how the decoder learns that the file has ended.
            let ended = self.text.ahead.is_empty();
            let decoded = self.decoder.decode(&self.text.ahead);
            let decoded = decoded.map_err(|error| self.broken(&error))?;
            self.text.take(decoded);
            if ended || self.decoder.capacity() == 0 {
                break;
            }
        }
        let batch = self.decoder.flush().map_err(|error| self.broken(&error))?;
        let Some(batch) = batch else { return Ok(None) };
        // Row 1 is line 2, unless there are line ends inside of quotes.
        let entries = self.layout.entries(&batch, self.rows + 1);
        let entries = entries.map_err(|what| self.text.file.malformed(what))?;
        self.rows += batch.num_rows() as u64;
        Ok(Some((Rows { entries, bytes: self.text.taken - before }, self)))
    }

    fn broken(&self, error: &datafusion::arrow::error::ArrowError) -> Error {
        // It counts the lines of what it was given: the header is not among them.
        self.text.file.malformed(format!("is not readable as CSV: {error} (after the header)"))
    }
}
