//! What live data change about a user, for consumers of the log: statistics of movies, and the values that other programs
//! read from the feature store.

use sparrow_engine::{Engine, Reason};
use sparrow_features::{USER_FIELDS, UserWindow};
use sparrow_live::{LiveUser, Sequence, unix_time};
use sparrow_model::{History, MovieIndex, OwnedHistory, Rated, UserId};
use sparrow_store::{Fields, Generation, Projected, Projection};

use crate::live::{LiveSource, ReadError, UserSource};
use crate::user::LoadedUser;

/// A user before and after the live data.
#[derive(Debug)]
pub struct FollowedUser {
    /// The generation that was read; `None` without a feature store.
    pub generation: Option<Generation>,
    /// The newest live write about the user that counts; zero without any.
    pub sequence: Sequence,
    live: LiveUser,
    /// Without live data; `None` if the ratings are not known, or there are none.
    stored: Option<OwnedHistory>,
    /// Whether the ratings without live data are known.
    is_known: bool,
    user: LoadedUser,
}

/// A rating that live data added, replaced or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatingChange {
    /// The movie.
    pub movie: MovieIndex,
    /// The rating without live data.
    pub before: Option<Rated>,
    /// The rating in force.
    pub after: Option<Rated>,
}

impl UserSource {
    /// Reads a user before and after the live data. `None` without live data.
    pub async fn follow(
        &self,
        id: UserId,
        engine: &Engine,
    ) -> Result<Option<FollowedUser>, ReadError> {
        let Some(source) = &self.live else { return Ok(None) };
        let Some(store) = &self.store else {
            let live = source.user(id).await?;
            let user = LoadedUser::of_catalog(id, engine);
            return Ok(Some(FollowedUser::new(None, user, live, source, engine)));
        };
        let (read, live) = if store.reader.reads_live_data {
            let (read, live) = store.stored_with_live_data(id).await?;
            let live = match live {
                Some(live) => live,
                // Malformed; this read reports why.
                None => source.user(id).await?,
            };
            (read, live)
        } else {
            (store.stored_user(id).await?, source.user(id).await?)
        };
        let generation = read.generation;
        let user = LoadedUser::new(id, read, store, engine);
        Ok(Some(FollowedUser::new(Some(generation), user, live, source, engine)))
    }
}

impl FollowedUser {
    fn new(
        generation: Option<Generation>,
        before: LoadedUser,
        live: LiveUser,
        source: &LiveSource,
        engine: &Engine,
    ) -> Self {
        let is_known = before.history.is_some() || before.missing == Some(Reason::UnknownUser);
        let ratings = live.ratings.iter().map(|rating| rating.sequence);
        let sequences = ratings.chain(live.events.iter().map(|event| event.sequence));
        let sequence = sequences.chain(live.forgotten).max().unwrap_or_default();
        let stored = before.history.clone();
        let user = before.overlaid(&live, &source.types, unix_time(), engine);
        Self { generation, sequence, live, stored, is_known, user }
    }

    /// Whether there are no live data.
    pub const fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether the user was deleted, and nothing is known since.
    pub const fn is_deleted(&self) -> bool {
        self.live.forgotten.is_some() && self.live.ratings.is_empty() && self.live.events.is_empty()
    }

    /// Whether the ratings without live data are known.
    pub const fn is_known(&self) -> bool {
        self.is_known
    }

    /// The ratings in force; `None` if they are not known.
    pub fn history(&self) -> Option<History<'_>> {
        self.user.history()
    }

    /// The number of the user's ratings without live data.
    pub fn stored_ratings(&self) -> usize {
        self.stored.as_ref().map_or(0, |stored| stored.get().len())
    }

    /// The ratings that live data changed, in order of movie.
    ///
    /// Ratings that the generation or data set has of a deleted user are not part of it: the next one does not have them.
    pub fn changes(&self) -> Vec<RatingChange> {
        let stored = self.stored.as_ref().filter(|_| self.live.forgotten.is_none());
        let by_movie = |history: Option<History<'_>>| {
            let mut ratings: Vec<Rated> = history.iter().flat_map(History::iter).collect();
            ratings.sort_unstable_by_key(|rated| rated.movie);
            ratings
        };
        let after = by_movie(self.user.history());
        let before = by_movie(stored.map(OwnedHistory::get));
        let (mut before, mut after) = (before.into_iter().peekable(), after.into_iter().peekable());
        let mut changes = Vec::new();
        loop {
            let movies = [before.peek(), after.peek()];
            let Some(movie) = movies.into_iter().flatten().map(|rated| rated.movie).min() else {
                return changes;
            };
            let before = before.next_if(|rated| rated.movie == movie);
            let after = after.next_if(|rated| rated.movie == movie);
            if before != after {
                changes.push(RatingChange { movie, before, after });
            }
        }
    }

    /// What the values of the user in the feature store become, as readers compute them. `read` is the newest write that is
    /// known to precede this read. `None` if the ratings without live data are not known: readers keep the stored values too.
    pub fn projection(&self, read: Sequence, engine: &Engine) -> Option<Projection> {
        if !self.is_known {
            return None;
        }
        let user = &self.user;
        let is_new = self.stored.as_ref().is_none_or(|stored| stored.get().is_empty());
        let fields = |history: &History<'_>| {
            let catalog = engine.catalog();
            let texts = UserWindow::of(history, catalog).features().texts(catalog.genres());
            let names = USER_FIELDS.iter().map(|name| (*name).to_owned());
            Fields(names.zip(texts).collect())
        };
        let history = user.history();
        let history = history.as_ref().filter(|history| !history.is_empty());
        let vector = || user.vector().map(<[f32]>::to_vec);
        let (features, embedding) = if self.live.forgotten.is_some() {
            (Projected::Replace(history.map(fields)), Projected::Replace(vector()))
        } else if self.live.is_empty() {
            (Projected::Settle, Projected::Settle)
        } else {
            let features = match history {
                Some(history) if user.has_live_ratings() => Projected::Set(Some(fields(history))),
                None if user.has_live_ratings() && !is_new => Projected::Set(None),
                _ => Projected::Restore,
            };
            // Without vectors of movies, that of the user is not compared, and stays.
            let is_updated = user.is_updated && engine.embeddings().is_some();
            let embedding = if is_updated { Projected::Set(vector()) } else { Projected::Restore };
            (features, embedding)
        };
        let sequence = self.sequence.max(read);
        Some(Projection { user: user.id, sequence, features, embedding, is_new })
    }
}
