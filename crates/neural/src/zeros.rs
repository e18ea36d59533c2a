//! Zero vectors after training, a sign of too strong regularization.

use std::fmt;

/// Numbers of zero vectors and of all vectors of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Zeros {
    /// Movies with a zero vector, and all movies of the training data.
    pub movies: [usize; 2],
    /// The same of users.
    pub users: [usize; 2],
}

impl Zeros {
    /// Returns whether any vector is zero.
    pub const fn any(&self) -> bool {
        self.movies[0] > 0 || self.users[0] > 0
    }

    /// Returns whether all vectors of movies or of users are zero, so that the model cannot rank.
    pub const fn degenerate(&self) -> bool {
        self.movies[0] == self.movies[1] || self.users[0] == self.users[1]
    }
}

impl fmt::Display for Zeros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([movies, all_movies], [users, all_users]) = (self.movies, self.users);
        write!(
            f,
            "the vectors of {movies} of {all_movies} movies and {users} of {all_users} users are zero"
        )
    }
}

/// Returns whether a vector is zero when rounded to six decimals, as in embedding files.
pub fn is_zero(vector: &[f32]) -> bool {
    vector.iter().all(|value| value.abs() < 5e-7)
}
