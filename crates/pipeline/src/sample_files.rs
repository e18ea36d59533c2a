//! Training and test samples as files.

use std::path::{Path, PathBuf};

use datafusion::arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{filter_record_batch, not};
use datafusion::error::DataFusionError;
use sparrow_feature_files::table::TableWriter;
use sparrow_output::AtomicFile;
use sparrow_progress::Progress;

use super::batch_stream::BatchStream;
use super::{DataSet, Error, FileFormat, SampleOptions, samples};

/// What was written.
#[derive(Debug)]
pub struct SampleSummary {
    /// How many samples are to train on.
    pub training: u64,
    /// How many are to test with.
    pub test: u64,
    /// The files with their sizes in bytes; none if nothing was to be written.
    pub files: Vec<(PathBuf, u64)>,
}

/// Writes [`samples`] to `trainingSamples` and `testSamples`, each in these formats, in the folder
/// `out`, which is made if it does not exist. Files that are there are replaced, once all are
/// complete. Without `out`, everything is computed and nothing written.
///
/// The same data and options give the same files, however many threads there are.
pub async fn write_samples(
    data: &DataSet,
    out: Option<&Path>,
    options: &SampleOptions,
    formats: &[FileFormat],
    progress: Progress<'_>,
) -> Result<SampleSummary, Error> {
    let table = samples(data, options).await?;
    // The last column says which file a row goes into.
    let split_at = table.schema().fields().len() - 1;
    let columns: Vec<usize> = (0..split_at).collect();
    let schema = table.schema().inner().project(&columns).map_err(DataFusionError::from)?;
    let writers = match out {
        Some(folder) => {
            sparrow_output::prepare(folder, &[], true)?;
            let create = |stem| TableWriter::create(folder, stem, formats, &schema);
            Some([create("trainingSamples")?, create("testSamples")?])
        }
        None => None,
    };
    let ratings = data.report().ratings as u64;
    let mut rows = BatchStream::of(data, table).await?;
    let mut counts = [0, 0];
    'rows: loop {
        // Sorting lies between reading and writing: each is half of the work.
        let written = counts[0] + counts[1];
        let report = |read: u64| progress(u64::midpoint(read.min(ratings), written), ratings);
        let Some(batch) = rows.next(report).await? else { break };
        let test = batch.column(split_at).as_boolean().clone();
        let kept = batch.project(&columns).map_err(DataFusionError::from)?;
        let parts = divide(&kept, &test).map_err(DataFusionError::from)?;
        for (place, part) in parts.iter().enumerate() {
            counts[place] += part.num_rows() as u64;
            if let Some(writers) = &writers
                && !writers[place].write(part).await
            {
                break 'rows;
            }
        }
    }
    let mut staged = Vec::new();
    for writer in writers.into_iter().flatten() {
        staged.extend(writer.finish().await?);
    }
    let [training, test] = counts;
    Ok(SampleSummary { training, test, files: AtomicFile::commit(staged)? })
}

/// The rows to train on and those to test with.
fn divide(
    rows: &RecordBatch,
    test: &BooleanArray,
) -> Result<[RecordBatch; 2], datafusion::arrow::error::ArrowError> {
    Ok([filter_record_batch(rows, &not(test)?)?, filter_record_batch(rows, test)?])
}
