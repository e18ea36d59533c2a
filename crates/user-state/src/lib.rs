//! Users of a feature store, as the engine takes them.
//!
//! A [`StoreReader`] reads from any [`FeatureStore`](sparrow_store::FeatureStore) and reports how the store is
//! doing. A [`StoreSource`] is such a reader beside one engine: it turns the answer about a user into a
//! [`LoadedUser`], whose [`state`](LoadedUser::state) goes into
//! [`Engine::recommend_to`](sparrow_engine::Engine::recommend_to). Parts that are missing, malformed or of another
//! generation are left out, with a [`Reason`](sparrow_engine::Reason).
//!
//! The crate does not recommend and contains no HTTP: a service with its own front end uses it like
//! `sparrow-http` does.
//!
//! ```
//! # use std::sync::Arc;
//! # use sparrow_engine::{Engine, Request};
//! # use sparrow_model::{Catalog, MovieId, MovieRecord, Movies, RatingLog, UserId};
//! # use sparrow_store::MemoryStore;
//! use sparrow_user_state::{StoreReader, StoreSource};
//!
//! # let record = |id: u32| MovieRecord {
//! #     id: MovieId(id),
//! #     title: format!("Movie {id}"),
//! #     year: None,
//! #     genres: vec!["Drama".to_owned()],
//! #     imdb_id: None,
//! #     tmdb_id: None,
//! # };
//! # let movies = Movies::new((1..=9).map(record).collect()).unwrap();
//! # let catalog = Arc::new(Catalog::new(movies, RatingLog::default().into_histories().0));
//! # let engine = Engine::builder(catalog).standard(None).build().unwrap();
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! # let store = MemoryStore::default();
//! let reader = Arc::new(StoreReader::new(Arc::new(store)));
//! let generation = Some(reader.generation().await?);
//! let source = StoreSource { reader, generation, sample_movies: Vec::new(), histories: None };
//!
//! // For each request:
//! let request = Request { size: 3, ..Request::new(UserId(6)) };
//! let user = source.load(request.user, &engine).await;
//! let answer = engine.recommend_to(&request, &user.state(), user.missing()).await?;
//! assert_eq!(answer.items.len(), 3);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod follow;
mod live;
mod reader;
mod statistics;
mod user;

pub use follow::{FollowedUser, RatingChange};
pub use live::{LiveSource, ReadError, UserSource};
pub use reader::StoreReader;
pub use statistics::{LiveStatistics, MovieChange, UserChange};
pub use user::{LoadedUser, StoreSource};
