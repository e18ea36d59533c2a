use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sparrow_model::MovieIndex;

use crate::buffers::StrategyBits;

/// Why an answer is degraded or not personal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No user has this id, so the answer is not personal.
    UnknownUser,
    /// The model has no vector of this user, or only a zero vector.
    NoUserEmbedding,
    /// The movie has no vector, or only a zero vector, so that no movie is near it.
    NoMovieEmbedding,
    /// The model is not loaded.
    ModelUnavailable,
    /// The user was not in the training data of the model.
    UserNotInModel,
    /// The model has no score for any candidate, for example because none of them has a vector.
    CandidatesNotInModel,
    /// The model returned an error or an invalid answer.
    ModelFailed,
    /// The model did not return scores within its deadline.
    ModelTimedOut,
    /// The feature store cannot be reached.
    StoreUnavailable,
    /// The vectors in the store are newer than the loaded ones and not comparable with them.
    StoreUpdating,
    /// The store's entry of the user is malformed.
    StoreFailed,
    /// The user's rating history is missing, so that seen movies cannot be excluded.
    NoHistory,
    /// A recall strategy failed; the candidates are those of the others.
    RecallFailed,
}

impl Reason {
    /// Whether the user's state is incomplete because of the store.
    pub(crate) const fn is_of_store(self) -> bool {
        matches!(self, Self::StoreUnavailable | Self::StoreUpdating | Self::StoreFailed)
    }

    /// The name in the API, such as `unknown-user`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown-user",
            Self::NoUserEmbedding => "no-user-embedding",
            Self::NoMovieEmbedding => "no-movie-embedding",
            Self::ModelUnavailable => "model-unavailable",
            Self::UserNotInModel => "user-not-in-model",
            Self::CandidatesNotInModel => "candidates-not-in-model",
            Self::ModelFailed => "model-failed",
            Self::ModelTimedOut => "model-timed-out",
            Self::StoreUnavailable => "store-unavailable",
            Self::StoreUpdating => "store-updating",
            Self::StoreFailed => "store-failed",
            Self::NoHistory => "no-history",
            Self::RecallFailed => "recall-failed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer to "recommended for you".
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recommendations {
    /// The name of the requested model, even if the request used an alias.
    pub requested: Arc<str>,
    /// The model that ranked the items, or would have if there are none; [`NO_MODEL`](crate::NO_MODEL) if neither the
    /// requested model nor any of its fallbacks could rank.
    pub model: Arc<str>,
    /// Whether a fallback ranked, a recall strategy failed, or the store could not return the user's state. Not set by
    /// [`Reason::NoHistory`]: the requested model ranked, and a store may have no rating histories on purpose.
    pub degraded: bool,
    /// Why the answer is degraded, or not personal ([`Reason::UnknownUser`], even if the requested model is the same for
    /// every user), or may contain seen movies ([`Reason::NoHistory`]).
    pub reason: Option<Reason>,
    /// The best first; at most as many as requested, each movie once.
    pub items: Vec<Item>,
    /// The number of candidates that were ranked.
    pub candidates: usize,
    /// The time that the stages took.
    pub timings: Timings,
    /// The names of the recall strategies; bit `i` of an item is the strategy `i`.
    pub(crate) strategies: Arc<[Arc<str>]>,
    /// The names of the models.
    pub(crate) models: Arc<[Arc<str>]>,
}

impl Recommendations {
    /// The names of the recall strategies that found an item of this answer.
    pub fn recalled_by(&self, item: &Item) -> impl Iterator<Item = &str> {
        let bits = item.recalled_by;
        let found = self.strategies.iter().enumerate();
        found.filter(move |(index, _)| bits >> index & 1 == 1).map(|(_, name)| &**name)
    }

    /// The name of the model that ordered an item of this answer without a score. `None` for an item with a score, and
    /// for one that is ordered by its number of ratings.
    pub fn ordered_by(&self, item: &Item) -> Option<&str> {
        self.models.get(item.ordered_by?).map(|name| &**name)
    }
}

/// A recommended movie.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Item {
    /// The movie.
    pub movie: MovieIndex,
    /// The score; `None` if the model cannot score the movie. Scores of different models are not comparable.
    pub score: Option<f32>,
    /// The index of the model that ordered an item without a score.
    pub(crate) ordered_by: Option<usize>,
    /// The strategies that found the movie.
    pub(crate) recalled_by: StrategyBits,
}

/// The time that the stages of an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Timings {
    /// Finding and merging candidates.
    pub recall: Duration,
    /// Scoring them and selecting the best.
    pub rank: Duration,
    /// The whole request inside the engine.
    pub total: Duration,
}

/// The answer to "similar movies".
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Similar {
    /// The requested model.
    pub requested: Arc<str>,
    /// The model that answered.
    pub model: Arc<str>,
    /// Why the answer is degraded; `None` if the requested model answered.
    pub reason: Option<Reason>,
    /// The most similar first, without the movie itself.
    pub items: Vec<SimilarItem>,
}

/// A movie that is similar to another.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SimilarItem {
    /// The movie.
    pub movie: MovieIndex,
    /// The similarity: the cosine for `emb`, from 0 to 1 for `genre`.
    pub score: f32,
}
