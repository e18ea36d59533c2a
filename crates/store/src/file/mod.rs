//! A store in one file, for a server without Redis.
//!
//! A file contains one generation and never changes: a push builds a new file beside it and renames
//! that atomically over it. Before each read, the store compares the file with the one that it has
//! open. A missing file is an empty store.

mod layout;
mod push;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use async_trait::async_trait;
use redb::{Builder, ReadOnlyDatabase, ReadTransaction, ReadableDatabase};
use sparrow_live::Watermark;
use sparrow_model::{MovieId, UserId};
use tokio::task;
use tokio::time;

use self::layout::Tables;
use crate::{
    Error, FeatureStore, Generation, Options, Push, Read, StoredMovie, StoredUser, UserList,
};

/// A store in a file. Clones share the open file.
#[derive(Debug, Clone)]
pub struct FileStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    address: String,
    deadline: Duration,
    bulk_deadline: Duration,
    open: Mutex<Option<Opened>>,
}

struct Opened {
    identity: Identity,
    database: Arc<ReadOnlyDatabase>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.identity.fmt(f)
    }
}

/// Distinguishes a file from one that was renamed over it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    inode: (u64, u64),
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let inode = (0, 0);
        Self { inode, bytes: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// The page cache of a reader, in bytes.
const READER_CACHE: usize = 64 << 20;

impl FileStore {
    /// The store in this file, which may not exist yet.
    pub fn open(path: &Path, options: &Options) -> Self {
        Self(Arc::new(Inner {
            path: path.to_owned(),
            address: format!("file:{}", path.display()),
            deadline: options.deadline,
            bulk_deadline: options.bulk_deadline,
            open: Mutex::new(None),
        }))
    }

    /// Runs a read on a thread that may block on the disk.
    async fn read<T: Default + Send + 'static>(
        &self,
        deadline: Duration,
        read: impl FnOnce(&Tables) -> Result<T, Error> + Send + 'static,
    ) -> Result<Read<T>, Error> {
        let inner = Arc::clone(&self.0);
        let task = task::spawn_blocking(move || match inner.begin()? {
            None => Ok(Read { generation: Generation(0), value: T::default() }),
            Some(transaction) => {
                let tables = Tables::open(&transaction, &inner.address)?;
                Ok(Read { generation: tables.generation(), value: read(&tables)? })
            }
        });
        match time::timeout(deadline, task).await {
            Err(_) => Err(Error::TimedOut { store: self.0.address.clone() }),
            Ok(joined) => joined.unwrap_or_else(|_| Err(damaged(&self.0.address))),
        }
    }
}

/// The advice for damaged files.
const REMEDY: &str = "delete it and push again";

/// Damage inside a file can make redb panic.
fn damaged(address: &str) -> Error {
    Error::refused(address, format!("the file is damaged: {REMEDY}"))
}

impl Inner {
    /// A transaction on the current file; `None` without a file.
    fn begin(&self) -> Result<Option<ReadTransaction>, Error> {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder().is_dir() => {
                return Ok(None);
            }
            Err(error) => return Err(self.io(&error)),
        };
        let identity = Identity::of(&metadata);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match &*open {
            Some(opened) if opened.identity == identity => Arc::clone(&opened.database),
            _ => {
                *open = None;
                // redb would block on a named pipe until a writer opens it.
                sparrow_files::open(&self.path, u64::MAX).map_err(|error| self.io(&error))?;
                let database =
                    Builder::new().set_cache_size(READER_CACHE).open_read_only(&self.path);
                let database = Arc::new(database.map_err(|error| self.fault(error.into()))?);
                *open = Some(Opened { identity, database: Arc::clone(&database) });
                database
            }
        };
        drop(open);
        database.begin_read().map(Some).map_err(|error| self.fault(error.into()))
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// The path with an ending appended.
    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ending);
        name.into()
    }

    fn io(&self, error: &io::Error) -> Error {
        use io::ErrorKind::{
            FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        match error.kind() {
            PermissionDenied | StorageFull | QuotaExceeded | ReadOnlyFilesystem | FileTooLarge => {
                Error::refused(&self.address, error.to_string())
            }
            io::ErrorKind::InvalidInput => Error::refused(&self.address, error.to_string()),
            io::ErrorKind::InvalidData => {
                Error::refused(&self.address, "the file is not a feature store")
            }
            io::ErrorKind::UnexpectedEof => damaged(&self.address),
            _ => Error::Unavailable { store: self.address.clone(), what: error.to_string() },
        }
    }

    fn fault(&self, error: redb::Error) -> Error {
        match error {
            redb::Error::Io(error) => self.io(&error),
            redb::Error::UpgradeRequired(_) | redb::Error::Corrupted(_) => Error::refused(
                &self.address,
                format!(
                    "the file is not a feature store, or it is damaged ({error}): if it is a store, {REMEDY}"
                ),
            ),
            redb::Error::RepairAborted => damaged(&self.address),
            redb::Error::DatabaseAlreadyOpen => {
                Error::refused(&self.address, "another program has the file open for writing")
            }
            error => Error::Unavailable { store: self.address.clone(), what: error.to_string() },
        }
    }
}

#[async_trait]
impl FeatureStore for FileStore {
    fn address(&self) -> &str {
        &self.0.address
    }

    async fn generation(&self) -> Result<Generation, Error> {
        Ok(self.read(self.0.deadline, |_| Ok(())).await?.generation)
    }

    async fn users(&self, ids: &[UserId]) -> Result<Read<Vec<StoredUser>>, Error> {
        let (ids, count) = (ids.to_vec(), ids.len());
        let read = move |tables: &Tables| ids.iter().map(|&id| tables.user(id)).collect();
        let mut users: Read<Vec<StoredUser>> = self.read(self.0.deadline, read).await?;
        users.value.resize(count, StoredUser::default());
        Ok(users)
    }

    async fn movies(&self, ids: &[MovieId]) -> Result<Read<Vec<StoredMovie>>, Error> {
        let (ids, count) = (ids.to_vec(), ids.len());
        let read = move |tables: &Tables| ids.iter().map(|&id| tables.movie(id)).collect();
        let mut movies: Read<Vec<StoredMovie>> = self.read(self.0.deadline, read).await?;
        movies.value.resize(count, StoredMovie::default());
        Ok(movies)
    }

    async fn all_movies(&self) -> Result<Read<Vec<(MovieId, StoredMovie)>>, Error> {
        self.read(self.0.bulk_deadline, Tables::all_movies).await
    }

    async fn user_list(&self) -> Result<Read<UserList>, Error> {
        self.read(self.0.bulk_deadline, Tables::user_list).await
    }

    async fn embedding_info(&self) -> Result<Read<Option<String>>, Error> {
        self.read(self.0.bulk_deadline, Tables::embedding_info).await
    }

    async fn watermark(&self) -> Result<Read<Option<Watermark>>, Error> {
        self.read(self.0.bulk_deadline, Tables::watermark).await
    }

    async fn push(&self) -> Result<Box<dyn Push>, Error> {
        push::start(Arc::clone(&self.0)).await
    }
}
