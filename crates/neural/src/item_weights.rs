//! Item–item weights: the models EASE (Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data"),
//! next-item and item-kNN.
//!
//! [`ItemWeights`] is the model by movie id, as in its file; [`Scorer`] is the model by the indexes of a catalogue. The
//! score of a movie is the sum of the weights from the movies of the history to it, each times the [input
//! weight](InputWeights) of the movie of the history.

use std::fmt;

use crate::kernel::{Kernel, SparseRows};

#[cfg(feature = "model-file")]
mod file;

#[cfg(feature = "model-file")]
pub use file::{Architecture, ItemWeightsFile, ItemWeightsMetadata};

/// A sparse item–item weight matrix in compressed rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemWeights {
    /// Item ids of the rows, ascending.
    ids: Vec<u32>,
    /// `targets` and `weights` of row `r` are at `starts[r]..starts[r + 1]`.
    starts: Vec<u32>,
    /// Target rows of the weights.
    targets: Vec<u32>,
    weights: Vec<f32>,
}

/// The error of an invalid weight matrix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidWeights(String);

impl ItemWeights {
    /// Creates and validates a weight matrix.
    ///
    /// # Errors
    /// If there are no ids, ids or the targets of a row are not strictly ascending, a target is no row, the lengths of
    /// the arrays differ, or a weight is not finite or above 1e15.
    pub fn new(
        ids: Vec<u32>,
        starts: Vec<u32>,
        targets: Vec<u32>,
        weights: Vec<f32>,
    ) -> Result<Self, InvalidWeights> {
        let invalid = |message: fmt::Arguments<'_>| Err(InvalidWeights(message.to_string()));
        if ids.is_empty() {
            return invalid(format_args!("no items"));
        }
        if let Some([id, _]) = ids.array_windows().find(|[a, b]| a >= b) {
            return invalid(format_args!("ids are not strictly ascending after {id}"));
        }
        let complete = starts.len() == ids.len() + 1
            && starts.first() == Some(&0)
            && starts.is_sorted()
            && starts.last().is_some_and(|&end| end as usize == targets.len())
            && weights.len() == targets.len();
        if !complete {
            return invalid(format_args!("row offsets and weights are inconsistent"));
        }
        let rows =
            starts.array_windows().map(|&[start, end]| &targets[start as usize..end as usize]);
        for (row, id) in rows.zip(&ids) {
            if !row.is_sorted_by(|a, b| a < b) {
                return invalid(format_args!("the targets of id {id} are not strictly ascending"));
            }
            if let Some(target) = row.last().filter(|&&target| target as usize >= ids.len()) {
                return invalid(format_args!("id {id} has target row {target} of {}", ids.len()));
            }
        }
        match weights.iter().find(|weight| weight.is_nan() || weight.abs() > 1e15) {
            Some(weight) => invalid(format_args!("weight {weight} is not finite or too large")),
            None => Ok(Self { ids, starts, targets, weights }),
        }
    }

    /// The item ids, ascending.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The number of weights.
    pub fn weight_count(&self) -> usize {
        self.weights.len()
    }

    /// The targets and weights of a row, in order of the targets, which are rows.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (u32, f32)> {
        let row = self.starts[row] as usize..self.starts[row + 1] as usize;
        self.targets[row.clone()].iter().copied().zip(self.weights[row].iter().copied())
    }

    /// The number of items without any weight.
    pub fn without_weights(&self) -> usize {
        self.starts.array_windows().filter(|[start, end]| start == end).count()
    }
}

/// How the ratings of a history are weighted as the input of a model. An age is a number of later ratings: the newest
/// rating has the age 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputWeights {
    /// Whether only liked movies count (3.5 stars or more), rather than all rated ones.
    pub liked_only: bool,
    /// The number of newest ratings that count; `None` for all.
    pub window: Option<usize>,
    /// The age at which the weight e^(−age/decay) is 1/e; `None` for equal weights of 1.
    pub decay: Option<f32>,
}

impl InputWeights {
    /// All ratings with equal weights.
    pub const EQUAL: Self = Self { liked_only: false, window: None, decay: None };

    /// Whether the weight of a rating depends on its position in the history.
    pub const fn by_age(&self) -> bool {
        self.window.is_some() || self.decay.is_some()
    }

    /// The weight of a rating of this age.
    pub fn at(&self, age: usize) -> f32 {
        if self.window.is_some_and(|window| age >= window) {
            return 0.0;
        }
        self.decay.map_or(1.0, |decay| (-(age as f32) / decay).exp())
    }
}

/// A weight matrix by the item indexes of a catalogue.
///
/// Weights are rounded to half precision, which changes each by at most 1/2048, and a score by at most 1/2048 of the sum
/// of the magnitudes of its parts.
#[derive(Debug, Clone)]
pub struct Scorer {
    kernel: Kernel,
    /// The row of each item of the catalogue, or `NO_ROW`.
    row_of: Vec<u32>,
    /// The items without a row.
    absent: Vec<u32>,
    rows: SparseRows,
}

const NO_ROW: u32 = u32::MAX;

/// The number of rows of a history that are added at once.
const BATCH: usize = 128;

impl Scorer {
    /// Creates a scorer for a catalogue of `len` items. `index_of` maps an id to an item index, or to `None` if the
    /// catalogue does not contain it; indexes must ascend with ids.
    pub fn new(model: &ItemWeights, len: usize, index_of: impl Fn(u32) -> Option<u32>) -> Self {
        let mut filled = 0;
        // If the index does not ascend, the item is skipped.
        let mut ascending = |item: &u32| {
            let ascends = (*item as usize) < len && *item >= filled;
            filled = if ascends { *item + 1 } else { filled };
            ascends
        };
        let items: Vec<Option<u32>> =
            model.ids.iter().map(|&id| index_of(id).filter(&mut ascending)).collect();
        let mut row_of = vec![NO_ROW; len];
        let mut weights = Vec::with_capacity(model.weights.len());
        let mut ends = Vec::new();
        for (row, item) in items.iter().enumerate() {
            let Some(item) = *item else { continue };
            row_of[item as usize] = ends.len() as u32;
            let row = model.starts[row] as usize..model.starts[row + 1] as usize;
            for (&target, &weight) in model.targets[row.clone()].iter().zip(&model.weights[row]) {
                if let Some(target) = items[target as usize] {
                    weights.push((target, weight));
                }
            }
            ends.push(weights.len());
        }
        let mut start = 0;
        let rows: Vec<&[(u32, f32)]> =
            ends.iter().map(|&end| &weights[std::mem::replace(&mut start, end)..end]).collect();
        let rows = SparseRows::new(&rows, len, |item| {
            Some(row_of[item as usize]).filter(|&row| row != NO_ROW)
        });
        let absent = (0..len as u32).filter(|&item| row_of[item as usize] == NO_ROW).collect();
        Self { kernel: Kernel::detect(), row_of, absent, rows }
    }

    /// The number of items of the catalogue.
    pub fn len(&self) -> usize {
        self.row_of.len()
    }

    /// Returns whether the catalogue has no items.
    pub fn is_empty(&self) -> bool {
        self.row_of.is_empty()
    }

    /// The number of items of the catalogue that the model contains.
    pub fn contained_count(&self) -> usize {
        self.row_of.len() - self.absent.len()
    }

    /// Returns whether the model contains an item of the catalogue.
    pub fn contains(&self, item: u32) -> bool {
        self.row(item).is_some()
    }

    fn row(&self, item: u32) -> Option<u32> {
        self.row_of.get(item as usize).copied().filter(|&row| row != NO_ROW)
    }

    /// Computes the scores of all items for a history of distinct items with their input weights. Items without weights
    /// from the history score 0, and items that the model does not contain score `missing`. Returns whether the model
    /// contains any item of the history.
    pub fn score_all(
        &self,
        history: impl Iterator<Item = (u32, f32)>,
        missing: f32,
        scores: &mut Vec<f32>,
    ) -> bool {
        scores.clear();
        scores.resize(self.len(), 0.0);
        let mut inputs = history.filter_map(|(item, input)| Some((self.row(item)?, input)));
        let mut batch = [(0, 0.0); BATCH];
        let mut any = false;
        loop {
            let mut count = 0;
            for (slot, input) in batch.iter_mut().zip(&mut inputs) {
                *slot = input;
                count += 1;
            }
            any |= count > 0;
            self.kernel.add_rows(&self.rows, &batch[..count], scores);
            if count < BATCH {
                break;
            }
        }
        for &item in &self.absent {
            scores[item as usize] = missing;
        }
        any
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) mod tests {
    use super::*;

    /// Four items with distinct rows, one of them (unlike in real models) with a weight to itself.
    pub(crate) fn weights() -> ItemWeights {
        let (targets, weights) = (vec![1, 3, 0, 3], vec![0.5, -0.25, 0.75, 2.0]);
        ItemWeights::new(vec![10, 20, 30, 40], vec![0, 2, 3, 3, 4], targets, weights).unwrap()
    }

    #[test]
    fn scores_are_sums_of_weights_over_the_history() {
        // The ids of the catalogue are 5, 10, 30, 40.
        let index_of = |id| [5, 10, 30, 40].iter().position(|&known| known == id);
        let model = Scorer::new(&weights(), 4, |id| index_of(id).map(|index| index as u32));
        assert_eq!((model.len(), model.contained_count()), (4, 3));
        assert_eq!(
            [0, 1, 2, 3, 9].map(|item| model.contains(item)),
            [false, true, true, true, false]
        );
        let mut scores = vec![7.0];
        assert!(model.score_all([(1, 1.0), (0, 1.0), (3, 1.0)].into_iter(), -1.0, &mut scores));
        assert_eq!(scores, [-1.0, 0.0, 0.0, 1.75]);
        assert!(model.score_all([(1, 2.0), (3, 0.5)].into_iter(), -1.0, &mut scores));
        assert_eq!(scores, [-1.0, 0.0, 0.0, 0.5]);
        assert!(!model.score_all([(0, 1.0), (77, 1.0)].into_iter(), 0.0, &mut scores));
        assert_eq!(scores, [0.0; 4]);
    }

    #[test]
    fn input_weights_fall_with_age_inside_the_window() {
        assert_eq!((InputWeights::EQUAL.at(0), InputWeights::EQUAL.at(1000)), (1.0, 1.0));
        let recent = InputWeights { window: Some(3), decay: Some(2.0), ..InputWeights::EQUAL };
        let expected = [1.0, (-0.5_f32).exp(), (-1.0_f32).exp(), 0.0];
        assert_eq!([0, 1, 2, 3].map(|age| recent.at(age)), expected);
        assert!(recent.by_age() && !InputWeights::EQUAL.by_age());
    }

    #[test]
    fn invalid_weights_are_errors() {
        let of = |ids: &[u32], starts: &[u32], targets: &[u32], weights: &[f32]| {
            ItemWeights::new(ids.to_vec(), starts.to_vec(), targets.to_vec(), weights.to_vec())
                .map_err(|error| error.to_string())
                .unwrap_err()
        };
        assert_eq!(of(&[], &[0], &[], &[]), "no items");
        assert_eq!(of(&[4, 4], &[0, 0, 0], &[], &[]), "ids are not strictly ascending after 4");
        let inconsistent = "row offsets and weights are inconsistent";
        assert_eq!(of(&[4], &[0], &[], &[]), inconsistent);
        assert_eq!(of(&[4], &[0, 2], &[0], &[1.0]), inconsistent);
        assert_eq!(of(&[4], &[0, 1], &[0], &[]), inconsistent);
        assert_eq!(of(&[4, 5], &[0, 2, 1], &[0], &[1.0]), inconsistent);
        assert_eq!(of(&[4], &[0, 1], &[1], &[1.0]), "id 4 has target row 1 of 1");
        assert_eq!(
            of(&[4, 5], &[0, 2, 2], &[1, 0], &[1.0; 2]),
            "the targets of id 4 are not strictly ascending"
        );
        let nan = of(&[4], &[0, 1], &[0], &[f32::NAN]);
        assert_eq!(nan, "weight NaN is not finite or too large");
    }
}
