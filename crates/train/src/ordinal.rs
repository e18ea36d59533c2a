use sparrow_model::Stars;

use super::layers::Adam;
use super::layers::sigmoid;
use super::pair::Pair;

/// The ordinal loss of a logit: whether the rating is 3.5 stars or more, and with a lower weight whether it reaches each
/// of the other ratings.
///
/// The model has one logit s per pair. The probability of a like is σ(s). Each other threshold has an offset for all
/// pairs, and the probability of reaching it is σ(s + offset): the proportional odds of McCullagh 1980, with a loss per
/// threshold as in Rennie and Srebro 2005. The training therefore uses the difference between two and three stars, or
/// four and five, too. The trained model does not contain the offsets.
#[derive(Debug, Clone)]
pub(super) struct Ordinal {
    /// The weight of a threshold; that of a like is 1.
    weight: f32,
    thresholds: Vec<Threshold>,
}

#[derive(Debug, Clone)]
struct Threshold {
    /// The threshold in half stars.
    half_stars: u8,
    offset: f32,
    moments: [f32; 2],
    gradient: f32,
}

impl Ordinal {
    /// Takes the thresholds that divide these pairs differently. With the weight 0, or if all ratings are equal, there are
    /// none.
    pub(super) fn new(weight: f32, pairs: &[Pair]) -> Self {
        let mut counts = [0_usize; 11];
        for pair in pairs {
            counts[usize::from(pair.stars.half_stars())] += 1;
        }
        let reached = |half_stars: u8| counts[usize::from(half_stars)..].iter().sum::<usize>();
        let log_odds = |reached: usize| {
            let reached = reached as f64;
            (reached / (pairs.len() as f64 - reached)).ln()
        };
        let liked = reached(Stars::LIKED.half_stars());
        let mut different = vec![0, liked, pairs.len()];
        let mut thresholds = Vec::new();
        if weight > 0.0 && liked > 0 && liked < pairs.len() {
            for half_stars in 2..=Stars::MAX.half_stars() {
                let reached = reached(half_stars);
                if !different.contains(&reached) {
                    different.push(reached);
                    thresholds.push(Threshold {
                        half_stars,
                        offset: (log_odds(reached) - log_odds(liked)) as f32,
                        moments: [0.0; 2],
                        gradient: 0.0,
                    });
                }
            }
        }
        Self { weight, thresholds }
    }

    /// Returns the gradient of a sample's loss with respect to its logit, and adds to the gradients of the offsets.
    pub(super) fn slope(&mut self, logit: f32, stars: Stars) -> f32 {
        let mut slope = sigmoid(logit) - f32::from(u8::from(stars.is_liked()));
        for threshold in &mut self.thresholds {
            let reached = f32::from(u8::from(stars.half_stars() >= threshold.half_stars));
            let error = self.weight * (sigmoid(logit + threshold.offset) - reached);
            threshold.gradient += error;
            slope += error;
        }
        slope
    }

    /// Updates the offsets by their gradients times `scale`, and resets the gradients.
    pub(super) fn step(&mut self, adam: Adam, step: u32, scale: f32) {
        let rate = adam.corrected(step);
        for threshold in &mut self.thresholds {
            let gradient = threshold.gradient * scale;
            Adam::update(&mut threshold.offset, &mut threshold.moments, gradient, rate);
            threshold.gradient = 0.0;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn pairs(half_stars: &[u8]) -> Vec<Pair> {
        let stars =
            half_stars.iter().map(|&half_stars| Stars::from_half_stars(half_stars).unwrap());
        stars.map(|stars| Pair { user: 1, movie: 1, stars }).collect()
    }

    #[test]
    fn thresholds_divide_in_different_ways() {
        let found = |weight, half_stars: &[u8]| -> Vec<u8> {
            let ordinal = Ordinal::new(weight, &pairs(half_stars));
            ordinal.thresholds.iter().map(|threshold| threshold.half_stars).collect()
        };
        // Whole stars: 4 stars and 3.5 are the same threshold, and everything reaches 1 star.
        assert_eq!(found(1.0, &[2, 4, 6, 8, 10]), [3, 5, 9]);
        assert_eq!(found(1.0, &[1, 6, 7, 8]), [2, 8]);
        assert!(found(0.0, &[2, 4, 6, 8, 10]).is_empty());
        assert!(found(1.0, &[8, 9, 10]).is_empty() && found(1.0, &[]).is_empty());
    }

    /// Against differences of the loss.
    #[test]
    fn slopes_are_those_of_the_loss() {
        let ordinal = Ordinal::new(0.5, &pairs(&[2, 4, 6, 8, 10, 10]));
        let stars = Stars::from_half_stars(8).unwrap();
        let loss = |logit: f64, moved: f64| {
            let of =
                |logit: f64, reached: bool| (if reached { -logit } else { logit }).exp().ln_1p();
            let others = ordinal.thresholds.iter().map(|threshold| {
                of(logit + f64::from(threshold.offset) + moved, threshold.half_stars <= 8)
            });
            of(logit, true) + 0.5 * others.sum::<f64>()
        };
        for logit in [-2.0, 0.3, 1.5] {
            let mut asked = ordinal.clone();
            let slope = f64::from(asked.slope(logit as f32, stars));
            let expected = (loss(logit + 1e-4, 0.0) - loss(logit - 1e-4, 0.0)) / 2e-4;
            assert!((slope - expected).abs() < 1e-4, "{slope} {expected}");
            let sum: f64 = asked.thresholds.iter().map(|t| f64::from(t.gradient)).sum();
            let expected = (loss(logit, 1e-4) - loss(logit, -1e-4)) / 2e-4;
            assert!((sum - expected).abs() < 1e-4, "{sum} {expected}");
        }
    }
}
