use serde::{Deserialize, Serialize};
use sparrow_model::{Catalog, History, MovieIndex, UserState};

use crate::INPUTS;

/// A number that a blend weights, for a user and a movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Signal {
    /// ln(max(s, 0) + ε) of the score s of the model `ease`; 0 if the model has no scores for the user.
    Ease,
    /// The same of the model `next-item`.
    NextItem,
    /// The same of the model `item-knn`.
    ItemKnn,
    /// ln(1 + n), with the number n of ratings of the movie.
    Popularity,
    /// The same, divided by 1 + r/5 for a user with r ratings: popularity matters more if little is known of the user.
    PopularityForNewUsers,
    /// The cosine of the movie's genres and the genres of the user's history.
    Genres,
    /// 1 if the movie was released by the end of the year of the user's last rating, else 0.
    Released,
    /// The Bayesian mean rating of the movie, in stars.
    MeanRating,
}

impl Signal {
    /// All signals; those of the models first, in the order of [`INPUTS`].
    pub const ALL: [Self; 8] = [
        Self::Ease,
        Self::NextItem,
        Self::ItemKnn,
        Self::Popularity,
        Self::PopularityForNewUsers,
        Self::Genres,
        Self::Released,
        Self::MeanRating,
    ];

    /// The name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ease => "ease",
            Self::NextItem => "next-item",
            Self::ItemKnn => "item-knn",
            Self::Popularity => "popularity",
            Self::PopularityForNewUsers => "popularity-for-new-users",
            Self::Genres => "genres",
            Self::Released => "released",
            Self::MeanRating => "mean-rating",
        }
    }

    /// The index in [`INPUTS`] of the model whose scores this signal is made of.
    pub fn input(self) -> Option<usize> {
        let index = self as usize;
        (index < INPUTS.len()).then_some(index)
    }
}

/// A signal with its weight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// The signal.
    pub signal: Signal,
    /// Its weight for users with many ratings.
    pub weight: f32,
    /// Its weight for users without ratings, if it is another one. With r ratings, the share of this weight is
    /// 1/(1 + (r/15)⁴), and the rest is that of `weight`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_user_weight: Option<f32>,
    /// ε of the signals of models; 0 for other signals.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub epsilon: f32,
}

impl Term {
    /// The weight for a user.
    pub(crate) fn weight_for(&self, user: &UserSignals) -> f32 {
        let new = self.new_user_weight.unwrap_or(self.weight);
        self.weight + user.new_share * (new - self.weight)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

/// The signals of the movies of a catalogue that are the same for all users.
#[derive(Debug, Clone)]
pub(crate) struct MovieSignals {
    pub(crate) popularity: Vec<f32>,
    pub(crate) mean_rating: Vec<f32>,
    /// The release year; 0 if it is unknown.
    year: Vec<u16>,
    /// 1/√g for a movie of g genres; 0 without genres.
    genre_norm: Vec<f32>,
    genres: Vec<u64>,
}

impl MovieSignals {
    pub(crate) fn new(catalog: &Catalog) -> Self {
        let indexes = || (0..catalog.len() as u32).map(MovieIndex);
        let genres: Vec<u64> =
            catalog.movies().iter().map(|movie| movie.genre_set.bits()).collect();
        let norm = |bits: &u64| match bits.count_ones() {
            0 => 0.0,
            genres => 1.0 / (genres as f32).sqrt(),
        };
        Self {
            popularity: indexes().map(|m| (catalog.stats(m).count as f32).ln_1p()).collect(),
            mean_rating: indexes().map(|movie| catalog.stats(movie).bayesian).collect(),
            year: catalog.movies().iter().map(|movie| movie.year.unwrap_or(0)).collect(),
            genre_norm: genres.iter().map(norm).collect(),
            genres,
        }
    }

    pub(crate) fn released(&self, movie: MovieIndex, user: &UserSignals) -> f32 {
        f32::from(u8::from(self.year[movie.index()] <= user.last_year))
    }

    pub(crate) fn genre_cosine(&self, movie: MovieIndex, user: &UserSignals) -> f32 {
        let mut bits = self.genres[movie.index()];
        let mut sum = 0.0;
        while bits != 0 {
            sum += user.genres[bits.trailing_zeros() as usize];
            bits &= bits - 1;
        }
        sum * self.genre_norm[movie.index()]
    }
}

/// The part of the signals that belongs to a user.
#[derive(Debug, Clone)]
pub(crate) struct UserSignals {
    /// The genres of the history, of length 1.
    genres: [f32; 64],
    /// The year of the last rating; the greatest year without a history.
    last_year: u16,
    /// 1/(1 + r/5) for r ratings.
    pub(crate) newness: f32,
    /// The share of [`Term::new_user_weight`].
    pub(crate) new_share: f32,
}

/// The number of ratings at which both weights of a term count half.
const HALF_NEW: f32 = 15.0;

/// The mean length of a year, in seconds.
const YEAR: u32 = 31_556_952;

impl UserSignals {
    pub(crate) fn new(user: &UserState<'_>, movies: &MovieSignals) -> Self {
        let mut genres = [0.0_f32; 64];
        let mut ratings = 0_u32;
        for movie in user.rated_movies(false) {
            ratings += 1;
            let mut bits = movies.genres[movie.index()];
            while bits != 0 {
                genres[bits.trailing_zeros() as usize] += movies.genre_norm[movie.index()];
                bits &= bits - 1;
            }
        }
        let length = genres.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > 0.0 {
            for value in &mut genres {
                *value /= length;
            }
        }
        let last = user.history.as_ref().and_then(|history: &History<'_>| history.iter().last());
        let last_year = last.map_or(u16::MAX, |last| 1970 + (last.timestamp / YEAR) as u16);
        let ratings = ratings as f32;
        Self {
            genres,
            last_year,
            newness: 1.0 / (1.0 + ratings / 5.0),
            new_share: 1.0 / (1.0 + (ratings / HALF_NEW).powi(4)),
        }
    }
}

/// ln(max(score, 0) + ε). A movie without a score, which is minus infinity, has the score 0.
pub(crate) fn log_score(score: f32, epsilon: f32) -> f32 {
    ln(score.max(0.0) + epsilon)
}

/// The natural logarithm of a normal positive number, within 2e-7 of the exact value or of its magnitude.
///
/// The function of the standard library is a call for each number; these are a few additions and multiplications without
/// branches, which the compiler vectorises. With x = 2ᵉm and m from 2/3 to 4/3, ln x is e ln 2 + ln m, and ln m is
/// 2 artanh s with s = (m − 1)/(m + 1), of which |s| ≤ 1/5 and the series converges fast.
fn ln(x: f32) -> f32 {
    /// The bits of 2/3.
    const LEAST: u32 = 0x3f2a_aaab;
    let exponent = x.to_bits().wrapping_sub(LEAST).cast_signed() >> 23;
    let m = f32::from_bits(x.to_bits().wrapping_sub((exponent << 23).cast_unsigned()));
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let series = square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0 + square / 9.0)));
    exponent as f32 * std::f32::consts::LN_2 + 2.0 * (s + s * series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_is_within_its_error_bound() {
        let mut x = f32::MIN_POSITIVE;
        let mut count = 0;
        while x < 1e30 {
            for x in [x, x.next_down().max(f32::MIN_POSITIVE), x.next_up()] {
                let exact = f64::from(x).ln();
                let error = (f64::from(ln(x)) - exact).abs();
                assert!(error <= 2e-7 * exact.abs().max(1.0), "{x}: {} {exact}", ln(x));
            }
            x *= 1.000_37;
            count += 1;
        }
        assert!(count > 400_000);
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(log_score(f32::NEG_INFINITY, 0.5), ln(0.5));
    }
}
