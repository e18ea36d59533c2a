use crate::{Catalog, Genre, GenreCounts, History, Stars};

/// Statistics of a user's whole rating history.
#[derive(Debug, Clone, PartialEq)]
pub struct UserProfile {
    /// Number of ratings.
    pub rating_count: usize,
    /// Mean rating in stars; 0 without ratings.
    pub average: f64,
    /// Highest rating; `None` without ratings.
    pub highest: Option<Stars>,
    /// Lowest rating; `None` without ratings.
    pub lowest: Option<Stars>,
    /// Genres of liked movies by number of likes, ties by name.
    pub favourite_genres: Vec<GenreTaste>,
}

/// A user's rating counts for a genre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenreTaste {
    /// The genre.
    pub genre: Genre,
    /// Number of rated movies.
    pub rated: u32,
    /// Number of liked movies, at least 1.
    pub liked: u32,
}

impl UserProfile {
    /// Computes the statistics of a history.
    pub fn new(history: &History<'_>, catalog: &Catalog) -> Self {
        let (mut all, mut of_liked) = (GenreCounts::default(), GenreCounts::default());
        let (mut highest, mut lowest) = (None, None);
        for rated in history.iter() {
            highest = highest.max(Some(rated.stars));
            lowest = Some(lowest.map_or(rated.stars, |least: Stars| least.min(rated.stars)));
            let genres = catalog.movie(rated.movie).genre_set;
            all.add(genres);
            if rated.stars.is_liked() {
                of_liked.add(genres);
            }
        }
        let taste =
            |genre| GenreTaste { genre, rated: all.count(genre), liked: of_liked.count(genre) };
        let favourite_genres = of_liked.ranked().into_iter().map(taste).collect();
        Self {
            rating_count: history.len(),
            average: history.average(),
            highest,
            lowest,
            favourite_genres,
        }
    }
}
