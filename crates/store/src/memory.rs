use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use sparrow_live::Watermark;
use sparrow_model::{MovieId, UserId};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::entries::check_watermark;
use crate::{
    Entry, Error, FeatureStore, Fields, Generation, MovieRatings, Push, Read, StoredMovie,
    StoredRating, StoredUser, UserList,
};

/// A store in the memory of this process: for tests, demonstrations, and servers that fill it
/// themselves. Clones share the data.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    state: Arc<RwLock<Arc<State>>>,
    pushing: Arc<Mutex<()>>,
}

/// One generation. Each kind has its own table, so that generations share unchanged tables.
#[derive(Debug, Clone, Default)]
struct State {
    generation: Generation,
    user_features: Arc<HashMap<UserId, Fields>>,
    user_embeddings: Arc<HashMap<UserId, Vec<f32>>>,
    user_ratings: Arc<HashMap<UserId, Vec<StoredRating>>>,
    movie_features: Arc<HashMap<MovieId, Fields>>,
    movie_embeddings: Arc<HashMap<MovieId, Vec<f32>>>,
    movie_ratings: Arc<HashMap<MovieId, MovieRatings>>,
    user_list: Arc<UserList>,
    embedding_info: Arc<Option<String>>,
    watermark: Arc<Option<Watermark>>,
}

const ADDRESS: &str = "memory";

impl MemoryStore {
    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn read<T>(&self, value: T) -> Read<T> {
        Read { generation: self.generation, value }
    }

    fn movie(&self, id: MovieId) -> StoredMovie {
        StoredMovie {
            features: self.movie_features.get(&id).cloned(),
            embedding: self.movie_embeddings.get(&id).cloned(),
            ratings: self.movie_ratings.get(&id).cloned(),
            malformed: Vec::new(),
        }
    }

    fn user(&self, id: UserId) -> StoredUser {
        StoredUser {
            live: None,
            features: self.user_features.get(&id).cloned(),
            embedding: self.user_embeddings.get(&id).cloned(),
            ratings: self.user_ratings.get(&id).cloned(),
            malformed: Vec::new(),
        }
    }
}

#[async_trait]
impl FeatureStore for MemoryStore {
    fn address(&self) -> &str {
        ADDRESS
    }

    async fn generation(&self) -> Result<Generation, Error> {
        Ok(self.state().generation)
    }

    async fn users(&self, ids: &[UserId]) -> Result<Read<Vec<StoredUser>>, Error> {
        let state = self.state();
        Ok(state.read(ids.iter().map(|&id| state.user(id)).collect()))
    }

    async fn movies(&self, ids: &[MovieId]) -> Result<Read<Vec<StoredMovie>>, Error> {
        let state = self.state();
        Ok(state.read(ids.iter().map(|&id| state.movie(id)).collect()))
    }

    async fn all_movies(&self) -> Result<Read<Vec<(MovieId, StoredMovie)>>, Error> {
        let state = self.state();
        let mut ids: Vec<MovieId> = state
            .movie_features
            .keys()
            .chain(state.movie_embeddings.keys())
            .chain(state.movie_ratings.keys())
            .copied()
            .collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(state.read(ids.into_iter().map(|id| (id, state.movie(id))).collect()))
    }

    async fn user_list(&self) -> Result<Read<UserList>, Error> {
        let state = self.state();
        Ok(state.read(state.user_list.as_ref().clone()))
    }

    async fn embedding_info(&self) -> Result<Read<Option<String>>, Error> {
        let state = self.state();
        Ok(state.read(state.embedding_info.as_ref().clone()))
    }

    async fn watermark(&self) -> Result<Read<Option<Watermark>>, Error> {
        let state = self.state();
        Ok(state.read(state.watermark.as_ref().clone()))
    }

    async fn push(&self) -> Result<Box<dyn Push>, Error> {
        let lock = Arc::clone(&self.pushing)
            .try_lock_owned()
            .map_err(|_| Error::refused(ADDRESS, "another push is in progress"))?;
        Ok(Box::new(MemoryPush {
            store: self.clone(),
            staged: Some(Staged::default()),
            _lock: lock,
        }))
    }
}

/// The entries so far; `None` for kinds without entries.
#[derive(Default)]
struct Staged {
    user_features: Option<HashMap<UserId, Fields>>,
    user_embeddings: Option<HashMap<UserId, Vec<f32>>>,
    user_ratings: Option<HashMap<UserId, Vec<StoredRating>>>,
    movie_features: Option<HashMap<MovieId, Fields>>,
    movie_embeddings: Option<HashMap<MovieId, Vec<f32>>>,
    movie_ratings: Option<HashMap<MovieId, MovieRatings>>,
    user_list: Option<UserList>,
    embedding_info: Option<String>,
    watermark: Option<Watermark>,
}

struct MemoryPush {
    store: MemoryStore,
    /// `None` after an error.
    staged: Option<Staged>,
    _lock: OwnedMutexGuard<()>,
}

#[async_trait]
impl Push for MemoryPush {
    async fn put(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        let mut staged = self.staged.take().ok_or_else(push_failed)?;
        for entry in &entries {
            entry.check()?;
            if let Entry::Watermark(new) = entry {
                check_watermark(ADDRESS, self.store.state().watermark.as_ref().as_ref(), new)?;
            }
        }
        for entry in entries {
            match entry {
                Entry::UserFeatures(id, fields) => put(&mut staged.user_features, id, fields),
                Entry::UserEmbedding(id, vector) => put(&mut staged.user_embeddings, id, vector),
                Entry::UserRatings(id, ratings) => put(&mut staged.user_ratings, id, ratings),
                Entry::MovieFeatures(id, fields) => put(&mut staged.movie_features, id, fields),
                Entry::MovieEmbedding(id, vector) => put(&mut staged.movie_embeddings, id, vector),
                Entry::MovieRatings(id, ratings) => put(&mut staged.movie_ratings, id, ratings),
                Entry::UserList(list) => staged.user_list = Some(list),
                Entry::EmbeddingInfo(text) => staged.embedding_info = Some(text),
                Entry::Watermark(watermark) => staged.watermark = Some(watermark),
            }
        }
        self.staged = Some(staged);
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<Generation, Error> {
        let staged = self.staged.ok_or_else(push_failed)?;
        let mut current = self.store.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = State::clone(&current);
        next.generation = current.generation.next();
        replace(&mut next.user_features, staged.user_features);
        replace(&mut next.user_embeddings, staged.user_embeddings);
        replace(&mut next.user_ratings, staged.user_ratings);
        replace(&mut next.movie_features, staged.movie_features);
        if staged.movie_embeddings.is_some() {
            // The old description does not describe the new vectors.
            next.embedding_info = Arc::default();
        }
        replace(&mut next.movie_embeddings, staged.movie_embeddings);
        replace(&mut next.movie_ratings, staged.movie_ratings);
        replace(&mut next.user_list, staged.user_list);
        replace(&mut next.embedding_info, staged.embedding_info.map(Some));
        replace(&mut next.watermark, staged.watermark.map(Some));
        let generation = next.generation;
        *current = Arc::new(next);
        Ok(generation)
    }
}

fn push_failed() -> Error {
    Error::push_failed(ADDRESS)
}

fn put<K: Eq + std::hash::Hash, V>(table: &mut Option<HashMap<K, V>>, id: K, value: V) {
    table.get_or_insert_default().insert(id, value);
}

fn replace<T>(current: &mut Arc<T>, staged: Option<T>) {
    if let Some(staged) = staged {
        *current = Arc::new(staged);
    }
}
