//! Keeps what is served in step with a feature store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sparrow_http::{FromStore, Server, Site, SiteOptions, StoreReader};
use sparrow_model::Movies;
use sparrow_store::{Generation, UserList};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::config::Config;
use crate::load::{engine_of, load_movies};
use crate::models::Registry;

/// Longest pause between two attempts at a store that is not there at the start.
const RETRY: Duration = Duration::from_millis(500);

/// Builds a site from the movies' metadata and what the store says of the movies, publishes it, and
/// builds another one beside it whenever the store holds another generation. Never ends by itself,
/// except on data or a configuration that cannot be served.
pub(crate) async fn keep(
    config: Config,
    registry: Arc<Registry>,
    reader: Arc<StoreReader>,
    server: Arc<Server>,
    tell: oneshot::Sender<Result<String>>,
) {
    let mut tell = Some(tell);
    let movies = match prepare(config.clone(), Arc::clone(&registry)).await {
        Ok(movies) => Arc::new(movies),
        Err(error) => {
            // Nobody waits any more where this fails.
            drop(tell.take().map(|tell| tell.send(Err(error))));
            return;
        }
    };
    let watching = Arc::clone(&registry).watch();
    let refresher = Refresher { config, registry, reader, server, movies };
    let following = async {
        let loaded = refresher.first_load(&mut tell).await;
        refresher.follow(loaded).await;
    };
    tokio::join!(watching, following);
}

/// Reads the movies, and tries whether the configuration gives an engine.
async fn prepare(config: Config, registry: Arc<Registry>) -> Result<Movies> {
    let movies = spawn_blocking(move || {
        let movies = load_movies(&config)?;
        let engine = engine_of(Movies::clone(&movies), Vec::new(), &config, &registry)?;
        // While it is there to try them with.
        registry.load();
        drop(engine);
        anyhow::Ok(movies)
    });
    movies.await.context("loading was cut off")?
}

struct Refresher {
    config: Config,
    registry: Arc<Registry>,
    reader: Arc<StoreReader>,
    server: Arc<Server>,
    movies: Arc<Movies>,
}

impl Refresher {
    /// Tries until the store has given what there is. After the time that the start waits, the movies
    /// alone are served meanwhile, and the server is not ready.
    async fn first_load(&self, tell: &mut Option<oneshot::Sender<Result<String>>>) -> Generation {
        let start = Instant::now();
        let wait = self.config.store.start_wait;
        let mut bare = false;
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
            let outcome = if bare {
                attempt.await
            } else {
                tokio::time::timeout(left.max(Duration::from_millis(1)), attempt)
                    .await
                    .unwrap_or_default()
            };
            if let Some((loaded, summary)) = outcome {
                drop(tell.take().map(|tell| tell.send(Ok(summary))));
                return loaded;
            }
            if !bare && start.elapsed() >= wait {
                bare = true;
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
        let from_store = self.users_of(None, UserList::default());
        let site = spawn_blocking(move || {
            let engine = engine_of(Movies::clone(&movies), Vec::new(), &config, &registry)?;
            anyhow::Ok(Site::new(Arc::new(engine), options(config.data.posters, from_store)))
        });
        match site.await {
            Ok(Ok(site)) => self.server.publish(Arc::new(site)),
            // It could be built before.
            outcome => tracing::error!(?outcome, "cannot serve the movies alone"),
        }
    }

    /// Looks for another generation at intervals, and when a request has met one.
    async fn follow(&self, mut loaded: Generation) {
        let pause = self.config.store.refresh;
        loop {
            let met = tokio::time::timeout(pause, self.reader.other_than(loaded)).await;
            // A failure is told by the reader, and readiness tells it on.
            match self.reader.generation().await {
                Ok(generation) if generation == loaded => self.reader.set_behind(None),
                Ok(_) => match self.load().await {
                    Ok((now, summary)) => {
                        loaded = now;
                        tracing::info!("loaded another generation: {summary}");
                    }
                    Err(error) => self.cannot_load(&error),
                },
                Err(_) => {}
            }
            if met.is_ok() {
                // What a request has met would be met again at once.
                tokio::time::sleep(pause).await;
            }
        }
    }

    fn cannot_load(&self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        if self.reader.trouble().as_ref() != Some(&text) {
            tracing::warn!("cannot load the feature store: {text}");
        }
        self.reader.set_behind(Some(text));
    }

    /// Reads the store, builds a site from it and publishes it.
    async fn load(&self) -> Result<(Generation, String)> {
        let start = Instant::now();
        let movies = self.reader.all_movies().await?;
        let users = self.reader.user_list().await?;
        let generation = movies.generation;
        if users.generation != generation {
            bail!("the feature store {} changed while it was read", self.reader.address());
        }
        if movies.value.is_empty() {
            bail!("the feature store {} holds no movies", self.reader.address());
        }
        let read = start.elapsed();
        let (config, metadata) = (self.config.clone(), Arc::clone(&self.movies));
        let registry = Arc::clone(&self.registry);
        let total = users.value.total;
        let from_store = self.users_of(Some(generation), users.value);
        let built = spawn_blocking(move || {
            let engine = engine_of(Movies::clone(&metadata), movies.value, &config, &registry)?;
            let summary = summary(&engine, total, generation);
            let site = Site::new(Arc::new(engine), options(config.data.posters, from_store));
            anyhow::Ok((site, summary))
        });
        let (site, summary) = built.await.context("building was cut off")??;
        self.server.publish(Arc::new(site));
        self.reader.set_behind(None);
        tracing::info!(?read, took = ?start.elapsed(), "loaded the feature store");
        Ok((generation, summary))
    }

    fn users_of(&self, generation: Option<Generation>, users: UserList) -> FromStore {
        FromStore { reader: Arc::clone(&self.reader), generation, users }
    }
}

fn options(posters: Option<PathBuf>, store: FromStore) -> SiteOptions {
    SiteOptions { posters, store: Some(store) }
}

fn summary(engine: &sparrow_engine::Engine, users: u32, generation: Generation) -> String {
    let vectors = engine.embeddings().map_or(0, |embeddings| embeddings.items.len());
    let movies = engine.catalog().len();
    format!("{movies} movies, {vectors} with vectors, {users} users, generation {generation}")
}
