//! A mergeable summary of a ratings file: counts, and whether rows are grouped by user without duplicates.

use std::mem;

use sparrow_model::{MovieIndex, Stars, UserId};

use crate::ratings::Collect;

/// Accumulates the summary of a part of a ratings file.
#[derive(Debug, Default)]
pub(crate) struct SummaryBuilder {
    rows: u64,
    greatest_user: Option<UserId>,
    /// Number of runs of one user, except the first and the last.
    inner_runs: u64,
    /// Whether a user id is less than the previous one.
    is_unsorted: bool,
    /// Whether an inner run has a duplicate movie.
    has_duplicates: bool,
    /// The first run, which may start before this part of the file.
    first: Option<Run>,
    /// The last run, if different from the first, which may continue after this part.
    last: Option<Run>,
}

/// The summary of a whole file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) rows: u64,
    pub(crate) greatest_user: Option<UserId>,
    /// Whether rows are grouped by ascending user id, without duplicate movies.
    pub(crate) grouped: bool,
    /// The number of users if `grouped`.
    pub(crate) users: u64,
}

/// Consecutive rows of one user.
#[derive(Debug)]
struct Run {
    user: UserId,
    movies: Vec<MovieIndex>,
}

impl Run {
    fn has_duplicates(mut self) -> bool {
        if self.movies.is_sorted_by(|a, b| a < b) {
            return false;
        }
        self.movies.sort_unstable();
        self.movies.windows(2).any(|pair| pair[0] == pair[1])
    }
}

impl SummaryBuilder {
    /// Returns the summary of the whole file.
    pub(crate) fn finish(mut self) -> Summary {
        let runs =
            self.inner_runs + u64::from(self.first.is_some()) + u64::from(self.last.is_some());
        let ends = [self.first.take(), self.last.take()];
        let has_duplicates =
            self.has_duplicates || ends.into_iter().flatten().any(Run::has_duplicates);
        Summary {
            rows: self.rows,
            greatest_user: self.greatest_user,
            grouped: !self.is_unsorted && !has_duplicates,
            users: runs,
        }
    }

    /// Appends a run.
    fn append_run(&mut self, run: Run) {
        let Some(end) = self.last.as_mut().or(self.first.as_mut()) else {
            self.first = Some(run);
            return;
        };
        if end.user == run.user {
            end.movies.extend(run.movies);
            return;
        }
        self.is_unsorted |= run.user < end.user;
        if let Some(inner) = self.last.replace(run) {
            self.inner_runs += 1;
            self.has_duplicates = self.has_duplicates || inner.has_duplicates();
        }
    }
}

impl Collect for SummaryBuilder {
    fn push(&mut self, user: UserId, movie: MovieIndex, _: Stars, _: u32) {
        self.rows += 1;
        self.greatest_user = self.greatest_user.max(Some(user));
        match self.last.as_mut().or(self.first.as_mut()) {
            // Further rows cannot change the result.
            _ if self.is_unsorted => {}
            Some(run) if run.user == user => run.movies.push(movie),
            _ => self.append_run(Run { user, movies: vec![movie] }),
        }
    }

    fn append(&mut self, mut later: Self) {
        self.rows += later.rows;
        self.greatest_user = self.greatest_user.max(later.greatest_user);
        self.is_unsorted |= later.is_unsorted;
        self.has_duplicates |= later.has_duplicates;
        if let Some(first) = later.first.take() {
            self.append_run(first);
        }
        if let Some(last) = later.last.take() {
            // The previous last run is now an inner run.
            self.inner_runs += mem::take(&mut later.inner_runs);
            self.append_run(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn summarise(rows: &[(u32, u32)]) -> SummaryBuilder {
        let mut builder = SummaryBuilder::default();
        for &(user, movie) in rows {
            builder.push(UserId(user), MovieIndex(movie), Stars::LIKED, 0);
        }
        builder
    }

    proptest! {
        #[test]
        fn merged_parts_equal_the_whole(
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
            let (mut joined, mut from) = (SummaryBuilder::default(), 0);
            for cut in cuts.into_iter().chain([rows.len()]) {
                joined.append(summarise(&rows[from..cut]));
                from = cut;
            }
            let summary = joined.finish();
            let mut pairs = rows.clone();
            pairs.sort_unstable();
            pairs.dedup();
            let grouped = rows.is_sorted_by_key(|row| row.0) && pairs.len() == rows.len();
            prop_assert_eq!(summary.grouped, grouped);
            prop_assert_eq!(summary.rows, rows.len() as u64);
            let greatest = rows.iter().map(|row| UserId(row.0)).max();
            prop_assert_eq!(summary.greatest_user, greatest);
            if grouped {
                let users = rows.chunk_by(|a, b| a.0 == b.0).count();
                prop_assert_eq!(summary.users, users as u64);
            }
        }
    }
}
