use sparrow_model::{Histories, Stars};

use crate::Hundredths;

/// Count, mean and standard deviation of ratings. Exact: the sums are integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RatingStats(Sums);

impl RatingStats {
    /// Creates the statistics of `count` ratings from the sum and the sum of squares of their half stars.
    pub const fn from_sums(count: u32, half_stars: u64, squares: u64) -> Self {
        Self(Sums { count, sum: half_stars, squares })
    }

    /// The statistics of each movie of a catalogue with `movies` movies, by movie index.
    pub fn of_movies(histories: &Histories, movies: usize) -> Vec<Self> {
        let mut ratings = vec![Self::default(); movies];
        for rated in histories.iter().flat_map(|history| history.iter()) {
            ratings[rated.movie.index()].add(rated.stars);
        }
        ratings
    }

    /// Adds a rating.
    pub const fn add(&mut self, stars: Stars) {
        self.0.add(stars.half_stars() as u32);
    }

    /// Removes a rating that was added before.
    pub const fn remove(&mut self, stars: Stars) {
        self.0.remove(stars.half_stars() as u32);
    }

    /// Number of ratings.
    pub const fn count(&self) -> u32 {
        self.0.count
    }

    /// The mean in stars; 0 without ratings.
    pub fn average(&self) -> Hundredths {
        Hundredths::round(self.0.mean() / 2.0)
    }

    /// The sample standard deviation (n − 1) in stars; 0 for fewer than two ratings.
    pub fn stddev(&self) -> Hundredths {
        Hundredths::round(self.0.deviation() / 2.0)
    }
}

/// The sums for a mean and a standard deviation of integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sums {
    pub(crate) count: u32,
    sum: u64,
    squares: u64,
}

impl Sums {
    pub(crate) const fn add(&mut self, value: u32) {
        self.count += 1;
        self.sum += value as u64;
        self.squares += value as u64 * value as u64;
    }

    pub(crate) const fn remove(&mut self, value: u32) {
        self.count -= 1;
        self.sum -= value as u64;
        self.squares -= value as u64 * value as u64;
    }

    /// The mean, truncated to an integer; 0 without values.
    pub(crate) const fn truncated_mean(&self) -> u32 {
        if self.count == 0 { 0 } else { (self.sum / self.count as u64) as u32 }
    }

    /// The mean; 0 without values.
    pub(crate) fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / f64::from(self.count) }
    }

    /// The sample standard deviation √((n·Σx² − (Σx)²) / (n·(n − 1))); 0 for fewer than two values.
    pub(crate) fn deviation(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        let count = u128::from(self.count);
        let scaled = count * u128::from(self.squares) - u128::from(self.sum).pow(2);
        (scaled as f64 / (count * (count - 1)) as f64).sqrt()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn stats(half_stars: &[u8]) -> RatingStats {
        let mut stats = RatingStats::default();
        for &half in half_stars {
            stats.add(Stars::from_half_stars(half).unwrap());
        }
        stats
    }

    fn printed(half_stars: &[u8]) -> (u32, String, String) {
        let stats = stats(half_stars);
        (stats.count(), stats.average().to_string(), stats.stddev().to_string())
    }

    #[test]
    fn standard_deviation_divides_by_n_minus_one() {
        let expected = |count, mean: &str, deviation: &str| (count, mean.into(), deviation.into());
        assert_eq!(printed(&[]), expected(0, "0.00", "0.00"));
        assert_eq!(printed(&[7]), expected(1, "3.50", "0.00"));
        assert_eq!(printed(&[8, 10]), expected(2, "4.50", "0.71"));
        assert_eq!(printed(&[1, 1, 1]), expected(3, "0.50", "0.00"));
        // One of 16 ratings differs by half a star: the deviation is exactly 0.125.
        let mut sixteen = [6; 16];
        sixteen[3] = 7;
        assert_eq!(printed(&sixteen), expected(16, "3.03", "0.12"));
    }

    #[test]
    fn remove_undoes_add() {
        let mut more = stats(&[2, 9, 4]);
        more.remove(Stars::from_half_stars(9).unwrap());
        assert_eq!(more, stats(&[2, 4]));
    }
}
