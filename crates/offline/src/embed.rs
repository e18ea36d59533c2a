//! From a MovieLens folder to embedding files.

use std::path::{Path, PathBuf};

use sparrow_model::Catalog;
use sparrow_movielens::{Options as ReaderOptions, Report as ReaderReport, Source};
pub use sparrow_neural::{ABOUT_FILE, ITEM_FILE, USER_FILE};
use sparrow_neural::{About, EmbeddingTable, Factors, Similarity, TableBuilder};

use crate::interactions::Interactions;
use crate::item2vec::{self, Sequences, Vectors};
use crate::{Progress, ials, staged};

/// How vectors are computed.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// Vectors of movies from the order in which users liked them; a user's vector is the mean over
    /// those of the movies that the user liked. Compared by cosine.
    Item2Vec(item2vec::Options),
    /// Vectors of users and movies whose dot products tell who rates what.
    Ials(ials::Options),
}

impl Method {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Item2Vec(_) => "item2vec",
            Self::Ials(_) => "ials",
        }
    }

    /// Its settings, for reports, under the names that the loader's options have.
    pub fn settings(&self) -> Vec<(String, String)> {
        let line = |name: &str, value: &dyn ToString| (name.to_owned(), value.to_string());
        match self {
            Self::Item2Vec(options) => vec![
                line("dimension", &options.dimension),
                line("window", &options.window),
                line("epochs", &options.epochs.map_or("suitable".to_owned(), |n| n.to_string())),
                line("negatives", &options.negatives),
                line("negative-exponent", &options.negative_exponent),
                line("learning-rate", &options.learning_rate),
                line("subsample", &options.subsample),
                line("min-count", &options.min_count),
            ],
            Self::Ials(options) => vec![
                line("dimension", &options.dimension),
                line("epochs", &options.epochs),
                line("unobserved-weight", &options.objective.unobserved),
                line("regularization", &options.objective.regularization),
                line("regularization-exponent", &options.objective.exponent),
                line("positives", &options.positives),
                line("steps", &options.steps),
            ],
        }
    }

    /// The same with another seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        match &mut self {
            Self::Item2Vec(options) => options.seed = seed,
            Self::Ials(options) => options.seed = seed,
        }
        self
    }

    /// Refuses options that cannot work.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::Item2Vec(options) => Ok(options.check()?),
            Self::Ials(options) => Ok(options.check()?),
        }
    }

    fn about(&self) -> About {
        match self {
            Self::Item2Vec(_) => About::new(self.name(), Similarity::Cosine, None),
            Self::Ials(options) => {
                About::new(self.name(), Similarity::Dot, Some(options.objective))
            }
        }
    }
}

/// Vectors of a catalogue's movies and users.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// By movie id.
    pub movies: EmbeddingTable,
    /// By user id.
    pub users: EmbeddingTable,
    /// What they are.
    pub about: About,
    /// How many ratings they were learned from.
    pub pairs: usize,
}

/// Why there are no embedding files. Nothing half-written is left in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data set cannot be read.
    #[error("cannot read the data set")]
    Input(#[from] sparrow_movielens::Error),
    /// There are no vectors by item2vec.
    #[error("cannot compute embeddings")]
    Item2Vec(#[from] item2vec::Error),
    /// There are no vectors by implicit ALS.
    #[error("cannot compute embeddings")]
    Ials(#[from] ials::Error),
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
    /// How many ratings they were learned from.
    pub pairs: usize,
    /// The files with their sizes in bytes.
    pub files: Vec<(PathBuf, u64)>,
}

/// Computes a vector for each movie and each user that there is something to say of, and writes them
/// into the folder `out`, replacing files that are there. `out` is made if it does not exist; without it,
/// nothing is written.
pub fn write(
    data: &Path,
    out: Option<&Path>,
    reader: &ReaderOptions,
    method: &Method,
    progress: Progress<'_>,
) -> Result<Summary, Error> {
    method.check()?;
    let loaded = Source::open(data)?.load(reader)?;
    let embeddings = compute(&loaded.catalog, method, progress)?;
    let files = match out {
        Some(out) => write_files(out, &embeddings)?,
        None => Vec::new(),
    };
    Ok(Summary {
        movies: embeddings.movies.len(),
        users: embeddings.users.len(),
        pairs: embeddings.pairs,
        files,
        data: loaded.report,
    })
}

/// Computes vectors from the ratings of a catalogue.
pub fn compute(
    catalog: &Catalog,
    method: &Method,
    progress: Progress<'_>,
) -> Result<Embeddings, Error> {
    let about = method.about();
    match method {
        Method::Item2Vec(options) => {
            let liked = liked(catalog);
            let vectors = item2vec::train(&liked, options, progress)?;
            let movies = movie_table(catalog, &vectors).map_err(Error::Table)?;
            let users = user_table(catalog, &liked, &vectors).map_err(Error::Table)?;
            Ok(Embeddings { movies, users, about, pairs: liked.item_count() })
        }
        Method::Ials(options) => {
            let users = Interactions::of(catalog, options.positives);
            let model = ials::train(&users, options, progress)?;
            let movie_ids = catalog.movies().iter().map(|movie| movie.id.0);
            let user_ids = catalog.users().iter().map(|history| history.user().0);
            Ok(Embeddings {
                movies: table(movie_ids, &model.items).map_err(Error::Table)?,
                users: table(user_ids, &model.users).map_err(Error::Table)?,
                about,
                pairs: users.pair_count(),
            })
        }
    }
}

fn write_files(out: &Path, embeddings: &Embeddings) -> Result<Vec<(PathBuf, u64)>, staged::Error> {
    staged::prepare(out, &[], true)?;
    let tables = [(ITEM_FILE, &embeddings.movies), (USER_FILE, &embeddings.users)];
    let mut files = tables
        .into_iter()
        .map(|(name, table)| {
            let mut file = staged::Staged::create(out, name)?;
            file.write_with(|to| table.write(to))?;
            Ok(file)
        })
        .collect::<Result<Vec<_>, staged::Error>>()?;
    let mut about = staged::Staged::create(out, ABOUT_FILE)?;
    about.write(&embeddings.about.to_bytes())?;
    files.push(about);
    staged::Staged::commit(files)
}

/// The rows that are not all zeros.
fn table(ids: impl Iterator<Item = u32>, factors: &Factors) -> Result<EmbeddingTable, String> {
    let mut table = TableBuilder::default();
    for (row, id) in ids.enumerate().filter(|&(row, _)| !factors.is_zero(row)) {
        table.push(id, &rounded(&factors.row(row)))?;
    }
    table.build()
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
