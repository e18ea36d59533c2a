//! The kind `ease`: item–item weights, for ranking and for recall.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use sparrow_model::{Catalog, MovieId, OwnedHistory, Rated, Stars, UserId};
use sparrow_neural::ease::{EaseFile, Scorer};
use sparrow_neural::neural_cf::MODEL_FILE;
use sparrow_rank::{EaseRanker, Ranker};

use super::{LoadedModel, ModelError, ModelKind};
use crate::config::Ranking;
use crate::models::neural_cf::read_model_file;

pub(super) struct Ease;

impl ModelKind for Ease {
    fn name(&self) -> &'static str {
        "ease"
    }

    fn recall_above(&self) -> Option<f32> {
        // Movies without a weight from the history have the score 0.
        Some(0.0)
    }

    fn files(&self) -> &'static [&'static str] {
        &[MODEL_FILE]
    }

    fn recognises(&self, folder: &Path) -> bool {
        let file = folder.join(MODEL_FILE);
        // A file that cannot be read is one of NeuralCF, and loading it reports the error.
        file.is_file()
            && sparrow_files::open(&file, u64::MAX).and_then(EaseFile::detect).unwrap_or(false)
    }

    fn load(&self, folder: &Path, _ranking: &Ranking) -> Result<Box<dyn LoadedModel>, ModelError> {
        let file =
            EaseFile::read(&read_model_file(folder)?, MODEL_FILE).map_err(ModelError::invalid)?;
        Ok(Box::new(LoadedEase(file)))
    }
}

struct LoadedEase(EaseFile);

impl LoadedModel for LoadedEase {
    fn ranker(&self, catalog: &Catalog) -> Result<Arc<dyn Ranker>, ModelError> {
        let EaseFile { weights, metadata } = &self.0;
        let index = |id| catalog.index_of(MovieId(id)).map(|index| index.0);
        let scorer = Scorer::new(weights, catalog.len(), index);
        Ok(Arc::new(EaseRanker::new(Arc::new(scorer), metadata.liked_only)))
    }

    fn trial_user(&self, catalog: &Catalog) -> OwnedHistory {
        let mut movies = self.0.weights.ids().iter();
        let liked = movies.find_map(|&id| catalog.index_of(MovieId(id)));
        let rated = liked.map(|movie| Rated { movie, stars: Stars::MAX, timestamp: 0 });
        OwnedHistory::new(UserId(0), rated)
    }
}

impl fmt::Display for LoadedEase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights = &self.0.weights;
        write!(f, "{} weights between {} movies", weights.weight_count(), weights.len())
    }
}
