//! `sparrow-loader push`.

use std::ops::ControlFlow;
use std::pin::pin;
use std::time::{Duration, Instant};

use clap::Args;
use sparrow_console::{Console, Unit};
use sparrow_live_overlay::LiveArgs;
use sparrow_push::push;
use sparrow_push::sources::{Counts, Reader, Sources};
use sparrow_store::{FeatureStore, Generation, Location};

use crate::failure::Failure;
use crate::sources::{self, SourceArgs};
use crate::store::{StoreArgs, duration};
use sparrow_process::Signals;

/// Pushes features, embeddings and rating histories to a store, as a new generation.
///
/// The new generation becomes readable only when it is complete. A push that fails or is interrupted leaves the store
/// unchanged, and the next push cleans up after a killed one. Of the kinds that are pushed, the store then contains
/// exactly the pushed entries; other kinds are unchanged.
///
/// If the sources contain live ratings, as their files watermark.csv state, these are dropped from the live data of the store.
#[derive(Debug, Args)]
#[command(after_long_help = sources::help())]
pub(crate) struct Push {
    /// Read and check everything, connect to the store if one is named, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    sources: SourceArgs,

    #[command(flatten)]
    live: LiveArgs,

    #[command(flatten)]
    store: StoreArgs,

    /// Expiry time of keys in Redis, such as 30d or 12h [default: never]
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Store")]
    ttl: Option<Duration>,
}

impl Push {
    pub(crate) async fn run(&self, console: Console, signals: &mut Signals) -> anyhow::Result<()> {
        let started = Instant::now();
        let location = self.store.location()?;
        StoreArgs::check_ttl(location.as_ref(), self.ttl)?;
        let mut sources = self.sources.sources();
        let live = self.live.or(&self.store.prefix, self.store.ca_file.as_deref());
        // A temporary folder, which is removed at the end.
        let _overlaid = if live.is_given() {
            let what = "--live needs the data set that live ratings are combined with: --data";
            let data = self.sources.data().ok_or_else(|| Failure::Usage(what.to_owned()))?;
            let overlaid = live.data_set(data, &sources.reader, None, console);
            let overlaid = signals.or(Box::pin(overlaid), NOTHING).await?;
            sources.ratings = Some(overlaid.folder().to_owned());
            Some(overlaid)
        } else {
            None
        };
        if self.dry_run {
            return signals.or(rehearse(&sources, &self.store, location, console), NOTHING).await;
        }
        let location = location.ok_or_else(no_store)?;
        let store = signals.or(self.store.connect(&location, self.ttl), NOTHING).await?;
        let reader = open(&sources, console, signals).await?;
        let (counts, generation) = push(reader, &*store, console, signals).await?;
        let seconds = started.elapsed().as_secs_f64();
        console.note(&format!("pushed to {}\n{counts}", store.address()));
        console.note(&format!("generation {generation}, done in {seconds:.1} s"));
        Ok(())
    }
}

pub(crate) const NOTHING: &str = "nothing was written";

pub(crate) fn no_store() -> Failure {
    Failure::Usage("no store: name one with --store or in SPARROW_STORE".to_owned())
}

/// Reads and checks everything, and reports what a push would write.
pub(crate) async fn rehearse(
    sources: &Sources,
    store: &StoreArgs,
    location: Option<Location>,
    console: Console,
) -> anyhow::Result<()> {
    if let Some(location) = location {
        let store = store.connect(&location, None).await?;
        let generation = store.generation().await?;
        console.note(&format!("{} answers, and holds generation {generation}", store.address()));
    }
    let reader = Reader::open(sources).await?;
    if let Some(report) = reader.report() {
        console.note(&report.to_string());
    }
    let bar = console.bar("reading", Unit::Bytes);
    let counts = push::dry_run(reader, &|done, total| bar.show(done, total)).await?;
    drop(bar);
    console.note(&format!("would push\n{counts}\nnothing was written (--dry-run)"));
    Ok(())
}

/// Opens the sources, and reports the size of the data set and the skipped lines.
pub(crate) async fn open(
    sources: &Sources,
    console: Console,
    signals: &mut Signals,
) -> anyhow::Result<Reader> {
    let reader = signals.or(async { anyhow::Ok(Reader::open(sources).await?) }, NOTHING).await?;
    if let Some(report) = reader.report() {
        console.note(&report.to_string());
    }
    Ok(reader)
}

/// Pushes everything. A signal aborts staging, but not the commit.
pub(crate) async fn push(
    reader: Reader,
    store: &dyn FeatureStore,
    console: Console,
    signals: &mut Signals,
) -> anyhow::Result<(Counts, Generation)> {
    let may_lose = may_lose_ratings(&reader, store).await?;
    let bar = console.bar("pushing", Unit::Bytes);
    let show = |done, total| bar.show(done, total);
    let stop = signals.interrupted("the store is unchanged");
    let staged = match push::stage(reader, store, &show, stop).await? {
        ControlFlow::Continue(staged) => staged,
        ControlFlow::Break(ended) => return Err(ended.into()),
    };
    let counts = staged.counts();
    drop(bar);
    // The commit completes after a first signal; a second one aborts it.
    let mut commit = pin!(staged.commit());
    let generation = tokio::select! {
        committed = &mut commit => committed?,
        _ = signals.next() => {
            console.remark("finishing the push, which is written; a second signal stops at once");
            let finish = async { anyhow::Ok(commit.await?) };
            let consequence = "the push is complete except for some keys, which the next push cleans up";
            signals.or(finish, consequence).await?
        }
    };
    if may_lose {
        console.warn(
            "the generation before contained live ratings, and nothing states that this one does, such as a watermark.csv beside \
             all sources: push with --live, or an export",
        );
    }
    Ok((counts, generation))
}

/// Whether a push replaces ratings that contain live ones by ratings that may not.
async fn may_lose_ratings(reader: &Reader, store: &dyn FeatureStore) -> anyhow::Result<bool> {
    if reader.report().is_none() || reader.watermark().is_some() {
        return Ok(false);
    }
    let in_force = store.watermark().await?.value;
    Ok(in_force.is_some_and(|in_force| !in_force.is_zero()))
}
