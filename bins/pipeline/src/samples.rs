//! The subcommand `samples`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use sparrow_console::{Console, Unit};
use sparrow_live_overlay::{DataArgs, DataSet as Source};
use sparrow_pipeline::{self as pipeline, DataSet, FileFormat, SampleOptions, Split};

use crate::resources::Resources;

/// Creates training and test samples: each rating with the features known before it.
///
/// Writes trainingSamples and testSamples. A sample contains the features of its user over the last
/// (at most) 100 ratings before it, and the statistics of its movie over all ratings with an
/// earlier timestamp. Ratings of users with fewer than two earlier ones are omitted. Missing movies
/// in a user's list are 0, missing genres are empty. The label is 1 for ratings of 3.5 and more.
#[derive(Debug, Args)]
pub(crate) struct Samples {
    #[command(flatten)]
    data: DataArgs,

    /// Output folder; created if it does not exist, existing files are replaced
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// How the test samples are chosen: random, time (the latest) or per-user-time (the latest of each user)
    #[arg(long, value_name = "NAME", default_value_t)]
    split: Split,

    /// Fraction of the samples for testing
    #[arg(long, value_name = "X", default_value_t = 0.2, value_parser = fraction)]
    test_fraction: f64,

    /// Fraction of the samples to keep, drawn at random
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = fraction)]
    sample_fraction: f64,

    /// Order of the samples in each file: random, for training, or by user, time and movie
    #[arg(long, value_enum, default_value_t)]
    order: Order,

    /// Seed of the selection and the random order
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Formats to write
    #[arg(long, value_enum, value_delimiter = ',', default_value = "parquet,csv")]
    format: Vec<Format>,

    /// Compute everything without writing files
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    resources: Resources,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Order {
    /// Random; the same for the same seed
    #[default]
    Random,
    /// By user, time and movie
    Data,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Parquet,
    Csv,
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err("the value must be a number from 0 to 1".to_owned()),
    }
}

impl Samples {
    fn options(&self) -> SampleOptions {
        SampleOptions {
            split: self.split,
            test_fraction: self.test_fraction,
            seed: self.seed,
            order: match self.order {
                Order::Random => pipeline::Order::Random,
                Order::Data => pipeline::Order::Data,
            },
            sample_fraction: self.sample_fraction,
        }
    }

    /// The formats, each once.
    fn formats(&self) -> Vec<FileFormat> {
        [(Format::Parquet, FileFormat::Parquet), (Format::Csv, FileFormat::Csv)]
            .into_iter()
            .filter_map(|(name, format)| self.format.contains(&name).then_some(format))
            .collect()
    }
}

pub(crate) fn run(args: Samples, console: Console) -> anyhow::Result<()> {
    let data = args.data.clone();
    let spill = args.resources.spill_folder().map(Path::to_owned);
    data.on_data_set(spill.as_deref(), console, move |data| work(&args, data, console))
}

fn work(args: &Samples, source: &Source, console: Console) -> anyhow::Result<()> {
    let started = Instant::now();
    let session = pipeline::session(&args.resources.session())?;
    let out = (!args.dry_run).then_some(args.out.as_path());
    let bar = console.bar("creating samples", Unit::Each("ratings"));
    let (report, summary) = args.resources.runtime()?.block_on(async {
        let data = DataSet::open(&session, source.folder(), &args.data.reader()).await?;
        let progress = |done, total| bar.show(done, total);
        let (options, formats) = (args.options(), args.formats());
        let summary = pipeline::write_samples(&data, out, &options, &formats, &progress).await?;
        Ok::<_, pipeline::Error>((data.report().clone(), summary))
    })?;
    drop(bar);
    let (training, test) = (summary.training, summary.test);
    console.note(&format!("{report}\n{training} training samples and {test} test samples"));
    console.summarise(&summary.files, started);
    Ok(())
}
