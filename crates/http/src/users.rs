//! Who a request is about: a user of the catalogue, or one that the store knows.

use std::cmp::Reverse;

use sparrow_engine::{Engine, Reason};
use sparrow_model::{
    Catalog, Features, Genre, Histories, History, MovieId, MovieIndex, OwnedHistory, Rated, UserId,
    UserProfile, UserState,
};
use sparrow_store::{Error, Fields, Generation, Read, StoredUser};

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
    /// The mean rating in stars; `None` without ratings.
    pub(crate) average: Option<f64>,
}

impl Directory {
    pub(crate) fn of_catalog(users: &Histories) -> Self {
        let entry = |history: History<'_>| Entry {
            id: history.user(),
            ratings: history.len() as u32,
            average: (history.len() > 0).then(|| history.average()),
        };
        Self::new(users.iter().map(entry).collect())
    }

    pub(crate) fn of_store(store: &FromStore) -> Self {
        let list = &store.users;
        if let (0, Some(histories)) = (list.total, &store.histories) {
            return Self::of_catalog(histories.users());
        }
        let entry = |&(id, ratings, half_stars): &(UserId, u32, u32)| Entry {
            id,
            ratings,
            average: (ratings > 0).then(|| f64::from(half_stars) / 2.0 / f64::from(ratings)),
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

    fn new(id: UserId, read: Read<StoredUser>, store: &FromStore, engine: &Engine) -> Self {
        let Read { generation, value: user } = read;
        let same_generation = store.is_of_this(generation);
        let catalog = engine.catalog();
        let known = store.histories.as_ref().and_then(|data| history_in(data, id, catalog));
        if user.is_empty() && (known.is_none() || store.has_lost(generation)) {
            return Self::nothing(id, store.why_missing(generation));
        }
        let StoredUser { features, embedding, ratings, malformed } = user;
        let stored = ratings.map(|ratings| {
            let ratings = ratings.into_iter().filter_map(|rating| {
                let movie = catalog.index_of(rating.movie)?;
                Some(Rated { movie, stars: rating.stars, timestamp: rating.timestamp })
            });
            OwnedHistory::new(id, ratings)
        });
        let history = stored.or(known);
        let has_history = history.is_some();
        let history = history.unwrap_or_else(|| OwnedHistory::new(id, []));
        let (mut also_rated, mut genres) = (Vec::new(), Vec::new());
        if has_history {
            genres = engine.favourite_genres(&history.get());
        } else if let Some(features) = &features {
            let movies = listed(features, "userRatedMovie").filter_map(|id| id.parse().ok());
            also_rated.extend(movies.filter_map(|id| catalog.index_of(MovieId(id))));
            genres.extend(listed(features, "userGenre").filter_map(|g| catalog.genres().find(g)));
        }

        let mut lacking = (!has_history).then_some(Reason::NoHistory);
        for value in &malformed {
            lacking = Some(Reason::StoreFailed);
            store.reader.left_out(&value.key, &value.what);
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
            let key = sparrow_store::Kind::UserEmbedding.key(id.0);
            store.reader.left_out(&key, "it does not fit the vectors of the movies");
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

/// The user's history in a data set, in the terms of another catalogue.
fn history_in(data: &Catalog, id: UserId, catalog: &Catalog) -> Option<OwnedHistory> {
    let history = data.users().find(id)?;
    let rated = history.iter().filter_map(|rated| {
        let movie = catalog.index_of(data.movie(rated.movie).id)?;
        Some(Rated { movie, ..rated })
    });
    Some(OwnedHistory::new(id, rated))
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

    /// Why nothing was read of a user, who may exist all the same.
    fn why_missing(&self, read: Generation) -> Reason {
        if self.has_lost(read) {
            Reason::StoreUnavailable
        } else if self.is_of_this(read) {
            Reason::UnknownUser
        } else {
            Reason::StoreUpdating
        }
    }

    /// The problem of a user of whom nothing was read.
    pub(crate) fn missing(&self, id: UserId, read: Generation) -> Problem {
        missing(id, self.why_missing(read))
    }

    /// Whether the store was emptied: what was read has no generation where there was one, or no movie is left.
    fn has_lost(&self, read: Generation) -> bool {
        let had_one = self.generation.is_some_and(|generation| generation > Generation(0));
        (had_one && read == Generation(0)) || self.reader.is_empty()
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
        let read = store.reader.user(id).await.map_err(|error| unread(&error))?;
        let user = Gathered::new(id, read, store, &self.engine);
        match user.lacking {
            None | Some(Reason::NoHistory) => Ok(Found::InStore(Box::new(user))),
            Some(why) if user.is_nothing() => Err(missing(id, why)),
            Some(_) => Ok(Found::InStore(Box::new(user))),
        }
    }

    /// What the store says of a user, for recommendations: they come in any case.
    pub(crate) async fn gather(&self, store: &FromStore, id: UserId) -> Gathered {
        match store.reader.user(id).await {
            Ok(read) => Gathered::new(id, read, store, &self.engine),
            Err(Error::Malformed { key, what }) => {
                store.reader.left_out(&key, &what);
                Gathered::nothing(id, Reason::StoreFailed)
            }
            Err(_) => Gathered::nothing(id, Reason::StoreUnavailable),
        }
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

/// The problem of a user of whom there is nothing to show.
fn missing(id: UserId, why: Reason) -> Problem {
    match why {
        Reason::UnknownUser => no_user(id),
        Reason::StoreUnavailable => Problem::new(Kind::Unavailable, "the feature store is empty"),
        Reason::StoreUpdating => {
            Problem::new(Kind::Unavailable, "the feature store is being updated")
        }
        _ => unreadable(),
    }
}
