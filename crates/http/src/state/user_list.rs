//! The users for lists, in two orders.

use std::cmp::Reverse;

use sparrow_model::{Histories, History, UserId};
use sparrow_store::UserList as StoredUserList;
use sparrow_user_state::UserChange;

/// The users for lists.
#[derive(Debug)]
pub(crate) struct UserList {
    /// In order of id.
    by_id: Vec<Entry>,
    /// Indexes into `by_id`, by number of ratings, most first; ties by id.
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

impl Entry {
    fn of_sum(id: UserId, ratings: u32, half_stars: u32) -> Self {
        let average = (ratings > 0).then(|| f64::from(half_stars) / 2.0 / f64::from(ratings));
        Self { id, ratings, average }
    }
}

impl UserList {
    pub(crate) fn from_histories(users: &Histories) -> Self {
        let entry = |history: History<'_>| Entry {
            id: history.user(),
            ratings: history.len() as u32,
            average: (!history.is_empty()).then(|| history.average()),
        };
        Self::new(users.iter().map(entry).collect())
    }

    pub(crate) fn from_store(list: &StoredUserList) -> Self {
        let users = list.most_active.iter();
        Self::new(users.map(|&(id, ratings, sum)| Entry::of_sum(id, ratings, sum)).collect())
    }

    fn new(mut by_id: Vec<Entry>) -> Self {
        by_id.sort_by_key(|entry| entry.id);
        let mut by_activity: Vec<u32> = (0..by_id.len() as u32).collect();
        by_activity.sort_by_key(|&index| Reverse(by_id[index as usize].ratings));
        Self { by_id, by_activity }
    }

    /// The same with users whose ratings have changed: added, replaced, or removed if they were deleted.
    pub(crate) fn with(&self, changes: impl IntoIterator<Item = UserChange>) -> Self {
        let mut changes: Vec<UserChange> = changes.into_iter().collect();
        changes.sort_unstable_by_key(|change| change.user);
        let is_same =
            |entry: &Entry| changes.binary_search_by_key(&entry.id, |change| change.user).is_err();
        let mut by_id: Vec<Entry> = self.by_id.iter().copied().filter(is_same).collect();
        by_id.extend(changes.iter().filter_map(|change| {
            Some(Entry::of_sum(change.user, change.ratings?, change.half_stars))
        }));
        Self::new(by_id)
    }

    pub(crate) const fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The user at an index of one of the two orders.
    pub(crate) fn get(&self, index: usize, by_activity: bool) -> Entry {
        self.by_id[if by_activity { self.by_activity[index] as usize } else { index }]
    }
}
