//! The samples of a training.

use sparrow_model::Stars;

/// A sample by rows of the embedding tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) user: u32,
    pub(super) movie: u32,
    pub(super) stars: Stars,
}

impl Pair {
    pub(super) fn liked(&self) -> bool {
        self.stars.is_liked()
    }

    /// A pair of which it only matters whether it is a like.
    #[cfg(test)]
    pub(super) const fn new(user: u32, movie: u32, liked: bool) -> Self {
        Self { user, movie, stars: if liked { Stars::MAX } else { Stars::MIN } }
    }
}
