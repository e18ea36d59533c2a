//! The demonstration set: invented movies, users and ratings in the MovieLens format with their embeddings, embedded
//! so that a program needs no files beside it.
//!
//! The crate reads nothing: `sparrow-movielens` reads [`FILES`] (`Source::in_memory`), `sparrow-neural` the embeddings.
//! `fixtures/README.md` describes the files in `data/` and lists the commands that make them.

/// The data set: names and contents of its files.
pub const FILES: [(&str, &[u8]); 3] = [
    ("movies.csv", include_bytes!("../data/movies.csv")),
    ("ratings.csv", include_bytes!("../data/ratings.csv")),
    ("links.csv", include_bytes!("../data/links.csv")),
];

/// The vectors of the movies, lines `movieId:f f f …`. Their similarity is the cosine.
pub const ITEM_EMBEDDINGS: &[u8] = include_bytes!("../data/item2vecEmb.csv");

/// The vectors of the users, lines `userId:f f f …`.
pub const USER_EMBEDDINGS: &[u8] = include_bytes!("../data/userEmb.csv");
