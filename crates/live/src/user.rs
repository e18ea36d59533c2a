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

    /// Removes the ratings and removals up to a sequence, which a generation in force contains, and returns their number.
    ///
    /// Nothing is removed from a user who was deleted: what is stored of such a user never counts, also if it is from a
    /// data set that still contains the user. Events remain, as no generation contains them.
    pub fn drop_included(&mut self, last: Sequence) -> usize {
        if self.forgotten.is_some() {
            return 0;
        }
        let before = self.ratings.len();
        self.ratings.retain(|rating| rating.sequence > last);
        before - self.ratings.len()
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use sparrow_test_support::catalogue::{NO_GENRES, catalog, movie};

    use super::*;

    const USER: UserId = UserId(6);
    const MOVIES: u32 = 6;

    fn stars(half_stars: u8) -> Stars {
        Stars::from_half_stars(half_stars).unwrap()
    }

    fn at(count: u64) -> Sequence {
        Sequence { milliseconds: 1, count }
    }

    fn rate(movie: u32, half_stars: u8, time: u32) -> Write {
        Write::new(USER, Action::Rate(MovieId(movie), stars(half_stars)), time)
    }

    fn event(movie: u32, value: f32, time: u32) -> Write {
        let action = Action::Event { movie: MovieId(movie), kind: "view".into(), value };
        Write::new(USER, action, time)
    }

    /// Applies writes in this order.
    fn applied(writes: impl IntoIterator<Item = Write>, limits: Limits) -> LiveUser {
        let mut user = LiveUser::default();
        for (at_count, write) in writes.into_iter().enumerate() {
            let _ = user.apply(&write, at(at_count as u64), limits);
        }
        user
    }

    #[test]
    fn of_two_writes_at_the_same_time_the_later_one_is_in_force() {
        let mut user = LiveUser::default();
        let limits = Limits::default();
        assert_eq!(user.apply(&rate(1, 5, 100), at(1), limits), Ok(true));
        assert_eq!(user.apply(&rate(1, 6, 100), at(2), limits), Ok(true));
        assert_eq!(user.apply(&rate(1, 7, 99), at(3), limits), Ok(false));
        let removal = Write::new(USER, Action::Unrate(MovieId(1)), 100);
        // Delivered out of order: it has been accepted before the rating in force.
        assert_eq!(user.apply(&removal, at(1), limits), Ok(false));
        assert_eq!(user.rating(MovieId(1)).unwrap().stars, Some(stars(6)));
        assert_eq!(user.apply(&removal, at(4), limits), Ok(true));
        assert_eq!(user.rating(MovieId(1)).unwrap().stars, None);
        assert_eq!(user.rating(MovieId(2)), None);
    }

    #[test]
    fn a_write_older_than_the_stored_rating_is_not_applied() {
        let mut user = LiveUser::default();
        let old = Write { stored_time: Some(100), ..rate(1, 5, 99) };
        assert_eq!(user.apply(&old, at(1), Limits::default()), Ok(false));
        assert!(user.is_empty());
        let same = Write { stored_time: Some(100), ..rate(1, 5, 100) };
        assert_eq!(user.apply(&same, at(2), Limits::default()), Ok(true));
        user.apply(&Write::new(USER, Action::Forget, 0), at(3), Limits::default()).unwrap();
        assert!(!user.is_empty() && user.ratings.is_empty());
        assert_eq!(user.apply(&old, at(4), Limits::default()), Ok(true));
    }

    #[test]
    fn values_of_late_events_count_but_are_not_the_newest() {
        let user =
            applied([event(1, 2.0, 10), event(1, 3.0, 5), event(1, 1.0, 10)], Limits::default());
        let found = &user.events[0];
        assert_eq!((found.count, found.greatest, found.newest), (3, 3.0, 1.0));
        assert_eq!((found.sum, found.time, found.sequence), (6.0, 10, at(2)));
        assert_eq!(user.events.len(), 1);
    }

    #[test]
    fn the_least_recently_written_events_leave_first() {
        let limits = Limits { events: 2, ..Limits::default() };
        let writes = [event(3, 1.0, 9), event(1, 1.0, 5), event(3, 1.0, 10), event(2, 1.0, 1)];
        let user = applied(writes, limits);
        let movies: Vec<u32> = user.events.iter().map(|event| event.movie.0).collect();
        assert_eq!(movies, [2, 3]);
    }

    proptest! {
        /// The state of a user is that after the writes in force alone, in whatever order they are delivered.
        #[test]
        fn ratings_do_not_depend_on_the_order_of_delivery(
            writes in prop::collection::vec((0..MOVIES, 0..=10_u8, 0..5_u32), 0..30),
            order in prop::collection::vec(any::<u32>(), 30),
        ) {
            let write = |&(movie, half_stars, time): &(u32, u8, u32)| match half_stars {
                0 => Write::new(USER, Action::Unrate(MovieId(movie)), time),
                _ => rate(movie, half_stars, time),
            };
            let numbered: Vec<(u64, Write)> = (0..).zip(writes.iter().map(write)).collect();
            let mut shuffled: Vec<_> = numbered.iter().zip(order).collect();
            shuffled.sort_by_key(|(_, order)| *order);
            let mut user = LiveUser::default();
            for ((count, write), _) in &shuffled {
                user.apply(write, at(*count), Limits::default()).unwrap();
                // Delivered twice, it changes nothing.
                let before = user.clone();
                prop_assert_eq!(user.apply(write, at(*count), Limits::default()), Ok(false));
                prop_assert_eq!(&before, &user);
            }
            let mut naive = BTreeMap::new();
            for (count, (movie, half_stars, time)) in (0..).zip(&writes) {
                let newest = naive.entry(*movie).or_insert((*time, count, *half_stars));
                *newest = (*newest).max((*time, count, *half_stars));
            }
            let found = user.ratings.iter().map(|r| {
                (r.movie.0, (r.time, r.sequence.count, r.stars.map_or(0, Stars::half_stars)))
            });
            prop_assert_eq!(found.collect::<Vec<_>>(), naive.into_iter().collect::<Vec<_>>());
        }

        /// The ratings of a user are the same if the stored ones contain the live ones up to any sequence, whether or not
        /// these are still live.
        #[test]
        fn included_ratings_can_be_dropped_at_any_time(
            stored in prop::collection::btree_map(0..MOVIES, (1..=10_u8, 0..6_u32), 0..6),
            writes in prop::collection::vec((0..MOVIES, 0..=10_u8, 0..6_u32, 0..20_u8), 0..20),
            included in 0..20_usize,
        ) {
            let movies = || (0..MOVIES).map(|id| movie(id, None, NO_GENRES));
            let ratings = stored.iter().map(|(&movie, &(half, time))| (USER.0, movie, half, time));
            let first = catalog(movies(), ratings);
            let write = |&(movie, half_stars, time, kind): &(u32, u8, u32, u8)| {
                let movie = MovieId(movie);
                let action = match (kind, half_stars) {
                    (0, _) => Action::Forget,
                    (_, 0) => Action::Unrate(movie),
                    _ => Action::Rate(movie, stars(half_stars)),
                };
                // As servers write them.
                let stored_time = stored.get(&movie.0).map(|&(_, time)| time);
                Write { stored_time, ..Write::new(USER, action, time) }
            };
            let writes: Vec<Write> = writes.iter().map(write).collect();
            let included = included.min(writes.len());
            let exported = applied(writes[..included].iter().cloned(), Limits::default());
            let history = exported.history(USER, first.users().find(USER), &first);
            let ratings = history.get();
            let ratings = ratings.iter().map(|r| (USER.0, r.movie.0, r.stars.half_stars(), r.timestamp));
            let next = catalog(movies(), ratings.collect::<Vec<_>>());

            let mut user = applied(writes.iter().cloned(), Limits::default());
            let rated = |history: &OwnedHistory| history.get().iter().collect::<Vec<_>>();
            let expected = rated(&user.history(USER, first.users().find(USER), &first));
            let stored = next.users().find(USER);
            prop_assert_eq!(&rated(&user.history(USER, stored, &next)), &expected);
            if included > 0 {
                let last = at(included as u64 - 1);
                let dropped = user.drop_included(last);
                prop_assert!(user.ratings.iter().all(|it| it.sequence > last) || user.forgotten.is_some());
                prop_assert_eq!(&rated(&user.history(USER, stored, &next)), &expected);
                prop_assert_eq!((user.drop_included(last), dropped > 0 && user.forgotten.is_some()), (0, false));
            }
        }

        #[test]
        fn the_overlay_equals_a_naive_one(
            stored in prop::collection::btree_map(0..MOVIES, (1..=10_u8, 0..6_u32), 0..6),
            writes in prop::collection::vec((0..MOVIES + 2, 0..=10_u8, 0..6_u32, 0..20_u8), 0..20),
            has_stored: bool,
        ) {
            // Movies have the ids 10, 20, …, and others are not in the catalogue.
            let movies = (0..MOVIES).map(|movie_| movie(10 * (movie_ + 1), None, NO_GENRES));
            let ratings = stored.iter().map(|(&movie, &(half, time))| (USER.0, movie, half, time));
            let catalog = catalog(movies, ratings);
            let write = |&(movie, half_stars, time, kind): &(u32, u8, u32, u8)| {
                let movie = MovieId(10 * (movie + 1));
                let action = match (kind, half_stars) {
                    (0, _) => Action::Forget,
                    (1..=3, _) => Action::Event { movie, kind: "like".into(), value: 1.0 },
                    (_, 0) => Action::Unrate(movie),
                    _ => Action::Rate(movie, stars(half_stars)),
                };
                Write::new(USER, action, time)
            };
            let user = applied(writes.iter().map(write), Limits::default());
            let history = catalog.users().find(USER).filter(|_| has_stored);
            let found = user.history(USER, history, &catalog);

            let mut naive: BTreeMap<u32, (u32, Option<u8>)> = BTreeMap::new();
            if history.is_some() && user.forgotten.is_none() {
                naive.extend(stored.iter().map(|(&movie, &(half, time))| (movie, (time, Some(half)))));
            }
            for live in &user.ratings {
                let movie = live.movie.0 / 10 - 1;
                if movie < MOVIES && naive.get(&movie).is_none_or(|(time, _)| *time <= live.time) {
                    naive.insert(movie, (live.time, live.stars.map(Stars::half_stars)));
                }
            }
            let mut naive: Vec<(u32, u32, u8)> = naive
                .into_iter()
                .filter_map(|(movie, (time, half))| Some((time, movie, half?)))
                .collect();
            naive.sort_unstable();
            let found: Vec<(u32, u32, u8)> = found
                .get()
                .iter()
                .map(|r| (r.timestamp, r.movie.0, r.stars.half_stars()))
                .collect();
            prop_assert_eq!(found, naive);
        }
    }
}
