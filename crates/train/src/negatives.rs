use std::collections::HashSet;

use sparrow_model::Stars;
use sparrow_random::Random;

use super::Tables;
use super::pair::Pair;
use super::split::Sample;

/// Draws negative samples: movies that users have not rated.
pub(super) struct Negatives {
    /// The number per rating; with 0, ratings remain unchanged.
    count: usize,
    /// The last row of the movies, which begin at row 1.
    movies: usize,
    /// Excluded pairs: rows of user and movie.
    rated: HashSet<(u32, u32)>,
}

impl Negatives {
    /// `known` are the ratings whose pairs are excluded.
    pub(super) fn new(count: usize, tables: &Tables, known: &[Sample]) -> Self {
        let mut rated = HashSet::new();
        if count > 0 {
            rated.extend(tables.pairs(known).iter().map(|pair| (pair.user, pair.movie)));
        }
        Self { count, movies: tables.movies.ids.len(), rated }
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Turns ratings into positive samples and adds negative ones; fewer for users who have rated nearly all movies.
    pub(super) fn add(&self, ratings: Vec<Pair>, random: &mut Random) -> Vec<Pair> {
        if self.count == 0 {
            return ratings;
        }
        let mut pairs = Vec::with_capacity(ratings.len() * (1 + self.count));
        for Pair { user, movie, .. } in ratings {
            pairs.push(Pair { user, movie, stars: Stars::MAX });
            for _ in 0..self.count {
                // Bounded, because a user may have rated all movies.
                let drawn = (0..20).map(|_| 1 + random.below(self.movies) as u32);
                let mut unrated = drawn.filter(|&movie| !self.rated.contains(&(user, movie)));
                if let Some(movie) = unrated.next() {
                    pairs.push(Pair { user, movie, stars: Stars::MIN });
                }
            }
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rows;
    use crate::content::Content;

    #[test]
    fn negative_samples_have_not_been_rated() {
        let rows = |count: u32| Rows::new((0..count).map(|at| at + 10), 0..count);
        let tables = Tables { movies: rows(8), users: rows(3), content: Content::default() };
        // User 0 has rated one movie, user 1 all but one, user 2 all.
        let sample = |user, movie| Sample { user, movie, stars: Stars::LIKED, timestamp: 0 };
        let mut known = vec![sample(0, 3)];
        known.extend((0..7).map(|movie| sample(1, movie)));
        known.extend((0..8).map(|movie| sample(2, movie)));
        let negatives = Negatives::new(4, &tables, &known);
        let pairs = negatives.add(tables.pairs(&known), &mut Random::new(1, 1));
        let of = |user: u32, liked: bool| -> Vec<u32> {
            let all = pairs.iter().filter(|pair| pair.user == user + 1 && pair.liked() == liked);
            all.map(|pair| pair.movie - 1).collect()
        };
        assert_eq!((of(0, true), of(0, false).len()), (vec![3], 4));
        assert!(!of(0, false).contains(&3));
        assert!(of(1, false).len() > 20 && of(1, false).iter().all(|&movie| movie == 7));
        assert_eq!((of(2, true).len(), of(2, false).len()), (8, 0));
        let none = Negatives::new(0, &tables, &known);
        assert_eq!(none.add(tables.pairs(&known), &mut Random::new(1, 1)), tables.pairs(&known));
    }
}
