//! The kind `popularity`: the number of ratings of a movie.

use std::sync::Arc;

use sparrow_rank::{PopularityRanker, Ranker};
use toml::Table;

use super::{BuiltIn, EngineData, ModelError, ModelKind, ModelSource, TableError};

pub(super) struct Popularity;

impl ModelKind for Popularity {
    fn name(&self) -> &'static str {
        "popularity"
    }

    fn built_in(&self) -> Option<BuiltIn> {
        let (name, aliases) = ("popularity", &[]);
        Some(BuiltIn { name, aliases, fallback: None, in_models_folder: false })
    }

    fn fallback(&self) -> Option<&'static str> {
        None
    }

    fn keys(&self) -> Table {
        Table::new()
    }

    fn check(&self, _name: &str, _table: &Table) -> Result<(), TableError> {
        Ok(())
    }

    fn open(&self, _name: &str, _table: &Table) -> Result<Arc<dyn ModelSource>, ModelError> {
        Ok(Arc::new(Self))
    }
}

impl ModelSource for Popularity {
    fn ranker(&self, data: &EngineData<'_>) -> Arc<dyn Ranker> {
        Arc::new(PopularityRanker::new(Arc::clone(data.catalog)))
    }
}
