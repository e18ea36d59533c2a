//! Reading users and movies from a feature store on behalf of requests.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sparrow_model::{Catalog, MovieId, UserId};
use sparrow_store::{
    Error, FeatureStore, Generation, Kind, Read, StoredMovie, StoredUser, UserList,
};
use tokio::sync::Notify;

/// A feature store, and how it is doing: every read leaves word of whether it came through, and of
/// the generation that it gave.
///
/// One reader is shared by all the sites that a server publishes one after the other.
#[derive(Debug)]
pub struct StoreReader {
    store: Arc<dyn FeatureStore>,
    /// Whether `trouble` is more than empty; so that reads that succeed need not lock.
    troubled: AtomicBool,
    trouble: Mutex<Option<String>>,
    /// Why what is loaded is not what the store holds.
    behind: Mutex<Option<String>>,
    /// Whether the store was found to hold no movies.
    empty: AtomicBool,
    /// How many values could not be used, by kind in the order of [`Kind::ALL`], and when one was last logged.
    malformed: [AtomicU64; Kind::ALL.len()],
    warned: Mutex<Option<Instant>>,
    /// The generation of the last read.
    generation: AtomicU64,
    seen: Notify,
}

/// Between two log lines on values that cannot be used.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// A site's side of a store.
#[derive(Debug, Clone)]
pub struct FromStore {
    /// The store.
    pub reader: Arc<StoreReader>,
    /// The generation of the movies' figures and vectors that the site was built from; `None` for a
    /// site without them, which is one that is not ready.
    pub generation: Option<Generation>,
    /// Some movies of which the store has something: if it has nothing of any of them any more, it was emptied.
    pub witnesses: Vec<MovieId>,
    /// The users for lists.
    pub users: UserList,
    /// A data set whose rating histories are those of users of whom the store has none.
    pub histories: Option<Arc<Catalog>>,
}

impl FromStore {
    /// What the store knows of a user. If that is nothing, and the store has no generations that would show that it
    /// was emptied, this takes a second read, of movies that it had.
    pub(crate) async fn user(&self, id: UserId) -> Result<Read<StoredUser>, Error> {
        let read = self.reader.user(id).await?;
        let without = Generation(0);
        if read.value.is_empty()
            && (self.generation, read.generation) == (Some(without), without)
            && !self.reader.is_empty()
            && !self.witnesses.is_empty()
        {
            self.reader.look_for(&self.witnesses).await?;
        }
        Ok(read)
    }
}

impl StoreReader {
    /// Reads from this store.
    pub const fn new(store: Arc<dyn FeatureStore>) -> Self {
        Self {
            store,
            troubled: AtomicBool::new(false),
            trouble: Mutex::new(None),
            behind: Mutex::new(None),
            empty: AtomicBool::new(false),
            malformed: [const { AtomicU64::new(0) }; Kind::ALL.len()],
            warned: Mutex::new(None),
            generation: AtomicU64::new(0),
            seen: Notify::const_new(),
        }
    }

    /// Where the store is, without a password.
    pub fn address(&self) -> &str {
        self.store.address()
    }

    /// Why the store, or what it holds, is not to be had at the moment; `None` while all is well.
    pub fn trouble(&self) -> Option<String> {
        let which =
            if self.troubled.load(Ordering::Acquire) { &self.trouble } else { &self.behind };
        which.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says why what is loaded is not what the store holds, or that it is.
    pub fn set_behind(&self, why: Option<String>) {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Notes whether the store was found to hold no movies: what it does not know is then not unknown.
    pub fn set_empty(&self, empty: bool) {
        self.empty.store(empty, Ordering::Release);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.empty.load(Ordering::Acquire)
    }

    /// Counts a value that cannot be used, for readiness.
    pub fn count_malformed(&self, key: &str) {
        if let Some(kind) = Kind::of_key(key) {
            self.malformed[kind as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a value that cannot be used, and names one of them in the log now and then.
    pub fn left_out(&self, key: &str, what: &str) {
        self.count_malformed(key);
        let count = self.malformed().map(|(_, count)| count).sum::<u64>();
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|last| last.elapsed() >= BETWEEN_WARNINGS) {
            *warned = Some(Instant::now());
            tracing::warn!(key, what, count, "a value of the feature store cannot be used");
        }
    }

    /// How often values of a kind could not be used since the start, for kinds with such values.
    pub(crate) fn malformed(&self) -> impl Iterator<Item = (Kind, u64)> {
        let count = |kind: Kind| self.malformed[kind as usize].load(Ordering::Relaxed);
        Kind::ALL.into_iter().map(move |kind| (kind, count(kind))).filter(|&(_, count)| count > 0)
    }

    /// Waits until a read gives another generation than this one.
    pub async fn other_than(&self, known: Generation) {
        loop {
            let seen = self.seen.notified();
            if self.generation.load(Ordering::Acquire) != known.0 {
                return;
            }
            seen.await;
        }
    }

    /// The generation that reads give at the moment.
    pub async fn generation(&self) -> Result<Generation, Error> {
        let generation = self.heeded(self.store.generation()).await?;
        self.note(generation);
        Ok(generation)
    }

    /// Features and embeddings of all movies.
    pub async fn all_movies(&self) -> Result<Read<Vec<(MovieId, StoredMovie)>>, Error> {
        let read = self.heeded(self.store.all_movies()).await?;
        self.note(read.generation);
        Ok(read)
    }

    /// The users for lists.
    pub async fn user_list(&self) -> Result<Read<UserList>, Error> {
        self.heeded(self.store.user_list()).await
    }

    /// How the vectors were made and how they compare.
    pub async fn embedding_info(&self) -> Result<Read<Option<String>>, Error> {
        self.heeded(self.store.embedding_info()).await
    }

    /// A number that differs when another program has changed the movies; see
    /// [`FeatureStore::fingerprint`].
    pub async fn fingerprint(&self) -> Result<Option<u64>, Error> {
        self.heeded(self.store.fingerprint()).await
    }

    async fn user(&self, id: UserId) -> Result<Read<StoredUser>, Error> {
        let read = self.heeded(self.store.users(&[id])).await?;
        Ok(self.only(read))
    }

    /// Finds out whether the store has nothing of any of these movies, and notes it if so.
    async fn look_for(&self, movies: &[MovieId]) -> Result<(), Error> {
        let read = self.heeded(self.store.movies(movies)).await?;
        if read.value.iter().all(StoredMovie::is_empty) {
            self.set_empty(true);
        }
        Ok(())
    }

    /// What the store knows of a movie.
    pub(crate) async fn movie(&self, id: MovieId) -> Result<Read<StoredMovie>, Error> {
        let read = self.heeded(self.store.movies(&[id])).await?;
        Ok(self.only(read))
    }

    /// The one element of an answer to a question about one id.
    fn only<T: Default>(&self, read: Read<Vec<T>>) -> Read<T> {
        self.note(read.generation);
        let value = read.value.into_iter().next().unwrap_or_default();
        Read { generation: read.generation, value }
    }

    /// Leaves word of how a read ended. Logging is the business of who guards the store.
    async fn heeded<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let outcome = read.await;
        match &outcome {
            // It did answer, though with something that cannot be used.
            Ok(_) | Err(Error::Malformed { .. }) => {
                self.troubled.store(false, Ordering::Release);
            }
            Err(error) => {
                let text = error.to_string();
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                self.troubled.store(true, Ordering::Release);
            }
        }
        outcome
    }

    fn note(&self, generation: Generation) {
        if self.generation.swap(generation.0, Ordering::AcqRel) != generation.0 {
            self.seen.notify_waiters();
        }
    }
}
