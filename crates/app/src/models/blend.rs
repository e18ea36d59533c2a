//! The kind `blend`: learned weights over the scores of other models.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use sparrow_blend::{BLEND_FILE, BlendRanker, INPUTS};
use sparrow_model::Catalog;
use sparrow_rank::Ranker;

use super::{LoadedModel, ModelError, ModelKind};
use crate::config::Ranking;

/// The largest file, in bytes.
const LARGEST: u64 = 1 << 20;

pub(super) struct Blend;

impl ModelKind for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn files(&self) -> &'static [&'static str] {
        &[BLEND_FILE]
    }

    fn recognises(&self, folder: &Path) -> bool {
        folder.join(BLEND_FILE).is_file()
    }

    fn inputs(&self) -> &'static [&'static str] {
        &INPUTS
    }

    fn load(&self, folder: &Path, _ranking: &Ranking) -> Result<Box<dyn LoadedModel>, ModelError> {
        let bytes = sparrow_files::read(&folder.join(BLEND_FILE), LARGEST);
        self.load_embedded(&bytes.map_err(ModelError::read(BLEND_FILE))?)
    }

    fn load_embedded(&self, bytes: &[u8]) -> Result<Box<dyn LoadedModel>, ModelError> {
        let blend = sparrow_blend::Blend::read(bytes, BLEND_FILE).map_err(ModelError::invalid)?;
        Ok(Box::new(LoadedBlend(blend)))
    }
}

struct LoadedBlend(sparrow_blend::Blend);

impl LoadedModel for LoadedBlend {
    fn ranker(&self, catalog: &Catalog) -> Result<Arc<dyn Ranker>, ModelError> {
        Ok(Arc::new(BlendRanker::new(&self.0, catalog)))
    }

    fn input_count(&self) -> usize {
        INPUTS.len()
    }
}

impl fmt::Display for LoadedBlend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (terms, objective) = (self.0.terms().len(), self.0.objective.name());
        write!(f, "a blend of {terms} terms, fitted for {objective}")
    }
}
