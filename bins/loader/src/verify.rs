//! `sparrow-loader verify`.

use std::time::Instant;

use clap::Args;
use sparrow_console::{Console, Unit, print_result};
use sparrow_live_overlay::{LiveArgs, find};
use sparrow_movielens::Source;
use sparrow_push::live::{self, Base, read_watermark};
use sparrow_push::sources::Reader;
use sparrow_push::verify::{self, Options, Report};
use sparrow_push::verify_live;
use sparrow_store::{FeatureStore, Location};
use tokio::task;

use crate::failure::Failure;
use crate::push::no_store;
use crate::sources::{self, SourceArgs};
use crate::store::StoreArgs;
use sparrow_process::Signals;

/// Compares the content of a store with the sources, field by field.
///
/// Reads all sources, and a sample of each kind of entry from the store. Movies in the store that are missing from the
/// sources are differences too.
///
/// With a data set and live data, those of the store or of --live, the users in the log are compared as servers see them: the
/// stored ratings and the live ones must be the data set overlaid with the log, and result in the same features. Features and
/// vectors that a server has written for them must be those of these ratings; vectors of users with events are not compared.
/// These users are left out of the comparison with the sources.
#[derive(Debug, Args)]
#[command(after_long_help = sources::help())]
pub(crate) struct Verify {
    /// Number of entries of each kind that are compared, or "all"
    #[arg(long, value_name = "N", default_value = "2000", value_parser = sample)]
    sample: Sample,

    /// Seed of the sample
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    sources: SourceArgs,

    #[command(flatten)]
    live: LiveArgs,

    #[command(flatten)]
    store: StoreArgs,
}

/// The number of entries; `None` for all.
#[derive(Debug, Clone, Copy)]
struct Sample(Option<usize>);

fn sample(text: &str) -> Result<Sample, String> {
    match text.parse() {
        _ if text == "all" => Ok(Sample(None)),
        Ok(0) | Err(_) => Err("it must be a number from 1, or \"all\"".to_owned()),
        Ok(number) => Ok(Sample(Some(number))),
    }
}

impl Verify {
    pub(crate) async fn run(&self, console: Console, signals: &mut Signals) -> anyhow::Result<()> {
        let started = Instant::now();
        let location = self.store.location()?.ok_or_else(no_store)?;
        let sources = self.sources.sources();
        let options = Options { sample: self.sample.0, seed: self.seed };
        let bar = console.bar("comparing", Unit::Bytes);
        let compare = async {
            let store = self.store.connect(&location, None).await?;
            let of_live = self.live(&location, &*store, console).await?;
            let reader = Reader::open(&sources).await?;
            let show = |done, total| bar.show(done, total);
            let report = verify::verify(reader, &*store, options, &of_live.users, &show).await?;
            anyhow::Ok((report, of_live, store))
        };
        let compare = signals.or(Box::pin(compare), "the comparison is not complete");
        let (mut report, of_live, store) = compare.await?;
        drop(bar);
        report.differences += of_live.differences;
        report.first.splice(0..0, of_live.first);
        if !of_live.users.is_empty() {
            let verify_live::Report { users, writing, not_projected, vectors, .. } = of_live;
            let compared = users.len() as u64 - writing;
            console.note(&format!(
                "compared {compared} users with live data; {writing} wrote meanwhile"
            ));
            if vectors > 0 {
                console.note(&format!("compared the projected vectors of {vectors} of them"));
            }
            if not_projected > 0 {
                console.note(&format!(
                    "the features of {not_projected} of them are stored without live data: no server projects them"
                ));
            }
        }
        print(&report, store.address(), started, console)?;
        if report.differences > 0 { Err(Failure::Differences.into()) } else { Ok(()) }
    }
}

impl Verify {
    /// Compares the users with live data, if there are any and a data set.
    async fn live(
        &self,
        location: &Location,
        store: &dyn FeatureStore,
        console: Console,
    ) -> anyhow::Result<verify_live::Report> {
        let is_given = self.live.is_given();
        let Some(folder) = self.sources.data() else {
            if is_given {
                let what = "--live needs the data set that live ratings are combined with: --data";
                return Err(Failure::Usage(what.to_owned()).into());
            }
            return Ok(verify_live::Report::default());
        };
        let live = if is_given {
            let live = self.live.or(&self.store.prefix, self.store.ca_file.as_deref());
            Some(live.open().await?)
        } else {
            find(location, &self.store.options(None)).await?
        };
        let Some(live) = live else { return Ok(verify_live::Report::default()) };
        let watermark = read_watermark(folder)?;
        let (folder, reader) = (folder.to_owned(), self.sources.sources().reader);
        let load = move || Source::open(&folder)?.load(&reader);
        let loaded = match task::spawn_blocking(load).await {
            Ok(loaded) => loaded?,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        };
        let base = Base { catalog: &loaded.catalog, watermark: watermark.as_ref() };
        let bar = console.bar("comparing live data", Unit::Each("partitions"));
        let show = |done, total| bar.show(done, total);
        match verify_live::verify(store, &*live, base, &show).await {
            Err(verify_live::Error::Live(error @ live::Error::Trimmed { .. })) if !is_given => {
                console.warn(format_args!("live data are not compared: {error}"));
                Ok(verify_live::Report::default())
            }
            report => Ok(report?),
        }
    }
}

/// Prints the differences on standard output, and the rest on standard error.
fn print(report: &Report, address: &str, started: Instant, console: Console) -> anyhow::Result<()> {
    let Report { generation, sources, compared, staged, differences, first } = report;
    let (of, all) = (compared.total(), sources.total());
    console.note(&format!("compared {of} of {all} entries with {address}\n{compared}"));
    for difference in first {
        print_result(difference)?;
    }
    match differences.saturating_sub(first.len() as u64) {
        0 => {}
        more => print_result(format_args!("and {more} more"))?,
    }
    if *staged > 0 {
        console.note(&format!(
            "{staged} keys of a push that is under way or was interrupted are not in place"
        ));
    }
    let seconds = started.elapsed().as_secs_f64();
    console.note(&format!(
        "{differences} differences; generation {generation}, done in {seconds:.1} s"
    ));
    Ok(())
}
