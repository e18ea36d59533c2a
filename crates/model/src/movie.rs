use crate::ids::IdIndex;
use crate::{Error, Genre, GenreSet, Genres, MovieId, MovieIndex};

/// A movie as a data set describes it, before it has a place in a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovieRecord {
    /// The id in the data set.
    pub id: MovieId,
    /// The title without the release year.
    pub title: String,
    /// The release year, where the title has one.
    pub year: Option<u16>,
    /// Genre names in the order of the data set; none for `(no genres listed)`.
    pub genres: Vec<String>,
    /// The id at IMDb, digits with leading zeros, where it is known.
    pub imdb_id: Option<String>,
    /// The id at TMDB, where it is known.
    pub tmdb_id: Option<String>,
}

/// A movie of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movie {
    /// The id in the data set.
    pub id: MovieId,
    /// The title without the release year.
    pub title: Box<str>,
    /// The release year, where the title has one.
    pub year: Option<u16>,
    /// The genres in the order of the data set.
    pub genres: Box<[Genre]>,
    /// The same genres as a set.
    pub genre_set: GenreSet,
    /// The id at IMDb, digits with leading zeros, where it is known.
    pub imdb_id: Option<Box<str>>,
    /// The id at TMDB, where it is known.
    pub tmdb_id: Option<Box<str>>,
}

/// The movies of a data set in order of id, with their genre names: the part of a catalogue that
/// must be known before ratings can be read.
#[derive(Debug, Clone, Default)]
pub struct Movies {
    list: Vec<Movie>,
    ids: IdIndex,
    genres: Genres,
}

impl Movies {
    /// Most movies that a catalogue can hold: an index has 28 bits inside a packed rating.
    pub const MAX_LEN: usize = 1 << 28;

    /// Sorts the records by id and gives each its [`MovieIndex`].
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

    /// The position of the movie with this id.
    pub fn index_of(&self, id: MovieId) -> Option<MovieIndex> {
        self.ids.position(id.0).map(MovieIndex)
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
    fn movies_are_in_order_of_id_and_genres_keep_theirs() {
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
    fn an_id_cannot_occur_twice() {
        let twice = vec![record(7, "One", 0, &[]), record(7, "Two", 0, &[])];
        assert_eq!(Movies::new(twice).unwrap_err(), Error::DuplicateMovie(MovieId(7)));
    }
}
