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
mod tests {
    use sparrow_model::UserProfile;
    use sparrow_test_support::catalogue;

    use super::*;

    /// The profile, which the pages show, counts the same genres.
    #[test]
    fn favourites_are_the_first_genres_of_the_profile() {
        let movies = (0..512).map(|id: u32| {
            let genres = (0..9).filter(|g| id >> g & 1 == 1).map(|g| format!("Genre {g}"));
            catalogue::movie(id, None, genres)
        });
        let steps = (0..40).flat_map(|user| (0..user * 2).map(move |step| (user, step)));
        let ratings = steps.map(|(user, step)| {
            (user, (user * 37 + step * 101) % 512, (step * 7 % 10) as u8 + 1, step)
        });
        let catalog = catalogue::catalog(movies, ratings);
        let sets: Vec<GenreSet> = catalog.movies().iter().map(|movie| movie.genre_set).collect();
        let all = FavouriteGenres::new(&catalog, &sets);
        for (index, history) in catalog.users().iter().enumerate() {
            let tastes = UserProfile::new(&history, &catalog).favourite_genres;
            let expected: Vec<Genre> = tastes.iter().take(5).map(|taste| taste.genre).collect();
            assert_eq!(all.of(UserIndex(index as u32)), expected);
        }
    }
}
