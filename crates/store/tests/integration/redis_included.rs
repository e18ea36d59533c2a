//! Pushes to a Redis that contains live data.

use sparrow_live::{Action, Limits, LiveStore, Sequence, Watermark, Write, partition};
use sparrow_model::{MovieId, Stars, UserId};
use sparrow_store::{
    Entry, FeatureStore, Location, MovieRatings, RedisLive, StoredRating, StoredUser, UserList,
};
use sparrow_test_redis::TestRedis;

use crate::redis::{open, options};
use crate::testsuite::{push, start, user_fields};

async fn live(redis: &TestRedis) -> RedisLive {
    let Location::Redis(location) = redis.url().parse().unwrap() else { panic!() };
    let live = RedisLive::open(&location, &options(), Limits::default()).unwrap();
    live.connected().await.unwrap();
    live
}

fn rate(user: u32, movie: u32) -> Write {
    let stars = Stars::from_half_stars(9).unwrap();
    Write::new(UserId(user), Action::Rate(MovieId(movie), stars), 50)
}

async fn write(live: &RedisLive, write: Write) -> Sequence {
    live.write(&[write]).await.remove(0).unwrap().sequence
}

/// The watermark with these writes.
fn watermark(writes: &[(u32, Sequence)]) -> Watermark {
    let mut watermark = Watermark::new(256);
    for &(user, sequence) in writes {
        watermark.advance(partition(UserId(user), 256), sequence);
    }
    watermark
}

fn rows(user: u32) -> Vec<Entry> {
    let stars = Stars::from_half_stars(9).unwrap();
    let rating = StoredRating { movie: MovieId(1), stars, timestamp: 50 };
    vec![
        Entry::UserFeatures(UserId(user), user_fields("1")),
        Entry::UserEmbedding(UserId(user), vec![1.0]),
        Entry::UserRatings(UserId(user), vec![rating]),
    ]
}

async fn stored(store: &dyn FeatureStore, user: u32) -> StoredUser {
    store.users(&[UserId(user)]).await.unwrap().value.remove(0)
}

async fn live_ratings(live: &RedisLive, user: u32) -> usize {
    live.users(&[UserId(user)]).await.unwrap()[0].ratings.len()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_push_drops_live_ratings_up_to_its_watermark_and_the_next_one_what_is_left() {
    let redis = TestRedis::start(&[]);
    let (store, live) = (open(&redis.url(), &options()).await, live(&redis).await);
    let one = write(&live, rate(1, 1)).await;
    let later = write(&live, rate(1, 2)).await;
    assert!(later > one);
    let included = watermark(&[(1, one)]);
    // A push that is not committed changes nothing.
    let mut dropped = start(&store).await;
    dropped.put(vec![Entry::Watermark(watermark(&[(1, later)]))]).await.unwrap();
    dropped.put(rows(1)).await.unwrap();
    dropped.abandon().await;
    assert_eq!(live_ratings(&live, 1).await, 2);
    push(&store, [vec![Entry::Watermark(included.clone())], rows(1)].concat()).await;
    let left = live.users(&[UserId(1)]).await.unwrap().remove(0);
    assert_eq!(left.ratings.iter().map(|it| it.sequence).collect::<Vec<_>>(), [later]);
    // As if the push had been killed before it dropped all: a push without a watermark completes it.
    let last = watermark(&[(1, later)]);
    redis.cli(&["SET", "sparrow:watermark", &last.to_csv()]);
    push(&store, rows(1)).await;
    assert_eq!(live_ratings(&live, 1).await, 0);
    assert_eq!(store.watermark().await.unwrap().value, Some(last));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn deleted_users_stay_deleted_through_later_pushes() {
    let redis = TestRedis::start(&[]);
    let (store, live) = (open(&redis.url(), &options()).await, live(&redis).await);
    push(&store, [rows(1), rows(2)].concat()).await;
    let deletion = write(&live, Write::new(UserId(1), Action::Forget, 60)).await;
    assert!(stored(&store, 1).await.is_empty());
    assert!(!stored(&store, 2).await.is_empty());
    let top = |user| sparrow_model::TopRating {
        user: UserId(user),
        stars: Stars::from_half_stars(9).unwrap(),
        timestamp: 50,
    };
    let of_movie = MovieRatings { count: 2, half_stars: 18, top: vec![top(1), top(2)] };
    let list = UserList { total: 2, most_active: vec![(UserId(1), 1, 9), (UserId(2), 1, 9)] };
    let old = || {
        let others =
            vec![Entry::MovieRatings(MovieId(1), of_movie.clone()), Entry::UserList(list.clone())];
        [rows(1), rows(2), others].concat()
    };
    for _ in 0..2 {
        push(&store, old()).await;
        assert!(stored(&store, 1).await.is_empty());
        assert!(!stored(&store, 2).await.is_empty());
        let read = store.movies(&[MovieId(1)]).await.unwrap().value.remove(0);
        assert_eq!(read.ratings.unwrap().top, [top(2)]);
        let read = store.user_list().await.unwrap().value;
        assert_eq!((read.total, read.most_active), (1, vec![(UserId(2), 1, 9)]));
    }
    // If the data contain no other user, all rows of the kinds are removed.
    push(&store, rows(1)).await;
    assert!(stored(&store, 2).await.is_empty());
    // Data that were exported after the deletion contain what the user wrote since.
    push(&store, [vec![Entry::Watermark(watermark(&[(1, deletion)]))], rows(1)].concat()).await;
    assert!(!stored(&store, 1).await.is_empty());
    assert_eq!(live.users(&[UserId(1)]).await.unwrap()[0].forgotten, Some(deletion));
    // Older files again, although a later watermark is in force.
    push(&store, rows(1)).await;
    assert!(stored(&store, 1).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_user_deleted_during_a_push_is_not_in_its_generation() {
    let redis = TestRedis::start(&[]);
    let (store, live) = (open(&redis.url(), &options()).await, live(&redis).await);
    push(&store, [rows(1), rows(2), rows(3)].concat()).await;
    let mut staged = start(&store).await;
    staged.put([rows(1), rows(2), rows(3)].concat()).await.unwrap();
    write(&live, Write::new(UserId(1), Action::Forget, 60)).await;
    let commit = tokio::spawn(staged.commit());
    // After the announcement, during the period of grace.
    sparrow_test_redis::wait_until("the announcement", || {
        redis.cli(&["GET", "sparrow:generation"]).contains("staged")
    });
    write(&live, Write::new(UserId(2), Action::Forget, 60)).await;
    commit.await.unwrap().unwrap();
    for (user, is_empty) in [(1, true), (2, true), (3, false)] {
        assert_eq!(stored(&store, user).await.is_empty(), is_empty, "user {user}");
    }
    assert_eq!(redis.cli(&["KEYS", "sparrow:new:*"]), "");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn streams_are_not_trimmed_beyond_what_a_consumer_group_has_read() {
    let redis = TestRedis::start(&[]);
    let live = live(&redis).await;
    let last = write(&live, rate(1, 1)).await;
    let stream = format!("sparrow:{{p{}}}:events", partition(UserId(1), 256));
    redis.cli(&["XGROUP", "CREATE", &stream, "example", "0"]);
    let included = watermark(&[(1, last)]);
    assert_eq!(live.trim(&included).await.unwrap(), 0);
    assert!(live.trimmed().await.unwrap().is_zero());
    redis.cli(&["XREADGROUP", "GROUP", "example", "one", "STREAMS", &stream, ">"]);
    assert_eq!(live.trim(&included).await.unwrap(), 1);
    assert_eq!(live.trimmed().await.unwrap(), included);
}
