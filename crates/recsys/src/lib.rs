//! Sparrow as one dependency of another Rust service: the parts that such a service uses, by purpose.
//!
//! | module | purpose | Cargo feature |
//! |---|---|---|
//! | [`catalog`] | movies, ratings, and the immutable catalogue | |
//! | [`engine`] | recommendations and similar movies, with fallbacks and reasons | |
//! | [`recall`] | candidates: the trait `Recall` and its strategies | |
//! | [`rank`] | scores: the trait `Ranker` and its models | |
//! | [`embeddings`] | embedding tables and nearest-neighbour search | |
//! | [`neural_cf`], [`item_weights`] | trained models | `model-file`, to read them from files |
//! | `blend` | learned weights over the scores of other models | `model-file` |
//! | [`features`] | the feature definitions | |
//! | [`user`] | the state of a user, which recall and ranking share | `store`, to read it from a store |
//! | `store` | the trait `FeatureStore`, in memory | `store`; `file` and `redis` for these forms |
//! | `movielens` | reads MovieLens data sets | `movielens` |
//! | `http` | the HTTP front end: JSON, OpenAPI and web pages | `http` |
//! | `tf_serving` | ranking by models in TensorFlow Serving | `tf-serving` |
//!
//! With the feature `testsuite`, `recall`, `rank` and `store` have a module of that name with the contract of their trait as
//! tests, for implementations of one's own.
//!
//! `http`, `movielens` and `store` are default features. Without default features there is no I/O, no async runtime and
//! no serde among the dependencies. No feature adds configuration files, a command line, training or DataFusion: these
//! belong to `sparrow-app` and to `sparrow-loader`.
//!
//! `examples/service.rs` is a complete service. `docs/embedding.md` is the guide.

/// Movies, ratings, and the immutable [`Catalog`](catalog::Catalog) with its indexes.
pub mod catalog {
    pub use sparrow_model::{
        Catalog, Error, Genre, GenreSet, GenreTaste, Genres, Histories, History, Movie, MovieId,
        MovieIndex, MovieRecord, MovieSet, MovieStats, Movies, OwnedHistory, Rated, RatingLog,
        SearchHits, Sort, Stars, TopRating, UserId, UserIndex, UserProfile, split_year,
    };
}

/// The recommendation engine: candidates, recall, filters and ranking, with fallbacks and reasons.
pub mod engine {
    pub use sparrow_engine::{
        Builder, Candidates, DEFAULT_CANDIDATES, DEFAULT_MODEL, Embeddings, Engine, Error, Filter,
        GENRE_MODEL, Home, HomeRequest, Item, Model, ModelInfo, NO_MODEL, Ranked, Reason,
        RecallMix, Recommendations, Request, Row, RowKind, Scope, Similar, SimilarItem,
        SimilarRequest, Timings,
    };
}

/// Candidate generation: the trait [`Recall`](recall::Recall) and its strategies.
pub mod recall {
    #[cfg(feature = "testsuite")]
    pub use sparrow_recall::testsuite;
    pub use sparrow_recall::{
        ByEmbedding, ByGenre, ByOrder, ByScores, Error, FAVOURITE_GENRES, Inputs, Parameter,
        ParameterError, Query, Recall, STRATEGIES, StrategyKind,
    };
}

/// Ranking: the trait [`Ranker`](rank::Ranker) and its models.
pub mod rank {
    #[cfg(feature = "testsuite")]
    pub use sparrow_rank::testsuite;
    pub use sparrow_rank::{
        Contribution, Counters, Counts, EmbeddingRanker, Error, ItemWeightsRanker, Latency,
        NeuralCfRanker, PopularityRanker, Query, Ranker, State, Status, UNSCORED, Unavailable,
        VersionedRanker,
    };
}

/// Embedding tables, exact nearest-neighbour search, and vectors of new users.
pub mod embeddings {
    #[cfg(feature = "model-file")]
    pub use sparrow_neural::{EmbeddingMetadata, EmbeddingMetadataError, METADATA_FILE};
    pub use sparrow_neural::{
        EmbeddingTable, Error, Factors, FoldIn, ITEM_FILE, ItemVectors, NewUsers, Similarity,
        TableBuilder, TopK, USER_FILE, normalise,
    };
}

/// Wraps a ranker that waits for another process: a deadline, a circuit breaker and retries.
#[cfg(feature = "guarded-ranker")]
pub mod guarded_ranker {
    pub use sparrow_guarded_ranker::{Circuit, GuardOptions, GuardedRanker, Retry};
}

pub use sparrow_neural::{item_weights, neural_cf};

/// A blend: learned weights over the scores of other models and features of movies.
#[cfg(feature = "model-file")]
pub mod blend {
    pub use sparrow_blend::{
        BLEND_FILE, Blend, BlendRanker, Combined, INPUTS, InvalidBlend, Objective, Signal, Term,
        Validation,
    };
}

/// The feature definitions: a history of ratings in, features out.
pub mod features {
    pub use sparrow_features::{
        Definition, Hundredths, MOVIE, MOVIE_FIELDS, MovieFeatures, RatedMovie, RatingStats, USER,
        USER_FIELDS, UserFeatures, UserWindow, WINDOW,
    };
}

/// The state of a user: read once per request, and passed to recall and ranking.
pub mod user {
    pub use sparrow_model::{Features, UserState};
    #[cfg(feature = "store")]
    pub use sparrow_user_state::{
        LiveSource, LoadedUser, ReadError, StoreReader, StoreSource, UserSource,
    };
}

/// The feature store: features, embeddings and rating histories by id.
#[cfg(feature = "store")]
pub mod store {
    #[cfg(feature = "file")]
    pub use sparrow_store::FileStore;
    #[cfg(feature = "redis")]
    pub use sparrow_store::RedisStore;
    #[cfg(feature = "testsuite")]
    pub use sparrow_store::testsuite;
    pub use sparrow_store::{
        Circuit, Entry, Error, FeatureStore, Fields, Generation, GuardOptions, Guarded, Kind,
        Location, Malformed, MemoryStore, MovieRatings, Options, Outage, Push, Read, RedisLocation,
        Retry, Status, StoredMovie, StoredRating, StoredUser, UserList, connect, open,
    };
}

/// Live data: ratings and events that arrive while the service runs.
#[cfg(feature = "store")]
pub mod live {
    pub use sparrow_live::{
        Accepted, Action, Combination, Durability, Error, EventType, EventTypes, Idempotency,
        Limits, LiveEvent, LiveRating, LiveStore, LiveUser, MemoryLive, Opinion, Recorded,
        Sequence, Write,
    };
}

/// Reads MovieLens data sets into a [`Catalog`](catalog::Catalog).
#[cfg(feature = "movielens")]
pub mod movielens {
    pub use sparrow_movielens::{
        BadLine, Error, Format, Loaded, LoadedHistories, Options, Report, Source, Survey, write,
    };
}

/// The HTTP front end: connections, routing, endpoints, JSON and web pages.
#[cfg(feature = "http")]
pub mod http {
    pub use sparrow_http::{
        Cors, EncryptedStream, Handshake, Hosts, Options, Served, Server, Snapshot,
        SnapshotOptions, Tls,
    };
}

/// Ranking by models in TensorFlow Serving, over its REST API.
#[cfg(feature = "tf-serving")]
pub mod tf_serving {
    pub use sparrow_tf_serving::{
        Batch, Circuit, Error, Format, Input, Inputs, Options, Pin, ServedModel, Source, State,
        Step, TfServingRanker, Type, movie_features_of,
    };
}

/// The guide for those who embed the crate; its code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct EmbeddingGuide;
