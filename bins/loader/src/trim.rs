//! `sparrow-loader trim`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use sparrow_console::Console;
use sparrow_console::exit::HELP;
use sparrow_live::{Sequence, Watermark};
use sparrow_live_overlay::{open, open_file};
use sparrow_process::Signals;
use sparrow_push::live::{EVENTS, read_watermark};

use crate::failure::Failure;
use crate::push::no_store;
use crate::store::StoreArgs;

/// Removes old writes from the log of live data.
///
/// Removes the writes that the generation in force contains and that were exported. Other writes remain, and those that a
/// consumer group has not read. Afterwards, commands refuse data that do not contain the removed writes.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Trim {
    /// Folder of an export: its writes may be removed
    #[arg(long, value_name = "DIR", required_unless_present = "force")]
    exported: Option<PathBuf>,

    /// Remove writes that were not exported too
    #[arg(short, long, conflicts_with = "exported")]
    force: bool,

    /// File with live data, of a server that has ended, instead of those of the store
    #[arg(long, value_name = "FILE")]
    live: Option<PathBuf>,

    #[command(flatten)]
    store: StoreArgs,
}

impl Trim {
    pub(crate) async fn run(&self, console: Console, signals: &mut Signals) -> anyhow::Result<()> {
        let started = Instant::now();
        let location = self.store.location()?.ok_or_else(no_store)?;
        let exported = self.exported.as_deref().map(exported).transpose()?;
        let trim = async {
            let store = self.store.connect(&location, None).await?;
            let in_force = store.watermark().await?;
            let generation = in_force.generation;
            let Some(in_force) = in_force.value else {
                let what =
                    format!("generation {generation} in {} contains no live data", store.address());
                return Err(Failure::Input(what).into());
            };
            let live = match &self.live {
                Some(path) => open_file(path)?,
                None => open(&location, &self.store.options(None)).await?,
            };
            let last = exported.map_or_else(|| in_force.clone(), |it| it.minimum(&in_force));
            let removed = live.trim(&last).await?;
            console.note(&format!(
                "removed {removed} writes from the log in {}, which generation {generation} contains",
                live.address()
            ));
            let (trimmed, none) = (live.trimmed().await?, Sequence::default());
            let kept = |&(partition, last): &(u16, Sequence)| {
                last != none && !trimmed.contains(partition, last)
            };
            match last.iter().filter(kept).count() {
                0 => {}
                kept => console.remark(format_args!(
                    "{kept} partitions are not trimmed: a consumer group has not read them, or the watermark is not one of these live \
                     data"
                )),
            }
            anyhow::Ok(())
        };
        signals.or(Box::pin(trim), "the log is trimmed in part").await?;
        console.note(&format!("done in {:.1} s", started.elapsed().as_secs_f64()));
        Ok(())
    }
}

/// The watermark of an export.
fn exported(folder: &Path) -> anyhow::Result<Watermark> {
    let no_export =
        || Failure::Input(format!("{} is not the folder of an export", folder.display()));
    // Other folders with a watermark do not contain the writes.
    if !folder.join(EVENTS).is_file() {
        return Err(no_export().into());
    }
    Ok(read_watermark(folder)?.ok_or_else(no_export)?)
}
