use std::sync::Arc;

use sparrow_model::MovieIndex;
use sparrow_neural::TopK;

use crate::{Engine, Error, Reason, Similar, SimilarItem};

/// The name of the model that compares movies by their genres.
pub const GENRE_MODEL: &str = "genre";

/// The name of the model that compares movies by their vectors.
const EMBEDDING_MODEL: &str = "emb";

/// The weight of shared genres in the model `genre`; the rest is the weight of the rating.
const GENRE_WEIGHT: f32 = 0.7;

/// A request for movies that are similar to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimilarRequest<'a> {
    /// The movie.
    pub movie: MovieIndex,
    /// `emb` or `genre`; `None` for `emb`.
    pub model: Option<&'a str>,
    /// How many movies, at most.
    pub size: usize,
}

impl Engine {
    /// The names of the models of [`similar`](Self::similar).
    pub const fn similar_models(&self) -> [&'static str; 2] {
        [EMBEDDING_MODEL, GENRE_MODEL]
    }

    /// Finds the movies that are most similar to one, without the movie itself. Ties break by id.
    ///
    /// * `emb`: cosine of the movies' vectors; falls back to `genre` without vectors.
    /// * `genre`: 0.7 · 2·shared / (a + b), where a and b are the numbers of the movies' genres,
    ///   plus 0.3 · the other movie's Bayesian average rating / 5.
    ///
    /// # Panics
    /// If the movie is not in the catalogue.
    pub fn similar(&self, request: &SimilarRequest<'_>) -> Result<Similar, Error> {
        let mut top = TopK::new(request.size);
        let requested = request.model.unwrap_or(EMBEDDING_MODEL);
        let (model, reason) = match requested {
            EMBEDDING_MODEL => match self.by_vector(request.movie, request.size, &mut top) {
                Ok(()) => (EMBEDDING_MODEL, None),
                Err(reason) => {
                    self.by_genre(request.movie, &mut top);
                    (GENRE_MODEL, Some(reason))
                }
            },
            GENRE_MODEL => {
                self.by_genre(request.movie, &mut top);
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

    fn by_vector(&self, movie: MovieIndex, size: usize, top: &mut TopK) -> Result<(), Reason> {
        let embeddings = self.embeddings.as_ref().ok_or(Reason::ModelUnavailable)?;
        let vector = embeddings.items.get(movie.0).ok_or(Reason::NoMovieEmbedding)?;
        embeddings.items.best_by_cosine(&vector, size, |other| other == movie.0, top);
        Ok(())
    }

    fn by_genre(&self, movie: MovieIndex, top: &mut TopK) {
        let own = self.genre_sets[movie.index()];
        for (other, &genres) in self.genre_sets.iter().enumerate() {
            let other = MovieIndex(other as u32);
            if other == movie {
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
