use std::fmt;
use std::fs;
use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sparrow_files::{Hashing, MANIFEST_FILE, Manifest, differs_from, sha256};
use sparrow_model::{Catalog, Histories, Movie, Movies, RatingLog, UserId};

use crate::kind::{self, Kind};
use crate::links::SkippedLinks;
use crate::ratings::{self, BlockPlan, ReadRatings};
use crate::report::BadLines;
use crate::summary::{Summary, SummaryBuilder};
use crate::{Error, Report, movies};

/// The formats of MovieLens data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// CSV files: ml-latest-small, ml-20m, ml-25m, ml-32m.
    Latest,
    /// `movies.dat` and `ratings.dat` with `::` between the fields: ml-1m; ml-10m too.
    Ml1m,
    /// `u.item` and `u.data`: ml-100k.
    Ml100k,
}

impl Format {
    const ALL: [Self; 3] = [Self::Latest, Self::Ml1m, Self::Ml100k];

    /// The names of the movies file and of the ratings file: first GroupLens, then Kaggle.
    const fn files(self) -> [&'static [&'static str]; 2] {
        match self {
            Self::Latest => [&["movies.csv", "movie.csv"], &["ratings.csv", "rating.csv"]],
            Self::Ml1m => [&["movies.dat"], &["ratings.dat"]],
            Self::Ml100k => [&["u.item"], &["u.data"]],
        }
    }

    /// The names of the optional file.
    const fn extra(self) -> &'static [&'static str] {
        match self {
            Self::Latest => &["links.csv", "link.csv"],
            Self::Ml1m => &[],
            Self::Ml100k => &["u.genre"],
        }
    }
}

/// Returns the first existing name, uncompressed or compressed.
fn find(names: &[&str], has: &dyn Fn(&str) -> bool) -> Option<String> {
    let mut candidates = names.iter().flat_map(|&name| [name.to_owned(), format!("{name}.gz")]);
    candidates.find(|name| has(name))
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Latest => "MovieLens CSV",
            Self::Ml1m => "MovieLens 1M",
            Self::Ml100k => "MovieLens 100K",
        })
    }
}

/// Options for reading a data set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum number of bad lines in the data set that are skipped and reported; more are an error. The ratings of a
    /// movie whose line is skipped are bad lines too.
    pub max_bad_lines: usize,
}

/// A data set in memory.
#[derive(Debug)]
pub struct Loaded {
    /// The movies, users and ratings.
    pub catalog: Catalog,
    /// Counts and skipped lines.
    pub report: Report,
}

/// A data set in memory without the indexes of a [`Catalog`].
#[derive(Debug)]
pub struct LoadedHistories {
    /// The movies.
    pub movies: Movies,
    /// The users and their ratings.
    pub histories: Histories,
    /// Counts and skipped lines.
    pub report: Report,
}

/// The result of validating every line of a data set.
#[derive(Debug)]
pub struct Survey {
    /// The movies.
    pub movies: Movies,
    /// Counts and skipped lines. The counts of users and duplicates are valid only if
    /// [`grouped_csv`](Self::grouped_csv) is true.
    pub report: Report,
    /// The greatest user id; `None` without ratings.
    pub greatest_user: Option<UserId>,
    /// Whether any CSV reader can read `ratings.csv`, as published by GroupLens: uncompressed, columns userId, movieId,
    /// rating, timestamp in this order, plain numbers, no bad lines, no duplicates, sorted by user id.
    pub grouped_csv: bool,
}

/// A data set with a detected format.
#[derive(Debug, Clone)]
pub struct Source {
    pub(crate) format: Format,
    pub(crate) movies: Input,
    pub(crate) ratings: Input,
    /// `links.csv` or `u.genre`, if it exists.
    pub(crate) extra: Option<Input>,
}

impl Source {
    /// Detects the data set in a folder by its file names, without reading the files.
    ///
    /// # Errors
    /// If the folder cannot be read, or contains no data set or several.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        Self::open_folder(dir, Required::All)
    }

    /// Like [`open`](Self::open) for [`load_movies`](Self::load_movies): the ratings file may be missing.
    pub fn open_movies(dir: &Path) -> Result<Self, Error> {
        Self::open_folder(dir, Required::Movies)
    }

    fn open_folder(dir: &Path, required: Required) -> Result<Self, Error> {
        let folder = dir.display().to_string();
        if dir.is_file() {
            let name = dir.file_name().unwrap_or_default().to_string_lossy();
            let found = Kind::of_archive(&name);
            let found = found.unwrap_or("a file, expected the folder of the data set");
            return Err(Error::OtherKind { file: folder, found });
        }
        if let Err(source) = fs::read_dir(dir) {
            return Err(Error::Io { file: folder, source });
        }
        let has = |name: &str| is_there(&dir.join(name));
        let format = detect(&folder, required, &has, || hint(dir, required))?;
        let manifest = Manifest::of(dir).map_err(|source| Error::Io { file: folder, source })?;
        let input = |name: &str| Input::path(&dir.join(name), manifest.get(name));
        Ok(Self::with(format, &has, input))
    }

    /// Like [`open`](Self::open) for files in memory: `files` are names such as `movies.csv` and contents; `name` replaces
    /// the folder in messages.
    pub fn in_memory(name: &str, files: &[(&str, &'static [u8])]) -> Result<Self, Error> {
        let find = |wanted: &str| files.iter().find(|(name, _)| *name == wanted);
        let has = |wanted: &str| find(wanted).is_some();
        let format = detect(name, Required::All, &has, String::new)?;
        Ok(Self::with(format, &has, |wanted| Input {
            name: format!("{name}/{wanted}"),
            data: Data::Memory(find(wanted).map_or(&[], |(_, bytes)| bytes)),
            sha256: None,
        }))
    }

    fn with(format: Format, has: &dyn Fn(&str) -> bool, input: impl Fn(&str) -> Input) -> Self {
        let [movies, ratings] =
            format.files().map(|names| input(&find(names, has).unwrap_or(names[0].to_owned())));
        let extra = find(format.extra(), has).map(|name| input(&name));
        Self { format, movies, ratings, extra }
    }

    /// The path of the ratings file, as in messages.
    pub fn ratings_file(&self) -> &str {
        &self.ratings.name
    }

    /// The format of the files.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Reads all files, on all cores.
    ///
    /// # Errors
    /// If a file cannot be read, has too many bad lines or no movies, or does not fit into the model.
    pub fn load(&self, options: &Options) -> Result<Loaded, Error> {
        self.load_blocks(options, BlockPlan::all_cores())
    }

    /// Reads only movies and links. The counts of users and ratings in the report are 0.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_movies(&self, options: &Options) -> Result<(Movies, Report), Error> {
        let MoviesRead { movies, skipped_links, bad } = self.movies(options)?;
        let counts = Counts { users: 0, ratings: 0, duplicates: 0 };
        let report = self.report(&movies, counts, skipped_links, bad);
        Ok((movies, report))
    }

    pub(crate) fn load_blocks(&self, options: &Options, plan: BlockPlan) -> Result<Loaded, Error> {
        let LoadedHistories { movies, histories, report } = self.histories(options, plan)?;
        Ok(Loaded { catalog: Catalog::new(movies, histories), report })
    }

    /// Reads all files, on all cores, without building the indexes of a catalogue.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_histories(&self, options: &Options) -> Result<LoadedHistories, Error> {
        self.histories(options, BlockPlan::all_cores())
    }

    fn histories(&self, options: &Options, plan: BlockPlan) -> Result<LoadedHistories, Error> {
        let MoviesRead { movies, skipped_links, mut bad } = self.movies(options)?;
        let log: RatingLog = ratings::read(self, &movies, &mut bad, plan)?.rows;
        bad.check(options.max_bad_lines)?;
        let (histories, duplicates) = log.into_histories();
        let (users, ratings) = (histories.len(), histories.rating_count());
        let counts = Counts { users, ratings, duplicates };
        let report = self.report(&movies, counts, skipped_links, bad);
        Ok(LoadedHistories { movies, histories, report })
    }

    /// Validates every line of all files, on all cores, without storing the ratings.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn survey(&self, options: &Options) -> Result<Survey, Error> {
        let MoviesRead { movies, skipped_links, mut bad } = self.movies(options)?;
        let read: ReadRatings<SummaryBuilder> =
            ratings::read(self, &movies, &mut bad, BlockPlan::all_cores())?;
        bad.check(options.max_bad_lines)?;
        let Summary { rows, greatest_user, grouped, users } = read.rows.finish();
        let ready =
            self.format == Format::Latest && read.plain_file && read.unusual == 0 && bad.count == 0;
        let counts = Counts { users: users as usize, ratings: rows as usize, duplicates: 0 };
        let report = self.report(&movies, counts, skipped_links, bad);
        Ok(Survey { movies, report, greatest_user, grouped_csv: ready && grouped })
    }

    fn movies(&self, options: &Options) -> Result<MoviesRead, Error> {
        let mut bad = BadLines::default();
        let (movies, skipped_links) = movies::read(self, &mut bad)?;
        // The bad ratings of skipped movies would hide the cause.
        bad.check(options.max_bad_lines)?;
        if movies.as_slice().is_empty() {
            return Err(Error::NoMovies { file: self.movies.name.clone() });
        }
        Ok(MoviesRead { movies, skipped_links, bad })
    }

    fn report(
        &self,
        movies: &Movies,
        counts: Counts,
        skipped_links: SkippedLinks,
        bad: BadLines,
    ) -> Report {
        let count = |test: fn(&Movie) -> bool| movies.as_slice().iter().filter(|m| test(m)).count();
        Report {
            format: self.format,
            movies: movies.as_slice().len(),
            users: counts.users,
            ratings: counts.ratings,
            movies_without_year: count(|movie| movie.year.is_none()),
            movies_without_genres: count(|movie| movie.genres.is_empty()),
            duplicates: counts.duplicates,
            unknown_links: skipped_links.unknown,
            bad_link_count: skipped_links.bad.count,
            bad_links: skipped_links.bad.first,
            bad_line_count: bad.count,
            bad_lines: bad.first,
        }
    }
}

/// The files that a folder must contain.
#[derive(Debug, Clone, Copy)]
enum Required {
    All,
    Movies,
}

impl Required {
    /// The alternative names of each required file.
    fn files(self, format: Format) -> Vec<&'static [&'static str]> {
        let [movies, ratings] = format.files();
        match self {
            Self::All => vec![movies, ratings],
            Self::Movies => vec![movies],
        }
    }

    fn exist(self, format: Format, has: &dyn Fn(&str) -> bool) -> bool {
        self.files(format).into_iter().all(|names| find(names, has).is_some())
    }
}

struct MoviesRead {
    movies: Movies,
    skipped_links: SkippedLinks,
    bad: BadLines,
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    users: usize,
    ratings: usize,
    duplicates: usize,
}

fn detect(
    folder: &str,
    required: Required,
    has: &dyn Fn(&str) -> bool,
    hint: impl FnOnce() -> String,
) -> Result<Format, Error> {
    let complete: Vec<Format> =
        Format::ALL.into_iter().filter(|&format| required.exist(format, has)).collect();
    match complete[..] {
        [format] => Ok(format),
        [] => {
            let looked_for = Format::ALL.map(|format| {
                let files = required.files(format);
                let missing: Vec<&str> = files
                    .iter()
                    .filter(|names| find(names, has).is_none())
                    .map(|names| names[0])
                    .collect();
                let state = match missing[..] {
                    [missing] if files.len() > 1 => format!(" ({missing} is missing)"),
                    _ => String::new(),
                };
                let names: Vec<&str> = files.iter().map(|names| names[0]).collect();
                format!("{}{state}", names.join(" and "))
            });
            let detail = format!("looked for {}{}", looked_for.join(", or "), hint());
            Err(Error::NotFound { folder: folder.to_owned(), detail })
        }
        _ => {
            let found: Vec<String> = complete
                .iter()
                .map(|&format| {
                    let files = required.files(format).into_iter();
                    let names: Vec<String> = files.filter_map(|names| find(names, has)).collect();
                    format!("{format} ({})", names.join(", "))
                })
                .collect();
            Err(Error::Ambiguous { folder: folder.to_owned(), detail: found.join(" and ") })
        }
    }
}

/// Suggests a sub-folder with a data set, a common result of unpacking archives, or an archive to unpack.
fn hint(dir: &Path, required: Required) -> String {
    let Ok(entries) = fs::read_dir(dir) else { return String::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let has_data_set = |path: &&PathBuf| {
        let has = |name: &str| is_there(&path.join(name));
        Format::ALL.into_iter().any(|format| required.exist(format, &has))
    };
    if let Some(path) = paths.iter().find(has_data_set) {
        return format!("; {} contains one", path.display());
    }
    let archive = paths.iter().find_map(|path| {
        let name = path.file_name()?.to_str()?;
        Kind::of_archive(name).map(|message| format!("; {name} is {message}"))
    });
    archive.unwrap_or_default()
}

/// Whether there is something to open. What is no regular file, such as a named pipe, is refused when it is opened.
fn is_there(path: &Path) -> bool {
    path.exists() && !path.is_dir()
}

/// One file of a data set.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// The name in messages.
    pub(crate) name: String,
    data: Data,
    /// What the manifest of its folder has for it.
    sha256: Option<String>,
}

#[derive(Debug, Clone)]
enum Data {
    Path(PathBuf),
    Memory(&'static [u8]),
}

/// A seekable reader. Each thread opens its own, because the position is not shared.
pub(crate) trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// An open file.
pub(crate) enum Content {
    Plain(Box<dyn ReadSeek>),
    /// A decompressing reader, which cannot seek.
    Gzip(Box<dyn Read + Send>),
}

impl Content {
    fn as_read(&mut self) -> &mut dyn Read {
        match self {
            Self::Plain(reader) => reader,
            Self::Gzip(reader) => reader,
        }
    }

    /// Reads up to `bytes` bytes.
    pub(crate) fn read_up_to(&mut self, bytes: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.as_read().take(bytes).read_to_end(&mut content)?;
        Ok(content)
    }
}

impl Input {
    fn path(path: &Path, sha256: Option<&str>) -> Self {
        let name = path.display().to_string();
        Self { name, data: Data::Path(path.to_owned()), sha256: sha256.map(str::to_owned) }
    }

    /// Whether [`check`](Self::check) compares anything.
    pub(crate) const fn has_digest(&self) -> bool {
        self.sha256.is_some()
    }

    /// Compares the file's SHA-256 with that in the manifest of its folder, if there is one.
    pub(crate) fn check(&self, found: &str) -> Result<(), Error> {
        match &self.sha256 {
            Some(expected) if expected != found => {
                Err(Error::Digest { file: self.name.clone(), what: differs_from(MANIFEST_FILE) })
            }
            _ => Ok(()),
        }
    }

    /// Reads the file through and compares its SHA-256: for compressed files, of which the decoder need not read the
    /// end.
    pub(crate) fn check_whole(&self) -> Result<(), Error> {
        if !self.has_digest() {
            return Ok(());
        }
        let mut reader = Hashing::new(self.reopen()?);
        io::copy(&mut reader, &mut io::sink()).map_err(|source| self.io_error(source))?;
        self.check(&reader.sha256())
    }

    /// The name without its folder.
    pub(crate) fn file_name(&self) -> &str {
        self.name.rsplit(['/', std::path::MAIN_SEPARATOR]).next().unwrap_or_default()
    }

    /// Opens the file and detects its type.
    pub(crate) fn open(&self) -> Result<Content, Error> {
        let mut content = Content::Plain(self.reopen()?);
        let start = content.read_up_to(kind::MAGIC_LEN as u64);
        let start = start.map_err(|source| self.io_error(source))?;
        match Kind::of(&start) {
            Kind::Text => Ok(Content::Plain(self.reopen()?)),
            Kind::Gzip => {
                let reader = io::BufReader::with_capacity(1 << 16, self.reopen()?);
                Ok(Content::Gzip(Box::new(MultiGzDecoder::new(reader))))
            }
            Kind::Parquet => Err(self.other_kind("a Parquet file, not text")),
            Kind::Other(found) => Err(self.other_kind(found)),
        }
    }

    /// Opens the file for another thread.
    pub(crate) fn reopen(&self) -> Result<Box<dyn ReadSeek>, Error> {
        Ok(match &self.data {
            Data::Path(path) => {
                // No size limit: the file is read in blocks.
                let file = sparrow_files::open(path, u64::MAX);
                Box::new(file.map_err(|source| self.io_error(source))?)
            }
            Data::Memory(bytes) => Box::new(Cursor::new(*bytes)),
        })
    }

    /// Reads the whole file, which must be small.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Error> {
        let mut file = self.open()?;
        if matches!(file, Content::Gzip(_)) {
            self.check_whole()?;
        }
        let content = file.read_up_to(MAX_WHOLE_FILE + 1);
        let content = content.map_err(|source| self.io_error(source))?;
        if content.len() as u64 > MAX_WHOLE_FILE {
            return Err(self.other_kind("larger than the limit of 1 GiB"));
        }
        if self.has_digest() && matches!(file, Content::Plain(_)) {
            self.check(&sha256(&content))?;
        }
        Ok(content)
    }

    pub(crate) fn io_error(&self, source: io::Error) -> Error {
        Error::Io { file: self.name.clone(), source }
    }

    fn other_kind(&self, found: &'static str) -> Error {
        Error::OtherKind { file: self.name.clone(), found }
    }
}

/// Maximum size in bytes of a file that is read as a whole.
const MAX_WHOLE_FILE: u64 = 1 << 30;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::samples::{gzip, load};

    const MOVIES: &[u8] = b"movieId,title,genres\n1,Lantern (1994),Drama\n";
    const RATINGS: &[u8] = b"userId,movieId,rating,timestamp\n7,1,4.0,9\n";
    const LINKS: &[u8] = b"movieId,imdbId,tmdbId\n1,0000123,862\n";

    #[test]
    fn kaggle_names_and_compressed_files_are_read() {
        let compressed = [MOVIES, RATINGS, LINKS].map(gzip);
        let [movies, ratings, links] = [&compressed[0], &compressed[1], &compressed[2]];
        for files in [
            [("movie.csv", MOVIES), ("rating.csv", RATINGS), ("link.csv", LINKS)],
            [("movies.csv.gz", movies), ("ratings.csv.gz", ratings), ("links.csv.gz", links)],
            [("movie.csv.gz", movies), ("ratings.csv", ratings), ("links.csv", LINKS)],
        ] {
            let loaded = load(&files, 0).unwrap();
            assert_eq!((loaded.report.users, loaded.report.ratings), (1, 1), "{}", files[0].0);
            assert_eq!(loaded.catalog.movies()[0].imdb_id.as_deref(), Some("0000123"));
        }
        let files = [
            ("movie.csv", MOVIES),
            ("rating.csv", &b"userId,movieId,rating,timestamp\n1,2,4,5"[..]),
        ];
        let bad = crate::samples::bad_lines(&files);
        assert_eq!(bad, ["rating.csv:2: movieId 2 is not in movie.csv"]);
        let old =
            [("movies.dat", &b"1::Lantern::Drama"[..]), ("ratings.dat.gz", &gzip(b"1::1::4::5"))];
        assert_eq!(load(&old, 0).unwrap().report.ratings, 1);
    }

    #[test]
    fn grouplens_name_takes_precedence() {
        let other = gzip(b"userId,movieId,rating,timestamp\n");
        let files = [
            ("movies.csv", MOVIES),
            ("movie.csv", b"odd"),
            ("ratings.csv.gz", &other),
            ("ratings.csv", RATINGS),
        ];
        assert_eq!(load(&files, 0).unwrap().report.ratings, 1);
    }

    #[test]
    fn unsupported_file_type_is_an_error() {
        let utf_16: Vec<u8> =
            [0xff, 0xfe].into_iter().chain(RATINGS.iter().flat_map(|&byte| [byte, 0])).collect();
        for (ratings, expected) in [
            (&b"PK\x03\x04\x14\0"[..], "set/ratings.csv is a zip archive: unpack it"),
            (b"PAR1\x15\x04", "set/ratings.csv is a Parquet file, not text"),
            (&utf_16, "set/ratings.csv is text in UTF-16: save it in UTF-8"),
            (
                b"userId;movieId;rating;timestamp\n7;1;4.0;9\n",
                "set/ratings.csv: columns are separated by semicolons, expected commas",
            ),
            (b"\x1f\x8b\x08\0", "cannot read set/ratings.csv"),
        ] {
            let files = [("movies.csv", MOVIES), ("ratings.csv", ratings)];
            assert_eq!(load(&files, 0).unwrap_err().to_string(), expected);
        }
        let cut = gzip(RATINGS);
        let files = [("movies.csv", MOVIES), ("ratings.csv.gz", &cut[..cut.len() - 9])];
        assert_eq!(load(&files, 0).unwrap_err().to_string(), "cannot read set/ratings.csv.gz");
    }

    #[test]
    fn grouped_csv_requires_an_uncompressed_plain_file() {
        let grouped = |ratings: &[u8]| {
            let files = [("movies.csv", MOVIES), ("ratings.csv", ratings)];
            crate::samples::source(&files).unwrap().survey(&Options::default()).unwrap().grouped_csv
        };
        assert!(grouped(RATINGS));
        assert!(!grouped(&gzip(RATINGS)));
        for row in ["7,1,4.0,9.0", "7.0,1,4.0,9", "7,1,4.0,1970-01-01 00:00:09", "\"7\",1,4.0,9"] {
            assert!(
                !grouped(format!("userId,movieId,rating,timestamp\n{row}\n").as_bytes()),
                "{row}"
            );
        }
    }

    #[test]
    fn format_is_detected_by_file_names() {
        let format = |names: &[&str]| {
            let files: Vec<_> = names.iter().map(|&name| (name, &b""[..])).collect();
            Source::in_memory("set", &files).map(|source| source.format())
        };
        assert_eq!(format(&["movies.csv", "ratings.csv", "tags.csv"]).unwrap(), Format::Latest);
        assert_eq!(format(&["ratings.dat", "users.dat", "movies.dat"]).unwrap(), Format::Ml1m);
        assert_eq!(format(&["u.data", "u.item", "movies.csv"]).unwrap(), Format::Ml100k);
        assert_eq!(
            format(&["movies.csv", "links.csv"]).unwrap_err().to_string(),
            "no MovieLens data set in set: looked for movies.csv and ratings.csv (ratings.csv is \
             missing), or movies.dat and ratings.dat, or u.item and u.data"
        );
        assert_eq!(
            format(&["movies.csv", "ratings.csv", "u.item", "u.data"]).unwrap_err().to_string(),
            "several MovieLens data sets in set: MovieLens CSV (movies.csv, ratings.csv) and \
             MovieLens 100K (u.item, u.data); use one folder per data set"
        );
    }
}
