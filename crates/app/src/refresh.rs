//! Follows a feature store: serves each new generation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sparrow_http::{Snapshot, SnapshotOptions};
use sparrow_live::Consumers;
use sparrow_model::{Catalog, MovieId, Movies};
use sparrow_store::{Error as StoreError, Generation, Location, Read, StoredMovie, UserList};
use sparrow_user_state::{LiveSource, StoreReader, StoreSource};
use tokio::sync::{OnceCell, oneshot};
use tokio::task::spawn_blocking;

use crate::Error;
use crate::config::Config;
use crate::error::Chain;
use crate::follow::Publisher;
use crate::load::{engine_of, load_histories, load_movies};
use crate::models::Registry;
use crate::stored::Stored;

/// The longest pause between two attempts to load an unreachable store at the start.
const RETRY: Duration = Duration::from_millis(500);

/// Builds a snapshot from the movies' metadata and the movies in the store and publishes it, and repeats this for each new
/// generation. Returns only if the data or the configuration cannot be served.
pub(crate) async fn run(
    config: Config,
    registry: Arc<Registry>,
    reader: Arc<StoreReader>,
    live: LiveSource,
    publisher: Arc<Publisher>,
    consumers: Arc<Consumers>,
    report: oneshot::Sender<Result<String, Error>>,
) {
    let mut report = Some(report);
    let movies = match prepare(config.clone(), Arc::clone(&registry)).await {
        Ok(movies) => Arc::new(movies),
        Err(error) => {
            // Fails if the caller no longer waits.
            drop(report.take().map(|report| report.send(Err(error))));
            return;
        }
    };
    let watching = Arc::clone(&registry).watch();
    let histories = OnceCell::new();
    let refresher =
        Refresher { config, registry, reader, live, publisher, consumers, movies, histories };
    let following = async {
        let loaded = refresher.first_load(&mut report).await;
        refresher.follow(loaded).await;
    };
    tokio::join!(watching, following);
}

/// Reads the movies and checks that an engine can be built with the configuration.
async fn prepare(config: Config, registry: Arc<Registry>) -> Result<Movies, Error> {
    let movies = spawn_blocking(move || {
        let movies = load_movies(&config)?;
        let engine = engine_of(Movies::clone(&movies), Stored::default(), &config, &registry)?;
        // The engine is needed for trials of models.
        registry.load();
        drop(engine);
        Ok(movies)
    });
    movies.await.map_err(|error| Error::Interrupted(Some(error)))?
}

struct Refresher {
    config: Config,
    registry: Arc<Registry>,
    reader: Arc<StoreReader>,
    live: LiveSource,
    publisher: Arc<Publisher>,
    consumers: Arc<Consumers>,
    movies: Arc<Movies>,
    /// The data set with its ratings, read when first needed; `None` inside if there are no ratings.
    histories: OnceCell<Option<Arc<Catalog>>>,
}

/// The data from which a snapshot was built.
#[derive(Clone, Copy)]
struct Loaded {
    generation: Generation,
    /// For a store without generations, see [`StoreReader::fingerprint`].
    fingerprint: Option<u64>,
}

/// Checking for changes by another program takes at most one part in this many of the time.
const SHARE: u32 = 20;
/// Changes by another program are loaded when they pause, or after this time.
const LONGEST_CHANGE: Duration = Duration::from_secs(30);

impl Refresher {
    /// Loads the store, and retries until it succeeds. After `store.start_wait`, the movies are served without ratings and
    /// vectors meanwhile, and the server is not ready.
    async fn first_load(
        &self,
        report: &mut Option<oneshot::Sender<Result<String, Error>>>,
    ) -> Loaded {
        let start = Instant::now();
        let wait = self.config.store.start_wait;
        let mut serves_movies_alone = false;
        loop {
            let left = wait.saturating_sub(start.elapsed());
            let attempt = async {
                match self.load().await {
                    Ok(loaded) => Some(loaded),
                    Err(error) => {
                        self.cannot_load(&error);
                        tokio::time::sleep(RETRY.min(self.config.store.refresh)).await;
                        None
                    }
                }
            };
            let outcome = if serves_movies_alone {
                attempt.await
            } else {
                tokio::time::timeout(left.max(Duration::from_millis(1)), attempt)
                    .await
                    .unwrap_or_default()
            };
            if let Some((loaded, summary)) = outcome {
                drop(report.take().map(|report| report.send(Ok(summary))));
                return loaded;
            }
            if !serves_movies_alone && start.elapsed() >= wait {
                serves_movies_alone = true;
                self.serve_movies_alone().await;
            }
        }
    }

    async fn serve_movies_alone(&self) {
        tracing::warn!(
            store = self.reader.address(),
            "serving the movies without ratings and vectors until the feature store can be loaded"
        );
        let (config, movies) = (self.config.clone(), Arc::clone(&self.movies));
        let registry = Arc::clone(&self.registry);
        let options = self.options(None, Vec::new(), UserList::default(), None);
        let snapshot = spawn_blocking(move || {
            let engine = engine_of(Movies::clone(&movies), Stored::default(), &config, &registry)?;
            Ok::<_, Error>(Snapshot::new(Arc::new(engine), options))
        });
        match snapshot.await {
            Ok(Ok(snapshot)) => self.publisher.publish(Arc::new(snapshot)),
            // `prepare` has built the same engine.
            outcome => tracing::error!(?outcome, "cannot serve the movies alone"),
        }
    }

    /// Checks for a new generation at intervals, and when a request has read one.
    async fn follow(&self, mut loaded: Loaded) {
        let pause = self.config.store.refresh;
        let mut changes = Changes::default();
        self.drop_included().await;
        loop {
            let noticed =
                tokio::time::timeout(pause, self.reader.other_than(loaded.generation)).await;
            // The reader and readiness report failures.
            let is_other = match self.reader.generation().await {
                Ok(generation) if generation != loaded.generation => true,
                Ok(Generation(0)) => self.has_changed(&loaded, &mut changes).await,
                Ok(_) => {
                    self.set_up_to_date();
                    false
                }
                Err(_) => false,
            };
            if is_other {
                match self.load().await {
                    Ok((now, summary)) => {
                        (loaded, changes) = (now, Changes::default());
                        tracing::info!("loaded a new state of the feature store: {summary}");
                        self.drop_included().await;
                    }
                    Err(error) => self.cannot_load(&error),
                }
            }
            if noticed.is_ok() {
                // Otherwise the next request would wake this again at once.
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Drops the live ratings that the generation in force contains. Applying them again has the same result: after a failure
    /// they remain until the next generation or start.
    async fn drop_included(&self) {
        let redis = matches!(self.config.store.url.0, Location::Redis(_));
        if redis && self.config.live.path.is_none() {
            // Pushes do it.
            return;
        }
        let drop = async {
            match self.reader.watermark().await?.value {
                Some(watermark) => Ok(self.live.store.drop_included(&watermark).await?),
                None => Ok::<_, Box<dyn std::error::Error + Send + Sync>>(0),
            }
        };
        match drop.await {
            Ok(0) => {}
            Ok(dropped) => {
                tracing::info!(dropped, "dropped the live ratings that the generation contains");
            }
            Err(error) => {
                tracing::warn!(%error, "cannot drop the live ratings that the generation contains");
            }
        }
    }

    /// Returns whether another program has changed the movies of a store without generations and has paused since.
    async fn has_changed(&self, loaded: &Loaded, changes: &mut Changes) -> bool {
        if changes.next_check.is_some_and(|next| Instant::now() < next) {
            return false;
        }
        let start = Instant::now();
        let Ok(now) = self.reader.fingerprint().await else { return false };
        changes.next_check = Some(Instant::now() + start.elapsed() * SHARE);
        if now == loaded.fingerprint {
            changes.last = None;
            self.set_up_to_date();
            return false;
        }
        let since = changes.last.map_or(start, |(since, _)| since);
        let paused = changes.last.is_some_and(|(_, last)| last == now);
        changes.last = Some((since, now));
        paused || since.elapsed() > LONGEST_CHANGE
    }

    fn set_up_to_date(&self) {
        self.reader.set_behind(None);
        self.reader.set_empty(false);
    }

    fn cannot_load(&self, error: &Error) {
        let text = Chain(error).to_string();
        if self.reader.trouble().as_ref() != Some(&text) {
            tracing::warn!("cannot load the feature store: {text}");
        }
        self.reader.set_behind(Some(text));
    }

    /// Reads the store, builds a snapshot from it and publishes it.
    async fn load(&self) -> Result<(Loaded, String), Error> {
        let start = Instant::now();
        // Read first, so that later writes change it.
        let fingerprint = self.reader.fingerprint().await?;
        let movies = self.reader.all_movies().await?;
        let generation = movies.generation;
        // A malformed value disables only its purpose: the list of users, the model emb.
        let skip_malformed = |error: StoreError| match error {
            StoreError::Malformed { key, what } => {
                self.reader.count_malformed(&key, &what);
                tracing::warn!(key, what, "a malformed value is not loaded");
                Ok(format!("{key} {what}"))
            }
            error => Err(error),
        };
        let users = match self.reader.user_list().await {
            Ok(users) => users,
            Err(error) => {
                skip_malformed(error)?;
                Read { generation, value: UserList::default() }
            }
        };
        let info = match self.reader.embedding_info().await {
            Ok(info) => Read { generation: info.generation, value: Ok(info.value) },
            Err(error) => Read { generation, value: Err(skip_malformed(error)?) },
        };
        if users.generation != generation || info.generation != generation {
            return Err(Error::StoreChanged(self.reader.address().to_owned()));
        }
        self.reader.set_empty(movies.value.is_empty());
        if movies.value.is_empty() {
            return Err(Error::StoreEmpty(self.reader.address().to_owned()));
        }
        for value in movies.value.iter().flat_map(|(_, movie)| &movie.malformed) {
            self.reader.count_malformed(&value.key, &value.what);
        }
        let histories = if users.value.total == 0 { self.histories().await } else { None };
        let read = start.elapsed();
        let (config, metadata) = (self.config.clone(), Arc::clone(&self.movies));
        let registry = Arc::clone(&self.registry);
        let total = match &histories {
            Some(histories) => histories.users().len(),
            None => users.value.total as usize,
        };
        let sample_movies = sample_movies(&movies.value);
        let options = self.options(Some(generation), sample_movies, users.value, histories);
        let built = spawn_blocking(move || {
            let stored = Stored { movies: movies.value, embedding_info: info.value };
            let engine = engine_of(Movies::clone(&metadata), stored, &config, &registry)?;
            let summary = summary(&engine, total, generation);
            let snapshot = Snapshot::new(Arc::new(engine), options);
            Ok::<_, Error>((snapshot, summary))
        });
        let (snapshot, summary) =
            built.await.map_err(|error| Error::Interrupted(Some(error)))??;
        self.publisher.publish(Arc::new(snapshot));
        self.reader.set_behind(None);
        tracing::info!(?read, took = ?start.elapsed(), "loaded the feature store");
        Ok((Loaded { generation, fingerprint }, summary))
    }

    /// The ratings of the data set, for a store without histories; read once.
    async fn histories(&self) -> Option<Arc<Catalog>> {
        let read = async || {
            let config = self.config.clone();
            match spawn_blocking(move || load_histories(&config)).await {
                Ok(Ok(catalog)) => catalog.map(Arc::new),
                Ok(Err(error)) => {
                    tracing::warn!(
                        "serving without the data set's rating histories: {}",
                        Chain(&error)
                    );
                    None
                }
                Err(_) => None,
            }
        };
        self.histories.get_or_init(read).await.clone()
    }

    fn options(
        &self,
        generation: Option<Generation>,
        sample_movies: Vec<MovieId>,
        users: UserList,
        histories: Option<Arc<Catalog>>,
    ) -> SnapshotOptions {
        let reader = Arc::clone(&self.reader);
        let store = Some(StoreSource { reader, generation, sample_movies, histories });
        SnapshotOptions {
            posters: self.config.data.posters.clone(),
            store,
            live: Some(self.live.clone()),
            users,
            consumers: Some(Arc::clone(&self.consumers)),
        }
    }
}

/// A few movies of the store, evenly distributed.
fn sample_movies(movies: &[(MovieId, StoredMovie)]) -> Vec<MovieId> {
    const ENOUGH: usize = 8;
    movies.iter().step_by(movies.len().div_ceil(ENOUGH).max(1)).map(|(id, _)| *id).collect()
}

/// Changes by another program that are not loaded yet.
#[derive(Default)]
struct Changes {
    /// The time of the first of them, and the last fingerprint.
    last: Option<(Instant, Option<u64>)>,
    next_check: Option<Instant>,
}

fn summary(engine: &sparrow_engine::Engine, users: usize, generation: Generation) -> String {
    let vectors = engine.embeddings().map_or(0, |embeddings| embeddings.items.len());
    let movies = engine.catalog().len();
    let default = crate::summary::default_model(engine);
    format!(
        "{movies} movies, {vectors} with vectors, {users} users, generation {generation}; {default}"
    )
}
