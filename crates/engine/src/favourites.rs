use sparrow_model::{Catalog, Genre, History, UserIndex, UserProfile};

/// How many of a user's favourite genres recall looks at.
const FAVOURITES: usize = 5;

/// The genres that recall goes by for a user with this history: those of liked movies, most liked
/// first, at most five.
pub fn favourite_genres(history: &History<'_>, catalog: &Catalog) -> impl Iterator<Item = Genre> {
    let tastes = UserProfile::new(history, catalog).favourite_genres;
    tastes.into_iter().take(FAVOURITES).map(|taste| taste.genre)
}

/// The favourite genres of every user of a catalogue, found once.
#[derive(Debug)]
pub(crate) struct FavouriteGenres {
    genres: Vec<Genre>,
    /// Those of user `u`: `genres[starts[u]..starts[u + 1]]`.
    starts: Vec<u32>,
}

impl FavouriteGenres {
    pub(crate) fn new(catalog: &Catalog) -> Self {
        let mut genres = Vec::with_capacity(catalog.users().len() * FAVOURITES);
        let mut starts = vec![0];
        for history in catalog.users().iter() {
            genres.extend(favourite_genres(&history, catalog));
            starts.push(genres.len() as u32);
        }
        Self { genres, starts }
    }

    pub(crate) fn of(&self, user: UserIndex) -> &[Genre] {
        &self.genres[self.starts[user.at()] as usize..self.starts[user.at() + 1] as usize]
    }
}
