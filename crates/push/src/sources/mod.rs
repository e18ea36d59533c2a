//! Sources of a push, read as a stream of entries.
//!
//! Features and vectors come from files, written by this project or by Spark. Each source is one
//! file or a folder of part files, Parquet or CSV, on this machine or in an S3-compatible object
//! store. The format is detected from the content. Integers of any width, floats, decimals and text
//! are converted to the text of the store's contract. Rating histories come from a MovieLens data
//! set.
//!
//! Invalid input is never ignored: a missing value, one out of range or a duplicate id is an
//! [`Error`] with file, row and column. Files are read in batches; of a Parquet file, one row group
//! is in memory at a time.
//!
//! The rules for vectors, lines of vectors and their metadata are those of `sparrow-neural`, whose `EmbeddingFolder` reads
//! whole folders on this machine. The reader here streams and accepts further formats.

mod column_mapping;
mod file_reader;
mod files;
mod location;
mod ratings;

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::path::PathBuf;

use sparrow_live::Watermark;
use sparrow_model::{MovieId, UserId};
use sparrow_neural::{EmbeddingMetadata, METADATA_FILE, Similarity};
use sparrow_store::{Entry, Kind};

pub use files::StoreSettings;
pub use location::Location;

use file_reader::{Batch, BatchStream};
use files::File;
use ratings::Ratings;
use sparrow_movielens::Options as ReaderOptions;

/// The locations of all sources. Sources that are `None` are not pushed.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Users' features: a column `userId` and those of [`USER_FIELDS`](sparrow_features::USER_FIELDS).
    pub user_features: Option<Location>,
    /// Movies' features: `movieId` and [`MOVIE_FIELDS`](sparrow_features::MOVIE_FIELDS).
    pub movie_features: Option<Location>,
    /// Users' vectors: columns `userId` and `embedding`, or lines `id:f f f …`.
    pub user_embeddings: Option<Location>,
    /// Movies' vectors: columns `movieId` and `embedding`, or lines `id:f f f …`. A file
    /// `embedding.json` beside them contains their similarity measure.
    pub item_embeddings: Option<Location>,
    /// The folder of a MovieLens data set, for rating histories, movies' rating sums and the list
    /// of users.
    pub ratings: Option<PathBuf>,
    /// Options of the data set reader.
    pub reader: ReaderOptions,
    /// Settings of object stores.
    pub object_store: StoreSettings,
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {file}")]
    Unreadable {
        /// The file, or the folder.
        file: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The content of a file is invalid.
    #[error("{file}: {what}")]
    Malformed {
        /// The file, or the folder.
        file: String,
        /// The fault.
        what: String,
    },
    /// The MovieLens data set cannot be read.
    #[error("cannot read the data set")]
    Ratings(#[from] sparrow_movielens::Error),
    /// There are no sources.
    #[error("there are no sources: specify at least one")]
    Nothing,
}

/// The content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    UserFeatures,
    MovieFeatures,
    UserEmbeddings,
    ItemEmbeddings,
}

impl Table {
    const fn is_of_users(self) -> bool {
        matches!(self, Self::UserFeatures | Self::UserEmbeddings)
    }

    const fn is_of_vectors(self) -> bool {
        matches!(self, Self::UserEmbeddings | Self::ItemEmbeddings)
    }

    fn embedding(self, id: u32, vector: Vec<f32>) -> Entry {
        if self.is_of_users() {
            Entry::UserEmbedding(UserId(id), vector)
        } else {
            Entry::MovieEmbedding(MovieId(id), vector)
        }
    }
}

/// The number of entries of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([u64; Kind::ALL.len()]);

impl Counts {
    /// Counts an entry. The description of vectors and the watermark of ratings are parts of them and are not counted.
    pub(crate) fn add(&mut self, kind: Kind) {
        self.0[kind as usize] += u64::from(!matches!(kind, Kind::EmbeddingInfo | Kind::Watermark));
    }

    pub(crate) fn add_all(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.add(entry.kind());
        }
    }

    /// The number of entries of a kind.
    pub const fn get(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// The number of all entries.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// A line for each kind with entries.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line_end = "";
        for kind in Kind::ALL.into_iter().filter(|&kind| self.get(kind) > 0) {
            let (count, prefix) = (self.get(kind), kind.key_prefix());
            let what = match kind {
                Kind::UserFeatures => "users' features",
                Kind::UserEmbedding => "users' embeddings",
                Kind::UserRatings => "users' rating histories",
                Kind::MovieFeatures => "movies' features",
                Kind::MovieEmbedding => "movies' embeddings",
                Kind::MovieRatings => "movies' rating sums",
                Kind::UserList => "list of users",
                Kind::EmbeddingInfo => "description of embeddings",
                Kind::Watermark => "watermark of live data",
            };
            write!(f, "{line_end}{count:>10} {what} ({prefix})")?;
            line_end = "\n";
        }
        Ok(())
    }
}

/// Reads all sources in order.
pub struct Reader {
    tables: VecDeque<TableReader>,
    /// The metadata of the movies' vectors, until they are returned.
    metadata: Option<EmbeddingMetadata>,
    ratings: Option<Ratings>,
    /// Until it is returned.
    watermark: Option<Watermark>,
    done: u64,
    total: u64,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, total, .. } = self;
        f.debug_struct("Reader").field("done", done).field("total", total).finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens the files, and reads the data set if there is one.
    pub async fn open(sources: &Sources) -> Result<Self, Error> {
        let tables = [
            (Table::ItemEmbeddings, &sources.item_embeddings),
            (Table::UserEmbeddings, &sources.user_embeddings),
            (Table::MovieFeatures, &sources.movie_features),
            (Table::UserFeatures, &sources.user_features),
        ];
        let mut reader = Self {
            tables: VecDeque::new(),
            metadata: None,
            ratings: None,
            watermark: None,
            done: 0,
            total: 0,
        };
        for (table, location) in tables {
            if let Some(location) = location {
                let files = files::list(location, &sources.object_store).await?;
                reader.total += files.iter().map(|file| file.size).sum::<u64>();
                reader.tables.push_back(TableReader::new(table, location, files));
            }
        }
        // After the vectors were found, so that errors mention those first.
        if let Some(location) = &sources.item_embeddings {
            reader.metadata = Some(embedding_metadata(location, &sources.object_store).await?);
        }
        if let Some(folder) = &sources.ratings {
            let ratings = Ratings::load(folder.clone(), sources.reader.clone()).await?;
            reader.total += ratings.bytes();
            reader.ratings = Some(ratings);
            reader.watermark = watermark(sources).await?;
        }
        if reader.tables.is_empty() && reader.ratings.is_none() {
            return Err(Error::Nothing);
        }
        Ok(reader)
    }

    /// Which live data the sources of users contain: the first entry.
    pub const fn watermark(&self) -> Option<&Watermark> {
        self.watermark.as_ref()
    }

    /// The next batch of about a thousand entries of one kind; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, Error> {
        if let Some(watermark) = self.watermark.take() {
            return Ok(Some(vec![Entry::Watermark(watermark)]));
        }
        while let Some(table) = self.tables.front_mut() {
            if let Some(rows) = table.next().await? {
                self.done += rows.bytes;
                return Ok(Some(rows.entries));
            }
            let Some(table) = self.tables.pop_front() else { break };
            if let (Table::ItemEmbeddings, Some(dimension)) = (table.table, table.dimension)
                && let Some(metadata) = self.metadata.take()
            {
                // The digests are those of files, which do not apply to a store.
                let line = metadata.with_files([]).with_dimension(dimension).to_line();
                return Ok(Some(vec![Entry::EmbeddingInfo(line)]));
            }
        }
        let Some(rows) = self.ratings.as_mut().and_then(Ratings::next) else {
            self.done = self.total;
            return Ok(None);
        };
        self.done += rows.bytes;
        Ok(Some(rows.entries))
    }

    /// Statistics and skipped lines of the data set; `None` without one.
    pub fn report(&self) -> Option<&sparrow_movielens::Report> {
        self.ratings.as_ref().map(|ratings| &ratings.report)
    }

    /// The approximate numbers of bytes that were read, and of all bytes.
    pub const fn progress(&self) -> (u64, u64) {
        (self.done, self.total)
    }
}

/// The live data that the data set, the users' features and the users' vectors all contain, by the files beside them; `None` if
/// one of them has none. Without ratings there is none either: the store then has those of an earlier push.
async fn watermark(sources: &Sources) -> Result<Option<Watermark>, Error> {
    let Some(folder) = &sources.ratings else { return Ok(None) };
    let mut files = vec![Location::Local(folder.join(Watermark::FILE))];
    for location in [&sources.user_features, &sources.user_embeddings].into_iter().flatten() {
        let Some(file) = location.beside(Watermark::FILE) else { return Ok(None) };
        files.push(file);
    }
    let mut all: Option<Watermark> = None;
    for file in files {
        let Some(bytes) = files::read_optional(&file, &sources.object_store).await? else {
            return Ok(None);
        };
        let found = Watermark::from_csv(&bytes).map_err(|fault| Error::Malformed {
            file: file.to_string(),
            what: fault.to_string(),
        })?;
        all = Some(all.map_or(found.clone(), |all| all.minimum(&found)));
    }
    Ok(all)
}

/// The metadata beside the movies' vectors. Without them, as for files of other programs, the
/// similarity is cosine.
async fn embedding_metadata(
    vectors: &Location,
    settings: &StoreSettings,
) -> Result<EmbeddingMetadata, Error> {
    let unknown = || EmbeddingMetadata::new("unknown", Similarity::Cosine, None);
    let Some(location) = vectors.beside(METADATA_FILE) else { return Ok(unknown()) };
    match files::read_optional(&location, settings).await? {
        Some(bytes) => {
            let file = location.to_string();
            EmbeddingMetadata::read(&bytes, METADATA_FILE)
                .map_err(|error| Error::Malformed { file, what: error.to_string() })
        }
        None => Ok(unknown()),
    }
}

/// Reads the files of one table, with checks across files.
struct TableReader {
    table: Table,
    location: String,
    files: VecDeque<File>,
    open: Option<(String, BatchStream)>,
    ids: HashSet<u32>,
    dimension: Option<usize>,
}

impl TableReader {
    fn new(table: Table, location: &Location, files: Vec<File>) -> Self {
        Self {
            table,
            location: location.to_string(),
            files: files.into(),
            open: None,
            ids: HashSet::new(),
            dimension: None,
        }
    }

    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        use futures::TryStreamExt as _;
        loop {
            if let Some((name, rows)) = &mut self.open {
                if let Some(rows) = rows.try_next().await? {
                    let file = name.clone();
                    self.check(&rows.entries).map_err(|what| Error::Malformed { file, what })?;
                    return Ok(Some(rows));
                }
                self.open = None;
            }
            let Some(file) = self.files.pop_front() else { break };
            self.open = Some((file.name.clone(), file_reader::open(file, self.table).await?));
        }
        if self.ids.is_empty() {
            // An empty source would mean "no change", which is hardly intended.
            let what = "it has no rows".to_owned();
            return Err(Error::Malformed { file: self.location.clone(), what });
        }
        Ok(None)
    }

    fn check(&mut self, entries: &[Entry]) -> Result<(), String> {
        for entry in entries {
            let (id, vector) = match entry {
                Entry::UserFeatures(id, _) => (id.0, None),
                Entry::MovieFeatures(id, _) => (id.0, None),
                Entry::UserEmbedding(id, vector) => (id.0, Some(vector)),
                Entry::MovieEmbedding(id, vector) => (id.0, Some(vector)),
                Entry::UserRatings(..)
                | Entry::MovieRatings(..)
                | Entry::UserList(_)
                | Entry::EmbeddingInfo(_)
                | Entry::Watermark(_) => continue,
            };
            if let Some(vector) = vector {
                sparrow_neural::check_vector(id, vector, self.dimension)?;
                self.dimension = Some(vector.len());
            }
            if !self.ids.insert(id) {
                return Err(format!("id {id} occurs twice"));
            }
        }
        Ok(())
    }
}
