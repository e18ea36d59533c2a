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

/// The ranking models with their names, which are those of their kinds. `sparrow-loader fit` trained them on the data set.
pub const MODELS: [(&str, &[u8]); 5] = [
    ("ease", include_bytes!("../data/models/ease/001/model.safetensors")),
    ("next-item", include_bytes!("../data/models/next-item/001/model.safetensors")),
    ("item-knn", include_bytes!("../data/models/item-knn/001/model.safetensors")),
    ("neuralcf", include_bytes!("../data/models/neuralcf/001/model.safetensors")),
    ("blend", include_bytes!("../data/models/blend/001/blend.json")),
];
