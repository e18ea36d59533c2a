use std::io;
use std::path::Path;

use crate::metadata::{EmbeddingMetadata, EmbeddingMetadataError, METADATA_FILE};
use crate::{EmbeddingTable, Error as TableError, ITEM_FILE, USER_FILE};

/// Maximum size of a file with vectors in bytes.
const MAX_VECTORS: u64 = 64 << 30;

/// Maximum size of the metadata in bytes.
const MAX_METADATA: u64 = 1 << 20;

/// The vectors in a folder, as `sparrow-loader embed` or another program writes them.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingFolder {
    /// The vectors of items by id.
    pub items: EmbeddingTable,
    /// The vectors of users by id.
    pub users: EmbeddingTable,
    /// The metadata, if the folder contains any.
    pub metadata: Option<EmbeddingMetadata>,
}

/// The error of an unreadable folder. Messages name the file, but not the folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddingFolderError {
    /// A file is missing or cannot be read.
    #[error("cannot open {file}")]
    Io {
        /// The file.
        file: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The metadata are malformed.
    #[error(transparent)]
    Metadata(#[from] EmbeddingMetadataError),
    /// A file with vectors is malformed, or belongs to another run than the metadata.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl EmbeddingFolder {
    /// Reads the files in a folder, and compares the vectors with the digests in the metadata.
    pub fn read(folder: &Path) -> Result<Self, EmbeddingFolderError> {
        let failed = |file| move |source| EmbeddingFolderError::Io { file, source };
        let metadata = match sparrow_files::read(&folder.join(METADATA_FILE), MAX_METADATA) {
            Ok(bytes) => Some(EmbeddingMetadata::read(&bytes, METADATA_FILE)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(METADATA_FILE)(error)),
        };
        let table = |name| -> Result<EmbeddingTable, EmbeddingFolderError> {
            let file =
                sparrow_files::open(&folder.join(name), MAX_VECTORS).map_err(failed(name))?;
            let sha256 = metadata.as_ref().and_then(|metadata| metadata.sha256(name));
            Ok(EmbeddingTable::read_verified(file, name, sha256)?)
        };
        let (items, users) = (table(ITEM_FILE)?, table(USER_FILE)?);
        Ok(Self { items, users, metadata })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;

    use super::*;
    use crate::Similarity;

    #[test]
    fn files_of_another_run_and_missing_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let read = || EmbeddingFolder::read(folder.path());
        let error = read().unwrap_err();
        assert_eq!(error.to_string(), format!("cannot open {ITEM_FILE}"));
        fs::write(path(ITEM_FILE), "1:1 0\n").unwrap();
        fs::write(path(USER_FILE), "6:0 1\n").unwrap();
        let vectors = read().unwrap();
        assert_eq!((vectors.items.len(), vectors.users.len(), vectors.metadata), (1, 1, None));

        let digest = |name: &str| (name.to_owned(), sparrow_files::sha256(b"1:1 0\n"));
        let metadata = EmbeddingMetadata::new("item2vec", Similarity::Cosine, None);
        let metadata = metadata.with_files([digest(ITEM_FILE)]);
        fs::write(path(METADATA_FILE), metadata.to_bytes()).unwrap();
        assert_eq!(read().unwrap().metadata, Some(metadata));
        fs::write(path(ITEM_FILE), "1:1 1\n").unwrap();
        assert!(matches!(read(), Err(EmbeddingFolderError::Table(TableError::Digest(_)))));
    }
}
