//! What a survey of a ratings file keeps: a few numbers, and the movies of the users at its ends.

use std::mem;

use sparrow_model::{MovieIndex, Stars, UserId};

use crate::ratings::Gather;

/// Counts, and whether users come one after the other with each movie once.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    rows: u64,
    greatest_user: Option<UserId>,
    /// Runs of rows of one user, without the first and the last.
    inner_runs: u64,
    /// A user id is less than the one before.
    descends: bool,
    /// A user has a movie twice in an inner run.
    repeats: bool,
    /// The first run, which may go on before this part of the file.
    first: Option<Run>,
    /// The last one, if it is another, which may go on behind.
    last: Option<Run>,
}

/// What an outline says of the whole file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) rows: u64,
    pub(crate) greatest_user: Option<UserId>,
    /// Rows are grouped by user with ids ascending, and no user has a movie twice.
    pub(crate) grouped: bool,
    /// The number of users if `grouped`.
    pub(crate) users: u64,
}

/// Rows of one user that follow each other.
#[derive(Debug)]
struct Run {
    user: UserId,
    movies: Vec<MovieIndex>,
}

impl Run {
    fn repeats(mut self) -> bool {
        if self.movies.is_sorted_by(|a, b| a < b) {
            return false;
        }
        self.movies.sort_unstable();
        self.movies.windows(2).any(|pair| pair[0] == pair[1])
    }
}

impl Outline {
    /// What there is to say when nothing comes before or behind any more.
    pub(crate) fn findings(mut self) -> Findings {
        let runs =
            self.inner_runs + u64::from(self.first.is_some()) + u64::from(self.last.is_some());
        let ends = [self.first.take(), self.last.take()];
        let repeats = self.repeats || ends.into_iter().flatten().any(Run::repeats);
        Findings {
            rows: self.rows,
            greatest_user: self.greatest_user,
            grouped: !self.descends && !repeats,
            users: runs,
        }
    }

    /// Takes in a run that follows.
    fn follow(&mut self, run: Run) {
        let Some(end) = self.last.as_mut().or(self.first.as_mut()) else {
            self.first = Some(run);
            return;
        };
        if end.user == run.user {
            end.movies.extend(run.movies);
            return;
        }
        self.descends |= run.user < end.user;
        if let Some(inner) = self.last.replace(run) {
            self.inner_runs += 1;
            self.repeats = self.repeats || inner.repeats();
        }
    }
}

impl Gather for Outline {
    fn push(&mut self, user: UserId, movie: MovieIndex, _: Stars, _: u32) {
        self.rows += 1;
        self.greatest_user = self.greatest_user.max(Some(user));
        match self.last.as_mut().or(self.first.as_mut()) {
            // Once it descends there is nothing to find out any more.
            _ if self.descends => {}
            Some(run) if run.user == user => run.movies.push(movie),
            _ => self.follow(Run { user, movies: vec![movie] }),
        }
    }

    fn append(&mut self, mut later: Self) {
        self.rows += later.rows;
        self.greatest_user = self.greatest_user.max(later.greatest_user);
        self.descends |= later.descends;
        self.repeats |= later.repeats;
        if let Some(first) = later.first.take() {
            self.follow(first);
        }
        if let Some(last) = later.last.take() {
            // What was last until now, the first of the later part perhaps, is an inner run.
            self.inner_runs += mem::take(&mut later.inner_runs);
            self.follow(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outline(rows: &[(u32, u32)]) -> Outline {
        let mut outline = Outline::default();
        for &(user, movie) in rows {
            outline.push(UserId(user), MovieIndex(movie), Stars::LIKED, 0);
        }
        outline
    }

    proptest! {
        #[test]
        fn parts_join_to_the_outline_of_the_whole(
            mut rows in prop::collection::vec((1..9_u32, 0..30_u32), 0..40),
            (sort, distinct) in any::<(bool, bool)>(),
            cuts in prop::collection::vec(0..40_usize, 0..4),
        ) {
            if distinct {
                rows.sort_unstable();
                rows.dedup();
            }
            if sort {
                rows.sort_by_key(|row| (row.0, row.1 * 7 % 30));
            }
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows.len())).collect();
            cuts.sort_unstable();
            let (mut joined, mut from) = (Outline::default(), 0);
            for cut in cuts.into_iter().chain([rows.len()]) {
                joined.append(outline(&rows[from..cut]));
                from = cut;
            }
            let found = joined.findings();
            let mut pairs = rows.clone();
            pairs.sort_unstable();
            pairs.dedup();
            let grouped = rows.is_sorted_by_key(|row| row.0) && pairs.len() == rows.len();
            prop_assert_eq!(found.grouped, grouped);
            prop_assert_eq!(found.rows, rows.len() as u64);
            let greatest = rows.iter().map(|row| UserId(row.0)).max();
            prop_assert_eq!(found.greatest_user, greatest);
            if grouped {
                let users = rows.chunk_by(|a, b| a.0 == b.0).count();
                prop_assert_eq!(found.users, users as u64);
            }
        }
    }
}
