//! The contract of [`FeatureStore`] and [`Push`] as tests for any implementation.
//!
//! With the Cargo feature `testsuite`, tests of other crates call [`check`] with their own store. It panics at the
//! first violation.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sparrow_features::{MOVIE_FIELDS, USER_FIELDS};
use sparrow_live::{Sequence, Watermark};
use sparrow_model::{MovieId, Stars, TopRating, UserId};
use sparrow_store::{
    Entry, Error, FeatureStore, Fields, Generation, MovieRatings, Push, StoredMovie, StoredRating,
    StoredUser, UserList,
};

/// Two handles to one store, as in two processes.
pub type Handles = [Arc<dyn FeatureStore>; 2];

/// Checks a store. `fresh` returns two handles to an empty store; it is called a dozen times. Runs in a Tokio runtime with
/// several threads.
///
/// # Panics
/// If the store violates the contract.
pub async fn check(fresh: impl AsyncFn() -> Handles) {
    a_new_store_is_empty(&fresh().await).await;
    pushed_values_are_read_back(&fresh().await).await;
    extreme_values_are_read_back(&fresh().await).await;
    answers_are_in_the_order_of_the_ids(&fresh().await).await;
    pushed_kinds_are_replaced_and_others_unchanged(&fresh().await).await;
    a_description_is_replaced_with_its_vectors(&fresh().await).await;
    a_watermark_remains_until_a_later_one_is_pushed(&fresh().await).await;
    the_later_of_two_entries_counts(&fresh().await).await;
    staged_values_are_invisible_before_the_commit(&fresh().await).await;
    only_one_push_at_a_time(&fresh().await).await;
    unreadable_entries_are_rejected(&fresh().await).await;
    pushes_of_thousands_of_entries_are_complete(&fresh().await).await;
    readers_never_see_two_generations(&fresh().await).await;
}

/// Starts a push, after a push that was just dropped has released its lock.
pub(crate) async fn start(store: &dyn FeatureStore) -> Box<dyn Push> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match store.push().await {
            Ok(push) => return push,
            Err(Error::Refused { .. }) if Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("no push can be started: {error}"),
        }
    }
}

/// Pushes the entries as a generation.
pub(crate) async fn push(store: &dyn FeatureStore, entries: Vec<Entry>) -> Generation {
    let mut push = start(store).await;
    push.put(entries).await.unwrap();
    push.commit().await.unwrap()
}

/// Features of a user whose values contain field name and `stamp`.
pub(crate) fn user_fields(stamp: &str) -> Fields {
    Fields(USER_FIELDS.iter().map(|name| ((*name).to_owned(), stamp.to_owned())).collect())
}

fn movie_fields(stamp: &str) -> Fields {
    Fields(MOVIE_FIELDS.iter().map(|name| ((*name).to_owned(), stamp.to_owned())).collect())
}

pub(crate) fn stars(half_stars: u8) -> Stars {
    Stars::from_half_stars(half_stars).unwrap()
}

fn rating(movie: u32, half_stars: u8, timestamp: u32) -> StoredRating {
    StoredRating { movie: MovieId(movie), stars: stars(half_stars), timestamp }
}

fn top(user: u32, half_stars: u8, timestamp: u32) -> TopRating {
    TopRating { user: UserId(user), stars: stars(half_stars), timestamp }
}

async fn user(store: &dyn FeatureStore, id: u32) -> StoredUser {
    store.users(&[UserId(id)]).await.unwrap().value.remove(0)
}

async fn movie(store: &dyn FeatureStore, id: u32) -> StoredMovie {
    store.movies(&[MovieId(id)]).await.unwrap().value.remove(0)
}

async fn a_new_store_is_empty([a, b]: &Handles) {
    for store in [a, b] {
        assert_eq!(store.generation().await.unwrap(), Generation(0));
        let users = store.users(&[UserId(1), UserId(2)]).await.unwrap();
        assert_eq!(users.generation, Generation(0));
        assert_eq!(users.value, [StoredUser::default(), StoredUser::default()]);
        assert!(users.value.iter().all(StoredUser::is_empty));
        assert!(store.movies(&[MovieId(1)]).await.unwrap().value[0].is_empty());
        assert_eq!(store.users(&[]).await.unwrap().value, []);
        assert_eq!(store.movies(&[]).await.unwrap().value, []);
        assert_eq!(store.all_movies().await.unwrap().value, []);
        assert_eq!(store.user_list().await.unwrap().value, UserList::default());
        assert_eq!(store.embedding_info().await.unwrap().value, None);
        assert!(!store.address().is_empty());
    }
}

async fn a_watermark_remains_until_a_later_one_is_pushed([a, b]: &Handles) {
    let watermark = |sequences: [u64; 2]| {
        let mut watermark = Watermark::new(2);
        for (partition, count) in (0..).zip(sequences) {
            watermark.advance(partition, Sequence { milliseconds: 5, count });
        }
        watermark
    };
    let stored = async || b.watermark().await.unwrap().value;
    assert_eq!(stored().await, None);
    let vector = || Entry::UserEmbedding(UserId(6), vec![1.0]);
    push(a.as_ref(), vec![Entry::Watermark(watermark([3, 4])), vector()]).await;
    assert_eq!(stored().await, Some(watermark([3, 4])));
    // A push that fails, or is dropped, changes nothing.
    let mut dropped = start(a.as_ref()).await;
    dropped.put(vec![Entry::Watermark(watermark([9, 9])), vector()]).await.unwrap();
    drop(dropped);
    let generation = push(b.as_ref(), vec![vector()]).await;
    let read = a.watermark().await.unwrap();
    assert_eq!((read.generation, read.value), (generation, Some(watermark([3, 4]))));
    for older in [watermark([2, 9]), Watermark::new(2)] {
        let error = start(a.as_ref()).await.put(vec![Entry::Watermark(older)]).await.unwrap_err();
        assert!(
            matches!(&error, Error::Refused { what, .. } if what.contains("partition 0")),
            "{error}"
        );
    }
    assert_eq!(stored().await, Some(watermark([3, 4])));
    push(b.as_ref(), vec![Entry::Watermark(watermark([3, 5])), vector()]).await;
    assert_eq!(stored().await, Some(watermark([3, 5])));
    // Other live data.
    push(a.as_ref(), vec![Entry::Watermark(Watermark::new(1)), vector()]).await;
    assert_eq!(stored().await, Some(Watermark::new(1)));
}

async fn pushed_values_are_read_back([a, b]: &Handles) {
    let list =
        UserList { total: 7, most_active: vec![(UserId(6), 314, 2463), (UserId(2), 29, 229)] };
    let ratings = MovieRatings { count: 3, half_stars: 25, top: vec![top(6, 10, 5), top(7, 9, 9)] };
    let history = vec![rating(9, 7, 5), rating(12, 1, 5), rating(3, 10, 6)];
    let generation = push(
        a.as_ref(),
        vec![
            Entry::UserFeatures(UserId(6), user_fields("3.92")),
            Entry::UserEmbedding(UserId(6), vec![0.1, -2.5e-8]),
            Entry::UserRatings(UserId(6), history.clone()),
            Entry::MovieFeatures(MovieId(1), movie_fields("Adventure")),
            Entry::MovieEmbedding(MovieId(1), vec![1.0, 2.0, 3.0]),
            Entry::MovieRatings(MovieId(1), ratings.clone()),
            Entry::UserList(list.clone()),
            Entry::EmbeddingInfo(INFO.to_owned()),
        ],
    )
    .await;
    assert!(generation > Generation(0));
    for store in [a, b] {
        assert_eq!(store.generation().await.unwrap(), generation);
        let users = store.users(&[UserId(6)]).await.unwrap();
        assert_eq!(users.generation, generation);
        let mut user = users.value.into_iter().next().unwrap();
        if let Some(fields) = &mut user.features {
            assert_eq!(fields.get("userGenre1"), Some("3.92"));
            fields.0.sort_by_key(|(name, _)| USER_FIELDS.iter().position(|known| known == name));
        }
        let expected = StoredUser {
            features: Some(user_fields("3.92")),
            embedding: Some(vec![0.1, -2.5e-8]),
            ratings: Some(history.clone()),
            live: None,
            malformed: Vec::new(),
        };
        assert_eq!(user, expected);
        let mut movie = movie(store.as_ref(), 1).await;
        if let Some(fields) = &mut movie.features {
            fields.0.sort_by_key(|(name, _)| MOVIE_FIELDS.iter().position(|known| known == name));
        }
        let expected = StoredMovie {
            features: Some(movie_fields("Adventure")),
            embedding: Some(vec![1.0, 2.0, 3.0]),
            ratings: Some(ratings.clone()),
            malformed: Vec::new(),
        };
        assert_eq!(movie, expected);
        let users = store.user_list().await.unwrap();
        assert_eq!((users.generation, users.value), (generation, list.clone()));
        let info = store.embedding_info().await.unwrap();
        assert_eq!((info.generation, info.value.as_deref()), (generation, Some(INFO)));
        assert_eq!(store.fingerprint().await.unwrap(), None);
        assert_eq!(store.all_movies().await.unwrap().value.len(), 1);
    }
}

async fn extreme_values_are_read_back([a, b]: &Handles) {
    let (first, last) = (UserId(0), UserId(u32::MAX));
    let texts = ["", " ", "Sci-Fi & más \u{1F3AC}", "a\r\nb\0c", "\"quoted\""];
    let fields = Fields(texts.iter().map(|text| (format!("f{text}"), (*text).into())).collect());
    let vector =
        vec![f32::MAX, f32::MIN_POSITIVE, 1e-45, -0.0, f32::EPSILON, 16_777_217.0, -1.0 / 3.0];
    let history = vec![rating(0, 1, 0), rating(u32::MAX, 10, u32::MAX)];
    push(
        a.as_ref(),
        vec![
            Entry::UserFeatures(first, fields.clone()),
            Entry::UserEmbedding(last, vector.clone()),
            Entry::UserRatings(last, history.clone()),
            Entry::UserRatings(first, Vec::new()),
            Entry::MovieEmbedding(MovieId(u32::MAX), vector.clone()),
            Entry::MovieRatings(
                MovieId(u32::MAX),
                MovieRatings { count: u32::MAX, half_stars: u32::MAX, top: Vec::new() },
            ),
        ],
    )
    .await;
    let users = b.users(&[first, last]).await.unwrap().value;
    let mut stored = users[0].features.clone().unwrap();
    stored.0.sort();
    let mut expected = fields;
    expected.0.sort();
    assert_eq!(stored, expected);
    assert_eq!(users[0].ratings, Some(Vec::new()));
    let bits = |vector: &[f32]| vector.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(users[1].embedding.as_ref().unwrap()), bits(&vector));
    assert_eq!(users[1].ratings, Some(history));
    let movies = b.all_movies().await.unwrap().value;
    assert_eq!(movies.len(), 1);
    assert_eq!(movies[0].0, MovieId(u32::MAX));
    assert_eq!(movies[0].1.ratings.as_ref().unwrap().half_stars, u32::MAX);
}

async fn answers_are_in_the_order_of_the_ids([a, b]: &Handles) {
    let entries = [3, 1, 2]
        .into_iter()
        .flat_map(|id| {
            [
                Entry::UserEmbedding(UserId(id), vec![id as f32]),
                Entry::MovieEmbedding(MovieId(id), vec![id as f32 + 0.5]),
            ]
        })
        .collect();
    push(a.as_ref(), entries).await;
    let users = b.users(&[2, 9, 3, 2, 1].map(UserId)).await.unwrap().value;
    let firsts: Vec<_> = users.iter().map(|user| user.embedding.as_ref().map(|v| v[0])).collect();
    assert_eq!(firsts, [Some(2.0), None, Some(3.0), Some(2.0), Some(1.0)]);
    let movies = b.movies(&[3, 9, 1].map(MovieId)).await.unwrap().value;
    let firsts: Vec<_> =
        movies.iter().map(|movie| movie.embedding.as_ref().map(|v| v[0])).collect();
    assert_eq!(firsts, [Some(3.5), None, Some(1.5)]);
}

async fn pushed_kinds_are_replaced_and_others_unchanged([a, b]: &Handles) {
    let first = push(
        a.as_ref(),
        vec![
            Entry::UserFeatures(UserId(1), user_fields("old")),
            Entry::UserFeatures(UserId(2), user_fields("old")),
            Entry::UserEmbedding(UserId(2), vec![2.0]),
            Entry::MovieFeatures(MovieId(5), movie_fields("old")),
            Entry::MovieEmbedding(MovieId(5), vec![5.0]),
            Entry::MovieEmbedding(MovieId(6), vec![6.0]),
            Entry::UserList(UserList { total: 2, most_active: Vec::new() }),
        ],
    )
    .await;
    let narrow = Fields(vec![("userGenre1".to_owned(), "new".to_owned())]);
    let second = push(
        b.as_ref(),
        vec![
            Entry::UserFeatures(UserId(2), narrow.clone()),
            Entry::UserFeatures(UserId(3), user_fields("new")),
            Entry::MovieEmbedding(MovieId(6), vec![6.5]),
        ],
    )
    .await;
    assert!(second > first);
    for store in [a, b] {
        assert_eq!(store.generation().await.unwrap(), second);
        assert!(user(store.as_ref(), 1).await.is_empty());
        let changed = user(store.as_ref(), 2).await;
        assert_eq!(
            changed.features.as_ref(),
            Some(&narrow),
            "the fields of the older hash are removed"
        );
        assert_eq!(changed.embedding, Some(vec![2.0]));
        assert!(user(store.as_ref(), 3).await.features.is_some());
        let less = movie(store.as_ref(), 5).await;
        assert!(less.features.is_some() && less.embedding.is_none());
        assert_eq!(movie(store.as_ref(), 6).await.embedding, Some(vec![6.5]));
        assert_eq!(store.user_list().await.unwrap().value.total, 2);
        let mut movies = store.all_movies().await.unwrap().value;
        movies.sort_by_key(|(id, _)| *id);
        let ids: Vec<_> = movies.iter().map(|(id, _)| id.0).collect();
        assert_eq!(ids, [5, 6]);
        assert!(movies[0].1.embedding.is_none());
    }
    // An empty push is a generation with unchanged values.
    let third = push(a.as_ref(), Vec::new()).await;
    assert!(third > second);
    assert_eq!(user(b.as_ref(), 2).await.embedding, Some(vec![2.0]));
}

const INFO: &str = r#"{"format":1,"method":"als","similarity":"dot"}"#;

async fn a_description_is_replaced_with_its_vectors([a, b]: &Handles) {
    let info = |text: &str| Entry::EmbeddingInfo(text.to_owned());
    let movie = |value| Entry::MovieEmbedding(MovieId(1), vec![value]);
    let read = async || b.embedding_info().await.unwrap().value;
    push(a.as_ref(), vec![movie(1.0), info("first")]).await;
    assert_eq!(read().await.as_deref(), Some("first"));
    push(a.as_ref(), vec![Entry::UserEmbedding(UserId(1), vec![1.0])]).await;
    assert_eq!(read().await.as_deref(), Some("first"), "other kinds do not change it");
    push(a.as_ref(), vec![info("second")]).await;
    assert_eq!(read().await.as_deref(), Some("second"));
    assert_eq!(self::movie(b.as_ref(), 1).await.embedding, Some(vec![1.0]));
    push(a.as_ref(), vec![movie(2.0)]).await;
    assert_eq!(read().await, None, "it does not describe the new vectors");
}

async fn the_later_of_two_entries_counts([a, b]: &Handles) {
    let embedding = |value| Entry::UserEmbedding(UserId(1), vec![value]);
    let features =
        |name: &str| Fields(vec![(name.to_owned(), "1".to_owned()), ("both".into(), name.into())]);
    let mut push = start(a.as_ref()).await;
    let twice = ["first", "second"].map(|name| Entry::UserFeatures(UserId(1), features(name)));
    push.put(twice.to_vec()).await.unwrap();
    push.put(vec![embedding(1.0), embedding(2.0)]).await.unwrap();
    push.put(vec![embedding(3.0), Entry::UserFeatures(UserId(1), features("third"))])
        .await
        .unwrap();
    push.commit().await.unwrap();
    let user = user(b.as_ref(), 1).await;
    assert_eq!(user.embedding, Some(vec![3.0]));
    let mut stored = user.features.unwrap();
    stored.0.sort();
    let mut expected = features("third");
    expected.0.sort();
    assert_eq!(stored, expected);
}

async fn staged_values_are_invisible_before_the_commit([a, b]: &Handles) {
    let first = push(a.as_ref(), vec![Entry::UserEmbedding(UserId(1), vec![1.0])]).await;
    let mut dropped = start(a.as_ref()).await;
    let changes = vec![
        Entry::UserEmbedding(UserId(1), vec![9.0]),
        Entry::UserEmbedding(UserId(2), vec![9.0]),
        Entry::MovieEmbedding(MovieId(2), vec![9.0]),
    ];
    dropped.put(changes).await.unwrap();
    let unchanged = async || {
        for store in [a, b] {
            let users = store.users(&[UserId(1), UserId(2)]).await.unwrap();
            assert_eq!(users.generation, first);
            assert_eq!(users.value[0].embedding, Some(vec![1.0]));
            assert!(users.value[1].is_empty());
            assert_eq!(store.all_movies().await.unwrap().value, []);
        }
    };
    unchanged().await;
    drop(dropped);
    unchanged().await;
    let second = push(b.as_ref(), vec![Entry::UserRatings(UserId(1), Vec::new())]).await;
    assert!(second > first);
    let users = a.users(&[UserId(1), UserId(2)]).await.unwrap();
    assert_eq!(users.value[0].embedding, Some(vec![1.0]));
    assert!(users.value[1].is_empty(), "values of the dropped push must not reappear");
    assert_eq!(a.all_movies().await.unwrap().value, []);
}

async fn only_one_push_at_a_time([a, b]: &Handles) {
    let mut first = start(a.as_ref()).await;
    for store in [a, b] {
        match store.push().await.map(|_| ()) {
            Err(Error::Refused { what, .. }) => {
                assert!(what.contains("push is in progress"), "{what}");
            }
            other => panic!("a concurrent push: {other:?}"),
        }
    }
    first.put(vec![Entry::UserEmbedding(UserId(1), vec![1.0])]).await.unwrap();
    first.commit().await.unwrap();
    let next = start(b.as_ref()).await;
    assert_eq!(user(b.as_ref(), 1).await.embedding, Some(vec![1.0]));
    drop(next);
}

async fn unreadable_entries_are_rejected([a, b]: &Handles) {
    let bad = [
        Entry::UserEmbedding(UserId(1), Vec::new()),
        Entry::MovieEmbedding(MovieId(1), vec![1.0, f32::NAN]),
        Entry::UserFeatures(UserId(1), Fields::default()),
        Entry::EmbeddingInfo(String::new()),
        Entry::MovieFeatures(MovieId(1), Fields(vec![(String::new(), "1".to_owned())])),
        Entry::UserRatings(UserId(1), vec![rating(2, 2, 5), rating(1, 2, 5)]),
    ];
    for entry in bad {
        let mut push = start(a.as_ref()).await;
        push.put(vec![Entry::UserEmbedding(UserId(2), vec![2.0])]).await.unwrap();
        let error = push.put(vec![entry.clone()]).await.unwrap_err();
        match &error {
            Error::Malformed { key, .. } => assert!(key.ends_with(&entry.key()), "{error}"),
            _ => panic!("{entry:?}: {error}"),
        }
        assert!(matches!(push.commit().await, Err(Error::Refused { .. })), "the push has failed");
    }
    assert_eq!(b.generation().await.unwrap(), Generation(0));
    assert!(user(b.as_ref(), 2).await.is_empty());
}

async fn pushes_of_thousands_of_entries_are_complete([a, b]: &Handles) {
    const COUNT: u32 = 3000;
    let mut push = start(a.as_ref()).await;
    for first in (0..COUNT).step_by(700) {
        let ids = first..COUNT.min(first + 700);
        let entries = ids
            .flat_map(|id| {
                let stamp = id.to_string();
                [
                    Entry::UserFeatures(UserId(id), user_fields(&stamp)),
                    Entry::UserEmbedding(UserId(id), vec![id as f32; 10]),
                    Entry::UserRatings(UserId(id), vec![rating(id, 3, id); 1]),
                    Entry::MovieFeatures(MovieId(id * 7), movie_fields(&stamp)),
                    Entry::MovieEmbedding(MovieId(id * 7), vec![id as f32; 10]),
                ]
            })
            .collect();
        push.put(entries).await.unwrap();
    }
    push.commit().await.unwrap();

    let ids: Vec<UserId> = (0..COUNT).map(UserId).collect();
    for some in ids.chunks(200) {
        let users = b.users(some).await.unwrap().value;
        for (id, user) in some.iter().zip(users) {
            let stamp = id.to_string();
            assert!(user.features.as_ref().unwrap().0.iter().all(|(_, value)| *value == stamp));
            assert_eq!(user.embedding, Some(vec![id.0 as f32; 10]));
            assert_eq!(user.ratings.as_ref().unwrap()[0].movie, MovieId(id.0));
        }
    }
    let mut movies = b.all_movies().await.unwrap().value;
    movies.sort_by_key(|(id, _)| *id);
    assert_eq!(movies.len(), COUNT as usize);
    for (at, (id, movie)) in movies.iter().enumerate() {
        assert_eq!(id.0 as usize, at * 7);
        assert_eq!(movie.features.as_ref().unwrap().get("movieGenre1"), Some(&*at.to_string()));
        assert_eq!(movie.embedding, Some(vec![at as f32; 10]));
    }
}

/// The entries of generation `number` in [`readers_never_see_two_generations`]: user 0 is in every
/// generation, the others in some, and every value contains the number.
fn stamped(number: u32) -> Vec<Entry> {
    (0..USERS)
        .filter(|&user| is_in(number, user))
        .flat_map(|user| {
            [
                Entry::UserFeatures(UserId(user), user_fields(&number.to_string())),
                Entry::UserEmbedding(UserId(user), vec![number as f32]),
                Entry::UserRatings(UserId(user), vec![rating(number, 3, user)]),
                Entry::MovieEmbedding(MovieId(user), vec![number as f32]),
            ]
        })
        .collect()
}

const USERS: u32 = 120;

fn is_in(number: u32, user: u32) -> bool {
    user.is_multiple_of(5) || !(user + number).is_multiple_of(3)
}

/// Checks that the users belong to one complete generation; returns its number.
fn number_of(users: &[StoredUser]) -> u32 {
    let number = users[0].embedding.as_ref().unwrap()[0] as u32;
    for (id, user) in (0..).zip(users) {
        if !is_in(number, id) {
            assert!(user.is_empty(), "user {id} is not in {number}: {user:?}");
            continue;
        }
        assert_eq!(user.embedding, Some(vec![number as f32]), "user {id}");
        assert_eq!(user.ratings.as_ref().map(|all| all[0].movie), Some(MovieId(number)));
        let features = user.features.as_ref().unwrap();
        assert_eq!(features.0.len(), USER_FIELDS.len());
        assert!(features.0.iter().all(|(_, value)| *value == number.to_string()), "user {id}");
    }
    number
}

/// A read that times out on a busy machine is not a failure of the test.
fn in_time<T>(read: Result<T, Error>) -> Option<T> {
    match read {
        Err(Error::TimedOut { .. }) => None,
        read => Some(read.unwrap()),
    }
}

async fn readers_never_see_two_generations([a, b]: &Handles) {
    const ROUNDS: u32 = 6;
    push(a.as_ref(), stamped(1)).await;
    let last_read: Arc<[AtomicU32; 4]> = Arc::default();
    let readers: Vec<_> = [a, b, a, b]
        .into_iter()
        .enumerate()
        .map(|(reader, store)| {
            let (store, last_read) = (Arc::clone(store), Arc::clone(&last_read));
            tokio::spawn(async move {
                let ids: Vec<UserId> = (0..USERS).map(UserId).collect();
                let mut last = (Generation(0), 0);
                while last.1 < ROUNDS {
                    let now = if reader == 3 {
                        let Some(read) = in_time(store.all_movies().await) else { continue };
                        let mut movies = read.value;
                        movies.sort_by_key(|(id, _)| *id);
                        let number = movies[0].1.embedding.as_ref().unwrap()[0];
                        let expected = (0..USERS).filter(|&id| is_in(number as u32, id));
                        assert!(movies.iter().map(|(id, _)| id.0).eq(expected), "of {number}");
                        for (id, movie) in &movies {
                            assert_eq!(movie.embedding, Some(vec![number]), "movie {id}");
                        }
                        (read.generation, number as u32)
                    } else {
                        let Some(read) = in_time(store.users(&ids).await) else { continue };
                        (read.generation, number_of(&read.value))
                    };
                    assert!(now >= last, "{now:?} after {last:?}");
                    // The data of a generation do not change.
                    assert!((now.0 == last.0) == (now.1 == last.1), "{now:?} after {last:?}");
                    last = now;
                    last_read[reader].store(now.1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for number in 2..=ROUNDS {
        push(b.as_ref(), stamped(number)).await;
        let all_read =
            || last_read.iter().all(|last_read| last_read.load(Ordering::Relaxed) == number);
        while !all_read() && !readers.iter().any(tokio::task::JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
}
