use std::io;

use crate::BadLine;
use crate::report::Listing;

/// An error in reading a data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system could not read a file or folder.
    #[error("cannot read {file}")]
    Io {
        /// The file or folder.
        file: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The folder contains no known data set.
    #[error("no MovieLens data set in {folder}: {detail}")]
    NotFound {
        /// The folder.
        folder: String,
        /// The expected and the missing files.
        detail: String,
    },
    /// The folder contains several data sets.
    #[error("several MovieLens data sets in {folder}: {detail}; use one folder per data set")]
    Ambiguous {
        /// The folder.
        folder: String,
        /// The data sets.
        detail: String,
    },
    /// Required columns are missing in the header row of a CSV file.
    #[error("{file}: missing column {missing} in the header row {header}")]
    Header {
        /// The file.
        file: String,
        /// Names of the missing columns.
        missing: String,
        /// The header row, truncated.
        header: String,
    },
    /// A column occurs twice in the header row of a CSV file, ignoring case.
    #[error("{file}: duplicate column {column} in the header row {header}")]
    RepeatedColumn {
        /// The file.
        file: String,
        /// The name of the column.
        column: String,
        /// The header row, truncated.
        header: String,
    },
    /// The columns of a CSV file are not separated by commas.
    #[error("{file}: columns are separated by {separator}, expected commas")]
    Separator {
        /// The file.
        file: String,
        /// The separator.
        separator: &'static str,
    },
    /// A file has an unsupported type.
    #[error("{file} is {found}")]
    OtherKind {
        /// The file.
        file: String,
        /// The type and a remedy.
        found: &'static str,
    },
    /// A file does not match the digest that the manifest of its folder has for it.
    #[error("{file}: {what}")]
    Digest {
        /// The file.
        file: String,
        /// What may have happened, and the remedy.
        what: String,
    },
    /// There are no movies.
    #[error("no movies in {file}")]
    NoMovies {
        /// The file.
        file: String,
    },
    /// A malformed line that cannot be skipped.
    #[error("{0}")]
    Malformed(BadLine),
    /// There are more bad lines than [`Options::max_bad_lines`](crate::Options::max_bad_lines).
    #[error("{}", Listing::too_many(*count, *allowed, first))]
    BadLines {
        /// Number of bad lines in the files read so far.
        count: usize,
        /// The limit.
        allowed: usize,
        /// The first bad lines, in file order.
        first: Vec<BadLine>,
    },
    /// The data exceed a limit of the data model.
    #[error("{file} cannot be loaded")]
    Model {
        /// The file.
        file: String,
        /// The limit.
        source: sparrow_model::Error,
    },
}
