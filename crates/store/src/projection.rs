use sparrow_live::Sequence;
use sparrow_model::UserId;

use crate::{Error, Fields, Generation};

/// What a user's values in the feature store become after live writes, for programs that read only these.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// The user.
    pub user: UserId,
    /// The newest write that it includes. A projection of an older one never replaces it.
    pub sequence: Sequence,
    /// The features.
    pub features: Projected<Fields>,
    /// The vector.
    pub embedding: Projected<Vec<f32>>,
    /// Whether the generation has no ratings of the user. An empty history is then stored beside projected features, so that
    /// readers know that live ratings are all ratings; it is removed together with them.
    pub is_new: bool,
}

/// What one value becomes; `None` for no value.
#[derive(Debug, Clone, PartialEq)]
pub enum Projected<T> {
    /// This value. What the generation has is kept for [`Projected::Restore`].
    Set(Option<T>),
    /// This value, as the user was deleted: what the generation has is removed for good.
    Replace(Option<T>),
    /// What the generation has, as live writes change nothing about it.
    Restore,
    /// What it is, from now on without live data: the generation contains them.
    Settle,
}

/// What became of projections.
#[derive(Debug, Clone, Default)]
pub struct ProjectionOutcome {
    /// The number of users whose values are those of the projection now.
    pub written: usize,
    /// The number of users of whom the store had an equal or newer projection.
    pub superseded: usize,
    /// The users whose values could not be written, and why.
    pub failed: Vec<(UserId, Error)>,
}

/// Projections of a generation that the store does not have any more, or has announced and not completed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherGeneration(pub Generation);
