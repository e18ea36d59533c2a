//! The conditional logit model: the weights of the greatest likelihood of choices.

use std::iter;

use sparrow_neural::TopK;

use super::choices::Choice;
use crate::signal::log_score;
use crate::{INPUTS, Signal};

/// The length of the lists that validation measures.
const LIST: usize = 10;

/// A choice with the values of its signals, one row per candidate.
#[derive(Clone)]
pub(super) struct Prepared {
    user: u32,
    pub(super) new_share: f64,
    rows: Vec<f64>,
    /// What is added to the score of each candidate; empty for 0.
    offsets: Vec<f64>,
    positives: Vec<bool>,
    held_out: usize,
}

impl Prepared {
    pub(super) fn new(choice: &Choice, signals: &[Signal], epsilons: &[f32]) -> Self {
        let candidates = choice.positives.len();
        let mut rows = vec![0.0; candidates * signals.len()];
        for (column, (&signal, &epsilon)) in signals.iter().zip(epsilons).enumerate() {
            let values: &mut dyn Iterator<Item = f32> = match signal.input() {
                Some(input) => match &choice.inputs[input] {
                    Some(scores) => &mut scores.iter().map(|&score| log_score(score, epsilon)),
                    None => continue,
                },
                None => &mut choice.others[signal as usize - INPUTS.len()].iter().copied(),
            };
            for (candidate, value) in values.enumerate() {
                rows[candidate * signals.len() + column] = f64::from(value);
            }
        }
        let positives = choice.positives.clone();
        let new_share = f64::from(choice.new_share);
        Self {
            user: choice.user,
            new_share,
            rows,
            offsets: Vec::new(),
            positives,
            held_out: choice.held_out,
        }
    }

    /// The choice as a function of the weights for new users alone: the share of these weights scales the rows, and the
    /// scores by the other weights become offsets.
    fn with_full_weights(mut self, full: &[f64]) -> Self {
        self.offsets = self.scores(full).map(|score| (1.0 - self.new_share) * score).collect();
        self.rows.iter_mut().for_each(|value| *value *= self.new_share);
        self
    }

    fn scores<'a>(&'a self, weights: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let dot = move |row: &[f64]| -> f64 {
            row.iter().zip(weights).map(|(value, weight)| value * weight).sum()
        };
        let offsets = self.offsets.iter().copied().chain(iter::repeat(0.0));
        self.rows
            .chunks_exact(weights.len())
            .zip(offsets)
            .map(move |(row, offset)| offset + dot(row))
    }

    /// nDCG@10 of the list by these weights.
    pub(super) fn ndcg(&self, weights: &[f64]) -> f64 {
        let mut top = TopK::new(LIST);
        for (score, index) in self.scores(weights).zip(0..) {
            top.push(score as f32, index);
        }
        let discount = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
        let found: f64 = top
            .sorted()
            .enumerate()
            .filter(|(_, (_, index))| self.positives[*index as usize])
            .map(|(rank, _)| discount(rank))
            .sum();
        found / (0..LIST.min(self.held_out)).map(discount).sum::<f64>()
    }
}

/// The choices of these halves, 0 and 1, of the users.
pub(super) fn halves<'a>(choices: &'a [Prepared], halves: &[u32]) -> Vec<&'a Prepared> {
    choices.iter().filter(|choice| halves.contains(&(choice.user % 2))).collect()
}

/// The weights of the signals.
pub(super) struct Weights {
    /// For users with many ratings.
    pub(super) full: Vec<f64>,
    /// For users without ratings.
    pub(super) new: Option<Vec<f64>>,
}

/// The fewest choices of new users to which weights of their own are fitted.
const LEAST_NEW: usize = 40;

impl Weights {
    /// The weights of the greatest likelihood: first those of users with many ratings, then, added to these by share, those
    /// of new users.
    pub(super) fn fit(full: &[&Prepared], new: &[&Prepared], signals: usize) -> Option<Self> {
        let (full, _) = maximise(full, signals)?;
        if new.len() < LEAST_NEW {
            return Some(Self { full, new: None });
        }
        let new: Vec<Prepared> =
            new.iter().map(|&choice| choice.clone().with_full_weights(&full)).collect();
        let (new, _) = maximise(&new.iter().collect::<Vec<_>>(), signals)?;
        Some(Self { full, new: Some(new) })
    }

    /// The weights for a user with this share of those for new users.
    pub(super) fn at(&self, new_share: f64) -> Vec<f64> {
        let new = self.new.as_ref().unwrap_or(&self.full);
        self.full.iter().zip(new).map(|(full, new)| full + new_share * (new - full)).collect()
    }
}

/// The greatest number of Newton steps.
const STEPS: usize = 30;

/// The weights of the greatest mean log-likelihood, and this likelihood; `None` if it is not finite. A small ridge makes
/// the maximum unique if signals are collinear.
pub(super) fn maximise(choices: &[&Prepared], signals: usize) -> Option<(Vec<f64>, f64)> {
    const RIDGE: f64 = 1e-4;
    if choices.is_empty() {
        return None;
    }
    let evaluate = |weights: &[f64], derivatives: bool| {
        let mut value = 0.0;
        let (mut gradient, mut hessian) = (vec![0.0; signals], vec![0.0; signals * signals]);
        for choice in choices {
            let scores: Vec<f64> = choice.scores(weights).collect();
            let greatest = scores.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            let mut shares: Vec<f64> =
                scores.iter().map(|score| (score - greatest).exp()).collect();
            let sum: f64 = shares.iter().sum();
            for share in &mut shares {
                *share /= sum;
            }
            let chosen = choice.positives.iter().filter(|&&chosen| chosen).count() as f64;
            for (score, _) in scores.iter().zip(&choice.positives).filter(|(_, chosen)| **chosen) {
                value += score - greatest - sum.ln();
            }
            if !derivatives {
                continue;
            }
            let mut mean = vec![0.0; signals];
            for (row, (&share, &positive)) in
                choice.rows.chunks_exact(signals).zip(shares.iter().zip(&choice.positives))
            {
                let target = f64::from(u8::from(positive));
                let share = share * chosen;
                for (a, &of_a) in row.iter().enumerate() {
                    mean[a] += share * of_a;
                    gradient[a] += (target - share) * of_a;
                    for (b, &of_b) in row[..=a].iter().enumerate() {
                        hessian[a * signals + b] += share * of_a * of_b;
                    }
                }
            }
            for a in 0..signals {
                for b in 0..=a {
                    hessian[a * signals + b] -= mean[a] * mean[b] / chosen;
                }
            }
        }
        let len = choices.len() as f64;
        for a in 0..signals {
            gradient[a] = gradient[a] / len - RIDGE * weights[a];
            for b in 0..=a {
                hessian[a * signals + b] /= len;
                hessian[b * signals + a] = hessian[a * signals + b];
            }
            hessian[a * signals + a] += RIDGE;
        }
        let penalty = RIDGE / 2.0 * weights.iter().map(|weight| weight * weight).sum::<f64>();
        (value / len - penalty, gradient, hessian)
    };
    let mut weights = vec![0.0; signals];
    let (mut value, mut gradient, mut hessian) = evaluate(&weights, true);
    for _ in 0..STEPS {
        let step = solve(hessian, gradient)?;
        let mut length = 1.0;
        let improved = loop {
            let changed: Vec<f64> =
                weights.iter().zip(&step).map(|(weight, step)| weight + length * step).collect();
            let (found, ..) = evaluate(&changed, false);
            if found > value {
                break Some((changed, found));
            }
            length /= 2.0;
            if length < 1e-3 {
                break None;
            }
        };
        let Some((changed, found)) = improved else { break };
        let gain = found - value;
        weights = changed;
        if gain < 1e-7 {
            value = found;
            break;
        }
        (value, gradient, hessian) = evaluate(&weights, true);
    }
    value.is_finite().then_some((weights, value))
}

/// The solution of a system of equations with a symmetric positive definite matrix; `None` if it is singular.
fn solve(mut matrix: Vec<f64>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let n = right.len();
    for pivot in 0..n {
        let diagonal = matrix[pivot * n + pivot];
        if !(diagonal.is_finite() && diagonal > 0.0) {
            return None;
        }
        for row in pivot + 1..n {
            let factor = matrix[row * n + pivot] / diagonal;
            for column in pivot..n {
                matrix[row * n + column] -= factor * matrix[pivot * n + column];
            }
            right[row] -= factor * right[pivot];
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|column| matrix[row * n + column] * right[column]).sum();
        right[row] = (right[row] - known) / matrix[row * n + row];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_the_greatest_likelihood_are_found() {
        // Two alternatives that differ by 1 in a signal: with probability p for the one with 1, the weight is the logit.
        let choice = |first: bool| Prepared {
            user: 0,
            new_share: 0.0,
            rows: vec![1.0, 0.0],
            offsets: Vec::new(),
            positives: vec![first, !first],
            held_out: 1,
        };
        let choices: Vec<Prepared> = (0..10).map(|index| choice(index < 8)).collect();
        let choices: Vec<&Prepared> = choices.iter().collect();
        let (weights, _) = maximise(&choices, 1).expect("a maximum");
        assert!((weights[0] - 4.0_f64.ln()).abs() < 2e-3, "{weights:?}");
    }

    #[test]
    fn collinear_signals_share_the_weight() {
        let choice = |first: bool| Prepared {
            user: 0,
            new_share: 0.0,
            rows: vec![1.0, 1.0, 0.0, 0.0],
            offsets: Vec::new(),
            positives: vec![first, !first],
            held_out: 1,
        };
        let choices: Vec<Prepared> = (0..10).map(|index| choice(index < 8)).collect();
        let choices: Vec<&Prepared> = choices.iter().collect();
        let (weights, _) = maximise(&choices, 2).expect("a maximum");
        assert!((weights[0] - weights[1]).abs() < 1e-6, "{weights:?}");
        assert!((weights[0] + weights[1] - 4.0_f64.ln()).abs() < 2e-3, "{weights:?}");
    }

    #[test]
    fn new_users_have_weights_of_their_own() {
        // Users with many ratings choose the first alternative in 8 of 10 cases, new ones in 2 of 10.
        let choices = |first: usize, new_share: f64| -> Vec<Prepared> {
            let choice = |index: usize| Prepared {
                user: 0,
                new_share,
                rows: vec![1.0, 0.0],
                offsets: Vec::new(),
                positives: vec![index % 10 < first, index % 10 >= first],
                held_out: 1,
            };
            (0..LEAST_NEW).map(choice).collect()
        };
        let (full, new) = (choices(8, 0.0), choices(2, 1.0));
        let (full, new) = (full.iter().collect::<Vec<_>>(), new.iter().collect::<Vec<_>>());
        let weights = Weights::fit(&full, &new, 1).expect("a maximum");
        let logit = 4.0_f64.ln();
        for (share, expected) in [(0.0, logit), (1.0, -logit), (0.5, 0.0)] {
            let weight = weights.at(share)[0];
            assert!((weight - expected).abs() < 4e-3, "{share}: {weight}");
        }
        assert!(Weights::fit(&full, &new[1..], 1).expect("a maximum").new.is_none());
        // Choices with half of either weight: 5 of 10 is the logit 0.
        let half = choices(5, 0.5);
        let weights = Weights::fit(&full, &half.iter().collect::<Vec<_>>(), 1).expect("a maximum");
        assert!((weights.full[0] - logit).abs() < 4e-3, "{:?}", weights.full);
        assert!(weights.at(0.5)[0].abs() < 4e-3, "{:?}", weights.new);
    }

    #[test]
    fn ndcg_counts_held_out_movies_that_are_no_candidates() {
        let choice = Prepared {
            user: 0,
            new_share: 0.0,
            rows: vec![3.0, 2.0],
            offsets: Vec::new(),
            positives: vec![true, false],
            held_out: 2,
        };
        let expected = 1.0 / (1.0 + 1.0 / 3.0_f64.log2());
        assert!((choice.ndcg(&[1.0]) - expected).abs() < 1e-12);
    }
}
