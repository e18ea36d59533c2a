//! `sparrow-loader export`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use sparrow_console::{Console, Unit};
use sparrow_live::LiveStore;
use sparrow_live_overlay::{open, open_address, open_file};
use sparrow_movielens::{Options, Source};
use sparrow_output::Error as OutputError;
use sparrow_process::Signals;
use sparrow_push::live::{self, Base, Formats};

use crate::push::no_store;
use crate::store::StoreArgs;

/// Writes live ratings and events as files.
///
/// Writes ratings.csv in the MovieLens format with the live ratings in force, events.csv with all accepted writes in their
/// order, both also as Parquet, and watermark.csv with the last exported position of each partition. With --data, the folder is a complete data set
/// for all other commands: the ratings of that data set, overlaid with the live ones.
///
/// A running server exports its live data over its admin port: --store http://host:port, or http://key@host:port with a key
/// that has the scope admin.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// File with live data, of a server that has ended, instead of a store
    #[arg(long, value_name = "FILE")]
    live: Option<PathBuf>,

    /// Data set (folder) to combine with the live ratings
    #[arg(short, long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Output folder, created if it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// Replace files that exist
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    store: StoreArgs,
}

impl Export {
    pub(crate) async fn run(&self, console: Console, signals: &mut Signals) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut names = vec![
            live::RATINGS,
            live::EVENTS,
            live::RATINGS_TABLE,
            live::EVENTS_TABLE,
            live::WATERMARK,
        ];
        if self.data.is_some() {
            names.extend([live::MOVIES, live::LINKS]);
        }
        match sparrow_output::prepare(&self.out, &names, self.force) {
            Err(error @ OutputError::Exists(_)) => anyhow::bail!("{error}; --force replaces it"),
            prepared => prepared?,
        }
        let export = async {
            let store = self.open().await?;
            let data = match &self.data {
                None => None,
                Some(folder) => {
                    let loaded = Source::open(folder)?.load(&Options::default())?;
                    console.note(&loaded.report.to_string());
                    Some((loaded.catalog, live::read_watermark(folder)?))
                }
            };
            let bar = console.bar("exporting", Unit::Each("partitions"));
            let show = |done, total| bar.show(done, total);
            let base = data
                .as_ref()
                .map(|(catalog, watermark)| Base { catalog, watermark: watermark.as_ref() });
            let formats = Formats::CsvAndParquet;
            let exported = live::export(&*store, base, &self.out, formats, &show).await?;
            anyhow::Ok((exported, store.address().to_owned()))
        };
        let ((counts, files), address) = signals
            .or(Box::pin(export), "the export is not complete; no file was replaced")
            .await?;
        let live::Counts { ratings, writes, users } = counts;
        console.note(&format!(
            "exported {writes} writes of {users} users from {address}; {ratings} ratings in force"
        ));
        console.summarise(&files, started);
        Ok(())
    }

    async fn open(&self) -> anyhow::Result<Arc<dyn LiveStore>> {
        if let Some(path) = &self.live {
            return Ok(open_file(path)?);
        }
        if let Some(address) = self.store.address()
            && let Some(server) = open_address(address, self.store.ca_file.as_deref()).await?
        {
            return Ok(server);
        }
        let location = self.store.location()?.ok_or_else(no_store)?;
        Ok(open(&location, &self.store.options(None)).await?)
    }
}
