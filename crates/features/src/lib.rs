//! Feature definitions: pure functions from a rating history to features.
//!
//! * [`USER`] and [`MOVIE`]: the tables of [`Definition`]s. Hash fields in stores, columns in files, types and
//!   `docs/features.md` follow from them.
//! * [`UserWindow`]: a user's latest 100 ratings, updated incrementally; [`UserWindow::features`] returns
//!   [`UserFeatures`].
//! * [`RatingStats`]: count, mean and standard deviation of ratings, a part of [`MovieFeatures`].
//! * [`SAMPLE_FEATURES`]: the feature columns of training samples.
//!
//! Training samples, the feature store and online updates use the same functions, which prevents
//! training–serving skew. Sums are integers, so incremental and batch computation return identical features.
//! The crate has no I/O.

mod definition;
#[cfg(test)]
mod example;
mod hundredths;
mod movie;
mod stats;
mod user;

pub use definition::{Bounds, Computation, Definition, Entity, NO_GENRE, Value, ValueType, find};
pub use hundredths::Hundredths;
pub use movie::{MOVIE, MOVIE_FIELDS, MovieFeatures};
pub use stats::RatingStats;
pub use user::{
    FAVOURITE_GENRE_FIELDS, RATED_MOVIE_FIELDS, RatedMovie, USER, USER_FIELDS, UserFeatures,
    UserWindow, WINDOW,
};

/// The features of training samples, in the order of their columns.
pub const SAMPLE_FEATURES: [&Definition; sample_columns()] = {
    let mut columns = [&MOVIE[0]; sample_columns()];
    let mut index = 0;
    while index < MOVIE.len() + USER.len() {
        let definition = definition_at(index);
        if let Some(column) = definition.sample_column {
            columns[column] = definition;
        }
        index += 1;
    }
    columns
};

const fn definition_at(index: usize) -> &'static Definition {
    if index < MOVIE.len() { &MOVIE[index] } else { &USER[index - MOVIE.len()] }
}

const fn sample_columns() -> usize {
    let (mut count, mut index) = (0, 0);
    while index < MOVIE.len() + USER.len() {
        count += definition_at(index).sample_column.is_some() as usize;
        index += 1;
    }
    count
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::{GenreSet, Genres, MovieId, MovieRecord, Movies, Stars};

    use super::*;

    #[test]
    fn definitions_are_consistent() {
        for (definitions, entity) in [(USER, Entity::User), (MOVIE, Entity::Movie)] {
            for definition in definitions {
                let name = definition.name;
                assert_eq!(definition.entity(), entity, "{name}");
                assert!(std::ptr::eq(find(definitions, name).unwrap(), definition), "{name}");
                let catalog =
                    matches!(definition.value_type, ValueType::MovieId | ValueType::Genre);
                assert_eq!(definition.bounds == Bounds::Catalog, catalog, "{name}");
            }
        }
        for (column, definition) in SAMPLE_FEATURES.iter().enumerate() {
            assert_eq!(
                definition.sample_column,
                Some(column),
                "{} has its column",
                definition.name
            );
        }
    }

    #[test]
    fn values_have_the_type_and_the_bounds_of_their_definition() {
        let genres: Vec<String> = (0..64).map(|genre| format!("Genre {genre:02}")).collect();
        let record = MovieRecord {
            id: MovieId(u32::MAX),
            title: "Movie".to_owned(),
            year: Some(u16::MAX),
            genres,
            imdb_id: None,
            tmdb_id: None,
        };
        let movies = Movies::new(vec![record]).unwrap();
        let movie = &movies.as_slice()[0];
        let (mut window, mut ratings) = (UserWindow::default(), RatingStats::default());
        for step in 0..=WINDOW {
            let check = |definition: &Definition, value: Value| {
                let expected = match value {
                    Value::Movie(_) => &[ValueType::MovieId][..],
                    Value::Genre(_) => &[ValueType::Genre],
                    Value::Integer(_) => &[ValueType::Count, ValueType::Year],
                    Value::Decimal(_) => &[ValueType::Mean, ValueType::Deviation],
                };
                assert!(expected.contains(&definition.value_type), "{}", definition.name);
                assert!(
                    value.to_bits() <= definition.greatest_bits(),
                    "{} {value:?}",
                    definition.name
                );
            };
            let features = window.features().values();
            USER.iter().zip(features).for_each(|(definition, value)| check(definition, value));
            let features = MovieFeatures::new(movie, &ratings).values();
            MOVIE.iter().zip(features).for_each(|(definition, value)| check(definition, value));

            let stars = if step % 2 == 0 { Stars::MAX } else { Stars::MIN };
            let year = (step % 2 == 0).then_some(u16::MAX).or(Some(1));
            let genres: GenreSet = movie.genre_set;
            window.push(RatedMovie { movie: movie.id, stars, year, genres });
            ratings.add(stars);
        }
        let missing = UserWindow::default().features().values();
        assert_eq!(missing[0].to_bits(), 0);
        assert_eq!(missing[14], Value::Genre(None));
        assert_eq!(
            (missing[14].to_bits(), missing[14].text(&Genres::default())),
            (64, String::new())
        );
    }

    #[test]
    fn the_page_lists_the_definitions() {
        let page = include_str!("../../../docs/features.md");
        let rows: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("| `uf:") || line.starts_with("| `mf:"))
            .collect();
        let expected: Vec<String> =
            USER.iter().chain(MOVIE).map(Definition::documentation).collect();
        assert_eq!(rows, expected);
    }
}
