use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sparrow_model::skip_byte_order_mark;

use crate::{Objective, Similarity};

/// The file beside [`ITEM_FILE`](crate::ITEM_FILE) that says what its vectors are. Where it is missing,
/// as beside files of other programs, they are compared by cosine.
pub const ABOUT_FILE: &str = "embedding.json";

/// The version of the file's format. It grows when files could be misread by older programs.
const FORMAT: u32 = 1;

/// What embedding files hold, as the file [`ABOUT_FILE`] says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    format: u32,
    /// How they were computed: `item2vec`, `ials`.
    pub method: String,
    /// How vectors are to be compared.
    pub similarity: Similarity,
    /// What the vectors minimise, if that allows new users to be folded in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// The length of every vector, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dimension: Option<usize>,
    /// The SHA-256 of each of the files, which are one set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

/// Why such a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {what}")]
pub struct AboutError {
    file: String,
    what: String,
}

impl About {
    /// Vectors of this method.
    pub fn new(method: &str, similarity: Similarity, objective: Option<Objective>) -> Self {
        Self {
            format: FORMAT,
            method: method.to_owned(),
            similarity,
            objective,
            dimension: None,
            files: BTreeMap::new(),
        }
    }

    /// The same for vectors of this length.
    #[must_use]
    pub fn with_dimension(mut self, dimension: usize) -> Self {
        self.dimension = Some(dimension);
        self
    }

    /// The same for a set of files of these names, with the SHA-256 of each in hexadecimal.
    #[must_use]
    pub fn with_files(mut self, files: impl IntoIterator<Item = (String, String)>) -> Self {
        self.files = files.into_iter().collect();
        self
    }

    /// The SHA-256 of a file of the set. Files of older programs have none.
    pub fn sha256(&self, file: &str) -> Option<&str> {
        self.files.get(file).map(String::as_str)
    }

    /// The length of every vector, where it is known.
    pub const fn dimension(&self) -> Option<usize> {
        self.dimension
    }

    /// Reads a file's content; `file` is the name for error messages.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, AboutError> {
        let error =
            |what: &dyn fmt::Display| AboutError { file: file.to_owned(), what: what.to_string() };
        let bytes = skip_byte_order_mark(bytes);
        // First: another format may have other fields.
        let Versioned { format } = serde_json::from_slice(bytes).map_err(|what| error(&what))?;
        if format > FORMAT {
            return Err(error(&format!(
                "it has format {format}, this program knows formats up to {FORMAT}"
            )));
        }
        serde_json::from_slice(bytes).map_err(|what| error(&what))
    }

    /// The same in one line, as feature stores have it.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The content of a file.
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
    fn what_is_written_reads_back_equal() {
        let objective = Objective { unobserved: 0.1, regularization: 0.003, exponent: 1.0 };
        for about in [
            About::new("ials", Similarity::Dot, Some(objective)),
            About::new("item2vec", Similarity::Cosine, None),
        ] {
            assert_eq!(About::read(&about.to_bytes(), "f").unwrap(), about);
            let marked = ["\u{feff}".as_bytes(), &about.to_bytes()].concat();
            assert_eq!(About::read(&marked, "f").unwrap(), about);
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_with_the_file() {
        let read = |text: &str| About::read(text.as_bytes(), "e.json").unwrap_err().to_string();
        assert!(read("{").starts_with("e.json: EOF"), "{}", read("{"));
        let newer = r#"{"format":2,"comparison":"angle"}"#;
        assert_eq!(read(newer), "e.json: it has format 2, this program knows formats up to 1");
        let other = r#"{"format":1,"method":"x","similarity":"angle"}"#;
        assert!(read(other).contains("angle"));
    }
}
