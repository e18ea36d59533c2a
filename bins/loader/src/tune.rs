//! The subcommand `tune`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use sparrow_console::{Console, print_result};
use sparrow_evaluate::tune::{self, MEASURE, Options, Trial, Tunable};
use sparrow_evaluate::{self as evaluate, Protocol};
use sparrow_live_overlay::{DataArgs, DataSet};
use tokio::runtime::Builder;

use crate::evaluate::name;
use crate::failure::Failure;
use crate::report::{self as page, ReportFile};
use crate::store::duration;

/// Searches for good hyperparameters of a method at random.
///
/// Fits models to a part of the ratings and compares them by nDCG@10 on another part. Neither part contains ratings
/// of the test part that "evaluate" holds out with the same protocol and seed. Each trial is recorded as a line of
/// JSON; the same command continues after the last recorded trial. The first trial has the defaults. At the end the
/// best hyperparameters are printed as options.
#[derive(Debug, Args)]
pub(crate) struct Tune {
    #[command(flatten)]
    data: DataArgs,

    /// The method
    #[arg(short, long, value_name = "NAME", value_parser = tunable())]
    method: Tunable,

    /// Number of trials in the record at the end
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    trials: usize,

    /// Time after which no trial starts, such as 90s, 10m or 2h
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    time: Duration,

    /// The protocol of the evaluation: full-ranking or leave-one-out
    #[arg(short, long, value_name = "NAME", default_value_t = Protocol::FullRanking)]
    protocol: Protocol,

    /// Seed of the test part and of the trials
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// File with a line of JSON per trial, created if it does not exist and continued otherwise
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    report: ReportFile,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be above zero".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("it is not a whole number".to_owned()),
    }
}

fn tunable() -> impl clap::builder::TypedValueParser<Value = Tunable> {
    let names = PossibleValuesParser::new(tune::methods().into_iter().map(|tunable| tunable.name));
    names.try_map(|name| {
        let found = tune::methods().into_iter().find(|tunable| tunable.name == name);
        found.ok_or(Failure::Usage(name))
    })
}

impl Tune {
    pub(crate) fn run(self, console: Console) -> anyhow::Result<()> {
        self.report.check()?;
        let data = self.data.clone();
        data.on_data_set(None, console, move |data| self.work(data, console))
    }

    fn work(&self, data: &DataSet, console: Console) -> anyhow::Result<()> {
        let started = Instant::now();
        let loaded = evaluate::load(data.folder(), &self.data.reader())?;
        console.note(&loaded.report.to_string());
        let options = Options {
            tunable: self.method.clone(),
            trials: self.trials,
            time: self.time,
            protocol: self.protocol,
            seed: self.seed,
        };
        let runtime = Builder::new_current_thread().build().context("cannot start the runtime")?;
        let mut on_trial = |trial: &Trial| {
            let outcome = match (trial.value(), &trial.error) {
                (Some(value), _) => format!("{MEASURE} {value:.4}"),
                (None, Some(error)) => error.clone(),
                (None, None) => "no measures".to_owned(),
            };
            let (number, seconds) = (trial.trial, trial.seconds);
            console
                .note(&format!("{number:>4}  {outcome}  {seconds:.1} s  {}", settings_text(trial)));
        };
        let search = tune::search(&loaded.catalog, &self.out, &options, &mut on_trial);
        let trials = runtime.block_on(search)?;
        self.print_best(&trials)?;
        self.report
            .write(console, || Ok(page::tuning(&name(self.data.folder()), &options, &trials)))?;
        console.note(&format!("done in {:.1} s", started.elapsed().as_secs_f64()));
        Ok(())
    }

    fn print_best(&self, trials: &[Trial]) -> anyhow::Result<()> {
        let Some(best) = tune::best(trials) else {
            return print_result("no trial resulted in a model");
        };
        print_result(format_args!(
            "best of {} trials: {MEASURE} {:.4} on the validation part, by trial {}\n  sparrow-loader {}{}",
            trials.len(),
            best.value().unwrap_or_default(),
            best.trial,
            self.method.command,
            options_of(best)
        ))
    }
}

/// The options of a command, with a space before them.
fn options_of(trial: &Trial) -> String {
    if trial.settings.is_empty() { String::new() } else { format!(" {}", trial.flags()) }
}

fn settings_text(trial: &Trial) -> String {
    if trial.settings.is_empty() { "the defaults".to_owned() } else { trial.flags() }
}
