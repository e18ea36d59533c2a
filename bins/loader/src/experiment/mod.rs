//! The subcommand `experiment`.

mod config;
mod output;
mod page;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use sparrow_console::{Console, Unit, keep_order};
use sparrow_experiments::analysis::{Conversion, Evidence, Plan, Results, results};
use sparrow_live::{LiveStore, unix_time};
use sparrow_live_overlay::{open, open_file};
use sparrow_model::Stars;
use sparrow_process::Signals;
use sparrow_process::units::format_duration;
use sparrow_push::live;

use crate::failure::Failure;
use crate::push::no_store;
use crate::report::ReportFile;
use crate::store::{StoreArgs, duration};

/// The outcome that is not an event type.
const RATING: &str = "rating";

/// The confidence of all intervals.
const CONFIDENCE: f64 = 0.95;

/// Analyzes an experiment from the log of live data.
///
/// Joins exposures with outcomes. Prints users, conversion, movies per user, their lift against the control with 95%
/// confidence intervals, the same with CUPED, the test for a sample-ratio mismatch, and guard metrics: degraded answers and
/// the time of recall and ranking. docs/experiments.md documents the analysis.
#[derive(Debug, Args)]
pub(crate) struct Experiment {
    /// The name of the experiment
    name: String,

    /// File with live data, of a server that has ended, instead of a store
    #[arg(long, value_name = "FILE")]
    live: Option<PathBuf>,

    /// The configuration of the server, with the variants and their weights
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The variants with their weights, instead of a configuration: a=0.9,b=0.1
    /// [default: those in the log with equal weights]
    #[arg(long, value_name = "NAME=WEIGHT", value_delimiter = ',', conflicts_with = "config")]
    variants: Vec<Weighted>,

    /// The variant with which the others are compared [default: the first]
    #[arg(long, value_name = "VARIANT")]
    control: Option<String>,

    /// Outcomes count up to this time after an exposure
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    window: Duration,

    /// Outcomes up to this time before the first exposure are the covariate of CUPED
    #[arg(long, value_name = "DURATION", default_value = "28d", value_parser = duration)]
    before: Duration,

    /// What counts as an outcome: event types, and "rating" for ratings of at least --min-rating
    #[arg(long, value_name = "TYPE", value_delimiter = ',', default_value = "like,watch,rating")]
    outcomes: Vec<String>,

    /// The least rating that is an outcome
    #[arg(long, value_name = "STARS", default_value = "3.5", value_parser = stars)]
    min_rating: Stars,

    /// Print one JSON object and nothing else
    #[arg(short, long)]
    json: bool,

    #[command(flatten)]
    report: ReportFile,

    #[command(flatten)]
    store: StoreArgs,
}

/// A variant with its weight.
#[derive(Debug, Clone)]
struct Weighted(String, f64);

impl FromStr for Weighted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, weight) = text.split_once('=').ok_or("write NAME=WEIGHT")?;
        match weight.parse::<f64>() {
            Ok(weight) if weight > 0.0 && weight.is_finite() && !name.is_empty() => {
                Ok(Self(name.to_owned(), weight))
            }
            _ => Err("a weight is a positive number".to_owned()),
        }
    }
}

fn stars(text: &str) -> Result<Stars, String> {
    let half_stars = text.parse::<f32>().map_or(f32::NAN, |stars| stars * 2.0);
    // Others have a fraction or are out of range.
    let exact = (half_stars.fract() == 0.0 && (0.0..=255.0).contains(&half_stars))
        .then_some(half_stars as u8);
    exact.and_then(Stars::from_half_stars).ok_or_else(|| "ratings are 0.5, 1, … 5".to_owned())
}

/// The results with what they were computed from.
struct Analysis {
    name: String,
    plan: Plan,
    outcomes: String,
    results: Results,
    store: String,
    /// Whether the log was trimmed, so that exposures or outcomes may be missing.
    trimmed: bool,
}

impl Experiment {
    pub(crate) async fn run(&self, console: Console, signals: &mut Signals) -> anyhow::Result<()> {
        self.report.check()?;
        let analysis = signals.or(Box::pin(self.analyze(console)), "nothing was written").await?;
        let mut text = Vec::new();
        if self.json {
            output::json(&analysis, &mut text)?;
        } else {
            output::text(&analysis, &mut text)?;
        }
        keep_order();
        io::stdout().write_all(&text).context("cannot write to standard output")?;
        self.report.write(console, || Ok(page::report(&analysis)))
    }

    async fn analyze(&self, console: Console) -> anyhow::Result<Analysis> {
        let configured = self.configured()?;
        let store = self.open().await?;
        let rating = self.outcomes.iter().any(|kind| kind == RATING).then_some(self.min_rating);
        let events = self.outcomes.iter().filter(|kind| *kind != RATING).cloned().collect();
        let mut evidence = Evidence::new(&*self.name, Conversion { events, rating });
        let bar = console.bar("reading live data", Unit::Each("partitions"));
        let show = |done, total| bar.show(done, total);
        live::read(&*store, &show, |_, page| {
            for entry in page {
                evidence.add(entry);
            }
            Ok(())
        })
        .await?;
        drop(bar);
        let trimmed = store.trimmed().await?;
        let found = evidence.variants();
        if found.is_empty() {
            return Err(Failure::Input(format!(
                "{} has no exposures of the experiment {:?}",
                store.address(),
                self.name
            ))
            .into());
        }
        let mut variants =
            configured.unwrap_or_else(|| found.into_iter().map(|name| (name, 1.0)).collect());
        if let Some(control) = &self.control {
            let names = variants.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(", ");
            let position =
                variants.iter().position(|(name, _)| name == control).ok_or_else(|| {
                    Failure::Usage(format!("--control {control}: the variants are {names}"))
                })?;
            variants[..=position].rotate_right(1);
        }
        let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        let plan = Plan {
            variants,
            window: seconds(self.window),
            before: seconds(self.before),
            confidence: CONFIDENCE,
            now: unix_time(),
        };
        Ok(Analysis {
            name: self.name.clone(),
            results: results(&evidence.units(&plan), &plan),
            plan,
            outcomes: self.outcomes_in_words(),
            store: store.address().to_owned(),
            trimmed: !trimmed.is_zero(),
        })
    }

    /// The variants of the command line or the configuration.
    fn configured(&self) -> anyhow::Result<Option<Vec<(String, f64)>>> {
        if let Some(path) = &self.config {
            return config::variants(path, &self.name).map(Some);
        }
        let variants = self.variants.iter().map(|Weighted(name, weight)| (name.clone(), *weight));
        let variants: Vec<_> = variants.collect();
        for (index, (name, _)) in variants.iter().enumerate() {
            if variants[..index].iter().any(|(other, _)| other == name) {
                return Err(Failure::Usage(format!("--variants contains {name} twice")).into());
            }
        }
        Ok((!variants.is_empty()).then_some(variants))
    }

    fn outcomes_in_words(&self) -> String {
        let words = self.outcomes.iter().map(|kind| match &**kind {
            RATING => format!("rating ≥ {}", self.min_rating),
            kind => kind.to_owned(),
        });
        let words = words.collect::<Vec<_>>().join(", ");
        format!("{words} within {} after an exposure", format_duration(self.window))
    }

    async fn open(&self) -> anyhow::Result<Arc<dyn LiveStore>> {
        if let Some(path) = &self.live {
            return Ok(open_file(path)?);
        }
        let location = self.store.location()?.ok_or_else(no_store)?;
        Ok(open(&location, &self.store.options(None)).await?)
    }
}
