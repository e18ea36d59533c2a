//! Reads a data set for the reference naively, without code of the program.

use std::fs;
use std::path::Path;

use sparrow_test_support::reference::{Movie, Rating, Reference};

/// Reads a data set in the format of MovieLens' CSV files.
pub(crate) fn read(folder: &Path) -> Reference {
    let movies = fs::read_to_string(folder.join("movies.csv")).unwrap();
    let movies = movies.lines().skip(1).map(|line| {
        let (id, rest) = line.split_once(',').unwrap();
        let (title, genres) = rest.rsplit_once(',').unwrap();
        let title = title.trim_matches('"');
        let year = title.rsplit_once('(').and_then(|(_, end)| end.split_once(')'));
        let year = year.map(|(year, _)| year.trim()).filter(|year| year.len() == 4);
        let genres = if genres == "(no genres listed)" { "" } else { genres };
        let genres = genres.split('|').filter(|genre| !genre.is_empty());
        let movie = Movie {
            year: year.and_then(|year| year.parse().ok()),
            genres: genres.map(str::to_owned).collect(),
        };
        (id.parse().unwrap(), movie)
    });
    let movies = movies.collect();
    let ratings = fs::read_to_string(folder.join("ratings.csv")).unwrap();
    let ratings = ratings.lines().skip(1).map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        Rating {
            user: fields[0].parse().unwrap(),
            movie: fields[1].parse().unwrap(),
            stars: fields[2].parse().unwrap(),
            timestamp: fields[3].parse().unwrap(),
        }
    });
    Reference::new(movies, ratings.collect())
}
