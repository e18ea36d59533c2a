//! Uncertainty of measures: deviations over seeds, and the bootstrap over users (Efron and Tibshirani 1993; for
//! comparisons of retrieval systems, Sakai 2006).

use sparrow_random::Random;

/// Returns the mean and the sample deviation, which is 0 for fewer than two values.
pub fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let mean = values.iter().sum::<f64>() / count;
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (mean, (squares / (count - 1.0)).sqrt())
}

/// Draws a bootstrap resample: returns how often each user is drawn.
pub(super) fn resample(users: usize, random: &mut Random) -> Vec<u32> {
    let mut weights = vec![0; users];
    for _ in 0..users {
        weights[random.below(users)] += 1;
    }
    weights
}

/// Returns the 2.5% and 97.5% percentiles of the values over resamples.
pub(super) fn interval(values: &mut [f64]) -> Option<(f64, f64)> {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |part: f64| {
        let index = part * last as f64;
        let (low, rest) = (index as usize, index.fract());
        values[low] + rest * (values[(low + 1).min(last)] - values[low])
    };
    Some((at(0.025), at(0.975)))
}

/// The two-sided p-value: twice the smaller share of the resamples on either side of zero. Both counts are increased by
/// one, so it is never 0.
pub(super) fn p_value(differences: &[f64]) -> f64 {
    let all = differences.len() as f64 + 1.0;
    let below = differences.iter().filter(|&&difference| difference <= 0.0).count() as f64 + 1.0;
    let above = differences.iter().filter(|&&difference| difference >= 0.0).count() as f64 + 1.0;
    (2.0 * below.min(above) / all).min(1.0)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn deviations_equal_manual_results() {
        assert_eq!(mean_and_deviation(&[1.0, 2.0, 3.0]), (2.0, 1.0));
        assert_eq!(mean_and_deviation(&[5.0]), (5.0, 0.0));
        assert_eq!(mean_and_deviation(&[]), (0.0, 0.0));
    }

    /// The mean of n values of deviation s has deviation s / √n.
    #[test]
    fn interval_of_a_mean_has_the_theoretical_width() {
        let mut random = Random::new(5, 0);
        let values: Vec<f64> = (0..400).map(|_| random.normal_with_tails()).collect();
        let (mean, deviation) = mean_and_deviation(&values);
        let mut means: Vec<f64> = (0..2000)
            .map(|_| {
                let weights = resample(values.len(), &mut random);
                let sum: f64 = weights.iter().zip(&values).map(|(&w, v)| f64::from(w) * v).sum();
                sum / 400.0
            })
            .collect();
        let (low, high) = interval(&mut means).unwrap();
        let expected = 1.96 * deviation / 20.0;
        assert!((mean - low - expected).abs() < 0.1 * expected, "{low} {mean} {high}");
        assert!((high - mean - expected).abs() < 0.1 * expected, "{low} {mean} {high}");
        assert_eq!(interval(&mut []), None);
    }

    #[test]
    fn p_values_equal_manual_results() {
        assert!((p_value(&[1.0; 999]) - 0.002).abs() < 1e-12);
        let mut mixed = vec![1.0; 979];
        mixed.extend([-1.0; 20]);
        assert!((p_value(&mixed) - 2.0 * 21.0 / 1000.0).abs() < 1e-12);
        assert_eq!(p_value(&[0.0; 99]), 1.0);
    }
}
