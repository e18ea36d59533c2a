use std::sync::Arc;

use async_trait::async_trait;
use sparrow_model::UserState;
use sparrow_neural::{EmbeddingTable, ItemVectors, NewUsers, Similarity, has_direction, normalise};

use crate::{Error, Query, Ranker, UNSCORED};

/// Scores by the vectors of the user and of the movie: their cosine or dot product, as the item vectors specify.
#[derive(Debug, Clone)]
pub struct EmbeddingRanker {
    items: Arc<ItemVectors>,
    own: Option<OwnUsers>,
}

/// The vectors of users of a ranker of its own.
#[derive(Debug, Clone)]
struct OwnUsers {
    trained: Arc<EmbeddingTable>,
    new: NewUsers,
}

impl EmbeddingRanker {
    /// A ranker over item vectors that are indexed by movie. The user's vector comes with each query.
    pub const fn new(items: Arc<ItemVectors>) -> Self {
        Self { items, own: None }
    }

    /// A ranker with user vectors of its own, by user id. They have length 1 if the items are compared by cosine. Those of
    /// anonymous users, and of users with a newer history, are computed by `new` from the liked movies of their histories.
    pub const fn with_users(
        items: Arc<ItemVectors>,
        trained: Arc<EmbeddingTable>,
        new: NewUsers,
    ) -> Self {
        Self { items, own: Some(OwnUsers { trained, new }) }
    }

    fn vector_of(&self, own: &OwnUsers, user: &UserState<'_>) -> Option<Vec<f32>> {
        let liked: Vec<u32> = user.rated_movies(true).map(|movie| movie.0).collect();
        let mut vector = own.new.vector(&liked)?;
        if self.items.similarity() == Similarity::Cosine {
            normalise(&mut vector);
        }
        Some(vector)
    }
}

#[async_trait]
impl Ranker for EmbeddingRanker {
    fn kind(&self) -> &'static str {
        "embedding"
    }

    fn dimension(&self) -> Option<usize> {
        Some(self.items.dimension())
    }

    fn vectors(&self) -> Option<&Arc<ItemVectors>> {
        Some(&self.items).filter(|_| self.own.is_none())
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        let user = query.user;
        let computed;
        let vector = match &self.own {
            Some(own) if user.is_anonymous || user.is_updated => {
                computed = self.vector_of(own, user);
                computed.as_deref()
            }
            Some(own) => own.trained.get(user.id.0),
            None => user.embedding,
        };
        let vector = vector.ok_or(Error::NoUserEmbedding(user.id))?;
        if vector.len() != self.items.dimension() {
            return Err(Error::Malformed(format!(
                "the vector of user {} has {} dimensions, item vectors have {}",
                user.id,
                vector.len(),
                self.items.dimension()
            )));
        }
        if !has_direction(vector) {
            return Err(Error::NoUserEmbedding(user.id));
        }
        scores.clear();
        self.items.score(vector, query.movies.iter().map(|movie| movie.0), UNSCORED, scores);
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::{MovieIndex, OwnedHistory, Rated, Stars, UserId, UserState};
    use sparrow_neural::{Similarity, TableBuilder};

    use super::*;
    use crate::tests::ready;
    use crate::testsuite;

    fn ranker() -> EmbeddingRanker {
        let mut builder = TableBuilder::default();
        builder.push(0, &[3.0, 4.0]).unwrap();
        builder.push(2, &[0.0, -2.0]).unwrap();
        let table = builder.build().unwrap();
        EmbeddingRanker::new(Arc::new(ItemVectors::new(&table, 3, Similarity::Cosine, Some)))
    }

    #[test]
    fn scores_are_cosines_in_the_order_of_the_query() {
        let user = UserState { embedding: Some(&[0.0, 1.0]), ..UserState::unknown(UserId(1)) };
        let movies = [2, 1, 0, 2].map(MovieIndex);
        let mut scores = vec![7.0];
        ready(ranker().score(&Query::new(&user, &movies), &mut scores)).unwrap();
        assert_eq!(scores, [-1.0, UNSCORED, 0.8, -1.0]);
    }

    #[test]
    fn embeddings_fulfil_the_contract() {
        let with = |embedding| UserState { embedding, ..UserState::unknown(UserId(4)) };
        let scored = [with(Some(&[0.0, 1.0])), with(Some(&[-3.0, 0.5]))];
        let unscored = [with(None), with(Some(&[0.0, 0.0]))];
        ready(testsuite::check(&ranker(), 3, &scored, &unscored));
    }

    #[test]
    fn own_user_vectors_replace_those_of_the_query() {
        let mut users = TableBuilder::default();
        users.push(4, &[0.0, 1.0]).unwrap();
        let items = ranker().items;
        let new = NewUsers::new(Arc::clone(&items), None);
        let ranker = EmbeddingRanker::with_users(items, Arc::new(users.build().unwrap()), new);
        let score = |id| {
            let other = [1.0, 0.0];
            let user = UserState { embedding: Some(&other), ..UserState::unknown(UserId(id)) };
            let mut scores = Vec::new();
            let query = Query::new(&user, &[MovieIndex(0)]);
            ready(ranker.score(&query, &mut scores)).map(|()| scores)
        };
        assert_eq!(score(4).unwrap(), [0.8]);
        assert!(matches!(score(5), Err(Error::NoUserEmbedding(UserId(5)))));

        // An anonymous user who likes movie 2, and one who dislikes it.
        let score = |stars| {
            let rated = Rated { movie: MovieIndex(2), stars, timestamp: 0 };
            let history = OwnedHistory::new(UserId(4), [rated]);
            let user = UserState { history: Some(history.get()), ..UserState::anonymous() };
            let mut scores = Vec::new();
            let query = Query::new(&user, &[MovieIndex(0), MovieIndex(2)]);
            ready(ranker.score(&query, &mut scores)).map(|()| scores)
        };
        assert_eq!(score(Stars::MAX).unwrap(), [-0.8, 1.0]);
        assert!(matches!(score(Stars::MIN), Err(Error::NoUserEmbedding(_))));
    }

    #[test]
    fn missing_zero_and_short_user_vectors_are_errors() {
        let ranker = ranker();
        let score = |embedding| {
            let user = UserState { embedding, ..UserState::unknown(UserId(1)) };
            ready(ranker.score(&Query::new(&user, &[MovieIndex(0)]), &mut Vec::new()))
        };
        assert!(matches!(score(None), Err(Error::NoUserEmbedding(UserId(1)))));
        assert!(matches!(score(Some(&[0.0, -0.0])), Err(Error::NoUserEmbedding(UserId(1)))));
        assert!(matches!(score(Some(&[1.0])), Err(Error::Malformed(_))));
    }
}
