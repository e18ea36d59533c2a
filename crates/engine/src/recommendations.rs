use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sparrow_model::MovieIndex;
use sparrow_rank::Contribution;

use crate::buffers::StrategyBits;

/// Declares the reasons with their names in the API.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $name:literal,)*) => {
        /// Why an answer is degraded or not personal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
        }

        impl Reason {
            /// The names of all reasons in the API.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// The name in the API, such as `unknown-user`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// No user has this id, so the answer is not personal.
    UnknownUser = "unknown-user",
    /// The model has no vector of this user, or only a zero vector.
    NoUserEmbedding = "no-user-embedding",
    /// The movie has no vector, or only a zero vector, so that no movie is near it.
    NoMovieEmbedding = "no-movie-embedding",
    /// The model is not loaded.
    ModelUnavailable = "model-unavailable",
    /// The user was not in the training data of the model.
    UserNotInModel = "user-not-in-model",
    /// The model has no score for any candidate, for example because none of them has a vector.
    CandidatesNotInModel = "candidates-not-in-model",
    /// The model returned an error or an invalid answer.
    ModelFailed = "model-failed",
    /// The model did not return scores within its deadline.
    ModelTimedOut = "model-timed-out",
    /// The feature store cannot be reached.
    StoreUnavailable = "store-unavailable",
    /// The vectors in the store are newer than the loaded ones and not comparable with them.
    StoreUpdating = "store-updating",
    /// The store's entry of the user is malformed.
    StoreFailed = "store-failed",
    /// The live data of the user cannot be read: the answer is that of before.
    LiveUnavailable = "live-unavailable",
    /// The user's rating history is missing, so that seen movies cannot be excluded.
    NoHistory = "no-history",
    /// A recall strategy failed; the candidates are those of the others.
    RecallFailed = "recall-failed",
}

impl Reason {
    /// The names of the reasons of answers with similar movies.
    pub const NAMES_FOR_SIMILAR: &'static [&'static str] = &[
        Self::UnknownUser.as_str(),
        Self::NoUserEmbedding.as_str(),
        Self::NoMovieEmbedding.as_str(),
        Self::ModelUnavailable.as_str(),
        Self::ModelFailed.as_str(),
        Self::ModelTimedOut.as_str(),
        Self::RecallFailed.as_str(),
    ];

    /// Whether the user's state is incomplete because of the store.
    pub(crate) const fn is_of_store(self) -> bool {
        matches!(
            self,
            Self::StoreUnavailable
                | Self::StoreUpdating
                | Self::StoreFailed
                | Self::LiveUnavailable
        )
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
    /// The parts of the scores, with a value for each item; empty if the request does not ask for them, or the model has no
    /// such parts.
    pub contributions: Vec<Contribution>,
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
