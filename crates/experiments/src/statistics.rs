//! Estimates and tests for the results of experiments.

use statrs::distribution::{
    Binomial, ChiSquared, ContinuousCDF as _, DiscreteCDF as _, Normal, StudentsT,
};

/// Number, mean and variance of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The number of values.
    pub count: usize,
    /// The mean; 0 without values.
    pub mean: f64,
    /// The sample variance (n − 1); 0 for fewer than two values.
    pub variance: f64,
}

impl Sample {
    /// The sample of some values.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len();
        let mean = if count == 0 { 0.0 } else { values.iter().sum::<f64>() / count as f64 };
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let variance = if count < 2 { 0.0 } else { squares / (count - 1) as f64 };
        Self { count, mean, variance }
    }

    /// The variance of the mean.
    fn of_mean(&self) -> f64 {
        self.variance / self.count as f64
    }
}

/// An estimate with its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

/// The difference between a variant and the control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// The difference of the means.
    pub difference: Estimate,
    /// The difference relative to the mean of the control; `None` if that is not positive. Its interval is by the delta method.
    pub lift: Option<Estimate>,
    /// The two-sided p-value of Welch's test for no difference.
    pub p_value: f64,
}

/// The quantile of Student's t distribution.
fn t_quantile(probability: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom)
        .map_or(f64::INFINITY, |distribution| distribution.inverse_cdf(probability))
}

/// The two-sided p-value of a t statistic.
fn t_p_value(t: f64, freedom: f64) -> f64 {
    let distribution = StudentsT::new(0.0, 1.0, freedom);
    distribution.map_or(1.0, |distribution| (2.0 * distribution.cdf(-t.abs())).min(1.0))
}

/// The quantile of the standard normal distribution.
pub fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

/// Compares the means of two samples with Welch's test, whose intervals have this confidence (0.95 for 95%). `None` if a sample
/// has fewer than two values.
pub fn compare(control: &Sample, variant: &Sample, confidence: f64) -> Option<Comparison> {
    if control.count < 2 || variant.count < 2 {
        return None;
    }
    let (of_control, of_variant) = (control.of_mean(), variant.of_mean());
    let variance = of_control + of_variant;
    let difference = variant.mean - control.mean;
    // Welch and Satterthwaite. Without any variance, every difference is certain.
    let freedom = variance.powi(2)
        / (of_control.powi(2) / (control.count - 1) as f64
            + of_variant.powi(2) / (variant.count - 1) as f64);
    let (quantile, p_value) = if variance > 0.0 {
        let quantile = t_quantile(f64::midpoint(1.0, confidence), freedom);
        (quantile, t_p_value(difference / variance.sqrt(), freedom))
    } else {
        (0.0, if difference == 0.0 { 1.0 } else { 0.0 })
    };
    let around = |value: f64, variance: f64| {
        let half = quantile * variance.sqrt();
        Estimate { value, low: value - half, high: value + half }
    };
    let lift = (control.mean > 0.0).then(|| {
        let ratio = variant.mean / control.mean;
        let variance = (of_variant + ratio.powi(2) * of_control) / control.mean.powi(2);
        around(ratio - 1.0, variance)
    });
    Some(Comparison { difference: around(difference, variance), lift, p_value })
}

/// The mean with its interval by the t distribution, which is that value alone for one value. `None` without values.
pub fn mean(sample: &Sample, confidence: f64) -> Option<Estimate> {
    let Sample { count, mean, variance } = *sample;
    let half = match count {
        0 => return None,
        _ if variance == 0.0 => 0.0,
        _ => {
            let quantile = t_quantile(f64::midpoint(1.0, confidence), (count - 1) as f64);
            quantile * sample.of_mean().sqrt()
        }
    };
    Some(Estimate { value: mean, low: mean - half, high: mean + half })
}

/// Adjusts values by a covariate that was measured before the experiment (CUPED; Deng, Xu, Kohavi and Walker: Improving the
/// sensitivity of online controlled experiments by utilizing pre-experiment data. 2013). The mean over all values stays the same.
///
/// Both slices contain the users of all variants, in one order. Without variance of the covariate, the values are returned.
pub fn cuped(values: &[f64], covariates: &[f64]) -> Vec<f64> {
    let (value, covariate) = (Sample::of(values), Sample::of(covariates));
    if covariate.variance == 0.0 || values.len() != covariates.len() {
        return values.to_vec();
    }
    let products = values.iter().zip(covariates);
    let covariance: f64 =
        products.map(|(y, x)| (y - value.mean) * (x - covariate.mean)).sum::<f64>()
            / (values.len() - 1) as f64;
    let theta = covariance / covariate.variance;
    values.iter().zip(covariates).map(|(y, x)| y - theta * (x - covariate.mean)).collect()
}

/// The p-value of the chi-square test that the counts have these weights, which need not have the sum 1: the test for a
/// sample-ratio mismatch. 1 with fewer than two weights or without counts.
pub fn ratio_p_value(counts: &[usize], weights: &[f64]) -> f64 {
    let (total, sum) = (counts.iter().sum::<usize>() as f64, weights.iter().sum::<f64>());
    let pairs = || counts.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
    // A user with a variant of weight 0 cannot be.
    if counts.iter().zip(weights).any(|(&count, &weight)| weight <= 0.0 && count > 0) {
        return 0.0;
    }
    if pairs().count() < 2 || total == 0.0 {
        return 1.0;
    }
    let statistic: f64 = pairs()
        .map(|(&count, weight)| {
            let expected = total * weight / sum;
            (count as f64 - expected).powi(2) / expected
        })
        .sum();
    ChiSquared::new((pairs().count() - 1) as f64)
        .map_or(1.0, |distribution| distribution.sf(statistic))
}

/// The p-value below which a sample-ratio mismatch is reported. It is small because the test is repeated at every look.
pub const RATIO_MISMATCH: f64 = 0.001;

/// The power of a two-sided test at `alpha`: the probability that it finds this difference of the means, for the variances of single
/// users and the number of users in each of two variants.
pub fn power(difference: f64, variances: [f64; 2], users: [usize; 2], alpha: f64) -> f64 {
    let error =
        (variances[0] / users[0].max(1) as f64 + variances[1] / users[1].max(1) as f64).sqrt();
    if error == 0.0 {
        return if difference == 0.0 { alpha } else { 1.0 };
    }
    let (critical, shift) = (normal_quantile(1.0 - alpha / 2.0), difference.abs() / error);
    let normal = Normal::standard();
    normal.cdf(shift - critical) + normal.cdf(-shift - critical)
}

/// The difference of the means that a two-sided test at `alpha` finds with this power.
pub fn detectable_difference(
    variances: [f64; 2],
    users: [usize; 2],
    alpha: f64,
    power: f64,
) -> f64 {
    let error =
        (variances[0] / users[0].max(1) as f64 + variances[1] / users[1].max(1) as f64).sqrt();
    (normal_quantile(1.0 - alpha / 2.0) + normal_quantile(power)) * error
}

/// The two-sided p-value of the sign test: `wins` of one against those of the other, ties left out.
pub fn sign_test(wins: u64, losses: u64) -> f64 {
    let trials = wins + losses;
    let Ok(distribution) = Binomial::new(0.5, trials) else { return 1.0 };
    if trials == 0 {
        return 1.0;
    }
    (2.0 * distribution.cdf(wins.min(losses))).min(1.0)
}

/// The Wilson interval of a share. `None` without trials.
pub fn share(successes: usize, trials: usize, confidence: f64) -> Option<Estimate> {
    if trials == 0 {
        return None;
    }
    let (n, z) = (trials as f64, normal_quantile(f64::midpoint(1.0, confidence)));
    let value = successes as f64 / n;
    let centre = (value + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z * (value * (1.0 - value) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
    Some(Estimate { value, low: (centre - half).max(0.0), high: (centre + half).min(1.0) })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() <= tolerance, "{value} is not {expected}");
    }

    #[test]
    fn tests_return_published_values() {
        // Tables of the distributions.
        near(normal_quantile(0.975), 1.959_963_985, 1e-8);
        near(t_quantile(0.975, 10.0), 2.228_138_852, 1e-8);
        near(t_p_value(2.228_138_852, 10.0), 0.05, 1e-9);
        // 3.841459 and 5.991465 are the 5% points of chi-square with 1 and 2 degrees of freedom.
        near(ratio_p_value(&[1000, 1000], &[0.5, 0.5]), 1.0, 1e-12);
        let half = (3.841_458_821 * 1e6_f64).sqrt() / 2.0;
        let counts = [(500_000.0 + half) as usize, (500_000.0 - half) as usize];
        near(ratio_p_value(&counts, &[1.0, 1.0]), 0.05, 1e-3);
        near(sign_test(8, 2), 0.109_375, 1e-12);
        near(sign_test(0, 5), 0.0625, 1e-12);
        assert_eq!((sign_test(0, 0), sign_test(3, 3)), (1.0, 1.0));
        // Wilson's interval of 1 in 10.
        let tenth = share(1, 10, 0.95).unwrap();
        near(tenth.low, 0.017_876, 1e-6);
        near(tenth.high, 0.404_150, 1e-6);
    }

    #[test]
    fn welch_test_returns_a_published_example() {
        // Welch's example in the documentation of R, `t.test(extra ~ group, data = sleep)`.
        let control = Sample::of(&[0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]);
        let variant = Sample::of(&[1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]);
        let found = compare(&control, &variant, 0.95).unwrap();
        near(found.p_value, 0.079_394_14, 1e-8);
        near(found.difference.low, -0.205_483_2, 1e-6);
        near(found.difference.high, 3.365_483_2, 1e-6);
        near(found.lift.unwrap().value, 2.33 / 0.75 - 1.0, 1e-12);
    }

    #[test]
    fn samples_without_variance_have_certain_differences() {
        let [zero, one] = [0.0, 1.0].map(|value| Sample::of(&[value; 3]));
        assert_eq!(compare(&zero, &zero, 0.95).unwrap().p_value, 1.0);
        assert_eq!(compare(&zero, &one, 0.95).unwrap().p_value, 0.0);
        assert_eq!(compare(&zero, &one, 0.95).unwrap().lift, None);
        assert_eq!(compare(&zero, &Sample::of(&[1.0]), 0.95), None);
    }

    #[test]
    fn ratio_of_a_variant_without_weight_must_be_zero() {
        assert_eq!(ratio_p_value(&[10, 10, 1], &[0.5, 0.5, 0.0]), 0.0);
        assert_eq!(ratio_p_value(&[10, 10, 0], &[0.5, 0.5, 0.0]), 1.0);
        assert_eq!(ratio_p_value(&[], &[]), 1.0);
    }

    #[test]
    fn power_of_the_detectable_difference_is_the_requested_one() {
        let (variances, users) = ([0.09, 0.11], [4000, 2000]);
        let difference = detectable_difference(variances, users, 0.05, 0.8);
        near(power(difference, variances, users, 0.05), 0.8, 1e-4);
        near(power(0.0, variances, users, 0.05), 0.05, 1e-9);
    }
}
