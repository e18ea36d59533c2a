use std::io;

use crate::BadLine;
use crate::report::Listing;

/// Why a data set cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system could not read a file or folder.
    #[error("cannot read {file}")]
    Io {
        /// The file or folder.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The folder has none of the known sets of files.
    #[error("no MovieLens data set in {folder}: {detail}")]
    NotFound {
        /// The folder.
        folder: String,
        /// What was looked for and what of it is there.
        detail: String,
    },
    /// The folder has the files of several data sets.
    #[error("several MovieLens data sets in {folder}: {detail}; keep each in a folder of its own")]
    Ambiguous {
        /// The folder.
        folder: String,
        /// Which ones.
        detail: String,
    },
    /// The first row of a CSV file does not name the columns that are needed.
    #[error("{file}: no column {missing} in the header row, which is {header}")]
    Header {
        /// The file.
        file: String,
        /// Names of the missing columns.
        missing: String,
        /// The header row as it is, shortened.
        header: String,
    },
    /// The first row of a CSV file names a column twice that must be there once; case does not count.
    #[error("{file}: two columns {column} in the header row, which is {header}")]
    RepeatedColumn {
        /// The file.
        file: String,
        /// The name of the column.
        column: String,
        /// The header row as it is, shortened.
        header: String,
    },
    /// The columns of a CSV file are not separated by commas.
    #[error("{file}: its columns are separated by {separator}, not by commas")]
    Separator {
        /// The file.
        file: String,
        /// What separates them.
        separator: &'static str,
    },
    /// A file is of another kind than its name says.
    #[error("{file} is {found}")]
    OtherKind {
        /// The file.
        file: String,
        /// What it is, and what to do about it.
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
    /// A line without which the rest of the data set cannot be understood.
    #[error("{0}")]
    Malformed(BadLine),
    /// There are more bad lines than [`Options::max_bad_lines`](crate::Options::max_bad_lines).
    #[error("{}", Listing::refused(*count, *allowed, first))]
    BadLines {
        /// How many there are in the files that were read.
        count: usize,
        /// How many were allowed.
        allowed: usize,
        /// The first of them, in the order of the files.
        first: Vec<BadLine>,
    },
    /// The data does not fit into the data model.
    #[error("{file} cannot be loaded")]
    Model {
        /// The file.
        file: String,
        /// What does not fit.
        source: sparrow_model::Error,
    },
}
