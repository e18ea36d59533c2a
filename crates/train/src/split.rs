//! Divides ratings into a part for training and a part that is held out.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use sparrow_model::{Catalog, Stars};
use sparrow_random::Random;

/// Which ratings are kept from training to measure it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Split {
    /// Any, each as likely as the others.
    #[default]
    Random,
    /// The latest of all.
    Time,
    /// The latest of each user.
    PerUserTime,
}

impl Split {
    /// All splits.
    pub const ALL: [Self; 3] = [Self::Random, Self::Time, Self::PerUserTime];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Time => "time",
            Self::PerUserTime => "per-user-time",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|split| split.name() == name);
        found.ok_or_else(|| format!("{name:?} is not one of random, time, per-user-time"))
    }
}

/// A rating as a sample: positions of user and movie in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The position of the user in the catalogue.
    pub user: u32,
    /// The position of the movie.
    pub movie: u32,
    /// The rating.
    pub stars: Stars,
    /// When the movie was rated, in seconds since 1970 (UTC).
    pub timestamp: u32,
}

/// All ratings of a catalogue, by user, then time.
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

/// Takes `fraction` of the samples out. `samples` must be by user, then time; so are both results.
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

/// Whether each sample is taken out.
pub fn held_out(samples: &[Sample], split: Split, fraction: f64, random: &mut Random) -> Vec<bool> {
    let part = |count: usize| (count as f64 * fraction).round() as usize;
    let mut held_out = vec![false; samples.len()];
    match split {
        Split::Random => {
            let mut order: Vec<usize> = (0..samples.len()).collect();
            random.shuffle(&mut order);
            order.truncate(part(samples.len()));
            for place in order {
                held_out[place] = true;
            }
        }
        Split::Time => {
            let mut order: Vec<usize> = (0..samples.len()).collect();
            order.sort_by_key(|&place| Reverse(samples[place].timestamp));
            order.truncate(part(samples.len()));
            for place in order {
                held_out[place] = true;
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
    fn each_split_takes_what_it_says() {
        assert_eq!(held_out(Split::Time, 1), [(2, 4), (2, 5), (2, 6), (2, 7), (2, 8), (2, 9)]);
        assert_eq!(
            held_out(Split::PerUserTime, 1),
            [(0, 8), (0, 9), (1, 8), (1, 9), (2, 8), (2, 9)]
        );
        assert_eq!(held_out(Split::Random, 1), held_out(Split::Random, 1));
        assert_ne!(held_out(Split::Random, 1), held_out(Split::Random, 2));
        for split in Split::ALL {
            assert_eq!(split.name().parse(), Ok(split));
        }
    }
}
