use crate::{Catalog, Genre, History, Stars};

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
        let mut tastes: Vec<GenreTaste> =
            catalog.genres().iter().map(|genre| GenreTaste { genre, rated: 0, liked: 0 }).collect();
        let (mut highest, mut lowest) = (None, None);
        for rated in history.iter() {
            highest = highest.max(Some(rated.stars));
            lowest = Some(lowest.map_or(rated.stars, |least: Stars| least.min(rated.stars)));
            for genre in catalog.movie(rated.movie).genre_set.iter() {
                let taste = &mut tastes[genre.index()];
                taste.rated += 1;
                taste.liked += u32::from(rated.stars.is_liked());
            }
        }
        tastes.retain(|taste| taste.liked > 0);
        // A stable sort of the genres in order of name: ties break by name.
        tastes.sort_by_key(|taste| std::cmp::Reverse(taste.liked));
        Self {
            rating_count: history.len(),
            average: history.average(),
            highest,
            lowest,
            favourite_genres: tastes,
        }
    }
}
