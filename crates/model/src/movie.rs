use crate::ids::IdIndex;
use crate::{Error, Genre, GenreSet, Genres, MovieId, MovieIndex};

/// A movie of a data set, before it is added to a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovieRecord {
    /// The id in the data set.
    pub id: MovieId,
    /// The title without the release year.
    pub title: String,
    /// The release year, if the title contains one.
    pub year: Option<u16>,
    /// Genre names in the order of the data set; empty for `(no genres listed)`.
    pub genres: Vec<String>,
    /// The IMDb id, if known: digits with leading zeros.
    pub imdb_id: Option<String>,
    /// The TMDB id, if known.
    pub tmdb_id: Option<String>,
}

/// A movie of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movie {
    /// The id in the data set.
    pub id: MovieId,
    /// The title without the release year.
    pub title: Box<str>,
    /// The release year, if the title contains one.
    pub year: Option<u16>,
    /// The genres in the order of the data set.
    pub genres: Box<[Genre]>,
    /// The same genres as a set.
    pub genre_set: GenreSet,
    /// The IMDb id, if known: digits with leading zeros.
    pub imdb_id: Option<Box<str>>,
    /// The TMDB id, if known.
    pub tmdb_id: Option<Box<str>>,
}

/// The movies of a data set in order of id, and their genre names. Reading ratings requires them.
#[derive(Debug, Clone, Default)]
pub struct Movies {
    list: Vec<Movie>,
    ids: IdIndex,
    genres: Genres,
}

impl Movies {
    /// Maximum number of movies: a packed rating has 28 bits for the index.
    pub const MAX_LEN: usize = 1 << 28;

    /// Sorts the records by id and assigns each a [`MovieIndex`].
    ///
    /// # Errors
    /// If two records have the same id, or there are more than 2^28 movies or 64 genres.
    pub fn new(mut records: Vec<MovieRecord>) -> Result<Self, Error> {
        if records.len() > Self::MAX_LEN {
            return Err(Error::TooManyMovies(records.len()));
        }
        records.sort_by_key(|record| record.id);
        if let Some(pair) = records.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(Error::DuplicateMovie(pair[0].id));
        }
        let genres = Genres::new(
            records.iter().flat_map(|record| record.genres.iter().map(String::as_str)),
        )?;
        let ids = IdIndex::new(records.iter().map(|record| record.id.0).collect());
        let list = records
            .into_iter()
            .map(|record| {
                let mut genre_set = GenreSet::EMPTY;
                let mut list = Vec::with_capacity(record.genres.len());
                for genre in record.genres.iter().filter_map(|name| genres.find(name)) {
                    if !genre_set.contains(genre) {
                        genre_set.insert(genre);
                        list.push(genre);
                    }
                }
                Movie {
                    id: record.id,
                    title: record.title.into(),
                    year: record.year,
                    genres: list.into(),
                    genre_set,
                    imdb_id: record.imdb_id.map(Into::into),
                    tmdb_id: record.tmdb_id.map(Into::into),
                }
            })
            .collect();
        Ok(Self { list, ids, genres })
    }

    /// Returns the index of the movie with this id.
    pub fn index_of(&self, id: MovieId) -> Option<MovieIndex> {
        self.ids.index_of(id.0).map(MovieIndex)
    }

    /// All movies, in order of id.
    pub fn as_slice(&self) -> &[Movie] {
        &self.list
    }

    /// The genre names.
    pub fn genres(&self) -> &Genres {
        &self.genres
    }
}

#[cfg(test)]
pub(crate) fn record(id: u32, title: &str, year: u16, genres: &[&str]) -> MovieRecord {
    MovieRecord {
        id: MovieId(id),
        title: title.to_owned(),
        year: (year != 0).then_some(year),
        genres: genres.iter().map(|&genre| genre.to_owned()).collect(),
        imdb_id: None,
        tmdb_id: None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn movies_are_sorted_by_id_and_genres_keep_their_order() {
        let movies = Movies::new(vec![
            record(7, "Later", 2001, &["War", "Comedy", "War"]),
            record(2, "Earlier", 1990, &["Drama"]),
        ])
        .unwrap();
        assert_eq!(movies.index_of(MovieId(2)), Some(MovieIndex(0)));
        assert_eq!(movies.index_of(MovieId(3)), None);
        let later = &movies.as_slice()[1];
        let names: Vec<&str> = later.genres.iter().map(|&g| movies.genres().name(g)).collect();
        assert_eq!(names, ["War", "Comedy"]);
        assert_eq!(later.genre_set.len(), 2);
    }

    #[test]
    fn duplicate_id_is_an_error() {
        let twice = vec![record(7, "One", 0, &[]), record(7, "Two", 0, &[])];
        assert_eq!(Movies::new(twice).unwrap_err(), Error::DuplicateMovie(MovieId(7)));
    }
}
