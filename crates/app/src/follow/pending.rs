use std::collections::HashMap;

use sparrow_live::Sequence;
use sparrow_model::UserId;

/// Users with changes that are not processed yet.
#[derive(Debug, Default)]
pub(super) struct Pending(HashMap<UserId, Changes>);

#[derive(Debug)]
struct Changes {
    /// The newest write.
    newest: Sequence,
    /// When the oldest was made, in Unix milliseconds.
    since: u64,
    work: Work,
}

/// What remains to be done for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Work(u8);

impl Work {
    /// Count the ratings.
    pub(super) const COUNT: Self = Self(1);
    /// Write features and vector.
    pub(super) const PROJECT: Self = Self(2);

    pub(super) const fn all(projects: bool) -> Self {
        if projects { Self(Self::COUNT.0 | Self::PROJECT.0) } else { Self::COUNT }
    }

    const fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a write about a user.
    pub(super) fn add(&mut self, user: UserId, sequence: Sequence, since: u64, work: Work) {
        let changes =
            self.0.entry(user).or_insert(Changes { newest: sequence, since, work: Work(0) });
        changes.newest = changes.newest.max(sequence);
        changes.since = changes.since.min(since);
        changes.work.0 |= work.0;
    }

    /// The users with the oldest changes. They remain pending.
    pub(super) fn take_oldest(&self, most: usize) -> Vec<UserId> {
        let mut users: Vec<(u64, UserId)> =
            self.0.iter().map(|(user, changes)| (changes.since, *user)).collect();
        if users.len() > most {
            users.select_nth_unstable(most);
            users.truncate(most);
        }
        users.into_iter().map(|(_, user)| user).collect()
    }

    /// The newest write about a user for whom this remains to be done.
    pub(super) fn get(&self, user: UserId, work: Work) -> Option<Sequence> {
        let changes = self.0.get(&user).filter(|changes| changes.work.contains(work))?;
        Some(changes.newest)
    }

    /// Marks this as done for a user. Returns whether it remained to be done.
    pub(super) fn complete(&mut self, user: UserId, work: Work) -> bool {
        let Some(changes) = self.0.get_mut(&user) else { return false };
        let remained = changes.work.contains(work);
        changes.work.0 &= !work.0;
        if changes.work == Work(0) {
            self.0.remove(&user);
        }
        remained
    }

    pub(super) fn remove(&mut self, user: UserId) {
        self.0.remove(&user);
    }

    /// The time of the oldest change for which this remains to be done, and the number of such users.
    pub(super) fn oldest(&self, work: Work) -> (Option<u64>, usize) {
        let remaining = || self.0.values().filter(|changes| changes.work.contains(work));
        (remaining().map(|changes| changes.since).min(), remaining().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_remain_until_everything_is_done() {
        let at = |milliseconds| Sequence { milliseconds, count: 0 };
        let (mut pending, all) = (Pending::default(), Work::all(true));
        pending.add(UserId(1), at(5), 5, all);
        pending.add(UserId(2), at(3), 3, Work::all(false));
        pending.add(UserId(1), at(9), 9, all);
        pending.add(UserId(1), at(7), 7, all);
        assert_eq!(pending.get(UserId(1), Work::PROJECT), Some(at(9)));
        assert_eq!(pending.get(UserId(2), Work::PROJECT), None);
        assert_eq!(pending.oldest(Work::COUNT), (Some(3), 2));
        assert_eq!(pending.oldest(Work::PROJECT), (Some(5), 1));
        assert_eq!(pending.take_oldest(1), [UserId(2)]);
        assert!(pending.complete(UserId(2), Work::COUNT));
        assert!(pending.complete(UserId(1), Work::COUNT));
        assert!(!pending.complete(UserId(1), Work::COUNT));
        assert!(!pending.is_empty());
        assert!(pending.complete(UserId(1), Work::PROJECT));
        assert!(pending.is_empty());
    }
}
