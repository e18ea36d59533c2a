//! Lists the files of a location, and opens them.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path as LocalPath;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, RetryConfig};
use sparrow_files::{Hashing, LARGEST_MANIFEST, MANIFEST_FILE, Manifest, differs_from};
use sparrow_neural::{EmbeddingMetadata, METADATA_FILE};

use super::{Error, Location};

#[derive(Debug, Clone)]
pub(super) struct File {
    /// The name in messages.
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

    /// Reads an object once, if its folder contains a digest for it. Otherwise a push would fail
    /// only after it has read a damaged file.
    async fn check(&self, digests: &Digests) -> Result<(), Error> {
        let name = self.path.filename().unwrap_or_default();
        let Some(expected) = digests.of_file(name) else { return Ok(()) };
        let object = self.store.get(&self.path).await.map_err(|error| self.unreadable(error))?;
        let mut chunks = object.into_stream();
        let mut hashing = Hashing::new(io::sink());
        while let Some(chunk) = chunks.try_next().await.map_err(|error| self.unreadable(error))? {
            hashing.write_all(&chunk).map_err(|error| self.unreadable(error))?;
        }
        expected.compare(&hashing.sha256()).map_err(|what| self.malformed(what))
    }
}

/// The digests of the files in a folder.
struct Digests {
    metadata: Option<EmbeddingMetadata>,
    manifest: Manifest,
}

/// The expected digest of a file.
struct Expected<'a> {
    /// The file that contains the digest.
    source: &'static str,
    sha256: &'a str,
}

impl Digests {
    fn new(manifest: Option<&[u8]>, metadata: Option<&[u8]>) -> io::Result<Self> {
        Ok(Self {
            // The reader of the metadata reports malformed ones.
            metadata: metadata.and_then(|bytes| EmbeddingMetadata::read(bytes, METADATA_FILE).ok()),
            manifest: manifest.map_or_else(|| Ok(Manifest::default()), Manifest::parse)?,
        })
    }

    fn of_file(&self, name: &str) -> Option<Expected<'_>> {
        let of_set = self.metadata.as_ref().and_then(|metadata| metadata.sha256(name));
        let of_set = of_set.map(|sha256| Expected { source: METADATA_FILE, sha256 });
        let in_manifest = || {
            let sha256 = self.manifest.get(name)?;
            Some(Expected { source: MANIFEST_FILE, sha256 })
        };
        of_set.or_else(in_manifest)
    }
}

impl Expected<'_> {
    fn compare(&self, sha256: &str) -> Result<(), String> {
        if sha256 == self.sha256 { Ok(()) } else { Err(differs_from(self.source)) }
    }
}

/// Settings of the object store client, with the names of environment variables:
/// `AWS_ENDPOINT_URL`, ….
pub type StoreSettings = Vec<(String, String)>;

/// The file, or the files of a folder in order of name. Names that begin with a dot or underscore
/// are skipped: hidden files, and those that Spark writes beside its part files.
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
            what: "the folder contains no files".to_owned(),
        });
    }
    Ok(files)
}

/// The content of a small file that may be missing.
pub(super) async fn read_optional(
    location: &Location,
    settings: &StoreSettings,
) -> Result<Option<Vec<u8>>, Error> {
    let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Unreadable {
        file: location.to_string(),
        source,
    };
    match location {
        Location::Local(path) => read_local(path).map_err(|error| unreadable(error.into())),
        Location::S3 { bucket, key } => {
            let store = bucket_of(bucket, settings).map_err(|error| unreadable(error.into()))?;
            let path = Path::parse(key).map_err(|error| unreadable(error.into()))?;
            read_object(&*store, &path).await.map_err(|error| unreadable(error.into()))
        }
    }
}

/// A small file; `None` if it is missing.
fn read_local(path: &LocalPath) -> io::Result<Option<Vec<u8>>> {
    match sparrow_files::read(path, LARGEST_MANIFEST) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A small object; `None` if it is missing.
async fn read_object(
    store: &dyn ObjectStore,
    path: &Path,
) -> Result<Option<Vec<u8>>, object_store::Error> {
    let object = match store.get(path).await {
        Ok(object) => object,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let size = object.meta.size;
    if size > LARGEST_MANIFEST {
        let source =
            format!("its size of {size} bytes exceeds the limit of {LARGEST_MANIFEST}").into();
        return Err(object_store::Error::Generic { store: "S3", source });
    }
    Ok(Some(object.bytes().await?.to_vec()))
}

fn is_skipped(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

fn nested(folder: String, inner: &str) -> Error {
    let what = format!("contains the folder {inner}; the files must be directly in the folder");
    Error::Malformed { file: folder, what }
}

fn local(path: &LocalPath) -> Result<Vec<File>, Error> {
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
    let unreadable = |path: &LocalPath, source: io::Error| Error::Unreadable {
        file: path.display().to_string(),
        source: source.into(),
    };
    let metadata = fs::metadata(path).map_err(|source| unreadable(path, source))?;
    let folder = if metadata.is_dir() { path } else { path.parent().unwrap_or(path) };
    let read = |name: &str| {
        let path = folder.join(name);
        read_local(&path).map_err(|source| unreadable(&path, source))
    };
    let (manifest, of_embeddings) = (read(MANIFEST_FILE)?, read(METADATA_FILE)?);
    let digests = Digests::new(manifest.as_deref(), of_embeddings.as_deref())
        .map_err(|source| unreadable(folder, source))?;
    let file = |path: &LocalPath| -> Result<File, Error> {
        let name = path.display().to_string();
        // The object store client would block on a named pipe.
        let opened = sparrow_files::open(path, u64::MAX);
        let opened = opened.map_err(|source| unreadable(path, source))?;
        let size = opened.metadata().map_err(|source| unreadable(path, source))?.len();
        let expected = path.file_name().and_then(|name| digests.of_file(name.to_str()?));
        if let Some(expected) = expected {
            let mut hashing = Hashing::new(opened);
            let read = io::copy(&mut hashing, &mut io::sink());
            read.map_err(|source| unreadable(path, source))?;
            let compared = expected.compare(&hashing.sha256());
            compared.map_err(|what| Error::Malformed { file: name.clone(), what })?;
        }
        let path = Path::from_filesystem_path(path)
            .map_err(|source| Error::Unreadable { file: name.clone(), source: source.into() })?;
        Ok(File { name, size, store: Arc::clone(&store), path })
    };
    if !metadata.is_dir() {
        return Ok(vec![file(path)?]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(|source| unreadable(path, source))? {
        let entry = entry.map_err(|source| unreadable(path, source))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if is_skipped(&name) {
            continue;
        }
        let inner = entry.path();
        let metadata = fs::metadata(&inner).map_err(|source| unreadable(&inner, source))?;
        if metadata.is_dir() {
            return Err(nested(path.display().to_string(), &name));
        }
        files.push(file(&inner)?);
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// The time limit for retries of a request that the object store answers with an overload error or
/// not at all.
const RETRY: Duration = Duration::from_secs(20);

fn bucket_of(
    bucket: &str,
    settings: &StoreSettings,
) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in settings {
        // Unknown settings, such as AWS_PROFILE, are for other programs.
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
            Ok(object) => {
                let mut parts: Vec<_> = path.parts().collect();
                parts.pop();
                let file = file(object);
                let digests = digests_of(&*store, &parts.into_iter().collect(), &name).await?;
                file.check(&digests).await?;
                return Ok(vec![file]);
            }
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
            [first, ..] if is_skipped(first) => {}
            // Some tools create an empty object with the name of the folder.
            [] => {}
            [_] => files.push(file(object)),
            [folder, ..] => return Err(nested(name.clone(), folder)),
        }
    }
    if files.is_empty() {
        let source = "no object and no folder has this name".into();
        return Err(Error::Unreadable { file: name, source });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let digests = digests_of(&*store, &path, &name).await?;
    for file in &files {
        file.check(&digests).await?;
    }
    Ok(files)
}

/// The digests in a folder of an object store. `name` is the location for messages.
async fn digests_of(store: &dyn ObjectStore, folder: &Path, name: &str) -> Result<Digests, Error> {
    let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Unreadable {
        file: name.to_owned(),
        source,
    };
    let read = async |file: &str| match read_object(store, &folder.clone().join(file)).await {
        Ok(bytes) => Ok(bytes),
        // The reply of S3 for a missing object, if listing is not permitted.
        Err(object_store::Error::PermissionDenied { .. }) => Ok(None),
        Err(error) => Err(unreadable(error.into())),
    };
    let (manifest, metadata) = (read(MANIFEST_FILE).await?, read(METADATA_FILE).await?);
    Digests::new(manifest.as_deref(), metadata.as_deref()).map_err(|error| unreadable(error.into()))
}
