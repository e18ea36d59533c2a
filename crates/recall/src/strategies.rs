use std::sync::Arc;

use sparrow_model::{Genre, MovieIndex, Sort};
use sparrow_neural::{ItemVectors, TopK, has_direction};

use crate::{Error, Parameter, Query, Recall, StrategyKind};

/// The number of favourite genres in a user's state, for [`ByGenre`].
pub const FAVOURITE_GENRES: usize = 5;

pub(crate) const EMBEDDING: StrategyKind = StrategyKind {
    name: ByEmbedding::NAME,
    share: 200,
    standard: true,
    parameters: &[],
    build: |inputs| Some(Box::new(ByEmbedding::new(Arc::clone(inputs.items?)))),
};

pub(crate) const GENRE: StrategyKind = StrategyKind {
    name: "genre",
    share: 200,
    standard: true,
    parameters: &[Parameter {
        name: "favourites",
        default: FAVOURITE_GENRES,
        range: 1..=FAVOURITE_GENRES,
    }],
    build: |inputs| Some(Box::new(ByGenre::of_favourites(inputs.parameter("favourites")))),
};

pub(crate) const RATING: StrategyKind = StrategyKind {
    name: "rating",
    share: 150,
    standard: true,
    parameters: &[],
    build: |_| Some(Box::new(ByOrder(Sort::Rating))),
};

pub(crate) const RECENCY: StrategyKind = StrategyKind {
    name: "recency",
    share: 100,
    standard: true,
    parameters: &[],
    build: |_| Some(Box::new(ByOrder(Sort::ReleaseYear))),
};

pub(crate) const POPULARITY: StrategyKind = StrategyKind {
    name: "popularity",
    share: 100,
    standard: false,
    parameters: &[],
    build: |_| Some(Box::new(ByOrder(Sort::Popularity))),
};

/// The first movies of a catalogue order: best rated, newest, or most popular.
#[derive(Debug, Clone, Copy)]
pub struct ByOrder(pub Sort);

impl Recall for ByOrder {
    fn name(&self) -> &str {
        match self.0 {
            Sort::Rating => "rating",
            Sort::ReleaseYear => "recency",
            Sort::Popularity => "popularity",
        }
    }

    fn recall(
        &self,
        query: &Query<'_>,
        limit: usize,
        found: &mut Vec<MovieIndex>,
    ) -> Result<(), Error> {
        let order = query.catalog.ordered(self.0, None);
        found.extend(
            order.iter().copied().filter(|&movie| !query.excluded.contains(movie)).take(limit),
        );
        Ok(())
    }
}

/// The best rated movies of the requested genres, or else of the user's favourite genres, interleaved round-robin.
#[derive(Debug, Clone, Copy)]
pub struct ByGenre {
    favourites: usize,
}

impl ByGenre {
    /// A strategy over this many of the user's favourite genres, the most liked ones.
    pub const fn of_favourites(favourites: usize) -> Self {
        Self { favourites }
    }
}

impl Default for ByGenre {
    /// A strategy over all favourite genres of a user's state.
    fn default() -> Self {
        Self::of_favourites(usize::MAX)
    }
}

impl Recall for ByGenre {
    fn name(&self) -> &'static str {
        "genre"
    }

    fn recall(
        &self,
        query: &Query<'_>,
        limit: usize,
        found: &mut Vec<MovieIndex>,
    ) -> Result<(), Error> {
        let requested: Vec<Genre> = query.genres.iter().collect();
        let favourites = query.user.favourite_genres;
        let favourites = &favourites[..favourites.len().min(self.favourites)];
        let genres = if requested.is_empty() { favourites } else { &requested };
        let mut orders: Vec<_> = genres
            .iter()
            .map(|&genre| query.catalog.ordered(Sort::Rating, Some(genre)).iter().copied())
            .collect();
        let mut seen = query.excluded.clone();
        let mut left = limit;
        while left > 0 && !orders.is_empty() {
            orders.retain_mut(|order| match order.find(|&movie| !seen.contains(movie)) {
                Some(movie) if left > 0 => {
                    seen.insert(movie);
                    found.push(movie);
                    left -= 1;
                    true
                }
                _ => false,
            });
        }
        Ok(())
    }
}

/// The movies with the vectors nearest to the user's, by exact search.
#[derive(Debug, Clone)]
pub struct ByEmbedding {
    items: Arc<ItemVectors>,
}

impl ByEmbedding {
    /// The name of the strategy.
    pub const NAME: &str = "embedding";

    /// Creates the strategy. The items of `items` must be the catalogue's movie indexes.
    pub const fn new(items: Arc<ItemVectors>) -> Self {
        Self { items }
    }
}

impl Recall for ByEmbedding {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn vectors(&self) -> Option<&Arc<ItemVectors>> {
        Some(&self.items)
    }

    fn recall(
        &self,
        query: &Query<'_>,
        limit: usize,
        found: &mut Vec<MovieIndex>,
    ) -> Result<(), Error> {
        let Some(vector) = query.user.embedding else { return Ok(()) };
        if vector.len() != self.items.dimension() {
            return Err(Error::Dimension {
                user: query.user.id,
                found: vector.len(),
                expected: self.items.dimension(),
            });
        }
        if !has_direction(vector) {
            return Ok(());
        }
        let mut top = TopK::default();
        let skip = |movie| query.excluded.contains(MovieIndex(movie));
        self.items.best(vector, limit, skip, &mut top);
        found.extend(top.sorted().map(|(_, movie)| MovieIndex(movie)));
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::{Catalog, GenreSet, MovieSet, UserId, UserState};
    use sparrow_neural::{ItemScores, Similarity, TableBuilder};
    use sparrow_test_support::catalogue;

    use super::*;
    use crate::{ByScores, Inputs, STRATEGIES, testsuite};

    /// Twelve movies. With the id grow the release year and the ratings; the popularity falls.
    /// By Bayesian average: 8, 9, 7, 10, 6, 11, 4, … Every third is a comedy, every second a drama.
    fn catalog() -> Catalog {
        let movies = (0..12).map(|id: u32| {
            let genres = [(3, "Comedy"), (2, "Drama")].into_iter();
            let genres = genres.filter(|(every, _)| id.is_multiple_of(*every));
            catalogue::movie(id, Some(2000 + id as u16), genres.map(|(_, name)| name))
        });
        let rated = (0..24).flat_map(|user| (0..12 - user / 2).map(move |movie| (user, movie)));
        catalogue::catalog(
            movies,
            rated.map(|(user, movie)| (user, movie, movie as u8 * 3 / 4 + 1, 0)),
        )
    }

    fn recalled(
        strategy: &dyn Recall,
        user: &UserState<'_>,
        genres: &[&str],
        excluded: &[u32],
        limit: usize,
    ) -> Vec<u32> {
        let catalog = catalog();
        let genres: GenreSet =
            genres.iter().map(|name| catalog.genres().find(name).unwrap()).collect();
        let mut set = MovieSet::new(catalog.len());
        set.extend(excluded.iter().copied().map(MovieIndex));
        // Scores of a model that can score only users with ratings.
        let scores = user.history.map(|_| ItemScores::new(SCORES.to_vec()));
        let scores = scores.as_ref();
        let query = Query { catalog: &catalog, user, genres, excluded: &set, scores };
        // Existing entries must remain.
        let mut found = vec![MovieIndex(99)];
        strategy.recall(&query, limit, &mut found).unwrap();
        assert_eq!(found[0], MovieIndex(99));
        found[1..].iter().map(|movie| movie.0).collect()
    }

    #[test]
    fn every_strategy_fulfils_the_contract() {
        let mut builder = TableBuilder::default();
        for id in [1, 3, 4, 5, 8] {
            builder.push(id, &[id as f32, 1.0]).unwrap();
        }
        let table = builder.build().unwrap();
        let items = Arc::new(ItemVectors::new(&table, 12, Similarity::Dot, Some));
        let catalog = catalog();
        let favourite_genres: Vec<Genre> = catalog.genres().iter().collect();
        let user = UserState {
            history: catalog.users().find(UserId(1)),
            favourite_genres: &favourite_genres,
            embedding: Some(&[1.0, 0.0]),
            ..UserState::unknown(UserId(1))
        };
        let inputs = Inputs::new(Some(&items));
        for kind in &STRATEGIES {
            let strategy = kind.build(&inputs, &[]).unwrap().unwrap();
            testsuite::check(&strategy, &catalog, &[user], None);
        }
        let scores = ItemScores::new(SCORES.to_vec());
        testsuite::check(&by_scores(), &catalog, &[user], Some(&scores));
    }

    /// Returns the same movies for every query.
    struct Fixed(Vec<u32>);

    impl Recall for Fixed {
        fn name(&self) -> &'static str {
            "fixed"
        }

        fn recall(
            &self,
            query: &Query<'_>,
            limit: usize,
            found: &mut Vec<MovieIndex>,
        ) -> Result<(), Error> {
            let movies = self.0.iter().copied().map(MovieIndex).take(limit);
            // Limits before it excludes.
            found.extend(movies.filter(|&movie| !query.excluded.contains(movie)));
            Ok(())
        }
    }

    #[test]
    fn testsuite_finds_violations_of_the_contract() {
        for (movies, violation) in [
            (vec![1, 2, 1], "occurs twice"),
            (vec![1, 99], "is not in the catalogue"),
            (vec![1, 2, 3], "limit 1 of 2"),
            (vec![], "there are no candidates for user 1"),
        ] {
            let check = || {
                let user = UserState::unknown(UserId(1));
                testsuite::check(&Fixed(movies), &catalog(), &[user], None);
            };
            let panic = std::panic::catch_unwind(check).unwrap_err();
            let message = panic.downcast_ref::<String>().unwrap();
            assert!(message.contains(violation), "{message}");
        }
    }

    #[test]
    fn by_order_returns_catalogue_order() {
        let unknown = UserState::unknown(UserId(404));
        let by = |sort| recalled(&ByOrder(sort), &unknown, &[], &[11], 3);
        assert_eq!(by(Sort::ReleaseYear), [10, 9, 8]);
        assert_eq!(by(Sort::Popularity), [0, 1, 2]);
        assert_eq!(by(Sort::Rating), [8, 9, 7]);
    }

    #[test]
    fn by_genre_interleaves_requested_or_favourite_genres() {
        let catalog = catalog();
        let genre = |name| catalog.genres().find(name).unwrap();
        let mut user = UserState::unknown(UserId(1));
        assert_eq!(recalled(&ByGenre::default(), &user, &[], &[], 5), [0; 0]);
        let both = [genre("Comedy"), genre("Drama")];
        user.favourite_genres = &both;
        // Comedies by rating: 9, 6, 3, 0; dramas: 8, 10, 6, 4, 2, 0.
        assert_eq!(recalled(&ByGenre::default(), &user, &[], &[], 5), [9, 8, 6, 10, 3]);
        assert_eq!(recalled(&ByGenre::default(), &user, &["Drama"], &[8], 3), [10, 6, 4]);
        assert_eq!(recalled(&ByGenre::of_favourites(1), &user, &[], &[], 5), [9, 6, 3, 0]);
    }

    /// Scores of a model: positive for 3 and 7, negative for 5, none for 11.
    const SCORES: [f32; 12] =
        [0.0, 0.0, 0.0, 0.25, 0.0, -1.0, 0.0, 0.5, 0.0, 0.0, 0.0, f32::NEG_INFINITY];

    fn by_scores() -> ByScores {
        ByScores::new("ease", "ease", 0.0)
    }

    #[test]
    fn only_movies_with_scores_above_the_threshold_are_candidates() {
        let catalog = catalog();
        let user =
            UserState { history: catalog.users().find(UserId(1)), ..UserState::unknown(UserId(1)) };
        assert_eq!(recalled(&by_scores(), &user, &[], &[], 9), [7, 3]);
        assert_eq!(recalled(&by_scores(), &user, &[], &[7], 9), [3]);
        assert_eq!(recalled(&by_scores(), &UserState::unknown(UserId(1)), &[], &[], 9), [0; 0]);
    }

    #[test]
    fn zero_vector_returns_no_candidates() {
        let mut builder = TableBuilder::default();
        builder.push(0, &[1.0, 2.0]).unwrap();
        let items = ItemVectors::new(&builder.build().unwrap(), 12, Similarity::Cosine, Some);
        let user = UserState { embedding: Some(&[0.0, 0.0]), ..UserState::unknown(UserId(3)) };
        assert_eq!(recalled(&ByEmbedding::new(Arc::new(items)), &user, &[], &[], 9), [0; 0]);
    }

    #[test]
    fn wrong_vector_dimension_is_an_error() {
        let mut builder = TableBuilder::default();
        builder.push(0, &[1.0, 2.0]).unwrap();
        let items = ItemVectors::new(&builder.build().unwrap(), 12, Similarity::Cosine, Some);
        let strategy = ByEmbedding::new(Arc::new(items));
        let catalog = catalog();
        let user = UserState { embedding: Some(&[1.0]), ..UserState::unknown(UserId(3)) };
        let excluded = MovieSet::new(catalog.len());
        let query = Query {
            catalog: &catalog,
            user: &user,
            genres: GenreSet::EMPTY,
            excluded: &excluded,
            scores: None,
        };
        let error = strategy.recall(&query, 5, &mut Vec::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the vector of user 3 has 1 dimensions, the item vectors have 2"
        );
    }
}
