//! Vectors of users outside the training data.

use std::sync::Arc;

use crate::{FoldIn, ItemVectors, Objective};

/// Computes the vector of a user outside the training data from the items that the user likes.
#[derive(Debug, Clone)]
pub struct NewUsers {
    items: Arc<ItemVectors>,
    fold_in: Option<Arc<FoldIn>>,
}

impl NewUsers {
    /// With the objective of the training, users are folded in ([`FoldIn`]), unless vectors are compared by cosine. In all
    /// other cases, the vector of a user is the mean of the items' vectors, as for vectors of item2vec.
    pub fn new(items: Arc<ItemVectors>, objective: Option<Objective>) -> Self {
        let fold_in = objective
            .and_then(|objective| FoldIn::new(Arc::clone(&items), objective))
            .map(Arc::new);
        Self { items, fold_in }
    }

    /// The vector of a user who likes these distinct items; those without a vector are ignored. `None` if none of them has
    /// one.
    pub fn vector(&self, liked: &[u32]) -> Option<Vec<f32>> {
        match &self.fold_in {
            Some(fold_in) => fold_in.fold_in(liked),
            None => self.mean(liked),
        }
    }

    fn mean(&self, liked: &[u32]) -> Option<Vec<f32>> {
        let mut vectors = liked.iter().filter_map(|&item| self.items.get(item));
        let (mut sum, mut count) = (vectors.next()?, 1.0);
        for vector in vectors {
            for (sum, value) in sum.iter_mut().zip(vector) {
                *sum += value;
            }
            count += 1.0;
        }
        for value in &mut sum {
            *value /= count;
        }
        Some(sum)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::{Similarity, TableBuilder};

    fn items(similarity: Similarity) -> Arc<ItemVectors> {
        let mut table = TableBuilder::default();
        table.push(0, &[3.0, 0.0]).unwrap();
        table.push(2, &[0.0, 1.0]).unwrap();
        Arc::new(ItemVectors::new(&table.build().unwrap(), 4, similarity, Some))
    }

    #[test]
    fn without_an_objective_the_vector_is_the_mean() {
        let users = NewUsers::new(items(Similarity::Dot), None);
        assert_eq!(users.vector(&[0, 1, 2]), Some(vec![1.5, 0.5]));
        assert_eq!(users.vector(&[2]), Some(vec![0.0, 1.0]));
        assert_eq!((users.vector(&[]), users.vector(&[1, 3])), (None, None));
    }

    #[test]
    fn with_an_objective_users_are_folded_in() {
        let objective = Objective { unobserved: 0.1, regularization: 0.01, exponent: 1.0 };
        let users = NewUsers::new(items(Similarity::Dot), Some(objective));
        let expected = FoldIn::new(items(Similarity::Dot), objective).unwrap().fold_in(&[0]);
        assert_eq!(users.vector(&[0, 1]), expected);
        assert_eq!(users.vector(&[1]), None);
        // Cosine discards the lengths that folding in needs.
        let users = NewUsers::new(items(Similarity::Cosine), Some(objective));
        assert_eq!(users.vector(&[2]), Some(vec![0.0, 1.0]));
    }
}
