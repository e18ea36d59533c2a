use sparrow_train::metrics::{Calibration, LabelMetrics, Scored};

/// The observations of one seed, from which measures of bootstrap resamples of the users are computed. Users are indexes
/// of the whole data set.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Observations {
    pub(super) means: Means,
    pub(super) labels: Option<Labels>,
}

/// Measures that are means over users.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Means {
    names: Vec<&'static str>,
    users: Vec<u32>,
    /// A row of values per user; NaN if a measure is undefined for the user.
    values: Vec<f64>,
}

impl Means {
    pub(super) fn new(names: &[&'static str]) -> Self {
        Self { names: names.to_vec(), users: Vec::new(), values: Vec::new() }
    }

    /// Adds a user's values, in the order of the names.
    pub(super) fn push(&mut self, user: u32, values: &[f64]) {
        debug_assert_eq!(values.len(), self.names.len());
        self.users.push(user);
        self.values.extend_from_slice(values);
    }

    /// Returns `None` if there are users, but none of them has a weight.
    fn measure(&self, weights: &[u32]) -> Option<Vec<(&'static str, f64)>> {
        if !self.users.is_empty() && self.users.iter().all(|&user| weights[user as usize] == 0) {
            return None;
        }
        let mut sums = vec![(0.0, 0.0); self.names.len()];
        let rows = self.values.chunks_exact(self.names.len().max(1));
        for (&user, row) in self.users.iter().zip(rows) {
            let weight = f64::from(weights[user as usize]);
            if weight == 0.0 {
                continue;
            }
            for ((sum, count), &value) in sums.iter_mut().zip(row) {
                if !value.is_nan() {
                    *sum += weight * value;
                    *count += weight;
                }
            }
        }
        let mean = |(sum, count): (f64, f64)| if count == 0.0 { 0.0 } else { sum / count };
        Some(self.names.iter().copied().zip(sums.into_iter().map(mean)).collect())
    }

    fn of_users(&self, select: &impl Fn(u32) -> bool) -> Self {
        let mut selected = Self::new(&self.names);
        let rows = self.values.chunks_exact(self.names.len().max(1));
        for (&user, row) in self.users.iter().zip(rows).filter(|(user, _)| select(**user)) {
            selected.push(user, row);
        }
        selected
    }
}

/// Scores of pairs of all users.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Labels {
    /// In descending order of score.
    pairs: Vec<(f32, bool, u32)>,
    /// Whether the scores are probabilities.
    probabilities: bool,
}

impl Labels {
    /// Takes triples of score, label and user.
    pub(super) fn new(mut pairs: Vec<(f32, bool, u32)>, probabilities: bool) -> Self {
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        Self { pairs, probabilities }
    }

    fn scored(&self, weights: &[u32]) -> Vec<Scored> {
        let all = self.pairs.iter().map(|&(score, liked, user)| Scored {
            score,
            liked,
            weight: f64::from(weights[user as usize]),
        });
        all.filter(|pair| pair.weight > 0.0).collect()
    }

    fn measure(&self, weights: &[u32]) -> Option<Vec<(&'static str, f64)>> {
        let scored = self.scored(weights);
        let metrics = LabelMetrics::of_ordered(&scored)?;
        let mut measures = vec![("roc_auc", metrics.roc_auc), ("pr_auc", metrics.pr_auc)];
        if self.probabilities {
            measures.extend([
                ("log_loss", metrics.log_loss),
                ("accuracy", metrics.accuracy),
                ("calibration_error", Calibration::new(&scored).error),
            ]);
        }
        Some(measures)
    }
}

impl Observations {
    /// The measures' names, in order.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let of_labels: &[&'static str] = match &self.labels {
            None => &[],
            Some(Labels { probabilities: false, .. }) => &["roc_auc", "pr_auc"],
            Some(_) => &["roc_auc", "pr_auc", "log_loss", "accuracy", "calibration_error"],
        };
        [of_labels, &self.means.names].concat()
    }

    /// The evaluated users, possibly with repeats.
    pub(super) fn users(&self) -> impl Iterator<Item = u32> + '_ {
        let of_labels = self.labels.iter().flat_map(|labels| &labels.pairs);
        self.means.users.iter().copied().chain(of_labels.map(|&(.., user)| user))
    }

    /// Returns whether nothing was observed.
    pub(super) fn is_empty(&self) -> bool {
        self.users().next().is_none()
    }

    /// The observations of some of the users.
    pub(super) fn of_users(&self, select: impl Fn(u32) -> bool) -> Self {
        let labels = self.labels.as_ref().map(|labels| Labels {
            pairs: labels.pairs.iter().filter(|pair| select(pair.2)).copied().collect(),
            probabilities: labels.probabilities,
        });
        Self { means: self.means.of_users(&select), labels }
    }

    /// Computes the measures with a weight per user; `None` if all labels are equal, or no user has a weight.
    pub(super) fn measure(&self, weights: &[u32]) -> Option<Vec<(&'static str, f64)>> {
        let mut measures = match &self.labels {
            Some(labels) => labels.measure(weights)?,
            None => Vec::new(),
        };
        measures.extend(self.means.measure(weights)?);
        Some(measures)
    }

    /// The calibration over several observations; `None` if scores are not probabilities.
    pub(super) fn calibration<'a>(all: impl Iterator<Item = &'a Self>) -> Option<Calibration> {
        let mut scored = Vec::new();
        for labels in all.map(|measured| measured.labels.as_ref()) {
            let labels = labels.filter(|labels| labels.probabilities)?;
            scored.extend(labels.pairs.iter().map(|&(score, liked, _)| Scored {
                score,
                liked,
                weight: 1.0,
            }));
        }
        (!scored.is_empty()).then(|| Calibration::new(&scored))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn means_apply_the_weights_of_users() {
        let mut means = Means::new(&["a", "b"]);
        means.push(0, &[1.0, f64::NAN]);
        means.push(2, &[4.0, 3.0]);
        let measured = Observations { means, labels: None };
        assert_eq!(measured.names(), ["a", "b"]);
        assert_eq!(measured.measure(&[1, 9, 1]).unwrap(), [("a", 2.5), ("b", 3.0)]);
        assert_eq!(measured.measure(&[2, 9, 1]).unwrap(), [("a", 2.0), ("b", 3.0)]);
        assert_eq!(measured.measure(&[1, 9, 0]).unwrap(), [("a", 1.0), ("b", 0.0)]);
        assert_eq!(measured.measure(&[0, 9, 0]), None);
        let second = measured.of_users(|user| user == 2);
        assert_eq!(second.measure(&[1, 9, 1]).unwrap(), [("a", 4.0), ("b", 3.0)]);
        assert!(measured.of_users(|user| user == 1).is_empty());
    }

    #[test]
    fn labels_have_the_weights_of_their_users() {
        let pairs = vec![(0.2, false, 0), (0.9, true, 1), (0.4, true, 0), (0.6, false, 1)];
        let labels = Labels::new(pairs, true);
        let measured = Observations { labels: Some(labels), ..Observations::default() };
        let auc = |weights: &[u32]| Some(measured.measure(weights)?[0].1);
        assert_eq!(auc(&[1, 1]), Some(0.75));
        assert_eq!(auc(&[0, 1]), Some(1.0));
        assert_eq!(auc(&[2, 1]), Some(7.0 / 9.0));
        assert_eq!(auc(&[0, 0]), None);
        let names: Vec<_> =
            measured.measure(&[1, 1]).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, measured.names());
    }
}
