//! Entries from the ratings of a MovieLens data set.

use std::cmp::Reverse;
use std::path::PathBuf;

use sparrow_model::{Catalog, MovieIndex, UserIndex};
use sparrow_movielens::Options as ReaderOptions;
use sparrow_movielens::{Loaded, Report, Source};
use sparrow_store::{Entry, MovieRatings, StoredRating, UserList};
use tokio::task;

use super::Error;
use super::file_reader::Batch;

/// The maximum size of the list of users.
const LISTED: usize = 100_000;

/// Entries per batch, and ratings in them.
const BATCH: usize = 1024;
const BATCH_RATINGS: usize = 1 << 16;

/// The size of a rating in a store, in bytes.
const RATING: u64 = 9;

/// A data set in memory, with eight bytes per rating, and the position of the next batch.
#[derive(Debug)]
pub(super) struct Ratings {
    catalog: Catalog,
    pub(super) report: Report,
    user: u32,
    movie: u32,
    listed: bool,
}

impl Ratings {
    pub(super) async fn load(folder: PathBuf, options: ReaderOptions) -> Result<Self, Error> {
        let load = move || Source::open(&folder)?.load(&options);
        let loaded = match task::spawn_blocking(load).await {
            Ok(loaded) => loaded?,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        };
        let Loaded { catalog, report } = loaded;
        Ok(Self { catalog, report, user: 0, movie: 0, listed: false })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.catalog.users().rating_count() as u64 * RATING
    }

    pub(super) fn next(&mut self) -> Option<Batch> {
        let rows = self.histories();
        if !rows.entries.is_empty() {
            return Some(rows);
        }
        let entries = self.movies();
        if !entries.is_empty() {
            return Some(Batch { entries, bytes: 0 });
        }
        let users = self.catalog.users();
        if std::mem::replace(&mut self.listed, true) || users.is_empty() {
            return None;
        }
        Some(Batch { entries: vec![Entry::UserList(user_list(&self.catalog))], bytes: 0 })
    }

    fn histories(&mut self) -> Batch {
        let users = self.catalog.users();
        let (mut entries, mut count) = (Vec::new(), 0);
        while (self.user as usize) < users.len() && entries.len() < BATCH && count < BATCH_RATINGS {
            let history = users.get(UserIndex(self.user));
            let ratings: Vec<StoredRating> = history
                .iter()
                .map(|rated| StoredRating {
                    movie: self.catalog.movie(rated.movie).id,
                    stars: rated.stars,
                    timestamp: rated.timestamp,
                })
                .collect();
            count += ratings.len();
            entries.push(Entry::UserRatings(history.user(), ratings));
            self.user += 1;
        }
        Batch { entries, bytes: count as u64 * RATING }
    }

    /// Movies without ratings are not stored.
    fn movies(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        while (self.movie as usize) < self.catalog.len() && entries.len() < BATCH {
            let movie = MovieIndex(self.movie);
            let stats = self.catalog.stats(movie);
            if stats.count > 0 {
                let ratings = MovieRatings {
                    count: stats.count,
                    half_stars: stats.half_stars(),
                    top: self.catalog.top_ratings(movie).to_vec(),
                };
                entries.push(Entry::MovieRatings(self.catalog.movie(movie).id, ratings));
            }
            self.movie += 1;
        }
        entries
    }
}

fn user_list(catalog: &Catalog) -> UserList {
    let users = catalog.users();
    let mut order: Vec<UserIndex> = (0..users.len() as u32).map(UserIndex).collect();
    let most_active_first = |&user: &UserIndex| (Reverse(users.get(user).len()), user);
    if order.len() > LISTED {
        order.select_nth_unstable_by_key(LISTED, most_active_first);
        order.truncate(LISTED);
    }
    order.sort_unstable_by_key(most_active_first);
    let listed = order.into_iter().map(|user| {
        let history = users.get(user);
        (history.user(), history.len() as u32, history.half_stars() as u32)
    });
    UserList { total: users.len() as u32, most_active: listed.collect() }
}
