//! How many ratings each user gives.

use sparrow_random::{Random, exp};

use super::{Error, STREAM_USERS, Size};

/// MovieLens shows users who rated at least this many films.
const FEWEST: u64 = 20;

/// Checks that the size is possible and divides the ratings among the users: each gets
/// at least 20 where there are enough of both, most get few, some very many.
pub(super) fn ratings_per_user(size: &Size, seed: u64) -> Result<Vec<u32>, Error> {
    let Size { users, movies, ratings } = *size;
    let pairs = u64::from(users) * u64::from(movies);
    if users == 0 || movies == 0 {
        return Err(Error::Impossible("users and movies must be at least 1".to_owned()));
    }
    if ratings < u64::from(users) {
        return Err(Error::Impossible(format!(
            "{ratings} ratings are too few for {users} users, who each give at least one"
        )));
    }
    if ratings > pairs {
        return Err(Error::Impossible(format!(
            "{ratings} ratings are too many: {users} users can rate each of {movies} movies once, \
             {pairs} ratings in all"
        )));
    }

    let fewest = FEWEST.min(u64::from(movies)).min(ratings / u64::from(users));
    let mut random = Random::new(seed, STREAM_USERS);
    let weights: Vec<f64> = (0..users).map(|_| exp(1.15 * random.normal_with_tails())).collect();
    let mut counts = vec![fewest as u32; users as usize];
    let mut left = ratings - fewest * u64::from(users);
    // Whoever is full cannot take a share, so what they leave is divided again.
    for _ in 0..30 {
        let open: f64 = (counts.iter().zip(&weights))
            .filter(|(count, _)| **count < movies)
            .map(|(_, weight)| weight)
            .sum();
        let dividing = left as f64;
        for (count, weight) in counts.iter_mut().zip(&weights) {
            let more = (dividing * (weight / open)) as u64;
            let more = more.min(u64::from(movies - *count)).min(left);
            *count += more as u32;
            left -= more;
        }
    }
    // The remainders, one each, and whatever the rounds above could not place.
    while left > 0 {
        for count in counts.iter_mut().filter(|count| **count < movies) {
            if left > 0 {
                *count += 1;
                left -= 1;
            }
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(users: u32, movies: u32, ratings: u64) -> Result<Vec<u32>, Error> {
        ratings_per_user(&Size { users, movies, ratings }, 1)
    }

    #[test]
    fn impossible_sizes_say_why() {
        let cases = [
            (0, 5, 5, "at least 1"),
            (5, 0, 5, "at least 1"),
            (5, 5, 4, "too few for 5 users"),
            (5, 5, 26, "25 ratings in all"),
        ];
        for (users, movies, ratings, expected) in cases {
            let error = plan(users, movies, ratings).expect_err("impossible").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn real_proportions_have_a_long_tail() -> Result<(), Error> {
        let mut counts = plan(610, 9742, 100_836)?;
        counts.sort_unstable();
        assert!(counts[0] >= 20);
        assert!((40..110).contains(&counts[305]), "median {}", counts[305]);
        assert!(counts[609] > 1000, "greatest {}", counts[609]);
        Ok(())
    }

    proptest! {
        #[test]
        fn counts_add_up(users in 1_u32..60, movies in 1_u32..60, part in 0.0..=1.0_f64) {
            let (least, most) = (u64::from(users), u64::from(users) * u64::from(movies));
            let ratings = least + (part * (most - least) as f64) as u64;
            let counts = plan(users, movies, ratings).expect("possible");
            prop_assert_eq!(counts.len(), users as usize);
            prop_assert_eq!(counts.iter().map(|&count| u64::from(count)).sum::<u64>(), ratings);
            let fewest = 20.min(u64::from(movies)).min(ratings / u64::from(users)) as u32;
            prop_assert!(counts.iter().all(|count| (fewest..=movies).contains(count)));
        }
    }
}
