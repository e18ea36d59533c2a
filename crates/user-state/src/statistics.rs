//! What live ratings change about the statistics of movies.

use std::collections::HashMap;

use sparrow_engine::CurrentPopularity;
use sparrow_model::{MovieIndex, Rated, UserId};

use crate::follow::{FollowedUser, RatingChange};

/// Differences between the statistics of a catalogue and those with live ratings.
///
/// Each user is counted once, with the ratings in force: setting a user again replaces what was counted before, so it does not
/// matter how often and in which order users are read.
#[derive(Debug)]
pub struct LiveStatistics {
    /// The time that ages of live ratings refer to, so that weights need not be computed again: Unix time in seconds.
    reference: u32,
    users: HashMap<UserId, Counted>,
    movies: HashMap<MovieIndex, MovieChange>,
}

/// The difference for a movie.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MovieChange {
    /// Of the number of ratings.
    pub count: i64,
    /// Of the sum of the ratings in half stars.
    pub half_stars: i64,
    /// Of the current popularity, at the time of reference.
    pub weight: f64,
}

/// The ratings of a user with live data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserChange {
    /// The user.
    pub user: UserId,
    /// The number of ratings; `None` if the user was deleted.
    pub ratings: Option<u32>,
    /// Their sum in half stars.
    pub half_stars: u32,
}

/// What was counted of a user.
#[derive(Debug)]
struct Counted {
    /// `None` if the ratings without live data are not known, and the number of all ratings neither.
    user: Option<UserChange>,
    changes: Box<[RatingChange]>,
    /// The number of ratings without and with live data.
    before: usize,
    after: usize,
}

impl LiveStatistics {
    /// Without live ratings.
    pub fn new(now: u32) -> Self {
        Self { reference: now, users: HashMap::new(), movies: HashMap::new() }
    }

    /// The time that weights refer to.
    pub const fn reference(&self) -> u32 {
        self.reference
    }

    /// The differences by movie. A movie without any may be missing.
    pub fn movies(&self) -> impl Iterator<Item = (MovieIndex, MovieChange)> {
        self.movies.iter().map(|(movie, change)| (*movie, *change))
    }

    /// The users with live data, in no order.
    pub fn users(&self) -> impl Iterator<Item = UserChange> {
        self.users.values().filter_map(|counted| counted.user)
    }

    /// The ids of all users who were counted.
    pub fn all_users(&self) -> impl Iterator<Item = UserId> {
        self.users.keys().copied()
    }

    /// Counts a user, instead of what was counted of the user before. Returns whether that changes anything.
    pub fn set(&mut self, id: UserId, user: &FollowedUser, popularity: &CurrentPopularity) -> bool {
        let removed = self.users.remove(&id);
        if let Some(counted) = &removed {
            self.add(counted, -1, popularity);
        }
        if user.is_empty() {
            return removed.is_some();
        }
        let history = user.history();
        let (ratings, half_stars) =
            history.map_or((0, 0), |history| (history.len() as u32, history.half_stars() as u32));
        let ratings = (!user.is_deleted()).then_some(ratings);
        let changed = UserChange { user: id, ratings, half_stars };
        let counted = Counted {
            user: user.is_known().then_some(changed),
            changes: user.changes().into(),
            before: user.stored_ratings(),
            after: ratings.unwrap_or(0) as usize,
        };
        self.add(&counted, 1, popularity);
        let is_same = removed
            .is_some_and(|before| before.user == counted.user && before.changes == counted.changes);
        self.users.insert(id, counted);
        !is_same
    }

    fn add(&mut self, counted: &Counted, sign: i64, popularity: &CurrentPopularity) {
        let mut add = |movie, rated: Option<Rated>, ratings, is_data: bool, sign: i64| {
            let Some(rated) = rated else { return };
            let change: &mut MovieChange = self.movies.entry(movie).or_default();
            change.count += sign;
            change.half_stars += sign * i64::from(rated.stars.half_stars());
            // The popularity of the data does not have ratings whose times are not known.
            if !is_data || popularity.has_times() {
                change.weight +=
                    sign as f64 * popularity.weight(ratings, rated.timestamp, self.reference);
            }
        };
        for &RatingChange { movie, before, after } in &counted.changes {
            add(movie, before, counted.before, true, -sign);
            add(movie, after, counted.after, false, sign);
        }
    }
}
