//! Tables as files, each written by a separate thread while the next rows are computed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use sparrow_features::{USER, ValueType};
use sparrow_output::AtomicFile;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::csv;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// Apache Parquet, compressed with Snappy.
    Parquet,
    /// CSV with a header row.
    Csv,
}

impl FileFormat {
    /// The extension of file names.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
        }
    }
}

/// The maximum number of batches queued per writer.
const MAX_QUEUED_BATCHES: usize = 8;

/// A table being written in one or more formats.
#[derive(Debug)]
pub struct TableWriter {
    files: Vec<FileWriter>,
}

#[derive(Debug)]
struct FileWriter {
    batches: mpsc::Sender<RecordBatch>,
    done: JoinHandle<Result<AtomicFile, sparrow_output::Error>>,
}

impl TableWriter {
    /// Creates files for a table with these columns, with the name `stem` and the extension of
    /// their format. They appear when they are committed.
    pub fn create(
        folder: &Path,
        stem: &str,
        formats: &[FileFormat],
        schema: &Schema,
    ) -> Result<Self, sparrow_output::Error> {
        let schema = file_schema(schema);
        let start = |&format: &FileFormat| {
            let name = format!("{stem}.{}", format.extension());
            let path = folder.join(&name);
            let file = AtomicFile::create(folder, &name)?;
            let (batches, mut receiver) = mpsc::channel(MAX_QUEUED_BATCHES);
            let schema = Arc::clone(&schema);
            let done = tokio::task::spawn_blocking(move || {
                let written = match format {
                    FileFormat::Parquet => parquet(file, &schema, &mut receiver),
                    FileFormat::Csv => csv(file, &schema, &mut receiver),
                };
                written.map_err(sparrow_output::Error::io(&path))
            });
            Ok(FileWriter { batches, done })
        };
        Ok(Self { files: formats.iter().map(start).collect::<Result<_, _>>()? })
    }

    /// Queues rows. Returns false if a writer has stopped; [`finish`](Self::finish) returns its
    /// error.
    pub async fn write(&self, batch: &RecordBatch) -> bool {
        for file in &self.files {
            if file.batches.send(batch.clone()).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Waits for the writers, and returns the files for their commit.
    pub async fn finish(self) -> Result<Vec<AtomicFile>, sparrow_output::Error> {
        let mut files = Vec::new();
        for FileWriter { batches, done } in self.files {
            drop(batches);
            let file =
                done.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            files.push(file?);
        }
        Ok(files)
    }
}

fn csv(
    mut file: AtomicFile,
    schema: &SchemaRef,
    batches: &mut mpsc::Receiver<RecordBatch>,
) -> io::Result<AtomicFile> {
    csv::header(&mut file, schema)?;
    while let Some(batch) = batches.blocking_recv() {
        csv::rows(&mut file, &batch)?;
    }
    Ok(file)
}

/// The columns of a file: only movies in lists are nullable, whatever the plan states.
fn file_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let definition = sparrow_features::find(USER, field.name());
        let is_movie = definition.is_some_and(|feature| feature.value_type == ValueType::MovieId);
        let nullable = field.is_nullable() && is_movie;
        field.as_ref().clone().with_nullable(nullable)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows per row group: large enough for fast reads, small enough to buffer its columns in memory.
const ROW_GROUP: usize = 256 << 10;

fn parquet(
    file: AtomicFile,
    schema: &SchemaRef,
    batches: &mut mpsc::Receiver<RecordBatch>,
) -> io::Result<AtomicFile> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(concat!("sparrow-loader ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    // Without the Arrow schema, genres are plain text for all readers.
    let options =
        ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer =
        ArrowWriter::try_new_with_options(file, Arc::clone(schema), options).map_err(io_error)?;
    while let Some(batch) = batches.blocking_recv() {
        let batch = RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec());
        writer.write(&batch.map_err(io::Error::other)?).map_err(io_error)?;
    }
    writer.into_inner().map_err(io_error)
}

/// The I/O error inside of a Parquet error, if there is one.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => *cause,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
