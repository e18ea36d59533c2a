//! `sparrow-loader verify`.

use std::time::Instant;

use clap::Args;
use sparrow_console::{Console, Unit, print_result};
use sparrow_push::sources::Reader;
use sparrow_push::verify::{self, Options, Report};

use crate::failure::Failure;
use crate::push::no_store;
use crate::sources::{self, SourceArgs};
use crate::store::StoreArgs;
use sparrow_process::Signals;

/// Compares the content of a store with the sources, field by field.
///
/// Reads all sources, and a sample of each kind of entry from the store. Movies in the store that are missing from the
/// sources are differences too.
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
            let reader = Reader::open(&sources).await?;
            let show = |done, total| bar.show(done, total);
            anyhow::Ok((verify::verify(reader, &*store, options, &show).await?, store))
        };
        let (report, store) = signals.or(compare, "the comparison is not complete").await?;
        drop(bar);
        print(&report, store.address(), started, console)?;
        if report.differences > 0 { Err(Failure::Differences.into()) } else { Ok(()) }
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
    match differences - first.len() as u64 {
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
