use std::fmt;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use sparrow_model::{Catalog, Histories, Movie, Movies, RatingLog, UserId};

use crate::outline::{Findings, Outline};
use crate::ratings::{self, Division, Gathered};
use crate::report::BadLines;
use crate::{Error, Report, movies};

/// The file formats in which MovieLens data sets come.
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

    /// The files with the movies and with the ratings.
    pub(crate) const fn files(self) -> [&'static str; 2] {
        match self {
            Self::Latest => ["movies.csv", "ratings.csv"],
            Self::Ml1m => ["movies.dat", "ratings.dat"],
            Self::Ml100k => ["u.item", "u.data"],
        }
    }

    /// The file that may be missing.
    const fn extra(self) -> Option<&'static str> {
        match self {
            Self::Latest => Some("links.csv"),
            Self::Ml1m => None,
            Self::Ml100k => Some("u.genre"),
        }
    }
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

/// How to read a data set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// How many bad lines in the whole data set are skipped and reported; one more is an error.
    /// A movie whose line is skipped makes its ratings bad lines too, since nobody knows it then.
    pub max_bad_lines: usize,
}

/// A data set in memory.
#[derive(Debug)]
pub struct Loaded {
    /// The movies, users and ratings.
    pub catalog: Catalog,
    /// What was found, and what was skipped.
    pub report: Report,
}

/// A data set in memory, without the indexes of a [`Catalog`].
#[derive(Debug)]
pub struct LoadedHistories {
    /// The movies.
    pub movies: Movies,
    /// The users and their ratings.
    pub histories: Histories,
    /// What was found, and what was skipped.
    pub report: Report,
}

/// What is known of a data set after a look at every line.
#[derive(Debug)]
pub struct Survey {
    /// The movies.
    pub movies: Movies,
    /// What was found, and what was skipped. Users are counted right, and duplicates left out, only
    /// where [`grouped_csv`](Self::grouped_csv) holds.
    pub report: Report,
    /// The greatest user id; none without ratings.
    pub greatest_user: Option<UserId>,
    /// Whether `ratings.csv` can be read by any reader of CSV as it is: it has the columns userId,
    /// movieId, rating, timestamp in this order and plain numbers in them, no bad lines and no
    /// duplicates, and is sorted by user id, as GroupLens publishes it.
    pub grouped_csv: bool,
}

/// A data set that has been recognised by its files.
#[derive(Debug, Clone)]
pub struct Source {
    pub(crate) format: Format,
    pub(crate) movies: Input,
    pub(crate) ratings: Input,
    /// `links.csv` or `u.genre`, where it is there.
    pub(crate) extra: Option<Input>,
}

impl Source {
    /// Recognises the data set in a folder by its files, which it does not read yet.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let folder = dir.display().to_string();
        if let Err(source) = fs::read_dir(dir) {
            return Err(Error::Io { file: folder, source });
        }
        let has = |name: &str| dir.join(name).is_file();
        let format = detect(&folder, &has, || hint(dir))?;
        Ok(Self::with(format, &has, |name| Input::path(dir.join(name))))
    }

    /// The same for files in memory: `files` are names such as `movies.csv` and contents; `name`
    /// stands for the folder in messages.
    pub fn in_memory(name: &str, files: &[(&str, &'static [u8])]) -> Result<Self, Error> {
        let find = |wanted: &str| files.iter().find(|(name, _)| *name == wanted);
        let has = |wanted: &str| find(wanted).is_some();
        let format = detect(name, &has, String::new)?;
        Ok(Self::with(format, &has, |wanted| Input {
            name: format!("{name}/{wanted}"),
            data: Data::Memory(find(wanted).map_or(&[], |(_, bytes)| bytes)),
        }))
    }

    fn with(format: Format, has: &dyn Fn(&str) -> bool, input: impl Fn(&str) -> Input) -> Self {
        let [movies, ratings] = format.files();
        Self {
            format,
            movies: input(movies),
            ratings: input(ratings),
            extra: format.extra().filter(|name| has(name)).map(input),
        }
    }

    /// How messages call the file with the ratings: its path, for a data set in a folder.
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
        self.load_divided(options, Division::for_this_machine())
    }

    pub(crate) fn load_divided(
        &self,
        options: &Options,
        division: Division,
    ) -> Result<Loaded, Error> {
        let LoadedHistories { movies, histories, report } = self.histories(options, division)?;
        Ok(Loaded { catalog: Catalog::new(movies, histories), report })
    }

    /// Reads all files, on all cores, and stops short of the indexes of a catalogue.
    ///
    /// # Errors
    /// As those of [`load`](Self::load).
    pub fn load_histories(&self, options: &Options) -> Result<LoadedHistories, Error> {
        self.histories(options, Division::for_this_machine())
    }

    fn histories(&self, options: &Options, division: Division) -> Result<LoadedHistories, Error> {
        let MoviesRead { movies, unknown_links, mut bad } = self.movies(options)?;
        let log: RatingLog = ratings::read(self, &movies, &mut bad, division)?.rows;
        bad.check(options.max_bad_lines)?;
        let (histories, duplicates) = log.into_histories();
        let (users, ratings) = (histories.len(), histories.rating_count());
        let report =
            self.report(&movies, Counts { users, ratings, duplicates, unknown_links }, bad);
        Ok(LoadedHistories { movies, histories, report })
    }

    /// Reads all files, on all cores, checks every line, and keeps the movies alone.
    ///
    /// # Errors
    /// As those of [`load`](Self::load).
    pub fn survey(&self, options: &Options) -> Result<Survey, Error> {
        let MoviesRead { movies, unknown_links, mut bad } = self.movies(options)?;
        let read: Gathered<Outline> =
            ratings::read(self, &movies, &mut bad, Division::for_this_machine())?;
        bad.check(options.max_bad_lines)?;
        let Findings { rows, greatest_user, grouped, users } = read.rows.findings();
        let ready = self.format == Format::Latest && read.unusual == 0 && bad.count == 0;
        let counts =
            Counts { users: users as usize, ratings: rows as usize, duplicates: 0, unknown_links };
        let report = self.report(&movies, counts, bad);
        Ok(Survey { movies, report, greatest_user, grouped_csv: ready && grouped })
    }

    /// Reads the movies of a folder that may have no ratings, or has them in some other form. The
    /// report knows of no users and ratings.
    ///
    /// # Errors
    /// As those of [`open`](Self::open) and [`load`](Self::load).
    pub fn load_movies(dir: &Path, options: &Options) -> Result<(Movies, Report), Error> {
        let folder = dir.display().to_string();
        let has = |name: &str| {
            let ratings = Format::ALL.iter().any(|format| format.files()[1] == name);
            ratings || dir.join(name).is_file()
        };
        let format = detect(&folder, &has, || hint(dir))?;
        let source = Self::with(format, &has, |name| Input::path(dir.join(name)));
        let MoviesRead { movies, unknown_links, bad } = source.movies(options)?;
        let counts = Counts { users: 0, ratings: 0, duplicates: 0, unknown_links };
        let report = source.report(&movies, counts, bad);
        Ok((movies, report))
    }

    fn movies(&self, options: &Options) -> Result<MoviesRead, Error> {
        let mut bad = BadLines::default();
        let (movies, unknown_links) = movies::read(self, &mut bad)?;
        // Ratings of movies that were skipped would only hide the cause.
        bad.check(options.max_bad_lines)?;
        if movies.as_slice().is_empty() {
            return Err(Error::NoMovies { file: self.movies.name.clone() });
        }
        Ok(MoviesRead { movies, unknown_links, bad })
    }

    fn report(&self, movies: &Movies, counts: Counts, bad: BadLines) -> Report {
        let count = |test: fn(&Movie) -> bool| movies.as_slice().iter().filter(|m| test(m)).count();
        Report {
            format: self.format,
            movies: movies.as_slice().len(),
            users: counts.users,
            ratings: counts.ratings,
            movies_without_year: count(|movie| movie.year.is_none()),
            movies_without_genres: count(|movie| movie.genres.is_empty()),
            duplicates: counts.duplicates,
            unknown_links: counts.unknown_links,
            bad_line_count: bad.count,
            bad_lines: bad.first,
        }
    }
}

struct MoviesRead {
    movies: Movies,
    unknown_links: usize,
    bad: BadLines,
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    users: usize,
    ratings: usize,
    duplicates: usize,
    unknown_links: usize,
}

fn detect(
    folder: &str,
    has: &dyn Fn(&str) -> bool,
    hint: impl FnOnce() -> String,
) -> Result<Format, Error> {
    let complete: Vec<Format> =
        Format::ALL.into_iter().filter(|format| format.files().into_iter().all(has)).collect();
    match complete[..] {
        [format] => Ok(format),
        [] => {
            let looked_for = Format::ALL.map(|format| {
                let [movies, ratings] = format.files();
                let state = match (has(movies), has(ratings)) {
                    (true, false) => format!(" ({ratings} is missing)"),
                    (false, true) => format!(" ({movies} is missing)"),
                    _ => String::new(),
                };
                format!("{movies} and {ratings}{state}")
            });
            let detail = format!("looked for {}{}", looked_for.join(", or "), hint());
            Err(Error::NotFound { folder: folder.to_owned(), detail })
        }
        _ => {
            let found: Vec<String> = complete
                .iter()
                .map(|format| format!("{} ({})", format, format.files().join(", ")))
                .collect();
            Err(Error::Ambiguous { folder: folder.to_owned(), detail: found.join(" and ") })
        }
    }
}

/// Names a sub-folder that looks like a data set: people often unpack one level too deep.
fn hint(dir: &Path) -> String {
    let Ok(entries) = fs::read_dir(dir) else { return String::new() };
    let mut candidates: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let has = |name: &str| path.join(name).is_file();
            Format::ALL.into_iter().any(|format| format.files().into_iter().all(has))
        })
        .collect();
    candidates.sort();
    match candidates.first() {
        Some(path) => format!("; {} looks like one", path.display()),
        None => String::new(),
    }
}

/// One file of a data set.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// How messages call it.
    pub(crate) name: String,
    data: Data,
}

#[derive(Debug, Clone)]
enum Data {
    Path(PathBuf),
    Memory(&'static [u8]),
}

/// Readable from anywhere. Each thread opens its own, so that nobody moves another's position.
pub(crate) trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

impl Input {
    fn path(path: PathBuf) -> Self {
        Self { name: path.display().to_string(), data: Data::Path(path) }
    }

    pub(crate) fn open(&self) -> Result<Box<dyn ReadSeek>, Error> {
        Ok(match &self.data {
            Data::Path(path) => Box::new(File::open(path).map_err(|source| self.io_error(source))?),
            Data::Memory(bytes) => Box::new(Cursor::new(*bytes)),
        })
    }

    /// The whole content, for the small files.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        let read = self.open()?.read_to_end(&mut content);
        read.map_err(|source| self.io_error(source))?;
        Ok(content)
    }

    pub(crate) fn io_error(&self, source: io::Error) -> Error {
        Error::Io { file: self.name.clone(), source }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart_by_their_files() {
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
             MovieLens 100K (u.item, u.data); keep each in a folder of its own"
        );
    }
}
