//! Pre-training: the weights of a NeuralCF network that approximates implicit ALS.
//!
//! He et al. 2017 (section 3.4.1) start a network from models that were trained before. Here it starts from the vectors
//! of implicit ALS, whose dot products order lists well, and the layers compute the dot product. A product is a
//! difference of squares, 4ab = (a + b)² − (a − b)², and a square is approximated by a function with three linear
//! parts: x² ≈ t·(|x| + 2·max(0, |x| − t)), which is exact for |x| = 0, t and 2t. With |x| = 2·max(0, x) − x, that takes three
//! units with a ReLU per square, and two units for the sum of the linear parts of all factors.

use sparrow_neural::Factors;

/// The distance of the knots in units of the root mean square of a + b: chosen by nDCG@10 of lists on ml-latest-small.
const KNOT: f64 = 3.0;
/// Units per factor, and units for the linear parts.
const PER_FACTOR: usize = 6;
const LINEAR: usize = 2;

/// The number of hidden units for vectors of a dimension.
pub(super) const fn units(dimension: usize) -> usize {
    PER_FACTOR * dimension + LINEAR
}

/// The weights of a dense layer.
pub(super) struct Weights {
    /// Row-major, with the shape [inputs, outputs].
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// The hidden layer and the output weights, whose sum is proportional to the dot product of the vectors of movie and user.
pub(super) fn layers(movies: &Factors, users: &Factors, dimension: usize) -> [Weights; 2] {
    let knot = (KNOT * (mean_square(movies) + mean_square(users)).sqrt()) as f32;
    let width = units(dimension);
    let mut hidden = Weights { weight: vec![0.0; 2 * dimension * width], bias: vec![0.0; width] };
    let mut output = Weights { weight: vec![0.0; width], bias: vec![0.0] };
    for factor in 0..dimension {
        // With the signs of movie and user, the knot, and the output weight.
        let units: [(f32, f32, f32, f32); PER_FACTOR] = [
            (1.0, 1.0, 0.0, 2.0),
            (1.0, 1.0, -knot, 2.0),
            (-1.0, -1.0, -knot, 2.0),
            (-1.0, 1.0, 0.0, -2.0),
            (-1.0, 1.0, -knot, -2.0),
            (1.0, -1.0, -knot, -2.0),
        ];
        for (at, (of_movie, of_user, bias, weight)) in units.into_iter().enumerate() {
            let unit = PER_FACTOR * factor + at;
            hidden.weight[factor * width + unit] = of_movie;
            hidden.weight[(dimension + factor) * width + unit] = of_user;
            hidden.bias[unit] = bias;
            output.weight[unit] = weight;
        }
        // −(a + b) + (a − b) = −2b, where b is of the movie.
        for (at, sign) in [(0, 1.0), (1, -1.0)] {
            let unit = PER_FACTOR * dimension + at;
            hidden.weight[factor * width + unit] = sign;
            output.weight[unit] = -2.0 * sign;
        }
    }
    [hidden, output]
}

fn mean_square(factors: &Factors) -> f64 {
    let rows = (0..factors.len()).filter(|&row| !factors.is_zero(row));
    let (mut sum, mut count) = (0.0, 0);
    for row in rows {
        for value in factors.row(row) {
            sum += f64::from(value) * f64::from(value);
            count += 1;
        }
    }
    sum / f64::from(count.max(1))
}

/// Fits the scale and the offset with which scores are logits of labels: logistic regression by Newton's method.
pub(super) fn calibrate(scores: &[f32], labels: &[bool]) -> [f32; 2] {
    let deviation = {
        let count = scores.len().max(1) as f64;
        let mean = scores.iter().map(|&score| f64::from(score)).sum::<f64>() / count;
        let square = scores.iter().map(|&score| (f64::from(score) - mean).powi(2)).sum::<f64>();
        (square / count).sqrt().max(1e-9)
    };
    let (mut scale, mut offset) = (1.0, 0.0);
    for _ in 0..25 {
        // A weak prior, so that labels that the scores separate do not lead to infinite scales.
        let mut gradient = [0.01 * scale, 0.01 * offset];
        let mut hessian = [0.01, 0.0, 0.01];
        for (&score, &label) in scores.iter().zip(labels) {
            let score = f64::from(score) / deviation;
            let probability = 1.0 / (1.0 + (-(scale * score + offset)).exp());
            let error = probability - if label { 1.0 } else { 0.0 };
            let curvature = probability * (1.0 - probability);
            gradient[0] += error * score;
            gradient[1] += error;
            hessian[0] += curvature * score * score;
            hessian[1] += curvature * score;
            hessian[2] += curvature;
        }
        let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
        let step = [
            (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / determinant,
            (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / determinant,
        ];
        // Full steps may diverge far from the solution.
        let shorten = (1.0 / step[0].abs().max(step[1].abs())).min(1.0);
        scale -= shorten * step[0];
        offset -= shorten * step[1];
    }
    // The order of the scores remains.
    [(scale.max(1e-3) / deviation) as f32, offset as f32]
}

#[cfg(test)]
mod tests {
    use sparrow_random::Random;

    use super::*;

    #[test]
    fn layers_approximate_the_dot_product() {
        let mut random = Random::new(1, 1);
        let dimension = 8;
        let mut factors =
            |scale: f64| Factors::new(50, dimension, |_| (random.normal() * scale) as f32);
        let (movies, users) = (factors(0.1), factors(0.2));
        let [hidden, output] = layers(&movies, &users, dimension);
        let width = units(dimension);
        let mut pairs = Vec::new();
        for movie in 0..50 {
            for user in 0..50 {
                let (movie, user) = (movies.row(movie), users.row(user));
                let dot: f32 = movie.iter().zip(&user).map(|(a, b)| a * b).sum();
                let mut sums = hidden.bias.clone();
                for (row, value) in hidden.weight.chunks(width).zip(movie.iter().chain(&user)) {
                    sums.iter_mut().zip(row).for_each(|(sum, weight)| *sum += weight * value);
                }
                let score: f32 = sums.iter().zip(&output.weight).map(|(x, w)| x.max(0.0) * w).sum();
                pairs.push((f64::from(dot), f64::from(score)));
            }
        }
        let sum = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
        let correlation = sum(|(dot, score)| dot * score)
            / (sum(|(dot, _)| dot * dot) * sum(|(_, score)| score * score)).sqrt();
        assert!(correlation > 0.9, "{correlation}");
    }

    #[test]
    fn calibration_recovers_scale_and_offset() {
        let mut random = Random::new(2, 1);
        let scores: Vec<f32> = (0..20_000).map(|_| random.between(-0.1, 0.1) as f32).collect();
        let probability = |score: f32| 1.0 / (1.0 + (-(30.0 * f64::from(score) - 1.0)).exp());
        let labels: Vec<bool> = scores.iter().map(|&it| random.chance(probability(it))).collect();
        let [scale, offset] = calibrate(&scores, &labels);
        assert!((scale - 30.0).abs() < 2.0 && (offset + 1.0).abs() < 0.1, "{scale} {offset}");
        let separated: Vec<bool> = scores.iter().map(|&score| score > 0.0).collect();
        assert!(calibrate(&scores, &separated)[0].is_finite());
    }
}
