//! The subcommand `features`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use sparrow_offline::ReaderOptions;
use sparrow_offline::pipeline::{self, DataSet};

use crate::machine::Machine;
use crate::progress::Bar;
use crate::run::summarise;

/// Computes the features of all users and movies.
///
/// Writes userFeatures and movieFeatures, each as Parquet and as CSV. A user's features are those of
/// the last 100 ratings; a movie's are over all its ratings, and movies without any are left out.
/// Movies that a user's list lacks are null in Parquet and empty in CSV, genres are empty in both.
#[derive(Debug, Args)]
pub(crate) struct Features {
    /// Folder with the data set
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Folder to write into; made if it does not exist, files in it are replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Compute everything and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Bad lines of the data set to skip and report, rather than stop
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_lines: usize,

    #[command(flatten)]
    machine: Machine,
}

pub(crate) fn run(args: &Features) -> anyhow::Result<()> {
    let started = Instant::now();
    let session = pipeline::session(&args.machine.session())?;
    let reader = ReaderOptions { max_bad_lines: args.max_bad_lines };
    let out = (!args.dry_run).then_some(args.out.as_path());
    let bar = Bar::new("computing features", "ratings");
    let (report, summary) = args.machine.runtime()?.block_on(async {
        let data = DataSet::open(&session, &args.data, &reader).await?;
        let progress = |done, total| bar.show(done, total);
        let summary = pipeline::write_features(&data, out, &progress).await?;
        Ok::<_, pipeline::Error>((data.report().clone(), summary))
    })?;
    drop(bar);
    let mut to = io::stdout().lock();
    writeln!(to, "{report}\nfeatures of {} users and {} movies", summary.users, summary.movies)
        .context("cannot write to standard output")?;
    drop(to);
    summarise(&summary.files, started)
}
