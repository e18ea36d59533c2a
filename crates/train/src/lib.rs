//! Trains the ranking model (neural collaborative filtering, He et al. 2017) on the ratings of a data set and evaluates it
//! on a test part.
//!
//! By default, NeuralCF and NeuMF start from the vectors of implicit ALS ([`Pretraining`]) and are measured by their lists.
//! Otherwise a sample is a rating; its label is whether it is 3.5 stars or more. The loss is binary cross-entropy, the optimiser
//! Adam. Gradients are written by hand, see `layers`. [`Options`] declares the hyperparameters. [`write()`] reads a data
//! set from a folder and writes a version into a model folder. The crate does not serve models. Start reading at
//! [`run`].

mod biases;
mod content;
pub mod export;
mod gmf;
mod layers;
mod lists;
pub mod metrics;
mod negatives;
mod options;
mod ordinal;
mod pair;
mod pretrained;
pub mod split;
mod trainer;
mod validation;

use std::io::{self, Write as _};
use std::path::Path;
use std::thread;

use sparrow_embed::ials;
use sparrow_embed::interactions::Interactions;
use sparrow_files::Hashing;
use sparrow_model::Catalog;
use sparrow_movielens::{Options as ReaderOptions, Report as ReaderReport, Source};
use sparrow_neural::neural_cf::{Metadata, Model, ModelFile};

use crate::export::Written;
use crate::metrics::{LabelMetrics, Metrics};

use content::Content;
use gmf::Gmf;
use negatives::Negatives;
pub use options::{BIAS_PRIOR, Method, Options, Pretraining};
use pair::Pair;
pub use sparrow_model::Split;
use sparrow_neural::{Validation, Zeros};
use sparrow_random::Random;
use split::Sample;
use trainer::{Counts, Trainer, UNKNOWN};
pub use validation::HeldOut;

/// The error of a training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is outside its range.
    #[error(transparent)]
    Option(#[from] sparrow_hyperparameters::Error),
    /// The data set cannot be read.
    #[error("cannot read the data set")]
    Input(#[from] sparrow_movielens::Error),
    /// The labels of a part are all equal.
    #[error("no training data: the {0} part lacks ratings of 3.5 stars and more, or of less")]
    NoTrainingData(&'static str),
    /// A part has no ratings.
    #[error("no training data: the {0} part is empty")]
    Empty(&'static str),
    /// The weights became infinite or NaN.
    #[error("training diverged; a lower learning rate than {rate} will help")]
    Diverged {
        /// The learning rate.
        rate: f32,
        /// The invalid weights.
        source: sparrow_neural::neural_cf::Error,
    },
    /// All embeddings of the movies or of the users are zero after training.
    #[error("training is degenerate: {0}; a lower l2 will help")]
    Zero(Zeros),
    /// The scores of all test samples are equal.
    #[error(
        "training is degenerate: the model scores every rating alike; a lower learning rate than {0} or a lower l2 will help"
    )]
    Constant(f32),
    /// Implicit ALS, from which the training starts, has no result.
    #[error("cannot pre-train the model")]
    Pretraining(#[from] sparrow_embed::Error),
    /// The model cannot be written.
    #[error(transparent)]
    Export(#[from] export::Error),
}

/// Receives the progress of a training.
pub trait Watch {
    /// Called with the number of processed samples and the number of samples of all epochs.
    fn progress(&mut self, _done: u64, _total: u64) {}

    /// Called after each epoch.
    fn epoch(&mut self, _epoch: &Epoch) {}
}

impl Watch for () {}

/// The result of an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// The number of the epoch, from 1; 0 is a pre-trained model before its training.
    pub number: usize,
    /// The mean loss of its samples, each before its update; NaN for epoch 0.
    pub loss: f64,
    /// The metrics on the validation part.
    pub validation: Metrics,
    /// Whether its validation metrics are the best so far.
    pub best: bool,
}

/// A trained model and its metrics.
#[derive(Debug)]
pub struct Trained {
    /// The model, with the metrics on the test part.
    pub file: ModelFile,
    /// The number of epochs.
    pub epochs: usize,
    /// The numbers of samples in the training, validation and test part.
    pub samples: [usize; 3],
    /// The metrics on the test part.
    pub test: Metrics,
    /// Embeddings that are zero after training.
    pub zeros: Zeros,
}

/// Trains a model on the ratings of a catalogue except a test part, and evaluates it on the test part.
pub fn run(catalog: &Catalog, options: &Options, watch: &mut dyn Watch) -> Result<Trained, Error> {
    options.check()?;
    let samples = split::samples(catalog);
    let mut random = Random::new(options.seed, 0);
    let (rest, test) = split::split(&samples, options.split, options.test, &mut random);
    let options = &options.resolved(rest.len());
    let mut fitted = learn(catalog, &rest, options, watch)?;
    let test_count = test.len();
    let test = if options.orders_lists() {
        let model = fitted.model(options)?;
        let scores = &mut lists::scores(&model, catalog);
        let lists = lists::measure(scores, catalog, &rest, &test);
        Metrics::Lists(lists.ok_or(Error::Empty("test"))?)
    } else {
        let pairs = fitted.tables.pairs(&test);
        if constant(&fitted.learner.predict(&pairs)) {
            return Err(Error::Constant(options.learning_rate));
        }
        Metrics::Labels(measure(&mut fitted.learner, &pairs, options, "test")?)
    };
    let [training, validation] = fitted.samples;
    let samples = [training, validation, test_count];
    let zeros = fitted.learner.zeros();
    let model = fitted.model(options)?;
    let mut metadata = metadata(&model, options, &test, fitted.epochs);
    metadata.data = fingerprint(catalog);
    metadata.validation = test.lists().map(|lists| Validation {
        fingerprint: metadata.data.clone(),
        protocol: validation::protocol(options),
        ndcg_at_10: lists.ndcg,
    });
    Ok(Trained { file: ModelFile { model, metadata }, epochs: fitted.epochs, samples, test, zeros })
}

/// Trains a model on all ratings of a catalogue. [`Options::test`] has no effect: the caller has held out the test
/// part.
pub fn fit(catalog: &Catalog, options: &Options, watch: &mut dyn Watch) -> Result<Model, Error> {
    options.check()?;
    let samples = split::samples(catalog);
    let options = &options.resolved(samples.len());
    learn(catalog, &samples, options, watch)?.model(options)
}

/// Fits a model with the biases of users and movies alone: logistic regression, each bias shrunk to zero as if by `prior`
/// ratings.
pub fn fit_biases(catalog: &Catalog, prior: f64) -> Result<Model, Error> {
    let samples = split::samples(catalog);
    let biases_alone = Options { embedding: Some(0), content: 0.0, ..Options::new(Method::Gmf) };
    let options = Options { bias_prior: prior, ..biases_alone };
    let tables = Tables::new(catalog, &samples, &options);
    let pairs = tables.pairs(&samples);
    learnable("training", &pairs)?;
    let random = &mut Random::new(options.seed, 3);
    let learner = Learner::new(&options, &tables, &pairs, random);
    Fitted { learner, tables, epochs: 0, samples: [pairs.len(), 0] }.model(&options)
}

/// A learner after training.
struct Fitted {
    learner: Learner,
    tables: Tables,
    epochs: usize,
    /// The numbers of samples in the training and the validation part.
    samples: [usize; 2],
}

impl Fitted {
    fn model(&self, options: &Options) -> Result<Model, Error> {
        let diverged = |source| Error::Diverged { rate: options.learning_rate, source };
        self.learner.model(&self.tables).map_err(diverged)
    }
}

/// Trains on samples, of which a validation part decides when to stop.
fn learn(
    catalog: &Catalog,
    rest: &[Sample],
    options: &Options,
    watch: &mut dyn Watch,
) -> Result<Fitted, Error> {
    let (mut epochs, mut samples) = (0, [rest.len(), 0]);
    let mut found = None;
    if options.epochs > 0 {
        let mut random = Random::new(options.seed, 1);
        let (training, validation) =
            split::split(rest, options.split, options.validation, &mut random);
        samples = [training.len(), validation.len()];
        let mut run = Run::new(catalog, &training, rest, options, Random::new(options.seed, 2))?;
        epochs = search(&mut run, catalog, &training, &validation, options, watch)?;
        found = Some(run);
    }
    let mut run = match found {
        Some(run) if !options.refit => run,
        _ => {
            let random = Random::new(options.seed, if epochs > 0 { 3 } else { 2 });
            let mut run = Run::new(catalog, rest, rest, options, random)?;
            let mut done = Counter { done: 0, total: (run.pairs.len() * epochs) as u64, watch };
            for number in 1..=epochs {
                run.epoch(number, options, &mut done);
            }
            run
        }
    };
    run.correct_share(options);
    let Run { learner, tables, .. } = run;
    let zeros = learner.zeros();
    if zeros.degenerate() {
        return Err(Error::Zero(zeros));
    }
    Ok(Fitted { learner, tables, epochs, samples })
}

/// Trains until the metrics of the validation part no longer improve. Returns the best number of epochs, and leaves the
/// learner as it was after them.
fn search(
    run: &mut Run,
    catalog: &Catalog,
    training: &[Sample],
    validation: &[Sample],
    options: &Options,
    watch: &mut dyn Watch,
) -> Result<usize, Error> {
    let labelled = run.tables.pairs(validation);
    if !options.orders_lists() {
        learnable("validation", &labelled)?;
    }
    let mut done = Counter { done: 0, total: (run.pairs.len() * options.epochs) as u64, watch };
    let mut best: Option<(usize, f64, Learner)> = None;
    // A pre-trained model may be best before any training.
    let first = usize::from(options.pretraining == Pretraining::None);
    for number in first..=options.epochs {
        let loss = if number == 0 { f64::NAN } else { run.epoch(number, options, &mut done) };
        let metrics = if options.orders_lists() {
            let diverged = |source| Error::Diverged { rate: options.learning_rate, source };
            let model = run.learner.model(&run.tables).map_err(diverged)?;
            let scores = &mut lists::scores(&model, catalog);
            let lists = lists::measure(scores, catalog, training, validation);
            Metrics::Lists(lists.ok_or(Error::Empty("validation"))?)
        } else {
            Metrics::Labels(measure(&mut run.learner, &labelled, options, "validation")?)
        };
        let better = best.as_ref().is_none_or(|(_, least, _)| metrics.loss() < *least);
        done.watch.epoch(&Epoch { number, loss, validation: metrics, best: better });
        if better {
            best = Some((number, metrics.loss(), run.learner.clone()));
        } else if best.as_ref().is_some_and(|(best, ..)| number - best >= options.patience) {
            break;
        }
    }
    let Some((number, _, learner)) = best else { return Ok(options.epochs) };
    run.learner = learner;
    Ok(number)
}

/// A learner and its training samples.
struct Run {
    learner: Learner,
    tables: Tables,
    training: Training,
    /// The samples of the epoch.
    pairs: Vec<Pair>,
    random: Random,
}

impl Run {
    /// A learner before its training. Pairs among the `known` ratings are no negative samples.
    fn new(
        catalog: &Catalog,
        training: &[Sample],
        known: &[Sample],
        options: &Options,
        mut random: Random,
    ) -> Result<Self, Error> {
        let tables = Tables::new(catalog, training, options);
        let negatives = Negatives::new(options.negatives, &tables, known);
        let training = Training { pairs: tables.pairs(training), negatives };
        let pairs = training.pairs(&mut random);
        let learner = match options.pretraining {
            Pretraining::None => {
                learnable("training", &pairs)?;
                Learner::new(options, &tables, &pairs, &mut random)
            }
            Pretraining::Ials => {
                let ials::Model { users, items } = factors(&tables, &training.pairs, options)?;
                let trainer = Trainer::pretrained(options, &items, &users, &pairs, &mut random);
                Learner::Network(Box::new(trainer))
            }
        };
        Ok(Self { learner, tables, training, pairs, random })
    }

    /// Performs an epoch, counted from 1, and returns its mean loss.
    fn epoch(&mut self, number: usize, options: &Options, done: &mut Counter<'_>) -> f64 {
        let Self { learner, training, pairs, random, .. } = self;
        training.renew(pairs, number - 1, random);
        learner.epoch(pairs, options, random, &mut |count| done.add(count))
    }

    /// Shifts the scores of a pre-trained network: of all pairs of users and movies, fewer are ratings than of the
    /// samples.
    fn correct_share(&mut self, options: &Options) {
        if let (Pretraining::Ials, Learner::Network(trainer)) =
            (options.pretraining, &mut self.learner)
        {
            let pairs = (self.tables.movies.ids.len() * self.tables.users.ids.len()) as f64;
            let negatives = (pairs - self.training.pairs.len() as f64).max(1.0);
            let drawn = (options.negatives * self.training.pairs.len()).max(1) as f64;
            trainer.shift(-(negatives / drawn).ln() as f32);
        }
    }
}

/// The vectors of implicit ALS of rated pairs, in the rows of the tables without those of unknown ids.
fn factors(tables: &Tables, pairs: &[Pair], options: &Options) -> Result<ials::Model, Error> {
    let mut rows = vec![Vec::new(); tables.users.ids.len()];
    for pair in pairs {
        rows[pair.user as usize - 1].push(pair.movie - 1);
    }
    for row in &mut rows {
        row.sort_unstable();
    }
    let ratings = Interactions::from_rows(rows.iter().map(Vec::as_slice), tables.movies.ids.len());
    let factorization = ials::Options {
        dimension: options.dimension(),
        seed: options.seed,
        threads: thread::available_parallelism().map_or(1, usize::from),
        ..ials::Options::for_ratings(pairs.len())
    };
    Ok(ials::train(&ratings, &factorization, &|_, _| {})?)
}

/// Returns whether scores are equal except for rounding.
fn constant(scores: &[f32]) -> bool {
    let least = scores.iter().copied().fold(f32::INFINITY, f32::min);
    let greatest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    greatest - least < 1e-6
}

/// The training samples.
struct Training {
    /// Ratings.
    pairs: Vec<Pair>,
    negatives: Negatives,
}

impl Training {
    /// The ratings and negative samples.
    fn pairs(&self, random: &mut Random) -> Vec<Pair> {
        self.negatives.add(self.pairs.clone(), random)
    }

    /// Draws other negative samples, except in the first epoch.
    fn renew(&self, pairs: &mut Vec<Pair>, epoch: usize, random: &mut Random) {
        if epoch > 0 && self.negatives.count() > 0 {
            *pairs = self.pairs(random);
        }
    }
}

/// Rejects samples whose labels are all equal.
fn learnable(name: &'static str, part: &[Pair]) -> Result<(), Error> {
    if part.iter().all(Pair::liked) || part.iter().all(|pair| !pair.liked()) {
        return Err(Error::NoTrainingData(name));
    }
    Ok(())
}

/// The model in training.
#[derive(Debug, Clone)]
enum Learner {
    Network(Box<Trainer>),
    Factors(Box<Gmf>),
}

impl Learner {
    fn new(options: &Options, tables: &Tables, pairs: &[Pair], random: &mut Random) -> Self {
        let counts = &tables.counts();
        match options.method {
            Method::NeuralCf | Method::TwoTowers | Method::NeuMf => {
                Self::Network(Box::new(Trainer::new(options, counts, pairs, random)))
            }
            Method::Gmf => {
                Self::Factors(Box::new(Gmf::new(options, counts, &tables.content, pairs, random)))
            }
        }
    }

    fn epoch(
        &mut self,
        pairs: &mut [Pair],
        options: &Options,
        random: &mut Random,
        progress: &mut dyn FnMut(usize),
    ) -> f64 {
        match self {
            Self::Network(trainer) => trainer.epoch(pairs, options, random, progress),
            Self::Factors(gmf) => gmf.epoch(pairs, options, progress),
        }
    }

    fn predict(&mut self, pairs: &[Pair]) -> Vec<f32> {
        match self {
            Self::Network(trainer) => trainer.predict(pairs),
            Self::Factors(gmf) => gmf.predict(pairs),
        }
    }

    /// The numbers of zero embeddings of known ids, without their biases.
    fn zeros(&self) -> Zeros {
        match self {
            Self::Network(trainer) => trainer.zeros(),
            Self::Factors(gmf) => gmf.zeros(),
        }
    }

    fn model(&self, tables: &Tables) -> Result<Model, sparrow_neural::neural_cf::Error> {
        let (movies, users) = (&tables.movies.ids, &tables.users.ids);
        match self {
            Self::Network(trainer) => trainer.model(movies, users),
            Self::Factors(gmf) => gmf.model(movies, users),
        }
    }
}

/// Counts samples for the progress.
struct Counter<'a> {
    done: u64,
    total: u64,
    watch: &'a mut dyn Watch,
}

impl Counter<'_> {
    fn add(&mut self, count: usize) {
        self.done += count as u64;
        self.watch.progress(self.done, self.total);
    }
}

fn measure(
    trainer: &mut Learner,
    pairs: &[Pair],
    options: &Options,
    part: &'static str,
) -> Result<LabelMetrics, Error> {
    let scores = trainer.predict(pairs);
    if scores.iter().any(|score| score.is_nan()) {
        let source = sparrow_neural::neural_cf::Error::from("a score is not a number".to_owned());
        return Err(Error::Diverged { rate: options.learning_rate, source });
    }
    let labels: Vec<bool> = pairs.iter().map(Pair::liked).collect();
    LabelMetrics::new(&scores, &labels).ok_or(Error::NoTrainingData(part))
}

fn metadata(model: &Model, options: &Options, test: &Metrics, epochs: usize) -> Metadata {
    let mut metadata = Metadata::new(model.architecture());
    metadata.training = options.described().collect();
    metadata.training.insert("epochs".to_owned(), epochs.to_string());
    let measures = test.named().into_iter();
    metadata.metrics.extend(measures.map(|(name, value)| (name.to_owned(), value)));
    metadata
}

/// The SHA-256 of all ratings: user id, movie id, timestamp, half stars, by user and time.
pub fn fingerprint(catalog: &Catalog) -> String {
    let mut hash = Hashing::new(io::sink());
    for history in catalog.users().iter() {
        for rated in history.iter() {
            let mut bytes = [0; 13];
            bytes[..4].copy_from_slice(&history.user().0.to_le_bytes());
            bytes[4..8].copy_from_slice(&catalog.movie(rated.movie).id.0.to_le_bytes());
            bytes[8..12].copy_from_slice(&rated.timestamp.to_le_bytes());
            bytes[12] = rated.stars.half_stars();
            // Writing to a sink does not fail.
            drop(hash.write_all(&bytes));
        }
    }
    format!("sha256:{}", hash.sha256())
}

/// The rows of the embedding tables.
struct Tables {
    movies: Rows,
    users: Rows,
    /// The content of the movies' rows; without features if no option uses it.
    content: Content,
}

impl Tables {
    /// A row for each movie and user that occurs in training.
    fn new(catalog: &Catalog, training: &[Sample], options: &Options) -> Self {
        let movies = catalog.movies().iter().map(|movie| movie.id.0);
        let users = catalog.users().iter().map(|history| history.user().0);
        let movies = Rows::new(movies, training.iter().map(|sample| sample.movie));
        let content = if options.content > 0.0 {
            Content::new(catalog, &movies.of)
        } else {
            Content::default()
        };
        Self { movies, users: Rows::new(users, training.iter().map(|sample| sample.user)), content }
    }

    fn counts(&self) -> Counts {
        Counts { movies: self.movies.ids.len() + 1, users: self.users.ids.len() + 1 }
    }

    fn pairs(&self, samples: &[Sample]) -> Vec<Pair> {
        let pair = |sample: &Sample| Pair {
            user: self.users.of[sample.user as usize],
            movie: self.movies.of[sample.movie as usize],
            stars: sample.stars,
        };
        samples.iter().map(pair).collect()
    }
}

/// The rows of one table.
struct Rows {
    /// The row of each index of the catalogue.
    of: Vec<u32>,
    /// The ids of the rows after that of unknown ids.
    ids: Vec<u32>,
}

impl Rows {
    fn new(all: impl ExactSizeIterator<Item = u32>, occurring: impl Iterator<Item = u32>) -> Self {
        let mut occurs = vec![false; all.len()];
        for index in occurring {
            occurs[index as usize] = true;
        }
        let mut rows = Self { of: vec![UNKNOWN; occurs.len()], ids: Vec::new() };
        for ((id, row), occurs) in all.zip(&mut rows.of).zip(occurs) {
            if occurs {
                rows.ids.push(id);
                *row = rows.ids.len() as u32;
            }
        }
        rows
    }
}

/// The result of [`write()`].
#[derive(Debug)]
pub struct Summary {
    /// What was read.
    pub data: ReaderReport,
    /// The model.
    pub trained: Trained,
    /// The version.
    pub written: Written,
}

/// Trains a model on the data set in the folder `data`, and writes it as the next version into the
/// model folder `out`, which is created if it does not exist.
pub fn write(
    data: &Path,
    out: &Path,
    reader: &ReaderOptions,
    options: &Options,
    watch: &mut dyn Watch,
) -> Result<Summary, Error> {
    options.check()?;
    let loaded = Source::open(data)?.load(reader)?;
    let trained = run(&loaded.catalog, options, watch)?;
    let written = export::write(out, &trained.file)?;
    Ok(Summary { data: loaded.report, trained, written })
}
