//! The kind `embedding`: vectors of users and movies.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use sparrow_engine::Embeddings;
use sparrow_model::{Catalog, OwnedHistory, UserId};
use sparrow_neural::{
    EmbeddingFolder, EmbeddingMetadata, EmbeddingTable, ITEM_FILE, METADATA_FILE, Objective,
    Similarity, USER_FILE, Validation, has_direction,
};
use sparrow_rank::{EmbeddingRanker, Ranker, Unavailable};
use toml::Table;

use super::{BuiltIn, EngineData, LoadedModel, ModelError, ModelKind, ModelSource};
use crate::config::{self, Ranking};

/// Models with a `path` are loaded from it. Without one, the model `emb` ranks by the engine's own vectors.
pub(super) struct Embedding;

impl ModelKind for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn built_in(&self) -> Option<BuiltIn> {
        let fallback = Some("popularity");
        Some(BuiltIn { name: "emb", aliases: &[], fallback, in_models_folder: false })
    }

    fn files(&self) -> &'static [&'static str] {
        &[ITEM_FILE, USER_FILE, METADATA_FILE]
    }

    fn allows_unversioned(&self) -> bool {
        true
    }

    fn recognises(&self, folder: &Path) -> bool {
        [ITEM_FILE, USER_FILE].iter().all(|name| folder.join(name).is_file())
    }

    fn validation(&self, folder: &Path) -> Option<Validation> {
        Validation::of_folder(folder)
    }

    fn load(&self, folder: &Path, ranking: &Ranking) -> Result<Box<dyn LoadedModel>, ModelError> {
        let folder = EmbeddingFolder::read(folder).map_err(ModelError::invalid)?;
        let EmbeddingFolder { items, mut users, metadata } = folder;
        let similarity = similarity_of(ranking, metadata.as_ref());
        let (of_users, of_items) = (users.dimension(), items.dimension());
        if of_users != of_items {
            let message =
                format!("user vectors have {of_users} dimensions, item vectors {of_items}");
            return Err(ModelError::invalid(message));
        }
        if similarity == Similarity::Cosine {
            users.normalise();
        }
        let objective = metadata.and_then(|metadata| metadata.objective);
        Ok(Box::new(LoadedVectors { items, users: Arc::new(users), similarity, objective }))
    }

    fn open(&self, _name: &str, _table: &Table) -> Result<Arc<dyn ModelSource>, ModelError> {
        Ok(Arc::new(OwnVectors))
    }
}

/// The vectors of the engine itself, with which users are recalled and similar movies found.
struct OwnVectors;

impl ModelSource for OwnVectors {
    fn is_there(&self, data: &EngineData<'_>) -> bool {
        data.embeddings.is_ok()
    }

    fn validation(&self, data: &EngineData<'_>) -> Option<Validation> {
        data.validation.cloned()
    }

    fn ranker(&self, data: &EngineData<'_>) -> Arc<dyn Ranker> {
        match data.embeddings {
            Ok(embeddings) => Arc::new(EmbeddingRanker::new(Arc::clone(&embeddings.items))),
            Err(reason) => Arc::new(Unavailable::new(Embedding.name(), reason)),
        }
    }
}

struct LoadedVectors {
    items: EmbeddingTable,
    users: Arc<EmbeddingTable>,
    similarity: Similarity,
    objective: Option<Objective>,
}

impl LoadedModel for LoadedVectors {
    fn ranker(&self, catalog: &Catalog) -> Result<Arc<dyn Ranker>, ModelError> {
        let embeddings = Embeddings::of_items(&self.items, self.similarity, catalog)
            .map_err(ModelError::invalid)?;
        let Embeddings { items, new_users, .. } = embeddings.with_objective(self.objective);
        Ok(Arc::new(EmbeddingRanker::with_users(items, Arc::clone(&self.users), new_users)))
    }

    fn trial_user(&self, _catalog: &Catalog) -> OwnedHistory {
        // A user with a zero vector has no scores.
        let known = self.users.iter().find(|(_, vector)| has_direction(vector));
        OwnedHistory::new(UserId(known.map_or(0, |(id, _)| id)), [])
    }
}

impl fmt::Display for LoadedVectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dimension, movies) = (self.items.dimension(), self.items.len());
        let users = self.users.len();
        write!(f, "vectors of {dimension} dimensions for {movies} movies and {users} users")
    }
}

/// How vectors are compared: as configured, or else as their description specifies, or else by cosine.
pub(crate) fn similarity_of(ranking: &Ranking, metadata: Option<&EmbeddingMetadata>) -> Similarity {
    match ranking.similarity {
        config::Similarity::Auto => {
            metadata.map(|metadata| metadata.similarity).unwrap_or_default()
        }
        config::Similarity::Cosine => Similarity::Cosine,
        config::Similarity::Dot => Similarity::Dot,
    }
}
