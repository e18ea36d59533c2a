//! Reads users and movies from a feature store, and reports how the store is doing.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sparrow_model::{MovieId, UserId};
use sparrow_store::{
    Error, FeatureStore, Generation, Kind, Malformed, OtherGeneration, Projection,
    ProjectionOutcome, Read, StoredMovie, StoredUser, UserList,
};
use tokio::sync::Notify;

/// A feature store, and how it is doing: every read records whether it succeeded, and its generation.
///
/// All snapshots that a server publishes one after the other share one reader.
#[derive(Debug)]
pub struct StoreReader {
    store: Arc<dyn FeatureStore>,
    /// See [`StoreReader::with_live_data`].
    pub(crate) reads_live_data: bool,
    /// Whether the last read failed; so that reads that succeed need not lock `trouble`.
    troubled: AtomicBool,
    trouble: Mutex<Option<String>>,
    /// Why the loaded data are not those of the store.
    behind: Mutex<Option<String>>,
    /// Whether the store was found to hold no movies.
    empty: AtomicBool,
    /// How many values could not be used, by kind in the order of [`Kind::ALL`], and when one was last logged.
    malformed: [AtomicU64; Kind::ALL.len()],
    warned: Mutex<Option<Instant>>,
    /// The generation of the last read.
    generation: AtomicU64,
    generation_changed: Notify,
}

/// The shortest time between two log lines about values that cannot be used.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

impl StoreReader {
    /// Reads from this store.
    pub const fn new(store: Arc<dyn FeatureStore>) -> Self {
        Self {
            store,
            reads_live_data: false,
            troubled: AtomicBool::new(false),
            trouble: Mutex::new(None),
            behind: Mutex::new(None),
            empty: AtomicBool::new(false),
            malformed: [const { AtomicU64::new(0) }; Kind::ALL.len()],
            warned: Mutex::new(None),
            generation: AtomicU64::new(0),
            generation_changed: Notify::const_new(),
        }
    }

    /// For a store that returns the live data of users with the rest ([`sparrow_store::Options::live`]): they are not read
    /// from the store for live data, which must be the same one.
    #[must_use]
    pub const fn with_live_data(mut self) -> Self {
        self.reads_live_data = true;
        self
    }

    /// Whether it reads the live data of users with the rest.
    pub const fn has_live_data(&self) -> bool {
        self.reads_live_data
    }

    /// The address of the store, without a password.
    pub fn address(&self) -> &str {
        self.store.address()
    }

    /// Why the store does not answer, or why the loaded data are not those of the store; `None` if neither is
    /// the case.
    pub fn trouble(&self) -> Option<String> {
        let which =
            if self.troubled.load(Ordering::Acquire) { &self.trouble } else { &self.behind };
        which.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets why the loaded data are not those of the store; `None` if they are.
    pub fn set_behind(&self, why: Option<String>) {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Sets whether the store was found to hold no movies. Users that are missing from an empty store are not
    /// unknown.
    pub fn set_empty(&self, empty: bool) {
        self.empty.store(empty, Ordering::Release);
    }

    /// Whether the store was found to hold no movies.
    pub(crate) fn is_empty(&self) -> bool {
        self.empty.load(Ordering::Acquire)
    }

    /// Counts a value that cannot be used. Logs at most one of them every ten seconds.
    pub fn count_malformed(&self, key: &str, what: &str) {
        if let Some(kind) = Kind::of_key(key) {
            self.malformed[kind as usize].fetch_add(1, Ordering::Relaxed);
        }
        let count = self.malformed().map(|(_, count)| count).sum::<u64>();
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
            *warned = Some(Instant::now());
            tracing::warn!(key, what, count, "a value of the feature store cannot be used");
        }
    }

    fn count_all_malformed(&self, values: &[Malformed]) {
        for value in values {
            self.count_malformed(&value.key, &value.what);
        }
    }

    /// The number of values that could not be used since the start, for each kind with such values.
    pub fn malformed(&self) -> impl Iterator<Item = (Kind, u64)> {
        let count = |kind: Kind| self.malformed[kind as usize].load(Ordering::Relaxed);
        Kind::ALL.into_iter().map(move |kind| (kind, count(kind))).filter(|&(_, count)| count > 0)
    }

    /// Waits until a read returns another generation than this one.
    pub async fn other_than(&self, known: Generation) {
        loop {
            let changed = self.generation_changed.notified();
            if self.generation.load(Ordering::Acquire) != known.0 {
                return;
            }
            changed.await;
        }
    }

    /// The current generation of the store.
    pub async fn generation(&self) -> Result<Generation, Error> {
        let generation = self.recorded(self.store.generation()).await?;
        self.record_generation(generation);
        Ok(generation)
    }

    /// Features and vectors of all movies.
    pub async fn all_movies(&self) -> Result<Read<Vec<(MovieId, StoredMovie)>>, Error> {
        let read = self.recorded(self.store.all_movies()).await?;
        self.record_generation(read.generation);
        Ok(read)
    }

    /// The users for lists.
    pub async fn user_list(&self) -> Result<Read<UserList>, Error> {
        self.recorded(self.store.user_list()).await
    }

    /// How the vectors were made and how they compare.
    pub async fn embedding_info(&self) -> Result<Read<Option<String>>, Error> {
        self.recorded(self.store.embedding_info()).await
    }

    /// A number that changes when another program changes the movies; see [`FeatureStore::fingerprint`].
    pub async fn fingerprint(&self) -> Result<Option<u64>, Error> {
        self.recorded(self.store.fingerprint()).await
    }

    /// Writes what users become after live writes; see [`FeatureStore::project`]. How that ends says nothing about reads.
    pub async fn project(
        &self,
        generation: Generation,
        users: &[Projection],
    ) -> Result<Result<ProjectionOutcome, OtherGeneration>, Error> {
        self.store.project(generation, users).await
    }

    /// A user as stored; empty if the store has none with this id.
    pub(crate) async fn user(&self, id: UserId) -> Result<Read<StoredUser>, Error> {
        let read = self.recorded(self.store.users(&[id])).await?;
        let read = self.single(read);
        self.count_all_malformed(&read.value.malformed);
        Ok(read)
    }

    /// Reads these movies, and records the store as empty if it has none of them.
    pub(crate) async fn check_for_any(&self, movies: &[MovieId]) -> Result<(), Error> {
        let read = self.recorded(self.store.movies(movies)).await?;
        if read.value.iter().all(StoredMovie::is_empty) {
            self.set_empty(true);
        }
        Ok(())
    }

    /// A movie as stored; empty if the store has none with this id.
    pub async fn movie(&self, id: MovieId) -> Result<Read<StoredMovie>, Error> {
        let read = self.recorded(self.store.movies(&[id])).await?;
        let read = self.single(read);
        self.count_all_malformed(&read.value.malformed);
        Ok(read)
    }

    /// The only element of the answer for one id.
    fn single<T: Default>(&self, read: Read<Vec<T>>) -> Read<T> {
        self.record_generation(read.generation);
        let value = read.value.into_iter().next().unwrap_or_default();
        Read { generation: read.generation, value }
    }

    /// Records how a read ended. The store's guard logs it.
    async fn recorded<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let outcome = read.await;
        match &outcome {
            // The store did answer, though with a value that cannot be used.
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

    fn record_generation(&self, generation: Generation) {
        if self.generation.swap(generation.0, Ordering::AcqRel) != generation.0 {
            self.generation_changed.notify_waiters();
        }
    }
}
