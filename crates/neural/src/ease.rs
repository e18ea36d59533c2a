//! Item–item weights: how much a movie in a user's history speaks for another one (Steck 2019,
//! "Embarrassingly Shallow Autoencoders for Sparse Data", EASE).
//!
//! [`ItemWeights`] is the model as its file has it, by movie id; [`Scorer`] is the model laid out for a
//! catalogue. The score of a movie is the sum of the weights that the movies of the history have for it.

use std::fmt;

#[cfg(feature = "model-file")]
mod file;

#[cfg(feature = "model-file")]
pub use file::{EaseFile, EaseFileError, EaseMetadata};

/// Weights from items to items: for each item those to others that were kept, by the other's row.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemWeights {
    /// The ids of the rows, ascending.
    ids: Vec<u32>,
    /// The weights of row `r` are at `starts[r]..starts[r + 1]`.
    starts: Vec<u32>,
    /// The rows that the weights speak for.
    targets: Vec<u32>,
    weights: Vec<f32>,
}

/// What makes weights no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(String);

impl ItemWeights {
    /// Puts a model together and checks it: ids ascend, each row has its part of the weights, targets are
    /// rows, ascending within a row, and weights are finite.
    pub fn new(
        ids: Vec<u32>,
        starts: Vec<u32>,
        targets: Vec<u32>,
        weights: Vec<f32>,
    ) -> Result<Self, Unusable> {
        let unusable = |what: fmt::Arguments<'_>| Err(Unusable(what.to_string()));
        if ids.is_empty() {
            return unusable(format_args!("it has no movies"));
        }
        if let Some([id, _]) = ids.array_windows().find(|[a, b]| a >= b) {
            return unusable(format_args!("the id after {id} is not greater"));
        }
        let complete = starts.len() == ids.len() + 1
            && starts.first() == Some(&0)
            && starts.is_sorted()
            && starts.last().is_some_and(|&end| end as usize == targets.len())
            && weights.len() == targets.len();
        if !complete {
            return unusable(format_args!("its rows and weights do not fit together"));
        }
        let rows =
            starts.array_windows().map(|&[start, end]| &targets[start as usize..end as usize]);
        for (row, id) in rows.zip(&ids) {
            if !row.is_sorted_by(|a, b| a < b) {
                return unusable(format_args!("the targets of {id} do not ascend"));
            }
            if let Some(target) = row.last().filter(|&&target| target as usize >= ids.len()) {
                return unusable(format_args!("{id} speaks for row {target} of {}", ids.len()));
            }
        }
        match weights.iter().find(|weight| weight.is_nan() || weight.abs() > 1e15) {
            Some(weight) => unusable(format_args!("{weight} is not a weight of a sensible size")),
            None => Ok(Self { ids, starts, targets, weights }),
        }
    }

    /// The ids of the items, ascending.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many weights there are.
    pub fn weight_count(&self) -> usize {
        self.weights.len()
    }

    /// How many items have no weight to another.
    pub fn without_weights(&self) -> usize {
        self.starts.array_windows().filter(|[start, end]| start == end).count()
    }
}

/// Weights laid out for a catalogue.
#[derive(Debug, Clone)]
pub struct Scorer {
    /// For each item of the catalogue whether the model has it.
    known: Vec<bool>,
    known_count: usize,
    /// The weights of item `i` are at `starts[i]..starts[i + 1]`.
    starts: Vec<u32>,
    /// Items that they speak for, and how much.
    weights: Vec<(u32, f32)>,
}

impl Scorer {
    /// For a catalogue of `len` items. `position` maps an id to an item's position, `None` where the
    /// catalogue does not have it; positions ascend with ids.
    pub fn new(model: &ItemWeights, len: usize, position: impl Fn(u32) -> Option<u32>) -> Self {
        let items: Vec<Option<u32>> = model
            .ids
            .iter()
            .map(|&id| position(id).filter(|&item| (item as usize) < len))
            .collect();
        let mut known = vec![false; len];
        let mut starts = vec![0; len + 1];
        let mut weights = Vec::new();
        let mut next = 0;
        let mut filled = 0;
        for (row, item) in items.iter().enumerate() {
            let Some(item) = *item else { continue };
            if (item as usize) < filled {
                // Positions that do not ascend: the later of the items goes.
                continue;
            }
            starts[filled..=item as usize].fill(next);
            filled = item as usize + 1;
            known[item as usize] = true;
            let row = model.starts[row] as usize..model.starts[row + 1] as usize;
            for (&target, &weight) in model.targets[row.clone()].iter().zip(&model.weights[row]) {
                if let Some(target) = items[target as usize] {
                    weights.push((target, weight));
                }
            }
            next = weights.len() as u32;
        }
        starts[filled..].fill(next);
        let known_count = known.iter().filter(|&&known| known).count();
        Self { known, known_count, starts, weights }
    }

    /// How many items the catalogue has.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether the catalogue has no items.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many of the catalogue's items the model has.
    pub const fn known(&self) -> usize {
        self.known_count
    }

    /// Whether the model has an item of the catalogue.
    pub fn knows(&self, item: u32) -> bool {
        self.known.get(item as usize) == Some(&true)
    }

    /// Writes the scores of all items for a user with this history: 0 for items without a weight from the history, and
    /// `missing` for items that the model does not have. Returns whether the model has any item of the history.
    pub fn score_all(
        &self,
        history: impl Iterator<Item = u32>,
        missing: f32,
        scores: &mut Vec<f32>,
    ) -> bool {
        scores.clear();
        scores.extend(self.known.iter().map(|&known| if known { 0.0 } else { missing }));
        let mut any = false;
        for item in history.filter(|&item| self.knows(item)) {
            any = true;
            let item = item as usize;
            let row = self.starts[item] as usize..self.starts[item + 1] as usize;
            for &(target, weight) in &self.weights[row] {
                scores[target as usize] += weight;
            }
        }
        any
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) mod tests {
    use super::*;

    /// 10 speaks for 20 and against 40, 20 for 10, and 40 for itself: no model would, but it tells rows apart.
    pub(crate) fn weights() -> ItemWeights {
        let (targets, weights) = (vec![1, 3, 0, 3], vec![0.5, -0.25, 0.75, 2.0]);
        ItemWeights::new(vec![10, 20, 30, 40], vec![0, 2, 3, 3, 4], targets, weights).unwrap()
    }

    #[test]
    fn scores_are_sums_over_the_history() {
        // The catalogue has 5, 10, 30, 40.
        let position = |id| [5, 10, 30, 40].iter().position(|&known| known == id);
        let laid_out = Scorer::new(&weights(), 4, |id| position(id).map(|at| at as u32));
        assert_eq!((laid_out.len(), laid_out.known()), (4, 3));
        assert_eq!(
            [0, 1, 2, 3, 9].map(|item| laid_out.knows(item)),
            [false, true, true, true, false]
        );
        let mut scores = vec![7.0];
        assert!(laid_out.score_all([1, 0, 3].into_iter(), -1.0, &mut scores));
        assert_eq!(scores, [-1.0, 0.0, 0.0, 1.75]);
        assert!(!laid_out.score_all([0, 77].into_iter(), 0.0, &mut scores));
        assert_eq!(scores, [0.0; 4]);
    }

    #[test]
    fn what_is_no_model_is_refused() {
        let of = |ids: &[u32], starts: &[u32], targets: &[u32], weights: &[f32]| {
            ItemWeights::new(ids.to_vec(), starts.to_vec(), targets.to_vec(), weights.to_vec())
                .map_err(|error| error.to_string())
                .unwrap_err()
        };
        assert_eq!(of(&[], &[0], &[], &[]), "it has no movies");
        assert_eq!(of(&[4, 4], &[0, 0, 0], &[], &[]), "the id after 4 is not greater");
        let unfit = "its rows and weights do not fit together";
        assert_eq!(of(&[4], &[0], &[], &[]), unfit);
        assert_eq!(of(&[4], &[0, 2], &[0], &[1.0]), unfit);
        assert_eq!(of(&[4], &[0, 1], &[0], &[]), unfit);
        assert_eq!(of(&[4, 5], &[0, 2, 1], &[0], &[1.0]), unfit);
        assert_eq!(of(&[4], &[0, 1], &[1], &[1.0]), "4 speaks for row 1 of 1");
        assert_eq!(of(&[4, 5], &[0, 2, 2], &[1, 0], &[1.0; 2]), "the targets of 4 do not ascend");
        let nan = of(&[4], &[0, 1], &[0], &[f32::NAN]);
        assert_eq!(nan, "NaN is not a weight of a sensible size");
    }
}
