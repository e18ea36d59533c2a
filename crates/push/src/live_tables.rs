//! Exported ratings and events as Parquet.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Float32Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use sparrow_live::{Action, Recorded};
use sparrow_model::{MovieId, Stars, UserId};
use sparrow_output::{AtomicFile, Error};

/// Rows of a batch.
const BATCH: usize = 8192;

/// A Parquet file that is being written.
struct Table {
    writer: ArrowWriter<AtomicFile>,
    schema: SchemaRef,
}

impl Table {
    fn create(
        folder: &Path,
        name: &str,
        columns: &[(&str, DataType, bool)],
    ) -> Result<Self, Error> {
        let field = |(name, kind, nullable): &(&str, DataType, bool)| {
            Field::new(*name, kind.clone(), *nullable)
        };
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let file = AtomicFile::create(folder, name)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("sparrow-loader ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let options =
            ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, Arc::clone(&schema), options)
            .map_err(|error| Error::io(&folder.join(name))(io::Error::other(error)))?;
        Ok(Self { writer, schema })
    }

    fn write(&mut self, columns: Vec<ArrayRef>) -> io::Result<()> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        self.writer.write(&batch.map_err(io::Error::other)?).map_err(io::Error::other)
    }

    fn finish(self) -> io::Result<AtomicFile> {
        self.writer.into_inner().map_err(io::Error::other)
    }
}

/// Ratings, with the columns of MovieLens.
pub(crate) struct RatingsTable {
    table: Table,
    user: Int64Builder,
    movie: Int64Builder,
    stars: Float32Builder,
    time: Int64Builder,
    rows: usize,
}

impl RatingsTable {
    pub(crate) fn create(folder: &Path, name: &str) -> Result<Self, Error> {
        let columns = [
            ("userId", DataType::Int64, false),
            ("movieId", DataType::Int64, false),
            ("rating", DataType::Float32, false),
            ("timestamp", DataType::Int64, false),
        ];
        Ok(Self {
            table: Table::create(folder, name, &columns)?,
            user: Int64Builder::new(),
            movie: Int64Builder::new(),
            stars: Float32Builder::new(),
            time: Int64Builder::new(),
            rows: 0,
        })
    }

    pub(crate) fn push(
        &mut self,
        user: UserId,
        movie: MovieId,
        stars: Stars,
        time: u32,
    ) -> io::Result<()> {
        self.user.append_value(user.0.into());
        self.movie.append_value(movie.0.into());
        self.stars.append_value(stars.value());
        self.time.append_value(time.into());
        self.rows += 1;
        if self.rows < BATCH {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.rows = 0;
        self.table.write(vec![
            Arc::new(self.user.finish()),
            Arc::new(self.movie.finish()),
            Arc::new(self.stars.finish()),
            Arc::new(self.time.finish()),
        ])
    }

    pub(crate) fn finish(mut self) -> io::Result<AtomicFile> {
        self.flush()?;
        self.table.finish()
    }
}

/// All accepted writes, with the columns of the CSV file.
pub(crate) struct EventsTable {
    table: Table,
}

impl EventsTable {
    pub(crate) fn create(folder: &Path, name: &str) -> Result<Self, Error> {
        let columns = [
            ("partition", DataType::Int64, false),
            ("sequence", DataType::Utf8, false),
            ("action", DataType::Utf8, false),
            ("userId", DataType::Int64, false),
            ("movieId", DataType::Int64, true),
            ("type", DataType::Utf8, false),
            ("value", DataType::Float32, true),
            ("timestamp", DataType::Int64, false),
            ("session", DataType::Utf8, true),
            ("recommendation", DataType::Utf8, true),
            ("applied", DataType::Boolean, false),
        ];
        Ok(Self { table: Table::create(folder, name, &columns)? })
    }

    pub(crate) fn write(&mut self, partition: u16, page: &[Recorded]) -> io::Result<()> {
        let [mut partitions, mut users, mut movies, mut times] =
            std::array::from_fn(|_| Int64Builder::new());
        let [mut sequences, mut actions, mut kinds, mut sessions, mut recommendations] =
            std::array::from_fn(|_| StringBuilder::new());
        let (mut values, mut applied) = (Float32Builder::new(), BooleanBuilder::new());
        for Recorded { sequence, write, applied: in_force } in page {
            let (action, kind, value) = columns(&write.action);
            partitions.append_value(partition.into());
            sequences.append_value(sequence.to_string());
            actions.append_value(action);
            users.append_value(write.user.0.into());
            movies.append_option(write.action.movie().map(|movie| movie.0.into()));
            kinds.append_value(kind);
            values.append_option(value);
            times.append_value(write.time.into());
            sessions.append_option(write.session.as_deref());
            recommendations.append_option(write.recommendation.as_deref());
            applied.append_value(*in_force);
        }
        self.table.write(vec![
            Arc::new(partitions.finish()),
            Arc::new(sequences.finish()),
            Arc::new(actions.finish()),
            Arc::new(users.finish()),
            Arc::new(movies.finish()),
            Arc::new(kinds.finish()),
            Arc::new(values.finish()),
            Arc::new(times.finish()),
            Arc::new(sessions.finish()),
            Arc::new(recommendations.finish()),
            Arc::new(applied.finish()),
        ])
    }

    pub(crate) fn finish(self) -> io::Result<AtomicFile> {
        self.table.finish()
    }
}

/// The columns `action`, `type` and `value` of a write.
pub(crate) fn columns(action: &Action) -> (&'static str, &str, Option<f32>) {
    match action {
        Action::Rate(_, stars) => ("rate", "rate", Some(stars.value())),
        Action::Unrate(_) => ("unrate", "unrate", None),
        Action::Event { kind, value, .. } => ("event", kind, Some(*value)),
        Action::Expose(_) => ("expose", "exposure", None),
        Action::Forget => ("forget", "forget", None),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs::File;

    use arrow_array::{Array, BooleanArray, Float32Array, Int64Array, StringArray};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use sparrow_live::{Exposure, Write};

    use super::*;

    /// A row as text; empty values are null.
    fn cells(batch: &RecordBatch, row: usize) -> Vec<String> {
        let cell = |column: &ArrayRef| {
            let any = column.as_any();
            if column.is_null(row) {
                "null".to_owned()
            } else if let Some(numbers) = any.downcast_ref::<Int64Array>() {
                numbers.value(row).to_string()
            } else if let Some(numbers) = any.downcast_ref::<Float32Array>() {
                numbers.value(row).to_string()
            } else if let Some(flags) = any.downcast_ref::<BooleanArray>() {
                flags.value(row).to_string()
            } else {
                any.downcast_ref::<StringArray>().unwrap().value(row).to_owned()
            }
        };
        batch.columns().iter().map(cell).collect()
    }

    /// The names of the columns, and all rows.
    fn read(folder: &Path, name: &str) -> (Vec<String>, Vec<Vec<String>>) {
        let file = File::open(folder.join(name)).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let columns = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
        let rows = |batch: &RecordBatch| {
            (0..batch.num_rows()).map(|row| cells(batch, row)).collect::<Vec<_>>()
        };
        (columns, batches.iter().flat_map(rows).collect())
    }

    #[test]
    fn ratings_of_several_batches_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = RatingsTable::create(folder.path(), "t.parquet").unwrap();
        let count = 2 * BATCH + 5;
        for number in 0..count as u32 {
            let stars = Stars::from_half_stars(1 + (number % 10) as u8).unwrap();
            table.push(UserId(u32::MAX - number), MovieId(number), stars, number + 7).unwrap();
        }
        AtomicFile::commit(vec![table.finish().unwrap()]).unwrap();
        let (columns, rows) = read(folder.path(), "t.parquet");
        assert_eq!(columns, ["userId", "movieId", "rating", "timestamp"]);
        assert_eq!(rows.len(), count);
        for (number, row) in rows.iter().enumerate() {
            let stars = 0.5 * (1 + number % 10) as f32;
            let expected = [
                (u32::MAX as usize - number).to_string(),
                number.to_string(),
                stars.to_string(),
                (number + 7).to_string(),
            ];
            assert_eq!(*row, expected);
        }
    }

    #[test]
    fn events_of_every_action_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let shown = Exposure {
            experiment: "e".into(),
            variant: "v".into(),
            model: "ease".into(),
            degraded: false,
            micros: 7,
            credits: None,
        };
        let view = Action::Event { movie: MovieId(3), kind: "a \"b\", c".into(), value: 0.1 };
        let actions = [
            Action::Rate(MovieId(1), Stars::MAX),
            Action::Unrate(MovieId(2)),
            view,
            Action::Expose(Box::new(shown)),
            Action::Forget,
        ];
        let record = |(count, action)| Recorded {
            sequence: sparrow_live::Sequence { milliseconds: 9, count },
            write: Write { session: Some("s".into()), ..Write::new(UserId(6), action, 5) },
            applied: count != 1,
        };
        let page: Vec<Recorded> = (0..).zip(actions).map(record).collect();
        let mut table = EventsTable::create(folder.path(), "t.parquet").unwrap();
        table.write(0, &page[..2]).unwrap();
        table.write(7, &page[2..]).unwrap();
        AtomicFile::commit(vec![table.finish().unwrap()]).unwrap();
        let (columns, rows) = read(folder.path(), "t.parquet");
        let expected = "partition sequence action userId movieId type value timestamp session recommendation applied";
        assert_eq!(columns.join(" "), expected);
        let rows: Vec<String> = rows.iter().map(|row| row.join("|")).collect();
        assert_eq!(
            rows,
            [
                "0|9-0|rate|6|1|rate|5|5|s|null|true",
                "0|9-1|unrate|6|2|unrate|null|5|s|null|false",
                "7|9-2|event|6|3|a \"b\", c|0.1|5|s|null|true",
                "7|9-3|expose|6|null|exposure|null|5|s|null|true",
                "7|9-4|forget|6|null|forget|null|5|s|null|true",
            ]
        );
    }
}
