//! Conditions on movies that several endpoints take: movies, genres and release years that are left out.

use sparrow_model::{GenreSet, MovieId, MovieIndex};

use crate::parameters::query::Value;
use crate::response::problem::Problem;
use crate::state::snapshot::Snapshot;

/// The movies that a request leaves out.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) exclude: Vec<MovieIndex>,
    pub(crate) exclude_genres: GenreSet,
    pub(crate) min_year: Option<u16>,
}

impl Conditions {
    /// Reads `exclude`, `exclude_genres` and `min_year`.
    pub(crate) fn read(
        snapshot: &Snapshot,
        [exclude, exclude_genres, min_year]: [&Value<'_>; 3],
    ) -> Result<Self, Problem> {
        let catalog = snapshot.catalog();
        let mut movies = Vec::new();
        exclude.each_id(|id| movies.extend(catalog.index_of(MovieId(id))))?;
        let min_year = u16::try_from(min_year.number()?).ok().filter(|&year| year > 0);
        let exclude_genres = snapshot.genre_set(exclude_genres)?;
        Ok(Self { exclude: movies, exclude_genres, min_year })
    }

    /// Whether every movie meets them.
    pub(crate) fn is_empty(&self) -> bool {
        self.exclude.is_empty() && self.exclude_genres.is_empty() && self.min_year.is_none()
    }

    /// Whether a movie meets them.
    pub(crate) fn accept(&self, snapshot: &Snapshot, movie: MovieIndex) -> bool {
        let known = snapshot.catalog().movie(movie);
        !known.genre_set.intersects(self.exclude_genres)
            && (self.min_year.is_none() || known.year >= self.min_year)
            && !self.exclude.contains(&movie)
    }
}
