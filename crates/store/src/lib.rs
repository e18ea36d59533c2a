//! The feature store: features, embeddings and rating histories of users, features and embeddings of
//! movies, by id.
//!
//! * [`FeatureStore`] is the contract of reading, [`Push`] that of writing a new generation.
//! * `MemoryStore` keeps everything in this process; with the feature `file`, `FileStore` in one
//!   file; with the feature `redis`, `RedisStore` in Redis or Redis Cluster, under the keys that
//!   `docs/redis.md` lists.
//! * `Guarded` puts a deadline and a circuit breaker around any of them.
//!
//! The store computes no features and does not rank. Hash fields are text, as they are in Redis:
//! what another program wrote there is handed on as it is.

#[cfg(any(feature = "file", feature = "redis"))]
mod codec;
#[cfg(feature = "file")]
mod file;
mod guarded;
mod location;
mod memory;
mod open;
mod options;
mod record;
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
use sparrow_model::{MovieId, UserId};

#[cfg(feature = "file")]
pub use file::FileStore;
pub use guarded::{Away, GuardOptions, Guarded, Status};
pub use location::{Location, RedisLocation};
pub use memory::MemoryStore;
pub use open::{connect, open};
pub use options::Options;
pub use record::{
    Entry, Fields, Kind, Malformed, MovieRatings, StoredMovie, StoredRating, StoredUser, UserList,
};
#[cfg(feature = "redis")]
pub use redis::RedisStore;
#[cfg(all(feature = "redis", any(test, feature = "fuzzing")))]
#[doc(hidden)]
pub use redis::fuzzing;

/// A set of data that was pushed as a whole. Later ones have greater numbers; 0 is a store that
/// nothing was pushed to under this scheme, such as one that another program fills.
///
/// The number is the second of the push, counted from 1970: so a store that lost its data and was
/// filled again does not repeat the number of something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl Generation {
    /// The one that is pushed after this one.
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

/// What was read, and the generation that all of it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Read<T> {
    /// The generation.
    pub generation: Generation,
    /// What it holds.
    pub value: T,
}

/// Why a store has no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be reached, or was given up on for now.
    #[error("the feature store {store} is unavailable: {what}")]
    Unavailable {
        /// The store, without a password.
        store: String,
        /// Why.
        what: String,
    },
    /// The answer did not come within the deadline.
    #[error("the feature store {store} did not answer in time")]
    TimedOut {
        /// The store, without a password.
        store: String,
    },
    /// The store was reached and refuses: a wrong password, a read-only replica, no memory left.
    #[error("the feature store {store} refuses: {what}")]
    Refused {
        /// The store, without a password.
        store: String,
        /// What it says.
        what: String,
    },
    /// What the store holds is not what it should be.
    #[error("{key} in the feature store is malformed: {what}")]
    Malformed {
        /// The key.
        key: String,
        /// What is wrong with it.
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

    fn push_over(store: &str) -> Self {
        Self::refused(store, "this push failed before and is over")
    }
}

/// Reads features by id.
///
/// The contract:
/// * Reads come in batches: the answer has one element for each id asked for, in that order. An id
///   that the store does not know has an empty element ([`StoredUser::is_empty`]); that is no error.
/// * A value that cannot be read costs no other one: it is listed in its element's `malformed`. Only
///   what belongs to no element is [`Error::Malformed`].
/// * All of one answer belongs to one [`Generation`]: while another is being pushed, a read gives the
///   old one or the new one, never parts of both.
/// * One call is one network round trip, however many ids and kinds it asks for; a second one only
///   in the moment in which the generation changes. [`all_movies`](Self::all_movies) takes more.
/// * Every call ends within the store's deadline, with [`Error::TimedOut`] if need be. The caller may
///   drop the future at any time; that leaves nothing behind.
/// * Nobody retries inside of a call. Counting and giving up for a while are `Guarded`'s.
#[async_trait]
pub trait FeatureStore: fmt::Debug + Send + Sync {
    /// Where the store is, for people, without a password.
    fn address(&self) -> &str;

    /// The generation that reads give at the moment.
    async fn generation(&self) -> Result<Generation, Error>;

    /// Features, embedding and ratings of users.
    async fn users(&self, ids: &[UserId]) -> Result<Read<Vec<StoredUser>>, Error>;

    /// Features, embedding and best ratings of movies.
    async fn movies(&self, ids: &[MovieId]) -> Result<Read<Vec<StoredMovie>>, Error>;

    /// Everything that there is about movies, in no particular order, each movie once.
    async fn all_movies(&self) -> Result<Read<Vec<(MovieId, StoredMovie)>>, Error>;

    /// The users for lists of users, most active first; empty where nobody has pushed one.
    async fn user_list(&self) -> Result<Read<UserList>, Error>;

    /// How the vectors were made and how they compare, as it was pushed
    /// ([`Entry::EmbeddingInfo`]); `None` if nobody has pushed it.
    async fn embedding_info(&self) -> Result<Read<Option<String>>, Error>;

    /// A number that differs when another program has changed features or vectors of movies without
    /// announcing a generation. `None` if a push is the only way to change the store, and while the
    /// generation is not 0. Cheap while nothing is written, otherwise as expensive as
    /// [`all_movies`](Self::all_movies).
    async fn fingerprint(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    /// How many keys there are that a push has written and that are not in place: of one that is under way, or
    /// that was killed; the next push puts those in order. Takes as many round trips as it needs.
    async fn staged(&self) -> Result<u64, Error> {
        Ok(0)
    }

    /// Starts to write a new generation. One push at a time: while another is under way, and for
    /// a bounded time after it was killed, this is refused.
    async fn push(&self) -> Result<Box<dyn Push>, Error>;
}

/// Writes a generation.
///
/// The contract:
/// * Nothing of it can be read before [`commit`](Self::commit), everything after; dropped before, or
///   failed at any point of [`put`](Self::put), it leaves the store as it was.
/// * Kinds of entries of which nothing was put stay as they are. Of the others the store holds
///   exactly what was put: what older generations had beyond that is gone.
/// * Of two entries for one key the later one counts.
/// * [`Kind::EmbeddingInfo`] describes the vectors of the same push: one that puts movies' vectors and no
///   description removes the older description.
/// * An entry that could not be read back, such as a vector with NaN, is [`Error::Malformed`].
/// * After an error the push is over. What it had written is gone, if the store could still be
///   reached; otherwise the next push removes it.
#[async_trait]
pub trait Push: Send {
    /// Takes some entries, at best by the thousand. Returns once they are written or on their way: the work in
    /// flight is bounded.
    async fn put(&mut self, entries: Vec<Entry>) -> Result<(), Error>;

    /// Makes everything that was put the store's new generation.
    async fn commit(self: Box<Self>) -> Result<Generation, Error>;

    /// Gives up what was put, and returns when the store is as it was, as far as it can be reached.
    /// Dropping does the same, but behind the caller's back: a process that ends may be faster.
    async fn abandon(self: Box<Self>) {}
}
