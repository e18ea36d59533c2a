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
    /// What is ranked.
    pub candidates: Candidates,
}

/// The name in [`Recommendations::model`] where no model could rank, and the number of ratings orders the items.
pub const NO_MODEL: &str = "none";

/// What is ranked for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Candidates {
    /// What the recall strategies find.
    #[default]
    Recalled,
    /// The whole catalogue, for models that are fast enough.
    All,
}

impl Request<'_> {
    /// The 32 best unseen movies for a user, by the default model.
    pub const fn new(user: UserId) -> Self {
        Self {
            user,
            model: None,
            size: 32,
            genres: GenreSet::EMPTY,
            exclude_seen: true,
            candidates: Candidates::Recalled,
        }
    }
}

impl Engine {
    /// Finds, ranks and selects movies for a user.
    ///
    /// An answer comes for every user, also for one that nothing is known of: where the model asked
    /// for has no scores, the next one steps in, and the answer says so. Items are ordered by score;
    /// ties break by movie id; movies that the model does not know come last, in the order of the model
    /// that would step in for it.
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

        let mut items = Vec::with_capacity(request.size.min(scratch.candidates().len()));
        let (model, failure) =
            self.rank(requested, user, request.size, &mut scratch, &mut items).await;
        let done = Instant::now();

        // What the user has seen matters only where it is to be excluded.
        let lacking = lacking.filter(|&why| request.exclude_seen || why != Reason::NoHistory);
        let store_failed = lacking.is_some_and(Reason::is_of_store);
        let reason = match failure {
            // Another failure says more.
            Some(failure) if lacking == Some(Reason::NoHistory) => Some(failure),
            None if lacking == Some(Reason::NoHistory) && recall_failed => {
                Some(Reason::RecallFailed)
            }
            // That the model does not know the user is a consequence of what is lacking.
            Some(Reason::NoUserEmbedding | Reason::UserNotInModel) | None if lacking.is_some() => {
                lacking
            }
            _ if store_failed => lacking,
            Some(failure) => Some(failure),
            None => recall_failed.then_some(Reason::RecallFailed),
        };
        Ok(Recommendations {
            requested: Arc::clone(&self.models[requested].name),
            model: model
                .map_or_else(|| NO_MODEL.into(), |model| Arc::clone(&self.models[model].name)),
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
            features: None,
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
                scratch.excluded.insert_all(&self.genre_members[genre.index()]);
            }
            scratch.excluded.invert();
        }
        if request.exclude_seen {
            scratch.excluded.extend(user.history.iter().flat_map(History::movies));
            scratch.excluded.extend(user.also_rated.iter().copied());
        }

        if request.candidates == Candidates::All {
            scratch.add_all();
            return false;
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

    /// Selects the best candidates by the requested model or the first fallback that can score, and
    /// where that does not know enough of them, the best of the rest by the next one. Returns the place of the
    /// model that answered (`None` if none could) and why it is not the one that was asked.
    async fn rank(
        &self,
        requested: usize,
        user: &UserState<'_>,
        size: usize,
        scratch: &mut Scratch,
        items: &mut Vec<Item>,
    ) -> (Option<usize>, Option<Reason>) {
        let (mut answered, mut failure) = (None, None);
        scratch.start_ranking();
        let mut next = Some(requested);
        // One model is asked even without candidates: an empty list names a model that could have ranked.
        let wanted = |answered: Option<usize>, items: &[Item], rest: &[MovieIndex]| {
            answered.is_none() || (items.len() < size && !rest.is_empty())
        };
        while let Some(place) = next.filter(|_| wanted(answered, items, &scratch.rest)) {
            match self.score(place, requested, user, scratch).await {
                Ok(()) => {
                    let ordered_by = answered.map(|_| place);
                    take_best(size, ordered_by, scratch, items);
                    answered = answered.or(Some(place));
                }
                // The reason that counts is why the requested model did not answer.
                Err(reason) if answered.is_none() => failure = failure.or(Some(reason)),
                Err(_) => {}
            }
            next = self.fallbacks[place];
        }
        if items.len() < size {
            let rest = &mut scratch.rest;
            rest.sort_unstable_by_key(|&movie| (Reverse(self.catalog.stats(movie).count), movie));
            rest.truncate(size - items.len());
            items.extend(scratch.rest.iter().map(|&movie| Item {
                movie,
                score: None,
                ordered_by: None,
                recalled_by: scratch.found_by(movie),
            }));
        }
        (answered, failure)
    }

    /// Scores what is in `rest` by the model at this place.
    async fn score(
        &self,
        place: usize,
        requested: usize,
        user: &UserState<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), Reason> {
        let model = &self.models[place];
        let Ok(ranker) = &model.ranker else {
            model.counters.failed();
            return Err(Reason::ModelUnavailable);
        };
        let start = Instant::now();
        let error = match checked_score(&**ranker, user, &scratch.rest, &mut scratch.scores).await {
            Ok(()) => {
                model.counters.answered(start.elapsed(), place != requested);
                return Ok(());
            }
            Err(error) => error,
        };
        let reason = reason(&error);
        match reason {
            Reason::NoUserEmbedding | Reason::UserNotInModel => model.counters.declined(),
            // Told by the model's status, and not for every request again.
            Reason::ModelUnavailable => model.counters.failed(),
            _ => {
                model.counters.failed();
                let error = &error as &dyn std::error::Error;
                tracing::warn!(model = &*model.name, error, "ranking failed");
            }
        }
        Err(reason)
    }
}

/// Moves the best of `rest` by score to the items, up to `size` of these; what has no score remains.
fn take_best(size: usize, ordered_by: Option<usize>, scratch: &mut Scratch, items: &mut Vec<Item>) {
    let mut top = std::mem::take(&mut scratch.top);
    top.reset(size - items.len());
    for (&movie, &score) in scratch.rest.iter().zip(&scratch.scores) {
        if score != UNSCORED {
            top.push(score, movie.0);
        }
    }
    items.extend(top.sorted().map(|(score, movie)| {
        let movie = MovieIndex(movie);
        let score = ordered_by.is_none().then_some(score);
        Item { movie, score, ordered_by, recalled_by: scratch.found_by(movie) }
    }));
    scratch.top = top;
    if items.len() < size {
        let mut scores = scratch.scores.iter();
        scratch.rest.retain(|_| scores.next() == Some(&UNSCORED));
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
        sparrow_rank::Error::UnknownUser(_) => Reason::UserNotInModel,
        sparrow_rank::Error::Unavailable(_) => Reason::ModelUnavailable,
        sparrow_rank::Error::TimedOut => Reason::ModelTimedOut,
        _ => Reason::ModelFailed,
    }
}
