//! The ranking models that are configured: what is loaded of them, apart from any catalogue.
//!
//! A [`Registry`] outlives the engines, of which there is a new one for every generation of a feature
//! store. It gives each engine its models, and keeps those up to date: model folders are watched, and
//! model servers looked after.

mod content;
mod folder;

pub(crate) use content::{Vectors, read_vectors};

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use sparrow_engine::{Model, Parts, Strategy};
use sparrow_model::{Catalog, MovieId, MovieIndex};
use sparrow_neural::EmbeddingMetadata;
use sparrow_rank::{Counters, PopularityRanker, Ranker};
use sparrow_store::Fields;
use sparrow_tf_serving as tf;
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};

use crate::config::{Config, Similarity, Source};
use content::Format;
use folder::Folder;

/// For so many looks a version that cannot be loaded must have been as it is before that is reported.
const LOOKS: u32 = 3;

/// The configured models.
pub(crate) struct Registry {
    models: Vec<Configured>,
    /// Time between two looks at a model folder.
    watch: Duration,
    /// Candidates asked of recall by the first model of item–item weights.
    by_ease: usize,
    /// Held while folders are looked at.
    looking: Mutex<()>,
    /// Notified when there is a catalogue to try models with.
    joined: Notify,
}

struct Configured {
    name: Arc<str>,
    fallback: Option<Arc<str>>,
    counters: Arc<Counters>,
    origin: Origin,
}

/// Where a model's ranker comes from.
enum Origin {
    /// The engine's own vectors.
    DataVectors,
    Popularity,
    Folder(Arc<Folder>),
    /// A model folder that is nowhere.
    NoFolder,
    Server(Arc<tf::ServedModel>),
}

/// The features of movies, for models that take them.
pub(crate) enum MovieFeatures {
    /// To be computed from the catalogue's ratings.
    OfCatalog,
    /// As a feature store has them.
    Stored(HashMap<MovieId, Fields>),
}

impl Registry {
    /// The models of a configuration. Loads nothing and asks nobody yet.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let found = config.find_models().map_err(anyhow::Error::msg)?;
        for (name, why) in &found.others {
            if !config.models.has_table(name) {
                tracing::warn!(folder = &**name, "a folder beside the models is not served: {why}");
            }
        }
        let mut models = Vec::new();
        for model in config.models.beside(&found).map_err(anyhow::Error::msg)?.all() {
            let name: Arc<str> = model.name.as_str().into();
            let folder = |path, format| {
                Origin::Folder(Arc::new(Folder::new(
                    Arc::clone(&name),
                    path,
                    format,
                    config.ranking.trial_timeout,
                )))
            };
            let origin = match &model.source {
                Source::DataVectors => Origin::DataVectors,
                Source::Popularity => Origin::Popularity,
                Source::Vectors(path) => folder(path.clone(), Format::Vectors(similarity(config))),
                Source::NeuralCf(path) => {
                    let of_all = || Some(config.ranking.models.as_ref()?.join("neuralcf"));
                    path.clone()
                        .or_else(of_all)
                        .map_or(Origin::NoFolder, |path| folder(path, Format::NeuralCf))
                }
                Source::Ease(path) => folder(path.clone(), Format::Ease),
                Source::TfServing(remote) => {
                    let (inputs, options) = (remote.inputs.clone(), remote.options.clone());
                    let remote = tf::ServedModel::new(&remote.url, inputs, options)
                        .with_context(|| format!("the model {name}"))?
                        .named(&name);
                    Origin::Server(Arc::new(remote))
                }
            };
            let fallback = model.fallback.as_deref().map(Into::into);
            models.push(Configured { fallback, counters: Arc::default(), origin, name });
        }
        Ok(Self {
            models,
            watch: config.ranking.watch,
            by_ease: config.recall.ease,
            looking: Mutex::default(),
            joined: Notify::new(),
        })
    }

    /// Whether a model takes features of movies.
    pub(crate) fn takes_movie_features(&self) -> bool {
        let of_movie = |input: &tf::Input| matches!(input.source, tf::Source::Movie(_));
        self.models.iter().any(|model| match &model.origin {
            Origin::Server(remote) => remote.inputs().as_slice().iter().any(of_movie),
            _ => false,
        })
    }

    /// Puts the models into the parts of an engine. They follow what becomes of the models for as long as the
    /// engine lives.
    pub(crate) fn join(
        &self,
        mut parts: Parts,
        catalog: &Arc<Catalog>,
        features: &MovieFeatures,
    ) -> Parts {
        let computed = (self.takes_movie_features()
            && matches!(features, MovieFeatures::OfCatalog))
        .then(|| tf::movie_features_of(catalog));
        let feature = |movie: MovieIndex, name: &str| match (features, &computed) {
            (MovieFeatures::Stored(stored), _) => {
                let value = stored.get(&catalog.movie(movie).id)?.get(name)?;
                Some(Cow::Borrowed(value))
            }
            (MovieFeatures::OfCatalog, Some(computed)) => computed(movie, name),
            (MovieFeatures::OfCatalog, None) => None,
        };
        let mut by_ease = false;
        for configured in &self.models {
            let (kind, ranker): (_, Result<Arc<dyn Ranker>, String>) = match &configured.origin {
                Origin::DataVectors => {
                    let own = parts.models.iter().find(|model| model.name == configured.name);
                    let ranker = own.map(|model| model.ranker.clone());
                    ("embedding", ranker.unwrap_or_else(|| Err("there are no vectors".to_owned())))
                }
                Origin::Popularity => {
                    ("popularity", Ok(Arc::new(PopularityRanker::new(Arc::clone(catalog)))))
                }
                Origin::Folder(folder) => {
                    let (slot, recall) = folder.join(catalog);
                    // One strategy of a name; more than one model would find much the same.
                    let recall = recall.filter(|_| !by_ease && self.by_ease > 0);
                    if let Some(recall) = recall {
                        by_ease = true;
                        let recall = Box::new(recall);
                        parts.strategies.push(Strategy { recall, share: self.by_ease });
                    }
                    (folder.kind(), Ok(slot))
                }
                Origin::NoFolder => ("neuralcf", Err("no models folder is configured".to_owned())),
                Origin::Server(remote) => {
                    let remote = Arc::clone(remote);
                    let ranker = tf::TfServingRanker::new(remote, catalog, feature);
                    ("tf-serving", Ok(Arc::new(ranker)))
                }
            };
            let model = Model {
                fallback: configured.fallback.clone(),
                counters: Arc::clone(&configured.counters),
                ..Model::new(&configured.name, kind, ranker)
            };
            parts = parts.with_model(model);
        }
        self.joined.notify_one();
        parts
    }

    /// Looks at all model folders once and loads what is there, reporting at once what cannot be. The engine
    /// that the models are for should be there, so that they can be tried.
    pub(crate) fn load(&self) {
        for folder in self.folders() {
            self.look(folder, Duration::ZERO);
        }
    }

    fn look(&self, folder: &Folder, patience: Duration) {
        let _one_at_a_time = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        folder.look(patience);
    }

    fn folders(&self) -> impl Iterator<Item = &Arc<Folder>> {
        self.models.iter().filter_map(|model| match &model.origin {
            Origin::Folder(folder) => Some(folder),
            _ => None,
        })
    }

    /// Looks after the model servers, forever, from when there is a catalogue to try them with.
    pub(crate) async fn keep_servers(&self) {
        self.joined.notified().await;
        let mut tasks = JoinSet::new();
        for model in &self.models {
            if let Origin::Server(remote) = &model.origin {
                let remote = Arc::clone(remote);
                tasks.spawn(async move { remote.monitor().await });
            }
        }
        match tasks.join_next().await {
            Some(Ok(())) => {}
            Some(Err(failed)) => std::panic::resume_unwind(failed.into_panic()),
            None => std::future::pending().await,
        }
    }

    /// Watches the model folders, forever.
    pub(crate) async fn watch(self: Arc<Self>) {
        if self.folders().next().is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(self.watch).await;
            let registry = Arc::clone(&self);
            let look = spawn_blocking(move || {
                for folder in registry.folders() {
                    registry.look(folder, registry.watch * LOOKS);
                }
            });
            if let Err(error) = look.await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "looking for models broke off"
                );
            }
        }
    }
}

/// How vectors compare, where that is configured.
fn similarity(config: &Config) -> Option<sparrow_neural::Similarity> {
    match config.ranking.similarity {
        Similarity::Auto => None,
        Similarity::Cosine => Some(sparrow_neural::Similarity::Cosine),
        Similarity::Dot => Some(sparrow_neural::Similarity::Dot),
    }
}

/// How vectors compare: as configured, or else as is said beside them, or else by cosine.
pub(crate) fn similarity_of(
    config: &Config,
    about: Option<&EmbeddingMetadata>,
) -> sparrow_neural::Similarity {
    let said = about.map(|about| about.similarity);
    similarity(config).or(said).unwrap_or_default()
}
