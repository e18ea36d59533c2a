//! The contract of stores for live data.

use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;
use sparrow_metrics::Health;
use sparrow_model::UserId;

use crate::follow::{changes_by_log, users_by_log};
use crate::{Accepted, Action, Change, LiveUser, Sequence, Watermark, Write};

/// How long stores remember idempotency keys.
pub const KEY_LIFETIME: Duration = Duration::from_hours(24);

/// The greatest user id of data sets. The first user that a store creates has the next one.
pub const LAST_ID_OF_DATA_SETS: u32 = 1_000_000_000;

/// Accepts writes, and returns the live data of users.
///
/// The contract:
/// * A user belongs to a partition, and all writes of a partition have an order, [`Sequence`].
/// * After [`write`](Self::write) returned, every read through any handle of the same store reflects the write.
/// * A write changes everything or nothing. After an error other than [`Error::KeyReused`] and
///   [`Error::TooManyRatings`], it may have been accepted nevertheless; a retry with the same
///   [`Idempotency`](crate::Idempotency) is safe.
/// * Calls end within the store's deadline and are not retried. The future may be dropped at any time.
#[async_trait]
pub trait LiveStore: Debug + Send + Sync {
    /// The address of the store for messages, without a password.
    fn address(&self) -> &str;

    /// The durability that accepted writes have at least. A write may reach more: [`Accepted::durability`].
    fn durability(&self) -> Durability;

    /// The calls so far and the state of the circuit breaker, for stores that have one.
    fn health(&self) -> Option<Health<'_>> {
        None
    }

    /// Accepts writes. Returns one result for each, in that order: writes of different partitions fail independently.
    async fn write(&self, writes: &[Write]) -> Vec<Result<Accepted, Error>>;

    /// The live data of users: one element per requested id, in that order, empty for users without any.
    async fn users(&self, ids: &[UserId]) -> Result<Vec<LiveUser>, Error>;

    /// A user id that was never returned before, above 1,000,000,000. Ids count up. Calls with one `key` return one id for
    /// [`KEY_LIFETIME`], so that a retry is safe. Keys of all callers are one namespace, apart from those of writes.
    async fn create_user(&self, key: Option<&str>) -> Result<CreatedUser, Error>;

    /// The number of partitions.
    fn partitions(&self) -> u16;

    /// The accepted writes of a partition after a position, oldest first, at most `limit`.
    async fn log(
        &self,
        partition: u16,
        after: Sequence,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error>;

    /// A position for each partition from which [`changes`](Self::changes) returns all writes that are accepted after this
    /// call, and possibly earlier ones.
    async fn positions(&self) -> Result<Vec<Sequence>, Error> {
        Ok(vec![Sequence::default(); usize::from(self.partitions())])
    }

    /// The users of the writes after these positions, one for each partition, and moves the positions behind them.
    /// Exposures are left out. The
    /// writes of a partition come in their order, not all of them need to be returned at once. Waits for at most `wait` until
    /// there are any; a store may return without any earlier, so callers pause.
    async fn changes(&self, after: &mut [Sequence], wait: Duration) -> Result<Vec<Change>, Error> {
        let _ = wait;
        changes_by_log(self, after).await
    }

    /// The users with live data, each once, in no order. Users who are written meanwhile may be missing. Takes time in
    /// proportion to their number.
    async fn all_users(&self) -> Result<Vec<UserId>, Error> {
        users_by_log(self).await
    }

    /// Removes ratings and removals up to a watermark from the live data of users, since a generation with this watermark is
    /// in force, and returns their number. [`LiveUser::drop_included`] states what remains. The log does not change.
    ///
    /// It takes time in proportion to the number of users, in steps that change one user or few, and can be repeated after a
    /// failure. Nothing is removed for a watermark of other live data: one with another number of partitions, or a
    /// partition whose log does not contain the write at the watermark.
    async fn drop_included(&self, watermark: &Watermark) -> Result<u64, Error>;

    /// Removes the writes up to a watermark from the log, and returns their number. Only partitions of which
    /// [`drop_included`](Self::drop_included) would remove ratings are trimmed.
    async fn trim(&self, watermark: &Watermark) -> Result<u64, Error>;

    /// Up to where the log was trimmed.
    async fn trimmed(&self) -> Result<Watermark, Error>;
}

/// An accepted write in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The position.
    pub sequence: Sequence,
    /// The write. [`Write::stored_time`] is not recorded.
    pub write: Write,
    /// Whether it was in force when it was accepted.
    pub applied: bool,
}

impl Recorded {
    /// The change of the user's live data; `None` for exposures, which change nothing.
    pub const fn change(&self) -> Option<Change> {
        match self.write.action {
            Action::Expose(_) => None,
            _ => Some(Change { user: self.write.user, sequence: self.sequence }),
        }
    }
}

/// A new user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedUser {
    /// The id.
    pub id: UserId,
    /// What the assignment survives: an id that is lost may be returned again.
    pub durability: Durability,
}

/// What an acknowledged write survives, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Durability {
    /// The database does not report it.
    Unknown,
    /// Nothing: it is lost when the process ends.
    Memory,
    /// A crash of the process. Up to a second of writes can be lost if the database or the machine crashes.
    EverySecond,
    /// A crash of the machine: it is on the disk.
    Fsync,
    /// The loss of the machine, as this number of replicas have it.
    Replicas(u32),
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::EverySecond => f.write_str("everysec"),
            Self::Fsync => f.write_str("fsync"),
            Self::Replicas(count) => write!(f, "replicas:{count}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Why a call of a store for live data failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be reached, rejected the command, or the circuit breaker is open.
    #[error("the live data in {store} are unavailable: {what}")]
    Unavailable {
        /// The store, without a password.
        store: String,
        /// The reason.
        what: String,
    },
    /// The deadline was exceeded.
    #[error("the live data in {store} did not answer in time")]
    TimedOut {
        /// The store, without a password.
        store: String,
    },
    /// The idempotency key was used for another write.
    #[error("the idempotency key {key:?} was used for another write")]
    KeyReused {
        /// The key.
        key: String,
    },
    /// The user has the greatest number of live ratings.
    #[error("user {user} has {limit} live ratings, which is the limit")]
    TooManyRatings {
        /// The user.
        user: UserId,
        /// [`Limits::ratings`](crate::Limits::ratings).
        limit: usize,
    },
    /// A stored value is malformed.
    #[error("{key} is malformed: {what}")]
    Malformed {
        /// The key.
        key: String,
        /// The fault.
        what: String,
    },
}
