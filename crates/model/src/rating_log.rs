use std::thread;

use crate::history::Packed;
use crate::{Histories, MovieIndex, Rated, Stars, UserId};

/// Ratings per block. A block has 512 KiB, which the allocator returns to the system when freed.
const BLOCK: usize = 1 << 16;

/// An append-only log of ratings in file order, which converts to [`Histories`].
///
/// A rating takes eight bytes, and each run of ratings of one user eight more. A file grouped by user, like
/// those of MovieLens, takes little over 8 bytes per line.
#[derive(Debug, Default)]
pub struct RatingLog {
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    /// Run lengths: users and their numbers of consecutive ratings.
    runs: Vec<(UserId, u32)>,
    ratings: Vec<Packed>,
}

impl RatingLog {
    /// Appends a rating; `movie` is an index into the [`Movies`](crate::Movies) of the same catalogue.
    pub fn push(&mut self, user: UserId, movie: MovieIndex, stars: Stars, timestamp: u32) {
        let packed = Packed::new(Rated { movie, stars, timestamp });
        let block = match self.blocks.last_mut() {
            Some(block) if block.ratings.len() < BLOCK => block,
            _ => {
                self.blocks.push(Block { runs: Vec::new(), ratings: Vec::with_capacity(BLOCK) });
                let last = self.blocks.len() - 1;
                &mut self.blocks[last]
            }
        };
        block.ratings.push(packed);
        match block.runs.last_mut() {
            Some((last, count)) if *last == user => *count += 1,
            _ => block.runs.push((user, 1)),
        }
    }

    /// Appends another log.
    pub fn append(&mut self, mut other: Self) {
        // Frees the unused part of the last block, which is large for small logs.
        if let Some(last) = self.blocks.last_mut() {
            last.ratings.shrink_to_fit();
        }
        self.blocks.append(&mut other.blocks);
    }

    /// The number of ratings.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.ratings.len()).sum()
    }

    /// Returns whether there are no ratings.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Groups the ratings by user and sorts each group by (timestamp, movie id), on all cores.
    ///
    /// Of several ratings of one movie by one user, the one with the greatest timestamp is kept; among equal
    /// timestamps, the later one in the log. Returns the histories and the number of dropped ratings.
    pub fn into_histories(self) -> (Histories, usize) {
        let mut users: Vec<u32> = Vec::new();
        for block in &self.blocks {
            users.extend(block.runs.iter().map(|(user, _)| user.0));
            // Bounds the list if a user's runs are spread over many blocks.
            if users.len() > BLOCK * 64 {
                users.sort_unstable();
                users.dedup();
            }
        }
        users.sort_unstable();
        users.dedup();
        users.shrink_to_fit();
        let index_of = |user: UserId| users.partition_point(|&known| known < user.0);

        let mut starts = vec![0; users.len() + 1];
        for (user, count) in self.blocks.iter().flat_map(|block| &block.runs) {
            starts[index_of(*user) + 1] += *count as usize;
        }
        for user in 0..users.len() {
            starts[user + 1] += starts[user];
        }

        let mut cursors = starts.clone();
        let mut ratings = vec![Packed::default(); self.len()];
        for block in self.blocks {
            let mut rest = &block.ratings[..];
            for (user, count) in block.runs {
                let (run, behind) = rest.split_at(count as usize);
                let cursor = &mut cursors[index_of(user)];
                ratings[*cursor..*cursor + run.len()].copy_from_slice(run);
                *cursor += run.len();
                rest = behind;
            }
        }

        let kept = sort_each(&mut ratings, &starts);
        let dropped = compact(&mut ratings, &mut starts, &kept);
        (Histories::new(users, starts, ratings), dropped)
    }
}

/// Sorts and deduplicates the ratings of each user at the front of the user's range. Returns the number of
/// remaining ratings of each user.
fn sort_each(ratings: &mut [Packed], starts: &[usize]) -> Vec<u32> {
    let users = starts.len() - 1;
    let mut kept = vec![0; users];
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = ratings.len() / threads + 1;
    thread::scope(|scope| {
        let (mut ratings, mut kept, mut first) = (ratings, &mut kept[..], 0);
        while first < users {
            let goal = starts[first] + share;
            let last = starts.partition_point(|&start| start < goal).min(users).max(first + 1);
            let (mine, others) = ratings.split_at_mut(starts[last] - starts[first]);
            let (my_kept, other_kept) = kept.split_at_mut(last - first);
            let my_starts = &starts[first..=last];
            scope.spawn(move || {
                for (user, kept) in my_kept.iter_mut().enumerate() {
                    let range = my_starts[user] - my_starts[0]..my_starts[user + 1] - my_starts[0];
                    *kept = sort(&mut mine[range]) as u32;
                }
            });
            (ratings, kept, first) = (others, other_kept, last);
        }
    });
    kept
}

/// Sorts and deduplicates the ratings of one user; returns the number of remaining ratings.
fn sort(ratings: &mut [Packed]) -> usize {
    let mut len = ratings.len();
    // Strictly ascending movie ids, as in MovieLens, exclude duplicates.
    if !ratings.is_sorted_by(|a, b| a.movie() < b.movie()) {
        ratings.sort_by_key(|rating| (rating.movie(), rating.timestamp()));
        let mut write = 0;
        for read in 0..ratings.len() {
            let last_of_pair = ratings.get(read + 1).map(|next| next.movie());
            if last_of_pair != Some(ratings[read].movie()) {
                ratings[write] = ratings[read];
                write += 1;
            }
        }
        len = write;
    }
    ratings[..len].sort_unstable();
    len
}

/// Removes the gaps of dropped duplicates; returns the number of duplicates.
fn compact(ratings: &mut Vec<Packed>, starts: &mut [usize], kept: &[u32]) -> usize {
    let before = ratings.len();
    let mut write = 0;
    for (user, &kept) in kept.iter().enumerate() {
        let start = starts[user];
        if write != start {
            ratings.copy_within(start..start + kept as usize, write);
        }
        starts[user] = write;
        write += kept as usize;
    }
    if let Some(end) = starts.last_mut() {
        *end = write;
    }
    ratings.truncate(write);
    before - write
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;

    fn log(ratings: &[(u32, u32, u8, u32)]) -> RatingLog {
        let mut log = RatingLog::default();
        for &(user, movie, half_stars, timestamp) in ratings {
            let stars = Stars::from_half_stars(half_stars).unwrap();
            log.push(UserId(user), MovieIndex(movie), stars, timestamp);
        }
        log
    }

    fn listed(histories: &Histories) -> Vec<(u32, u32, u8, u32)> {
        let mut all = Vec::new();
        for history in histories.iter() {
            all.extend(history.iter().map(|rated| {
                (history.user().0, rated.movie.0, rated.stars.half_stars(), rated.timestamp)
            }));
        }
        all
    }

    #[test]
    fn last_rating_of_a_user_and_movie_is_kept() {
        let later_line = log(&[(1, 4, 2, 50), (1, 4, 9, 50), (1, 3, 5, 60)]).into_histories();
        assert_eq!(listed(&later_line.0), [(1, 4, 9, 50), (1, 3, 5, 60)]);
        assert_eq!(later_line.1, 1);
        let later_time = log(&[(1, 4, 2, 90), (2, 1, 1, 1), (1, 4, 9, 50)]).into_histories();
        assert_eq!(listed(&later_time.0), [(1, 4, 2, 90), (2, 1, 1, 1)]);
    }

    #[test]
    fn several_blocks_keep_all_ratings() {
        let many = BLOCK as u32 * 2 + 5;
        let ratings: Vec<_> = (0..many).map(|n| (n % 3, n, 4, many - n)).collect();
        let (histories, dropped) = log(&ratings).into_histories();
        assert_eq!((histories.len(), histories.rating_count(), dropped), (3, many as usize, 0));
        assert!(histories.iter().all(|history| history.iter().is_sorted_by_key(|r| r.timestamp)));
    }

    proptest! {
        #[test]
        fn histories_equal_a_reference_map(
            ratings in prop::collection::vec((0..6_u32, 0..8_u32, 1..=10_u8, 0..20_u32), 0..80),
            cut in 0..80_usize,
        ) {
            let cut = cut.min(ratings.len());
            let mut whole = log(&ratings[..cut]);
            whole.append(log(&ratings[cut..]));
            let (histories, dropped) = whole.into_histories();

            let mut last = BTreeMap::new();
            for &(user, movie, half_stars, timestamp) in &ratings {
                let entry = last.entry((user, movie)).or_insert((timestamp, half_stars));
                if timestamp >= entry.0 {
                    *entry = (timestamp, half_stars);
                }
            }
            let mut expected: Vec<_> = last
                .into_iter()
                .map(|((user, movie), (timestamp, half_stars))| (user, timestamp, movie, half_stars))
                .collect();
            expected.sort_unstable();
            let expected: Vec<_> =
                expected.into_iter().map(|(user, time, movie, half)| (user, movie, half, time)).collect();
            prop_assert_eq!(dropped, ratings.len() - expected.len());
            prop_assert_eq!(listed(&histories), expected);
        }
    }
}
