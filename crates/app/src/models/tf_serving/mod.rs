//! The kind `tf-serving`: a model at a server with TensorFlow Serving's REST API.

mod table;

use std::pin::Pin;
use std::sync::Arc;

use sparrow_rank::Ranker;
use sparrow_recall::ByEmbedding;
use sparrow_tf_serving::{self as tf, ServedModel, TfServingRanker};
use toml::Table;

use super::{EngineData, ModelError, ModelKind, ModelSource, Probe, TableError, read_table};
use table::ServerTable;

pub(super) struct TfServing;

impl ModelKind for TfServing {
    fn name(&self) -> &'static str {
        "tf-serving"
    }

    fn fallback(&self) -> Option<&'static str> {
        Some("neuralcf")
    }

    fn keys(&self) -> Table {
        Table::try_from(ServerTable::with_all_keys()).unwrap_or_default()
    }

    fn check(&self, _name: &str, table: &Table) -> Result<(), TableError> {
        let (url, inputs, options) = read_table::<ServerTable>(table)?.settings()?;
        // The file with certificates may be created later.
        let options = tf::Options { ca_file: None, ..options };
        match ServedModel::new(&url, inputs, options) {
            Ok(_) => Ok(()),
            Err(error) => Err(TableError::new("url", error.to_string())),
        }
    }

    fn open(&self, name: &str, table: &Table) -> Result<Arc<dyn ModelSource>, ModelError> {
        let settings = read_table::<ServerTable>(table).and_then(|table| table.settings());
        let (url, inputs, options) = settings.map_err(|TableError { key, message }| {
            ModelError::invalid(format!("{key}: {message}"))
        })?;
        let model = ServedModel::new(&url, inputs, options).map_err(ModelError::invalid)?;
        Ok(Arc::new(Server(Arc::new(model.named(name)))))
    }
}

struct Server(Arc<ServedModel>);

impl ModelSource for Server {
    fn ranker(&self, data: &EngineData<'_>) -> Arc<dyn Ranker> {
        let model = Arc::clone(&self.0);
        Arc::new(TfServingRanker::new(model, data.catalog, data.movie_feature))
    }

    fn recall(&self) -> Option<&'static str> {
        Some(ByEmbedding::NAME)
    }

    fn takes_movie_features(&self) -> bool {
        let is_of_movie = |input: &tf::Input| matches!(input.source, tf::Source::Movie(_));
        self.0.inputs().as_slice().iter().any(is_of_movie)
    }

    fn probe(&self) -> Option<Probe> {
        let model = Arc::clone(&self.0);
        Some(Box::pin(async move { model.check().await.map_err(ModelError::invalid) }))
    }

    fn maintenance(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let model = Arc::clone(&self.0);
        Some(Box::pin(async move { model.monitor().await }))
    }
}
