//! The contract of [`Recall`], as tests of any implementation.
//!
//! With the Cargo feature `testsuite`, tests of other crates call [`check`] with a strategy of their own. It panics at
//! the first violation.

use sparrow_model::{Catalog, GenreSet, MovieIndex, MovieSet, UserId, UserState};
use sparrow_neural::ItemScores;
use sparrow_recall::{Query, Recall};

/// Checks a strategy over a catalogue. `users` are users for whom it has candidates, one or more. `scores` are those of
/// the model that the strategy names, one per movie of the catalogue.
///
/// # Panics
/// If the strategy violates the contract.
pub fn check(
    strategy: &dyn Recall,
    catalog: &Catalog,
    users: &[UserState<'_>],
    scores: Option<&ItemScores>,
) {
    assert!(!strategy.name().is_empty(), "the name is empty");
    assert!(!users.is_empty(), "nothing to check");
    assert_eq!(strategy.model().is_some(), scores.is_some(), "scores are those of the model");
    let unknown = UserState::unknown(UserId(u32::MAX));
    let case = Case { strategy, catalog };
    for user in users {
        let all = case.check_user(user, scores);
        assert!(!all.is_empty(), "there are no candidates for user {}", user.id);
    }
    // No candidates, or the same for all users, but no error.
    case.check_user(&unknown, None);
}

/// A strategy and the catalogue.
struct Case<'a> {
    strategy: &'a dyn Recall,
    catalog: &'a Catalog,
}

impl Case<'_> {
    /// All candidates of a user, after checks of several limits and sets of excluded movies.
    fn check_user(&self, user: &UserState<'_>, scores: Option<&ItemScores>) -> Vec<MovieIndex> {
        let len = self.catalog.len();
        let all = self.check_limits(user, GenreSet::EMPTY, &MovieSet::new(len), scores);

        // Without the best, and without every second candidate.
        let mut excluded = MovieSet::new(len);
        excluded.extend(all.iter().copied().take(1));
        self.check_limits(user, GenreSet::EMPTY, &excluded, scores);
        excluded.extend(all.iter().copied().step_by(2));
        let rest = self.check_limits(user, GenreSet::EMPTY, &excluded, scores);
        if all.len() > 1 {
            assert!(
                !rest.is_empty(),
                "excluded movies count towards the candidates of {}",
                user.id
            );
        }

        // Genres come with the movies of other genres excluded.
        for genre in self.catalog.genres().iter() {
            let mut others = MovieSet::new(len);
            others.extend(
                self.catalog.ordered(sparrow_model::Sort::Rating, Some(genre)).iter().copied(),
            );
            others.invert();
            self.check_limits(user, [genre].into_iter().collect(), &others, scores);
        }

        let mut everything = MovieSet::new(len);
        everything.invert();
        let none = self.check_limits(user, GenreSet::EMPTY, &everything, scores);
        assert!(none.is_empty(), "{none:?} for user {}, though all is excluded", user.id);
        all
    }

    /// All candidates, after checks of several limits.
    fn check_limits(
        &self,
        user: &UserState<'_>,
        genres: GenreSet,
        excluded: &MovieSet,
        scores: Option<&ItemScores>,
    ) -> Vec<MovieIndex> {
        let query = Query { catalog: self.catalog, user, genres, excluded, scores };
        let all = self.recalled(&query, self.catalog.len());
        assert_eq!(all, self.recalled(&query, self.catalog.len()), "it is not deterministic");
        for limit in [0, 1, 2, 3, all.len() / 2, all.len(), usize::MAX] {
            let some = self.recalled(&query, limit);
            let best = &all[..limit.min(all.len())];
            assert_eq!(some, best, "user {}, limit {limit} of {}", user.id, all.len());
        }
        all
    }

    /// The candidates of a query, after checks that apply to all of them.
    fn recalled(&self, query: &Query<'_>, limit: usize) -> Vec<MovieIndex> {
        let user = query.user.id;
        let earlier = [MovieIndex(u32::MAX), MovieIndex(0)];
        let mut found = earlier.to_vec();
        if let Err(error) = self.strategy.recall(query, limit, &mut found) {
            panic!("no candidates for user {user}: {error}");
        }
        assert!(found.starts_with(&earlier), "it changed the candidates of other strategies");
        let found = found.split_off(earlier.len());
        assert!(found.len() <= limit, "{} candidates, the limit is {limit}", found.len());
        let mut seen = MovieSet::new(self.catalog.len());
        for &movie in &found {
            assert!(movie.index() < self.catalog.len(), "{movie:?} is not in the catalogue");
            assert!(!query.excluded.contains(movie), "{movie:?} is excluded for user {user}");
            assert!(!seen.contains(movie), "{movie:?} occurs twice for user {user}");
            seen.insert(movie);
        }
        found
    }
}
