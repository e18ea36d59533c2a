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

/// The result of writing samples.
#[derive(Debug)]
pub struct SampleSummary {
    /// The number of training samples.
    pub training: u64,
    /// The number of test samples.
    pub test: u64,
    /// The files with their sizes in bytes; empty in a dry run.
    pub files: Vec<(PathBuf, u64)>,
}

/// Writes [`samples`] to `trainingSamples` and `testSamples`, each in these formats, in the folder
/// `out`, which is created if necessary. Existing files are replaced when all new ones are
/// complete. Without `out`, everything is computed and nothing is written.
///
/// The files depend only on data and options, not on the number of threads.
pub async fn write_samples(
    data: &DataSet,
    out: Option<&Path>,
    options: &SampleOptions,
    formats: &[FileFormat],
    progress: Progress<'_>,
) -> Result<SampleSummary, Error> {
    let table = samples(data, options).await?;
    // The last column contains the split.
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
        // Reading and writing count as half of the work each; the sort lies between them.
        let written = counts[0] + counts[1];
        let report = |read: u64| progress(u64::midpoint(read.min(ratings), written), ratings);
        let Some(batch) = rows.next(report).await? else { break };
        let test = batch.column(split_at).as_boolean().clone();
        let kept = batch.project(&columns).map_err(DataFusionError::from)?;
        let parts = split(&kept, &test).map_err(DataFusionError::from)?;
        for (index, part) in parts.iter().enumerate() {
            counts[index] += part.num_rows() as u64;
            if let Some(writers) = &writers
                && !writers[index].write(part).await
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

/// Splits rows into training and test.
fn split(
    rows: &RecordBatch,
    test: &BooleanArray,
) -> Result<[RecordBatch; 2], datafusion::arrow::error::ArrowError> {
    Ok([filter_record_batch(rows, &not(test)?)?, filter_record_batch(rows, test)?])
}
