//! `train` and `import`: models into model folders.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use sparrow_console::{Bar, Console, Unit};
use sparrow_movielens::Options as ReaderOptions;
use sparrow_train::export;
use sparrow_train::metrics::LabelMetrics;
use sparrow_train::{self as train, Epoch, Method, Options, Split, Watch};

use crate::embed::warn_of;
use crate::exit::Ended;

/// Trains the ranking model on a MovieLens data set.
///
/// Learns from each rating whether it is 3.5 stars or more (or, with --negatives, what is rated at all), by an
/// embedding of the user and one of the movie and a small network over both (NeuralCF). Writes the next version into the model folder
/// (003 after 002), whole or not at all: model.safetensors for this project's server and
/// saved_model.pb for TensorFlow Serving.
///
/// A part of the ratings is kept out to measure the model, and a part of the others to know when to
/// stop.
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Folder with the data set
    #[arg(short, long, value_name = "DIR")]
    data: PathBuf,

    /// Model folder to write the next version into, such as models/neuralcf; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// neuralcf: one network over both embeddings; two-towers: one over each, and the dot product;
    /// gmf: the dot product of the embeddings themselves, with biases
    #[arg(short, long, value_name = "NAME", default_value_t)]
    architecture: Method,

    /// Length of the embeddings [default: 10; 32 for gmf]
    #[arg(long, value_name = "N")]
    embedding: Option<usize>,

    /// Outputs of each hidden layer
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        default_values_t = Options::new(Method::NeuralCf).hidden
    )]
    hidden: Vec<usize>,

    /// How often the ratings are gone through, at most [default: 100; 400 for gmf]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,

    /// Epochs without a better validation loss that end the training [default: 5; 60 for gmf]
    #[arg(long, value_name = "N")]
    patience: Option<usize>,

    /// Ratings an update
    #[arg(long, value_name = "N", default_value_t = Options::new(Method::NeuralCf).batch)]
    batch: usize,

    /// Step size of Adam [default: 0.001; 0.05 for gmf]
    #[arg(long, value_name = "X")]
    learning_rate: Option<f32>,

    /// How strongly embeddings are pulled towards zero [default: 0.1; 8 for gmf]
    #[arg(long, value_name = "X")]
    l2: Option<f32>,

    /// How strongly the weights of the layers are pulled towards zero
    #[arg(long, value_name = "X", default_value_t = Options::new(Method::NeuralCf).l2_layers)]
    l2_layers: f32,

    /// The first number of each embedding starts as the bias of the user or movie, pulled to zero as if
    /// by so many ratings; 0 turns that off [default: 10; 5 for gmf]
    #[arg(long, value_name = "N")]
    bias_prior: Option<f64>,

    /// How much it counts for whether a rating reaches each of the other numbers of stars, where 3.5 stars count 1;
    /// 0: only likes teach [default: 0; 0.15 for gmf]
    #[arg(long, value_name = "X")]
    ordinal: Option<f32>,

    /// How strongly it is pulled towards zero what the choice of movies, whatever their stars, says of a user; 0: it
    /// says nothing. For gmf only [default: 32]
    #[arg(long, value_name = "X")]
    choices: Option<f32>,

    /// Learn which movies users choose, rather than which they like: all ratings against so many movies for each
    /// that the user has not rated. 0: learn likes. Not for gmf
    #[arg(long, value_name = "N", default_value_t = Options::new(Method::NeuralCf).negatives)]
    negatives: usize,

    /// Part of each hidden layer's outputs that is left out in training
    #[arg(long, value_name = "X", default_value_t = Options::new(Method::NeuralCf).dropout)]
    dropout: f64,

    /// Part of users, and of movies, that are taken for unknown in training
    #[arg(long, value_name = "X", default_value_t = Options::new(Method::NeuralCf).unknown)]
    unknown: f64,

    /// Which ratings are kept out: random, time (the latest) or per-user-time (each user's latest)
    #[arg(long, value_name = "NAME", default_value_t)]
    split: Split,

    /// Part of the ratings that is kept out to measure the model
    #[arg(long, value_name = "X", default_value_t = Options::new(Method::NeuralCf).test)]
    test_fraction: f64,

    /// Part of the other ratings that is kept out to know when to stop
    #[arg(long, value_name = "X", default_value_t = Options::new(Method::NeuralCf).validation)]
    validation_fraction: f64,

    /// Leave the ratings that told when to stop out of the model, rather than train once more with them
    #[arg(long)]
    no_refit: bool,

    /// The same seed gives the same model
    #[arg(long, value_name = "S", default_value_t = Options::new(Method::NeuralCf).seed)]
    seed: u64,

    /// Bad lines of the data set to skip and report, rather than stop
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_lines: usize,
}

impl Train {
    fn options(&self) -> Options {
        let default = Options::new(self.architecture);
        Options {
            method: self.architecture,
            embedding: self.embedding.unwrap_or(default.embedding),
            hidden: self.hidden.clone(),
            epochs: self.epochs.unwrap_or(default.epochs),
            patience: self.patience.unwrap_or(default.patience),
            batch: self.batch,
            learning_rate: self.learning_rate.unwrap_or(default.learning_rate),
            l2: self.l2.unwrap_or(default.l2),
            l2_layers: self.l2_layers,
            bias_prior: self.bias_prior.unwrap_or(default.bias_prior),
            ordinal: self.ordinal.unwrap_or(default.ordinal),
            negatives: self.negatives,
            choices: self.choices.unwrap_or(default.choices),
            dropout: self.dropout,
            unknown: self.unknown,
            split: self.split,
            test: self.test_fraction,
            validation: self.validation_fraction,
            refit: !self.no_refit,
            seed: self.seed,
        }
    }

    pub(crate) fn run(&self, console: Console) -> anyhow::Result<()> {
        if self.choices.is_some() && self.architecture != Method::Gmf {
            let what = "--choices is an option of --architecture gmf".to_owned();
            return Err(Ended::Usage(what).into());
        }
        let started = Instant::now();
        let mut shown = Shown::new(console);
        let reader = ReaderOptions { max_bad_lines: self.max_bad_lines };
        let train::Summary { data, trained, written } =
            train::write(&self.data, &self.out, &reader, &self.options(), &mut shown)?;
        drop(shown);
        let [training, validation, test] = trained.samples;
        console.note(&format!(
            "{data}\ntrained for {} epochs on {training} ratings, stopped by {validation}; on the {test} \
             of the test part ({} split):\n      {HEADER}\n      {}",
            trained.epochs,
            self.split,
            row(&trained.test)
        ));
        warn_of(&trained.zeros, console);
        console.summarise(&written.files, started);
        Ok(())
    }
}

/// Brings a trained model of another program into a model folder.
///
/// Reads weights that are named and shaped as docs/models.md says, from a safetensors file such as a few
/// lines of Python write for a Keras model, and writes the next version into the model folder, with
/// saved_model.pb.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file with the weights (safetensors)
    #[arg(long, value_name = "FILE")]
    from: PathBuf,

    /// Model folder to write the next version into, such as models/neuralcf; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

impl Import {
    pub(crate) fn run(&self, console: Console) -> anyhow::Result<()> {
        let started = Instant::now();
        let export::Imported { model, written } = export::import(&self.from, &self.out)?;
        console.note(&format!(
            "{}: {} movies and {} users, embeddings of {} and {} numbers",
            model.architecture(),
            model.movies().table.len(),
            model.users().table.len(),
            model.movies().dimension(),
            model.users().dimension()
        ));
        console.summarise(&written.files, started);
        Ok(())
    }
}

const HEADER: &str = "ROC AUC   PR AUC  accuracy  log loss";

fn row(metrics: &LabelMetrics) -> String {
    format!(
        "{:7.4}  {:7.4}  {:8.4}  {:8.4}",
        metrics.roc_auc, metrics.pr_auc, metrics.accuracy, metrics.log_loss
    )
}

/// A progress bar that names the epoch, and with `--verbose` a line for each.
struct Shown {
    console: Console,
    bar: Bar,
    done: u64,
    least: f64,
    header: bool,
}

impl Shown {
    fn new(console: Console) -> Self {
        let bar = console.bar("training", Unit::Steps);
        Self { console, bar, done: 0, least: f64::INFINITY, header: false }
    }
}

impl Watch for Shown {
    fn progress(&mut self, done: u64, total: u64) {
        if done < self.done {
            self.bar.doing("training on all but the test part".to_owned());
        }
        self.done = done;
        self.bar.show(done, total);
    }

    fn epoch(&mut self, epoch: &Epoch) {
        self.least = self.least.min(epoch.validation.log_loss);
        self.bar.doing(format!(
            "epoch {}: validation log loss {:.4}, least {:.4}",
            epoch.number, epoch.validation.log_loss, self.least
        ));
        if !self.console.is_verbose() {
            return;
        }
        if !self.header {
            self.bar.print(&format!("epoch    loss  validation: {HEADER}"));
            self.header = true;
        }
        self.bar.print(&format!(
            "{:5}  {:6.4}              {}{}",
            epoch.number,
            epoch.loss,
            row(&epoch.validation),
            if epoch.best { "" } else { "  (no better)" }
        ));
    }
}
