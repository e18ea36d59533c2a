use sparrow_model::{Catalog, Genre, GenreCounts, GenreSet, History, UserIndex};
use sparrow_recall::FAVOURITE_GENRES;

use crate::Engine;

/// Appends the favourite genres of a user with this history: the genres of liked movies, most liked first, ties by
/// name. `genre_sets` are the genre sets of the catalogue's movies.
fn favourites(history: &History<'_>, genre_sets: &[GenreSet], genres: &mut Vec<Genre>) {
    let mut liked = GenreCounts::default();
    for rated in history.iter().filter(|rated| rated.stars.is_liked()) {
        liked.add(genre_sets[rated.movie.index()]);
    }
    genres.extend(liked.top::<FAVOURITE_GENRES>().into_iter().flatten());
}

impl Engine {
    /// The favourite genres that recall uses for a user with this history: the genres of liked movies, most liked first,
    /// ties by name; at most five.
    ///
    /// # Panics
    /// If the history contains movies that are not in the catalogue.
    pub fn favourite_genres(&self, history: &History<'_>) -> Vec<Genre> {
        let mut genres = Vec::new();
        favourites(history, &self.genre_sets, &mut genres);
        genres
    }
}

/// The favourite genres of every user of a catalogue, computed once.
#[derive(Debug)]
pub(crate) struct FavouriteGenres {
    genres: Vec<Genre>,
    /// The genres of user `u` are `genres[starts[u]..starts[u + 1]]`.
    starts: Vec<u32>,
}

impl FavouriteGenres {
    pub(crate) fn new(catalog: &Catalog, genre_sets: &[GenreSet]) -> Self {
        let mut genres = Vec::with_capacity(catalog.users().len() * FAVOURITE_GENRES);
        let mut starts = vec![0];
        for history in catalog.users().iter() {
            favourites(&history, genre_sets, &mut genres);
            starts.push(genres.len() as u32);
        }
        Self { genres, starts }
    }

    pub(crate) fn of(&self, user: UserIndex) -> &[Genre] {
        &self.genres[self.starts[user.index()] as usize..self.starts[user.index() + 1] as usize]
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::{
        MovieId, MovieIndex, MovieRecord, Movies, RatingLog, Stars, UserId, UserProfile,
    };

    use super::*;

    /// The profile, which the pages show, counts the same genres.
    #[test]
    fn favourites_are_the_first_genres_of_the_profile() {
        let record = |id: u32| MovieRecord {
            id: MovieId(id),
            title: format!("Movie {id}"),
            year: None,
            genres: (0..9).filter(|g| id >> g & 1 == 1).map(|g| format!("Genre {g}")).collect(),
            imdb_id: None,
            tmdb_id: None,
        };
        let movies = Movies::new((0..512).map(record).collect()).unwrap();
        let mut log = RatingLog::default();
        for user in 0..40 {
            for step in 0..user * 2 {
                let movie = MovieIndex((user * 37 + step * 101) % 512);
                let stars = Stars::from_half_stars((step * 7 % 10) as u8 + 1).unwrap();
                log.push(UserId(user), movie, stars, step);
            }
        }
        let catalog = Catalog::new(movies, log.into_histories().0);
        let sets: Vec<GenreSet> = catalog.movies().iter().map(|movie| movie.genre_set).collect();
        let all = FavouriteGenres::new(&catalog, &sets);
        for (index, history) in catalog.users().iter().enumerate() {
            let tastes = UserProfile::new(&history, &catalog).favourite_genres;
            let expected: Vec<Genre> = tastes.iter().take(5).map(|taste| taste.genre).collect();
            assert_eq!(all.of(UserIndex(index as u32)), expected);
        }
    }
}
