//! The kind `neuralcf`: NeuralCF in this process.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sparrow_model::{Catalog, OwnedHistory, UserId};
use sparrow_neural::Validation;
use sparrow_neural::model_folder::MODEL_FILE;
use sparrow_neural::neural_cf::{Model, ModelFile, Scorer};
use sparrow_rank::{NeuralCfRanker, Ranker};
use sparrow_recall::ByEmbedding;

use super::trial::CHUNK;
use super::{BuiltIn, LoadedModel, ModelError, ModelKind};
use crate::config::Ranking;

/// The largest model file, in bytes.
const LARGEST_MODEL: u64 = 16 << 30;

pub(super) struct NeuralCf;

impl ModelKind for NeuralCf {
    fn name(&self) -> &'static str {
        "neuralcf"
    }

    fn built_in(&self) -> Option<BuiltIn> {
        Some(BuiltIn {
            name: "neuralcf",
            // The spelling in requests of SparrowRecSys.
            aliases: &["nerualcf"],
            fallback: Some("emb"),
            in_models_folder: true,
        })
    }

    fn recall(&self) -> Option<&'static str> {
        Some(ByEmbedding::NAME)
    }

    fn files(&self) -> &'static [&'static str] {
        &[MODEL_FILE]
    }

    fn recognises(&self, folder: &Path) -> bool {
        folder.join(MODEL_FILE).is_file()
    }

    fn validation(&self, folder: &Path) -> Option<Validation> {
        Validation::of_folder(folder)
    }

    fn load(&self, folder: &Path, _ranking: &Ranking) -> Result<Box<dyn LoadedModel>, ModelError> {
        self.load_embedded(&read_model_file(folder)?)
    }

    fn load_embedded(&self, bytes: &[u8]) -> Result<Box<dyn LoadedModel>, ModelError> {
        let file = ModelFile::read(bytes, MODEL_FILE).map_err(ModelError::invalid)?;
        Ok(Box::new(LoadedNeuralCf(file)))
    }
}

/// Reads the model file of a version.
pub(super) fn read_model_file(folder: &Path) -> Result<Vec<u8>, ModelError> {
    sparrow_files::read(&folder.join(MODEL_FILE), LARGEST_MODEL)
        .map_err(ModelError::read(MODEL_FILE))
}

struct LoadedNeuralCf(ModelFile);

impl LoadedModel for LoadedNeuralCf {
    fn ranker(&self, catalog: &Catalog) -> Result<Arc<dyn Ranker>, ModelError> {
        Ok(Arc::new(NeuralCfRanker::new(&self.0.model, catalog)))
    }

    fn trial_user(&self, _catalog: &Catalog) -> OwnedHistory {
        let known = self.0.model.users().table.iter().next();
        OwnedHistory::new(UserId(known.map_or(0, |(id, _)| id)), [])
    }

    fn estimated_time(&self, catalog: &Catalog) -> Duration {
        estimated_time(&self.0.model, catalog)
    }
}

/// The estimated time for laying out and scoring a catalogue, from a part of it. Both take the same time per movie.
fn estimated_time(model: &Model, catalog: &Catalog) -> Duration {
    let time = |movies: usize| {
        let ids: Vec<u32> = catalog.movies().iter().take(movies).map(|movie| movie.id.0).collect();
        let start = Instant::now();
        let scorer = Scorer::new(model, ids.into_iter());
        scorer.score_all(&scorer.query(0), &mut Vec::new());
        start.elapsed()
    };
    if catalog.len() <= CHUNK {
        return Duration::ZERO;
    }
    // The constant part is not multiplied. The least of several measurements is least affected by other work.
    let estimate = || {
        let movies = time(CHUNK).saturating_sub(time(1));
        movies.mul_f64(catalog.len() as f64 / CHUNK as f64)
    };
    (0..3).map(|_| estimate()).min().unwrap_or_default()
}

impl fmt::Display for LoadedNeuralCf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ModelFile { model, metadata } = &self.0;
        let (movies, users) = (model.movies().table.len(), model.users().table.len());
        write!(f, "a {} model of {movies} movies and {users} users", model.architecture())?;
        for (name, label) in [("roc_auc", "ROC AUC"), ("ndcg_at_10", "nDCG@10")] {
            if let Some(value) = metadata.metrics.get(name) {
                write!(f, ", {label} {value:.3}")?;
            }
        }
        Ok(())
    }
}
