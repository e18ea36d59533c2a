//! The feature store: features, embeddings and rating histories by user id; features and embeddings
//! by movie id.
//!
//! * [`FeatureStore`] is the contract for reads, [`Push`] the contract for writing a generation.
//! * `MemoryStore` stores everything in this process; `FileStore` (feature `file`) in one file;
//!   `RedisStore` (feature `redis`) in Redis or Redis Cluster, under the keys listed in
//!   `docs/redis.md`.
//! * `Guarded` adds a deadline and a circuit breaker to any of them.
//!
//! The store computes no features and does not rank. Hash fields are text, as in Redis, and are
//! returned unchanged.

#[cfg(any(feature = "file", feature = "redis"))]
mod codec;
mod entries;
#[cfg(feature = "file")]
mod file;
mod guarded;
mod guarded_live;
#[cfg(any(feature = "file", feature = "redis"))]
mod live;
mod location;
mod memory;
mod open;
mod options;
mod projection;

#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "testsuite")]
pub mod testsuite;

// The name by which the module's code refers to this crate, as tests elsewhere do.
#[cfg(feature = "testsuite")]
extern crate self as sparrow_store;

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use sparrow_live::Watermark;
use sparrow_model::{MovieId, UserId};

pub use entries::{
    Entry, Fields, Kind, Malformed, MovieRatings, StoredMovie, StoredRating, StoredUser, UserList,
};
#[cfg(feature = "file")]
pub use file::FileStore;
pub use guarded::{GuardOptions, Guarded, Outage, Status};
pub use guarded_live::GuardedLive;
#[cfg(feature = "file")]
pub use live::FileLive;
pub use location::{Location, RedisLocation};
pub use memory::MemoryStore;
pub use open::{connect, live_path, open, open_live};
pub use options::Options;
pub use projection::{OtherGeneration, Projected, Projection, ProjectionOutcome};
#[cfg(all(feature = "redis", any(test, feature = "fuzzing")))]
#[doc(hidden)]
pub use redis::fuzzing;
#[cfg(feature = "redis")]
pub use redis::{RedisLive, RedisStore};
pub use sparrow_guard::{Circuit, Retry};

/// A data set that was pushed as a whole. Later generations have greater numbers. 0 means that no
/// push with generations has taken place, for example if another program fills the store.
///
/// The number is the time of the push in seconds since 1970. So a store that lost its data and was
/// filled again does not repeat an earlier number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl Generation {
    /// The number of the next push.
    #[must_use]
    pub fn next(self) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self(now.max(self.0.saturating_add(1)))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A value and the generation that all of it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Read<T> {
    /// The generation.
    pub generation: Generation,
    /// The value.
    pub value: T,
}

/// Why a read or a push failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be reached, or the circuit breaker is open.
    #[error("the feature store {store} is unavailable: {what}")]
    Unavailable {
        /// The store, without a password.
        store: String,
        /// The reason.
        what: String,
    },
    /// The deadline was exceeded.
    #[error("the feature store {store} did not answer in time")]
    TimedOut {
        /// The store, without a password.
        store: String,
    },
    /// The store rejected the command: wrong password, read-only replica, out of memory.
    #[error("the feature store {store} rejected the request: {what}")]
    Refused {
        /// The store, without a password.
        store: String,
        /// The reason.
        what: String,
    },
    /// A stored value is malformed.
    #[error("{key} in the feature store is malformed: {what}")]
    Malformed {
        /// The key.
        key: String,
        /// The fault.
        what: String,
    },
    /// The address or an option of a store is wrong.
    #[error("{0}")]
    Configuration(String),
}

impl Error {
    fn refused(store: &str, what: impl Into<String>) -> Self {
        Self::Refused { store: store.to_owned(), what: what.into() }
    }

    fn push_failed(store: &str) -> Self {
        Self::refused(store, "this push has already failed")
    }
}

/// Reads features by id.
///
/// The contract:
/// * Reads are batched: the result has one element per requested id, in that order. An id that is
///   not in the store has an empty element ([`StoredUser::is_empty`]), which is not an error.
/// * A malformed value does not affect others: it is listed in `malformed` of its element.
///   [`Error::Malformed`] is returned only for values that belong to no element.
/// * All values of one result belong to one [`Generation`]. During a push, a read returns the old
///   or the new generation, never a mix.
/// * A call takes one network round trip, for any number of ids and kinds, and a second one only if
///   the generation changes meanwhile. [`all_movies`](Self::all_movies) takes more.
/// * A call ends within the store's deadline, with [`Error::TimedOut`] if that is exceeded. The
///   future may be dropped at any time.
/// * Calls are not retried. Counters, the circuit breaker and retries are in `Guarded`.
#[async_trait]
pub trait FeatureStore: fmt::Debug + Send + Sync {
    /// The address of the store for messages, without a password.
    fn address(&self) -> &str;

    /// The current generation.
    async fn generation(&self) -> Result<Generation, Error>;

    /// Features, embedding and ratings of users.
    async fn users(&self, ids: &[UserId]) -> Result<Read<Vec<StoredUser>>, Error>;

    /// Features, embedding and best ratings of movies.
    async fn movies(&self, ids: &[MovieId]) -> Result<Read<Vec<StoredMovie>>, Error>;

    /// All movies in the store, each once, in no particular order.
    async fn all_movies(&self) -> Result<Read<Vec<(MovieId, StoredMovie)>>, Error>;

    /// The users for lists of users, most active first; empty if none was pushed.
    async fn user_list(&self) -> Result<Read<UserList>, Error>;

    /// The pushed description of how the vectors were made and how they compare
    /// ([`Entry::EmbeddingInfo`]); `None` if none was pushed.
    async fn embedding_info(&self) -> Result<Read<Option<String>>, Error>;

    /// Which live data the users' ratings contain ([`Entry::Watermark`]); `None` if no push has stated it. It remains in
    /// force if a later push does not state it.
    async fn watermark(&self) -> Result<Read<Option<Watermark>>, Error>;

    /// A number that changes if another program changes features or vectors of movies without
    /// announcing a generation. `None` if only a push can change the store, or if the generation is
    /// not 0. Cheap while nothing is written; otherwise it costs as much as
    /// [`all_movies`](Self::all_movies).
    async fn fingerprint(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    /// The number of staged keys, of a push in progress or of one that was killed. The next push
    /// cleans them up. Takes several round trips.
    async fn staged(&self) -> Result<u64, Error> {
        Ok(0)
    }

    /// Rewrites values of users after live writes, for programs that read these and not the live data. A projection that is
    /// not newer than the last one of the same generation changes nothing. The error inside is that the store has another
    /// generation, or has not completed it: nothing was written. A store that only Sparrow reads writes nothing.
    async fn project(
        &self,
        generation: Generation,
        users: &[Projection],
    ) -> Result<Result<ProjectionOutcome, OtherGeneration>, Error> {
        let _ = (generation, users);
        Ok(Ok(ProjectionOutcome::default()))
    }

    /// Starts to write a new generation. Refused while another push is in progress, and for a
    /// bounded time after one was killed.
    async fn push(&self) -> Result<Box<dyn Push>, Error>;
}

/// Writes a generation.
///
/// The contract:
/// * Nothing is readable before [`commit`](Self::commit), everything is afterwards. If the push is
///   dropped, or [`put`](Self::put) fails, the store remains unchanged.
/// * A kind without any entry in this push remains unchanged. For every other kind, the store
///   afterwards contains exactly the entries of this push.
/// * If two entries have the same key, the later one counts.
/// * [`Kind::EmbeddingInfo`] describes the vectors of the same push: a push of movie vectors
///   without a description removes the old description.
/// * [`Kind::Watermark`] states which live data the users' ratings contain. It must be put before the entries of users.
///   One behind that of the generation in force is [`Error::Refused`]. A store that contains live data too drops the
///   ratings up to the watermark at the end of [`commit`](Self::commit), also if this push has none and an earlier one
///   was killed, and it stores nothing about users whose deletion the watermark of this push does not contain.
/// * An entry that could not be read back, such as a vector with NaN, is [`Error::Malformed`].
/// * After an error the push cannot continue. Its staged entries are removed, by the next push if
///   the store cannot be reached.
#[async_trait]
pub trait Push: Send {
    /// Writes entries, preferably thousands per call. Returns when they are written or queued; the
    /// queue is bounded.
    async fn put(&mut self, entries: Vec<Entry>) -> Result<(), Error>;

    /// Makes the entries the new generation of the store.
    async fn commit(self: Box<Self>) -> Result<Generation, Error>;

    /// Discards the entries, and returns when the store is unchanged again, if it can be reached.
    /// Dropping does the same in the background, which a process that exits may not complete.
    async fn abandon(self: Box<Self>) {}
}
