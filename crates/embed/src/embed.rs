//! From a MovieLens folder to embedding files.

use std::path::{Path, PathBuf};

use sparrow_model::Catalog;
use sparrow_movielens::{Options as ReaderOptions, Report as ReaderReport, Source};
use sparrow_neural::{
    EmbeddingMetadata, EmbeddingTable, Factors, Similarity, TableBuilder, Zeros, is_zero,
};
pub use sparrow_neural::{ITEM_FILE, METADATA_FILE, USER_FILE};
use sparrow_output::AtomicFile;
use sparrow_progress::Progress;

use crate::ials;
use crate::interactions::Interactions;
use crate::item2vec::{self, Sequences};

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

    /// What to change where vectors become zero.
    fn remedy(&self) -> String {
        match self {
            Self::Item2Vec(options) => {
                format!("a higher learning rate than {}", options.learning_rate)
            }
            Self::Ials(options) => {
                format!("a weaker regularization than {}", options.objective.regularization)
            }
        }
    }

    fn about(&self) -> EmbeddingMetadata {
        match self {
            Self::Item2Vec(_) => EmbeddingMetadata::new(self.name(), Similarity::Cosine, None),
            Self::Ials(options) => {
                EmbeddingMetadata::new(self.name(), Similarity::Dot, Some(options.objective))
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
    pub about: EmbeddingMetadata,
    /// How many ratings they were learned from.
    pub pairs: usize,
    /// Vectors that are zero after training. They are left out: they compare with no other.
    pub zeros: Zeros,
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
    /// Training left every vector of a side at zero.
    #[error("training is degenerate: {zeros}; {remedy} will help")]
    Degenerate {
        /// How many vectors are zero.
        zeros: Zeros,
        /// What to change.
        remedy: String,
    },
    /// The vectors have numbers that the file format does not hold.
    #[error("cannot store the embeddings: {0}")]
    Table(String),
    /// The files cannot be written.
    #[error(transparent)]
    Output(#[from] sparrow_output::Error),
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
    /// Vectors that are zero after training, which are left out.
    pub zeros: Zeros,
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
        zeros: embeddings.zeros,
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
    let (movies, users, pairs) = match method {
        Method::Item2Vec(options) => {
            let liked = liked(catalog);
            let vectors = item2vec::train(&liked, options, progress)?;
            let users = catalog.users().iter().zip(liked.iter());
            let means = users.map(|(history, liked)| (history.user().0, vectors.mean(liked)));
            let movies = vectors
                .iter()
                .map(|(item, vector)| (catalog.movies()[item as usize].id.0, vector.to_vec()));
            let users = means.filter_map(|(user, mean)| Some((user, mean?)));
            (Side::new(movies)?, Side::new(users)?, liked.item_count())
        }
        Method::Ials(options) => {
            let users = Interactions::of(catalog, options.positives);
            let items = users.transposed();
            let model = ials::train(&users, options, progress)?;
            let movie_ids = catalog.movies().iter().map(|movie| movie.id.0);
            let user_ids = catalog.users().iter().map(|history| history.user().0);
            (
                Side::new(rows(movie_ids, &items, &model.items))?,
                Side::new(rows(user_ids, &users, &model.users))?,
                users.pair_count(),
            )
        }
    };
    let zeros = Zeros { movies: movies.zeros, users: users.zeros };
    if zeros.degenerate() {
        return Err(Error::Degenerate { zeros, remedy: method.remedy() });
    }
    let about = method.about();
    Ok(Embeddings { movies: movies.table, users: users.table, about, pairs, zeros })
}

/// The vectors of movies, or of users.
struct Side {
    table: EmbeddingTable,
    /// See [`Zeros`].
    zeros: [usize; 2],
}

impl Side {
    /// Those that are not zero, rounded to six decimals: more would make the files longer and nothing better.
    fn new(vectors: impl Iterator<Item = (u32, Vec<f32>)>) -> Result<Self, Error> {
        let mut table = TableBuilder::default();
        let mut zeros = [0, 0];
        for (id, mut vector) in vectors {
            zeros[1] += 1;
            if is_zero(&vector) {
                zeros[0] += 1;
                continue;
            }
            for value in &mut vector {
                *value = ((f64::from(*value) * 1e6).round() / 1e6) as f32;
            }
            table.push(id, &vector).map_err(Error::Table)?;
        }
        Ok(Self { table: table.build().map_err(Error::Table)?, zeros })
    }
}

/// The vectors of the rows that have a positive pair.
fn rows<'a>(
    ids: impl Iterator<Item = u32> + 'a,
    pairs: &'a Interactions,
    factors: &'a Factors,
) -> impl Iterator<Item = (u32, Vec<f32>)> + 'a {
    let rated = ids.enumerate().filter(|&(row, _)| !pairs.row(row).is_empty());
    rated.map(|(row, id)| (id, factors.row(row)))
}

/// Writes the set, `embedding.json` last, with the digests of the others: readers take only a set that
/// matches.
fn write_files(
    out: &Path,
    embeddings: &Embeddings,
) -> Result<Vec<(PathBuf, u64)>, sparrow_output::Error> {
    sparrow_output::prepare(out, &[], true)?;
    let mut files = Vec::new();
    let mut digests = Vec::new();
    for (name, table) in [(ITEM_FILE, &embeddings.movies), (USER_FILE, &embeddings.users)] {
        let mut file = AtomicFile::create(out, name)?;
        file.write_with(|to| table.write(to))?;
        digests.push((name.to_owned(), file.sha256()?));
        files.push(file);
    }
    let mut about = AtomicFile::create(out, METADATA_FILE)?;
    about.write(&embeddings.about.clone().with_files(digests).to_bytes())?;
    files.push(about);
    AtomicFile::publish(files)
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_test_support::catalogue;

    use super::*;

    /// 60 users and 50 movies of which the last has no rating; popular movies come first.
    fn catalog() -> Catalog {
        let movies = (1..=50).map(|id| catalogue::movie(id, None, catalogue::NO_GENRES));
        let pairs = (0..60).flat_map(|user| (0..49).map(move |movie| (user, movie)));
        let rated = pairs.filter(|(user, movie)| (user * 7 + movie * 5) % 50 >= *movie);
        let ratings = rated.map(|(user, movie)| (user + 1, movie, 10, user * 50 + movie));
        catalogue::catalog(movies, ratings)
    }

    fn ials(regularization: f32) -> Result<Embeddings, Error> {
        let mut options = ials::Options { dimension: 4, epochs: 30, ..ials::Options::DEFAULT };
        options.objective.regularization = regularization;
        compute(&catalog(), &Method::Ials(options), &|_, _| {})
    }

    #[test]
    fn zero_vectors_are_counted_and_left_out() {
        let fine = ials(0.1).unwrap();
        assert_eq!(fine.zeros, Zeros { movies: [0, 49], users: [0, 60] });
        assert!(!fine.zeros.any());
        for step in 0..60 {
            match ials(0.1 * 1.1_f32.powi(step)) {
                Ok(Embeddings { movies, users, zeros, .. }) => {
                    assert_eq!(zeros.movies, [49 - movies.len(), 49]);
                    assert_eq!(zeros.users, [60 - users.len(), 60]);
                    assert_eq!(movies.zero_count() + users.zero_count(), 0);
                }
                Err(error) => assert!(matches!(error, Error::Degenerate { .. }), "{error}"),
            }
        }
    }

    #[test]
    fn nothing_but_zero_vectors_is_an_error() {
        assert_eq!(
            ials(1000.0).unwrap_err().to_string(),
            "training is degenerate: the vectors of 49 of 49 movies and 60 of 60 users are zero; a \
             weaker regularization than 1000 will help"
        );
    }
}
