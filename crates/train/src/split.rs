//! Holds out ratings by a [`Split`].

use std::cmp::Reverse;

use sparrow_model::{Catalog, Split, Stars};
use sparrow_random::Random;

/// A rating as a sample, with indexes of user and movie in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The index of the user.
    pub user: u32,
    /// The index of the movie.
    pub movie: u32,
    /// The rating.
    pub stars: Stars,
    /// The time of the rating in seconds since 1970 (UTC).
    pub timestamp: u32,
}

/// Returns all ratings of a catalogue, ordered by user and time.
pub fn samples(catalog: &Catalog) -> Vec<Sample> {
    let users = catalog.users().iter().enumerate();
    users
        .flat_map(|(user, history)| {
            history.iter().map(move |rated| Sample {
                user: user as u32,
                movie: rated.movie.0,
                stars: rated.stars,
                timestamp: rated.timestamp,
            })
        })
        .collect()
}

/// Divides samples, which are ordered by user and time, into the others and the held-out ones, in the same order.
pub(crate) fn split(
    samples: &[Sample],
    split: Split,
    fraction: f64,
    random: &mut Random,
) -> (Vec<Sample>, Vec<Sample>) {
    let held_out = held_out(samples, split, fraction, random);
    let of = |wanted: bool| {
        let all = samples.iter().zip(&held_out);
        all.filter(|&(_, &held_out)| held_out == wanted).map(|(&sample, _)| sample).collect()
    };
    (of(false), of(true))
}

/// Returns for each sample whether it is held out.
pub fn held_out(samples: &[Sample], split: Split, fraction: f64, random: &mut Random) -> Vec<bool> {
    let part = |count: usize| (count as f64 * fraction).round() as usize;
    let mut held_out = vec![false; samples.len()];
    match split {
        Split::Random => {
            let mut order: Vec<usize> = (0..samples.len()).collect();
            random.shuffle(&mut order);
            order.truncate(part(samples.len()));
            for index in order {
                held_out[index] = true;
            }
        }
        Split::Time => {
            let mut order: Vec<usize> = (0..samples.len()).collect();
            order.sort_by_key(|&index| Reverse(samples[index].timestamp));
            order.truncate(part(samples.len()));
            for index in order {
                held_out[index] = true;
            }
        }
        Split::PerUserTime => {
            let mut end = 0;
            for history in samples.chunk_by(|a, b| a.user == b.user) {
                end += history.len();
                held_out[end - part(history.len())..end].fill(true);
            }
        }
    }
    held_out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten ratings of each of three users, user 0 the earliest.
    fn thirty() -> Vec<Sample> {
        let all = (0..3).flat_map(|user| (0..10).map(move |movie| (user, movie)));
        all.map(|(user, movie)| Sample {
            user,
            movie,
            stars: Stars::LIKED,
            timestamp: user * 100 + movie,
        })
        .collect()
    }

    fn held_out(kind: Split, seed: u64) -> Vec<(u32, u32)> {
        let all = thirty();
        let (rest, held_out) = split(&all, kind, 0.2, &mut Random::new(seed, 0));
        assert_eq!((rest.len(), held_out.len()), (24, 6));
        assert!(rest.iter().all(|sample| !held_out.contains(sample)));
        held_out.iter().map(|sample| (sample.user, sample.movie)).collect()
    }

    #[test]
    fn splits_hold_out_the_declared_ratings() {
        assert_eq!(held_out(Split::Time, 1), [(2, 4), (2, 5), (2, 6), (2, 7), (2, 8), (2, 9)]);
        assert_eq!(
            held_out(Split::PerUserTime, 1),
            [(0, 8), (0, 9), (1, 8), (1, 9), (2, 8), (2, 9)]
        );
        assert_eq!(held_out(Split::Random, 1), held_out(Split::Random, 1));
        assert_ne!(held_out(Split::Random, 1), held_out(Split::Random, 2));
    }
}
