use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sparrow_model::MovieIndex;

/// Why an answer is not what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No user has this id, so there is nothing personal to rank by.
    UnknownUser,
    /// The user is known, the model has no vector for them, or only a zero vector.
    NoUserEmbedding,
    /// The movie has no vector, or a zero vector, so no movie is near it.
    NoMovieEmbedding,
    /// The model is not loaded.
    ModelUnavailable,
    /// The model was made for other users.
    UserNotInModel,
    /// The model was asked and failed.
    ModelFailed,
    /// The model was asked and did not answer in time.
    ModelTimedOut,
    /// The store of the users' features cannot be reached.
    StoreUnavailable,
    /// The store has newer vectors than those that are loaded: theirs do not compare.
    StoreUpdating,
    /// What the store holds of the user cannot be used.
    StoreFailed,
    /// The user's rating history is not known, so that what the user has seen cannot be excluded.
    NoHistory,
    /// A recall strategy failed; the candidates are those of the others.
    RecallFailed,
}

impl Reason {
    /// Whether the user's state was not to be had, so that the answer lacks what it says of the user.
    pub(crate) const fn is_of_store(self) -> bool {
        matches!(self, Self::StoreUnavailable | Self::StoreUpdating | Self::StoreFailed)
    }

    /// A word for programs, such as `unknown-user`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown-user",
            Self::NoUserEmbedding => "no-user-embedding",
            Self::NoMovieEmbedding => "no-movie-embedding",
            Self::ModelUnavailable => "model-unavailable",
            Self::UserNotInModel => "user-not-in-model",
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
pub struct Recommendations {
    /// The model that was asked for, by its own name where an alias was used.
    pub requested: Arc<str>,
    /// The model that ordered the items, or could have if there are none; [`NO_MODEL`](crate::NO_MODEL) if
    /// neither the one asked for nor any of its fallbacks could.
    pub model: Arc<str>,
    /// Whether another model than the one asked for ordered the items, a recall strategy failed, or
    /// the user's state was not to be had. Not set by [`Reason::NoHistory`]: the model that was asked for
    /// ranked, and a store may be without rating histories on purpose.
    pub degraded: bool,
    /// Why the answer is degraded, or not personal ([`Reason::UnknownUser`], also where a model
    /// that is the same for everybody was asked for), or may have seen movies ([`Reason::NoHistory`]).
    pub reason: Option<Reason>,
    /// Best first; at most as many as asked for, each movie once.
    pub items: Vec<Item>,
    /// How many candidates were ranked.
    pub candidates: usize,
    /// What the stages took.
    pub timings: Timings,
}

/// A recommended movie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item {
    /// The movie.
    pub movie: MovieIndex,
    /// The ranker's score; `None` where the model does not know the movie. Scores of different
    /// models do not compare.
    pub score: Option<f32>,
    /// Where the model does not know the movie: the one that ordered it among such movies, as a place
    /// in [`Engine::models`](crate::Engine::models). Without one, the number of ratings did.
    pub ordered_by: Option<usize>,
    /// The strategies that found it.
    pub recalled_by: StrategySet,
}

/// A set of recall strategies; [`Engine::strategies`](crate::Engine::strategies) has their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StrategySet(pub(crate) u16);

impl StrategySet {
    /// Whether any strategy found the movie.
    pub(crate) const fn any(self) -> bool {
        self.0 != 0
    }

    /// Whether the strategy at this position of the engine's list found the movie.
    pub const fn contains(self, strategy: usize) -> bool {
        strategy < 16 && self.0 >> strategy & 1 == 1
    }
}

/// How long the stages of an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// Finding and merging candidates.
    pub recall: Duration,
    /// Scoring them and selecting the best.
    pub rank: Duration,
    /// Everything inside the engine.
    pub total: Duration,
}

/// The answer to "similar movies".
#[derive(Debug, Clone)]
pub struct Similar {
    /// The model that was asked for.
    pub requested: Arc<str>,
    /// The model that really answered.
    pub model: Arc<str>,
    /// Why the answer is degraded; `None` where it is what was asked for.
    pub reason: Option<Reason>,
    /// Most similar first, without the movie itself.
    pub items: Vec<SimilarItem>,
}

/// A movie that is similar to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimilarItem {
    /// The movie.
    pub movie: MovieIndex,
    /// How similar: by cosine for `emb`, from 0 to 1 for `genre`.
    pub score: f32,
}
