//! The features of users and movies as files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::prelude::DataFrame;
use futures::StreamExt as _;

use super::output::TableWriter;
use super::{DataSet, Error, FileFormat, movie_features, user_features};
use crate::Progress;
use crate::staged::{self, Staged};

/// What was written.
#[derive(Debug)]
pub struct FeatureSummary {
    /// How many users there are.
    pub users: u64,
    /// How many movies with ratings.
    pub movies: u64,
    /// The files with their sizes in bytes; none if nothing was to be written.
    pub files: Vec<(PathBuf, u64)>,
}

/// Writes the features of all users to `userFeatures.parquet` and `userFeatures.csv`, those of all
/// movies with ratings to `movieFeatures.…`, in the folder `out`, which is made if it does not exist.
/// Files that are there are replaced, once all are complete. Without `out`, everything is computed
/// and nothing written.
pub async fn write_features(
    data: &DataSet,
    out: Option<&Path>,
    progress: Progress<'_>,
) -> Result<FeatureSummary, Error> {
    if let Some(folder) = out {
        staged::prepare(folder, &[], true)?;
    }
    let total = data.report().users as u64;
    let mut staged = Vec::new();
    let users = write(user_features(data).await?, out, "userFeatures", &mut staged, &|rows| {
        progress(rows, total);
    })
    .await?;
    let movies =
        write(movie_features(data).await?, out, "movieFeatures", &mut staged, &|_| {}).await?;
    Ok(FeatureSummary { users, movies, files: Staged::commit(staged)? })
}

/// Writes a table; returns the number of its rows.
async fn write(
    table: DataFrame,
    out: Option<&Path>,
    stem: &str,
    staged: &mut Vec<Staged>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<u64, Error> {
    let schema = Arc::clone(table.schema().inner());
    let formats = [FileFormat::Parquet, FileFormat::Csv];
    let writer =
        out.map(|folder| TableWriter::create(folder, stem, &formats, &schema)).transpose()?;
    let mut batches = table.execute_stream().await?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await.transpose()? {
        rows += batch.num_rows() as u64;
        progress(rows);
        if let Some(writer) = &writer
            && !writer.write(&batch).await
        {
            break;
        }
    }
    if let Some(writer) = writer {
        staged.extend(writer.finish().await?);
    }
    Ok(rows)
}
