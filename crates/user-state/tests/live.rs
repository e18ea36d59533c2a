//! Users overlaid with live data, compared with users who had the same ratings from the start.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use proptest::prelude::*;
use sparrow_engine::{Embeddings, Engine, Reason};
use sparrow_features::UserWindow;
use sparrow_live::{Action, Limits, LiveStore as _, LiveUser, MemoryLive, Watermark, Write};
use sparrow_model::{Catalog, History, MovieId, MovieIndex, Stars, UserId, UserState};
use sparrow_neural::{EmbeddingTable, Similarity};
use sparrow_store::{
    Entry, Error as StoreError, FeatureStore, Fields, Generation, MemoryStore, Push, Read,
    StoredMovie, StoredUser, UserList,
};
use sparrow_test_support::catalogue;
use sparrow_user_state::{LiveSource, StoreReader, StoreSource, UserSource};

const MOVIES: u32 = 40;
const GENRES: [&str; 4] = ["Action", "Comedy", "Drama", "War"];

/// Movie `m` has the id m + 1. All but the last five have vectors.
fn engine(ratings: impl IntoIterator<Item = (u32, u32, u8, u32)>) -> Engine {
    let movies = (0..MOVIES).map(|m| {
        let genres = (0..4).filter(|g| (m + 1) >> g & 1 == 1).map(|g| GENRES[g]);
        catalogue::movie(m + 1, (m % 7 != 3).then_some(1950 + (m * 3) as u16), genres)
    });
    let catalog = Arc::new(catalogue::catalog(movies, ratings));
    let line = |m: u32| format!("{}:{} {} 0.5\n", m + 1, f64::from(m).sin(), f64::from(m).cos());
    let vectors: String = (0..MOVIES - 5).map(line).collect();
    let vectors = EmbeddingTable::read(vectors.as_bytes(), "test").unwrap();
    let users = EmbeddingTable::read(&b"1:1 0 0\n"[..], "test").unwrap();
    let embeddings = Embeddings::new(&vectors, users, Similarity::Cosine, &catalog).unwrap();
    Engine::builder(catalog).standard(Some(embeddings)).build().unwrap()
}

fn texts(history: &History<'_>, catalog: &Catalog) -> Vec<String> {
    UserWindow::of(history, catalog).features().texts(catalog.genres()).to_vec()
}

/// (movie, half stars; 0 removes, time)
type Change = (u32, u8, u32);

fn write(user: UserId, (movie, half_stars, time): Change) -> Write {
    let movie = MovieId(movie + 1);
    let action = Stars::from_half_stars(half_stars)
        .map_or(Action::Unrate(movie), |stars| Action::Rate(movie, stars));
    Write::new(user, action, time)
}

async fn live(writes: &[Write]) -> LiveSource {
    let store = MemoryLive::new(Limits::default());
    for outcome in store.write(writes).await {
        outcome.unwrap();
    }
    LiveSource { store: Arc::new(store), types: Arc::default() }
}

/// The ratings after the changes: of several for a movie, that with the greatest time counts, and among equal times the last.
fn expected(stored: &[Change], changes: &[Change]) -> Vec<(u32, u32, u8, u32)> {
    let mut ratings: BTreeMap<u32, (u32, u8)> = BTreeMap::new();
    for &(movie, half_stars, time) in stored.iter().chain(changes) {
        let newest = ratings.entry(movie).or_insert((time, half_stars));
        if time >= newest.0 {
            *newest = (time, half_stars);
        }
    }
    let left = ratings.into_iter().filter(|(_, (_, half_stars))| *half_stars > 0);
    left.map(|(movie, (time, half_stars))| (1, movie, half_stars, time)).collect()
}

fn changes(
    least: u8,
    count: impl Into<prop::collection::SizeRange>,
) -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec((0..MOVIES, least..=10, 1_000_000_000..1_000_000_020_u32), count)
}

proptest! {
    /// The history, the features to their last printed digit, the favourite genres and the vector are those of a user with
    /// the same ratings in the data set, wherever the rest of the ratings comes from.
    #[test]
    fn live_ratings_equal_ratings_from_the_start(stored in changes(1, 0..60), later in changes(0, 1..60)) {
        let distinct: BTreeMap<u32, Change> = stored.iter().map(|change| (change.0, *change)).collect();
        let stored: Vec<Change> = distinct.into_values().collect();
        let before = engine(stored.iter().map(|&(movie, half, time)| (1, movie, half, time)));
        let expected = expected(&stored, &later);
        let scratch = engine(expected.iter().copied());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let user = UserId(1);
        runtime.block_on(async {
            let writes: Vec<Write> = later.iter().map(|&change| write(user, change)).collect();
            let from_files = UserSource { store: None, live: Some(live(&writes).await) };
            let from_store =
                UserSource { store: Some(pushed(&stored).await), live: from_files.live.clone() };
            for source in [from_files, from_store] {
                let loaded = source.load(user, &before).await.unwrap();
                let catalog = before.catalog();
                let (history, empty) = (loaded.history().unwrap(), expected.is_empty());
                let got: Vec<_> = history.iter().map(|rated| (1, rated.movie.0, rated.stars.half_stars(), rated.timestamp)).collect();
                let mut wanted = expected.clone();
                wanted.sort_by_key(|&(_, movie, _, time)| (time, movie));
                assert_eq!(got, wanted);
                let Some(whole) = scratch.catalog().users().find(user) else {
                    assert!(empty);
                    // A store may have had an empty history before.
                    let missing = loaded.has_live_ratings().then_some(Reason::UnknownUser);
                    assert_eq!(loaded.missing(), missing);
                    continue;
                };
                assert_eq!(loaded.missing(), None);
                assert_eq!(texts(&history, catalog), texts(&whole, scratch.catalog()));
                let state = loaded.state();
                assert_eq!(state.favourite_genres, scratch.favourite_genres(&whole));
                if !loaded.has_live_ratings() {
                    // Nothing changed.
                    assert!(!state.is_updated);
                    continue;
                }
                assert!(state.features.is_none() && state.is_updated);
                let vector = scratch.embeddings().unwrap().vector_of(&whole);
                assert_eq!(loaded.vector(), vector.as_deref());
            }
        });
    }
}

/// A store with these ratings of user 1, and features and a vector that are of other ratings.
async fn pushed(stored: &[Change]) -> StoreSource {
    let rating = |&(movie, half_stars, timestamp): &Change| sparrow_store::StoredRating {
        movie: MovieId(movie + 1),
        stars: Stars::from_half_stars(half_stars).unwrap(),
        timestamp,
    };
    let mut stored = stored.to_vec();
    stored.sort_unstable_by_key(|&(movie, _, time)| (time, movie));
    let store = MemoryStore::default();
    let mut push = store.push().await.unwrap();
    let features = Fields([("userRatingCount".to_owned(), "77".to_owned())].into());
    let mut entries = vec![Entry::UserFeatures(UserId(2), features.clone())];
    // Without ratings, the store would not know whether the history is empty.
    if !stored.is_empty() {
        entries.extend([
            Entry::UserRatings(UserId(1), stored.iter().map(rating).collect()),
            Entry::UserEmbedding(UserId(1), vec![3.0, 4.0, 5.0]),
            Entry::UserFeatures(UserId(1), features),
        ]);
    }
    push.put(entries).await.unwrap();
    let generation = Some(push.commit().await.unwrap());
    let reader = Arc::new(StoreReader::new(Arc::new(store)));
    StoreSource { reader, generation, sample_movies: Vec::new(), histories: None }
}

fn event(user: u32, movie: u32, kind: &str, value: f32) -> Write {
    let action = Action::Event { movie: MovieId(movie + 1), kind: kind.into(), value };
    Write::new(UserId(user), action, 1_000_000_100)
}

#[tokio::test]
async fn user_without_live_data_is_that_of_the_catalogue_or_the_store() {
    let engine = engine([(1, 3, 9, 1_000_000_000)]);
    let live = Some(live(&[]).await);
    let source = UserSource { store: None, live: live.clone() };
    assert!(source.load(UserId(1), &engine).await.is_none());
    let source = UserSource { store: Some(pushed(&[(3, 9, 1_000_000_000)]).await), live };
    let user = source.load(UserId(1), &engine).await.unwrap();
    assert_eq!(user.features().unwrap().get("userRatingCount"), Some("77"));
    assert!(!user.state().is_updated && !user.has_live_ratings());
}

#[tokio::test]
async fn events_hide_show_as_seen_and_like() {
    let engine = engine([(1, 3, 9, 1_000_000_000)]);
    let live = live(&[
        event(1, 5, "dismiss", 1.0),
        event(1, 6, "dismiss", 1.0),
        event(1, 6, "dismiss", 0.0),
        event(1, 7, "watch", 0.2),
        event(1, 8, "like", 1.0),
        event(1, 9, "click", 1.0),
        // The rating counts instead.
        event(1, 3, "like", 1.0),
    ])
    .await;
    let source = UserSource { store: None, live: Some(live) };
    let user = source.load(UserId(1), &engine).await.unwrap();
    let UserState { history, also_rated, unseen, hidden, is_updated, embedding, .. } = user.state();
    let movies = |indices: &[u32]| indices.iter().copied().map(MovieIndex).collect::<Vec<_>>();
    assert_eq!(history.unwrap().movies().collect::<Vec<_>>(), movies(&[3, 8]));
    assert_eq!(history.unwrap().iter().last().unwrap().stars.value(), 4.0);
    assert_eq!(
        (also_rated, unseen, hidden),
        (&movies(&[7])[..], &movies(&[8])[..], &movies(&[5])[..])
    );
    let mut seen: Vec<MovieIndex> = user.state().seen_movies().collect();
    seen.sort_unstable();
    assert_eq!(seen, movies(&[3, 7]));
    // No rating.
    assert_eq!(user.history().unwrap().len(), 1);
    assert!(is_updated && !user.has_live_ratings());
    let vectors = engine.embeddings().unwrap();
    assert_eq!(embedding, vectors.vector_of(&history.unwrap()).as_deref());
}

#[tokio::test]
async fn features_without_a_history_are_kept() {
    let engine = engine([]);
    let live = live(&[write(UserId(2), (4, 8, 1_000_000_000))]).await;
    let source = UserSource { store: Some(pushed(&[]).await), live: Some(live) };
    let user = source.load(UserId(2), &engine).await.unwrap();
    assert_eq!(user.missing(), Some(Reason::NoHistory));
    assert_eq!(user.features().unwrap().get("userRatingCount"), Some("77"));
    assert_eq!(user.history().unwrap().len(), 1);
    assert!(!user.state().is_updated);
}

#[tokio::test]
async fn forgotten_user_has_only_what_came_later() {
    let engine = engine([(1, 3, 9, 1_000_000_000), (1, 4, 9, 1_000_000_000)]);
    let user = UserId(1);
    let forget = Write::new(user, Action::Forget, 1_000_000_050);
    let gone = UserSource { store: None, live: Some(live(std::slice::from_ref(&forget)).await) };
    let loaded = gone.load(user, &engine).await.unwrap();
    assert_eq!((loaded.is_empty(), loaded.missing()), (true, Some(Reason::UnknownUser)));
    let again = write(user, (7, 8, 1_000_000_060));
    let again = UserSource { store: None, live: Some(live(&[forget, again]).await) };
    let loaded = again.load(user, &engine).await.unwrap();
    let movies: Vec<MovieIndex> = loaded.history().unwrap().movies().collect();
    assert_eq!((movies, loaded.is_empty()), (vec![MovieIndex(7)], false));
}

/// A store that returns users with these live data, or this error.
#[derive(Debug)]
struct WithLive(MemoryStore, Result<Option<LiveUser>, StoreError>);

#[async_trait]
impl FeatureStore for WithLive {
    fn address(&self) -> &'static str {
        "test"
    }

    async fn users(&self, ids: &[UserId]) -> Result<Read<Vec<StoredUser>>, StoreError> {
        let live = self.1.clone()?;
        let mut read = self.0.users(ids).await?;
        read.value.iter_mut().for_each(|user| user.live.clone_from(&live));
        Ok(read)
    }

    async fn generation(&self) -> Result<Generation, StoreError> {
        self.0.generation().await
    }

    async fn movies(&self, ids: &[MovieId]) -> Result<Read<Vec<StoredMovie>>, StoreError> {
        self.0.movies(ids).await
    }

    async fn all_movies(&self) -> Result<Read<Vec<(MovieId, StoredMovie)>>, StoreError> {
        self.0.all_movies().await
    }

    async fn user_list(&self) -> Result<Read<UserList>, StoreError> {
        self.0.user_list().await
    }

    async fn embedding_info(&self) -> Result<Read<Option<String>>, StoreError> {
        self.0.embedding_info().await
    }

    async fn watermark(&self) -> Result<Read<Option<Watermark>>, StoreError> {
        self.0.watermark().await
    }

    async fn push(&self) -> Result<Box<dyn Push>, StoreError> {
        self.0.push().await
    }
}

/// The store for live data has other ratings, which show whether it was read.
#[tokio::test]
async fn live_data_that_the_store_returns_are_not_read_again() {
    let engine = engine([(1, 3, 9, 1_000_000_000)]);
    let id = UserId(1);
    let rating = |movie| write(id, (movie, 10, 1_000_000_100));
    let in_store = live(&[rating(5)]).await.user(id).await.unwrap();
    let other = live(&[rating(6)]).await;
    let load = async |live: Result<Option<LiveUser>, StoreError>| {
        let reader = StoreReader::new(Arc::new(WithLive(MemoryStore::default(), live)));
        let reader = Arc::new(reader.with_live_data());
        let generation = Some(Generation(0));
        let store = StoreSource { reader, generation, sample_movies: Vec::new(), histories: None };
        let source = UserSource { store: Some(store), live: Some(other.clone()) };
        let user = source.load(id, &engine).await.unwrap();
        let movies = user.history().map_or_else(Vec::new, |history| history.movies().collect());
        assert_eq!(
            source.read(id, &engine).await.is_ok(),
            user.missing() != Some(Reason::StoreUnavailable)
        );
        (movies, user.missing())
    };
    // A user of whom the store knows nothing else is complete.
    assert_eq!(load(Ok(Some(in_store))).await, (vec![MovieIndex(5)], None));
    let nothing = load(Ok(Some(LiveUser::default()))).await;
    assert_eq!(nothing, (Vec::new(), Some(Reason::UnknownUser)));
    // The store could not read them.
    assert_eq!(load(Ok(None)).await, (vec![MovieIndex(6)], None));
    let away = StoreError::Unavailable { store: "test".to_owned(), what: String::new() };
    let away = load(Err(away)).await;
    assert_eq!(away, (Vec::new(), Some(Reason::StoreUnavailable)));
}
