//! The kinds `ease`, `next-item` and `item-knn`: item–item weights, for ranking and for recall.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use sparrow_model::{Catalog, MovieId, OwnedHistory, Rated, Stars, UserId};
use sparrow_neural::Validation;
use sparrow_neural::item_weights::{Architecture, ItemWeightsFile};
use sparrow_neural::model_folder::MODEL_FILE;
use sparrow_rank::{ItemWeightsRanker, Ranker};

use super::{LoadedModel, ModelError, ModelKind};
use crate::config::Ranking;
use crate::models::neural_cf::read_model_file;

pub(super) static EASE: ItemWeightsKind = ItemWeightsKind(Architecture::Ease);
pub(super) static NEXT_ITEM: ItemWeightsKind = ItemWeightsKind(Architecture::NextItem);

pub(super) static ITEM_KNN: ItemWeightsKind = ItemWeightsKind(Architecture::ItemKnn);

pub(super) struct ItemWeightsKind(Architecture);

impl ModelKind for ItemWeightsKind {
    fn name(&self) -> &'static str {
        self.0.name()
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
        let detect = || sparrow_files::open(&file, u64::MAX).and_then(ItemWeightsFile::detect);
        file.is_file() && detect().is_ok_and(|found| found == Some(self.0))
    }

    fn validation(&self, folder: &Path) -> Option<Validation> {
        Validation::of_folder(folder)
    }

    fn load(&self, folder: &Path, _ranking: &Ranking) -> Result<Box<dyn LoadedModel>, ModelError> {
        self.load_embedded(&read_model_file(folder)?)
    }

    fn load_embedded(&self, bytes: &[u8]) -> Result<Box<dyn LoadedModel>, ModelError> {
        let file = ItemWeightsFile::read(bytes, MODEL_FILE).map_err(ModelError::invalid)?;
        let architecture = file.metadata.architecture;
        if architecture != self.0 {
            let (found, expected) = (architecture.name(), self.name());
            let message = format!("{MODEL_FILE}: a model of the kind {found}, not {expected}");
            return Err(ModelError::invalid(message));
        }
        Ok(Box::new(LoadedWeights(file)))
    }
}

struct LoadedWeights(ItemWeightsFile);

impl LoadedModel for LoadedWeights {
    fn ranker(&self, catalog: &Catalog) -> Result<Arc<dyn Ranker>, ModelError> {
        let ItemWeightsFile { weights, metadata } = &self.0;
        let kind = metadata.architecture.name();
        Ok(Arc::new(ItemWeightsRanker::over(kind, weights, metadata.input(), catalog)))
    }

    fn trial_user(&self, catalog: &Catalog) -> OwnedHistory {
        let mut movies = self.0.weights.ids().iter();
        let liked = movies.find_map(|&id| catalog.index_of(MovieId(id)));
        let rated = liked.map(|movie| Rated { movie, stars: Stars::MAX, timestamp: 0 });
        OwnedHistory::new(UserId(0), rated)
    }
}

impl fmt::Display for LoadedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights = &self.0.weights;
        write!(f, "{} weights between {} movies", weights.weight_count(), weights.len())
    }
}
