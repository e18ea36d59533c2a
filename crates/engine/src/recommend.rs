use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Instant;

use sparrow_model::{GenreSet, History, MovieIndex, Sort, UserId, UserState};
use sparrow_rank::{Ranker, UNSCORED};
use sparrow_recall::Query;

use crate::assembly::find;
use crate::scratch::Scratch;
use crate::{Engine, Error, Item, Reason, Recommendations, Timings};

/// A request for recommendations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// For whom.
    pub user: UserId,
    /// The ranking model's name or alias; `None` for the default one.
    pub model: Option<&'a str>,
    /// How many movies, at most.
    pub size: usize,
    /// Only movies with one of these genres at least; empty for all.
    pub genres: GenreSet,
    /// Leave out what the user has rated.
    pub exclude_seen: bool,
}

impl Request<'_> {
    /// The 32 best unseen movies for a user, by the default model.
    pub const fn new(user: UserId) -> Self {
        Self { user, model: None, size: 32, genres: GenreSet::EMPTY, exclude_seen: true }
    }
}

impl Engine {
    /// Finds, ranks and selects movies for a user.
    ///
    /// An answer comes for every user, also for one that nothing is known of: where the model asked
    /// for has no scores, the next one steps in, and the answer says so. Items are ordered by score;
    /// ties break by movie id; movies that the model does not know come last, by popularity.
    pub async fn recommend(&self, request: &Request<'_>) -> Result<Recommendations, Error> {
        let user = self.user_state(request.user);
        let unknown = user.history.is_none() && user.embedding.is_none();
        self.recommend_to(request, &user, unknown.then_some(Reason::UnknownUser)).await
    }

    /// The same for a user whose state the caller has gathered, from a feature store say. `lacking`
    /// is why something of the state is missing, for the answer to tell. The user's vector must have
    /// gone through [`Embeddings::prepare`](crate::Embeddings::prepare).
    pub async fn recommend_to(
        &self,
        request: &Request<'_>,
        user: &UserState<'_>,
        lacking: Option<Reason>,
    ) -> Result<Recommendations, Error> {
        let start = Instant::now();
        let requested =
            request.model.map_or(Ok(self.default_model), |name| find(&self.models, name))?;
        let mut scratch = self.pool.lease();
        let recall_failed = self.find_candidates(request, user, &mut scratch);
        let recalled = Instant::now();

        let (model, failure) = self.score(requested, user, &mut scratch).await;
        let items = self.select(request.size, model.is_some(), &mut scratch);
        let done = Instant::now();

        let store_failed = lacking.is_some_and(Reason::is_of_store);
        let reason = match failure {
            // A missing vector is a consequence of what is lacking.
            Some(Reason::NoUserEmbedding) | None if lacking.is_some() => lacking,
            _ if store_failed => lacking,
            Some(failure) => Some(failure),
            None => recall_failed.then_some(Reason::RecallFailed),
        };
        Ok(Recommendations {
            requested: Arc::clone(&self.models[requested].name),
            model: Arc::clone(&self.models[model.unwrap_or(requested)].name),
            reason,
            degraded: model != Some(requested) || recall_failed || store_failed,
            items,
            candidates: scratch.candidates().len(),
            timings: Timings {
                recall: recalled - start,
                rank: done - recalled,
                total: done - start,
            },
        })
    }

    fn user_state(&self, id: UserId) -> UserState<'_> {
        let users = self.catalog.users();
        let index = users.index_of(id);
        UserState {
            id,
            history: index.map(|index| users.get(index)),
            also_rated: &[],
            favourite_genres: index.map_or(&[], |index| self.favourite_genres.of(index)),
            embedding: self.embeddings.as_ref().and_then(|vectors| vectors.users.get(id.0)),
        }
    }

    /// Fills the scratch with candidates; whether a strategy failed.
    fn find_candidates(
        &self,
        request: &Request<'_>,
        user: &UserState<'_>,
        scratch: &mut Scratch,
    ) -> bool {
        if !request.genres.is_empty() {
            for genre in request.genres.iter() {
                scratch.excluded.insert_all(&self.genre_members[genre.at()]);
            }
            scratch.excluded.invert();
        }
        if request.exclude_seen {
            scratch.excluded.extend(user.history.iter().flat_map(History::movies));
            scratch.excluded.extend(user.also_rated.iter().copied());
        }

        let wanted = self.candidates.max(request.size);
        let mut failed = false;
        for (place, strategy) in self.strategies.iter().enumerate() {
            let limit = (strategy.share * wanted).div_ceil(self.candidates.max(1));
            scratch.found.clear();
            let query = Query {
                catalog: &self.catalog,
                user,
                genres: request.genres,
                excluded: &scratch.excluded,
            };
            match strategy.recall.recall(&query, limit, &mut scratch.found) {
                Ok(()) => scratch.add_found(place),
                Err(error) => {
                    failed = true;
                    tracing::warn!(
                        strategy = strategy.recall.name(),
                        error = &error as &dyn std::error::Error,
                        "recall failed"
                    );
                }
            }
        }
        for &movie in self.catalog.ordered(Sort::Popularity, None) {
            if scratch.candidates().len() >= wanted {
                break;
            }
            if !scratch.excluded.contains(movie) && !scratch.found_by(movie).any() {
                scratch.add(movie, self.fill);
            }
        }
        failed
    }

    /// Scores the candidates by the requested model or the first fallback that can. Returns the place
    /// of the one that did (`None` if none could) and why it is not the one that was asked.
    async fn score(
        &self,
        requested: usize,
        user: &UserState<'_>,
        scratch: &mut Scratch,
    ) -> (Option<usize>, Option<Reason>) {
        let mut failure = None;
        let fallbacks = self.fallbacks.iter().copied().filter(|&place| place != requested);
        for place in std::iter::once(requested).chain(fallbacks) {
            let model = &self.models[place];
            let (candidates, scores) = scratch.scoring();
            let reason = match &model.ranker {
                Ok(ranker) => match checked_score(&**ranker, user, candidates, scores).await {
                    Ok(()) => return (Some(place), failure),
                    Err(error) => {
                        let reason = reason(&error);
                        if reason != Reason::NoUserEmbedding {
                            tracing::warn!(
                                model = &*model.name,
                                error = &error as &dyn std::error::Error,
                                "ranking failed"
                            );
                        }
                        reason
                    }
                },
                Err(_) => Reason::ModelUnavailable,
            };
            // The reason that counts is why the requested model did not answer.
            failure = failure.or(Some(reason));
        }
        (None, failure)
    }

    /// The best candidates by score, then those without one by popularity.
    fn select(&self, size: usize, ranked: bool, scratch: &mut Scratch) -> Vec<Item> {
        let mut top = std::mem::take(&mut scratch.top);
        let scores = std::mem::take(&mut scratch.scores);
        top.reset(size);
        if ranked {
            for (&movie, &score) in scratch.candidates().iter().zip(&scores) {
                if score != UNSCORED {
                    top.push(score, movie.0);
                }
            }
        }
        let mut items = Vec::with_capacity(size.min(scratch.candidates().len()));
        items.extend(top.sorted().map(|(score, movie)| {
            let movie = MovieIndex(movie);
            Item { movie, score: Some(score), recalled_by: scratch.found_by(movie) }
        }));
        if items.len() < size {
            let has_score = |place: usize| ranked && scores[place] != UNSCORED;
            let mut rest: Vec<MovieIndex> = scratch
                .candidates()
                .iter()
                .enumerate()
                .filter(|&(place, _)| !has_score(place))
                .map(|(_, &movie)| movie)
                .collect();
            rest.sort_unstable_by_key(|&movie| (Reverse(self.catalog.stats(movie).count), movie));
            rest.truncate(size - items.len());
            items.extend(rest.into_iter().map(|movie| Item {
                movie,
                score: None,
                recalled_by: scratch.found_by(movie),
            }));
        }
        (scratch.scores, scratch.top) = (scores, top);
        items
    }
}

/// Asks a ranker, and holds it to its contract.
async fn checked_score(
    ranker: &dyn Ranker,
    user: &UserState<'_>,
    movies: &[MovieIndex],
    scores: &mut Vec<f32>,
) -> Result<(), sparrow_rank::Error> {
    ranker.score(user, movies, scores).await?;
    if scores.len() != movies.len() {
        let what = format!("{} scores for {} movies", scores.len(), movies.len());
        return Err(sparrow_rank::Error::Malformed(what));
    }
    if scores.iter().any(|&score| !score.is_finite() && score != UNSCORED) {
        return Err(sparrow_rank::Error::Malformed("a score is not finite".to_owned()));
    }
    Ok(())
}

fn reason(error: &sparrow_rank::Error) -> Reason {
    match error {
        sparrow_rank::Error::NoUserEmbedding(_) => Reason::NoUserEmbedding,
        sparrow_rank::Error::Unavailable(_) => Reason::ModelUnavailable,
        sparrow_rank::Error::TimedOut => Reason::ModelTimedOut,
        _ => Reason::ModelFailed,
    }
}
