//! The movies of a data set, with their genres and links.

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::memmem;
use sparrow_model::{MovieId, MovieRecord, Movies, split_year};

use crate::report::{BadLines, shown};
use crate::source::{Format, Input, Source};
use crate::table::{Table, id, lines, whole, wrong_columns};
use crate::{BadLine, Error};

/// What MovieLens writes for a movie without genres.
pub(crate) const NO_GENRES: &str = "(no genres listed)";

/// The genres of ml-100k in the order of its flags, for folders without `u.genre`.
const ML_100K_GENRES: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

/// Columns of `u.item` before the genre flags: id, title, release date, video release date, URL.
const ML_100K_COLUMNS: usize = 5;

/// Reads the movies and what belongs to them. Returns how many links have no movie, too.
pub(crate) fn read(source: &Source, bad: &mut BadLines) -> Result<(Movies, usize), Error> {
    let content = source.movies.read()?;
    let mut list =
        List { file: &source.movies.name, bad, records: Vec::new(), known: HashMap::new() };
    match source.format {
        Format::Latest => list.read_csv(&content)?,
        Format::Ml1m => list.read_dat(&content),
        Format::Ml100k => list.read_item(&content, source.extra.as_ref())?,
    }
    let List { mut records, known, .. } = list;
    let mut unknown_links = 0;
    if let (Format::Latest, Some(links)) = (source.format, &source.extra) {
        unknown_links = read_links(links, &mut records, &known, bad)?;
    }
    let movies = Movies::new(records)
        .map_err(|error| Error::Model { file: source.movies.name.clone(), source: error })?;
    Ok((movies, unknown_links))
}

struct List<'a> {
    file: &'a str,
    bad: &'a mut BadLines,
    records: Vec<MovieRecord>,
    /// The place of each movie in `records`, and its line.
    known: HashMap<MovieId, (usize, u64)>,
}

impl List<'_> {
    fn read_csv(&mut self, content: &[u8]) -> Result<(), Error> {
        let (mut table, [id, title, genres]) =
            Table::new(self.file, content, ["movieId", "title", "genres"])?;
        while let Some((line, fields)) = table.next() {
            let added = fields.and_then(|fields| {
                let genres = text(fields.get(genres)).split('|');
                self.add(line, fields.get(id), text(fields.get(title)), genres)
            });
            self.note(line, added);
        }
        Ok(())
    }

    /// `id::title::genre|genre`; the title may have `::` in it.
    fn read_dat(&mut self, content: &[u8]) {
        for (line, row) in lines(&decode(content)) {
            let fields = row.split_once("::").and_then(|(id, rest)| {
                let (title, genres) = rest.rsplit_once("::")?;
                Some((id, title, genres))
            });
            let added = match fields {
                Some((id, title, genres)) => {
                    self.add(line, id.as_bytes(), title, genres.split('|'))
                }
                None => Err(wrong_columns(3, memmem::find_iter(row.as_bytes(), "::").count() + 1)),
            };
            self.note(line, added);
        }
    }

    fn read_item(&mut self, content: &[u8], genre_file: Option<&Input>) -> Result<(), Error> {
        let names = match genre_file {
            Some(file) => read_genre_names(file)?,
            None => ML_100K_GENRES.map(str::to_owned).to_vec(),
        };
        for (line, row) in lines(&decode(content)) {
            let fields: Vec<&str> = row.split('|').collect();
            let added = self.add_item(line, &fields, &names);
            self.note(line, added);
        }
        Ok(())
    }

    fn add_item(&mut self, line: u64, fields: &[&str], names: &[String]) -> Result<(), String> {
        let columns = ML_100K_COLUMNS + names.len();
        if fields.len() != columns {
            return Err(wrong_columns(columns, fields.len()));
        }
        let mut genres = Vec::new();
        for (name, &flag) in names.iter().zip(&fields[ML_100K_COLUMNS..]) {
            match flag {
                "0" => {}
                "1" if name == "unknown" => {}
                "1" => genres.push(name.as_str()),
                other => {
                    let other = shown(other.as_bytes());
                    return Err(format!("the flag of genre {name} is {other}, not 0 or 1"));
                }
            }
        }
        self.add(line, fields[0].as_bytes(), fields[1], genres)
    }

    fn add<'a>(
        &mut self,
        line: u64,
        id_field: &[u8],
        title: &str,
        genres: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), String> {
        let movie = MovieId(id("movieId", id_field)?);
        let (title, year) = split_year(title);
        if title.is_empty() {
            return Err("the title is empty".to_owned());
        }
        if let Some((_, earlier)) = self.known.get(&movie) {
            return Err(format!("movieId {movie} is that of line {earlier} too"));
        }
        self.known.insert(movie, (self.records.len(), line));
        self.records.push(MovieRecord {
            id: movie,
            title: title.to_owned(),
            year,
            genres: genres
                .into_iter()
                .map(str::trim)
                .filter(|genre| !genre.is_empty() && *genre != NO_GENRES)
                .map(str::to_owned)
                .collect(),
            imdb_id: None,
            tmdb_id: None,
        });
        Ok(())
    }

    fn note(&mut self, line: u64, added: Result<(), String>) {
        if let Err(what) = added {
            self.bad.push(self.file, line, what);
        }
    }
}

/// Reads `links.csv` into the records. Returns how many rows are of movies that are not there.
fn read_links(
    input: &Input,
    records: &mut [MovieRecord],
    known: &HashMap<MovieId, (usize, u64)>,
    bad: &mut BadLines,
) -> Result<usize, Error> {
    let content = input.read()?;
    let (mut table, [movie, imdb, tmdb]) =
        Table::new(&input.name, &content, ["movieId", "imdbId", "tmdbId"])?;
    let mut linked: HashMap<MovieId, u64> = HashMap::new();
    let mut unknown = 0;
    while let Some((line, fields)) = table.next() {
        let link = fields.and_then(|fields| {
            let movie = MovieId(id("movieId", fields.get(movie))?);
            let (imdb, tmdb) =
                (digits("imdbId", fields.get(imdb))?, digits("tmdbId", fields.get(tmdb))?);
            match linked.insert(movie, line) {
                Some(earlier) => Err(format!("movieId {movie} is that of line {earlier} too")),
                None => Ok((movie, imdb, tmdb)),
            }
        });
        match link {
            Err(what) => bad.push(&input.name, line, what),
            Ok((movie, imdb, tmdb)) => match known.get(&movie) {
                None => unknown += 1,
                Some(&(at, _)) => {
                    records[at].imdb_id = imdb;
                    records[at].tmdb_id = tmdb;
                }
            },
        }
    }
    Ok(unknown)
}

/// An id at another site: blank, or digits whose leading zeros belong to it. Addresses are made of
/// these, so that nothing else may pass.
fn digits(column: &str, text: &[u8]) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > 20 || !text.iter().all(u8::is_ascii_digit) {
        return Err(format!("{column} is {}, not blank or at most 20 digits", shown(text)));
    }
    Ok(Some(text.iter().map(|&digit| char::from(digit)).collect()))
}

/// Reads `u.genre`: `name|number`, numbered from 0 in the order of the flags.
fn read_genre_names(input: &Input) -> Result<Vec<String>, Error> {
    let content = input.read()?;
    let mut names = Vec::new();
    for (line, row) in lines(&decode(&content)) {
        let fields = row.split_once('|');
        let numbered = |(_, number): &(&str, &str)| {
            whole(number.as_bytes()).is_some_and(|number| number as usize == names.len())
        };
        let Some((name, _)) = fields.filter(numbered) else {
            let what = format!("{} is not a name, | and {}", shown(row.as_bytes()), names.len());
            return Err(Error::Malformed(BadLine { file: input.name.clone(), line, what }));
        };
        names.push(name.to_owned());
    }
    Ok(names)
}

/// A field that [`Table`] has checked.
fn text(field: &[u8]) -> &str {
    str::from_utf8(field).unwrap_or_default()
}

/// The old data sets are in Latin-1, ml-10m in UTF-8. Latin-1 text with letters beyond ASCII is next
/// to never valid UTF-8.
fn decode(content: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(content) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(content.iter().map(|&byte| char::from(byte)).collect()),
    }
}
