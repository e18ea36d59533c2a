use std::cmp::Reverse;

use sparrow_model::{Catalog, Genre, GenreSet, History, UserIndex};

/// How many of a user's favourite genres recall looks at.
const FAVOURITES: usize = 5;

/// The favourite genres of every user of a catalogue, found once.
#[derive(Debug)]
pub(crate) struct FavouriteGenres {
    genres: Vec<Genre>,
    /// Those of user `u`: `genres[starts[u]..starts[u + 1]]`.
    starts: Vec<u32>,
}

impl FavouriteGenres {
    /// `sets` are the genres of the catalogue's movies.
    pub(crate) fn new(catalog: &Catalog, sets: &[GenreSet]) -> Self {
        let mut genres = Vec::with_capacity(catalog.users().len() * FAVOURITES);
        let mut starts = vec![0];
        for history in catalog.users().iter() {
            genres.extend(favourites(&history, catalog, sets));
            starts.push(genres.len() as u32);
        }
        Self { genres, starts }
    }

    pub(crate) fn of(&self, user: UserIndex) -> &[Genre] {
        &self.genres[self.starts[user.at()] as usize..self.starts[user.at() + 1] as usize]
    }
}

/// Genres of liked movies by count, ties by name; the first few.
fn favourites(
    history: &History<'_>,
    catalog: &Catalog,
    sets: &[GenreSet],
) -> impl Iterator<Item = Genre> + use<> {
    let mut liked = [0_u32; 64];
    for rated in history.iter().filter(|rated| rated.stars.is_liked()) {
        for genre in sets[rated.movie.at()].iter() {
            liked[genre.at()] += 1;
        }
    }
    let mut genres: Vec<Genre> =
        catalog.genres().iter().filter(|genre| liked[genre.at()] > 0).collect();
    genres.sort_by_key(|genre| Reverse(liked[genre.at()]));
    genres.into_iter().take(FAVOURITES)
}
