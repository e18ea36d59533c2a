//! Metrics of scores as predictions of likes, and of lists.

/// The length of the measured lists.
pub const LIST_LENGTH: usize = 10;

/// The metrics of lists of the ten best movies, among all that the user has not rated in the training data. Held-out
/// ratings are relevant, whatever their stars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ListMetrics {
    /// nDCG@10.
    pub ndcg: f64,
    /// Recall@10: the share of the held-out ratings, of at most ten.
    pub recall: f64,
    /// The share of users with a hit.
    pub hit_rate: f64,
    /// The number of users.
    pub users: usize,
}

impl ListMetrics {
    /// Adds the list of a user.
    pub(crate) fn add(&mut self, list: &[u32], relevant: &[u32]) {
        let discount = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
        let hits = list.iter().enumerate().filter(|(_, movie)| relevant.contains(movie));
        let hits: Vec<usize> = hits.map(|(rank, _)| rank).collect();
        let most = relevant.len().min(LIST_LENGTH);
        let ideal: f64 = (0..most).map(discount).sum();
        self.ndcg += hits.iter().map(|&rank| discount(rank)).sum::<f64>() / ideal;
        self.recall += hits.len() as f64 / most as f64;
        self.hit_rate += if hits.is_empty() { 0.0 } else { 1.0 };
        self.users += 1;
    }

    /// The means of the added lists; `None` if there are none.
    pub(crate) fn mean(self) -> Option<Self> {
        let count = self.users as f64;
        (self.users > 0).then_some(Self {
            ndcg: self.ndcg / count,
            recall: self.recall / count,
            hit_rate: self.hit_rate / count,
            users: self.users,
        })
    }
}

/// The metrics that fit the objective of a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metrics {
    /// Of scores as predictions of labels.
    Labels(LabelMetrics),
    /// Of lists.
    Lists(ListMetrics),
}

impl Metrics {
    /// The measure that early stopping minimises: the log loss, or minus nDCG@10.
    pub const fn loss(&self) -> f64 {
        match self {
            Self::Labels(labels) => labels.log_loss,
            Self::Lists(lists) => -lists.ndcg,
        }
    }

    /// The metrics of lists, if these were measured.
    pub const fn lists(&self) -> Option<&ListMetrics> {
        match self {
            Self::Labels(_) => None,
            Self::Lists(lists) => Some(lists),
        }
    }

    /// Names and values, for model files.
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        match self {
            Self::Labels(it) => vec![
                ("roc_auc", it.roc_auc),
                ("pr_auc", it.pr_auc),
                ("accuracy", it.accuracy),
                ("log_loss", it.log_loss),
                ("samples", it.count as f64),
            ],
            Self::Lists(it) => vec![
                ("ndcg_at_10", it.ndcg),
                ("recall_at_10", it.recall),
                ("hit_rate_at_10", it.hit_rate),
                ("users", it.users as f64),
            ],
        }
    }
}

/// The metrics of scores between 0 and 1 as predictions of labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelMetrics {
    /// The area under the ROC curve: the probability that a liked movie has a higher score than another one; equal scores
    /// count half.
    pub roc_auc: f64,
    /// The average precision, which is the area under the precision–recall curve as steps: the mean over the liked
    /// movies of the precision at their scores.
    pub pr_auc: f64,
    /// The share of pairs whose score is on the correct side of 0.5.
    pub accuracy: f64,
    /// The mean of -ln of the predicted probability of the label.
    pub log_loss: f64,
    /// The number of pairs.
    pub count: usize,
}

impl LabelMetrics {
    /// Computes the metrics of `scores` for `labels` with the same indexes. Returns `None` if all labels are equal,
    /// because the areas are then undefined. Scores must not be NaN.
    ///
    /// # Panics
    /// If the numbers of labels and scores differ.
    pub fn new(scores: &[f32], labels: &[bool]) -> Option<Self> {
        assert_eq!(scores.len(), labels.len());
        let mut pairs: Vec<Scored> = scores
            .iter()
            .zip(labels)
            .map(|(&score, &liked)| Scored { score, liked, weight: 1.0 })
            .collect();
        pairs.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
        Self::of_ordered(&pairs)
    }

    /// Computes the metrics of weighted pairs in descending order of score.
    pub fn of_ordered(scored: &[Scored]) -> Option<Self> {
        let weight_of = |scored: &[Scored]| -> (f64, f64) {
            scored.iter().fold((0.0, 0.0), |(all, liked), pair| {
                (all + pair.weight, if pair.liked { liked + pair.weight } else { liked })
            })
        };
        let (count, liked) = weight_of(scored);
        let others = count - liked;
        if liked <= 0.0 || others <= 0.0 {
            return None;
        }
        let (mut above, mut liked_above, mut roc, mut pr) = (0.0, 0.0, 0.0, 0.0);
        for tied in scored.chunk_by(|a, b| a.score == b.score) {
            let (tied_all, tied_liked) = weight_of(tied);
            if tied_all <= 0.0 {
                continue;
            }
            roc += (tied_all - tied_liked) * (liked_above + tied_liked / 2.0);
            above += tied_all;
            liked_above += tied_liked;
            pr += tied_liked * liked_above / above;
        }
        let (mut right, mut loss) = (0.0, 0.0);
        for pair in scored {
            if (pair.score >= 0.5) == pair.liked {
                right += pair.weight;
            }
            let probability = f64::from(pair.score).clamp(1e-7, 1.0 - 1e-7);
            loss -= pair.weight * if pair.liked { probability } else { 1.0 - probability }.ln();
        }
        Some(Self {
            roc_auc: roc / liked / others,
            pr_auc: pr / liked,
            accuracy: right / count,
            log_loss: loss / count,
            count: count.round() as usize,
        })
    }
}

/// A score, its label and its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The score.
    pub score: f32,
    /// The label.
    pub liked: bool,
    /// The weight of the pair.
    pub weight: f64,
}

/// The pairs with scores in an interval of length 0.1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bin {
    /// The weighted number of pairs.
    pub count: f64,
    /// The mean of their scores; 0 without pairs.
    pub predicted: f64,
    /// The share of liked ones; 0 without pairs.
    pub observed: f64,
}

/// The calibration of probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Scores below 0.1, from 0.1 and below 0.2, and so on; the last bin includes 1.
    pub bins: [Bin; 10],
    /// The expected calibration error (Naeini, Cooper and Hauskrecht 2015): the mean over all pairs of the difference
    /// between the mean score and the share of liked ones in the pair's bin.
    pub error: f64,
}

impl Calibration {
    /// Computes the calibration of scores, which must be probabilities.
    pub fn new(scored: &[Scored]) -> Self {
        let mut bins = [Bin::default(); 10];
        for pair in scored {
            let bin = &mut bins[((pair.score * 10.0) as usize).min(9)];
            bin.count += pair.weight;
            bin.predicted += pair.weight * f64::from(pair.score);
            bin.observed += if pair.liked { pair.weight } else { 0.0 };
        }
        let count: f64 = bins.iter().map(|bin| bin.count).sum();
        let mut error = 0.0;
        for bin in bins.iter_mut().filter(|bin| bin.count > 0.0) {
            error += (bin.predicted - bin.observed).abs() / count;
            bin.predicted /= bin.count;
            bin.observed /= bin.count;
        }
        Self { bins, error }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn metrics_equal_manual_results() {
        // In order: liked, other, liked, other. Of the four pairs of a liked and another one, three
        // are in order; precision is 1 at the first liked and 2/3 at the second.
        let metrics =
            LabelMetrics::new(&[0.9, 0.8, 0.6, 0.2], &[true, false, true, false]).unwrap();
        assert!((metrics.roc_auc - 0.75).abs() < 1e-12);
        assert!((metrics.pr_auc - 5.0 / 6.0).abs() < 1e-12);
        assert_eq!((metrics.accuracy, metrics.count), (0.75, 4));
        let loss = -(0.9_f64.ln() + 0.2_f64.ln() + 0.6_f64.ln() + 0.8_f64.ln()) / 4.0;
        assert!((metrics.log_loss - loss).abs() < 1e-6);
    }

    #[test]
    fn equal_labels_have_no_metrics() {
        assert_eq!(LabelMetrics::new(&[0.1, 0.2], &[true, true]), None);
        assert_eq!(LabelMetrics::new(&[], &[]), None);
    }

    fn scored(pairs: &[(f32, bool, f64)]) -> Vec<Scored> {
        pairs.iter().map(|&(score, liked, weight)| Scored { score, liked, weight }).collect()
    }

    #[test]
    fn calibration_equals_manual_results() {
        let pairs =
            [(0.12, false), (0.18, true), (0.72, true), (0.78, false), (0.78, true), (1.0, true)];
        let pairs: Vec<_> = pairs.iter().map(|&(score, liked)| (score, liked, 1.0)).collect();
        let Calibration { bins, error } = Calibration::new(&scored(&pairs));
        let line = |bin: Bin| (bin.count, bin.predicted, bin.observed);
        let close = |(a, b, c): (f64, f64, f64), (x, y, z): (f64, f64, f64)| {
            a == x && (b - y).abs() < 1e-6 && (c - z).abs() < 1e-6
        };
        assert!(close(line(bins[1]), (2.0, 0.15, 0.5)));
        assert!(close(line(bins[7]), (3.0, 0.76, 2.0 / 3.0)));
        assert!(close(line(bins[9]), (1.0, 1.0, 1.0)));
        assert_eq!(bins[0], Bin::default());
        assert!((error - (0.7 + (2.28 - 2.0)) / 6.0).abs() < 1e-6, "{error}");
    }

    proptest! {
        /// A pair with the weight 2 counts as two pairs, and one with the weight 0 as none.
        #[test]
        fn weights_repeat(
            pairs in prop::collection::vec((0..6_u8, any::<bool>(), 0..3_usize), 2..40),
        ) {
            let score = |score: u8| f32::from(score) / 5.0;
            let mut repeated: Vec<_> = pairs
                .iter()
                .flat_map(|&(s, liked, times)| std::iter::repeat_n((score(s), liked), times))
                .collect();
            repeated.sort_by(|a, b| b.0.total_cmp(&a.0));
            let (scores, labels): (Vec<f32>, Vec<bool>) = repeated.into_iter().unzip();
            let mut weighed: Vec<_> =
                pairs.iter().map(|&(s, liked, times)| (score(s), liked, times as f64)).collect();
            weighed.sort_by(|a, b| b.0.total_cmp(&a.0));
            let found = LabelMetrics::of_ordered(&scored(&weighed));
            let expected = LabelMetrics::new(&scores, &labels);
            prop_assert_eq!(found.is_some(), expected.is_some());
            if let (Some(found), Some(expected)) = (found, expected) {
                prop_assert!((found.roc_auc - expected.roc_auc).abs() < 1e-12);
                prop_assert!((found.pr_auc - expected.pr_auc).abs() < 1e-12);
                prop_assert!((found.log_loss - expected.log_loss).abs() < 1e-9);
                prop_assert!((found.accuracy - expected.accuracy).abs() < 1e-12);
                prop_assert_eq!(found.count, expected.count);
            }
        }

        #[test]
        fn areas_are_as_defined(
            pairs in prop::collection::vec((0..6_u8, any::<bool>()), 2..40),
        ) {
            let (scores, labels): (Vec<f32>, Vec<bool>) =
                pairs.iter().map(|&(score, label)| (f32::from(score) / 5.0, label)).unzip();
            let Some(metrics) = LabelMetrics::new(&scores, &labels) else { return Ok(()) };
            let of = |wanted| {
                let all = scores.iter().zip(&labels);
                all.filter(move |(_, label)| **label == wanted).map(|(&score, _)| score)
            };
            let (mut won, mut games) = (0.0, 0.0);
            for liked in of(true) {
                for other in of(false) {
                    games += 1.0;
                    won += if liked > other { 1.0 } else if liked < other { 0.0 } else { 0.5 };
                }
            }
            prop_assert!((metrics.roc_auc - won / games).abs() < 1e-12);
            let precision = |at: f32| {
                let liked = of(true).filter(|&score| score >= at).count() as f64;
                liked / (liked + of(false).filter(|&score| score >= at).count() as f64)
            };
            let mean = of(true).map(precision).sum::<f64>() / of(true).count() as f64;
            prop_assert!((metrics.pr_auc - mean).abs() < 1e-12);
        }
    }
}
