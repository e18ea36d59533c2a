//! From a MovieLens folder to embedding files.

use std::path::{Path, PathBuf};

use sparrow_model::Catalog;
use sparrow_movielens::{Options as ReaderOptions, Report as ReaderReport, Source};
use sparrow_neural::{EmbeddingTable, TableBuilder};
pub use sparrow_neural::{ITEM_FILE, USER_FILE};

use crate::item2vec::{self, Sequences, Vectors};
use crate::{Progress, staged};

/// Why there are no embedding files. Nothing half-written is left in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data set cannot be read.
    #[error("cannot read the data set")]
    Input(#[from] sparrow_movielens::Error),
    /// There are no vectors.
    #[error("cannot compute embeddings")]
    Training(#[from] item2vec::Error),
    /// The vectors have numbers that the file format does not hold.
    #[error("cannot store the embeddings: {0}")]
    Table(String),
    /// The files cannot be written.
    #[error(transparent)]
    Output(#[from] staged::Error),
}

/// What was done.
#[derive(Debug)]
pub struct Summary {
    /// What was found in the data set.
    pub data: ReaderReport,
    /// How many movies, and users, have a vector.
    pub movies: usize,
    /// See `movies`.
    pub users: usize,
    /// How many ratings counted as liked.
    pub liked: usize,
    /// The files with their sizes in bytes.
    pub files: Vec<(PathBuf, u64)>,
}

/// Computes a vector for each movie (item2vec over the movies that users liked, in time order) and
/// for each user (the mean over the vectors of the movies that the user liked), and writes both
/// into the folder `out`, replacing files that are there. `out` is made if it does not exist; without
/// it, nothing is written.
pub fn write(
    data: &Path,
    out: Option<&Path>,
    reader: &ReaderOptions,
    options: &item2vec::Options,
    progress: Progress<'_>,
) -> Result<Summary, Error> {
    options.check()?;
    let loaded = Source::open(data)?.load(reader)?;
    let (movies, users, liked) = compute(&loaded.catalog, options, progress)?;
    let files = match out {
        Some(out) => write_files(out, &movies, &users)?,
        None => Vec::new(),
    };
    Ok(Summary { movies: movies.len(), users: users.len(), liked, files, data: loaded.report })
}

/// Computes the vectors of movies and of users, by id; and how many ratings counted as liked.
pub fn compute(
    catalog: &Catalog,
    options: &item2vec::Options,
    progress: Progress<'_>,
) -> Result<(EmbeddingTable, EmbeddingTable, usize), Error> {
    let liked = liked(catalog);
    let vectors = item2vec::train(&liked, options, progress)?;
    let movies = movie_table(catalog, &vectors).map_err(Error::Table)?;
    let users = user_table(catalog, &liked, &vectors).map_err(Error::Table)?;
    Ok((movies, users, liked.item_count()))
}

fn write_files(
    out: &Path,
    movies: &EmbeddingTable,
    users: &EmbeddingTable,
) -> Result<Vec<(PathBuf, u64)>, staged::Error> {
    staged::prepare(out, &[], true)?;
    let files = [(ITEM_FILE, movies), (USER_FILE, users)]
        .into_iter()
        .map(|(name, table)| {
            let mut file = staged::Staged::create(out, name)?;
            file.write_with(|to| table.write(to))?;
            Ok(file)
        })
        .collect::<Result<Vec<_>, staged::Error>>()?;
    staged::Staged::commit(files)
}

/// For each user the movies that the user liked, as positions in the catalogue, in the order of
/// (timestamp, movie id).
pub fn liked(catalog: &Catalog) -> Sequences {
    let mut sequences = Sequences::default();
    for history in catalog.users().iter() {
        let liked = history.iter().filter(|rated| rated.stars.is_liked());
        sequences.push(liked.map(|rated| rated.movie.0));
    }
    sequences
}

fn movie_table(catalog: &Catalog, vectors: &Vectors) -> Result<EmbeddingTable, String> {
    let mut table = TableBuilder::default();
    for (item, vector) in vectors.iter() {
        let id = catalog.movies()[item as usize].id.0;
        table.push(id, &rounded(vector))?;
    }
    table.build()
}

fn user_table(
    catalog: &Catalog,
    liked: &Sequences,
    vectors: &Vectors,
) -> Result<EmbeddingTable, String> {
    let mut table = TableBuilder::default();
    for (history, liked) in catalog.users().iter().zip(liked.iter()) {
        if let Some(mean) = vectors.mean(liked) {
            table.push(history.user().0, &rounded(&mean))?;
        }
    }
    table.build()
}

/// To six decimals: more would make the files longer and nothing better.
fn rounded(vector: &[f32]) -> Vec<f32> {
    vector.iter().map(|&value| ((f64::from(value) * 1e6).round() / 1e6) as f32).collect()
}
