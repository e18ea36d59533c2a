//! The subcommand `evaluate`, and the options that `compare` shares with it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use clap::Args;
use sparrow_console::{Console, Unit, keep_order};
use sparrow_embed as embed;
use sparrow_evaluate::report::{self, Comparison};
use sparrow_evaluate::split::HoldOut;
use sparrow_evaluate::{self as evaluate, Method, Options, Protocol};
use sparrow_live_overlay::{DataArgs, DataSet};
use sparrow_train::Split;

use crate::failure::Failure;
use crate::report::{self as page, ReportFile};
use crate::tf_serving::{self, TfServingModel};

/// Evaluates a model on held-out ratings.
///
/// For each seed, holds out a part of the ratings, fits the model to the other ratings alone, and evaluates it on
/// the held-out ones. Prints means, deviations over the seeds and 95% confidence intervals over the users, as a
/// table or (--json) as one JSON object. docs/quality.md documents protocols and measures.
#[derive(Debug, Args)]
#[command(after_help = models())]
pub(crate) struct Evaluate {
    #[command(flatten)]
    evaluation: EvaluationArgs,

    /// The model, optionally with hyperparameters: gmf, or gmf:l2=4:embedding=16
    #[arg(short, long, value_name = "MODEL")]
    model: String,

    /// A second model for comparison, evaluated on the same ratings
    #[arg(long, value_name = "MODEL")]
    against: Option<String>,

    /// Print one JSON object and nothing else
    #[arg(short, long)]
    json: bool,

    #[command(flatten)]
    report: ReportFile,
}

/// The end of the help: the models.
pub(crate) fn models() -> String {
    let mut text = "Models:".to_owned();
    let server = [(tf_serving::NAME, "A model at TensorFlow Serving, see --url")];
    let models = evaluate::models().into_iter().map(|model| (model.name, model.help));
    for (name, help) in models.chain(server) {
        let _ = write!(text, "\n  {name:<12}{help}");
    }
    text.push_str(
        "\n\nSettings have the names of the options of `embed` and `train`: ials:dimension=128, \
         gmf:l2=4:embedding=16. engine:ranking=gmf ranks by another model than the blend, \
         engine:diversity=0.3 re-ranks its lists.",
    );
    text
}

/// The data set and the options of an evaluation.
#[derive(Debug, Clone, Args)]
pub(crate) struct EvaluationArgs {
    #[command(flatten)]
    data: DataArgs,

    /// label: predicts whether ratings are likes; full-ranking: ranks all unseen movies and evaluates the first ten;
    /// leave-one-out: ranks the last movie of each user among 99 others, and among all; first-k: full-ranking for users
    /// outside the training part by their first 1, 3, 5 and 10 ratings; cold-items: ranks movies without ratings; replay:
    /// ranks each held-out rating of a user before it arrives live, with and without those that arrived before it
    #[arg(short, long, value_name = "NAME", default_value_t = Protocol::FullRanking)]
    pub(crate) protocol: Protocol,

    /// Held-out ratings: random, time (the latest) or per-user-time (each user's latest). With full-ranking, random
    /// takes the same share of each movie's ratings; replay takes per-user-time or time; the other protocols have their own
    /// splits [default: random; per-user-time for replay]
    #[arg(long, value_name = "NAME")]
    pub(crate) split: Option<Split>,

    /// Share of the ratings that is held out, of the users for first-k, of the movies for cold-items [default: 0.25 for
    /// full-ranking, 0.2 for the others]
    #[arg(long, value_name = "X")]
    pub(crate) test_fraction: Option<f64>,

    /// Number of seeds, counted from 1, or a list such as 4,7
    #[arg(long, value_name = "N", default_value = "3")]
    pub(crate) seeds: Seeds,

    /// Folder with embeddings for the models emb and engine, instead of embeddings computed from the training part.
    /// Their training data are unknown: if these contain the held-out ratings, the measures are too good
    #[arg(short, long, value_name = "DIR")]
    pub(crate) embeddings: Option<PathBuf>,

    /// The model tf-serving: a model at TensorFlow Serving that takes userId and movieId, such as
    /// http://127.0.0.1:8501/v1/models/recmodel. Its training data are unknown too
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Keep movies that a user has rated in the lists
    #[arg(long)]
    pub(crate) keep_seen: bool,

    /// Do not use the test part, and evaluate on a part of the training part: for choosing hyperparameters
    #[arg(long)]
    validation: bool,

    /// Bootstrap resamples of the users for confidence intervals; 0 turns these off
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) resamples: usize,
}

/// Seeds: a number of them, or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seeds(pub(crate) Vec<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.trim().parse::<u64>().map_err(|_| format!("{text:?} is not a whole number"))
        };
        if text.contains(',') {
            let list = text.split(',').filter(|part| !part.trim().is_empty());
            return Ok(Self(list.map(number).collect::<Result<_, _>>()?));
        }
        match number(text)? {
            count @ 1..=1000 => Ok(Self((1..=count).collect())),
            _ => Err("from 1 to 1000 seeds".to_owned()),
        }
    }
}

impl EvaluationArgs {
    fn options(&self) -> anyhow::Result<Options> {
        let usual = Options::new(self.protocol);
        let hold_out = match (self.protocol, self.split) {
            (_, None) => usual.hold_out,
            (Protocol::FullRanking, Some(Split::Random)) => HoldOut::RandomByMovie,
            (Protocol::Label | Protocol::FullRanking | Protocol::Replay, Some(split)) => {
                HoldOut::Split(split)
            }
            (protocol, Some(_)) => {
                let why =
                    format!("--split does not go with --protocol {protocol}, which has its own");
                return Err(evaluate::Error::Option(why).into());
            }
        };
        let options = Options {
            hold_out,
            fraction: self.test_fraction.unwrap_or(usual.fraction),
            seeds: self.seeds.0.clone(),
            keep_seen: self.keep_seen,
            validation: self.validation,
            resamples: self.resamples,
            ..usual
        };
        options.check()?;
        Ok(options)
    }

    async fn method(&self, line: &str) -> anyhow::Result<Box<dyn Method>> {
        if line != tf_serving::NAME {
            return Ok(evaluate::method(line, self.embeddings.as_deref())?);
        }
        let Some(url) = &self.url else {
            let why = "the model tf-serving needs --url".to_owned();
            return Err(evaluate::Error::Option(why).into());
        };
        Ok(Box::new(TfServingModel::connect(url).await?))
    }

    /// Runs `work` on the data set, with live data if these are given.
    pub(crate) fn on_data_set(
        &self,
        console: Console,
        work: impl FnOnce(&DataSet) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        // Invalid options are errors before the data set is read.
        self.options()?;
        self.data.on_data_set(None, console, work)
    }

    /// Evaluates models one after the other.
    pub(crate) fn measure(
        &self,
        data: &DataSet,
        lines: Vec<String>,
        console: Console,
    ) -> anyhow::Result<Comparison> {
        let options = self.options()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the async runtime")?;
        if let Some(folder) = &self.embeddings {
            let file = folder.join(embed::ITEM_FILE);
            if let Err(error) = file.metadata() {
                return Err(
                    Failure::Input(format!("cannot read {}: {error}", file.display())).into()
                );
            }
        }
        // First all methods, so that an invalid name is an error before any work is done.
        let mut methods = Vec::new();
        for line in &lines {
            methods.push(runtime.block_on(self.method(line))?);
        }
        let loaded = evaluate::load(data.folder(), &self.data.reader())?;
        let bar = console.bar("evaluating", Unit::Steps);
        let mut evaluations = Vec::new();
        for (done, method) in (0_u64..).zip(&methods) {
            let show = |users: u64, all: u64| {
                bar.show(done * all + users, methods.len() as u64 * all);
            };
            let work = evaluate::run(&loaded.catalog, &**method, &options, &show);
            evaluations.push(runtime.block_on(work)?);
        }
        Ok(Comparison {
            data: name(self.data.folder()),
            reading: loaded.report,
            lines,
            evaluations,
        })
    }

    /// The options on the command line except the data set, each with a space before it, without those that have no
    /// effect on the result.
    pub(crate) fn arguments(&self) -> String {
        let mut arguments = format!(" --protocol {}", self.protocol);
        if let Some(live) = self.data.live().description() {
            arguments = format!(" --live {live}{arguments}");
        }
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                arguments = format!("{arguments} --{name} {value}");
            }
        };
        add("split", self.split.map(|split| split.to_string()));
        add("test-fraction", self.test_fraction.map(|fraction| fraction.to_string()));
        let seeds = &self.seeds.0;
        let counted = (1..).zip(seeds).all(|(index, &seed)| index == seed);
        let listed: Vec<String> = seeds.iter().map(|seed| format!("{seed},")).collect();
        add("seeds", Some(if counted { seeds.len().to_string() } else { listed.concat() }));
        add("embeddings", self.embeddings.as_deref().map(name));
        add("url", self.url.clone());
        for (name, given) in [("keep-seen", self.keep_seen), ("validation", self.validation)] {
            if given {
                arguments = format!("{arguments} --{name}");
            }
        }
        arguments
    }
}

/// The last component of a path.
pub(crate) fn name(path: &Path) -> String {
    let name = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = name.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

impl Evaluate {
    pub(crate) fn run(self, console: Console) -> anyhow::Result<()> {
        self.report.check()?;
        let evaluation = self.evaluation.clone();
        evaluation.on_data_set(console, move |data| self.work(data, console))
    }

    fn work(&self, data: &DataSet, console: Console) -> anyhow::Result<()> {
        let lines = std::iter::once(&self.model).chain(&self.against).cloned();
        let comparison = self.evaluation.measure(data, lines.collect(), console)?;
        keep_order();
        let written = if self.json {
            report::json(&comparison, &mut std::io::stdout().lock())
        } else {
            report::text(&comparison, &mut std::io::stdout().lock())
        };
        written.context("cannot write to standard output")?;
        self.report.write(console, || page::evaluation(&comparison, &self.command(&comparison)))
    }

    /// The command that reproduces the report, with the name of the data set instead of its path.
    fn command(&self, comparison: &Comparison) -> String {
        let mut command = format!("sparrow-loader evaluate --data {}", comparison.data);
        command.push_str(&self.evaluation.arguments());
        let _ = write!(command, " --model {}", self.model);
        if let Some(other) = &self.against {
            let _ = write!(command, " --against {other}");
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_counted_or_listed() {
        assert_eq!("3".parse(), Ok(Seeds(vec![1, 2, 3])));
        assert_eq!("4, 7".parse(), Ok(Seeds(vec![4, 7])));
        assert_eq!("9,".parse(), Ok(Seeds(vec![9])));
        for wrong in ["0", "x", "1,x", "-1", "1001", ""] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
    }
}
