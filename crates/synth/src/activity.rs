//! The number of ratings per user.

use sparrow_random::{Random, exp};

use super::{Error, STREAM_USERS, Size};

/// The minimum number of ratings per user in MovieLens.
const MIN_RATINGS: u64 = 20;

/// Validates the size and distributes the ratings over the users. Each user has at least 20 if
/// there are enough movies and ratings; most users have few, some very many.
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

    let fewest = MIN_RATINGS.min(u64::from(movies)).min(ratings / u64::from(users));
    let mut random = Random::new(seed, STREAM_USERS);
    let weights: Vec<f64> = (0..users).map(|_| exp(1.15 * random.normal_with_tails())).collect();
    let mut counts = vec![fewest as u32; users as usize];
    let mut left = ratings - fewest * u64::from(users);
    // Users at the maximum cannot take their share; the rest is distributed again.
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
    // Distributes the remainders one by one, and the rest of the rounds above.
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
    fn errors_of_impossible_sizes_contain_the_reason() {
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
    fn the_distribution_has_a_long_tail_as_in_real_data() -> Result<(), Error> {
        let mut counts = plan(610, 9742, 100_836)?;
        counts.sort_unstable();
        assert!(counts[0] >= 20);
        assert!((40..110).contains(&counts[305]), "median {}", counts[305]);
        assert!(counts[609] > 1000, "greatest {}", counts[609]);
        Ok(())
    }

    proptest! {
        #[test]
        fn counts_sum_to_the_total(users in 1_u32..60, movies in 1_u32..60, part in 0.0..=1.0_f64) {
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
