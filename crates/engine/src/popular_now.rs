//! The order of current popularity.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use sparrow_model::{Catalog, MovieIndex, Sort};

/// The scale of the decay is the time span of this many of the latest ratings.
const LATEST: usize = 5000;

const DAY: f64 = 86_400.0;

/// The movies of a catalogue in order of current popularity, without hidden ones. `ratings` is the catalogue with the rating
/// histories, which may be another one with the same ids.
///
/// The score of a movie is the sum of e^(−age/h)/√(1 + n) over its ratings, where the age is counted backwards from the newest
/// rating of the data, n is the number of ratings of the user, and h is the time span of the latest 5,000 ratings, at least
/// 7 and at most 1,000 days. Movies with equal scores, such as those without ratings in `ratings`, follow in order of their
/// number of ratings.
pub fn popular_now(catalog: &Catalog, ratings: &Catalog) -> Vec<MovieIndex> {
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
    let mut scores = vec![0.0; ratings.len()];
    for history in ratings.users().iter() {
        let weight = 1.0 / (1.0 + history.len() as f64).sqrt();
        for rated in history.iter() {
            let age = f64::from(newest - rated.timestamp);
            scores[rated.movie.index()] += weight * (-age / scale).exp();
        }
    }
    let is_same = std::ptr::eq(catalog, ratings);
    let score = |movie: MovieIndex| {
        let index = if is_same { Some(movie) } else { ratings.index_of(catalog.movie(movie).id) };
        index.map_or(0.0, |index| scores[index.index()])
    };
    let mut order: Vec<(f64, MovieIndex)> = catalog
        .ordered(Sort::Popularity, None)
        .iter()
        .map(|&movie| (score(movie), movie))
        .collect();
    // The sort is stable, so the order of the number of ratings remains among equals.
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    order.into_iter().map(|(_, movie)| movie).collect()
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
