//! The subcommands `train` and `import`, which write versions of model folders.

use std::mem;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use sparrow_console::{Bar, Console, Unit};
use sparrow_hyperparameters::{Description, Settings as _};
use sparrow_live_overlay::{DataArgs, DataSet};
use sparrow_train::export;
use sparrow_train::metrics::Metrics;
use sparrow_train::{self as train, Epoch, Method, Options, Split, Watch};

use crate::embed::warn_of;
use crate::failure::Failure;
use crate::hyperparameters::{Hyperparameters, Methods};
use crate::report::{self as page, ReportFile};

/// Trains the ranking model on a MovieLens data set.
///
/// NeuralCF computes a score from embeddings of the user and the movie and a small network. By default it and NeuMF start
/// from implicit ALS and predict which movies a user watches, for good lists. With --pretraining none it predicts whether
/// a rating is 3.5 stars or more (or, with --negatives, which movies are rated). Writes the next version (003 after 002) into
/// the model folder, atomically: model.safetensors for Sparrow's server and saved_model.pb for TensorFlow
/// Serving.
///
/// A test part of the ratings is held out for evaluating the model, and a validation part of the others decides when
/// the training stops.
#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    data: DataArgs,

    /// Model folder for the next version, such as models/neuralcf, created if it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// neuralcf: one network over both embeddings; neumf: the product of embeddings beside a network over others;
    /// two-towers: one network over each, and their dot product; gmf: the dot product of the embeddings, with biases
    #[arg(short, long, value_name = "NAME", default_value_t)]
    architecture: Method,

    #[command(flatten)]
    hyperparameters: Hyperparameters<Architectures>,

    /// Ratings in the test and validation part: random, time (the latest) or per-user-time (each user's latest)
    #[arg(long, value_name = "NAME", default_value_t)]
    split: Split,

    /// Share of the ratings in the test part
    #[arg(long, value_name = "X", default_value_t = Options::new(Method::NeuralCf).test)]
    test_fraction: f64,

    /// Seed of the random numbers; the same seed results in the same model
    #[arg(long, value_name = "S", default_value_t = Options::new(Method::NeuralCf).seed)]
    seed: u64,

    #[command(flatten)]
    report: ReportFile,
}

/// The architectures as methods with hyperparameters.
#[derive(Debug)]
struct Architectures;

impl Methods for Architectures {
    const SELECTOR: &'static str = "architecture";

    fn list() -> Vec<(&'static str, Vec<Description>)> {
        let described = |method: Method| (method.name(), Options::new(method).describe());
        Method::ALL.into_iter().map(described).collect()
    }
}

impl Train {
    fn options(&self) -> Result<Options, Failure> {
        let mut options = Options {
            split: self.split,
            test: self.test_fraction,
            seed: self.seed,
            ..Options::new(self.architecture)
        };
        self.hyperparameters.apply(self.architecture.name(), &mut options)?;
        Ok(options)
    }

    pub(crate) fn run(self, console: Console) -> anyhow::Result<()> {
        let options = self.options()?;
        self.report.check()?;
        let data = self.data.clone();
        data.on_data_set(None, console, move |data| self.work(&options, data, console))
    }

    fn work(&self, options: &Options, data: &DataSet, console: Console) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut progress = TrainingProgress::new(console);
        let summary =
            train::write(data.folder(), &self.out, &self.data.reader(), options, &mut progress)?;
        let epochs = mem::take(&mut progress.epochs);
        drop(progress);
        let train::Summary { data, trained, written } = &summary;
        let [training, validation, test] = trained.samples;
        console.note(&format!(
            "{data}\ntrained for {} epochs on {training} ratings, validated on {validation}; on the {test} \
             of the test part ({} split):\n      {}\n      {}",
            trained.epochs,
            self.split,
            header(&trained.test),
            row(&trained.test)
        ));
        warn_of(&trained.zeros, console);
        self.report.write(console, || Ok(page::training(options, &summary, &epochs)))?;
        console.summarise(&written.files, started);
        Ok(())
    }
}

/// Imports a model that another program trained.
///
/// Reads weights from a safetensors file, with the names and shapes in docs/models.md (a few lines of Python write one
/// for a Keras model), and writes the next version into the model folder, with saved_model.pb.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file with the weights (safetensors)
    #[arg(long, value_name = "FILE")]
    from: PathBuf,

    /// Model folder for the next version, such as models/neuralcf, created if it does not exist
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

const fn header(metrics: &Metrics) -> &'static str {
    match metrics {
        Metrics::Labels(_) => "ROC AUC   PR AUC  accuracy  log loss",
        Metrics::Lists(_) => "nDCG@10  recall@10  hit rate@10",
    }
}

fn row(metrics: &Metrics) -> String {
    match metrics {
        Metrics::Labels(it) => format!(
            "{:7.4}  {:7.4}  {:8.4}  {:8.4}",
            it.roc_auc, it.pr_auc, it.accuracy, it.log_loss
        ),
        Metrics::Lists(it) => {
            format!("{:7.4}  {:9.4}  {:11.4}", it.ndcg, it.recall, it.hit_rate)
        }
    }
}

/// A progress bar with the epoch, and with `--verbose` a line per epoch.
struct TrainingProgress {
    console: Console,
    bar: Bar,
    done: u64,
    least: f64,
    header: bool,
    epochs: Vec<Epoch>,
}

impl TrainingProgress {
    fn new(console: Console) -> Self {
        let bar = console.bar("training", Unit::Steps);
        Self { console, bar, done: 0, least: f64::INFINITY, header: false, epochs: Vec::new() }
    }
}

impl Watch for TrainingProgress {
    fn progress(&mut self, done: u64, total: u64) {
        if done < self.done {
            self.bar.doing("training on all but the test part".to_owned());
        }
        self.done = done;
        self.bar.show(done, total);
    }

    fn epoch(&mut self, epoch: &Epoch) {
        self.epochs.push(*epoch);
        self.least = self.least.min(epoch.validation.loss());
        let (name, sign) = match epoch.validation {
            Metrics::Labels(_) => ("log loss", 1.0),
            Metrics::Lists(_) => ("nDCG@10", -1.0),
        };
        self.bar.doing(format!(
            "epoch {}: validation {name} {:.4}, best {:.4}",
            epoch.number,
            sign * epoch.validation.loss(),
            sign * self.least
        ));
        if !self.console.is_verbose() {
            return;
        }
        if !self.header {
            let header = header(&epoch.validation);
            self.bar.print(&format!("epoch    loss  validation: {header}"));
            self.header = true;
        }
        self.bar.print(&format!(
            "{:5}  {:>6}              {}{}",
            epoch.number,
            // Before the first epoch there is no loss.
            if epoch.number == 0 { "-".to_owned() } else { format!("{:6.4}", epoch.loss) },
            row(&epoch.validation),
            if epoch.best { "" } else { "  (not better)" }
        ));
    }
}
