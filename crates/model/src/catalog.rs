use std::cmp::Reverse;

use crate::search::TitleIndex;
use crate::{
    Genre, Genres, Histories, Movie, MovieId, MovieIndex, Movies, SearchHits, Stars, UserId,
};

/// Maximum number of best ratings stored per movie.
const TOP_RATINGS: usize = 10;

/// An order of the movies, best first; ties break by movie id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// By Bayesian average rating.
    Rating,
    /// By release year, newest first; movies without a year come last.
    ReleaseYear,
    /// By number of ratings.
    Popularity,
}

impl Sort {
    /// All orders, in the order of their discriminants.
    const ALL: [Self; 3] = [Self::Rating, Self::ReleaseYear, Self::Popularity];
}

/// Rating statistics of a movie.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MovieStats {
    /// Number of ratings.
    pub count: u32,
    /// Sum of the ratings, in half stars.
    half_stars: u32,
    /// The Bayesian average in stars: (C·m + Σ) / (C + n), where Σ is the sum of the movie's n ratings,
    /// m the mean of all ratings and C the mean number of ratings of a rated movie.
    pub bayesian: f32,
}

impl MovieStats {
    /// Sum of the ratings, in half stars.
    pub const fn half_stars(&self) -> u32 {
        self.half_stars
    }

    /// The mean rating in stars; 0 without ratings.
    pub fn average(&self) -> f64 {
        if self.count == 0 { 0.0 } else { f64::from(self.half_stars) / 2.0 / f64::from(self.count) }
    }
}

/// One of the best ratings of a movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopRating {
    /// The user.
    pub user: UserId,
    /// The rating.
    pub stars: Stars,
    /// Unix time in seconds.
    pub timestamp: u32,
}

/// Movies, rating histories and their indexes. Immutable; share it in an `Arc`.
///
/// ```
/// use sparrow_model::{Catalog, MovieId, MovieRecord, Movies, RatingLog, Sort, Stars, UserId};
///
/// let record = |id, title: &str| MovieRecord {
///     id: MovieId(id),
///     title: title.to_owned(),
///     year: Some(1994),
///     genres: vec!["Drama".to_owned()],
///     imdb_id: None,
///     tmdb_id: None,
/// };
/// let movies = Movies::new(vec![record(1, "Lantern, The"), record(9, "Harbour")])?;
/// let mut log = RatingLog::default();
/// let lantern = movies.index_of(MovieId(1)).expect("it was just added");
/// let harbour = movies.index_of(MovieId(9)).expect("it was just added");
/// log.push(UserId(5), lantern, Stars::LIKED, 964_982_600);
/// log.push(UserId(5), harbour, Stars::MAX, 964_982_703);
/// let (histories, _dropped) = log.into_histories();
///
/// let catalog = Catalog::new(movies, histories);
/// assert_eq!(catalog.ordered(Sort::Rating, None)[0], harbour);
/// assert_eq!(catalog.stats(harbour).average(), 5.0);
/// # Ok::<(), sparrow_model::Error>(())
/// ```
#[derive(Debug)]
pub struct Catalog {
    movies: Movies,
    histories: Histories,
    stats: Vec<MovieStats>,
    /// `top_ratings[top_starts[m]..top_starts[m + 1]]` are the best ratings of movie `m`.
    top_ratings: Vec<TopRating>,
    top_starts: Vec<u32>,
    /// All movies, in each order of [`Sort::ALL`].
    orders: [Vec<MovieIndex>; 3],
    /// The movies of each genre, in the same orders.
    genre_orders: Vec<[Vec<MovieIndex>; 3]>,
    /// The movies without a genre, in the same orders.
    genreless_orders: [Vec<MovieIndex>; 3],
    titles: TitleIndex,
    /// In ascending order.
    hidden: Vec<MovieIndex>,
    mean_rating: f32,
}

impl Catalog {
    /// Computes statistics and indexes. `histories` must use the movie indexes of `movies`.
    ///
    /// # Panics
    /// If a movie index in `histories` is out of range.
    pub fn new(movies: Movies, histories: Histories) -> Self {
        let (stats, tops) = count(&movies, &histories);
        Self::assemble(movies, histories, stats, tops)
    }

    /// Builds a catalogue without histories from aggregated ratings. `sums` returns for each movie the number
    /// of ratings, their sum in half stars, and the best ratings in the order of [`Self::top_ratings`].
    pub fn from_sums(
        movies: Movies,
        mut sums: impl FnMut(MovieId) -> (u32, u32, Vec<TopRating>),
    ) -> Self {
        let (mut stats, mut tops) = (Vec::new(), Vec::new());
        for movie in movies.as_slice() {
            let (count, half_stars, mut top) = sums(movie.id);
            stats.push(MovieStats { count, half_stars, bayesian: 0.0 });
            top.truncate(TOP_RATINGS);
            tops.push(top);
        }
        Self::assemble(movies, Histories::default(), stats, tops)
    }

    /// A catalogue of the same movies with other ratings, which use the same movie indexes.
    ///
    /// # Panics
    /// If a movie index in `histories` is out of range.
    #[must_use]
    pub fn with_histories(&self, histories: Histories) -> Self {
        Self::new(self.movies.clone(), histories)
    }

    fn assemble(
        movies: Movies,
        histories: Histories,
        mut stats: Vec<MovieStats>,
        tops: Vec<Vec<TopRating>>,
    ) -> Self {
        let (ratings, half_stars) = stats.iter().fold((0_u64, 0_u64), |(count, sum), movie| {
            (count + u64::from(movie.count), sum + u64::from(movie.half_stars))
        });
        let rated = stats.iter().filter(|movie| movie.count > 0).count();
        let mean = if ratings == 0 { 0.0 } else { half_stars as f64 / 2.0 / ratings as f64 };
        let prior_votes = if rated == 0 { 1.0 } else { ratings as f64 / rated as f64 };
        for movie in &mut stats {
            let sum = f64::from(movie.half_stars) / 2.0;
            let votes = prior_votes + f64::from(movie.count);
            movie.bayesian = ((prior_votes * mean + sum) / votes) as f32;
        }

        let orders = Sort::ALL.map(|sort| order(sort, movies.as_slice(), &stats));
        let genre_orders = movies
            .genres()
            .iter()
            .map(|genre| {
                let has = |index: &&MovieIndex| {
                    movies.as_slice()[index.index()].genre_set.contains(genre)
                };
                [0, 1, 2].map(|sort: usize| orders[sort].iter().filter(has).copied().collect())
            })
            .collect();
        let genreless_orders = [0, 1, 2].map(|sort: usize| {
            let has_none =
                |index: &&MovieIndex| movies.as_slice()[index.index()].genre_set.is_empty();
            orders[sort].iter().filter(has_none).copied().collect()
        });

        let mut top_starts = Vec::with_capacity(tops.len() + 1);
        let mut top_ratings = Vec::with_capacity(tops.iter().map(Vec::len).sum());
        top_starts.push(0);
        for top in tops {
            top_ratings.extend(top);
            top_starts.push(top_ratings.len() as u32);
        }
        let titles = TitleIndex::new(movies.as_slice(), &[]);
        Self {
            movies,
            histories,
            stats,
            top_ratings,
            top_starts,
            orders,
            genre_orders,
            genreless_orders,
            titles,
            hidden: Vec::new(),
            mean_rating: mean as f32,
        }
    }

    /// Hides movies: no order and no search contains them, and the engine does not recommend them. Their ratings remain
    /// in the histories and in all statistics. Returns the ids that no movie has.
    pub fn hide(&mut self, ids: impl IntoIterator<Item = MovieId>) -> Vec<MovieId> {
        let mut unknown = Vec::new();
        for id in ids {
            match self.index_of(id) {
                Some(index) => self.hidden.push(index),
                None => unknown.push(id),
            }
        }
        self.hidden.sort_unstable();
        self.hidden.dedup();
        if self.hidden.is_empty() {
            return unknown;
        }
        let genre_orders = self.genre_orders.iter_mut().flatten();
        for order in self.orders.iter_mut().chain(genre_orders).chain(&mut self.genreless_orders) {
            order.retain(|movie| self.hidden.binary_search(movie).is_err());
        }
        self.titles = TitleIndex::new(self.movies.as_slice(), &self.hidden);
        unknown
    }

    /// The hidden movies, in order of id.
    pub fn hidden(&self) -> &[MovieIndex] {
        &self.hidden
    }

    /// Whether a movie is hidden.
    pub fn is_hidden(&self, index: MovieIndex) -> bool {
        self.hidden.binary_search(&index).is_ok()
    }

    /// The number of movies, with hidden ones.
    pub fn len(&self) -> usize {
        self.movies.as_slice().len()
    }

    /// Returns whether there are no movies.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All movies, in order of id, with hidden ones.
    pub fn movies(&self) -> &[Movie] {
        self.movies.as_slice()
    }

    /// Returns the movie of an index.
    ///
    /// # Panics
    /// If the index is out of range. The same holds for the other methods that take an index.
    pub fn movie(&self, index: MovieIndex) -> &Movie {
        &self.movies.as_slice()[index.index()]
    }

    /// Returns the index of the movie with this id.
    pub fn index_of(&self, id: MovieId) -> Option<MovieIndex> {
        self.movies.index_of(id)
    }

    /// The rating statistics of a movie.
    pub fn stats(&self, index: MovieIndex) -> &MovieStats {
        &self.stats[index.index()]
    }

    /// The best ratings of a movie, at most ten: highest first, then most recent.
    pub fn top_ratings(&self, index: MovieIndex) -> &[TopRating] {
        let (start, end) = (self.top_starts[index.index()], self.top_starts[index.index() + 1]);
        &self.top_ratings[start as usize..end as usize]
    }

    /// The genre names.
    pub fn genres(&self) -> &Genres {
        self.movies.genres()
    }

    /// All movies, or those of one genre, in a precomputed order, without hidden ones.
    pub fn ordered(&self, sort: Sort, genre: Option<Genre>) -> &[MovieIndex] {
        let orders = match genre {
            Some(genre) => &self.genre_orders[genre.index()],
            None => &self.orders,
        };
        &orders[sort as usize]
    }

    /// The movies without a genre, in a precomputed order, without hidden ones.
    pub fn without_genre(&self, sort: Sort) -> &[MovieIndex] {
        &self.genreless_orders[sort as usize]
    }

    /// The users and their ratings.
    pub fn users(&self) -> &Histories {
        &self.histories
    }

    /// The mean of all ratings, in stars; 0 without ratings.
    pub fn mean_rating(&self) -> f32 {
        self.mean_rating
    }

    /// Searches for movies whose titles contain all words of `query`; returns at most `limit` of them, from rank
    /// `offset` on. Case, accents and word order are ignored. A word matches by prefix, two adjacent words may be
    /// one word of the title, and numerals may be Roman or Arabic. If nothing matches, words are split, then
    /// spelling is corrected. Exact titles rank first, then whole words, then popularity.
    pub fn search(&self, query: &str, offset: usize, limit: usize) -> SearchHits {
        self.titles.search(query, offset, limit, |movie| self.stats(movie).count)
    }
}

/// Computes the rating counts, sums and best ratings of all movies.
fn count(movies: &Movies, histories: &Histories) -> (Vec<MovieStats>, Vec<Vec<TopRating>>) {
    let mut stats = vec![MovieStats::default(); movies.as_slice().len()];
    let mut tops: Vec<Vec<TopRating>> = vec![Vec::new(); stats.len()];
    let rank_key = |top: &TopRating| (top.stars, top.timestamp, Reverse(top.user));
    for history in histories.iter() {
        for rated in history.iter() {
            let movie = &mut stats[rated.movie.index()];
            movie.count += 1;
            movie.half_stars += u32::from(rated.stars.half_stars());
            let top = &mut tops[rated.movie.index()];
            let rating =
                TopRating { user: history.user(), stars: rated.stars, timestamp: rated.timestamp };
            if top.len() == TOP_RATINGS {
                if top.last().is_some_and(|least| rank_key(least) > rank_key(&rating)) {
                    continue;
                }
                top.pop();
            }
            let index = top.partition_point(|better| rank_key(better) > rank_key(&rating));
            top.insert(index, rating);
        }
    }
    (stats, tops)
}

fn order(sort: Sort, movies: &[Movie], stats: &[MovieStats]) -> Vec<MovieIndex> {
    let mut order: Vec<MovieIndex> = (0..movies.len() as u32).map(MovieIndex).collect();
    // Stable sorts of the order of ids: ties break by id.
    match sort {
        Sort::Rating => {
            order.sort_by(|a, b| stats[b.index()].bayesian.total_cmp(&stats[a.index()].bayesian));
        }
        Sort::ReleaseYear => order.sort_by_key(|index| Reverse(movies[index.index()].year)),
        Sort::Popularity => order.sort_by_key(|index| Reverse(stats[index.index()].count)),
    }
    order
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::movie::record;
    use crate::{RatingLog, UserProfile};

    fn catalog() -> Catalog {
        let movies = Movies::new(vec![
            record(10, "One Vote", 1999, &["Drama"]),
            record(20, "Many Votes", 2003, &["Comedy", "Drama"]),
            record(30, "No Vote", 0, &[]),
            record(40, "Low Votes", 2003, &["Comedy"]),
        ])
        .unwrap();
        let mut log = RatingLog::default();
        log.push(UserId(100), MovieIndex(0), Stars::MAX, 5);
        for user in 1..=40 {
            let stars = Stars::from_half_stars(if user % 2 == 0 { 9 } else { 10 }).unwrap();
            log.push(UserId(user), MovieIndex(1), stars, 1000 + user % 7);
            log.push(UserId(user), MovieIndex(3), Stars::MIN, 2000);
        }
        Catalog::new(movies, log.into_histories().0)
    }

    #[test]
    fn rating_order_ranks_many_high_votes_above_one() {
        let catalog = catalog();
        let ids = |sort, genre| {
            let order = catalog.ordered(sort, genre);
            order.iter().map(|&index| catalog.movie(index).id.0).collect::<Vec<_>>()
        };
        assert_eq!(ids(Sort::Rating, None), [20, 10, 30, 40]);
        assert_eq!(ids(Sort::ReleaseYear, None), [20, 40, 10, 30]);
        assert_eq!(ids(Sort::Popularity, None), [20, 40, 10, 30]);
        assert_eq!(ids(Sort::Rating, catalog.genres().find("Comedy")), [20, 40]);
        assert_eq!(ids(Sort::ReleaseYear, catalog.genres().find("Drama")), [20, 10]);
    }

    #[test]
    fn statistics_match_their_definitions() {
        let catalog = catalog();
        let stats = catalog.stats(MovieIndex(1));
        assert_eq!((stats.count, stats.average()), (40, 4.75));
        assert_eq!(catalog.stats(MovieIndex(2)).average(), 0.0);
        // 81 ratings of 3 movies: 27 prior votes at the mean of (5 + 190 + 20) / 81 stars.
        let mean = 215.0 / 81.0;
        assert!((catalog.mean_rating() - mean).abs() < 1e-6);
        assert!((stats.bayesian - (27.0 * mean + 190.0) / 67.0).abs() < 1e-6);
        assert!((catalog.stats(MovieIndex(2)).bayesian - mean).abs() < 1e-6);
    }

    #[test]
    fn top_ratings_are_the_highest_then_the_most_recent() {
        let catalog = catalog();
        let top = catalog.top_ratings(MovieIndex(1));
        let listed: Vec<_> = top.iter().map(|top| (top.user.0, top.timestamp)).collect();
        assert!(top.iter().all(|top| top.stars == Stars::MAX));
        let expected = [13, 27, 5, 19, 33, 11, 25, 39, 3, 17].map(|user| (user, 1000 + user % 7));
        assert_eq!(listed, expected);
        assert!(catalog.top_ratings(MovieIndex(2)).is_empty());
    }

    #[test]
    fn profile_counts_liked_genres() {
        let catalog = catalog();
        let profile = UserProfile::new(&catalog.users().find(UserId(2)).unwrap(), &catalog);
        assert_eq!((profile.rating_count, profile.average), (2, 2.5));
        assert_eq!(profile.highest, Stars::from_half_stars(9));
        assert_eq!(profile.lowest, Some(Stars::MIN));
        let tastes: Vec<_> = profile
            .favourite_genres
            .iter()
            .map(|taste| (catalog.genres().name(taste.genre), taste.liked, taste.rated))
            .collect();
        assert_eq!(tastes, [("Comedy", 1, 2), ("Drama", 1, 1)]);
    }

    #[test]
    fn from_sums_equals_a_catalogue_from_histories() {
        let whole = catalog();
        let movies = Movies::new(vec![
            record(10, "One Vote", 1999, &["Drama"]),
            record(20, "Many Votes", 2003, &["Comedy", "Drama"]),
            record(30, "No Vote", 0, &[]),
            record(40, "Low Votes", 2003, &["Comedy"]),
        ])
        .unwrap();
        let summed = Catalog::from_sums(movies, |id| {
            let movie = whole.index_of(id).unwrap();
            let stats = whole.stats(movie);
            (stats.count, stats.half_stars(), whole.top_ratings(movie).to_vec())
        });
        for movie in (0..4).map(MovieIndex) {
            assert_eq!(summed.stats(movie), whole.stats(movie));
            assert_eq!(summed.top_ratings(movie), whole.top_ratings(movie));
        }
        assert_eq!(summed.ordered(Sort::Rating, None), whole.ordered(Sort::Rating, None));
        assert_eq!(summed.mean_rating(), whole.mean_rating());
        assert!(summed.users().is_empty());
    }

    #[test]
    fn hidden_movies_are_in_no_order_and_no_search() {
        let mut catalog = catalog();
        let drama = catalog.genres().find("Drama");
        assert_eq!(catalog.hide([20, 30, 77, 20].map(MovieId)), [MovieId(77)]);
        for sort in Sort::ALL {
            let ids = |order: &[MovieIndex]| order.iter().map(|m| m.0).collect::<Vec<_>>();
            let mut all = ids(catalog.ordered(sort, None));
            all.sort_unstable();
            assert_eq!(all, [0, 3]);
            assert_eq!(ids(catalog.ordered(sort, drama)), [0]);
            assert!(catalog.without_genre(sort).is_empty());
        }
        assert_eq!(catalog.search("votes", 0, 5).movies, [MovieIndex(3)]);
        assert_eq!(catalog.search("many votes", 0, 5).total, 0);
        assert_eq!((catalog.len(), catalog.hidden()), (4, &[MovieIndex(1), MovieIndex(2)][..]));
        assert!(catalog.is_hidden(MovieIndex(1)) && !catalog.is_hidden(MovieIndex(0)));
        assert_eq!(catalog.stats(MovieIndex(1)).count, 40);
    }

    #[test]
    fn empty_catalogue_returns_empty_results() {
        let catalog = Catalog::new(Movies::default(), Histories::default());
        assert!(catalog.is_empty() && catalog.ordered(Sort::Rating, None).is_empty());
        assert_eq!(catalog.search("anything", 0, 5).total, 0);
    }
}
