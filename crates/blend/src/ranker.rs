use std::sync::Arc;

use async_trait::async_trait;
use sparrow_model::{Catalog, MovieIndex};
use sparrow_rank::{Error, Query, Ranker};

use crate::signal::{MovieSignals, UserSignals, log_score};
use crate::{Blend, INPUTS, Signal, Term};

/// Scores by a blend. Queries contain the scores of the models in [`INPUTS`], in this order.
///
/// A model without scores for the user leaves its term out; [`Error::UnknownUser`] if that is all of them.
#[derive(Debug, Clone)]
pub struct BlendRanker {
    terms: Vec<Term>,
    movies: MovieSignals,
}

impl BlendRanker {
    /// A ranker over the movies of a catalogue.
    pub fn new(blend: &Blend, catalog: &Catalog) -> Self {
        Self { terms: blend.terms().to_vec(), movies: MovieSignals::new(catalog) }
    }

    /// Adds a term to the scores of the movies of a query.
    fn add(&self, term: &Term, query: &Query<'_>, user: &UserSignals, scores: &mut [f32]) {
        let Term { signal, weight, epsilon } = *term;
        let movies = query.movies;
        let of_movies = &self.movies;
        match signal {
            Signal::Ease | Signal::NextItem | Signal::ItemKnn => {
                let Some(input) = signal.input().and_then(|index| input(query, index)) else {
                    return;
                };
                for (score, &value) in scores.iter_mut().zip(input) {
                    *score += weight * log_score(value, epsilon);
                }
            }
            Signal::Popularity => {
                add(scores, movies, |movie| weight * of_movies.popularity[movie.index()]);
            }
            Signal::PopularityForNewUsers => {
                let weight = weight * user.newness;
                add(scores, movies, |movie| weight * of_movies.popularity[movie.index()]);
            }
            Signal::Genres => {
                add(scores, movies, |movie| weight * of_movies.genre_cosine(movie, user));
            }
            Signal::Released => {
                add(scores, movies, |movie| weight * of_movies.released(movie, user));
            }
            Signal::MeanRating => {
                add(scores, movies, |movie| weight * of_movies.mean_rating[movie.index()]);
            }
        }
    }

    /// The contribution of each term to the score of one movie of a query.
    pub fn contributions(&self, query: &Query<'_>) -> Vec<(Signal, Vec<f32>)> {
        let user = UserSignals::new(query.user, &self.movies);
        let of_term = |term: &Term| {
            let mut scores = vec![0.0; query.movies.len()];
            self.add(term, query, &user, &mut scores);
            (term.signal, scores)
        };
        self.terms.iter().map(of_term).collect()
    }
}

/// Adds a value of each movie to its score: a loop for each kind of value.
fn add(scores: &mut [f32], movies: &[MovieIndex], value: impl Fn(MovieIndex) -> f32) {
    for (score, &movie) in scores.iter_mut().zip(movies) {
        *score += value(movie);
    }
}

/// The scores of a model in a query.
fn input<'a>(query: &Query<'a>, index: usize) -> Option<&'a [f32]> {
    query.inputs.get(index).copied().flatten()
}

#[async_trait]
impl Ranker for BlendRanker {
    fn kind(&self) -> &'static str {
        "blend"
    }

    fn uses_input(&self, index: usize) -> bool {
        self.terms.iter().any(|term| term.signal.input() == Some(index))
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        let mut inputs = self.terms.iter().filter_map(|term| term.signal.input());
        if !inputs.any(|index| input(query, index).is_some()) {
            return Err(Error::UnknownUser(query.user.id));
        }
        let user = UserSignals::new(query.user, &self.movies);
        scores.clear();
        scores.resize(query.movies.len(), 0.0);
        for term in &self.terms {
            self.add(term, query, &user, scores);
        }
        Ok(())
    }
}

/// A blend together with the models that it combines, for use without an engine.
pub struct Combined {
    blend: BlendRanker,
    inputs: [Option<Arc<dyn Ranker>>; INPUTS.len()],
}

impl Combined {
    /// A ranker that asks these models, in the order of [`INPUTS`], for each query.
    pub const fn new(blend: BlendRanker, inputs: [Option<Arc<dyn Ranker>>; INPUTS.len()]) -> Self {
        Self { blend, inputs }
    }
}

#[async_trait]
impl Ranker for Combined {
    fn kind(&self) -> &'static str {
        "blend"
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        let mut of_inputs: [Option<Vec<f32>>; INPUTS.len()] = Default::default();
        for (index, (ranker, of_input)) in self.inputs.iter().zip(&mut of_inputs).enumerate() {
            let used = ranker.as_ref().filter(|_| self.blend.uses_input(index));
            let Some(ranker) = used else { continue };
            let mut scores = Vec::new();
            match ranker.score(&Query::new(query.user, query.movies), &mut scores).await {
                Ok(()) => *of_input = Some(scores),
                Err(Error::NoUserEmbedding(_) | Error::UnknownUser(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let inputs: Vec<Option<&[f32]>> = of_inputs.iter().map(Option::as_deref).collect();
        self.blend.score(&Query::new(query.user, query.movies).with_inputs(&inputs), scores).await
    }
}
