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
//! Start reading at [`train`], which is independent of movies and files. [`write()`] creates a version in a model folder.

use std::path::Path;

use sparrow_model::Catalog;
use sparrow_movielens::{Options as ReaderOptions, Report as ReaderReport, Source};
use sparrow_neural::item_weights::{
    Architecture, InputWeights, InvalidWeights, ItemWeights, ItemWeightsFile, ItemWeightsFileError,
    ItemWeightsMetadata,
};
use sparrow_output::model_folder::{self, Written};
use sparrow_progress::Progress;

use crate::ease::in_parallel;
use crate::item2vec::Sequences;

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
    /// Threads.
    pub threads: usize,
}

impl Options {
    /// Next-item, with one thread; the rest as measured on MovieLens' small set (`docs/quality.md`).
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
        threads: 1,
    };

    /// Item-kNN, with one thread; the rest as measured on MovieLens' small set (`docs/quality.md`).
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

/// Why there are no weights. No files are left behind in any of these cases.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is outside its range.
    #[error("{option} must be {allowed}, got {got}")]
    Option {
        /// The option's name on a command line.
        option: &'static str,
        /// The range.
        allowed: &'static str,
        /// The value.
        got: String,
    },
    /// The data set cannot be read.
    #[error("cannot read the data set")]
    Input(#[from] sparrow_movielens::Error),
    /// No user rated two movies.
    #[error("nothing to learn from: no user rated two movies")]
    NothingToLearn,
    /// The weights are invalid.
    #[error("cannot store the weights")]
    Weights(#[from] InvalidWeights),
    /// The weights do not fit into their file.
    #[error("cannot store the weights")]
    File(#[from] ItemWeightsFileError),
    /// The version cannot be written.
    #[error(transparent)]
    Output(#[from] sparrow_output::Error),
}

impl Options {
    /// Checks the ranges, before any work is done.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |option, allowed, got: &dyn ToString| {
            Err(Error::Option { option, allowed, got: got.to_string() })
        };
        if !(1..=1000).contains(&self.window) {
            return refuse("window", "from 1 to 1000", &self.window);
        }
        if !(0.1..=1000.0).contains(&self.decay) {
            return refuse("decay", "from 0.1 to 1000", &self.decay);
        }
        if !(0.0..=1.0).contains(&self.reverse) {
            return refuse("reverse", "from 0 to 1", &self.reverse);
        }
        if !(0.0..=1e6).contains(&self.shrinkage) {
            return refuse("shrinkage", "from 0 to 1000000", &self.shrinkage);
        }
        if !(0.0..=1e6).contains(&self.scale) {
            return refuse("scale", "from 0 to 1000000", &self.scale);
        }
        if !(0.0..=1.0).contains(&self.popularity_exponent) {
            return refuse("popularity-exponent", "from 0 to 1", &self.popularity_exponent);
        }
        if self.history_window > 1_000_000 {
            return refuse("history-window", "from 0 to 1000000", &self.history_window);
        }
        if self.history_decay != 0.0 && !(0.1..=1e6).contains(&self.history_decay) {
            return refuse("history-decay", "0, or from 0.1 to 1000000", &self.history_decay);
        }
        if self.keep == 0 {
            return refuse("keep", "at least 1", &self.keep);
        }
        if !(1..=1024).contains(&self.threads) {
            return refuse("threads", "from 1 to 1024", &self.threads);
        }
        Ok(())
    }

    /// The settings, for reports, under the names that the loader's options have.
    pub fn settings(&self) -> Vec<(String, String)> {
        let line = |name: &str, value: &dyn ToString| (name.to_owned(), value.to_string());
        vec![
            line("window", &self.window),
            line("decay", &self.decay),
            line("reverse", &self.reverse),
            line("shrinkage", &self.shrinkage),
            line("scale", &self.scale),
            line("popularity-exponent", &self.popularity_exponent),
            line("history-window", &self.history_window),
            line("history-decay", &self.history_decay),
            line("keep", &self.keep),
        ]
    }

    /// How the model weights the history that it scores for.
    pub fn input(&self) -> InputWeights {
        let window = (self.history_window > 0).then_some(self.history_window);
        let decay = (self.history_decay > 0.0).then_some(self.history_decay);
        InputWeights { liked_only: false, window, decay }
    }
}

/// The outcome of [`write()`].
#[derive(Debug)]
pub struct Summary {
    /// The report of the data set.
    pub data: ReaderReport,
    /// The number of movies of the model.
    pub movies: usize,
    /// The number of ratings that it was trained on.
    pub pairs: usize,
    /// The number of weights.
    pub weights: usize,
    /// The number of movies without a weight to another.
    pub without_weights: usize,
    /// The version; `None` for a dry run.
    pub written: Option<Written>,
}

/// Computes weights and writes them as the next version into the model folder `out`, which is created if it does not
/// exist; without it, nothing is written.
pub fn write(
    data: &Path,
    out: Option<&Path>,
    reader: &ReaderOptions,
    options: &Options,
    progress: Progress<'_>,
) -> Result<Summary, Error> {
    options.check()?;
    let loaded = Source::open(data)?.load(reader)?;
    let weights = compute(&loaded.catalog, options, progress)?;
    let (movies, kept) = (weights.len(), weights.weight_count());
    let without_weights = weights.without_weights();
    let pairs = loaded.catalog.users().rating_count();
    let written = match out {
        Some(out) => Some(model_folder::write(out, &[version(weights, options)?])?),
        None => None,
    };
    Ok(Summary { data: loaded.report, movies, pairs, weights: kept, without_weights, written })
}

/// The name and the content of the file of a version.
pub fn version(
    weights: ItemWeights,
    options: &Options,
) -> Result<(&'static str, Vec<u8>), ItemWeightsFileError> {
    let mut metadata = ItemWeightsMetadata::new(options.architecture, options.input());
    metadata.training = options.settings().into_iter().collect();
    let bytes = ItemWeightsFile { weights, metadata }.to_bytes()?;
    Ok((sparrow_neural::neural_cf::MODEL_FILE, bytes))
}

/// Computes weights from the ratings of a catalogue.
pub fn compute(
    catalog: &Catalog,
    options: &Options,
    progress: Progress<'_>,
) -> Result<ItemWeights, Error> {
    let mut sequences = Sequences::default();
    for history in catalog.users().iter() {
        sequences.push(history.movies().map(|movie| movie.0));
    }
    let ids: Vec<u32> = catalog.movies().iter().map(|movie| movie.id.0).collect();
    train(&sequences, &ids, options, progress)
}

/// Items whose rows one thread computes at a time.
const BLOCK: usize = 64;

/// Computes weights between the items of sequences in the order of time; the ids of the items are `ids`, ascending.
/// Progress is counted in items.
pub fn train(
    sequences: &Sequences,
    ids: &[u32],
    options: &Options,
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
    in_parallel(rows.chunks_mut(BLOCK).enumerate(), options.threads, |(block, rows)| {
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
        return Err(Error::NothingToLearn);
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
    use sparrow_neural::item_weights::Scorer;
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
        let mut weights = Vec::new();
        Scorer::new(model, items, Some).score_all([(item, 1.0)].into_iter(), 0.0, &mut weights);
        weights
    }

    #[test]
    fn weights_are_those_of_the_formula() {
        let rows: [&[u32]; 3] = [&[0, 1, 2, 3], &[1, 0], &[4]];
        let model = train(&sequences(&rows), &[0, 1, 2, 3, 4], &options(), &|_, _| {}).unwrap();
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
            let options = Options { keep, threads, ..Options::NEXT_ITEM };
            train(&sequences(&rows), &ids, &options, &|_, _| {}).unwrap()
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
        let error = train(&alone, &[0, 1], &Options::NEXT_ITEM, &|_, _| {}).unwrap_err();
        assert!(matches!(error, Error::NothingToLearn));
    }
}
