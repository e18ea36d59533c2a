//! Real Redis servers, inspected with a minimal client.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};

use sparrow_test_redis::{Fault, LossyProxy, TestCluster, TestRedis, wait_until};
use tempfile::TempDir;

use crate::contract;
use crate::support::{Running, data_set, ends, fails, loader, succeeds, vectors};

/// A reply of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Raw {
    Nothing,
    Number(i64),
    Bytes(Vec<u8>),
    List(Vec<Self>),
}

/// A client with one connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(server: &TestRedis) -> Self {
        Self(BufReader::new(TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap()))
    }

    fn ask(&mut self, words: &[&str]) -> Raw {
        let mut line = format!("*{}\r\n", words.len());
        for word in words {
            write!(line, "${}\r\n{word}\r\n", word.len()).unwrap();
        }
        self.0.get_mut().write_all(line.as_bytes()).unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Raw {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let rest = line[1..].trim_end();
        match &line[..1] {
            ":" => Raw::Number(rest.parse().unwrap()),
            "+" => Raw::Bytes(rest.as_bytes().to_vec()),
            "$" if rest == "-1" => Raw::Nothing,
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                Raw::Bytes(bytes)
            }
            "*" => Raw::List((0..rest.parse().unwrap()).map(|_| self.answer()).collect()),
            _ => panic!("{line}"),
        }
    }

    fn text(&mut self, words: &[&str]) -> String {
        match self.ask(words) {
            Raw::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
            other => panic!("{words:?}: {other:?}"),
        }
    }

    fn number(&mut self, words: &[&str]) -> i64 {
        match self.ask(words) {
            Raw::Number(number) => number,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    fn hash(&mut self, key: &str) -> BTreeMap<String, String> {
        let Raw::List(list) = self.ask(&["HGETALL", key]) else { panic!("{key}") };
        let texts: Vec<String> = list
            .into_iter()
            .map(|it| match it {
                Raw::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
                other => panic!("{key}: {other:?}"),
            })
            .collect();
        texts.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }

    /// All keys, including the internal ones of the store, sorted.
    fn keys(&mut self, pattern: &str) -> Vec<String> {
        let (mut cursor, mut keys) = ("0".to_owned(), Vec::new());
        loop {
            let asked = ["SCAN", &cursor.clone(), "MATCH", pattern, "COUNT", "1000"];
            let Raw::List(page) = self.ask(&asked) else { panic!("{pattern}") };
            let [Raw::Bytes(next), Raw::List(found)] = &page[..] else { panic!("{page:?}") };
            keys.extend(found.iter().map(|key| match key {
                Raw::Bytes(key) => String::from_utf8(key.clone()).unwrap(),
                other => panic!("{other:?}"),
            }));
            cursor = String::from_utf8(next.clone()).unwrap();
            if cursor == "0" {
                keys.sort();
                keys.dedup();
                return keys;
            }
        }
    }
}

fn run(data: &Path, store: &str) -> (TempDir, String) {
    let out = tempfile::tempdir().unwrap();
    let printed = succeeds("run --data {} --out {} --store {} --epochs 2", &[&data, &out, &store]);
    (out, printed)
}

/// Compares the fields of the contract; a hash may contain later features beside them.
fn assert_fields(stored: &BTreeMap<String, String>, expected: BTreeMap<String, String>, key: &str) {
    for (field, value) in expected {
        assert_eq!(stored.get(&field), Some(&value), "{key} {field}");
    }
}

/// Compares every key with the definitions.
fn holds_the_contract(redis: &TestRedis, prefix: &str, data: &Path, embeddings: &Path) {
    let plain = contract::read(data);
    let mut client = Client::new(redis);
    let mut expected = Vec::new();
    for history in plain.histories() {
        let user = history[0].user;
        let key = format!("{prefix}uf:{user}");
        assert_fields(&client.hash(&key), plain.user_features(history), &key);
        expected.push(key);
        let key = format!("{prefix}sparrow:ratings:{user}");
        let mut packed = vec![1];
        for rating in history {
            packed.extend(rating.timestamp.to_le_bytes());
            packed.extend(rating.movie.to_le_bytes());
            packed.push((rating.stars * 2.0) as u8);
        }
        assert_eq!(client.ask(&["GET", &key]), Raw::Bytes(packed), "{key}");
        expected.push(key);
    }
    for movie in plain.rated_movies() {
        let key = format!("{prefix}mf:{movie}");
        assert_fields(&client.hash(&key), plain.movie_features(movie, u32::MAX), &key);
        expected.push(key);
        expected.push(format!("{prefix}sparrow:movie:{movie}"));
    }
    for (file, kind) in [("userEmb.csv", "uEmb"), ("item2vecEmb.csv", "i2vEmb")] {
        for line in std::fs::read_to_string(embeddings.join(file)).unwrap().lines() {
            let (id, vector) = line.split_once(':').unwrap();
            let key = format!("{prefix}{kind}:{id}");
            let stored = client.text(&["GET", &key]);
            let numbers = |text: &str| -> Vec<f32> {
                text.split(' ').map(|number| number.parse().unwrap()).collect()
            };
            assert_eq!(numbers(&stored), numbers(vector), "{key}");
            expected.push(key);
        }
    }
    for key in ["sparrow:users", "sparrow:embedding", "sparrow:generation"] {
        expected.push(format!("{prefix}{key}"));
    }
    expected.sort();
    assert_eq!(client.keys("*"), expected);
}

#[test]
#[ignore = "needs redis-server"]
fn run_writes_exactly_the_documented_keys() {
    let (data, redis) = (data_set(), TestRedis::start(&[]));
    // Old entries that are not pushed again are removed.
    redis.cli(&["HSET", "uf:987654", "userGenre1", "Drama"]);
    redis.cli(&["SET", "i2vEmb:987654", "0.5"]);
    let (out, printed) = run(data.path(), &redis.url());
    holds_the_contract(&redis, "", data.path(), out.path());
    for word in ["redis-cli", "hgetall uf:", "sparrow-loader verify", "sparrow-serve"] {
        assert!(printed.contains(word), "{word} in {printed}");
    }
    let all: [&dyn AsRef<Path>; 4] = [&data, &out, &out, &redis.url()];
    let line = "verify --data {} --features {} --embeddings {} --store {} --sample all";
    assert!(succeeds(line, &all).contains("\n0 differences"));
    // `verify` reports changes by other clients.
    redis.cli(&["HSET", "uf:7", "userGenre1", "Opera"]);
    redis.cli(&["SET", "uEmb:8", "no numbers"]);
    redis.cli(&["DEL", "mf:1"]);
    let (printed, _) = ends(5, &mut loader(line, &all));
    assert!(
        printed.contains("uf:7 userGenre1: ") && printed.contains("\"Opera\" in the store"),
        "{printed}"
    );
    assert!(printed.contains("uEmb:8: ") && printed.contains("malformed"), "{printed}");
}

#[test]
#[ignore = "needs redis-server"]
fn prefix_and_expiry_time_apply_to_every_key() {
    let (data, redis) = (data_set(), TestRedis::start(&[]));
    let out = tempfile::tempdir().unwrap();
    let line = "run --data {} --out {} --store {} --epochs 1 --prefix {films}: --ttl 30d";
    succeeds(line, &[&data, &out, &format!("{}/3", redis.url())]);
    let mut client = Client::new(&redis);
    assert_eq!(client.keys("*"), [""; 0], "database 0 stays empty");
    client.ask(&["SELECT", "3"]);
    let keys = client.keys("*");
    assert!(keys.len() > 300 && keys.iter().all(|key| key.starts_with("{films}:")), "{keys:?}");
    let month = 30 * 24 * 3600;
    for key in &keys {
        let left = client.number(&["TTL", key]);
        assert!((month - 600..=month).contains(&left), "{key}: {left}");
    }
}

/// A push that takes long enough to be interrupted.
const MANY: u32 = 200_000;

fn push(file: &Path, redis: &TestRedis) -> Running {
    Running::start(loader("push --item-embeddings {} --store {}", &[&file, &redis.url()]))
}

/// Waits until a push is staging its keys.
fn staged(redis: &TestRedis) -> bool {
    let keys: u32 = redis.cli(&["DBSIZE"]).trim_start_matches("(integer) ").parse().unwrap();
    keys > 3000
}

/// A Redis server with two vectors, and a file with many vectors for the next generation.
fn before() -> (TestRedis, TempDir, PathBuf, PathBuf) {
    let (redis, folder) = (TestRedis::start(&[]), tempfile::tempdir().unwrap());
    let (few, many) = (vectors(folder.path(), 2, 1), vectors(folder.path(), MANY, 2));
    succeeds("push --item-embeddings {} --store {}", &[&few, &redis.url()]);
    (redis, folder, few, many)
}

/// Asserts that the store contains only the first generation.
fn is_as_before(redis: &TestRedis) {
    let mut client = Client::new(redis);
    assert_eq!(
        client.keys("*"),
        ["i2vEmb:1", "i2vEmb:2", "sparrow:embedding", "sparrow:generation"]
    );
    assert_eq!(client.text(&["GET", "i2vEmb:2"]), "1 2");
}

#[test]
#[ignore = "needs redis-server"]
fn killed_push_changes_nothing_and_the_next_one_succeeds() {
    for _ in 0..sparrow_test_support::rounds("killed pushes of the loader", 1, 10) {
        kill_a_push();
    }
}

fn kill_a_push() {
    let (redis, folder, few, many) = before();
    let killed = push(&many, &redis);
    wait_until("the push is under way", || staged(&redis));
    killed.signal("-KILL");
    assert_eq!(killed.end().0, None);
    // Readers still have the old generation.
    assert_eq!(redis.cli(&["GET", "i2vEmb:2"]), "1 2");
    let printed = succeeds("verify --item-embeddings {} --store {}", &[&few, &redis.url()]);
    assert!(printed.contains("\n0 differences"), "{printed}");
    assert!(printed.contains("keys of a push that is under way or was interrupted"), "{printed}");

    // The next push waits a few seconds for the lock to expire, and reports that.
    let third = vectors(folder.path(), 3, 3);
    let mut refused = String::new();
    wait_until("the lock ends", || {
        let line = "push --item-embeddings {} --store {}";
        let output = loader(line, &[&third, &redis.url()]).output().unwrap();
        refused.push_str(&String::from_utf8_lossy(&output.stderr));
        assert!(matches!(output.status.code(), Some(0 | 4)), "{refused}");
        output.status.success()
    });
    assert!(refused.contains("another push is in progress"), "{refused}");
    let mut client = Client::new(&redis);
    let keys = ["i2vEmb:1", "i2vEmb:2", "i2vEmb:3", "sparrow:embedding", "sparrow:generation"];
    assert_eq!(client.keys("*"), keys);
    assert_eq!(client.text(&["GET", "i2vEmb:2"]), "3 2");
}

#[test]
#[ignore = "needs redis-server"]
fn signals_abort_a_push_and_leave_the_store_unchanged() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let (redis, _folder, few, many) = before();
        let stopped = push(&many, &redis);
        wait_until("the push is under way", || staged(&redis));
        stopped.signal(signal);
        let (ended, errors) = stopped.end();
        assert_eq!(ended, Some(code), "{errors}");
        assert_eq!(errors, "error: interrupted: the store is unchanged\n");
        is_as_before(&redis);
        // The lock has been released.
        succeeds("push --item-embeddings {} --store {}", &[&few, &redis.url()]);
    }
}

/// Returns whether the marker names the new generation while some of its keys are still staged.
fn announced(redis: &TestRedis) -> bool {
    redis.cli(&["GET", "sparrow:generation"]).contains("staged")
}

#[test]
#[ignore = "needs redis-server"]
fn staged_push_is_committed_despite_a_signal() {
    let (redis, _folder, _few, many) = before();
    let push = push(&many, &redis);
    wait_until("the generation is announced", || announced(&redis));
    push.signal("-INT");
    let (ended, errors) = push.end();
    assert_eq!(ended, Some(0), "{errors}");
    assert!(errors.starts_with("finishing the push"), "{errors}");
    let printed = succeeds("verify --item-embeddings {} --store {}", &[&many, &redis.url()]);
    assert!(printed.contains("\n0 differences"), "{printed}");
    assert!(!printed.contains("not in place"), "{printed}");
}

#[test]
#[ignore = "needs redis-server"]
fn push_that_is_killed_after_its_announcement_takes_effect() {
    for signals in [&["-KILL"][..], &["-TERM", "-TERM"]] {
        let (redis, folder, _few, many) = before();
        let push = push(&many, &redis);
        wait_until("the generation is announced", || announced(&redis));
        for signal in signals {
            push.signal(signal);
        }
        let (ended, errors) = push.end();
        // Two SIGTERMs may merge into one: the push then succeeds.
        assert!(matches!(ended, None | Some(143 | 0)), "{errors}");
        // Readers have the new generation, also from staged keys.
        let line = "verify --item-embeddings {} --store {}";
        assert!(succeeds(line, &[&many, &redis.url()]).contains("\n0 differences"));
        let others = folder.path().join("users.csv");
        std::fs::write(&others, "1:1\n").unwrap();
        wait_until("the lock ends", || {
            let line = "push --user-embeddings {} --store {}";
            let output = loader(line, &[&others, &redis.url()]).output().unwrap();
            output.status.success()
        });
        // The next push has moved the staged keys and kept this kind.
        assert_eq!(Client::new(&redis).keys("sparrow:new:*"), [""; 0]);
        assert_eq!(redis.cli(&["GET", "i2vEmb:2"]), "2 2");
        assert!(succeeds(line, &[&many, &redis.url()]).contains("\n0 differences"));
    }
}

#[test]
#[ignore = "needs redis-server"]
fn verify_with_lost_replies_fails_or_is_correct() {
    let redis = TestRedis::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let some = vectors(folder.path(), 3000, 2);
    succeeds("push --item-embeddings {} --store {}", &[&some, &redis.url()]);
    let proxy = LossyProxy::before(redis.port());
    let (mut right, mut failed) = (0, 0);
    for _ in 0..sparrow_test_support::rounds("comparisons through lost replies", 12, 100) {
        proxy.set(Fault::Mixed, 60);
        let line = "verify --item-embeddings {} --store {}";
        let output = loader(line, &[&some, &proxy.url()]).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => {
                assert!(printed.contains("\n0 differences"), "{printed}");
                right += 1;
            }
            // A store error, never differences or a crash.
            Some(4) => failed += 1,
            code => panic!("{code:?}: {printed}{errors}"),
        }
    }
    assert!(proxy.spoilt() > 0 && failed > 0, "{right} right, {failed} failed");
    proxy.set(Fault::None, 1);
    let printed = succeeds("verify --item-embeddings {} --store {}", &[&some, &proxy.url()]);
    assert!(printed.contains("\n0 differences"), "{printed}");
}

#[test]
#[ignore = "needs redis-server"]
fn cluster_is_pushed_to_and_verified() {
    let (data, cluster) = (data_set(), TestCluster::start(3));
    let out = data.path().join("out");
    let files: [&dyn AsRef<Path>; 3] = [&data, &out, &cluster.url()];
    let printed = succeeds("run --data {} --out {} --store {} --epochs 1", &files);
    assert!(printed.contains("redis-cli -c -u redis://127.0.0.1:"), "{printed}");
    let line = "verify --data {} --features {} --embeddings {} --store {} --sample all";
    let printed = succeeds(line, &[&data, &out, &out, &cluster.url()]);
    assert!(printed.contains("\n0 differences"), "{printed}");
    // The keys are distributed over the nodes.
    for node in cluster.nodes() {
        assert!(Client::new(node).keys("uf:*").len() > 5);
    }
}

#[test]
#[ignore = "needs redis-server"]
fn concurrent_push_is_an_error() {
    let (redis, _folder, few, many) = before();
    let first = push(&many, &redis);
    wait_until("the push is under way", || staged(&redis));
    let error = fails(4, "push --item-embeddings {} --store {}", &[&few, &redis.url()]);
    assert!(error.contains("another push is in progress"), "{error}");
    first.signal("-INT");
    assert_eq!(first.end().0, Some(130));
    is_as_before(&redis);
}

#[test]
#[ignore = "needs redis-server"]
fn passwords_are_checked_and_never_printed() {
    let redis = TestRedis::start(&["--requirepass", "s3cret-right"]);
    let folder = tempfile::tempdir().unwrap();
    let file = vectors(folder.path(), 5, 1);
    let url = |password: &str| redis.url().replace("//", &format!("//{password}@"));
    let line = "push --item-embeddings {} --store {}";
    let error = fails(4, line, &[&file, &url(":s3cret-wrong")]);
    assert!(error.contains("WRONGPASS") || error.contains("password"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
    let error = fails(4, line, &[&file, &redis.url()]);
    assert!(error.contains("password") || error.contains("NOAUTH"), "{error}");
    let printed = succeeds(line, &[&file, &url(":s3cret-right")]);
    assert!(!printed.contains("s3cret"), "{printed}");

    let data = data_set();
    let mut command =
        loader("run --data {} --out {} --epochs 1", &[&data, &data.path().join("out")]);
    let (printed, _) = ends(0, command.env("SPARROW_STORE", url("default:s3cret-right")));
    assert!(!printed.contains("s3cret"), "{printed}");
    assert!(printed.contains("SPARROW_STORE") && printed.contains("REDISCLI_AUTH"), "{printed}");
}

#[test]
#[ignore = "needs redis-server"]
fn push_to_a_replica_is_an_error() {
    let (redis, _folder, few, _) = before();
    let port = redis.port().to_string();
    let replica = TestRedis::start(&["--replicaof", "127.0.0.1", &port]);
    wait_until("the replica has everything", || replica.cli(&["GET", "i2vEmb:2"]) == "1 2");
    let error = fails(4, "push --item-embeddings {} --store {}", &[&few, &replica.url()]);
    assert!(error.contains("READONLY") || error.contains("read-only"), "{error}");
    is_as_before(&replica);
    succeeds("verify --item-embeddings {} --store {}", &[&few, &replica.url()]);
}

#[test]
#[ignore = "needs redis-server"]
fn full_redis_is_an_error_and_remains_unchanged() {
    let (redis, _folder, few, many) = before();
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    redis.cli(&["CONFIG", "SET", "maxmemory", "10mb"]);
    let error = fails(4, "push --item-embeddings {} --store {}", &[&many, &redis.url()]);
    assert!(error.contains("memory"), "{error}");
    is_as_before(&redis);
    succeeds("push --item-embeddings {} --store {}", &[&few, &redis.url()]);
}

#[test]
#[ignore = "needs the MovieLens data and redis-server: set SPARROW_ML_LATEST_SMALL, run .ci/test"]
fn all_keys_of_ml_latest_small_equal_the_definitions() {
    let data = env::var_os("SPARROW_ML_LATEST_SMALL").map(PathBuf::from);
    let data = data.expect("SPARROW_ML_LATEST_SMALL names the folder with ml-latest-small");
    let redis = TestRedis::start(&[]);
    let (out, printed) = run(&data, &redis.url());
    for line in ["610 users' features (uf:)", "9724 movies' features (mf:)"] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    holds_the_contract(&redis, "", &data, out.path());
    let file = format!("file:{}", out.path().join("store.redb").display());
    let line = "push --data {} --features {} --embeddings {} --store {}";
    succeeds(line, &[&data, &out, &out, &file]);
    for store in [&redis.url(), &file] {
        let line = "verify --data {} --features {} --embeddings {} --store {} --sample all";
        let printed = succeeds(line, &[&data, &out, &out, store]);
        assert!(printed.contains("\n0 differences"), "{printed}");
    }
}
