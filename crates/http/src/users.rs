//! Who a request is about: a user of the catalogue, or one that the store knows.

use std::cmp::Reverse;

use sparrow_engine::{Engine, Reason};
use sparrow_model::{
    Catalog, Features, Genre, Histories, History, MovieId, MovieIndex, OwnedHistory, Rated, UserId,
    UserProfile, UserState,
};
use sparrow_store::{Error, Fields, Generation, Read, StoredUser, UserList};

use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::store::FromStore;

/// The users for lists.
#[derive(Debug)]
pub(crate) struct Directory {
    /// In order of id.
    by_id: Vec<Entry>,
    /// Places in `by_id`, by number of ratings, most first; ties by id.
    by_activity: Vec<u32>,
}

/// A user in a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) id: UserId,
    pub(crate) ratings: u32,
    /// The mean rating in stars.
    pub(crate) average: f64,
}

impl Directory {
    pub(crate) fn of_catalog(users: &Histories) -> Self {
        let entry = |history: History<'_>| Entry {
            id: history.user(),
            ratings: history.len() as u32,
            average: history.average(),
        };
        Self::new(users.iter().map(entry).collect())
    }

    pub(crate) fn of_store(list: &UserList) -> Self {
        let entry = |&(id, ratings, half_stars): &(UserId, u32, u32)| Entry {
            id,
            ratings,
            average: f64::from(half_stars) / 2.0 / f64::from(ratings.max(1)),
        };
        Self::new(list.most_active.iter().map(entry).collect())
    }

    fn new(mut by_id: Vec<Entry>) -> Self {
        by_id.sort_by_key(|entry| entry.id);
        let mut by_activity: Vec<u32> = (0..by_id.len() as u32).collect();
        by_activity.sort_by_key(|&place| Reverse(by_id[place as usize].ratings));
        Self { by_id, by_activity }
    }

    pub(crate) const fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The user at a place of one of the two orders.
    pub(crate) fn get(&self, place: usize, by_activity: bool) -> Entry {
        self.by_id[if by_activity { self.by_activity[place] as usize } else { place }]
    }
}

/// A user that is there.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    InCatalog(History<'a>),
    InStore(Box<Gathered>),
}

impl Found<'_> {
    /// The ratings; none for a user of whom the store has only features.
    pub(crate) fn history(&self) -> History<'_> {
        match self {
            Self::InCatalog(history) => *history,
            Self::InStore(user) => user.history.get(),
        }
    }

    /// How the user rates; without ratings, as far as the features tell.
    pub(crate) fn profile(&self, catalog: &Catalog) -> UserProfile {
        let mut profile = UserProfile::new(&self.history(), catalog);
        if let Self::InStore(user) = self
            && let (false, Some(features)) = (user.has_history, &user.features)
        {
            profile.rating_count = number(features, "userRatingCount").unwrap_or(0);
            let average = number(features, "userAvgRating").unwrap_or(0.0);
            profile.average = if (0.0..=5.0).contains(&average) { average } else { 0.0 };
        }
        profile
    }

    /// The favourite genres of a user of whom only features are known.
    pub(crate) fn listed_genres(&self) -> &[Genre] {
        match self {
            Self::InStore(user) if !user.has_history => &user.favourite_genres,
            _ => &[],
        }
    }
}

/// What a store has said of a user, in the terms of a catalogue.
#[derive(Debug)]
pub(crate) struct Gathered {
    history: OwnedHistory,
    has_history: bool,
    also_rated: Vec<MovieIndex>,
    favourite_genres: Vec<Genre>,
    embedding: Option<Vec<f32>>,
    features: Option<Fields>,
    /// Why something of this is missing.
    pub(crate) lacking: Option<Reason>,
}

impl Gathered {
    /// Of whom nothing is known, and why.
    fn nothing(id: UserId, why: Reason) -> Self {
        Self {
            history: OwnedHistory::new(id, []),
            has_history: false,
            also_rated: Vec::new(),
            favourite_genres: Vec::new(),
            embedding: None,
            features: None,
            lacking: Some(why),
        }
    }

    fn new(id: UserId, user: StoredUser, same_generation: bool, engine: &Engine) -> Self {
        if user.is_empty() {
            // Whom the store has lost need not be unknown.
            let why = if same_generation { Reason::UnknownUser } else { Reason::StoreUpdating };
            return Self::nothing(id, why);
        }
        let catalog = engine.catalog();
        let StoredUser { features, embedding, ratings, malformed } = user;
        let has_history = ratings.is_some();
        let ratings = ratings.into_iter().flatten().filter_map(|rating| {
            let movie = catalog.index_of(rating.movie)?;
            Some(Rated { movie, stars: rating.stars, timestamp: rating.timestamp })
        });
        let history = OwnedHistory::new(id, ratings);
        let (mut also_rated, mut genres) = (Vec::new(), Vec::new());
        if has_history {
            genres = engine.favourite_genres(&history.get());
        } else if let Some(features) = &features {
            let movies = listed(features, "userRatedMovie").filter_map(|id| id.parse().ok());
            also_rated.extend(movies.filter_map(|id| catalog.index_of(MovieId(id))));
            genres.extend(listed(features, "userGenre").filter_map(|g| catalog.genres().find(g)));
        }

        let mut lacking = None;
        for value in &malformed {
            lacking = Some(Reason::StoreFailed);
            tracing::debug!(key = value.key, what = value.what, "malformed");
        }
        let mut vector = embedding.zip(engine.embeddings());
        if vector.is_some() && !same_generation {
            lacking = Some(Reason::StoreUpdating);
            vector = None;
        }
        let embedding = vector.and_then(|(mut vector, embeddings)| {
            if embeddings.prepare(&mut vector) {
                return Some(vector);
            }
            lacking = Some(Reason::StoreFailed);
            tracing::debug!(user = id.0, "the user's vector does not fit the movies'");
            None
        });
        Self {
            history,
            has_history,
            also_rated,
            favourite_genres: genres,
            embedding,
            features,
            lacking,
        }
    }

    /// Whether there is nothing of the user to show.
    fn is_nothing(&self) -> bool {
        !self.has_history && self.features.is_none() && self.embedding.is_none()
    }

    /// For the engine.
    pub(crate) fn state(&self, id: UserId) -> UserState<'_> {
        UserState {
            id,
            history: self.has_history.then(|| self.history.get()),
            also_rated: &self.also_rated,
            favourite_genres: &self.favourite_genres,
            embedding: self.embedding.as_deref(),
            features: self.features.as_ref().map(|fields| fields as &dyn Features),
        }
    }
}

/// The values of `{name}1` to `{name}5`, those that are empty or missing left out.
fn listed<'f>(features: &'f Fields, name: &str) -> impl Iterator<Item = &'f str> {
    let name = name.to_owned();
    let value = move |place| features.get(&format!("{name}{place}"));
    (1..=5).filter_map(value).filter(|value| !value.is_empty())
}

fn number<T: std::str::FromStr>(features: &Fields, name: &str) -> Option<T> {
    features.get(name)?.parse().ok()
}

impl FromStore {
    /// Whether what was read belongs with what the site was built from.
    pub(crate) fn is_of_this(&self, generation: Generation) -> bool {
        self.generation == Some(generation)
    }
}

impl Site {
    /// A user with their ratings, or why there is none to show.
    pub(crate) async fn user(&self, id: u32) -> Result<Found<'_>, Problem> {
        let id = UserId(id);
        let Some(store) = &self.store else {
            let found = self.catalog().users().find(id);
            return found.map(Found::InCatalog).ok_or_else(|| no_user(id));
        };
        let user = self.gathered(id, store.reader.user(id).await.map_err(|error| unread(&error))?);
        match user.lacking {
            Some(Reason::UnknownUser) => Err(no_user(id)),
            Some(Reason::StoreUpdating) if user.is_nothing() => Err(updating()),
            Some(_) if user.is_nothing() => Err(unreadable()),
            _ => Ok(Found::InStore(Box::new(user))),
        }
    }

    /// What the store says of a user, for recommendations: they come in any case.
    pub(crate) async fn gather(&self, store: &FromStore, id: UserId) -> Gathered {
        match store.reader.user(id).await {
            Ok(read) => self.gathered(id, read),
            Err(Error::Malformed { key, what }) => {
                tracing::debug!(key, what, "malformed");
                Gathered::nothing(id, Reason::StoreFailed)
            }
            Err(_) => Gathered::nothing(id, Reason::StoreUnavailable),
        }
    }

    fn gathered(&self, id: UserId, read: Read<StoredUser>) -> Gathered {
        let of_this = self.store.as_ref().is_some_and(|store| store.is_of_this(read.generation));
        Gathered::new(id, read.value, of_this, &self.engine)
    }
}

fn no_user(id: UserId) -> Problem {
    Problem::not_found(format!("there is no user {id}"))
}

fn unreadable() -> Problem {
    Problem::new(Kind::Internal, "the feature store's entry cannot be read")
}

/// The problem of a read that failed.
pub(crate) fn unread(error: &Error) -> Problem {
    if let Error::Malformed { key, what } = error {
        tracing::error!(key, what, "malformed entry in the feature store");
        return unreadable();
    }
    Problem::new(Kind::Unavailable, "the feature store does not answer at the moment")
}

/// The problem of what may be known again in a moment.
pub(crate) fn updating() -> Problem {
    Problem::new(Kind::Unavailable, "the feature store is being updated")
}
