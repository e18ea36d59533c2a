//! Item vectors from sequences of liked items: skip-gram with negative sampling
//! (Mikolov et al. 2013, "Distributed Representations of Words and Phrases and their
//! Compositionality") over items instead of words (Barkan and Koenigstein 2016, "Item2Vec").
//!
//! Items that the same users like at similar times have vectors with a large cosine. Start reading at [`train`], which is
//! independent of movies and files.

mod shared;
mod trainer;

use sparrow_hyperparameters::{Hyperparameter, Hyperparameters, Range, SearchSpace, Settings as _};
use sparrow_model::{Catalog, MovieIndex};
use sparrow_neural::{EmbeddingMetadata, Similarity};
use sparrow_progress::Progress;

use crate::{Embeddings, Error, Execution, Method, MethodKind, Model, Output, content, liked};

/// Maximum dimension.
pub const MAX_DIMENSION: usize = 1024;

/// The hyperparameters, threads and seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Dimension of the vectors, from 1 to [`MAX_DIMENSION`].
    pub dimension: usize,
    /// Maximum distance of two items of a sequence that form a pair.
    pub window: usize,
    /// Number of passes over the sequences; `None` for [a number that depends on their
    /// size](Sequences::suitable_epochs).
    pub epochs: Option<usize>,
    /// Negative samples per item.
    pub negatives: usize,
    /// The power of an item's frequency with which negative samples are drawn: 0.75 for words (Mikolov et al. 2013), 0 for
    /// a uniform distribution; negative values, which prefer rare items, can be better for items
    /// (Caselles-Dupré, Lesaint, Royo-Letelier 2018, "Word2Vec Applied to Recommendation: Hyperparameters
    /// Matter").
    pub negative_exponent: f64,
    /// The initial learning rate; it falls linearly to nearly 0.
    pub learning_rate: f32,
    /// The share of all occurrences above which an item is subsampled; 0 turns subsampling off.
    pub subsample: f64,
    /// Items with fewer occurrences have no vector.
    pub min_count: usize,
    /// The regularization of the regression that gives movies without ratings a vector; 0 gives them none.
    pub content_ridge: f32,
    /// Number of threads. Results are reproducible with one; several update vectors without locks (Niu et al. 2011,
    /// "Hogwild!"), and results differ slightly between runs.
    pub threads: usize,
    /// The seed of the random numbers.
    pub seed: u64,
}

impl Options {
    /// One thread; the others were tuned on ml-latest-small and the demonstration set (`docs/quality.md`). The number of
    /// epochs has the greatest effect, then the wide window: likes predict likes of the next year as well as those of
    /// the same day.
    pub const DEFAULT: Self = Self {
        dimension: 32,
        window: 25,
        epochs: None,
        negatives: 5,
        negative_exponent: 0.25,
        learning_rate: 0.05,
        subsample: 1e-3,
        min_count: 5,
        content_ridge: 0.0,
        threads: 1,
        seed: 1,
    };
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Hyperparameters for Options {
    const TABLE: &'static [Hyperparameter<Self>] = &[
        Hyperparameter::<Self>::new(
            "dimension",
            Range::within(1.0, MAX_DIMENSION as f64),
            |o| &mut o.dimension,
            "Dimension of the vectors",
        )
        .search(SearchSpace::OneOf(&[16.0, 32.0, 64.0, 100.0])),
        Hyperparameter::<Self>::new(
            "window",
            Range::within(1.0, 100_000.0),
            |o| &mut o.window,
            "Maximum distance of two liked movies that form a pair",
        )
        .search(SearchSpace::OneOf(&[5.0, 10.0, 25.0, 50.0, 100.0])),
        Hyperparameter::<Self>::new(
            "epochs",
            Range::within(1.0, 100_000.0),
            |o| &mut o.epochs,
            "Passes over the ratings; auto is 20, and less above 250,000 likes",
        )
        .search(SearchSpace::OneOf(&[5.0, 10.0, 20.0, 40.0])),
        Hyperparameter::<Self>::new(
            "negatives",
            Range::within(1.0, 1000.0),
            |o| &mut o.negatives,
            "Negative samples per movie",
        )
        .search(SearchSpace::OneOf(&[2.0, 5.0, 10.0])),
        Hyperparameter::<Self>::new(
            "negative-exponent",
            Range::within(-1.0, 1.0),
            |o| &mut o.negative_exponent,
            "Power of a movie's number of likes with which negative samples are drawn",
        )
        .search(SearchSpace::OneOf(&[-0.5, -0.25, 0.0, 0.25, 0.5, 0.75])),
        Hyperparameter::<Self>::new(
            "learning-rate",
            Range::above(0.0, 1.0),
            |o| &mut o.learning_rate,
            "Initial learning rate; it falls linearly to nearly 0",
        )
        .search(SearchSpace::Logarithmic(0.01, 0.15)),
        Hyperparameter::<Self>::new(
            "subsample",
            Range::within(0.0, 1.0),
            |o| &mut o.subsample,
            "Share of all likes above which a movie is subsampled; 0 turns subsampling off",
        )
        .search(SearchSpace::OneOf(&[0.0, 1e-2, 1e-3, 1e-4])),
        Hyperparameter::<Self>::new(
            "min-count",
            Range::at_least(1.0),
            |o| &mut o.min_count,
            "Movies with fewer likes are excluded",
        )
        .search(SearchSpace::OneOf(&[1.0, 2.0, 3.0, 5.0])),
        Hyperparameter::<Self>::new(
            "content-ridge",
            Range::within(0.0, 1e6),
            |o| &mut o.content_ridge,
            "Regularization of the regression that gives movies without ratings a vector, from genres, year and title \
             words; 0 gives them none",
        ),
    ];
}

/// `item2vec`.
pub const KIND: MethodKind = MethodKind {
    name: "item2vec",
    help: "Skip-gram with negative sampling over each user's liked movies in the order of time",
    output: Output::Vectors,
    seeded: true,
    same_on_all_threads: false,
    new: || Box::new(Options::DEFAULT),
};

impl Method for Options {
    /// A user's vector is the mean of the vectors of the liked movies.
    fn compute(
        &self,
        catalog: &Catalog,
        execution: Execution,
        progress: Progress<'_>,
    ) -> Result<Model, Error> {
        let Execution { threads, seed } = execution;
        let liked = liked(catalog);
        let vectors = train(&liked, &Self { threads, seed, ..self.clone() }, progress)?;
        let movies: Vec<(MovieIndex, Vec<f32>)> =
            vectors.iter().map(|(item, vector)| (MovieIndex(item), vector.to_vec())).collect();
        let unrated = content::predict(catalog, &movies, self.content_ridge, threads);
        let movies = movies.into_iter().chain(unrated);
        let users = catalog.users().iter().zip(liked.iter());
        let means = users.map(|(history, liked)| (history.user().0, vectors.mean(liked)));
        let embeddings = Embeddings::new(
            movies.map(|(movie, vector)| (catalog.movie(movie).id.0, vector)),
            means.filter_map(|(user, mean)| Some((user, mean?))),
            EmbeddingMetadata::new(KIND.name, Similarity::Cosine, None),
            liked.item_count(),
            &format!("a higher learning rate than {}", self.learning_rate),
        )?;
        Ok(Model::Vectors(embeddings))
    }
}

/// Sequences of items, which are numbered from 0, in one vector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequences {
    items: Vec<u32>,
    /// The end of each sequence.
    ends: Vec<usize>,
}

impl Sequences {
    /// Appends a sequence.
    pub fn push(&mut self, items: impl IntoIterator<Item = u32>) {
        self.items.extend(items);
        self.ends.push(self.items.len());
    }

    /// The sequence with this index.
    ///
    /// # Panics
    /// If there is no such sequence.
    pub fn get(&self, at: usize) -> &[u32] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.items[start..self.ends[at]]
    }

    /// All sequences in the order of their addition.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        (0..self.ends.len()).map(|at| self.get(at))
    }

    /// The number of sequences.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there are no sequences.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The number of items of all sequences.
    pub fn item_count(&self) -> usize {
        self.items.len()
    }

    /// The default number of epochs: 20 for up to 250,000 items, falling to 1 for five million and more.
    pub fn suitable_epochs(&self) -> usize {
        (5_000_000 / self.items.len().max(1)).clamp(1, 20)
    }
}

/// The vectors of items.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    dimension: usize,
    /// The row of each item, or `NONE`.
    rows: Vec<u32>,
    values: Vec<f32>,
}

const NONE: u32 = u32::MAX;

impl Vectors {
    /// The vector of an item, of length 1; `None` for a rare item.
    pub fn get(&self, item: u32) -> Option<&[f32]> {
        let row = *self.rows.get(item as usize)?;
        (row != NONE).then(|| {
            let start = row as usize * self.dimension;
            &self.values[start..start + self.dimension]
        })
    }

    /// Items and their vectors, in order of item.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[f32])> {
        (0..self.rows.len() as u32).filter_map(|item| Some((item, self.get(item)?)))
    }

    /// The mean of the vectors of items; `None` if none of them has a vector.
    pub fn mean(&self, items: &[u32]) -> Option<Vec<f32>> {
        let mut sums = vec![0.0_f64; self.dimension];
        let mut count = 0_u32;
        for vector in items.iter().filter_map(|&item| self.get(item)) {
            for (sum, value) in sums.iter_mut().zip(vector) {
                *sum += f64::from(*value);
            }
            count += 1;
        }
        (count > 0).then(|| sums.iter().map(|sum| (sum / f64::from(count)) as f32).collect())
    }
}

/// Trains vectors. Progress counts items, once per epoch.
///
/// Vectors are normalised to length 1, because their length after training mostly reflects the frequency of the item.
/// Dot product and cosine therefore have the same order.
///
/// An item has a vector if it occurs at least `min_count` times, and at least once in a sequence with another such
/// item.
pub fn train(
    sequences: &Sequences,
    options: &Options,
    progress: Progress<'_>,
) -> Result<Vectors, Error> {
    options.check()?;
    let (vocabulary, sequences) = vocabulary(sequences, options.min_count);
    if vocabulary.counts.is_empty() {
        let why = "no user liked two movies with enough likes";
        return Err(Error::NoTrainingData(why.to_owned()));
    }
    let mut values = trainer::train(&sequences, &vocabulary.counts, options, progress);
    for vector in values.chunks_exact_mut(options.dimension) {
        if !normalise(vector) {
            let remedy = format!("a lower learning rate than {}", options.learning_rate);
            return Err(Error::Diverged { remedy });
        }
    }
    Ok(Vectors { dimension: options.dimension, rows: vocabulary.rows, values })
}

/// Scales a vector to length 1; returns false if its length is nearly zero, infinite or NaN.
fn normalise(vector: &mut [f32]) -> bool {
    let length =
        vector.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
    if !(1e-12..1e30).contains(&length) {
        return false;
    }
    for value in vector {
        *value = (f64::from(*value) / length) as f32;
    }
    true
}

/// The trained items.
struct Vocabulary {
    /// The row of each item, or `NONE`.
    rows: Vec<u32>,
    /// The number of occurrences of each row.
    counts: Vec<u64>,
}

/// Chooses the items and replaces them by their rows. Removes sequences with fewer than two items.
fn vocabulary(sequences: &Sequences, min_count: usize) -> (Vocabulary, Sequences) {
    let items = sequences.items.iter().max().map_or(0, |&most| most as usize + 1);
    let mut frequency = vec![0_usize; items];
    for &item in &sequences.items {
        frequency[item as usize] += 1;
    }
    let mut paired = vec![false; items];
    let mut kept = Sequences::default();
    for sequence in sequences.iter() {
        let start = kept.items.len();
        let frequent = |item: &&u32| frequency[**item as usize] >= min_count;
        kept.items.extend(sequence.iter().filter(frequent));
        if kept.items.len() - start < 2 {
            kept.items.truncate(start);
            continue;
        }
        for &item in &kept.items[start..] {
            paired[item as usize] = true;
        }
        kept.ends.push(kept.items.len());
    }
    let mut rows = vec![NONE; items];
    let mut next = 0;
    for (row, _) in rows.iter_mut().zip(paired).filter(|(_, paired)| *paired) {
        *row = next;
        next += 1;
    }
    let mut counts = vec![0; next as usize];
    for item in &mut kept.items {
        *item = rows[*item as usize];
        counts[*item as usize] += 1;
    }
    (Vocabulary { rows, counts }, kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparrow_random::Random;

    /// Generates users who like items of one of several groups of ten.
    fn groups(groups: u32, users: u32) -> Sequences {
        let mut random = Random::new(8, 0);
        let mut sequences = Sequences::default();
        for user in 0..users {
            let group = user % groups;
            let mut items: Vec<u32> = (group * 10..group * 10 + 10).collect();
            random.shuffle(&mut items);
            items.truncate(6);
            sequences.push(items);
        }
        sequences
    }

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    fn options() -> Options {
        Options {
            dimension: 12,
            epochs: Some(30),
            subsample: 0.0,
            min_count: 1,
            ..Options::default()
        }
    }

    /// The share of the nine nearest neighbours of items that belong to the same group.
    fn neighbours_of_own_group(vectors: &Vectors) -> f64 {
        let all: Vec<(u32, &[f32])> = vectors.iter().collect();
        let mut own = 0;
        for (item, vector) in &all {
            let mut others: Vec<(f32, u32)> = all
                .iter()
                .filter(|(other, _)| other != item)
                .map(|(other, other_vector)| (cosine(vector, other_vector), *other))
                .collect();
            others.sort_by(|a, b| b.0.total_cmp(&a.0));
            own += others[..9].iter().filter(|(_, other)| other / 10 == item / 10).count();
        }
        own as f64 / (9 * all.len()) as f64
    }

    #[test]
    fn items_with_the_same_users_are_near() -> Result<(), Error> {
        for threads in [1, 3] {
            let options = Options { threads, ..options() };
            let vectors = train(&groups(8, 400), &options, &|_, _| {})?;
            let own = neighbours_of_own_group(&vectors);
            assert!(own > 0.95, "{own} with {threads} threads; by chance it would be 0.11");
        }
        Ok(())
    }

    #[test]
    fn one_thread_is_reproducible_and_seeds_differ() -> Result<(), Error> {
        let sequences = groups(4, 100);
        let train = |seed| train(&sequences, &Options { seed, ..options() }, &|_, _| {});
        assert_eq!(train(1)?, train(1)?);
        assert_ne!(train(1)?, train(2)?);
        Ok(())
    }

    #[test]
    fn progress_reaches_the_end() -> Result<(), Error> {
        let last = std::sync::Mutex::new((0, 1));
        let sequences = groups(4, 1000);
        train(&sequences, &options(), &|done, total| {
            if let Ok(mut last) = last.lock() {
                *last = (done.max(last.0), total);
            }
        })?;
        let total = 30 * sequences.item_count() as u64;
        assert_eq!(last.into_inner().ok(), Some((total, total)));
        Ok(())
    }

    #[test]
    fn rare_and_isolated_items_have_no_vector() -> Result<(), Error> {
        let mut sequences = Sequences::default();
        sequences.push([0, 1, 5]);
        sequences.push([0, 1]);
        sequences.push([3]);
        sequences.push([3]);
        sequences.push([]);
        let vectors = train(&sequences, &Options { min_count: 2, ..options() }, &|_, _| {})?;
        let items: Vec<u32> = vectors.iter().map(|(item, _)| item).collect();
        assert_eq!(items, [0, 1]);
        assert_eq!(vectors.get(5), None);
        assert_eq!(vectors.get(77), None);
        assert_eq!(vectors.mean(&[3, 5]), None);
        let mean = vectors.mean(&[0, 1, 3]).expect("two of them have vectors");
        let expected =
            f32::midpoint(vectors.get(0).expect("trained")[7], vectors.get(1).expect("trained")[7]);
        assert!((mean[7] - expected).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn missing_training_data_is_an_error() {
        let mut alone = Sequences::default();
        alone.push([4]);
        alone.push([2]);
        for sequences in [Sequences::default(), alone] {
            let trained = train(&sequences, &options(), &|_, _| {});
            assert!(matches!(trained, Err(Error::NoTrainingData(_))), "{trained:?}");
        }
    }

    #[test]
    fn vectors_are_finite_at_the_greatest_rate() -> Result<(), Error> {
        let options = Options { learning_rate: 1.0, negatives: 100, ..options() };
        match train(&groups(3, 300), &options, &|_, _| {}) {
            Ok(vectors) => {
                assert!(vectors.iter().all(|(_, vector)| vector.iter().all(|v| v.is_finite())));
                Ok(())
            }
            Err(Error::Diverged { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    #[test]
    fn vectors_are_normalised_and_infinite_ones_rejected() {
        let mut vector = [3.0, 0.0, -4.0];
        assert!(normalise(&mut vector));
        assert_eq!(vector.map(f32::to_bits), [0.6, 0.0, -0.8_f32].map(f32::to_bits));
        for value in [f32::NAN, f32::INFINITY, f32::MAX, 0.0] {
            assert!(!normalise(&mut [1e-20, value]), "{value}");
        }
    }

    #[test]
    fn more_data_needs_fewer_epochs() {
        let epochs = |items: u32| {
            let mut sequences = Sequences::default();
            sequences.push(0..items);
            sequences.suitable_epochs()
        };
        assert_eq!([0, 50_000, 1_000_000, 9_000_000].map(epochs), [20, 20, 5, 1]);
    }

    #[test]
    fn options_out_of_range_are_errors_with_their_name() {
        let cases: [(Options, &str); 9] = [
            (Options { dimension: 0, ..options() }, "dimension must be from 1 to 1024, got 0"),
            (Options { dimension: 1025, ..options() }, "dimension must be"),
            (Options { window: 0, ..options() }, "window must be"),
            (Options { epochs: Some(0), ..options() }, "epochs must be"),
            (Options { negatives: 0, ..options() }, "negatives must be"),
            (Options { negative_exponent: 1.5, ..options() }, "negative-exponent must be"),
            (Options { learning_rate: f32::NAN, ..options() }, "learning-rate must be"),
            (Options { subsample: -0.1, ..options() }, "subsample must be"),
            (Options { min_count: 0, ..options() }, "min-count must be"),
        ];
        for (options, expected) in cases {
            let error = options.check().expect_err("out of range").to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
