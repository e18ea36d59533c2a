//! Divides the ratings of a data set into a training and a test part.

use std::fmt;
use std::sync::Arc;

use sparrow_model::{Catalog, Histories, MovieIndex, RatingLog, Split};
use sparrow_random::Random;
use sparrow_train::split::{Sample, held_out, samples};

/// Which ratings are held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldOut {
    /// Those of a split.
    Split(Split),
    /// Random ratings, the same share of each movie's, rounded up: of a movie with one rating, that one. Microsoft's
    /// Recommenders divide in this way (`python_stratified_split` with `filter_by="item"`).
    RandomByMovie,
    /// The latest rating of each user who has at least two, whatever the fraction.
    LeaveOneOut,
    /// All ratings of random users.
    Users,
    /// All ratings of random movies.
    Movies,
}

impl HoldOut {
    /// Random ratings.
    pub const RANDOM: Self = Self::Split(Split::Random);
    /// The latest ratings.
    pub const TIME: Self = Self::Split(Split::Time);
    /// The latest ratings of each user.
    pub const PER_USER_TIME: Self = Self::Split(Split::PerUserTime);

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Split(split) => split.name(),
            Self::RandomByMovie => "random-by-movie",
            Self::LeaveOneOut => "leave-one-out",
            Self::Users => "users",
            Self::Movies => "movies",
        }
    }

    /// The split by which a model holds out its own validation part: as similar as possible.
    pub const fn validation_split(self) -> Split {
        match self {
            Self::Split(split) => split,
            Self::RandomByMovie | Self::Users | Self::Movies => Split::Random,
            Self::LeaveOneOut => Split::PerUserTime,
        }
    }
}

impl fmt::Display for HoldOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The training and the test part of a data set.
#[derive(Debug, Clone)]
pub struct Parts {
    /// All movies, with the same indexes as in the whole catalogue, and the training ratings. Statistics, orders and
    /// histories contain no others.
    pub training: Arc<Catalog>,
    /// The test ratings. Their users may be missing in the training part.
    pub test: Histories,
}

impl Parts {
    /// Holds out `fraction` of a catalogue's ratings.
    pub fn new(catalog: &Catalog, hold_out: HoldOut, fraction: f64, seed: u64) -> Self {
        let samples = samples(catalog);
        let mut random = Random::new(seed, 0);
        let is_test = match hold_out {
            HoldOut::Split(split) => held_out(&samples, split, fraction, &mut random),
            HoldOut::RandomByMovie => by_movie(&samples, fraction, &mut random),
            HoldOut::LeaveOneOut => last_ones(&samples),
            HoldOut::Users => all_of(&samples, |sample| sample.user, fraction, &mut random),
            HoldOut::Movies => all_of(&samples, |sample| sample.movie, fraction, &mut random),
        };
        let (mut training, mut test) = (RatingLog::default(), RatingLog::default());
        let mut is_test = is_test.into_iter();
        for history in catalog.users().iter() {
            for (rated, is_test) in history.iter().zip(&mut is_test) {
                let part = if is_test { &mut test } else { &mut training };
                part.push(history.user(), rated.movie, rated.stars, rated.timestamp);
            }
        }
        let (training, test) = (training.into_histories().0, test.into_histories().0);
        Self { training: Arc::new(catalog.with_histories(training)), test }
    }
}

/// Holds out random ratings, the same share of each movie's.
fn by_movie(samples: &[Sample], fraction: f64, random: &mut Random) -> Vec<bool> {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    random.shuffle(&mut order);
    // Stable: the order within a movie stays random.
    order.sort_by_key(|&index| samples[index].movie);
    let mut held_out = vec![false; samples.len()];
    for of_movie in order.chunk_by(|&a, &b| samples[a].movie == samples[b].movie) {
        // The small summand makes 3/4 of 4 equal to 3 despite rounding errors.
        let kept = ((1.0 - fraction) * of_movie.len() as f64 + 1e-9) as usize;
        for &index in &of_movie[kept..] {
            held_out[index] = true;
        }
    }
    held_out
}

/// Holds out all ratings of a random share of the users or movies with ratings.
fn all_of(
    samples: &[Sample],
    owner: impl Fn(&Sample) -> u32,
    fraction: f64,
    random: &mut Random,
) -> Vec<bool> {
    let mut owners: Vec<u32> = samples.iter().map(&owner).collect();
    owners.sort_unstable();
    owners.dedup();
    random.shuffle(&mut owners);
    owners.truncate((fraction * owners.len() as f64).round() as usize);
    owners.sort_unstable();
    samples.iter().map(|sample| owners.binary_search(&owner(sample)).is_ok()).collect()
}

/// Holds out the last rating of each user with at least two.
fn last_ones(samples: &[Sample]) -> Vec<bool> {
    let mut held_out = vec![false; samples.len()];
    let mut end = 0;
    for history in samples.chunk_by(|a, b| a.user == b.user) {
        end += history.len();
        held_out[end - 1] = history.len() > 1;
    }
    held_out
}

/// The movies of a catalogue with ratings.
pub fn rated_movies(catalog: &Catalog) -> Vec<MovieIndex> {
    let all = (0..catalog.len() as u32).map(MovieIndex);
    all.filter(|&movie| catalog.stats(movie).count > 0).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tests::generated;

    const ALL: [HoldOut; 7] = [
        HoldOut::RANDOM,
        HoldOut::RandomByMovie,
        HoldOut::PER_USER_TIME,
        HoldOut::TIME,
        HoldOut::LeaveOneOut,
        HoldOut::Users,
        HoldOut::Movies,
    ];

    fn pairs(histories: &Histories) -> Vec<(u32, u32, u32, u8)> {
        let of = |history: sparrow_model::History<'_>| {
            let user = history.user().0;
            let line = move |rated: sparrow_model::Rated| {
                (user, rated.movie.0, rated.timestamp, rated.stars.half_stars())
            };
            history.iter().map(line).collect::<Vec<_>>()
        };
        histories.iter().flat_map(of).collect()
    }

    #[test]
    fn each_rating_is_in_one_part() {
        let catalog = generated(60, 40, 900);
        for split in ALL {
            let parts = Parts::new(&catalog, split, 0.25, 3);
            let mut all = pairs(parts.training.users());
            all.extend(pairs(&parts.test));
            all.sort_unstable();
            let mut expected = pairs(catalog.users());
            expected.sort_unstable();
            assert_eq!(all, expected, "{split}");
            assert!(parts.test.rating_count() > 0, "{split}");
            for (ours, theirs) in parts.training.movies().iter().zip(catalog.movies()) {
                assert_eq!((ours, ours.id), (theirs, theirs.id));
            }
        }
    }

    #[test]
    fn time_splits_keep_the_future_out_of_training() {
        let catalog = generated(60, 40, 900);
        for split in [HoldOut::PER_USER_TIME, HoldOut::LeaveOneOut] {
            let parts = Parts::new(&catalog, split, 0.25, 3);
            for history in parts.test.iter() {
                let first = history.iter().next().unwrap().timestamp;
                let training = parts.training.users().find(history.user()).unwrap();
                assert!(training.iter().all(|rated| rated.timestamp <= first), "{split}");
            }
        }
        let parts = Parts::new(&catalog, HoldOut::TIME, 0.25, 3);
        let times = |histories: &Histories| -> Vec<u32> {
            pairs(histories).into_iter().map(|(.., time, _)| time).collect()
        };
        let last = times(parts.training.users()).into_iter().max();
        assert!(last <= times(&parts.test).into_iter().min());
        assert_eq!(parts.test.rating_count(), 225);
    }

    #[test]
    fn leave_one_out_holds_out_one_rating_per_user() {
        let catalog = generated(60, 40, 900);
        let parts = Parts::new(&catalog, HoldOut::LeaveOneOut, 0.25, 3);
        assert!(parts.test.iter().all(|history| history.len() == 1));
        let several = catalog.users().iter().filter(|history| history.len() > 1).count();
        assert_eq!(parts.test.len(), several);
    }

    #[test]
    fn users_and_movies_are_held_out_as_a_whole() {
        let catalog = generated(60, 40, 900);
        let parts = Parts::new(&catalog, HoldOut::Users, 0.25, 3);
        assert_eq!((parts.test.len(), parts.training.users().len()), (15, 45));
        assert!(parts.test.iter().all(|test| parts.training.users().find(test.user()).is_none()));
        let parts = Parts::new(&catalog, HoldOut::Movies, 0.25, 3);
        assert_eq!(rated_movies(&parts.training).len(), 30);
        for test in parts.test.iter() {
            assert!(test.movies().all(|movie| parts.training.stats(movie).count == 0));
        }
    }

    /// The training part has the ratings with `rank / count <= 0.75`, with ranks from 1.
    #[test]
    fn a_quarter_of_each_movie_is_held_out_rounded_up() {
        let catalog = generated(60, 40, 900);
        let parts = Parts::new(&catalog, HoldOut::RandomByMovie, 0.25, 3);
        let mut kept: BTreeMap<u32, usize> = BTreeMap::new();
        for (_, movie, ..) in pairs(parts.training.users()) {
            *kept.entry(movie).or_default() += 1;
        }
        for movie in rated_movies(&catalog) {
            let count = catalog.stats(movie).count;
            let expected = (1..=count).filter(|&rank| 4 * rank <= 3 * count).count();
            assert_eq!(kept.get(&movie.0).copied().unwrap_or(0), expected, "{count} ratings");
        }
        let other = Parts::new(&catalog, HoldOut::RandomByMovie, 0.25, 4);
        assert_ne!(pairs(&parts.test), pairs(&other.test));
    }
}
