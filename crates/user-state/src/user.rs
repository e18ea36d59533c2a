//! Turns the answer of a store into the user's state.

use std::sync::Arc;

use sparrow_engine::{Engine, Reason};
use sparrow_features::{FAVOURITE_GENRE_FIELDS, RATED_MOVIE_FIELDS};
use sparrow_live::LiveUser;
use sparrow_model::{
    Catalog, Genre, History, MovieId, MovieIndex, OwnedHistory, Rated, UserId, UserState,
};
use sparrow_store::{Error, Fields, Generation, Read, StoredUser};

use crate::reader::StoreReader;

/// A feature store as the source of users, for one engine.
#[derive(Debug, Clone)]
pub struct StoreSource {
    /// The store.
    pub reader: Arc<StoreReader>,
    /// The generation of the movies' statistics and vectors in the engine; `None` while they are not loaded, so
    /// that no user's vector is compared with them.
    pub generation: Option<Generation>,
    /// Some movies that the store had when it was loaded. A store without generations that no longer has any of
    /// them was emptied.
    pub sample_movies: Vec<MovieId>,
    /// A data set with the rating histories of users of whom the store has none.
    pub histories: Option<Arc<Catalog>>,
}

/// A user as read from a store or from a request, in the terms of an engine's catalogue: owns what [`UserState`] borrows.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct LoadedUser {
    pub(crate) id: UserId,
    pub(crate) is_anonymous: bool,
    /// The ratings.
    pub(crate) history: Option<OwnedHistory>,
    /// The ratings together with movies that are liked but not rated; `None` without such movies.
    pub(crate) model_history: Option<OwnedHistory>,
    pub(crate) also_rated: Vec<MovieIndex>,
    pub(crate) unseen: Vec<MovieIndex>,
    pub(crate) hidden: Vec<MovieIndex>,
    pub(crate) favourite_genres: Vec<Genre>,
    pub(crate) embedding: Option<Vec<f32>>,
    pub(crate) features: Option<Fields>,
    pub(crate) missing: Option<Reason>,
    pub(crate) has_live_data: bool,
    pub(crate) has_live_ratings: bool,
    /// See [`UserState::is_updated`].
    pub(crate) is_updated: bool,
}

impl StoreSource {
    /// The user for recommendations, in one round trip (a second one for unknown users of a store without
    /// generations). Never fails: if the store does, the user is empty, and [`LoadedUser::missing`] is the reason.
    pub async fn load(&self, id: UserId, engine: &Engine) -> LoadedUser {
        self.read(id, engine).await.unwrap_or_else(|error| self.failed(id, error))
    }

    /// The user whom the store could not read.
    pub(crate) fn failed(&self, id: UserId, error: Error) -> LoadedUser {
        match error {
            Error::Malformed { key, what } => {
                self.reader.count_malformed(&key, &what);
                LoadedUser::unknown(id, Reason::StoreFailed)
            }
            _ => LoadedUser::unknown(id, Reason::StoreUnavailable),
        }
    }

    /// The user, or the error of the store. A user without any data is no error; see [`LoadedUser::is_empty`].
    pub async fn read(&self, id: UserId, engine: &Engine) -> Result<LoadedUser, Error> {
        Ok(self.read_with_live_data(id, engine).await?.0)
    }

    /// The same, and the live data if the store returned them; they are not applied to the user.
    pub(crate) async fn read_with_live_data(
        &self,
        id: UserId,
        engine: &Engine,
    ) -> Result<(LoadedUser, Option<LiveUser>), Error> {
        let (read, live) = self.stored_with_live_data(id).await?;
        Ok((LoadedUser::new(id, read, self, engine), live))
    }

    /// The user as stored, without live data. If the store has nothing of the user and has no generations, which would
    /// show that it was emptied, this takes a second read, of movies that it had.
    pub async fn stored_user(&self, id: UserId) -> Result<Read<StoredUser>, Error> {
        Ok(self.stored_with_live_data(id).await?.0)
    }

    pub(crate) async fn stored_with_live_data(
        &self,
        id: UserId,
    ) -> Result<(Read<StoredUser>, Option<LiveUser>), Error> {
        const WITHOUT: Generation = Generation(0);
        let mut read = self.reader.user(id).await?;
        let live = read.value.live.take();
        if read.value.is_empty()
            && (self.generation, read.generation) == (Some(WITHOUT), WITHOUT)
            && !self.reader.is_empty()
            && !self.sample_movies.is_empty()
        {
            self.reader.check_for_any(&self.sample_movies).await?;
        }
        Ok((read, live))
    }

    /// Why a read of this generation contains nothing about a user: [`Reason::UnknownUser`] only if the store
    /// can be trusted to have all users.
    pub fn why_missing(&self, read: Generation) -> Reason {
        if self.is_lost(read) {
            Reason::StoreUnavailable
        } else if self.generation == Some(read) {
            Reason::UnknownUser
        } else {
            Reason::StoreUpdating
        }
    }

    /// Whether the store was emptied: it had a generation and has none now, or it has no movies.
    fn is_lost(&self, read: Generation) -> bool {
        let had_one = self.generation.is_some_and(|generation| generation > Generation(0));
        (had_one && read == Generation(0)) || self.reader.is_empty()
    }

    /// The history of a user in `histories`, in the terms of `catalog`.
    fn history_in_data_set(&self, id: UserId, catalog: &Catalog) -> Option<OwnedHistory> {
        let data = self.histories.as_ref()?;
        let rated = data.users().find(id)?.iter().filter_map(|rated| {
            let movie = catalog.index_of(data.movie(rated.movie).id)?;
            Some(Rated { movie, ..rated })
        });
        Some(OwnedHistory::new(id, rated))
    }
}

impl LoadedUser {
    pub(crate) const fn unknown(id: UserId, why: Reason) -> Self {
        Self {
            id,
            is_anonymous: false,
            history: None,
            model_history: None,
            also_rated: Vec::new(),
            unseen: Vec::new(),
            hidden: Vec::new(),
            favourite_genres: Vec::new(),
            embedding: None,
            features: None,
            missing: Some(why),
            has_live_data: false,
            has_live_ratings: false,
            is_updated: false,
        }
    }

    pub(crate) fn new(
        id: UserId,
        read: Read<StoredUser>,
        source: &StoreSource,
        engine: &Engine,
    ) -> Self {
        let Read { generation, value: user } = read;
        let catalog = engine.catalog();
        let in_data_set = source.history_in_data_set(id, catalog);
        if user.is_empty() && (in_data_set.is_none() || source.is_lost(generation)) {
            return Self::unknown(id, source.why_missing(generation));
        }
        let StoredUser { features, embedding, ratings, malformed, .. } = user;
        let stored = ratings.map(|ratings| {
            let ratings = ratings.into_iter().filter_map(|rating| {
                let movie = catalog.index_of(rating.movie)?;
                Some(Rated { movie, stars: rating.stars, timestamp: rating.timestamp })
            });
            OwnedHistory::new(id, ratings)
        });
        let history = stored.or(in_data_set);
        let (mut also_rated, mut genres) = (Vec::new(), Vec::new());
        if let Some(history) = &history {
            genres = engine.favourite_genres(&history.get());
        } else if let Some(features) = &features {
            let values =
                |fields: [&'static str; 5]| fields.into_iter().filter_map(|f| features.get(f));
            let movies = values(RATED_MOVIE_FIELDS).filter_map(|id| id.parse().ok());
            also_rated.extend(movies.filter_map(|id| catalog.index_of(MovieId(id))));
            let favourites = values(FAVOURITE_GENRE_FIELDS);
            genres.extend(favourites.filter_map(|genre| catalog.genres().find(genre)));
        }

        let mut missing = history.is_none().then_some(Reason::NoHistory);
        if !malformed.is_empty() {
            missing = Some(Reason::StoreFailed);
        }
        let mut vector = embedding.zip(engine.embeddings());
        if vector.is_some() && source.generation != Some(generation) {
            missing = Some(Reason::StoreUpdating);
            vector = None;
        }
        let embedding = vector.and_then(|(mut vector, embeddings)| {
            if embeddings.prepare(&mut vector) {
                return Some(vector);
            }
            missing = Some(Reason::StoreFailed);
            let key = sparrow_store::Kind::UserEmbedding.key(id.0);
            source.reader.count_malformed(&key, "it does not fit the vectors of the movies");
            None
        });
        Self {
            history,
            also_rated,
            favourite_genres: genres,
            embedding,
            features,
            missing,
            ..Self::unknown(id, Reason::UnknownUser)
        }
    }

    /// A user without an id, with these ratings of distinct movies and with the vector that the engine computes from them.
    /// Without ratings, the user is [`Reason::UnknownUser`].
    pub fn anonymous(ratings: impl IntoIterator<Item = Rated>, engine: &Engine) -> Self {
        let UserState { id, is_anonymous, .. } = UserState::anonymous();
        let owned = OwnedHistory::new(id, ratings);
        let history = owned.get();
        if history.is_empty() {
            return Self { is_anonymous, ..Self::unknown(id, Reason::UnknownUser) };
        }
        let embedding = engine.embeddings().and_then(|vectors| vectors.vector_of(&history));
        Self {
            is_anonymous,
            favourite_genres: engine.favourite_genres(&history),
            embedding,
            missing: None,
            history: Some(owned),
            ..Self::unknown(id, Reason::UnknownUser)
        }
    }

    /// Why a part of the state is missing; `None` if it is complete. Belongs into [`Engine::recommend_to`],
    /// which returns it as the reason of a degraded answer.
    pub const fn missing(&self) -> Option<Reason> {
        self.missing
    }

    /// Whether nothing is known about the user.
    pub const fn is_empty(&self) -> bool {
        self.history.is_none()
            && self.features.is_none()
            && self.embedding.is_none()
            && !self.has_live_data
    }

    /// The ratings; `None` if they are not known.
    pub fn history(&self) -> Option<History<'_>> {
        self.history.as_ref().map(OwnedHistory::get)
    }

    /// The features, by the names of the store.
    pub const fn features(&self) -> Option<&Fields> {
        self.features.as_ref()
    }

    /// The genres of liked movies, most liked first: of the history, or of the features if there is none.
    pub fn favourite_genres(&self) -> &[Genre] {
        &self.favourite_genres
    }
}
