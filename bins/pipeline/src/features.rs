//! The subcommand `features`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use sparrow_console::{Console, Unit};
use sparrow_live_overlay::{DataArgs, DataSet as Source};
use sparrow_pipeline::{self as pipeline, DataSet};

use crate::resources::Resources;

/// Computes the features of all users and movies.
///
/// Writes userFeatures and movieFeatures, each as Parquet and as CSV. The features of a user are
/// those of the last 100 ratings. The features of a movie are those of all its ratings; movies
/// without ratings are omitted. Missing movies in a user's list are null in Parquet and empty in
/// CSV; missing genres are empty in both.
#[derive(Debug, Args)]
pub(crate) struct Features {
    #[command(flatten)]
    data: DataArgs,

    /// Output folder; created if it does not exist, existing files are replaced
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// Compute everything without writing files
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    resources: Resources,
}

pub(crate) fn run(args: Features, console: Console) -> anyhow::Result<()> {
    let data = args.data.clone();
    let spill = args.resources.spill_folder().map(Path::to_owned);
    data.on_data_set(spill.as_deref(), console, move |data| work(&args, data, console))
}

fn work(args: &Features, source: &Source, console: Console) -> anyhow::Result<()> {
    let started = Instant::now();
    let session = pipeline::session(&args.resources.session())?;
    let out = (!args.dry_run).then_some(args.out.as_path());
    if let Some(out) = out {
        Source::remove_watermark(out)?;
    }
    let bar = console.bar("computing features", Unit::Each("ratings"));
    let (report, summary) = args.resources.runtime()?.block_on(async {
        let data = DataSet::open(&session, source.folder(), &args.data.reader()).await?;
        let progress = |done, total| bar.show(done, total);
        let summary = pipeline::write_features(&data, out, &progress).await?;
        Ok::<_, pipeline::Error>((data.report().clone(), summary))
    })?;
    drop(bar);
    let (users, movies) = (summary.users, summary.movies);
    console.note(&format!("{report}\nfeatures of {users} users and {movies} movies"));
    let mut files = summary.files;
    if let Some(out) = out {
        files.extend(source.carry_watermark(out)?);
    }
    console.summarise(&files, started);
    Ok(())
}
