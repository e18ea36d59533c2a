//! How well scores tell what people like from what they do not.

/// The measures of a set of scores between 0 and 1 and the labels that they should foretell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelMetrics {
    /// The area under the ROC curve: how likely a liked movie scores above one that is not liked;
    /// equal scores count half.
    pub roc_auc: f64,
    /// The average precision, which is the area under the precision–recall curve as steps: the mean
    /// over the liked movies of the part of liked ones among all that score as high.
    pub pr_auc: f64,
    /// The part of pairs on the right side of 0.5.
    pub accuracy: f64,
    /// The mean of -ln of the probability that was given to what really was.
    pub log_loss: f64,
    /// How many pairs there were.
    pub count: usize,
}

impl LabelMetrics {
    /// Measures `scores` against `labels`, place by place. `None` where a kind of label does not occur:
    /// the areas mean nothing then. Scores must not be NaN.
    ///
    /// # Panics
    /// If there are not as many labels as scores.
    pub fn new(scores: &[f32], labels: &[bool]) -> Option<Self> {
        assert_eq!(scores.len(), labels.len());
        let liked = labels.iter().filter(|&&label| label).count();
        let others = labels.len() - liked;
        if liked == 0 || others == 0 {
            return None;
        }
        let mut order: Vec<(f32, bool)> =
            scores.iter().copied().zip(labels.iter().copied()).collect();
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));

        let (mut above, mut liked_above, mut roc, mut pr) = (0, 0, 0.0, 0.0);
        for tied in order.chunk_by(|a, b| a.0 == b.0) {
            let tied_liked = tied.iter().filter(|(_, label)| *label).count();
            let tied_others = tied.len() - tied_liked;
            roc += tied_others as f64 * (liked_above as f64 + tied_liked as f64 / 2.0);
            above += tied.len();
            liked_above += tied_liked;
            pr += tied_liked as f64 * liked_above as f64 / above as f64;
        }

        let pairs = scores.iter().zip(labels);
        let right = pairs.clone().filter(|&(&score, &label)| (score >= 0.5) == label).count();
        let loss = |(&score, &label): (&f32, &bool)| {
            let probability = f64::from(score).clamp(1e-7, 1.0 - 1e-7);
            -if label { probability } else { 1.0 - probability }.ln()
        };
        let count = labels.len();
        Some(Self {
            roc_auc: roc / liked as f64 / others as f64,
            pr_auc: pr / liked as f64,
            accuracy: right as f64 / count as f64,
            log_loss: pairs.map(loss).sum::<f64>() / count as f64,
            count,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_case_computed_by_hand() {
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
    fn without_both_labels_there_are_no_areas() {
        assert_eq!(LabelMetrics::new(&[0.1, 0.2], &[true, true]), None);
        assert_eq!(LabelMetrics::new(&[], &[]), None);
    }

    proptest! {
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
