use crate::{Catalog, Genre, History, Stars};

/// How a user rates: figures over the whole history.
#[derive(Debug, Clone, PartialEq)]
pub struct UserProfile {
    /// Number of ratings.
    pub rating_count: usize,
    /// Mean rating in stars; 0 without ratings.
    pub average: f64,
    /// Greatest rating given.
    pub highest: Option<Stars>,
    /// Least rating given.
    pub lowest: Option<Stars>,
    /// The genres of liked movies by count, ties by name.
    pub favourite_genres: Vec<GenreTaste>,
}

/// How much of a genre a user has rated and liked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenreTaste {
    /// The genre.
    pub genre: Genre,
    /// Rated movies of the genre.
    pub rated: u32,
    /// Liked ones among them: at least one.
    pub liked: u32,
}

impl UserProfile {
    /// Computes the figures from the history.
    pub fn new(history: &History<'_>, catalog: &Catalog) -> Self {
        let mut tastes: Vec<GenreTaste> =
            catalog.genres().iter().map(|genre| GenreTaste { genre, rated: 0, liked: 0 }).collect();
        let (mut highest, mut lowest) = (None, None);
        for rated in history.iter() {
            highest = highest.max(Some(rated.stars));
            lowest = Some(lowest.map_or(rated.stars, |least: Stars| least.min(rated.stars)));
            for genre in catalog.movie(rated.movie).genre_set.iter() {
                let taste = &mut tastes[genre.at()];
                taste.rated += 1;
                taste.liked += u32::from(rated.stars.is_liked());
            }
        }
        tastes.retain(|taste| taste.liked > 0);
        // Stable, and the genres are in order of name: so ties break by name.
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
