//! Which files a location names, and where they are opened.

use std::fs;
use std::io;
use std::path::Path as LocalPath;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, RetryConfig};
use sparrow_output::manifest;

use super::{Error, Location};

/// A file to read.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// How messages call it.
    pub(super) name: String,
    /// Its length in bytes.
    pub(super) size: u64,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
}

impl File {
    pub(super) fn malformed(&self, what: impl Into<String>) -> Error {
        Error::Malformed { file: self.name.clone(), what: what.into() }
    }

    pub(super) fn unreadable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::Unreadable { file: self.name.clone(), source: source.into() }
    }
}

/// Settings of the client of object stores, named as in the environment: `AWS_ENDPOINT_URL`, ….
pub type StoreSettings = Vec<(String, String)>;

/// The file, or those of the folder in order of name. Hidden ones, and what Spark leaves beside its
/// part files, are passed over: names that begin with a dot or an underscore.
pub(super) async fn list(
    location: &Location,
    settings: &StoreSettings,
) -> Result<Vec<File>, Error> {
    let files = match location {
        Location::Local(path) => local(path)?,
        Location::S3 { bucket, key } => s3(location, bucket, key, settings).await?,
    };
    if files.is_empty() {
        return Err(Error::Malformed {
            file: location.to_string(),
            what: "there are no files to read in this folder".to_owned(),
        });
    }
    Ok(files)
}

/// The content of a small file that need not be there.
pub(super) async fn read_optional(
    location: &Location,
    settings: &StoreSettings,
) -> Result<Option<Vec<u8>>, Error> {
    let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Unreadable {
        file: location.to_string(),
        source,
    };
    match location {
        Location::Local(path) => match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(error.into())),
        },
        Location::S3 { bucket, key } => {
            let store = bucket_of(bucket, settings).map_err(|error| unreadable(error.into()))?;
            let path = Path::parse(key).map_err(|error| unreadable(error.into()))?;
            let read = async { store.get(&path).await?.bytes().await };
            match read.await {
                Ok(bytes) => Ok(Some(bytes.to_vec())),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(unreadable(error.into())),
            }
        }
    }
}

fn is_passed_over(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

fn nested(folder: String, inner: &str) -> Error {
    let what = format!("holds the folder {inner}; name a folder that holds the files themselves");
    Error::Malformed { file: folder, what }
}

fn local(path: &LocalPath) -> Result<Vec<File>, Error> {
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
    let unreadable = |path: &LocalPath, source: io::Error| Error::Unreadable {
        file: path.display().to_string(),
        source: source.into(),
    };
    let file = |path: &LocalPath, size| -> Result<File, Error> {
        let name = path.display().to_string();
        let checked = manifest::check(path).map_err(|source| unreadable(path, source))?;
        checked.map_err(|what| Error::Malformed { file: name.clone(), what })?;
        let path = Path::from_filesystem_path(path)
            .map_err(|source| Error::Unreadable { file: name.clone(), source: source.into() })?;
        Ok(File { name, size, store: Arc::clone(&store), path })
    };
    let metadata = fs::metadata(path).map_err(|source| unreadable(path, source))?;
    if !metadata.is_dir() {
        return Ok(vec![file(path, metadata.len())?]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(|source| unreadable(path, source))? {
        let entry = entry.map_err(|source| unreadable(path, source))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if is_passed_over(&name) {
            continue;
        }
        let inner = entry.path();
        let metadata = fs::metadata(&inner).map_err(|source| unreadable(&inner, source))?;
        if metadata.is_dir() {
            return Err(nested(path.display().to_string(), &name));
        }
        files.push(file(&inner, metadata.len())?);
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// How long a request to an object store is tried again after an answer that it is overloaded or no
/// answer at all.
const RETRY: Duration = Duration::from_secs(20);

fn bucket_of(
    bucket: &str,
    settings: &StoreSettings,
) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in settings {
        // What the client does not know, such as AWS_PROFILE, is meant for others.
        if let Ok(known) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(known, value);
        }
    }
    let retry = RetryConfig { max_retries: 3, retry_timeout: RETRY, ..RetryConfig::default() };
    Ok(Arc::new(builder.with_bucket_name(bucket).with_retry(retry).build()?))
}

async fn s3(
    location: &Location,
    bucket: &str,
    key: &str,
    settings: &StoreSettings,
) -> Result<Vec<File>, Error> {
    let name = location.to_string();
    let unreadable = |source: object_store::Error| Error::Unreadable {
        file: name.clone(),
        source: source.into(),
    };
    let store = bucket_of(bucket, settings).map_err(unreadable)?;
    let file = |object: ObjectMeta| File {
        name: format!("s3://{bucket}/{}", object.location),
        size: object.size,
        store: Arc::clone(&store),
        path: object.location,
    };

    let path = Path::parse(key).map_err(|source| unreadable(source.into()))?;
    if !key.is_empty() {
        match store.head(&path).await {
            Ok(object) => return Ok(vec![file(object)]),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    let mut listing = store.list((!key.is_empty()).then_some(&path));
    let mut files = Vec::new();
    while let Some(object) = listing.next().await {
        let object = object.map_err(unreadable)?;
        let Some(inner) = object.location.prefix_match(&path) else { continue };
        let inner: Vec<String> = inner.map(|part| part.as_ref().to_owned()).collect();
        match &inner[..] {
            [first, ..] if is_passed_over(first) => {}
            // Some tools make an empty object in place of the folder.
            [] => {}
            [_] => files.push(file(object)),
            [folder, ..] => return Err(nested(name.clone(), folder)),
        }
    }
    if files.is_empty() {
        let source = "there is neither an object nor a folder of this name".into();
        return Err(Error::Unreadable { file: name, source });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}
