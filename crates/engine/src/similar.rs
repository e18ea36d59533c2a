use std::sync::Arc;

use sparrow_model::{GenreSet, MovieIndex, MovieSet};
use sparrow_neural::TopK;

use crate::{Engine, Error, Reason, Similar, SimilarItem};

/// The name of the model that compares movies by their genres.
pub const GENRE_MODEL: &str = "genre";

/// The name of the model that compares movies by their vectors.
const EMBEDDING_MODEL: &str = "emb";

/// The weight of shared genres in the model `genre`; the rest is the weight of the rating.
const GENRE_WEIGHT: f32 = 0.7;

/// A request for movies that are similar to one. Fields may be added: construct it with [`SimilarRequest::new`] and
/// struct update syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimilarRequest<'a> {
    /// The movie.
    pub movie: MovieIndex,
    /// `emb` or `genre`; `None` for `emb`.
    pub model: Option<&'a str>,
    /// How many movies, at most.
    pub size: usize,
    /// Movies to exclude. Indices outside the catalogue are ignored.
    pub exclude: &'a [MovieIndex],
    /// No movies with any of these genres.
    pub exclude_genres: GenreSet,
    /// Only movies of this release year or later; movies without a year are excluded. `None` for all.
    pub min_year: Option<u16>,
}

impl SimilarRequest<'_> {
    /// A request for the 32 movies that are most similar to one, by `emb`.
    pub const fn new(movie: MovieIndex) -> Self {
        Self {
            movie,
            model: None,
            size: 32,
            exclude: &[],
            exclude_genres: GenreSet::EMPTY,
            min_year: None,
        }
    }

    /// Whether it excludes movies.
    const fn is_restricted(&self) -> bool {
        !self.exclude.is_empty() || !self.exclude_genres.is_empty() || self.min_year.is_some()
    }
}

impl Engine {
    /// The names of the models of [`similar`](Self::similar).
    pub const fn similar_models(&self) -> [&'static str; 2] {
        [EMBEDDING_MODEL, GENRE_MODEL]
    }

    /// Finds the movies that are most similar to one, without the movie itself and hidden movies. Ties break by id.
    ///
    /// * `emb`: cosine of the movies' vectors; falls back to `genre` without vectors.
    /// * `genre`: 0.7 · 2·shared / (a + b), where a and b are the numbers of the movies' genres,
    ///   plus 0.3 · the other movie's Bayesian average rating / 5.
    ///
    /// # Panics
    /// If the movie is not in the catalogue.
    pub fn similar(&self, request: &SimilarRequest<'_>) -> Result<Similar, Error> {
        let mut top = TopK::new(request.size);
        let excluding = request.is_restricted() || !self.catalog.hidden().is_empty();
        let mut lease = excluding.then(|| self.pool.lease());
        let (nothing, movie) = (MovieSet::default(), request.movie);
        let excluded = match &mut lease {
            Some(buffers) => {
                let excluded = &mut buffers.excluded;
                let (genres, min_year) = (request.exclude_genres, request.min_year);
                self.exclude_more(request.exclude, genres, min_year, excluded);
                &*excluded
            }
            None => &nothing,
        };
        let requested = request.model.unwrap_or(EMBEDDING_MODEL);
        let (model, reason) = match requested {
            EMBEDDING_MODEL => match self.by_vector(movie, excluded, request.size, &mut top) {
                Ok(()) => (EMBEDDING_MODEL, None),
                Err(reason) => {
                    self.by_genre(movie, excluded, &mut top);
                    (GENRE_MODEL, Some(reason))
                }
            },
            GENRE_MODEL => {
                self.by_genre(movie, excluded, &mut top);
                (GENRE_MODEL, None)
            }
            other => {
                return Err(Error::UnknownModel {
                    name: other.to_owned(),
                    known: self.similar_models().map(Arc::from).to_vec(),
                });
            }
        };
        let items = top
            .sorted()
            .map(|(score, movie)| SimilarItem { movie: MovieIndex(movie), score })
            .collect();
        Ok(Similar { requested: requested.into(), model: model.into(), reason, items })
    }

    fn by_vector(
        &self,
        movie: MovieIndex,
        excluded: &MovieSet,
        size: usize,
        top: &mut TopK,
    ) -> Result<(), Reason> {
        let embeddings = self.embeddings.as_ref().ok_or(Reason::ModelUnavailable)?;
        let vector = embeddings.items.get(movie.0).ok_or(Reason::NoMovieEmbedding)?;
        let skip = |other| other == movie.0 || excluded.contains(MovieIndex(other));
        embeddings.items.best_by_cosine(&vector, size, skip, top);
        Ok(())
    }

    fn by_genre(&self, movie: MovieIndex, excluded: &MovieSet, top: &mut TopK) {
        let own = self.genre_sets[movie.index()];
        for (other, &genres) in self.genre_sets.iter().enumerate() {
            let other = MovieIndex(other as u32);
            if other == movie || excluded.contains(other) {
                continue;
            }
            let both = own.len() + genres.len();
            let alike = if both == 0 { 0.0 } else { (2 * own.shared(genres)) as f32 / both as f32 };
            let rating = self.catalog.stats(other).bayesian / 5.0;
            let score = GENRE_WEIGHT * alike + (1.0 - GENRE_WEIGHT) * rating;
            if top.accepts(score) {
                top.push(score, other.0);
            }
        }
    }
}
