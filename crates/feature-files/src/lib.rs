//! The features of users and movies as files.
//!
//! [`write()`] computes the features of a data set in memory and writes them as Parquet and CSV.
//! The crate `sparrow-pipeline` does the same for data sets of any size, with the same definitions
//! (`sparrow-features`) and the same file writer ([`table`]); a test compares the bytes. Start
//! reading at [`write()`].

mod columns;
mod csv;
pub mod table;

use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use sparrow_features::RatingStats;
use sparrow_model::{Movie, UserIndex};
use sparrow_movielens::LoadedHistories;
use sparrow_output::AtomicFile;
use sparrow_progress::Progress;

pub use columns::id_type;
use columns::{MovieRows, UserRows};
use table::{FileFormat, TableWriter};

/// Rows per batch. It affects the pages of Parquet files, so the pipeline uses the same number.
pub const BATCH: usize = 8192;

/// The formats of feature files.
pub const FORMATS: [FileFormat; 2] = [FileFormat::Parquet, FileFormat::Csv];

/// The name of the file of users' features, without extension.
pub const USER_FEATURES: &str = "userFeatures";
/// The name of the file of movies' features, without extension.
pub const MOVIE_FEATURES: &str = "movieFeatures";

/// The result of writing features.
#[derive(Debug)]
pub struct Summary {
    /// The number of users.
    pub users: u64,
    /// The number of movies with ratings.
    pub movies: u64,
    /// The files with their sizes in bytes; empty in a dry run.
    pub files: Vec<(PathBuf, u64)>,
}

/// Writes the features of all users to `userFeatures.parquet` and `userFeatures.csv`, and those of
/// all movies with ratings to `movieFeatures.…`, in the folder `out`, which is created if
/// necessary. Existing files are replaced when all new ones are complete. Progress is counted in
/// ratings.
///
/// Runs in a Tokio runtime, and yields to it between batches. If it is dropped, existing files
/// remain unchanged.
pub async fn write(
    data: &LoadedHistories,
    out: &Path,
    progress: Progress<'_>,
) -> Result<Summary, sparrow_output::Error> {
    sparrow_output::prepare(out, &[], true)?;
    let LoadedHistories { movies, histories, .. } = data;
    let ratings = histories.rating_count() as u64;
    let mut done = 0;

    let rows = UserRows::new(movies, histories);
    let users = TableWriter::create(out, USER_FEATURES, &FORMATS, rows.schema())?;
    for start in (0..histories.len()).step_by(BATCH) {
        let block = start..histories.len().min(start + BATCH);
        for history in block.clone().map(|user| histories.get(UserIndex(user as u32))) {
            done += history.len() as u64;
        }
        if !send_batch(&users, rows.batch(block)).await {
            break;
        }
        progress(done, ratings);
    }

    let stats = RatingStats::of_movies(histories, movies.as_slice().len());
    let rated: Vec<(&Movie, &RatingStats)> =
        movies.as_slice().iter().zip(&stats).filter(|(_, stats)| stats.count() > 0).collect();
    let rows = MovieRows::new(movies);
    let of_movies = TableWriter::create(out, MOVIE_FEATURES, &FORMATS, rows.schema())?;
    for block in rated.chunks(BATCH) {
        if !send_batch(&of_movies, rows.batch(block)).await {
            break;
        }
    }

    let mut files = users.finish().await?;
    files.extend(of_movies.finish().await?);
    Ok(Summary {
        users: histories.len() as u64,
        movies: rated.len() as u64,
        files: AtomicFile::commit(files)?,
    })
}

/// Passes rows to the writers. Returns whether they accept more.
async fn send_batch(table: &TableWriter, batch: RecordBatch) -> bool {
    // Yields, so that signals are handled during the computation.
    tokio::task::yield_now().await;
    table.write(&batch).await
}
