//! Next-item and item-kNN: sparse weights from a movie to those that users rate soon before or after it.
//!
//! With C_ij the number of times that users rated j within the next `window` ratings after i, each counted e^(−(lag −
//! 1)/`decay`), plus `reverse` times the same in the opposite order, and n_i the number of ratings of i, let
//!
//! > P_ij = C_ij / (n_i + `shrinkage`)
//!
//! The weight is P_ij, or ln(1 + P_ij / `scale`) if `scale` is greater than 0, divided by (1 + n_j)^`popularity-exponent`.
//! The score of a movie is the sum of the weights from the newest `history-window` ratings of the user, each times
//! e^(−age/`history-decay`); from all ratings, with equal weights, if these are 0.
//!
//! * Next-item ([`Options::NEXT_ITEM`]) predicts the movie that is rated next. It is a session-aware item–item model in
//!   the sense of Choi et al. 2021 ("Session-aware Linear Item-Item Models for Session-based Recommendation"), by counts
//!   instead of a regression: on MovieLens, the logarithm of the counts ranks better than the inverse, and costs neither
//!   its memory nor its time.
//! * Item-kNN ([`Options::ITEM_KNN`]) is the classic item-based top-N model with conditional probabilities (Deshpande and
//!   Karypis 2004, "Item-Based Top-N Recommendation Algorithms"), over pairs that are near in time.
//!
//! Start reading at [`train`], which is independent of movies and files.

use sparrow_hyperparameters::{Hyperparameter, Hyperparameters, Range, SearchSpace, Settings as _};
use sparrow_model::Catalog;
use sparrow_neural::item_weights::{
    Architecture, InputWeights, ItemWeights, ItemWeightsFile, ItemWeightsMetadata,
};
use sparrow_progress::Progress;

use crate::ease::in_parallel;
use crate::item2vec::Sequences;
use crate::{Error, Execution, Method, MethodKind, Model, Output};

/// Hyperparameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Which of the models this is.
    pub architecture: Architecture,
    /// The greatest distance of two ratings of a user that count as neighbours.
    pub window: usize,
    /// The distance over which the count of a pair falls by a factor of e.
    pub decay: f32,
    /// The part of a pair's count that counts in the opposite order.
    pub reverse: f32,
    /// Counts of a movie are divided by its number of ratings plus this number.
    pub shrinkage: f32,
    /// The probability at which the logarithm turns from linear to flat; 0 for no logarithm.
    pub scale: f32,
    /// Weights are divided by the number of ratings of the target to this power.
    pub popularity_exponent: f32,
    /// The number of newest ratings of a history that are the input; 0 for all.
    pub history_window: usize,
    /// The age in ratings at which the input weight is 1/e; 0 for equal weights.
    pub history_decay: f32,
    /// The number of weights that are kept per movie, the greatest.
    pub keep: usize,
}

impl Options {
    /// Next-item, as measured on MovieLens' small set (`docs/quality.md`).
    pub const NEXT_ITEM: Self = Self {
        architecture: Architecture::NextItem,
        window: 20,
        decay: 5.0,
        reverse: 0.2,
        shrinkage: 10.0,
        scale: 0.02,
        popularity_exponent: 0.1,
        history_window: 40,
        history_decay: 4.0,
        keep: 512,
    };

    /// Item-kNN, as measured on MovieLens' small set (`docs/quality.md`).
    pub const ITEM_KNN: Self = Self {
        architecture: Architecture::ItemKnn,
        reverse: 1.0,
        scale: 0.0,
        popularity_exponent: 0.0,
        history_window: 0,
        history_decay: 0.0,
        keep: 256,
        ..Self::NEXT_ITEM
    };
}

impl Default for Options {
    fn default() -> Self {
        Self::NEXT_ITEM
    }
}

impl Hyperparameters for Options {
    const TABLE: &'static [Hyperparameter<Self>] = &[
        Hyperparameter::<Self>::new(
            "window",
            Range::within(1.0, 1000.0),
            |o| &mut o.window,
            "Greatest distance in ratings of a pair",
        )
        .search(SearchSpace::OneOf(&[5.0, 10.0, 20.0, 50.0])),
        Hyperparameter::<Self>::new(
            "decay",
            Range::within(0.1, 1000.0),
            |o| &mut o.decay,
            "Distance in ratings over which the count of a pair falls to 1/e",
        )
        .search(SearchSpace::Logarithmic(2.0, 50.0)),
        Hyperparameter::<Self>::new(
            "reverse",
            Range::within(0.0, 1.0),
            |o| &mut o.reverse,
            "Part of a pair's count that counts in the opposite order",
        )
        .search(SearchSpace::Uniform(0.0, 1.0)),
        Hyperparameter::<Self>::new(
            "shrinkage",
            Range::within(0.0, 1e6),
            |o| &mut o.shrinkage,
            "Number of ratings that is added to a movie's own before counts are divided by it",
        )
        .search(SearchSpace::Logarithmic(1.0, 100.0)),
        Hyperparameter::<Self>::new(
            "scale",
            Range::within(0.0, 1e6),
            |o| &mut o.scale,
            "Probability at which the logarithm flattens; 0 for no logarithm",
        ),
        Hyperparameter::<Self>::new(
            "popularity-exponent",
            Range::within(0.0, 1.0),
            |o| &mut o.popularity_exponent,
            "Weights are divided by the target's number of ratings to this power",
        )
        .search(SearchSpace::Uniform(0.0, 0.4)),
        Hyperparameter::<Self>::new(
            "history-window",
            Range::within(0.0, 1e6),
            |o| &mut o.history_window,
            "Newest ratings of a history that are the input; 0 for all",
        ),
        Hyperparameter::<Self>::new(
            "history-decay",
            Range::within(0.0, 1e6),
            |o| &mut o.history_decay,
            "Age in ratings at which the input weight is 1/e; 0 for equal weights",
        ),
        Hyperparameter::<Self>::new(
            "keep",
            Range::at_least(1.0),
            |o| &mut o.keep,
            "Weights per movie that are kept, the greatest",
        ),
    ];
}

/// `next-item`.
pub const NEXT_ITEM: MethodKind = MethodKind {
    name: "next-item",
    help: "Weights to the movies that are rated soon after",
    output: Output::Weights,
    seeded: false,
    same_on_all_threads: true,
    new: || Box::new(Options::NEXT_ITEM),
};

/// `item-knn`.
pub const ITEM_KNN: MethodKind = MethodKind {
    name: "item-knn",
    help: "Conditional probabilities of movies that are rated near each other in time",
    output: Output::Weights,
    seeded: false,
    same_on_all_threads: true,
    new: || Box::new(Options::ITEM_KNN),
};

impl Method for Options {
    fn compute(
        &self,
        catalog: &Catalog,
        execution: Execution,
        progress: Progress<'_>,
    ) -> Result<Model, Error> {
        execution.check()?;
        let mut sequences = Sequences::default();
        for history in catalog.users().iter() {
            sequences.push(history.movies().map(|movie| movie.0));
        }
        let ids: Vec<u32> = catalog.movies().iter().map(|movie| movie.id.0).collect();
        let weights = train(&sequences, &ids, self, execution.threads, progress)?;
        let metadata = ItemWeightsMetadata::new(self.architecture, self.input());
        let file = ItemWeightsFile { weights, metadata };
        Ok(Model::Weights { file, ratings: catalog.users().rating_count() })
    }
}

impl Options {
    /// How the model weights the history that it scores for.
    fn input(&self) -> InputWeights {
        let window = (self.history_window > 0).then_some(self.history_window);
        let decay = (self.history_decay > 0.0).then_some(self.history_decay);
        InputWeights { liked_only: false, window, decay }
    }
}

/// Items whose rows one thread computes at a time.
const BLOCK: usize = 64;

/// Computes weights between the items of sequences in the order of time; the ids of the items are `ids`, ascending.
/// Progress is counted in items.
pub fn train(
    sequences: &Sequences,
    ids: &[u32],
    options: &Options,
    threads: usize,
    progress: Progress<'_>,
) -> Result<ItemWeights, Error> {
    options.check()?;
    let occurrences = Occurrences::new(sequences, ids.len());
    let by_lag: Vec<f32> =
        (0..options.window).map(|lag| (-(lag as f32) / options.decay).exp()).collect();
    let discounts: Vec<f32> = (0..ids.len())
        .map(|item| (1.0 + occurrences.of(item).len() as f32).powf(-options.popularity_exponent))
        .collect();
    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); ids.len()];
    in_parallel(rows.chunks_mut(BLOCK).enumerate(), threads, |(block, rows)| {
        let mut counts = vec![0.0_f32; ids.len()];
        let mut counted: Vec<u32> = Vec::new();
        for (item, row) in (block * BLOCK..).zip(&mut *rows) {
            let mut add = |other: u32, count: f32| {
                let so_far = &mut counts[other as usize];
                if *so_far == 0.0 {
                    counted.push(other);
                }
                *so_far += count;
            };
            for &(sequence, position) in occurrences.of(item) {
                let items = sequences.get(sequence as usize);
                let (before, after) = items.split_at(position as usize);
                for (&other, &count) in after[1..].iter().zip(&by_lag) {
                    add(other, count);
                }
                if options.reverse > 0.0 {
                    for (&other, &count) in before.iter().rev().zip(&by_lag) {
                        add(other, count * options.reverse);
                    }
                }
            }
            let norm = occurrences.of(item).len() as f32 + options.shrinkage;
            row.extend(counted.drain(..).filter(|&other| other as usize != item).map(|other| {
                let count = std::mem::take(&mut counts[other as usize]);
                let probability = count / norm;
                let weight = match options.scale {
                    0.0 => probability,
                    scale => (probability / scale).ln_1p(),
                };
                (other, weight * discounts[other as usize])
            }));
            counts[item] = 0.0;
            if row.len() > options.keep {
                row.select_nth_unstable_by(options.keep - 1, |a, b| {
                    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
                });
                row.truncate(options.keep);
            }
            row.sort_unstable_by_key(|&(target, _)| target);
            row.shrink_to_fit();
        }
        progress((block * BLOCK) as u64, ids.len() as u64);
    });
    let rated: Vec<usize> =
        (0..ids.len()).filter(|&item| !occurrences.of(item).is_empty()).collect();
    let mut index = vec![u32::MAX; ids.len()];
    for (row, &item) in rated.iter().enumerate() {
        index[item] = row as u32;
    }
    let mut starts = vec![0_u32];
    let (mut targets, mut weights) = (Vec::new(), Vec::new());
    for &item in &rated {
        targets.extend(rows[item].iter().map(|&(target, _)| index[target as usize]));
        weights.extend(rows[item].iter().map(|&(_, weight)| weight));
        starts.push(targets.len() as u32);
    }
    if weights.is_empty() {
        return Err(Error::NoTrainingData("no user rated two movies".to_owned()));
    }
    let ids = rated.iter().map(|&item| ids[item]).collect();
    Ok(ItemWeights::new(ids, starts, targets, weights)?)
}

/// The sequences and positions in which each item occurs.
struct Occurrences {
    /// The occurrences of item `i` are at `starts[i]..starts[i + 1]`.
    starts: Vec<usize>,
    sequences_and_positions: Vec<(u32, u32)>,
}

impl Occurrences {
    fn new(sequences: &Sequences, items: usize) -> Self {
        let mut starts = vec![0; items + 1];
        for &item in sequences.iter().flatten() {
            starts[item as usize + 1] += 1;
        }
        for item in 0..items {
            starts[item + 1] += starts[item];
        }
        let mut cursors = starts.clone();
        let mut sequences_and_positions = vec![(0, 0); sequences.item_count()];
        for (sequence, row) in sequences.iter().enumerate() {
            for (position, &item) in row.iter().enumerate() {
                let cursor = &mut cursors[item as usize];
                sequences_and_positions[*cursor] = (sequence as u32, position as u32);
                *cursor += 1;
            }
        }
        Self { starts, sequences_and_positions }
    }

    fn of(&self, item: usize) -> &[(u32, u32)] {
        &self.sequences_and_positions[self.starts[item]..self.starts[item + 1]]
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_random::Random;

    use super::*;

    fn sequences(rows: &[&[u32]]) -> Sequences {
        let mut sequences = Sequences::default();
        for row in rows {
            sequences.push(row.iter().copied());
        }
        sequences
    }

    fn options() -> Options {
        Options { window: 2, decay: 2.0, reverse: 0.25, ..Options::NEXT_ITEM }
    }

    /// The weights of an item, by target.
    fn row(model: &ItemWeights, item: u32, items: usize) -> Vec<f32> {
        let mut weights = vec![0.0; items];
        let row = model.ids().iter().position(|&id| id == item).unwrap();
        for (target, weight) in model.row(row) {
            weights[model.ids()[target as usize] as usize] = weight;
        }
        weights
    }

    #[test]
    fn weights_are_those_of_the_formula() {
        let rows: [&[u32]; 3] = [&[0, 1, 2, 3], &[1, 0], &[4]];
        let model = train(&sequences(&rows), &[0, 1, 2, 3, 4], &options(), 1, &|_, _| {}).unwrap();
        let far = (-0.5_f32).exp();
        let weight = |count: f32, ratings: f32, of_target: f32| {
            (count / ((ratings + 10.0) * 0.02)).ln_1p() / (1.0 + of_target).powf(0.1)
        };
        // Once directly after, once directly before.
        let expected = [0.0, weight(1.25, 2.0, 2.0), weight(far, 2.0, 1.0), 0.0, 0.0];
        for (found, expected) in row(&model, 0, 5).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!((model.len(), model.without_weights()), (5, 1));
    }

    #[test]
    fn the_greatest_weights_are_kept_with_any_number_of_threads() {
        let mut random = Random::new(5, 0);
        let rows: Vec<Vec<u32>> = (0..80)
            .map(|_| {
                let mut row: Vec<u32> = (0..200).filter(|_| random.chance(0.2)).collect();
                for at in (1..row.len()).rev() {
                    row.swap(at, random.below(at + 1));
                }
                row
            })
            .collect();
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let ids: Vec<u32> = (0..200).collect();
        let with = |keep, threads| {
            let options = Options { keep, ..Options::NEXT_ITEM };
            train(&sequences(&rows), &ids, &options, threads, &|_, _| {}).unwrap()
        };
        let (all, few) = (with(1000, 1), with(5, 1));
        assert_eq!((few.weight_count(), with(5, 2)), (1000, few.clone()));
        let mut greatest = row(&all, 7, 200);
        greatest.sort_by(|a, b| b.total_cmp(a));
        let kept = row(&few, 7, 200).into_iter().filter(|weight| *weight != 0.0);
        assert_eq!(kept.fold(f32::INFINITY, f32::min), greatest[4]);
    }

    #[test]
    fn invalid_options_and_empty_sequences_are_errors() {
        let error = |options: &Options| options.check().unwrap_err().to_string();
        let decay = Options { decay: 0.0, ..Options::NEXT_ITEM };
        assert_eq!(error(&decay), "decay must be from 0.1 to 1000, got 0");
        let keep = Options { keep: 0, ..Options::NEXT_ITEM };
        assert_eq!(error(&keep), "keep must be at least 1, got 0");
        let alone = sequences(&[&[0], &[1]]);
        let error = train(&alone, &[0, 1], &Options::NEXT_ITEM, 1, &|_, _| {}).unwrap_err();
        assert!(matches!(error, Error::NoTrainingData(_)));
    }
}
