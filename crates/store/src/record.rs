use sparrow_model::{MovieId, Stars, TopRating, UserId};

/// The fields of a hash, as text, in the order in which the store gave them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// A rating in a stored history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRating {
    /// The movie.
    pub movie: MovieId,
    /// The user's rating of it.
    pub stars: Stars,
    /// When, in seconds since 1970 (UTC).
    pub timestamp: u32,
}

/// What a store knows of a user.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredUser {
    /// The features, named as [`USER_FIELDS`](sparrow_features::USER_FIELDS) has them.
    pub features: Option<Fields>,
    /// The user's vector.
    pub embedding: Option<Vec<f32>>,
    /// All ratings by (timestamp, movie id), each movie at most once.
    pub ratings: Option<Vec<StoredRating>>,
}

impl StoredUser {
    /// Whether the store knows nothing of the user.
    pub const fn is_empty(&self) -> bool {
        self.features.is_none() && self.embedding.is_none() && self.ratings.is_none()
    }
}

/// What a store knows of a movie.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredMovie {
    /// The features, named as [`MOVIE_FIELDS`](sparrow_features::MOVIE_FIELDS) has them.
    pub features: Option<Fields>,
    /// The movie's vector.
    pub embedding: Option<Vec<f32>>,
    /// What the features round away.
    pub ratings: Option<MovieRatings>,
}

impl StoredMovie {
    /// Whether the store knows nothing of the movie.
    pub const fn is_empty(&self) -> bool {
        self.features.is_none() && self.embedding.is_none() && self.ratings.is_none()
    }
}

/// The ratings of a movie in sum, and the best of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MovieRatings {
    /// Number of ratings.
    pub count: u32,
    /// Their sum in half stars.
    pub half_stars: u32,
    /// The best ratings, as a catalogue lists them.
    pub top: Vec<TopRating>,
}

/// Users for lists of users.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserList {
    /// How many users there are in all.
    pub total: u32,
    /// The most active of them: id, number of ratings, their sum in half stars; by number of
    /// ratings, most first, ties by id.
    pub most_active: Vec<(UserId, u32, u32)>,
}

/// Something to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A user's features.
    UserFeatures(UserId, Fields),
    /// A user's vector.
    UserEmbedding(UserId, Vec<f32>),
    /// A user's ratings by (timestamp, movie id).
    UserRatings(UserId, Vec<StoredRating>),
    /// A movie's features.
    MovieFeatures(MovieId, Fields),
    /// A movie's vector.
    MovieEmbedding(MovieId, Vec<f32>),
    /// A movie's ratings in sum.
    MovieRatings(MovieId, MovieRatings),
    /// The users for lists.
    UserList(UserList),
}
