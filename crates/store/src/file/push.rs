use std::fs::{self, File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use redb::{Builder, Database, ReadableTable, WriteTransaction};
use sparrow_live::{Limits, LiveStore as _};
use tokio::task;

use super::layout::{
    DIGEST, FORMAT, FORMAT_VERSION, GENERATION, META, Tables, digest_of_meta, pack, table,
};
use super::{Inner, damaged};
use crate::entries::is_replaced;
use crate::live::PushedLive;
use crate::{Entry, Error, FileLive, Generation, Kind, Push, live_path};

/// Suffixes of the lock and of the file under construction.
const LOCK: &str = ".lock";
const STAGED: &str = ".new";

/// The page cache while a new file is built, in bytes.
const WRITER_CACHE: usize = 256 << 20;

/// Takes the lock and begins the new file. The rest of a killed push is overwritten.
pub(super) async fn start(store: Arc<Inner>) -> Result<Box<dyn Push>, Error> {
    let mut live = live_data(live_path(&store.path)).await;
    blocking(Arc::clone(&store), move |store| {
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(store.beside(LOCK))
            .map_err(|error| store.io(&error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::refused(&store.address, "another push is in progress"));
            }
            Err(TryLockError::Error(error)) => return Err(store.io(&error)),
        }
        // Opening it makes sure that no other kind of file is replaced.
        if let Some(transaction) = store.begin()? {
            live.in_force = Tables::open(&transaction, &store.address)?.watermark()?;
        }
        let staged = store.beside(STAGED);
        match fs::remove_file(&staged) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(store.io(&error)),
            _ => {}
        }
        let database = Builder::new()
            .set_cache_size(WRITER_CACHE)
            .create(staged)
            .map_err(|error| store.fault(error.into()))?;
        let transaction = database.begin_write().map_err(|error| store.fault(error.into()))?;
        let staging = Some(Staging { database, transaction, put: [false; Kind::ALL.len()], live });
        Ok(Box::new(FilePush { store: Arc::clone(store), staging, _lock: lock }) as Box<dyn Push>)
    })
    .await
}

/// The live data beside the store. Those in a file that a server has open cannot be read: the server hides deleted users, and
/// nothing is trimmed while it runs.
async fn live_data(path: PathBuf) -> PushedLive {
    let open = move || match path.try_exists() {
        Ok(false) => Ok(None),
        _ => FileLive::open(&path, Limits::default()).map(Some),
    };
    let read = async {
        let live = match task::spawn_blocking(open).await {
            Ok(Ok(Some(live))) => live,
            Ok(Ok(None)) | Err(_) => return Ok(PushedLive::default()),
            Ok(Err(error)) => return Err(error),
        };
        let (forgotten, trimmed) = (live.forgotten(), live.trimmed().await?);
        Ok(PushedLive {
            partitions: live.partitions(),
            forgotten,
            trimmed,
            ..PushedLive::default()
        })
    };
    read.await.unwrap_or_else(|error: sparrow_live::Error| {
        tracing::warn!(%error, "the push does not look at the live data beside the store");
        PushedLive::default()
    })
}

async fn blocking<T: Send + 'static>(
    store: Arc<Inner>,
    work: impl FnOnce(&Arc<Inner>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let address = store.address.clone();
    task::spawn_blocking(move || work(&store)).await.unwrap_or_else(|_| Err(damaged(&address)))
}

struct FilePush {
    store: Arc<Inner>,
    /// `None` after an error.
    staging: Option<Staging>,
    /// Held until this is dropped; the system releases it if the process dies.
    _lock: File,
}

struct Staging {
    database: Database,
    transaction: WriteTransaction,
    /// The kinds with entries, in the order of [`Kind::ALL`].
    put: [bool; Kind::ALL.len()],
    live: PushedLive,
}

#[async_trait]
impl Push for FilePush {
    async fn put(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        let mut staging =
            self.staging.take().ok_or_else(|| Error::push_failed(&self.store.address))?;
        let put = blocking(Arc::clone(&self.store), move |store| {
            staging.put(store, entries)?;
            Ok(staging)
        });
        match put.await {
            Ok(staging) => self.staging = Some(staging),
            Err(error) => {
                self.discard();
                return Err(error);
            }
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<Generation, Error> {
        let staging = self.staging.take().ok_or_else(|| Error::push_failed(&self.store.address))?;
        let done = blocking(Arc::clone(&self.store), move |store| staging.commit(store)).await;
        if done.is_err() {
            self.discard();
        }
        done
    }
}

impl Staging {
    fn put(&mut self, store: &Inner, entries: Vec<Entry>) -> Result<(), Error> {
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            entry.check()?;
            self.live.admit(&store.address, &entry)?;
            // A kind is replaced even if all its users were deleted.
            self.put[entry.kind() as usize] = true;
            kept.extend(self.live.without_deleted(entry));
        }
        for kind in Kind::ALL {
            let mut of_kind = kept.iter().filter(|entry| entry.kind() == kind).peekable();
            if of_kind.peek().is_none() {
                continue;
            }
            let mut rows = self
                .transaction
                .open_table(table(kind))
                .map_err(|error| store.fault(error.into()))?;
            for entry in of_kind {
                rows.insert(entry.id(), &*pack(entry))
                    .map_err(|error| store.fault(error.into()))?;
            }
        }
        Ok(())
    }

    fn commit(self, store: &Inner) -> Result<Generation, Error> {
        let mut last = Generation(0);
        if let Some(transaction) = store.begin()? {
            let old = Tables::open(&transaction, &store.address)?;
            last = old.generation();
            for kind in Kind::ALL {
                if !is_replaced(kind, |kind| self.put[kind as usize]) {
                    self.copy(kind, &old).map_err(|error| store.fault(error))?;
                }
            }
        }
        let generation = last.next();
        self.finish(generation).map_err(|error| store.fault(error))?;
        fs::rename(store.beside(STAGED), &store.path).map_err(|error| store.io(&error))?;
        // The file is renamed. Syncing its folder, so that it survives a power failure, may fail.
        if let Ok(folder) = File::open(store.folder()) {
            let _ = folder.sync_all();
        }
        Ok(generation)
    }

    fn copy(&self, kind: Kind, old: &Tables) -> Result<(), redb::Error> {
        let Some(rows) = old.of_kind(kind) else { return Ok(()) };
        let mut copies = self.transaction.open_table(table(kind))?;
        for row in rows.iter()? {
            let (id, value) = row?;
            copies.insert(id.value(), &*old.copy(kind, id.value(), value.value()))?;
        }
        Ok(())
    }

    fn finish(self, generation: Generation) -> Result<(), redb::Error> {
        {
            let mut meta = self.transaction.open_table(META)?;
            meta.insert(FORMAT, FORMAT_VERSION)?;
            meta.insert(GENERATION, generation.0)?;
            meta.insert(DIGEST, digest_of_meta(FORMAT_VERSION, generation.0))?;
        }
        self.transaction.commit()?;
        self.database.close()?;
        Ok(())
    }
}

impl FilePush {
    fn discard(&mut self) {
        self.staging = None;
        let _ = fs::remove_file(self.store.beside(STAGED));
    }
}

impl Drop for FilePush {
    fn drop(&mut self) {
        if self.staging.is_some() {
            self.discard();
        }
    }
}
