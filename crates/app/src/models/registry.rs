//! The configured models, which outlive the engines: for every generation of a feature store there is a new engine.
//! The registry adds its models to each engine and keeps them up to date: it watches model folders and probes model
//! servers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sparrow_engine::{Engine, Model, RecallMix, Scope};
use sparrow_model::{Catalog, MovieId, MovieIndex};
use sparrow_rank::Counters;
use sparrow_recall::{ByScores, Inputs};
use sparrow_store::Fields;
use sparrow_tf_serving as tf;
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};

use super::embedded::EmbeddedModel;
use super::model_folder::ModelFolder;
use super::selection::{AUTO, Candidate, select};
use super::{
    EngineData, EngineVectors, FolderTable, ModelError, ModelKind, ModelSource, Probe, read_table,
};
use crate::Error;
use crate::config::{Config, ModelEntry, Ranking, Recall, Strategies, StrategyTable};

/// A version that cannot be loaded is reported if it has not changed for this many checks.
const CHECKS: u32 = 3;

/// The configured models.
pub(crate) struct Registry {
    models: Vec<ConfiguredModel>,
    ranking: Ranking,
    recall: Recall,
    /// Held while folders are checked.
    checking: Mutex<()>,
    /// Notified when there is a catalogue for trials of models.
    has_catalog: Notify,
}

struct ConfiguredModel {
    name: Arc<str>,
    aliases: &'static [&'static str],
    kind: &'static dyn ModelKind,
    fallback: Option<Arc<str>>,
    counters: Arc<Counters>,
    source: Arc<dyn ModelSource>,
}

/// The features of movies, for models that take them.
pub(crate) enum MovieFeatures {
    /// To be computed from the catalogue's ratings.
    OfCatalog,
    /// From a feature store.
    Stored(HashMap<MovieId, Fields>),
}

impl Registry {
    /// The models of a configuration. Does not load models or connect to servers.
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let discovered = config.discover_models().map_err(Error::Setting)?;
        for (name, reason) in &discovered.others {
            if !config.models.has_table(name) {
                tracing::warn!(
                    folder = &**name,
                    "a folder in the models folder is not served: {reason}"
                );
            }
        }
        let ranking = &config.ranking;
        let configured = if config.serves_demo() {
            config.models.with_demo()
        } else {
            config.models.with_discovered(&discovered)
        };
        let configured = configured.map_err(Error::Setting)?;
        let models = configured.all().iter().map(|entry| {
            let name: Arc<str> = entry.name.as_str().into();
            Ok(ConfiguredModel {
                aliases: entry.aliases,
                kind: entry.kind,
                fallback: entry.fallback.as_deref().map(Into::into),
                counters: Arc::default(),
                source: source(entry, &name, ranking)
                    .map_err(|source| Error::Model { name: name.to_string(), source })?,
                name,
            })
        });
        Ok(Self {
            models: models.collect::<Result<_, Error>>()?,
            ranking: ranking.clone(),
            recall: config.recall.clone(),
            checking: Mutex::default(),
            has_catalog: Notify::new(),
        })
    }

    /// Whether a model takes features of movies.
    pub(crate) fn takes_movie_features(&self) -> bool {
        self.models.iter().any(|model| model.source.takes_movie_features())
    }

    /// Builds an engine over a catalogue and its vectors (or the reason why there are none) with the configured models and
    /// recall strategies. The models follow new versions as long as the engine exists.
    pub(crate) fn build(
        &self,
        catalog: &Arc<Catalog>,
        vectors: Result<EngineVectors, String>,
        features: &MovieFeatures,
    ) -> Result<Engine, sparrow_engine::Error> {
        let computed = (self.takes_movie_features()
            && matches!(features, MovieFeatures::OfCatalog))
        .then(|| tf::movie_features_of(catalog));
        let movie_feature = |movie: MovieIndex, name: &str| match (features, &computed) {
            (MovieFeatures::Stored(stored), _) => {
                let value = stored.get(&catalog.movie(movie).id)?.get(name)?;
                Some(Cow::Borrowed(value))
            }
            (MovieFeatures::OfCatalog, Some(computed)) => computed(movie, name),
            (MovieFeatures::OfCatalog, None) => None,
        };
        let (embeddings, validation) = match vectors {
            Ok(EngineVectors { embeddings, validation }) => (Ok(embeddings), validation),
            Err(reason) => (Err(reason), None),
        };
        let data = EngineData {
            catalog,
            embeddings: embeddings.as_ref().map_err(String::as_str),
            validation: validation.as_ref(),
            movie_feature: &movie_feature,
        };
        let (default_model, reason) = self.default_model(&data);
        let inputs = Inputs::new(embeddings.as_ref().ok().map(|embeddings| &embeddings.items));
        let mix = |strategies, candidates: NonZeroUsize| {
            self.recall_mix(strategies, &inputs).candidates(candidates.get())
        };
        let mut builder = Engine::builder(Arc::clone(catalog))
            .recall(mix(&self.recall.strategies, self.recall.candidates))
            .default_model(default_model)
            .default_reason(reason);
        for (name, strategies, candidates) in self.recall.mixes() {
            builder = builder.recall_mix(name, mix(strategies, candidates));
        }
        for model in &self.models {
            let mut of_engine = Model::new(Arc::clone(&model.name), model.source.ranker(&data))
                .inputs(model.source.inputs().iter().copied())
                .counters(Arc::clone(&model.counters));
            for alias in model.aliases {
                of_engine = of_engine.alias(*alias);
            }
            if let Some(strategy) = model.source.recall() {
                of_engine = of_engine.recall(strategy);
            }
            if let Some(fallback) = &model.fallback {
                of_engine = of_engine.fallback(Arc::clone(fallback));
            }
            builder = builder.model(of_engine);
        }
        if let Ok(embeddings) = embeddings {
            builder = builder.embeddings(embeddings);
        }
        let engine = builder.build()?;
        self.has_catalog.notify_one();
        Ok(engine)
    }

    /// The name of the default model of an engine over these data, and why it is.
    fn default_model(&self, data: &EngineData<'_>) -> (String, String) {
        if self.ranking.default != AUTO {
            return (self.ranking.default.clone(), "it is configured".to_owned());
        }
        let candidates: Vec<Candidate<'_>> = self
            .models
            .iter()
            .map(|model| Candidate {
                name: &model.name,
                kind: model.kind.name(),
                is_there: model.source.is_there(data),
                validation: model.source.validation(data),
            })
            .collect();
        let Some((name, reason)) = select(&candidates) else {
            return (sparrow_engine::DEFAULT_MODEL.to_owned(), "no model is there".to_owned());
        };
        tracing::info!(model = name, "the default model (ranking.default = \"auto\"): {reason}");
        (name.to_owned(), reason)
    }

    /// The recall strategies that work with these vectors and the models.
    fn recall_mix(&self, strategies: &Strategies, inputs: &Inputs<'_>) -> RecallMix {
        let mut mix = RecallMix::default();
        for table in strategies.all() {
            mix = match table {
                StrategyTable::Own { kind, share, parameters, always } => {
                    let scope = if *always { Scope::Always } else { Scope::Fallback };
                    // The parameters were checked with the configuration.
                    match kind.build(inputs, parameters) {
                        Ok(Some(recall)) => mix.strategy_for(scope, recall, *share),
                        Ok(None) | Err(_) => mix,
                    }
                }
                StrategyTable::OfModel { kind, above, share, model, always } => {
                    // Without a name, the first model of the kind.
                    let is_meant = |known: &&ConfiguredModel| match model {
                        Some(name) => *known.name == **name,
                        None => known.kind.name() == kind.name(),
                    };
                    match self.models.iter().find(is_meant) {
                        Some(model) => {
                            let model = Arc::clone(&model.name);
                            let scope = if *always { Scope::Always } else { Scope::OwnModel };
                            let recall = ByScores::new(kind.name(), model, *above);
                            mix.strategy_for(scope, recall, *share)
                        }
                        None => mix,
                    }
                }
            };
        }
        mix
    }

    /// Checks all model folders once and loads their versions, and reports at once what cannot be loaded. The engines that
    /// use the models should exist, so that versions can be tried.
    pub(crate) fn load(&self) {
        for model in self.watched() {
            self.check(&*model.source, Duration::ZERO);
        }
    }

    /// The names of the configured models, with a health check for those at a server.
    pub(crate) fn probes(&self) -> impl Iterator<Item = (&str, Option<Probe>)> {
        self.models.iter().map(|model| (&*model.name, model.source.probe()))
    }

    fn check(&self, source: &dyn ModelSource, patience: Duration) {
        let _one_at_a_time = self.checking.lock().unwrap_or_else(PoisonError::into_inner);
        source.check(patience);
    }

    fn watched(&self) -> impl Iterator<Item = &ConfiguredModel> {
        self.models.iter().filter(|model| model.source.is_watched())
    }

    /// Probes the model servers, as soon as there is a catalogue for trials. Does not end by itself.
    pub(crate) async fn maintain_servers(&self) {
        self.has_catalog.notified().await;
        let mut tasks = JoinSet::new();
        for task in self.models.iter().filter_map(|model| model.source.maintenance()) {
            tasks.spawn(task);
        }
        match tasks.join_next().await {
            Some(Ok(())) => {}
            Some(Err(failed)) => std::panic::resume_unwind(failed.into_panic()),
            None => std::future::pending().await,
        }
    }

    /// Watches the model folders. Does not end.
    pub(crate) async fn watch(self: Arc<Self>) {
        if self.watched().next().is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(self.ranking.watch).await;
            let registry = Arc::clone(&self);
            let check = spawn_blocking(move || {
                for model in registry.watched() {
                    registry.check(&*model.source, registry.ranking.watch * CHECKS);
                }
            });
            if let Err(error) = check.await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "a check of the model folders was interrupted");
            }
        }
    }
}

/// Opens a configured model: a folder if it is loaded from one, or what its kind opens.
fn source(
    entry: &ModelEntry,
    name: &Arc<str>,
    ranking: &Ranking,
) -> Result<Arc<dyn ModelSource>, ModelError> {
    let kind = entry.kind;
    if let Some(bytes) = entry.embedded {
        return Ok(Arc::new(EmbeddedModel { kind, model: kind.load_embedded(bytes)? }));
    }
    if kind.files().is_empty() {
        return kind.open(name, &entry.table);
    }
    let table: FolderTable = read_table(&entry.table).unwrap_or_default();
    let is_built_in = kind
        .built_in()
        .is_some_and(|built_in| built_in.name == entry.name && built_in.in_models_folder);
    let in_models_folder =
        || ranking.models.as_ref().filter(|_| is_built_in).map(|folder| folder.join(&entry.name));
    match table.path.or_else(in_models_folder) {
        Some(path) => Ok(Arc::new(ModelFolder::new(kind, Arc::clone(name), path, ranking.clone()))),
        None => kind.open(name, &entry.table),
    }
}
