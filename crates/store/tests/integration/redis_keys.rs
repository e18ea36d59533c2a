//! The keys in Redis: written by this program, and by others.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sparrow_features::{MOVIE_FIELDS, USER_FIELDS};
use sparrow_model::{MovieId, UserId};
use sparrow_store::{
    Entry, Error, FeatureStore, Fields, Generation, GuardOptions, Guarded, Kind, MovieRatings,
    Options, StoredRating, UserList,
};
use sparrow_test_redis::{TestCluster, TestRedis};

use crate::redis::{open, options};
use crate::testsuite::{push, stars};

fn fields(names: &[&str], values: &[&str]) -> Fields {
    let pairs = names.iter().zip(values);
    Fields(pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

const USER_VALUES: [&str; 15] =
    ["318", "50", "", "", "", "3", "1994", "0.00", "3.50", "2.18", "Drama", "Crime", "", "", ""];
const MOVIE_VALUES: [&str; 7] = ["Adventure", "Animation", "", "215", "1995", "3.92", "0.83"];

fn everything() -> Vec<Entry> {
    let rating = StoredRating { movie: MovieId(258), stars: stars(7), timestamp: 0x0102_0304 };
    vec![
        Entry::UserFeatures(UserId(6), fields(&USER_FIELDS, &USER_VALUES)),
        Entry::UserEmbedding(UserId(6), vec![0.25, -1.0, 1e-7]),
        Entry::UserRatings(UserId(6), vec![rating]),
        Entry::MovieFeatures(MovieId(1), fields(&MOVIE_FIELDS, &MOVIE_VALUES)),
        Entry::MovieEmbedding(MovieId(1), vec![0.5, 2.0]),
        Entry::MovieRatings(MovieId(1), MovieRatings { count: 2, half_stars: 17, top: Vec::new() }),
        Entry::UserList(UserList { total: 1, most_active: vec![(UserId(6), 1, 7)] }),
        Entry::EmbeddingInfo(r#"{"format":1,"method":"als","similarity":"dot"}"#.to_owned()),
    ]
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn plain_keys_follow_the_contract() {
    let redis = TestRedis::start(&[]);
    let store = open(&redis.url(), &options()).await;
    let generation = push(&store, everything()).await;

    for (name, value) in USER_FIELDS.iter().zip(USER_VALUES) {
        assert_eq!(redis.cli(&["HGET", "uf:6", name]), value, "{name}");
    }
    assert_eq!(redis.cli(&["HLEN", "uf:6"]), "15");
    for (name, value) in MOVIE_FIELDS.iter().zip(MOVIE_VALUES) {
        assert_eq!(redis.cli(&["HGET", "mf:1", name]), value, "{name}");
    }
    assert_eq!(redis.cli(&["HLEN", "mf:1"]), "7");
    assert_eq!(redis.cli(&["GET", "uEmb:6"]), "0.25 -1 1e-7");
    assert_eq!(redis.cli(&["GET", "i2vEmb:1"]), "0.5 2");
    assert_eq!(
        redis.cli(&["--no-raw", "GET", "sparrow:ratings:6"]),
        r#""\x01\x04\x03\x02\x01\x02\x01\x00\x00\a""#
    );
    assert_eq!(
        redis.cli(&["--no-raw", "GET", "sparrow:movie:1"]),
        r#""\x01\x02\x00\x00\x00\x11\x00\x00\x00""#
    );
    let info = r#"{"format":1,"method":"als","similarity":"dot"}"#;
    let stamped = info.replacen('{', &format!("{{\"generation\":{generation},"), 1);
    assert_eq!(redis.cli(&["GET", "sparrow:embedding"]), stamped);
    assert_eq!(store.embedding_info().await.unwrap().value.as_deref(), Some(info));
    let marker = redis.cli(&["GET", "sparrow:generation"]);
    assert!(marker.starts_with(&format!("{generation} plain ")), "{marker}");

    let mut keys: Vec<String> = redis.cli(&["KEYS", "*"]).lines().map(str::to_owned).collect();
    keys.sort();
    let mut expected: Vec<String> =
        everything().iter().map(Entry::key).chain(["sparrow:generation".to_owned()]).collect();
    expected.sort();
    assert_eq!(keys, expected, "no other keys remain");
    assert_eq!(redis.cli(&["TTL", "uf:6"]), "-1");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn prefix_database_and_time_to_live_apply_to_every_key() {
    let redis = TestRedis::start(&[]);
    let ttl = Some(Duration::from_hours(24));
    for prefix in ["shop*:", "{tag}:"] {
        let options = Options { prefix: prefix.to_owned(), ttl, ..options() };
        let store = open(&format!("{}/3", redis.url()), &options).await;
        push(&store, everything()).await;
        push(&store, everything()).await;
        assert_eq!(store.all_movies().await.unwrap().value.len(), 1);
    }
    let keys = redis.cli(&["-n", "3", "KEYS", "*"]);
    assert_eq!(keys.lines().count(), 18, "{keys}");
    for key in keys.lines() {
        assert!(key.starts_with("shop*:") || key.starts_with("{tag}:"), "{key}");
        let seconds: i64 = redis.cli(&["-n", "3", "TTL", key]).parse().unwrap();
        assert!((86_000..=86_400).contains(&seconds), "{key} lives {seconds} s");
    }
    assert_eq!(redis.cli(&["KEYS", "*"]), "", "nothing in database 0");
    // The pattern of one prefix does not match the keys of another.
    redis.cli(&["-n", "3", "SET", "shopping:i2vEmb:9", "1 2"]);
    let store =
        open(&format!("{}/3", redis.url()), &Options { prefix: "shop*:".to_owned(), ..options() })
            .await;
    assert_eq!(store.all_movies().await.unwrap().value.len(), 1);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn values_of_other_programs_are_read_unchanged() {
    let redis = TestRedis::start(&[]);
    redis.cli(&["HSET", "uf:6", "userRatedMovie1", "318", "userAvgRating", "3.92", "extra", "Ж"]);
    redis.cli(&["SET", "uEmb:6", "-0.125 0.5 1.0E-3"]);
    redis.cli(&["HSET", "mf:1", "movieGenre1", "Comedy"]);
    redis.cli(&["SET", "i2vEmb:2", "1 2 3"]);
    redis.cli(&["SET", "i2vEmb:not-a-number", "1 2 3"]);
    redis.cli(&["SET", "mf:01", "someone else's"]);
    let store = open(&redis.url(), &options()).await;

    assert_eq!(store.generation().await.unwrap(), Generation(0));
    let users = store.users(&[UserId(6), UserId(7)]).await.unwrap();
    assert_eq!(users.generation, Generation(0));
    let features = users.value[0].features.as_ref().unwrap();
    assert_eq!(features.get("userAvgRating"), Some("3.92"));
    assert_eq!(features.get("extra"), Some("Ж"));
    assert_eq!(features.get("userGenre1"), None);
    assert_eq!(users.value[0].embedding, Some(vec![-0.125, 0.5, 0.001]));
    assert_eq!(users.value[0].ratings, None);
    assert!(users.value[0].malformed.is_empty() && users.value[1].is_empty());
    let mut movies = store.all_movies().await.unwrap().value;
    movies.sort_by_key(|(id, _)| *id);
    assert_eq!(movies.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [1, 2]);

    // A push of embeddings alone does not change the other program's features.
    let generation = push(&store, vec![Entry::MovieEmbedding(MovieId(1), vec![1.0])]).await;
    assert!(generation > Generation(0));
    assert_eq!(redis.cli(&["EXISTS", "i2vEmb:2"]), "0");
    assert_eq!(redis.cli(&["HGET", "uf:6", "extra"]), "Ж");
    assert_eq!(
        redis.cli(&["EXISTS", "i2vEmb:not-a-number", "mf:01"]),
        "2",
        "foreign keys are not removed"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_huge_value_does_not_affect_other_users() {
    let redis = TestRedis::start(&[]);
    let store = open(&redis.url(), &options()).await;
    let users: Vec<Entry> =
        (1..=20).map(|id| Entry::UserEmbedding(UserId(id), vec![id as f32])).collect();
    push(&store, users).await;
    // 16 MiB, as a string and in a hash.
    redis.cli(&["SETRANGE", "uEmb:1", "16777215", "x"]);
    redis.cli(&["EVAL", "redis.call('HSET', 'uf:2', 'f', string.rep('x', 16777216))", "0"]);
    redis.cli(&["CONFIG", "RESETSTAT"]);
    for round in 0..200 {
        let id = 1 + round % 20;
        let read = store.users(&[UserId(id)]).await.unwrap();
        let user = &read.value[0];
        match id {
            1 | 2 => {
                assert_eq!(user.malformed.len(), 1, "{user:?}");
                assert!(user.malformed[0].what.contains("larger than 1048576 bytes"), "{user:?}");
                assert_eq!(user.embedding.is_some(), id == 2);
            }
            _ => assert_eq!(user.embedding, Some(vec![id as f32])),
        }
    }
    // Each of the two values was read once, or a few times on a busy machine, but not in each of 20
    // reads.
    let sent = redis.info("total_net_output_bytes");
    assert!(sent < 6 * 16 * 1024 * 1024, "{sent} bytes");
}

/// A value that cannot be skipped within the deadline is not a failure of the store.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_value_too_large_to_skip_in_time_is_not_a_failure_of_the_store() {
    let redis = TestRedis::start(&[]);
    let users = [1, 2].map(|id| Entry::UserEmbedding(UserId(id), vec![id as f32]));
    push(&open(&redis.url(), &options()).await, users.to_vec()).await;
    // 16 MiB, which take more than two seconds through this proxy.
    redis.cli(&["SETRANGE", "uEmb:1", "16777215", "x"]);
    let proxy = Proxy::paced(redis.port(), Duration::from_millis(10));
    let options = Options { deadline: Duration::from_millis(500), ..options() };
    let store = open(&format!("redis://127.0.0.1:{}", proxy.port), &options).await;
    let guard = GuardOptions { deadline: Duration::from_secs(2), ..GuardOptions::default() };
    let guarded = Guarded::new(Arc::new(store), guard);
    guarded.users(&[UserId(2)]).await.unwrap();
    match guarded.users(&[UserId(1)]).await {
        Err(Error::Malformed { key, what }) => {
            assert_eq!((&*key, &*what), ("uEmb:1", "is larger than 1048576 bytes"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(guarded.status().failures, 0);
    // The key is now excluded, and the connection is reopened.
    let both = [UserId(1), UserId(2)];
    let mut read = guarded.users(&both).await;
    for _ in 0..100 {
        if read.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        read = guarded.users(&both).await;
    }
    let read = read.unwrap();
    assert_eq!(read.value[0].malformed.len(), 1, "{read:?}");
    assert_eq!(read.value[1].embedding, Some(vec![2.0]));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_description_of_other_vectors_is_an_error() {
    let redis = TestRedis::start(&[]);
    let store = open(&redis.url(), &options()).await;
    let first = push(&store, everything()).await;
    let info = store.embedding_info().await.unwrap().value;
    // Unchanged vectors keep their description.
    let second = push(&store, vec![Entry::UserEmbedding(UserId(6), vec![1.0])]).await;
    assert_eq!(store.embedding_info().await.unwrap().value, info);
    let text = redis.cli(&["GET", "sparrow:embedding"]);
    assert!(text.starts_with(&format!("{{\"generation\":{second},\"format\":1")), "{text}");

    // An older loader replaces the vectors and keeps the description.
    redis.cli(&["SET", "i2vEmb:1", "9 9"]);
    let third = second.0 + 1;
    redis.cli(&["SET", "sparrow:generation", &format!("{third} plain old")]);
    match store.embedding_info().await {
        Err(Error::Malformed { key, what }) => {
            assert_eq!(key, "sparrow:embedding");
            assert!(what.contains(&format!("generation {second}, ")), "{what}");
            assert!(what.contains(&format!("generation {third}: ")), "{what}");
        }
        other => panic!("{other:?}"),
    }
    // A push of other kinds does not correct that.
    push(&store, vec![Entry::UserEmbedding(UserId(6), vec![2.0])]).await;
    assert!(store.embedding_info().await.is_err());
    // A new description does, and one of another program, without a generation, does as well.
    push(&store, everything()).await;
    assert_eq!(store.embedding_info().await.unwrap().value, info);
    assert!(first < second);
    redis.cli(&["SET", "sparrow:embedding", info.as_deref().unwrap()]);
    redis.cli(&["SET", "sparrow:generation", "9999999999 plain spark"]);
    assert_eq!(store.embedding_info().await.unwrap().value, info);
}

async fn fingerprint(store: &dyn FeatureStore) -> u64 {
    store.fingerprint().await.unwrap().unwrap()
}

/// Changes by another program to a store without generations change the fingerprint; other changes
/// do not.
async fn check_fingerprint(url: &str, cli: impl Fn(&[&str]) -> String) {
    let store = open(url, &options()).await;
    let mut fingerprints = vec![fingerprint(&store).await];
    for command in [
        &["HSET", "mf:1", "movieGenre1", "Comedy"][..],
        &["SET", "i2vEmb:1", "1 0 1"],
        &["SET", "i2vEmb:1", "1 0 2"],
        &["SET", "i2vEmb:2", "1 0 2"],
        &["HSET", "mf:1", "movieGenre1", "Drama"],
        &["DEL", "i2vEmb:1"],
    ] {
        cli(command);
        let now = fingerprint(&store).await;
        assert!(!fingerprints.contains(&now), "{command:?} does not change the fingerprint");
        fingerprints.push(now);
        for command in [
            &["SET", "sparrow:lock", "somebody"][..],
            &["DEL", "sparrow:lock"],
            &["HSET", "uf:1", "userGenre1", "Comedy"],
            &["SET", "i2vEmb:01", "someone else's"],
        ] {
            cli(command);
            assert_eq!(fingerprint(&store).await, now, "{command:?}");
        }
    }
    // The fingerprint is unnecessary if the writer announces a generation.
    cli(&["SET", "sparrow:generation", "1732650000 plain spark"]);
    assert_eq!(store.fingerprint().await.unwrap(), None);
    assert_eq!(store.generation().await.unwrap(), Generation(1_732_650_000));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn writes_of_other_programs_change_the_fingerprint() {
    let redis = TestRedis::start(&[]);
    check_fingerprint(&redis.url(), |command| redis.cli(command)).await;
    let cluster = TestCluster::start(3);
    let at_cluster = |command: &[&str]| cluster.nodes()[0].cli(&[&["-c"][..], command].concat());
    check_fingerprint(&cluster.url(), at_cluster).await;
    // A user without permission to read the counters.
    let redis = TestRedis::start(&[]);
    redis.cli(&["ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+@connection"]);
    let url = redis.url().replace("redis://", "redis://reader:secret@");
    check_fingerprint(&url, |command| redis.cli(command)).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn the_fingerprint_reads_no_movies_between_writes() {
    let redis = TestRedis::start(&[]);
    redis.cli(&["SET", "i2vEmb:1", "1 0 1"]);
    let store = open(&redis.url(), &options()).await;
    let first = fingerprint(&store).await;
    redis.cli(&["CONFIG", "RESETSTAT"]);
    for _ in 0..10 {
        assert_eq!(fingerprint(&store).await, first);
    }
    let executed = redis.command_calls();
    assert!(executed.iter().all(|(name, _)| name != "scan" && name != "mget"), "{executed:?}");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_malformed_value_does_not_affect_others() {
    let redis = TestRedis::start(&[]);
    let store = open(&redis.url(), &Options { prefix: "p:".to_owned(), ..options() }).await;
    let mut entries = everything();
    entries.push(Entry::UserEmbedding(UserId(7), vec![7.0]));
    push(&store, entries).await;
    redis.cli(&["SET", "p:uEmb:6", "0.5 many"]);
    redis.cli(&["SETRANGE", "p:sparrow:ratings:6", "0", "\u{2}"]);
    redis.cli(&["SET", "p:uf:7", "a string"]);
    redis.cli(&["SET", "p:mf:1", "a string"]);

    let users = store.users(&[UserId(6), UserId(7)]).await.unwrap().value;
    let faults: Vec<_> = users
        .iter()
        .flat_map(|user| &user.malformed)
        .map(|malformed| format!("{} {}", malformed.key, malformed.what))
        .collect();
    assert_eq!(
        faults,
        [
            "p:uEmb:6 \"many\" is not a finite number",
            "p:sparrow:ratings:6 has version 2, this program reads version 1",
            "p:uf:7 is not a hash",
        ]
    );
    assert!(users[0].features.is_some() && users[0].embedding.is_none());
    assert_eq!(users[1].embedding, Some(vec![7.0]));
    let movies = store.all_movies().await.unwrap().value;
    assert_eq!(movies[0].1.malformed.len(), 1);
    assert_eq!(movies[0].1.embedding, Some(vec![0.5, 2.0]));

    redis.cli(&["SET", "p:sparrow:users", "x"]);
    match store.user_list().await {
        Err(Error::Malformed { key, .. }) => assert_eq!(key, "p:sparrow:users"),
        other => panic!("{other:?}"),
    }
    redis.cli(&["SET", "p:sparrow:generation", "soon"]);
    let users = store.users(&[UserId(7)]).await.unwrap();
    assert_eq!(users.generation, Generation(0), "a malformed marker counts as missing");
    assert_eq!(users.value[0].embedding, Some(vec![7.0]));
}

/// Relays bytes between a client and a server, and counts the chunks.
struct Proxy {
    port: u16,
    requests: Arc<AtomicUsize>,
    answers: Arc<AtomicUsize>,
}

impl Proxy {
    fn before(port: u16) -> Self {
        Self::paced(port, Duration::ZERO)
    }

    /// Pauses after each full chunk of a reply.
    fn paced(port: u16, pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            requests: Arc::default(),
            answers: Arc::default(),
        };
        let counters = (Arc::clone(&proxy.requests), Arc::clone(&proxy.answers));
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (requests, answers) = counters.clone();
                thread::spawn(move || pass_on(from, to, &requests, Duration::ZERO));
                thread::spawn(move || pass_on(server, client, &answers, pause));
            }
        });
        proxy
    }

    fn counted(&self) -> (usize, usize) {
        (self.requests.load(Ordering::SeqCst), self.answers.load(Ordering::SeqCst))
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, pieces: &AtomicUsize, pause: Duration) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        pieces.fetch_add(1, Ordering::SeqCst);
        if length == buffer.len() {
            thread::sleep(pause);
        }
        if to.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

// Single-threaded, so that the client library's task cannot wake up before all commands are queued.
// On several threads it sometimes writes the first commands separately.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_users_features_take_one_round_trip() {
    const READS: usize = 200;
    let redis = TestRedis::start(&[]);
    let direct = open(&redis.url(), &options()).await;
    push(&direct, everything()).await;
    let proxy = Proxy::before(redis.port());
    let one = Options { connections: 1, ..options() };
    let store = open(&format!("redis://127.0.0.1:{}", proxy.port), &one).await;
    // The first read fetches the marker.
    store.users(&[UserId(6)]).await.unwrap();

    let before = proxy.counted();
    redis.cli(&["CONFIG", "RESETSTAT"]);
    for _ in 0..READS {
        let read = store.users(&[UserId(6)]).await.unwrap();
        assert!(read.value[0].features.is_some() && read.value[0].embedding.is_some());
    }
    let after = proxy.counted();
    assert_eq!((after.0 - before.0, after.1 - before.1), (READS, READS), "writes and replies");
    let mut executed = redis.command_calls();
    executed.retain(|(name, _)| name != "info" && !name.starts_with("config"));
    executed.sort();
    let per_read: Vec<_> = executed.iter().map(|(name, count)| (&**name, *count)).collect();
    let reads = READS as u64;
    assert_eq!(per_read, [("echo", 2 * reads), ("hgetall", reads), ("mget", reads)]);

    let before = proxy.counted();
    let ids: Vec<UserId> = (1..=50).map(UserId).collect();
    store.users(&ids).await.unwrap();
    assert_eq!(proxy.counted().1 - before.1, 1, "fifty users take one round trip, too");
}

#[test]
fn the_page_on_redis_lists_every_key() {
    let page = include_str!("../../../../docs/redis.md");
    for kind in Kind::ALL {
        let placeholder = match kind {
            Kind::UserFeatures | Kind::UserEmbedding | Kind::UserRatings => "{userId}",
            kind if kind.is_single() => "",
            _ => "{movieId}",
        };
        let row = format!("| `{}{placeholder}` |", kind.key_prefix());
        assert!(page.contains(&row), "docs/redis.md has no row {row}");
    }
    let others = ["sparrow:generation", "sparrow:lock", "sparrow:new:{…}", "sparrow:projected:{…}"];
    for key in others {
        assert!(page.contains(&format!("| `{key}` |")), "docs/redis.md has no row for {key}");
    }
    let listed = page.lines().filter(|line| line.starts_with("| `")).filter(|line| {
        ["`uf:", "`mf:", "`uEmb:", "`i2vEmb:", "`sparrow:"].iter().any(|key| line.contains(key))
    });
    let expected = Kind::ALL.len() + others.len();
    assert_eq!(listed.count(), expected, "docs/redis.md lists keys that do not exist");
    let defaults = format!("{:?}", Options::default());
    assert!(defaults.contains("deadline: 200ms") && page.contains("200 ms"));
}
