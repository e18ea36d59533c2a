//! What live data change about a user.

use sparrow_model::{Catalog, History, MovieId, OwnedHistory, Rated, Stars, UserId};

use crate::{Action, Limits, Sequence, Write};

/// The live data of a user: the writes in force.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveUser {
    /// The last deletion of the user. Everything before it is gone, also from data sets and generations.
    pub forgotten: Option<Sequence>,
    /// Ratings and removals, at most one per movie, in order of movie.
    pub ratings: Vec<LiveRating>,
    /// Events, at most one per movie and type, in order of (movie, type).
    pub events: Vec<LiveEvent>,
}

/// A rating that was set or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveRating {
    /// The movie.
    pub movie: MovieId,
    /// The rating; `None` if it was removed.
    pub stars: Option<Stars>,
    /// Unix time in seconds.
    pub time: u32,
    /// The write.
    pub sequence: Sequence,
}

/// All events of one type about one movie.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveEvent {
    /// The movie.
    pub movie: MovieId,
    /// The name of the type.
    pub kind: Box<str>,
    /// How many there were.
    pub count: u32,
    /// The greatest value.
    pub greatest: f32,
    /// The value of the newest.
    pub newest: f32,
    /// The sum of the values.
    pub sum: f32,
    /// Unix time of the newest, in seconds.
    pub time: u32,
    /// The write of the newest.
    pub sequence: Sequence,
}

/// The user has as many live ratings as the limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitReached;

impl LiveUser {
    /// Whether there are no live data.
    pub const fn is_empty(&self) -> bool {
        self.forgotten.is_none() && self.ratings.is_empty() && self.events.is_empty()
    }

    /// The live rating of a movie.
    pub fn rating(&self, movie: MovieId) -> Option<&LiveRating> {
        let index = self.ratings.binary_search_by_key(&movie, |rating| rating.movie).ok()?;
        Some(&self.ratings[index])
    }

    /// Applies a write that has this sequence, and returns whether it is in force.
    ///
    /// A rating or removal is in force unless a later one is: by (time, sequence) among live ones, and by time against
    /// [`Write::stored_time`]. Events are always in force. If `limits` would be exceeded, the least recent events are
    /// removed, but a rating is refused and nothing changes.
    ///
    /// # Errors
    /// [`LimitReached`] for the rating or removal of a further movie.
    pub fn apply(
        &mut self,
        write: &Write,
        sequence: Sequence,
        limits: Limits,
    ) -> Result<bool, LimitReached> {
        let (movie, stars) = match &write.action {
            Action::Rate(movie, stars) => (*movie, Some(*stars)),
            Action::Unrate(movie) => (*movie, None),
            Action::Event { movie, kind, value } => {
                self.record_event(*movie, kind, *value, write.time, sequence);
                self.remove_oldest_events(limits.events);
                return Ok(true);
            }
            Action::Forget => {
                *self = Self { forgotten: Some(sequence), ..Self::default() };
                return Ok(true);
            }
        };
        // What is stored of a forgotten user does not count.
        let stored = write.stored_time.filter(|_| self.forgotten.is_none());
        if stored.is_some_and(|stored| write.time < stored) {
            return Ok(false);
        }
        let rating = LiveRating { movie, stars, time: write.time, sequence };
        match self.ratings.binary_search_by_key(&movie, |rating| rating.movie) {
            Ok(index) => {
                let in_force = &mut self.ratings[index];
                let is_newer = (in_force.time, in_force.sequence) < (rating.time, rating.sequence);
                if is_newer {
                    *in_force = rating;
                }
                Ok(is_newer)
            }
            Err(_) if self.ratings.len() >= limits.ratings => Err(LimitReached),
            Err(index) => {
                self.ratings.insert(index, rating);
                Ok(true)
            }
        }
    }

    fn record_event(
        &mut self,
        movie: MovieId,
        kind: &str,
        value: f32,
        time: u32,
        sequence: Sequence,
    ) {
        let key = (movie, kind);
        match self.events.binary_search_by(|event| (event.movie, &*event.kind).cmp(&key)) {
            Ok(index) => {
                let event = &mut self.events[index];
                event.count = event.count.saturating_add(1);
                event.greatest = event.greatest.max(value);
                event.sum += value;
                if (event.time, event.sequence) < (time, sequence) {
                    (event.newest, event.time, event.sequence) = (value, time, sequence);
                }
            }
            Err(index) => {
                let event = LiveEvent {
                    movie,
                    kind: kind.into(),
                    count: 1,
                    greatest: value,
                    newest: value,
                    sum: value,
                    time,
                    sequence,
                };
                self.events.insert(index, event);
            }
        }
    }

    fn remove_oldest_events(&mut self, limit: usize) {
        while self.events.len() > limit {
            let oldest = self.events.iter().enumerate().min_by_key(|(_, event)| event.sequence);
            let Some((oldest, _)) = oldest else { return };
            self.events.remove(oldest);
        }
    }

    /// The ratings of the user: those of a data set or generation, overlaid with the live ones. Movies outside the
    /// catalogue are left out. `stored` must be in the terms of the same catalogue.
    ///
    /// Of a stored and a live rating of one movie, the live one counts unless it is older. A live removal removes a
    /// stored rating of the same time or before.
    pub fn history(
        &self,
        user: UserId,
        stored: Option<History<'_>>,
        catalog: &Catalog,
    ) -> OwnedHistory {
        let stored = stored.filter(|_| self.forgotten.is_none());
        let live = self.ratings.iter().filter_map(|live| {
            let movie = catalog.index_of(live.movie)?;
            Some((movie, live))
        });
        // The indexes of a catalogue are in the order of ids, so this is sorted too.
        let live: Vec<_> = live.collect();
        let find = |movie| live.binary_search_by_key(&movie, |&(movie, _)| movie).ok();
        let mut superseded = vec![false; live.len()];
        let mut ratings = Vec::with_capacity(live.len() + stored.map_or(0, |stored| stored.len()));
        for rated in stored.iter().flat_map(History::iter) {
            match find(rated.movie) {
                Some(index) if live[index].1.time >= rated.timestamp => {}
                found => {
                    if let Some(index) = found {
                        superseded[index] = true;
                    }
                    ratings.push(rated);
                }
            }
        }
        for (&(movie, live), superseded) in live.iter().zip(superseded) {
            if let (Some(stars), false) = (live.stars, superseded) {
                ratings.push(Rated { movie, stars, timestamp: live.time });
            }
        }
        OwnedHistory::new(user, ratings)
    }
}
