use std::sync::Arc;

use async_trait::async_trait;
use sparrow_model::{Catalog, MovieIndex};
use sparrow_rank::{Contribution, Error, Query, Ranker, UNSCORED};

use crate::signal::{MovieSignals, UserSignals, log_score};
use crate::{Blend, INPUTS, Signal, Term};

/// Scores by a blend. Queries contain the scores of the models in [`INPUTS`], in this order.
///
/// A model without scores for the user leaves its term out; [`Error::UnknownUser`] if that is all of them. A movie without
/// ratings that no model scores has no score.
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
        let Term { signal, epsilon, .. } = *term;
        let weight = term.weight_for(user);
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

    /// Leaves movies without ratings that no model knows without a score: what remains are weights that were fitted to
    /// rated movies.
    fn leave_out_unknown(&self, query: &Query<'_>, scores: &mut [f32]) {
        let is_scored = |at: usize| {
            let mut inputs = self.terms.iter().filter_map(|term| term.signal.input());
            inputs.any(|index| input(query, index).is_some_and(|scores| scores[at] != UNSCORED))
        };
        for (at, (score, movie)) in scores.iter_mut().zip(query.movies).enumerate() {
            if self.movies.popularity[movie.index()] == 0.0 && !is_scored(at) {
                *score = UNSCORED;
            }
        }
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

    fn explain(&self, query: &Query<'_>) -> Vec<Contribution> {
        let user = UserSignals::new(query.user, &self.movies);
        let of_term = |term: &Term| {
            let mut scores = vec![0.0; query.movies.len()];
            self.add(term, query, &user, &mut scores);
            Contribution { name: term.signal.name(), scores }
        };
        self.terms.iter().map(of_term).collect()
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
        self.leave_out_unknown(query, scores);
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use sparrow_model::{
        MovieId, MovieRecord, Movies, OwnedHistory, Rated, RatingLog, Stars, UserId, UserState,
    };

    use super::*;
    use crate::Objective;

    /// Ten movies of the years 1990 to 1999; movie `i` has `i` ratings.
    fn catalog() -> Catalog {
        let record = |id: u32| MovieRecord {
            id: MovieId(id),
            title: format!("Movie {id}"),
            year: Some(1990 + id as u16),
            genres: vec![if id.is_multiple_of(2) { "Drama" } else { "Comedy" }.to_owned()],
            imdb_id: None,
            tmdb_id: None,
        };
        let mut log = RatingLog::default();
        for movie in 0..10 {
            for user in 0..movie {
                log.push(UserId(user + 1), MovieIndex(movie), Stars::LIKED, 0);
            }
        }
        let movies = Movies::new((0..10).map(record).collect()).unwrap();
        Catalog::new(movies, log.into_histories().0)
    }

    fn ranker() -> BlendRanker {
        let model =
            |signal, weight, epsilon| Term { signal, weight, new_user_weight: None, epsilon };
        let term = |signal, weight| model(signal, weight, 0.0);
        let terms = vec![
            model(Signal::Ease, 2.0, 0.5),
            model(Signal::ItemKnn, 1.0, 0.25),
            // With one rating, the share of this weight is 0.99998.
            Term { new_user_weight: Some(0.5), ..term(Signal::Popularity, 1.5) },
            term(Signal::PopularityForNewUsers, 0.25),
            term(Signal::Genres, 3.0),
            term(Signal::Released, 4.0),
            term(Signal::MeanRating, 0.125),
        ];
        BlendRanker::new(&Blend::new(Objective::Lists, terms).unwrap(), &catalog())
    }

    /// The scores and the contributions for a user who rated a drama of 1994 in 1996.
    fn ranked(inputs: &[Option<&[f32]>]) -> Result<(Vec<f32>, Vec<Contribution>), Error> {
        let rated = Rated { movie: MovieIndex(4), stars: Stars::MAX, timestamp: 26 * 31_556_952 };
        let history = OwnedHistory::new(UserId(1), [rated]);
        let user = UserState { history: Some(history.get()), ..UserState::unknown(UserId(1)) };
        let movies = [2, 7, 8].map(MovieIndex);
        let query = Query::new(&user, &movies).with_inputs(inputs);
        let (ranker, mut scores) = (ranker(), vec![9.0]);
        let outcome =
            pin!(ranker.score(&query, &mut scores)).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(outcome) = outcome else { panic!("a ranker in memory waited") };
        outcome.map(|()| (scores, ranker.explain(&query)))
    }

    #[test]
    fn scores_are_weighted_sums_of_the_signals() {
        let inputs = [Some(&[0.5, -1.0, UNSCORED][..]), None, Some(&[0.75, 0.0, 0.0])];
        let (scores, contributions) = ranked(&inputs).unwrap();
        let newness = 1.0 / (1.0 + 0.2);
        let expected = |log_ease: f32, knn: f32, count: f32, genre: f32, released: f32| {
            let popularity = count.ln_1p() * (0.5 + 0.25 * newness);
            let mean = 0.125 * 3.5;
            2.0 * log_ease + (knn + 0.25).ln() + popularity + 3.0 * genre + 4.0 * released + mean
        };
        let expected = [
            expected(0.0, 0.75, 2.0, 1.0, 1.0),
            expected(0.5_f32.ln(), 0.0, 7.0, 0.0, 0.0),
            expected(0.5_f32.ln(), 0.0, 8.0, 1.0, 0.0),
        ];
        for (index, (score, expected)) in scores.iter().zip(expected).enumerate() {
            assert!((score - expected).abs() < 1e-3, "{index}: {score} {expected}");
            let sum: f32 = contributions.iter().map(|part| part.scores[index]).sum();
            assert!((score - sum).abs() < 1e-4, "{index}: {score} {sum}");
        }
        let names: Vec<&str> = contributions.iter().map(|part| part.name).collect();
        assert_eq!(names[..3], ["ease", "item-knn", "popularity"]);
    }

    #[test]
    fn movie_without_ratings_has_a_score_only_if_a_model_scores_it() {
        let user = UserState::unknown(UserId(1));
        let movies = [0, 7].map(MovieIndex);
        let score = |ease: &[f32]| {
            let inputs = [Some(ease), None, None];
            let query = Query::new(&user, &movies).with_inputs(&inputs);
            let mut scores = Vec::new();
            let mut context = Context::from_waker(Waker::noop());
            let ranker = ranker();
            let outcome = pin!(ranker.score(&query, &mut scores)).poll(&mut context);
            assert!(matches!(outcome, Poll::Ready(Ok(()))));
            scores.iter().map(|score| score.is_finite()).collect::<Vec<_>>()
        };
        assert_eq!(score(&[UNSCORED, UNSCORED]), [false, true]);
        assert_eq!(score(&[0.1, UNSCORED]), [true, true]);
    }

    #[test]
    fn model_without_scores_is_left_out_and_without_any_model_the_user_is_unknown() {
        let (scores, _) = ranked(&[None, None, Some(&[0.75, 0.0, 0.0])]).unwrap();
        assert!(scores.iter().all(|score| score.is_finite()));
        // Next-item is no term of this blend.
        let unused: &[f32] = &[1.0; 3];
        for inputs in [&[None, None, None][..], &[None, Some(unused), None], &[]] {
            assert!(matches!(ranked(inputs), Err(Error::UnknownUser(UserId(1)))));
        }
        assert_eq!([0, 1, 2].map(|index| ranker().uses_input(index)), [true, false, true]);
    }
}
