use std::time::{SystemTime, UNIX_EPOCH};

use sparrow_model::{MovieId, Stars, UserId};

use crate::{Durability, Exposure, Sequence};

/// The time of the clock in Unix seconds, the unit of [`Write::time`].
pub fn unix_time() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

/// One change of a user's live data.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The user. A write for an unknown user creates the user.
    pub user: UserId,
    /// The change.
    pub action: Action,
    /// Unix time in seconds.
    pub time: u32,
    /// For retries: of several writes with one key, only the first changes anything.
    pub idempotency: Option<Idempotency>,
    /// The time of the user's rating of this movie in the data set or generation. A rating or removal that is older is
    /// not applied.
    pub stored_time: Option<u32>,
    /// The visit in which it took place, for analyses.
    pub session: Option<Box<str>>,
    /// The answer that showed the movie, for analyses.
    pub recommendation: Option<Box<str>>,
}

impl Write {
    /// A write without optional parts.
    pub const fn new(user: UserId, action: Action, time: u32) -> Self {
        Self {
            user,
            action,
            time,
            idempotency: None,
            stored_time: None,
            session: None,
            recommendation: None,
        }
    }
}

/// What a write changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Rates a movie, or replaces its rating.
    Rate(MovieId, Stars),
    /// Removes the rating of a movie.
    Unrate(MovieId),
    /// Records an event about a movie.
    Event {
        /// The movie.
        movie: MovieId,
        /// The name of an [`EventType`](crate::EventType).
        kind: Box<str>,
        /// The amount, such as the share that was watched; 1 if the event has none.
        value: f32,
    },
    /// Logs that an answer of an experiment was shown. It changes nothing about the user.
    Expose(Box<Exposure>),
    /// Deletes the user and everything known about them. Later writes create the user again, without anything that the
    /// data set or generation contains.
    Forget,
}

impl Action {
    /// The movie that it concerns.
    pub const fn movie(&self) -> Option<MovieId> {
        match self {
            Self::Rate(movie, _) | Self::Unrate(movie) | Self::Event { movie, .. } => Some(*movie),
            Self::Expose(_) | Self::Forget => None,
        }
    }
}

/// Identifies a write for retries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Idempotency {
    /// Chosen by the client, unique among the writes of the user within 24 hours.
    pub key: Box<str>,
    /// A digest of the request. A write with the same key and another digest is
    /// [`Error::KeyReused`](crate::Error::KeyReused).
    pub digest: u64,
}

/// The result of a write that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The position in the log.
    pub sequence: Sequence,
    /// Whether the write is in force. A write that is older than the one in force is logged only.
    pub applied: bool,
    /// Whether an earlier write with the same key had been accepted, which this is the result of.
    pub repeated: bool,
    /// What the write survives.
    pub durability: Durability,
}

/// How much live data a user can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Live ratings and removals per user. A further one is [`Error::TooManyRatings`](crate::Error::TooManyRatings).
    pub ratings: usize,
    /// Pairs of movie and event type per user. The oldest are removed beyond that.
    pub events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ratings: 10_000, events: 1000 }
    }
}
