//! The features of users and movies as files.

use std::path::Path;
use std::sync::Arc;

use datafusion::prelude::DataFrame;
use sparrow_feature_files::table::TableWriter;
use sparrow_feature_files::{FORMATS, MOVIE_FEATURES, USER_FEATURES};
use sparrow_output::AtomicFile;
use sparrow_progress::Progress;

use super::batch_stream::BatchStream;
use super::{DataSet, Error, FeatureSummary, movie_features, user_features};

/// Writes the features of all users to `userFeatures.parquet` and `userFeatures.csv`, and those of
/// all movies with ratings to `movieFeatures.…`, in the folder `out`, which is created if
/// necessary. Existing files are replaced when all new ones are complete. Without `out`, everything
/// is computed and nothing is written.
pub async fn write_features(
    data: &DataSet,
    out: Option<&Path>,
    progress: Progress<'_>,
) -> Result<FeatureSummary, Error> {
    if let Some(folder) = out {
        sparrow_output::prepare(folder, &[], true)?;
    }
    let ratings = data.report().ratings as u64;
    let mut staged = Vec::new();
    // Each table takes one pass over the ratings.
    let half = |read: u64| read.min(ratings) / 2;
    let (first, second) = (
        |read| progress(half(read), ratings),
        |read| progress(half(ratings) + half(read), ratings),
    );
    let table = user_features(data).await?;
    let users = write(data, table, out, USER_FEATURES, &mut staged, &first).await?;
    let table = movie_features(data).await?;
    let movies = write(data, table, out, MOVIE_FEATURES, &mut staged, &second).await?;
    Ok(FeatureSummary { users, movies, files: AtomicFile::commit(staged)? })
}

/// Writes a table; returns the number of its rows.
async fn write(
    data: &DataSet,
    table: DataFrame,
    out: Option<&Path>,
    stem: &str,
    staged: &mut Vec<AtomicFile>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<u64, Error> {
    let schema = Arc::clone(table.schema().inner());
    let writer =
        out.map(|folder| TableWriter::create(folder, stem, &FORMATS, &schema)).transpose()?;
    let mut rows = BatchStream::of(data, table).await?;
    let mut count = 0;
    while let Some(batch) = rows.next(progress).await? {
        count += batch.num_rows() as u64;
        if let Some(writer) = &writer
            && !writer.write(&batch).await
        {
            break;
        }
    }
    if let Some(writer) = writer {
        staged.extend(writer.finish().await?);
    }
    Ok(count)
}
