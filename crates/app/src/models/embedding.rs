//! The kind `embedding`: vectors of users and movies.

use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use anyhow::{Context, Result, ensure};
use sparrow_engine::Embeddings;
use sparrow_model::{Catalog, OwnedHistory, UserId};
use sparrow_neural::{
    EmbeddingMetadata, EmbeddingTable, ITEM_FILE, METADATA_FILE, Objective, Similarity, USER_FILE,
    has_direction,
};
use sparrow_rank::{EmbeddingRanker, Ranker, Unavailable};
use toml::Table;

use super::{BuiltIn, EngineData, LoadedModel, ModelKind, ModelSource};
use crate::config::{self, Ranking};

/// The largest file of vectors, in bytes. It is read line by line.
const LARGEST_VECTORS: u64 = 64 << 30;

/// The largest description of vectors, in bytes.
const LARGEST_METADATA: u64 = 1 << 20;

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

    fn load(&self, folder: &Path, ranking: &Ranking) -> Result<Box<dyn LoadedModel>> {
        let Vectors { items, mut users, metadata } = read_vectors(folder)?;
        let similarity = similarity_of(ranking, metadata.as_ref());
        ensure!(
            items.dimension() == users.dimension(),
            "user vectors have {} dimensions, item vectors {}",
            users.dimension(),
            items.dimension()
        );
        if similarity == Similarity::Cosine {
            users.normalise();
        }
        let objective = metadata.and_then(|metadata| metadata.objective);
        Ok(Box::new(LoadedVectors { items, users: Arc::new(users), similarity, objective }))
    }

    fn open(&self, _name: &str, _table: &Table) -> Result<Arc<dyn ModelSource>> {
        Ok(Arc::new(EngineVectors))
    }
}

/// The vectors of the engine itself, with which users are recalled and similar movies found.
struct EngineVectors;

impl ModelSource for EngineVectors {
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
    fn ranker(&self, catalog: &Catalog) -> Result<Arc<dyn Ranker>> {
        let Embeddings { items, new_users, .. } =
            Embeddings::of_items(&self.items, self.similarity, catalog)?
                .with_objective(self.objective);
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

/// The vectors in a folder.
pub(crate) struct Vectors {
    pub(crate) items: EmbeddingTable,
    pub(crate) users: EmbeddingTable,
    /// Their description, if the folder contains one.
    pub(crate) metadata: Option<EmbeddingMetadata>,
}

/// Reads the vectors of items and of users in a folder. Errors name the files, but not the folder.
pub(crate) fn read_vectors(folder: &Path) -> Result<Vectors> {
    let metadata = match sparrow_files::read(&folder.join(METADATA_FILE), LARGEST_METADATA) {
        Ok(bytes) => Some(EmbeddingMetadata::read(&bytes, METADATA_FILE)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {METADATA_FILE}")),
    };
    // The files are one set: those that do not match belong to different runs.
    let read = |name: &str| {
        let file = sparrow_files::open(&folder.join(name), LARGEST_VECTORS)
            .with_context(|| format!("cannot open {name}"))?;
        let sha256 =
            metadata.as_ref().and_then(|metadata: &EmbeddingMetadata| metadata.sha256(name));
        anyhow::Ok(EmbeddingTable::read_verified(file, name, sha256)?)
    };
    let (items, users) = (read(ITEM_FILE)?, read(USER_FILE)?);
    Ok(Vectors { items, users, metadata })
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
