//! A model that is part of the program, for the demonstration set. It has no versions.

use std::sync::Arc;

use sparrow_rank::{Ranker, Unavailable};

use super::{EngineData, LoadedModel, ModelKind, ModelSource};

pub(super) struct EmbeddedModel {
    pub(super) kind: &'static dyn ModelKind,
    pub(super) model: Box<dyn LoadedModel>,
}

impl ModelSource for EmbeddedModel {
    fn ranker(&self, data: &EngineData<'_>) -> Arc<dyn Ranker> {
        match self.model.ranker(data.catalog) {
            Ok(ranker) => ranker,
            Err(error) => Arc::new(Unavailable::new(self.kind.name(), error.to_string())),
        }
    }

    fn inputs(&self) -> &'static [&'static str] {
        self.kind.inputs()
    }

    fn recall(&self) -> Option<&'static str> {
        self.kind.recall()
    }
}
