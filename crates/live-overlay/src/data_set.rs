use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sparrow_console::{Console, Unit};
use sparrow_files::{MANIFEST_FILE, Manifest};
use sparrow_live::Watermark;
use sparrow_movielens::{Options as ReaderOptions, Source};
use sparrow_output::AtomicFile;
use sparrow_process::{Interrupted, Signals};
use sparrow_push::live::{self, Base, Formats, export, read_watermark};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;

use crate::{Error, LiveArgs};

/// The data set of a command.
#[derive(Debug)]
pub struct DataSet {
    folder: PathBuf,
    watermark: Option<Watermark>,
    /// The folder, if it is temporary.
    temporary: Option<TempDir>,
}

impl DataSet {
    /// The data set in a folder, with the watermark that an export has written there.
    ///
    /// # Errors
    /// If there is a watermark that cannot be read.
    pub fn of_folder(folder: &Path) -> Result<Self, Error> {
        let watermark = read_watermark(folder)?;
        Ok(Self { folder: folder.to_owned(), watermark, temporary: None })
    }

    /// The folder with the data set.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Which live data it contains; `None` if nothing is known about that.
    pub const fn watermark(&self) -> Option<&Watermark> {
        self.watermark.as_ref()
    }

    /// Removes the watermark of an earlier command from an output folder, before files are replaced there. With it and other
    /// files, a push would drop live ratings that these do not contain.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_watermark(out: &Path) -> Result<(), Error> {
        let path = out.join(Watermark::FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed.map_err(sparrow_output::Error::io(&path))?,
        }
        let Ok(mut manifest) = Manifest::of(out) else { return Ok(()) };
        if manifest.remove(Watermark::FILE) {
            let mut file = AtomicFile::create(out, MANIFEST_FILE)?;
            file.write(&manifest.to_bytes())?;
            AtomicFile::publish(vec![file])?;
        }
        Ok(())
    }

    /// Writes the watermark, if there is one, to an output folder for pushes, after all other files.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn carry_watermark(&self, out: &Path) -> Result<Vec<(PathBuf, u64)>, Error> {
        let Some(watermark) = &self.watermark else { return Ok(Vec::new()) };
        let mut file = AtomicFile::create(out, Watermark::FILE)?;
        file.write(watermark.to_csv().as_bytes())?;
        Ok(AtomicFile::commit(vec![file])?)
    }
}

impl LiveArgs {
    /// The data set in the folder `data`. With `--live` it is overlaid with the live ratings in force, in a temporary
    /// folder within `temporary` (or that of the system).
    ///
    /// # Errors
    /// If the data set or the live data cannot be read, or the temporary files cannot be written.
    pub async fn data_set(
        &self,
        data: &Path,
        reader: &ReaderOptions,
        temporary: Option<&Path>,
        console: Console,
    ) -> Result<DataSet, Error> {
        if !self.is_given() {
            return DataSet::of_folder(data);
        }
        let store = self.open().await?;
        let parent = temporary.map_or_else(env::temp_dir, Path::to_owned);
        let folder = tempfile::Builder::new().prefix("sparrow-live-").tempdir_in(&parent);
        let folder = folder.map_err(|source| Error::Temporary { folder: parent, source })?;
        let watermark = read_watermark(data)?;
        let (data, reader) = (data.to_owned(), reader.clone());
        let read = spawn_blocking(move || Source::open(&data)?.load(&reader));
        let loaded =
            read.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        console.note(&loaded.report.to_string());
        let bar = console.bar("reading live data", Unit::Each("partitions"));
        let show = |done, total| bar.show(done, total);
        let base = Base { catalog: &loaded.catalog, watermark: watermark.as_ref() };
        let exported = export(&*store, Some(base), folder.path(), Formats::Csv, &show);
        let (live::Counts { ratings, writes, users }, _) = Box::pin(exported).await?;
        drop(bar);
        console.note(&format!(
            "overlaid with {writes} writes of {users} users from {}: {ratings} ratings",
            store.address()
        ));
        let overlaid = DataSet::of_folder(folder.path())?;
        Ok(DataSet { temporary: Some(folder), ..overlaid })
    }
}

/// Runs `work` on the data set in the folder `data`, with `--live` overlaid as by [`LiveArgs::data_set`]. The temporary
/// folder is removed at the end, also after a signal.
///
/// # Errors
/// Those of [`LiveArgs::data_set`] and of `work`.
pub fn on_data_set<E>(
    live: &LiveArgs,
    data: &Path,
    reader: &ReaderOptions,
    temporary: Option<&Path>,
    console: Console,
    work: impl FnOnce(&DataSet) -> Result<(), E> + Send + 'static,
) -> Result<(), E>
where
    E: From<Error> + From<Interrupted> + Send + 'static,
{
    if !live.is_given() {
        return work(&DataSet::of_folder(data)?);
    }
    let runtime = Runtime::new().map_err(Error::Runtime)?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen().map_err(Error::Runtime)?;
        let combined =
            async { Ok::<_, E>(Box::pin(live.data_set(data, reader, temporary, console)).await?) };
        let mut combined = signals.or(combined, NOTHING).await?;
        // Dropped here, after the work or a signal: the process does not wait for a thread that still works.
        let _folder = combined.temporary.take();
        let work = async {
            let done = spawn_blocking(move || work(&combined)).await;
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
        };
        signals.or(work, UNCHANGED).await
    });
    runtime.shutdown_background();
    outcome
}

const NOTHING: &str = "nothing was written";
const UNCHANGED: &str = "files that were not complete were not replaced";
