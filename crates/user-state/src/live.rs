//! Overlays users with their live data.

use std::sync::Arc;

use sparrow_engine::{Engine, Reason};
use sparrow_live::{Error, EventTypes, LiveStore, LiveUser, Opinion, unix_time};
use sparrow_model::{History, MovieIndex, OwnedHistory, Rated, Stars, UserId, UserState};
use sparrow_store::Error as StoreError;

use crate::user::{LoadedUser, StoreSource};

/// From this interest on, a movie counts as liked.
const LIKED: f32 = 1.0;

/// The rating that a liked movie counts as, in half stars.
const LIKED_HALF_STARS: u8 = 8;

/// Live data as a part of the source of users.
#[derive(Debug, Clone)]
pub struct LiveSource {
    /// The store for live data.
    pub store: Arc<dyn LiveStore>,
    /// What events mean.
    pub types: Arc<EventTypes>,
}

/// Where the users of one engine come from: from a feature store, or else from the engine's catalogue, overlaid with
/// live data.
#[derive(Debug, Clone, Default)]
pub struct UserSource {
    /// The feature store.
    pub store: Option<StoreSource>,
    /// The live data.
    pub live: Option<LiveSource>,
}

/// Why a user cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The feature store failed.
    #[error(transparent)]
    Store(#[from] sparrow_store::Error),
    /// The store for live data failed.
    #[error(transparent)]
    Live(#[from] Error),
}

impl LiveSource {
    /// The live data of a user; empty without any.
    pub async fn user(&self, id: UserId) -> Result<LiveUser, Error> {
        Ok(self.store.users(&[id]).await?.pop().unwrap_or_default())
    }
}

impl UserSource {
    /// Whether the users of the engine's catalogue are all users, as they are.
    pub const fn is_catalog(&self) -> bool {
        self.store.is_none() && self.live.is_none()
    }

    /// The user for recommendations; `None` if the engine's catalogue has everything that is known about the user. Reads
    /// the feature store and the live data at the same time, in one round trip if the feature store returns both. Never
    /// fails: what cannot be read is missing, and [`LoadedUser::missing`] is the reason.
    pub async fn load(&self, id: UserId, engine: &Engine) -> Option<LoadedUser> {
        let (stored, live) = self.read_both(id, engine).await;
        let stored = self
            .store
            .as_ref()
            .zip(stored)
            .map(|(store, user)| user.unwrap_or_else(|error| store.failed(id, error)));
        match live {
            Ok(live) => self.overlay(id, stored, &live, engine),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot read live data");
                let user = stored.unwrap_or_else(|| LoadedUser::of_catalog(id, engine));
                Some(user.without_live_data())
            }
        }
    }

    /// The same, or an error if a store fails.
    pub async fn read(&self, id: UserId, engine: &Engine) -> Result<Option<LoadedUser>, ReadError> {
        let (stored, live) = self.read_both(id, engine).await;
        Ok(self.overlay(id, stored.transpose()?, &live?, engine))
    }

    /// The user in the feature store, if there is one, and the live data.
    async fn read_both(
        &self,
        id: UserId,
        engine: &Engine,
    ) -> (Option<Result<LoadedUser, StoreError>>, Result<LiveUser, Error>) {
        let Some(store) = &self.store else { return (None, self.live(id).await) };
        if !(store.reader.reads_live_data && self.live.is_some()) {
            let (stored, live) = tokio::join!(store.read(id, engine), self.live(id));
            return (Some(stored), live);
        }
        match store.read_with_live_data(id, engine).await {
            Ok((user, Some(live))) => (Some(Ok(user)), Ok(live)),
            // Malformed live data; the other store reports why.
            Ok((user, None)) => (Some(Ok(user)), self.live(id).await),
            Err(error @ StoreError::Malformed { .. }) => (Some(Err(error)), self.live(id).await),
            Err(error) => {
                // The live data are in the same store: a second call would only wait longer.
                let store = store.reader.address().to_owned();
                let live = Error::Unavailable { store, what: error.to_string() };
                (Some(Err(error)), Err(live))
            }
        }
    }

    async fn live(&self, id: UserId) -> Result<LiveUser, Error> {
        match &self.live {
            Some(live) => live.user(id).await,
            None => Ok(LiveUser::default()),
        }
    }

    fn overlay(
        &self,
        id: UserId,
        stored: Option<LoadedUser>,
        live: &LiveUser,
        engine: &Engine,
    ) -> Option<LoadedUser> {
        let Some(source) = self.live.as_ref().filter(|_| !live.is_empty()) else { return stored };
        let user = stored.unwrap_or_else(|| LoadedUser::of_catalog(id, engine));
        Some(user.overlaid(live, &source.types, unix_time(), engine))
    }
}

impl LoadedUser {
    /// A user of the engine's catalogue; [`Reason::UnknownUser`] if it has none with this id.
    pub(crate) fn of_catalog(id: UserId, engine: &Engine) -> Self {
        let history = engine.catalog().users().find(id);
        let vectors = engine.embeddings();
        let embedding = vectors.and_then(|vectors| vectors.users.get(id.0)).map(<[f32]>::to_vec);
        if history.is_none() && embedding.is_none() {
            return Self::unknown(id, Reason::UnknownUser);
        }
        Self {
            favourite_genres: history.map_or_else(Vec::new, |h| engine.favourite_genres(&h)),
            // Known to be empty for a user who has a vector alone.
            history: Some(OwnedHistory::new(id, history.iter().flat_map(History::iter))),
            embedding,
            missing: None,
            ..Self::unknown(id, Reason::UnknownUser)
        }
    }

    /// The user overlaid with live data. `types` define what events mean, `now` is the Unix time in seconds.
    ///
    /// Live ratings replace, add and remove ratings of the history. A movie of an interest of at least 1 that is not rated
    /// counts for models as if it were rated four stars. If any of these change the history, the features are computed
    /// from it, and the vector is folded in, instead of the stored ones. If the history is not known, because the store has
    /// only features of the user or does not answer, the stored ones are kept.
    #[must_use]
    pub fn overlaid(
        mut self,
        live: &LiveUser,
        types: &EventTypes,
        now: u32,
        engine: &Engine,
    ) -> Self {
        if live.is_empty() {
            return self;
        }
        if live.forgotten.is_some() {
            self = Self::unknown(self.id, Reason::UnknownUser);
        }
        let catalog = engine.catalog();
        let is_known = self.history.is_some() || self.missing == Some(Reason::UnknownUser);
        self.has_live_data = !live.ratings.is_empty() || !live.events.is_empty();
        if !live.ratings.is_empty() {
            let stored = self.history.as_ref().map(OwnedHistory::get);
            let history = live.history(self.id, stored, catalog);
            // Removals may have taken back all changes.
            self.has_live_ratings =
                stored.is_none_or(|stored| stored.iter().ne(history.get().iter()));
            self.history = Some(history);
        }
        let has_likes =
            !live.events.is_empty() && self.add_opinions(types.opinions(live, now), engine);
        if !(self.has_live_ratings || has_likes) {
            return self;
        }
        let model_history = self.model_history.as_ref().or(self.history.as_ref());
        let Some(history) = model_history.map(OwnedHistory::get) else { return self };
        self.favourite_genres = engine.favourite_genres(&history);
        if is_known {
            self.embedding = engine.embeddings().and_then(|vectors| vectors.vector_of(&history));
            self.features = None;
            self.missing = history.is_empty().then_some(Reason::UnknownUser);
            self.is_updated = true;
        }
        self
    }

    /// Adds what events express; returns whether the user likes movies that are not rated.
    fn add_opinions(&mut self, opinions: Vec<Opinion>, engine: &Engine) -> bool {
        let history = self.history.iter().flat_map(|history| history.get().movies());
        let mut rated: Vec<MovieIndex> = history.collect();
        rated.sort_unstable();
        let mut likes = Vec::new();
        let (mut unseen, mut seen, mut hidden) = (Vec::new(), Vec::new(), Vec::new());
        for opinion in opinions {
            let Some(movie) = engine.catalog().index_of(opinion.movie) else { continue };
            if opinion.hidden {
                hidden.push(movie);
            }
            if rated.binary_search(&movie).is_ok() {
                continue;
            }
            let stars = Stars::from_half_stars(LIKED_HALF_STARS);
            if let Some(stars) = stars.filter(|_| opinion.interest >= LIKED) {
                likes.push(Rated { movie, stars, timestamp: opinion.time });
                if !opinion.seen {
                    unseen.push(movie);
                }
            } else if opinion.seen {
                seen.push(movie);
            }
        }
        let has_likes = !likes.is_empty();
        if has_likes {
            let rated = self.history.as_ref().map(OwnedHistory::get);
            let rated = rated.iter().flat_map(History::iter);
            self.model_history = Some(OwnedHistory::new(self.id, rated.chain(likes)));
        }
        self.also_rated.extend(seen);
        self.unseen = unseen;
        self.hidden = hidden;
        has_likes
    }

    /// The user if the live data could not be read.
    fn without_live_data(mut self) -> Self {
        let is_more_important = matches!(
            self.missing,
            Some(Reason::StoreUnavailable | Reason::StoreFailed | Reason::StoreUpdating)
        );
        if !is_more_important {
            self.missing = Some(Reason::LiveUnavailable);
        }
        self
    }

    /// Whether the history contains, or lacks, ratings because of live data: stored features are older.
    pub const fn has_live_ratings(&self) -> bool {
        self.has_live_ratings
    }

    /// The user's vector, prepared for comparison with those of movies.
    pub fn vector(&self) -> Option<&[f32]> {
        self.embedding.as_deref()
    }

    /// The state for [`Engine::recommend_to`].
    pub fn state(&self) -> UserState<'_> {
        UserState {
            id: self.id,
            is_anonymous: self.is_anonymous,
            history: self.model_history.as_ref().or(self.history.as_ref()).map(OwnedHistory::get),
            also_rated: &self.also_rated,
            unseen: &self.unseen,
            hidden: &self.hidden,
            is_updated: self.is_updated,
            favourite_genres: &self.favourite_genres,
            embedding: self.embedding.as_deref(),
            features: self.features.as_ref().map(|fields| fields as &dyn sparrow_model::Features),
        }
    }

    /// The movies that the user dismissed, in ascending order.
    pub fn hidden(&self) -> &[MovieIndex] {
        &self.hidden
    }
}
