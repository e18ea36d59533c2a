//! The state of users in a store, and the reasons for missing parts.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use sparrow_engine::{Embeddings, Engine, Reason};
use sparrow_model::{MovieId, MovieIndex, Rated, Stars, UserId};
use sparrow_neural::{EmbeddingTable, Similarity};
use sparrow_store::{Entry, FeatureStore as _, Fields, Generation, MemoryStore, StoredRating};
use sparrow_test_support::catalogue::{movie, unrated};
use sparrow_user_state::{LoadedUser, StoreReader, StoreSource};

/// Nine dramas with vectors of two dimensions, and no users.
fn engine() -> Engine {
    let catalog = Arc::new(unrated((1..=9).map(|id| movie(id, None, ["Drama"]))));
    let vectors: Vec<String> = (1..=9).map(|id| format!("{id}:{id} 1\n")).collect();
    let vectors = vectors.concat();
    let vectors = EmbeddingTable::read(vectors.as_bytes(), "test").unwrap();
    let embeddings = Embeddings::of_items(&vectors, Similarity::Cosine, &catalog).unwrap();
    Engine::builder(catalog).standard(Some(embeddings)).build().unwrap()
}

fn features(pairs: &[(&str, &str)]) -> Fields {
    Fields(pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[test]
fn anonymous_users_consist_of_their_ratings() {
    let engine = engine();
    let rated = |movie, stars| Rated { movie: MovieIndex(movie), stars, timestamp: movie };
    let user = LoadedUser::anonymous([rated(4, Stars::MAX), rated(0, Stars::MIN)], &engine);
    let state = user.state();
    assert!(state.is_anonymous && user.missing().is_none());
    assert_eq!(state.history.unwrap().movies().collect::<Vec<_>>(), [0, 4].map(MovieIndex));
    // The direction of the only liked movie.
    let length = 26_f32.sqrt();
    let vector = state.embedding.unwrap();
    assert!((vector[0] - 5.0 / length).abs() < 1e-6 && (vector[1] - 1.0 / length).abs() < 1e-6);
    assert_eq!(state.favourite_genres, [engine.catalog().genres().find("Drama").unwrap()]);
    let nothing = LoadedUser::anonymous([], &engine);
    assert_eq!((nothing.missing(), nothing.is_empty()), (Some(Reason::UnknownUser), true));
}

/// User 1 has everything, user 2 only features, user 3 a vector of the wrong length.
async fn source() -> StoreSource {
    let store = MemoryStore::default();
    let mut push = store.push().await.unwrap();
    let rating = |movie| StoredRating {
        movie: MovieId(movie),
        stars: Stars::from_half_stars(9).unwrap(),
        timestamp: 7,
    };
    let listed = [("userRatedMovie1", "4"), ("userRatedMovie2", ""), ("userGenre1", "Drama")];
    push.put(vec![
        Entry::UserRatings(UserId(1), vec![rating(2), rating(77)]),
        Entry::UserEmbedding(UserId(1), vec![3.0, 4.0]),
        Entry::UserFeatures(UserId(1), features(&[("userRatingCount", "2")])),
        Entry::UserFeatures(UserId(2), features(&listed)),
        Entry::UserRatings(UserId(3), vec![rating(2)]),
        Entry::UserEmbedding(UserId(3), vec![1.0, 2.0, 3.0]),
    ])
    .await
    .unwrap();
    let generation = Some(push.commit().await.unwrap());
    let reader = Arc::new(StoreReader::new(Arc::new(store)));
    StoreSource { reader, generation, sample_movies: Vec::new(), histories: None }
}

#[tokio::test]
async fn stored_user_has_history_vector_and_features() {
    let (source, engine) = (source().await, engine());
    let user = source.load(UserId(1), &engine).await;
    assert_eq!((user.missing(), user.is_empty()), (None, false));
    let state = user.state();
    // Movie 77 is not in the catalogue.
    let rated: Vec<_> = state.history.unwrap().iter().map(|rated| rated.movie).collect();
    assert_eq!(rated, [MovieIndex(1)]);
    // Compared by cosine: of length 1.
    assert_eq!(state.embedding, Some(&[0.6, 0.8][..]));
    assert_eq!(state.features.unwrap().get("userRatingCount"), Some("2"));
    assert_eq!(state.favourite_genres.len(), 1);
}

#[tokio::test]
async fn user_with_features_alone_has_their_movies_and_genres() {
    let (source, engine) = (source().await, engine());
    let user = source.load(UserId(2), &engine).await;
    assert_eq!(user.missing(), Some(Reason::NoHistory));
    let state = user.state();
    assert!(state.history.is_none() && state.embedding.is_none());
    assert_eq!((state.also_rated, state.favourite_genres.len()), (&[MovieIndex(3)][..], 1));
}

#[tokio::test]
async fn vector_of_another_length_or_generation_is_left_out() {
    let (mut source, engine) = (source().await, engine());
    let user = source.load(UserId(3), &engine).await;
    assert_eq!(user.missing(), Some(Reason::StoreFailed));
    assert!(user.state().embedding.is_none() && user.state().history.is_some());
    source.generation = Some(Generation(1));
    let user = source.load(UserId(1), &engine).await;
    assert_eq!(user.missing(), Some(Reason::StoreUpdating));
    assert!(user.state().embedding.is_none() && user.state().history.is_some());
}

#[tokio::test]
async fn missing_user_is_unknown_only_in_a_complete_store_of_this_generation() {
    let (mut source, engine) = (source().await, engine());
    let missing = async |source: &StoreSource| {
        let user = source.load(UserId(9), &engine).await;
        assert!(user.is_empty());
        user.missing()
    };
    assert_eq!(missing(&source).await, Some(Reason::UnknownUser));
    source.reader.set_empty(true);
    assert_eq!(missing(&source).await, Some(Reason::StoreUnavailable));
    source.reader.set_empty(false);
    source.generation = Some(Generation(1));
    assert_eq!(missing(&source).await, Some(Reason::StoreUpdating));
}

#[tokio::test]
async fn missing_user_of_an_emptied_store_without_generations_is_unavailable() {
    let reader = Arc::new(StoreReader::new(Arc::new(MemoryStore::default())));
    let generation = Some(reader.generation().await.unwrap());
    let engine = engine();
    for (sample_movies, reason) in
        [(Vec::new(), Reason::UnknownUser), (vec![MovieId(1)], Reason::StoreUnavailable)]
    {
        let reader = Arc::clone(&reader);
        let source = StoreSource { reader, generation, sample_movies, histories: None };
        assert_eq!(source.load(UserId(9), &engine).await.missing(), Some(reason));
    }
}
