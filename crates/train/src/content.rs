use std::ops::RangeInclusive;

use sparrow_model::Catalog;

use super::trainer::UNKNOWN;

/// The first and the last decade with an own feature. Earlier and later movies have that of the nearest.
const DECADES: RangeInclusive<u16> = 192..=202;

/// Features of movies for which each user has weights: the genres, each divided by the square root of their number, and
/// the decade of the release.
///
/// Every movie's features have the same length as vectors, so that movies with many genres count no more than others.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    /// The number of features.
    width: usize,
    /// The features by row of the embedding tables; zeros for the row of unknown ids.
    values: Vec<f32>,
}

impl Content {
    /// The features of a catalogue's movies; `rows` are their rows, by index.
    pub(super) fn new(catalog: &Catalog, rows: &[u32]) -> Self {
        let genres = catalog.genres().len();
        let width = genres + DECADES.len();
        let count = rows.iter().max().map_or(1, |&last| last as usize + 1);
        let mut values = vec![0.0; count * width];
        for (movie, &row) in catalog.movies().iter().zip(rows) {
            if row == UNKNOWN {
                continue;
            }
            let of_row = &mut values[row as usize * width..][..width];
            for genre in movie.genre_set.iter() {
                of_row[genre.index()] = 1.0 / (movie.genre_set.len() as f32).sqrt();
            }
            if let Some(year) = movie.year {
                let decade = (year / 10).clamp(*DECADES.start(), *DECADES.end());
                of_row[genres + usize::from(decade - DECADES.start())] = 1.0;
            }
        }
        Self { width, values }
    }

    /// The number of features.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// The features of a row.
    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::{Histories, MovieId, MovieRecord, Movies};

    use super::*;

    impl Content {
        /// One feature per row, of `width` features.
        pub(crate) fn of_rows(width: usize, rows: impl Iterator<Item = Option<usize>>) -> Self {
            let mut values = Vec::new();
            for feature in rows {
                let start = values.len();
                values.resize(start + width, 0.0);
                if let Some(feature) = feature {
                    values[start + feature] = 1.0;
                }
            }
            Self { width, values }
        }
    }

    #[test]
    fn features_are_scaled_genres_and_the_decade() {
        let record = |id, year, genres: &[&str]| MovieRecord {
            id: MovieId(id),
            title: String::new(),
            year,
            genres: genres.iter().map(|&genre| genre.to_owned()).collect(),
            imdb_id: None,
            tmdb_id: None,
        };
        let movies = Movies::new(vec![
            record(1, Some(1994), &["Comedy", "Drama"]),
            record(2, None, &[]),
            record(3, Some(1902), &["Drama"]),
            record(4, Some(2020), &["Comedy"]),
        ]);
        let catalog = Catalog::new(movies.unwrap(), Histories::default());
        // The fourth movie has no rating in training.
        let content = Content::new(&catalog, &[1, 2, 3, UNKNOWN]);
        let half = 0.5_f32.sqrt();
        let row = |row: usize| {
            let features = content.row(row).iter().enumerate();
            features.filter(|(_, value)| **value != 0.0).map(|(at, &value)| (at, value)).collect()
        };
        let rows: [Vec<(usize, f32)>; 4] = std::array::from_fn(row);
        assert_eq!(content.width(), 2 + 11);
        assert_eq!(
            rows,
            [vec![], vec![(0, half), (1, half), (2 + 7, 1.0)], vec![], vec![(1, 1.0), (2, 1.0)]]
        );
    }
}
