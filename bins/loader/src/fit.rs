//! `fit`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;
use std::{iter, thread};

use clap::{Args, ValueEnum};
use sparrow_blend::{Objective, fit as blend};
use sparrow_console::Console;
use sparrow_embed::ials;
use sparrow_fit::{self as fit, Options};
use sparrow_live_overlay::{DataSet, LiveArgs, on_data_set};
use sparrow_movielens::Options as ReaderOptions;
use sparrow_train as train;

use crate::report::{self as page, ReportFile};

/// Trains everything that the server needs into one folder.
///
/// Writes the next version (002 after 001) of ease, next-item, item-knn, neuralcf and of their blend, and the vectors in
/// emb. Start the server with sparrow-serve --data DIR --models DIR: it ranks by the blend, and loads the versions of
/// later runs without a restart.
///
/// The blend weights the scores of the other models, popularity, genres, release year and mean rating. A part of the
/// ratings is held out to fit the weights and to validate them. A blend that validates worse than the current version on
/// the same data is not published.
#[derive(Debug, Args)]
pub(crate) struct Fit {
    /// Folder with the data set
    #[arg(short, long, value_name = "DIR", required_unless_present = "rollback")]
    data: Option<PathBuf>,

    #[command(flatten)]
    live: LiveArgs,

    /// Models folder, created if it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// What the lists are for
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    objective: Goal,

    /// Weights per movie that ease, next-item and item-knn keep at most [default: 500, 512 and 256]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,

    /// Publish a blend that validates worse than the current version
    #[arg(short, long)]
    force: bool,

    /// Withdraw the versions of the last run, so that servers load those before it
    #[arg(long, conflicts_with_all = ["data", "live", "objective", "keep", "force", "report"])]
    rollback: bool,

    /// Number of threads [default: one per processor]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    #[command(flatten)]
    report: ReportFile,

    /// Bad lines of the data set to skip and report
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_lines: usize,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Goal {
    /// Movies that the user rates at any time
    #[default]
    Lists,
    /// The movie that the user rates next
    Next,
}

impl Fit {
    pub(crate) fn run(self, console: Console) -> anyhow::Result<()> {
        let Some(data) = self.data.clone().filter(|_| !self.rollback) else {
            for version in fit::rollback(&self.out)? {
                console.note(&format!("current: {}", version.display()));
            }
            return Ok(());
        };
        self.report.check()?;
        let (live, reader) = (self.live.clone(), self.reader());
        on_data_set(&live, &data, &reader, None, console, move |data| self.work(data, console))
    }

    fn reader(&self) -> ReaderOptions {
        ReaderOptions { max_bad_lines: self.max_bad_lines }
    }

    fn work(&self, data: &DataSet, console: Console) -> anyhow::Result<()> {
        let started = Instant::now();
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        let objective = match self.objective {
            Goal::Lists => Objective::Lists,
            Goal::Next => Objective::Next,
        };
        let threads = self.threads.map_or_else(processors, usize::from);
        let options = Options {
            blend: blend::Options { objective, threads, ..blend::Options::DEFAULT },
            neural_cf: train::Options::new(train::Method::NeuralCf),
            keep: self.keep.map(|keep| keep as usize),
            vectors: Box::new(ials::Ials::default()),
            force: self.force,
        };
        let summary =
            fit::write(data.folder(), &self.out, &self.reader(), &options, &mut |step| {
                console.note(step);
            })?;
        console.note(&format!("{}\n{}", summary.data, described(&summary)));
        self.report.write(console, || Ok(page::fitting(&summary)))?;
        console.summarise(&summary.files, started);
        Ok(())
    }
}

/// The weights of the blend, its figures, and the time of each step.
pub(crate) fn described(summary: &fit::Summary) -> String {
    let mut text = "weights of the blend:".to_owned();
    for term in summary.blend.terms() {
        let _ = write!(text, "\n  {:<25}{:>8.3}", term.signal.name(), term.weight);
    }
    if let Some(validation) = &summary.blend.validation {
        let _ = write!(text, "\nnDCG@10 on held-out ratings ({} lists):", validation.lists);
        let models = validation.inputs.iter().map(|(name, ndcg)| (&**name, *ndcg));
        for (name, ndcg) in iter::once(("blend", validation.ndcg_at_10)).chain(models) {
            let _ = write!(text, "\n  {name:<25}{ndcg:>8.4}");
        }
    }
    text.push_str("\nseconds:");
    for step in &summary.steps {
        let _ = write!(text, "\n  {:<40}{:>6.1}", step.name, step.took.as_secs_f64());
    }
    text
}
