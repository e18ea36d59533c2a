//! The ranking models: their kinds, and the registry of those that are configured.
//!
//! A [`ModelKind`] is everything about one kind of model: its name and configuration keys, its files and how they are
//! loaded, its ranker over a catalogue, its default fallback, and whether recall uses its scores. [`KINDS`] lists all
//! kinds; configuration, discovery in the models folder, loading and recall go by this list. A [`Registry`] contains
//! the configured models.

mod blend;
mod embedded;
mod embedding;
mod error;
#[cfg(test)]
mod example;
mod item_weights;
mod model_folder;
mod neural_cf;
mod popularity;
mod registry;
mod selection;
mod tf_serving;
mod trial;

pub(crate) use embedding::similarity_of;
pub use error::ModelError;
pub(crate) use registry::{MovieFeatures, Registry};
pub(crate) use selection::AUTO;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sparrow_engine::Embeddings;
use sparrow_model::{Catalog, MovieIndex, OwnedHistory, UserId};
use sparrow_neural::Validation;
use sparrow_rank::{Ranker, Unavailable};
use toml::{Table, Value};

use crate::config::Ranking;

/// The kinds of models. The models that exist without a table are listed in this order, and a model folder belongs to
/// the last kind that recognises its files.
pub(crate) static KINDS: [&dyn ModelKind; 8] = [
    &embedding::Embedding,
    &popularity::Popularity,
    &neural_cf::NeuralCf,
    &item_weights::EASE,
    &item_weights::NEXT_ITEM,
    &item_weights::ITEM_KNN,
    &blend::Blend,
    &tf_serving::TfServing,
];

/// A kind of ranking models.
pub(crate) trait ModelKind: Sync {
    /// The name: the value of `kind` in tables of `[[models]]` and in answers.
    fn name(&self) -> &'static str;

    /// The model of this kind that exists without a table.
    fn built_in(&self) -> Option<BuiltIn> {
        None
    }

    /// The default fallback of the models of this kind. A [`BuiltIn`] model has its own.
    fn fallback(&self) -> Option<&'static str> {
        Some("emb")
    }

    /// For models whose scores of the whole catalogue are candidates for recall: the score that a candidate exceeds. The
    /// recall strategy has the name of the kind.
    fn recall_above(&self) -> Option<f32> {
        None
    }

    /// The keys of a table beside `name`, `kind` and `fallback`, each with a value of its type.
    fn keys(&self) -> Table {
        Table::from_iter([("path".to_owned(), Value::String(".".to_owned()))])
    }

    /// Checks a table with no other keys than [`keys`](Self::keys), without opening files other than vocabularies.
    fn check(&self, name: &str, table: &Table) -> Result<(), TableError> {
        let FolderTable { path } = read_table(table)?;
        if path.is_some() || self.built_in().is_some_and(|built_in| built_in.name == name) {
            return Ok(());
        }
        let message =
            format!("a model of the kind {} requires the folder of its versions", self.name());
        Err(TableError::new("path", message))
    }

    /// The files of a version, the required ones first; none for kinds that are not loaded from a folder.
    fn files(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether the files may also be in the model's folder itself instead of numbered folders.
    fn allows_unversioned(&self) -> bool {
        false
    }

    /// Whether the files in a folder are a version of this kind.
    fn recognises(&self, _folder: &Path) -> bool {
        false
    }

    /// Loads the version in a folder.
    fn load(&self, _folder: &Path, _ranking: &Ranking) -> Result<Box<dyn LoadedModel>, ModelError> {
        let kind = self.name();
        Err(ModelError::invalid(format!("models of the kind {kind} are not loaded from folders")))
    }

    /// The figures that are stored in the folder of a version.
    fn validation(&self, _folder: &Path) -> Option<Validation> {
        None
    }

    /// Loads the version whose only file has this content.
    fn load_embedded(&self, _bytes: &[u8]) -> Result<Box<dyn LoadedModel>, ModelError> {
        Err(ModelError::invalid(format!("models of the kind {} are not embedded", self.name())))
    }

    /// The names of the models whose scores models of this kind combine.
    fn inputs(&self) -> &'static [&'static str] {
        &[]
    }

    /// The recall strategy whose candidates models of this kind rank, instead of those of all strategies, if it finds any.
    fn recall(&self) -> Option<&'static str> {
        None
    }

    /// Opens a model that is not loaded from a folder, or whose folder is not configured. The table has been checked.
    fn open(&self, _name: &str, _table: &Table) -> Result<Arc<dyn ModelSource>, ModelError> {
        Ok(Arc::new(NoFolder(self.name())))
    }
}

impl fmt::Debug for dyn ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A model that exists without a table. A table with its name replaces it and keeps its aliases and default fallback.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BuiltIn {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) fallback: Option<&'static str>,
    /// Whether it is loaded from the folder of its name in the models folder.
    pub(crate) in_models_folder: bool,
}

/// A version of a model in memory, independent of any catalogue. Its text is for log lines.
pub(crate) trait LoadedModel: fmt::Display + Send + Sync {
    /// The ranker over a catalogue.
    fn ranker(&self, catalog: &Catalog) -> Result<Arc<dyn Ranker>, ModelError>;

    /// The number of models whose scores this one combines.
    fn input_count(&self) -> usize {
        0
    }

    /// A user whom the model can score, with a history, for the trial of a version.
    fn trial_user(&self, _catalog: &Catalog) -> OwnedHistory {
        OwnedHistory::new(UserId(0), [])
    }

    /// The estimated time for laying out and scoring a catalogue, so that a version that is much too slow is not tried.
    fn estimated_time(&self, _catalog: &Catalog) -> Duration {
        Duration::ZERO
    }
}

/// A health check of a model server, which returns the version that it serves.
pub(crate) type Probe = Pin<Box<dyn Future<Output = Result<u64, ModelError>> + Send>>;

/// Where the ranker of a configured model comes from. It outlives the engines.
pub(crate) trait ModelSource: Send + Sync {
    /// The ranker of the model in an engine over these data. It follows new versions as long as the engine exists.
    fn ranker(&self, data: &EngineData<'_>) -> Arc<dyn Ranker>;

    /// Whether the model can rank in an engine over these data, once its version is loaded.
    fn is_there(&self, _data: &EngineData<'_>) -> bool {
        true
    }

    /// The figures that are stored with the model, for the choice of the default.
    fn validation(&self, _data: &EngineData<'_>) -> Option<Validation> {
        None
    }

    /// The names of the models whose scores this one combines.
    fn inputs(&self) -> &'static [&'static str] {
        &[]
    }

    /// The recall strategy whose candidates the model ranks: see [`ModelKind::recall`].
    fn recall(&self) -> Option<&'static str> {
        None
    }

    /// Whether the model takes features of movies.
    fn takes_movie_features(&self) -> bool {
        false
    }

    /// Whether [`check`](Self::check) looks for new versions.
    fn is_watched(&self) -> bool {
        false
    }

    /// Looks for a new version and loads it. A version that cannot be loaded is reported if it has not changed for
    /// `patience`. Blocks; called at intervals.
    fn check(&self, _patience: Duration) {}

    /// Checks the model's server once, for models at a server.
    fn probe(&self) -> Option<Probe> {
        None
    }

    /// A task that probes the model's server; it does not end by itself.
    fn maintenance(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        None
    }
}

/// What the rankers of an engine are built from.
pub(crate) struct EngineData<'a> {
    pub(crate) catalog: &'a Arc<Catalog>,
    /// The engine's own vectors, or why there are none.
    pub(crate) embeddings: Result<&'a Embeddings, &'a str>,
    /// The figures that are stored with the vectors.
    pub(crate) validation: Option<&'a Validation>,
    /// The value of a feature of a movie.
    pub(crate) movie_feature: &'a dyn Fn(MovieIndex, &str) -> Option<Cow<'a, str>>,
}

/// The vectors of an engine.
pub(crate) struct EngineVectors {
    pub(crate) embeddings: Embeddings,
    /// The figures that are stored with them.
    pub(crate) validation: Option<Validation>,
}

/// What is wrong with a table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TableError {
    /// The path of the key inside the table, such as `inputs[1].name`.
    pub(crate) key: String,
    pub(crate) message: String,
}

impl TableError {
    pub(crate) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

/// The keys of a kind that is loaded from a folder.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FolderTable {
    pub(crate) path: Option<PathBuf>,
}

/// Reads a table as a type. Keys that the type does not have are ignored.
pub(crate) fn read_table<T: DeserializeOwned>(table: &Table) -> Result<T, TableError> {
    serde_path_to_error::deserialize(Value::Table(table.clone())).map_err(|error| {
        let key = error.path().to_string();
        TableError::new(key, error.into_inner().message())
    })
}

/// A model that is loaded from a folder, without a folder.
struct NoFolder(&'static str);

impl ModelSource for NoFolder {
    fn is_there(&self, _data: &EngineData<'_>) -> bool {
        false
    }

    fn ranker(&self, _data: &EngineData<'_>) -> Arc<dyn Ranker> {
        Arc::new(Unavailable::new(self.0, "no models folder is configured"))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_distinct_names_and_checked_keys() {
        for (index, kind) in KINDS.iter().enumerate() {
            assert!(KINDS[..index].iter().all(|other| other.name() != kind.name()));
            let reserved = ["name", "kind", "fallback"];
            assert!(kind.keys().keys().all(|key| !reserved.contains(&&**key)), "{kind:?}");
            if let Some(built_in) = kind.built_in() {
                kind.check(built_in.name, &Table::new()).unwrap();
            }
        }
    }
}
