use std::sync::Arc;

use sparrow_model::{Catalog, History, MovieId};
use sparrow_neural::{EmbeddingTable, ItemVectors, NewUsers, Objective, Similarity};

use crate::Error;

/// Vectors of users and of a catalogue's movies, of one dimension.
#[derive(Debug, Clone)]
pub struct Embeddings {
    /// The movies' vectors, by movie index.
    pub items: Arc<ItemVectors>,
    /// The users' vectors by user id; of length 1 if the items are compared by cosine.
    pub users: Arc<EmbeddingTable>,
    /// Computes the vectors of users outside the training data.
    pub new_users: NewUsers,
}

impl Embeddings {
    /// Lays out the vectors for a catalogue. Vectors of other movies are left out. Zero vectors count as missing, and a
    /// log line reports their number.
    pub fn new(
        items: &EmbeddingTable,
        mut users: EmbeddingTable,
        similarity: Similarity,
        catalog: &Catalog,
    ) -> Result<Self, Error> {
        if items.dimension() != users.dimension() {
            return Err(Error::Dimensions { users: users.dimension(), items: items.dimension() });
        }
        let mut embeddings = Self::of_items(items, similarity, catalog)?;
        warn_of_zeros("users", users.zero_count(), users.len());
        if similarity == Similarity::Cosine {
            users.normalise();
        }
        embeddings.users = Arc::new(users);
        Ok(embeddings)
    }

    /// The same without users: their vectors come with the requests, after [`prepare`](Self::prepare).
    pub fn of_items(
        items: &EmbeddingTable,
        similarity: Similarity,
        catalog: &Catalog,
    ) -> Result<Self, Error> {
        let index = |id| catalog.index_of(MovieId(id)).map(|index| index.0);
        let vectors = ItemVectors::new(items, catalog.len(), similarity, index);
        let known = items.iter().filter(|(id, _)| index(*id).is_some()).count();
        if vectors.is_empty() {
            return Err(match known {
                0 => Error::ForeignEmbeddings(items.len()),
                _ => Error::ZeroEmbeddings(known),
            });
        }
        warn_of_zeros("movies", known - vectors.len(), known);
        let items = Arc::new(vectors);
        let new_users = NewUsers::new(Arc::clone(&items), None);
        Ok(Self { items, users: Arc::default(), new_users })
    }

    /// Sets the training objective, with which users outside the training data are folded in.
    #[must_use]
    pub fn with_objective(mut self, objective: Option<Objective>) -> Self {
        self.new_users = NewUsers::new(Arc::clone(&self.items), objective);
        self
    }

    /// The vector of a user outside the training data, computed from the liked movies of a history. `None` if none of them
    /// has a vector.
    pub fn vector_of(&self, history: &History<'_>) -> Option<Vec<f32>> {
        let liked = history.iter().filter(|rated| rated.stars.is_liked());
        let liked: Vec<u32> = liked.map(|rated| rated.movie.0).collect();
        let mut vector = self.new_users.vector(&liked)?;
        self.prepare(&mut vector).then_some(vector)
    }

    /// Prepares a user's vector for comparison with the items'. Returns whether it is valid: of the same dimension, with
    /// finite values of a plausible size.
    pub fn prepare(&self, vector: &mut [f32]) -> bool {
        let dimension = Some(self.items.dimension());
        let is_valid = sparrow_neural::check_vector(0, vector, dimension).is_ok();
        if is_valid && self.items.similarity() == Similarity::Cosine {
            sparrow_neural::normalise(vector);
        }
        is_valid
    }
}

fn warn_of_zeros(whose: &str, zeros: usize, all: usize) {
    if zeros > 0 {
        tracing::warn!("{zeros} of {all} vectors of {whose} are zero and count as missing");
    }
}
