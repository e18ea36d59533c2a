use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sparrow_model::skip_byte_order_mark;

use crate::{Objective, Similarity, Validation};

/// The metadata file beside [`ITEM_FILE`](crate::ITEM_FILE). Without it, as for files of other programs, vectors are
/// compared by cosine.
pub const METADATA_FILE: &str = "embedding.json";

/// The format version, incremented by incompatible changes.
const FORMAT: u32 = 1;

/// The metadata of embedding files, stored in [`METADATA_FILE`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingMetadata {
    format: u32,
    /// The training method: `item2vec`, `ials`.
    pub method: String,
    /// The similarity of the vectors.
    pub similarity: Similarity,
    /// The training objective, if it supports folding in new users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// The quality on held-out ratings, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// The dimension of the vectors, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dimension: Option<usize>,
    /// The SHA-256 of each file of the set, in hexadecimal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

/// The error of an unreadable metadata file.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {message}")]
pub struct EmbeddingMetadataError {
    file: String,
    message: String,
}

impl EmbeddingMetadata {
    /// Creates metadata without dimension and digests.
    pub fn new(method: &str, similarity: Similarity, objective: Option<Objective>) -> Self {
        Self {
            format: FORMAT,
            method: method.to_owned(),
            similarity,
            objective,
            validation: None,
            dimension: None,
            files: BTreeMap::new(),
        }
    }

    /// Sets the dimension of the vectors.
    #[must_use]
    pub fn with_dimension(mut self, dimension: usize) -> Self {
        self.dimension = Some(dimension);
        self
    }

    /// Sets the file names and their SHA-256 in hexadecimal.
    #[must_use]
    pub fn with_files(mut self, files: impl IntoIterator<Item = (String, String)>) -> Self {
        self.files = files.into_iter().collect();
        self
    }

    /// Returns the SHA-256 of a file, if the metadata contain it.
    pub fn sha256(&self, file: &str) -> Option<&str> {
        self.files.get(file).map(String::as_str)
    }

    /// The dimension of the vectors, if known.
    pub const fn dimension(&self) -> Option<usize> {
        self.dimension
    }

    /// Parses the content of a file; `file` is the name in error messages.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, EmbeddingMetadataError> {
        let error = |message: &dyn fmt::Display| EmbeddingMetadataError {
            file: file.to_owned(),
            message: message.to_string(),
        };
        let bytes = skip_byte_order_mark(bytes);
        // Checked first: another format may have other fields.
        let Versioned { format } =
            serde_json::from_slice(bytes).map_err(|message| error(&message))?;
        if format > FORMAT {
            return Err(error(&format!(
                "unsupported format {format}, this program supports up to {FORMAT}"
            )));
        }
        serde_json::from_slice(bytes).map_err(|message| error(&message))
    }

    /// Serialises to one line, for feature stores.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Serialises to the content of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn written_metadata_is_read_unchanged() {
        let objective = Objective { unobserved: 0.1, regularization: 0.003, exponent: 1.0 };
        for metadata in [
            EmbeddingMetadata::new("ials", Similarity::Dot, Some(objective)),
            EmbeddingMetadata::new("item2vec", Similarity::Cosine, None),
        ] {
            assert_eq!(EmbeddingMetadata::read(&metadata.to_bytes(), "f").unwrap(), metadata);
            let marked = ["\u{feff}".as_bytes(), &metadata.to_bytes()].concat();
            assert_eq!(EmbeddingMetadata::read(&marked, "f").unwrap(), metadata);
        }
    }

    #[test]
    fn error_names_the_file_and_the_cause() {
        let read = |text: &str| {
            EmbeddingMetadata::read(text.as_bytes(), "e.json").unwrap_err().to_string()
        };
        assert!(read("{").starts_with("e.json: EOF"), "{}", read("{"));
        let newer = r#"{"format":2,"comparison":"angle"}"#;
        assert_eq!(read(newer), "e.json: unsupported format 2, this program supports up to 1");
        let other = r#"{"format":1,"method":"x","similarity":"angle"}"#;
        assert!(read(other).contains("angle"));
    }
}
