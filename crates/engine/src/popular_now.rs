//! The order of current popularity.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use sparrow_model::{Catalog, MovieIndex, Sort};

/// The scale of the decay is the time span of this many of the latest ratings.
const LATEST: usize = 5000;

const DAY: f64 = 86_400.0;

/// The current popularity of the movies of a catalogue.
///
/// The score of a movie is the sum of e^(−age/h)/√(1 + n) over its ratings, where the age is counted backwards from the newest
/// rating, n is the number of ratings of the user, and h is the time span of the latest 5,000 ratings of the data, at least
/// 7 and at most 1,000 days. Movies with equal scores, such as those without ratings, are in order of their number of ratings.
#[derive(Debug, Clone)]
pub struct CurrentPopularity {
    /// By movie, at the time of the newest rating.
    scores: Vec<f64>,
    /// The time of the newest rating.
    newest: u32,
    /// The scale of the decay, in seconds.
    scale: f64,
}

/// A score below this is the rest of additions and subtractions.
const LEAST: f64 = 1e-9;

impl CurrentPopularity {
    /// The popularity by the ratings of a data set. `ratings` is the catalogue with the rating histories, which may be another
    /// one with the same ids.
    pub fn new(catalog: &Catalog, ratings: &Catalog) -> Self {
        let mut latest = BinaryHeap::with_capacity(LATEST + 1);
        let mut newest = 0;
        for rated in ratings.users().iter().flat_map(|history| history.iter()) {
            newest = newest.max(rated.timestamp);
            if latest.len() < LATEST {
                latest.push(Reverse(rated.timestamp));
            } else if latest.peek().is_some_and(|Reverse(oldest)| rated.timestamp > *oldest) {
                latest.pop();
                latest.push(Reverse(rated.timestamp));
            }
        }
        let oldest = latest.peek().map_or(newest, |Reverse(oldest)| *oldest);
        let scale = f64::from(newest - oldest).clamp(7.0 * DAY, 1000.0 * DAY);
        let mut popularity = Self { scores: Vec::new(), newest, scale };
        let mut scores = vec![0.0; ratings.len()];
        for history in ratings.users().iter() {
            for rated in history.iter() {
                scores[rated.movie.index()] +=
                    popularity.weight(history.len(), rated.timestamp, newest);
            }
        }
        popularity.scores = if std::ptr::eq(catalog, ratings) {
            scores
        } else {
            let index = |id| ratings.index_of(id).map_or(0.0, |movie| scores[movie.index()]);
            catalog.movies().iter().map(|movie| index(movie.id)).collect()
        };
        popularity
    }

    /// Whether the times of the ratings are known. Otherwise all scores are 0.
    pub const fn has_times(&self) -> bool {
        self.newest > 0
    }

    /// What a rating of a user with this number of ratings adds to a score, at the time `reference` instead of that of the
    /// newest rating. Times are in Unix seconds.
    pub fn weight(&self, ratings: usize, time: u32, reference: u32) -> f64 {
        let age = f64::from(reference) - f64::from(time);
        (-age / self.scale).exp() / (1.0 + ratings as f64).sqrt()
    }

    /// The movies of the catalogue by score, best first, without hidden ones. `added` contains sums of
    /// [`weight`](Self::weight) at `reference` for further ratings, and negative ones for ratings that were removed.
    pub fn order(
        &self,
        catalog: &Catalog,
        reference: u32,
        added: impl IntoIterator<Item = (MovieIndex, f64)>,
    ) -> Vec<MovieIndex> {
        let mut scores = self.scores.clone();
        let mut is_plain = true;
        let decay = ((f64::from(self.newest) - f64::from(reference)) / self.scale).exp();
        for (movie, weight) in added {
            if std::mem::take(&mut is_plain) {
                for score in &mut scores {
                    *score *= decay;
                }
            }
            let score = &mut scores[movie.index()];
            *score += weight;
            if score.abs() < LEAST {
                *score = 0.0;
            }
        }
        let order = catalog.ordered(Sort::Popularity, None).iter();
        let mut order: Vec<(f64, MovieIndex)> =
            order.map(|&movie| (scores[movie.index()], movie)).collect();
        // The sort is stable, so the order of the number of ratings remains among equals.
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        order.into_iter().map(|(_, movie)| movie).collect()
    }
}

/// The movies of a catalogue in order of [`CurrentPopularity`].
pub fn popular_now(catalog: &Catalog, ratings: &Catalog) -> Vec<MovieIndex> {
    CurrentPopularity::new(catalog, ratings).order(catalog, 0, [])
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::{MovieId, MovieRecord, Movies, RatingLog, Stars, UserId};

    use super::*;

    fn movies(ids: impl IntoIterator<Item = u32>) -> Movies {
        let record = |id| MovieRecord {
            id: MovieId(id),
            title: format!("Movie {id}"),
            year: None,
            genres: Vec::new(),
            imdb_id: None,
            tmdb_id: None,
        };
        Movies::new(ids.into_iter().map(record).collect()).unwrap()
    }

    const NOW: u32 = 1_500_000_000;

    /// Movie 0 has 30 old ratings, movie 1 five new ones of users with one rating, movie 2 six new ones of one busy user
    /// and five others who are busy, too; movie 3 has none.
    fn catalog() -> Catalog {
        let mut log = RatingLog::default();
        for user in 1..=30 {
            log.push(UserId(user), MovieIndex(0), Stars::MAX, NOW - 2000 * 86_400);
        }
        for user in 41..=45 {
            log.push(UserId(user), MovieIndex(1), Stars::MAX, NOW - user);
        }
        for user in 51..=55 {
            for movie in [2].into_iter().chain(4..40) {
                log.push(UserId(user), MovieIndex(movie), Stars::MIN, NOW);
            }
        }
        Catalog::new(movies(0..40), log.into_histories().0)
    }

    #[test]
    fn new_ratings_count_more_than_old_ones_and_busy_users_less() {
        let catalog = catalog();
        let order = popular_now(&catalog, &catalog);
        // The latest ratings span 2,000 days, so the scale is 1,000 days: 30·e^(−2)/√2 = 2.87 for movie 0, about 5/√2 = 3.54
        // for movie 1, and 5/√38 = 0.81 for movie 2.
        assert_eq!(order[..3], [1, 0, 2].map(MovieIndex));
        assert_eq!(order.last(), Some(&MovieIndex(3)));
        assert_eq!(order.len(), 40);
    }

    #[test]
    fn further_ratings_count_as_if_they_were_in_the_data() {
        let (catalog, day) = (catalog(), 86_400);
        let popularity = CurrentPopularity::new(&catalog, &catalog);
        assert!(popularity.has_times());
        let reference = NOW + 1000 * day;
        let rated = |ratings, time| popularity.weight(ratings, time, reference);
        // Movie 2 is far behind movie 1, until two new users rate it; decayed by e, movie 1 has 3.54/e = 1.30.
        let one = [(MovieIndex(2), rated(1, reference))];
        assert_eq!(popularity.order(&catalog, reference, one)[..2], [1, 0].map(MovieIndex));
        let two = [(MovieIndex(2), 2.0 * rated(1, reference))];
        assert_eq!(popularity.order(&catalog, reference, two)[..2], [2, 1].map(MovieIndex));
        // An old rating counts less, and one that was removed no more.
        let old = [(MovieIndex(2), 2.0 * rated(1, NOW))];
        assert_eq!(popularity.order(&catalog, reference, old)[..2], [1, 0].map(MovieIndex));
        let removed = (41..=45).map(|user| (MovieIndex(1), -rated(1, NOW - user)));
        let order = popularity.order(&catalog, reference, removed);
        assert_eq!(order[0], MovieIndex(0));
        let position = |movie| order.iter().position(|found| *found == MovieIndex(movie));
        // Without any ratings left it is behind those with few, and has more ratings in the data than movie 3.
        assert!(position(1) > position(39) && position(1) < position(3), "{order:?}");
    }

    #[test]
    fn without_histories_the_number_of_ratings_decides() {
        let sums = |id: MovieId| (id.0 % 7, 2 * (id.0 % 7), Vec::new());
        let stored = Catalog::from_sums(movies(0..20), sums);
        assert_eq!(popular_now(&stored, &stored), stored.ordered(Sort::Popularity, None));
        // With the histories of another catalogue, movies are matched by id.
        let other = Catalog::from_sums(movies([1, 2, 3, 90]), sums);
        let ids: Vec<u32> =
            popular_now(&other, &catalog()).iter().map(|&m| other.movie(m).id.0).collect();
        assert_eq!(ids, [1, 2, 90, 3]);
    }
}
