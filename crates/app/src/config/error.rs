use std::path::PathBuf;

use sparrow_model::nearest_name;

/// Why a configuration is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not valid TOML", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The position and the cause.
        source: Box<toml::de::Error>,
    },
    /// The key does not exist.
    #[error("unknown key {key:?} in {origin}{}", nearest.as_deref().map(suggestion).unwrap_or_default())]
    UnknownKey {
        /// The key as it was written.
        key: String,
        /// The file, or the environment.
        origin: String,
        /// The most similar key.
        nearest: Option<String>,
    },
    /// The value is invalid for its key.
    #[error("{key} in {origin}: {what}")]
    Value {
        /// The key as it was written.
        key: String,
        /// The file, or the environment.
        origin: String,
        /// The reason.
        what: String,
    },
}

fn suggestion(name: &str) -> String {
    format!(", did you mean {name:?}?")
}

/// A suggestion of the most similar name, as the end of a message; empty if no name is similar.
pub(super) fn did_you_mean<'a>(misspelt: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest_name(misspelt, names).map(|nearest| suggestion(nearest.name)).unwrap_or_default()
}
