use std::path::{Path, PathBuf};

use sparrow_model::Catalog;
use sparrow_neural::{
    EmbeddingMetadata, EmbeddingTable, ITEM_FILE, METADATA_FILE, TableBuilder, USER_FILE, Zeros,
    is_zero,
};
use sparrow_output::AtomicFile;

use crate::Error;
use crate::item2vec::Sequences;

/// Vectors of a catalogue's movies and users.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// By movie id.
    pub movies: EmbeddingTable,
    /// By user id.
    pub users: EmbeddingTable,
    /// Method, similarity and objective.
    pub metadata: EmbeddingMetadata,
    /// The number of ratings in the training data.
    pub ratings: usize,
    /// Vectors that are zero after training. The tables do not contain them, because their cosine is undefined.
    pub zeros: Zeros,
}

impl Embeddings {
    /// Takes vectors by id, without the zero vectors among them. If all movies or all users have zero vectors, that
    /// is an error with the `remedy`, such as "a weaker regularization than 0.1".
    pub fn new(
        movies: impl IntoIterator<Item = (u32, Vec<f32>)>,
        users: impl IntoIterator<Item = (u32, Vec<f32>)>,
        metadata: EmbeddingMetadata,
        ratings: usize,
        remedy: &str,
    ) -> Result<Self, Error> {
        let (movies, users) = (Side::new(movies.into_iter())?, Side::new(users.into_iter())?);
        let zeros = Zeros { movies: movies.zeros, users: users.zeros };
        if zeros.degenerate() {
            return Err(Error::Degenerate { zeros, remedy: remedy.to_owned() });
        }
        Ok(Self { movies: movies.table, users: users.table, metadata, ratings, zeros })
    }

    /// Writes the files into a folder, `embedding.json` last, with the digests of the others: readers accept only
    /// files that match. Returns the files with their sizes in bytes.
    pub fn write(&self, out: &Path) -> Result<Vec<(PathBuf, u64)>, sparrow_output::Error> {
        sparrow_output::prepare(out, &[], true)?;
        let mut files = Vec::new();
        let mut digests = Vec::new();
        for (name, table) in [(ITEM_FILE, &self.movies), (USER_FILE, &self.users)] {
            let mut file = AtomicFile::create(out, name)?;
            file.write_with(|to| table.write(to))?;
            digests.push((name.to_owned(), file.sha256()?));
            files.push(file);
        }
        let mut metadata = AtomicFile::create(out, METADATA_FILE)?;
        metadata.write(&self.metadata.clone().with_files(digests).to_bytes())?;
        files.push(metadata);
        AtomicFile::publish(files)
    }
}

/// The vectors of movies, or of users.
struct Side {
    table: EmbeddingTable,
    /// See [`Zeros`].
    zeros: [usize; 2],
}

impl Side {
    /// Takes the vectors that are not zero, rounded to six decimals: more would only make the files longer.
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

/// Returns for each user the liked movies as indexes in the catalogue, in the order of (timestamp, movie id).
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
pub(crate) mod tests {
    use sparrow_test_support::catalogue;

    use super::*;
    use crate::ials::{Ials, Options};
    use crate::{Execution, Method as _, Model};

    /// 60 users and 50 movies of which the last has no rating; popular movies come first.
    pub(crate) fn catalog() -> Catalog {
        let movies = (1..=50).map(|id| catalogue::movie(id, None, catalogue::NO_GENRES));
        let pairs = (0..60).flat_map(|user| (0..49).map(move |movie| (user, movie)));
        let rated = pairs.filter(|(user, movie)| (user * 7 + movie * 5) % 50 >= *movie);
        let ratings = rated.map(|(user, movie)| (user + 1, movie, 10, user * 50 + movie));
        catalogue::catalog(movies, ratings)
    }

    fn ials(regularization: f32) -> Result<Embeddings, Error> {
        let mut options = Options { dimension: 4, epochs: 30, ..Options::DEFAULT };
        options.objective.regularization = regularization;
        let ials = Ials { content_ridge: 0.0, ..Ials::from(&options) };
        match ials.compute(&catalog(), Execution::default(), &|_, _| {})? {
            Model::Vectors(embeddings) => Ok(embeddings),
            other @ Model::Weights { .. } => unreachable!("ials computes vectors, not {other:?}"),
        }
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
