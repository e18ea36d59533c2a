//! Where servers keep ratings and events.

use std::error::Error as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sparrow_app::{Config, Error, Running};
use sparrow_live::{Action, Limits, LiveStore as _, Sequence, Watermark};
use sparrow_live_overlay::open_address;
use sparrow_process::Address;
use sparrow_store::{Entry, FileLive};
use sparrow_test_redis::TestRedis;

use crate::live::{ids, rate};
use crate::redis;
use crate::support::{Answer, PATIENCE, config, demo_entries, get, push, send, send_with, until};

const RECOMMENDATIONS: &str = "/v1/users/6/recommendations?size=5";

fn on_file(path: &Path) -> Config {
    let mut config = config();
    config.live.path = Some(path.to_owned());
    config
}

fn on_file_store(folder: &Path) -> Config {
    let mut config = config();
    config.store.url = format!("file:{}/store.redb", folder.display()).try_into().unwrap();
    config
}

async fn start(config: Config) -> Running {
    let mut running = sparrow_app::start(config).await.unwrap();
    tokio::time::timeout(PATIENCE, running.loaded()).await.expect("not loaded").unwrap();
    running
}

/// Starts a server when the file is no longer open: tasks of a stopped server end shortly after it.
async fn restart(config: Config) -> Running {
    let end = Instant::now() + PATIENCE;
    loop {
        match sparrow_app::start(config.clone()).await {
            Ok(mut running) => {
                running.loaded().await.unwrap();
                return running;
            }
            Err(error @ Error::OpenLive { .. }) => assert!(Instant::now() < end, "{error}"),
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Rates the best movie, and asserts that it is no longer recommended.
async fn rate_best(running: &Running) -> Value {
    let best = ids(&get(running.address, RECOMMENDATIONS).await.json())[0].clone();
    rate(running.address, 6, &best, 5.0).await;
    assert!(!ids(&get(running.address, RECOMMENDATIONS).await.json()).contains(&best));
    best
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_ratings_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.redb");
    let running = start(on_file(&path)).await;
    assert!(running.live.contains("live.redb (fsync)"), "{}", running.live);
    let ready = get(running.address, "/readyz").await.json();
    let live = &ready["live"];
    assert_eq!((&live["kind"], &live["durability"]), (&json!("file"), &json!("fsync")));
    assert_eq!(live["lostAtRestart"], false);
    assert!(live["statistics"].is_object() && live.get("projector").is_none(), "{live}");
    let best = rate_best(&running).await;
    let before = ids(&get(running.address, RECOMMENDATIONS).await.json());

    // Another server cannot use the file, and does not disturb the first.
    let error = sparrow_app::start(on_file(&path)).await.unwrap_err();
    let (text, cause) = (error.to_string(), error.source().unwrap().to_string());
    assert!(text.contains("live.redb") && text.contains("--live"), "{text}");
    assert!(cause.contains("another process has the file open"), "{cause}");
    rate(running.address, 7, &best, 5.0).await;

    running.stop().await;
    let running = restart(on_file(&path)).await;
    assert_eq!(ids(&get(running.address, RECOMMENDATIONS).await.json()), before);
    assert!(!before.contains(&best));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_store_has_a_file_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = on_file_store(folder.path());
    let store = sparrow_store::open(&config.store.url.0, &sparrow_store::Options::default());
    push(&*store.unwrap(), demo_entries()).await;
    let file = folder.path().join("store.redb.live");
    let running = start(config.clone()).await;
    assert!(file.exists() && running.live.contains("store.redb.live"), "{}", running.live);
    let best = rate_best(&running).await;
    let error = sparrow_app::start(config.clone()).await.unwrap_err();
    assert!(error.to_string().contains("store.redb.live"), "{error}");
    running.stop().await;

    // A server without writes uses the file, too.
    let running = restart(beyond_loopback(config)).await;
    assert!(!ids(&get(on_loopback(&running), RECOMMENDATIONS).await.json()).contains(&best));
}

fn beyond_loopback(config: Config) -> Config {
    Config { listen: "0.0.0.0:0".parse().unwrap(), ..config }
}

/// The address of a server that listens on all interfaces, for clients on this computer.
fn on_loopback(running: &Running) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, running.address.port()).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_server_that_gets_keys_by_a_reload_keeps_ratings_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (key, sha256) = sparrow_http::generate_key().unwrap();
    let table = format!(
        "[[auth.keys]]\nname = \"app\"\nsha256 = \"{sha256}\"\nscopes = [\"read\", \"write\"]\n"
    );
    let file = folder.path().join("keys.toml");
    std::fs::write(&file, table).unwrap();
    let keys = Config::layered(Some(&file), [], &[]).unwrap().auth;
    let beside = on_file_store(folder.path());
    let store = sparrow_store::open(&beside.store.url.0, &sparrow_store::Options::default());
    push(&*store.unwrap(), demo_entries()).await;
    for config in [beside, on_file(&folder.path().join("live.redb"))] {
        let beyond = beyond_loopback(config.clone());
        let running = start(beyond.clone()).await;
        let address = on_loopback(&running);
        assert!(running.live.starts_with("Read-only"), "{}", running.live);
        let best = ids(&get(address, RECOMMENDATIONS).await.json())[0].clone();
        let rate = async |headers: &str| {
            let target = format!("/v1/users/6/ratings/{best}");
            send_with(address, "PUT", &target, headers, "{\"stars\": 5}").await
        };
        assert_eq!(rate("").await.status, 403);
        running.reload(&Config { auth: keys.clone(), ..beyond }).unwrap();
        assert_eq!(rate("").await.status, 401);
        let written = rate(&format!("authorization: Bearer {key}\r\n")).await;
        assert_eq!((written.status, &written.json()["durability"]), (200, &json!("fsync")));
        running.stop().await;

        let running = restart(config).await;
        assert!(!ids(&get(running.address, RECOMMENDATIONS).await.json()).contains(&best));
        running.stop().await;
    }
}

/// Ratings that a generation contains leave the file, and those after its watermark remain in force.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_generation_drops_the_live_ratings_that_it_contains() {
    let folder = tempfile::tempdir().unwrap();
    let config = on_file_store(folder.path());
    let store = sparrow_store::open(&config.store.url.0, &sparrow_store::Options::default());
    let store = store.unwrap();
    push(&*store, demo_entries()).await;
    let running = start(config.clone()).await;
    let all = ids(&get(running.address, RECOMMENDATIONS).await.json());
    let [first, second] = [&all[0], &all[1]];
    let written = rate(running.address, 6, first, 5.0).await;
    rate(running.address, 6, second, 5.0).await;
    let mut watermark = Watermark::new(1);
    watermark.advance(0, written["sequence"].as_str().unwrap().parse().unwrap());
    // The ratings of this generation lack the first one, which shows that it was dropped.
    let mut entries = vec![Entry::Watermark(watermark.clone())];
    entries.extend(demo_entries());
    push(&*store, entries).await;
    let dropped = |answer: &Answer| ids(&answer.json()).contains(first);
    let answer = until(running.address, RECOMMENDATIONS, dropped).await.json();
    assert!(!ids(&answer).contains(second), "{answer}");

    // A server that was away drops them at its start.
    let third = rate(running.address, 6, first, 5.0).await;
    watermark.advance(0, third["sequence"].as_str().unwrap().parse().unwrap());
    running.stop().await;
    let mut entries = vec![Entry::Watermark(watermark)];
    entries.extend(demo_entries());
    push(&*store, entries).await;
    let running = restart(config).await;
    let both = |answer: &Answer| all[..2].iter().all(|id| ids(&answer.json()).contains(id));
    until(running.address, RECOMMENDATIONS, both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_exports_its_live_data_over_the_admin_port() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.redb");
    let mut config = on_file(&path);
    config.admin.listen = Some("127.0.0.1:0".parse().unwrap());
    let tables = "[[experiments]]\nname = \"e\"\n[[experiments.variants]]\nname = \"a\"\nmodel = \"emb\"\n\
                  [[experiments.variants]]\nname = \"b\"\nmodel = \"popularity\"\n";
    let experiments = folder.path().join("experiments.toml");
    std::fs::write(&experiments, tables).unwrap();
    config.experiments = Config::layered(Some(&experiments), [], &[]).unwrap().experiments;
    let running = start(config).await;
    let (address, admin) = (running.address, running.admin_address().unwrap());
    rate(address, 6, &json!(1), 4.5).await;
    let event = json!({"type": "watch", "userId": 6, "movieId": 2, "share": 0.1, "session": "a \"b\",",
        "recommendationId": "r"});
    let events = json!({"events": [event]}).to_string();
    for (method, target, body) in [
        ("POST", "/v1/events", &*events),
        ("DELETE", "/v1/users/6/ratings/1", ""),
        ("DELETE", "/v1/users/7", ""),
    ] {
        assert_eq!(send(address, method, target, body).await.status, 200, "{target}");
    }
    assert_eq!(get(address, "/v1/users/8/recommendations").await.status, 200);
    // An exposure is logged after its answer.
    until(admin, "/debug/live/log", |answer| answer.body.contains("expose")).await;
    let state = get(admin, "/debug/live").await.json();
    assert_eq!((&state["partitions"], &state["trimmed"]), (&json!(1), &json!(["0-0"])));
    for (target, status) in [
        ("/debug/live/log?partition=1", 400),
        ("/debug/live/log?after=x", 400),
        ("/debug/live/log?limit=0", 400),
        ("/debug/live/log?limit=1", 200),
    ] {
        assert_eq!(get(admin, target).await.status, status, "{target}");
        assert_eq!(get(address, target).await.status, 404, "{target}");
    }

    let open = async |url: String| open_address(&Address(url.into()), None).await;
    let live = open(format!("http://{admin}")).await.unwrap().unwrap();
    let exported = live.log(0, Sequence::default(), 1000).await.unwrap();
    assert_eq!(live.log(0, exported[1].sequence, 1).await.unwrap(), exported[2..3]);
    assert!(live.trimmed().await.unwrap().is_zero());
    assert!(live.create_user(None).await.is_err());
    for (url, expected) in [
        (format!("http://{address}"), "it answered 404"),
        (format!("http://{admin}/x"), "is http://HOST:PORT"),
        ("http://127.0.0.1".to_owned(), "is http://HOST:PORT"),
        ("http://127.0.0.1:1".to_owned(), "unavailable"),
    ] {
        let error = open(url).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    running.stop().await;
    let end = Instant::now() + PATIENCE;
    let file = loop {
        match FileLive::open(&path, Limits::default()) {
            Ok(file) => break file,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let mut written = file.log(0, Sequence::default(), 1000).await.unwrap();
    for entry in &mut written {
        // Not exported.
        entry.write.idempotency = None;
    }
    assert_eq!((exported.len(), &exported), (5, &written));
    let exposures = exported.iter().filter(|it| matches!(it.write.action, Action::Expose(_)));
    assert_eq!(exposures.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_beyond_loopback_needs_the_scope_admin() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.toml");
    let (reader, of_reader) = sparrow_http::generate_key().unwrap();
    let (operator, of_operator) = sparrow_http::generate_key().unwrap();
    let table = |name: &str, digest: &str, scope: &str| {
        format!("[[keys]]\nname = \"{name}\"\nsha256 = \"{digest}\"\nscopes = [\"{scope}\"]\n")
    };
    let tables = table("a", &of_reader, "read") + &table("b", &of_operator, "admin");
    std::fs::write(&keys, tables).unwrap();
    let mut config = config();
    config.auth.keys_file = Some(keys);
    config.admin.listen = Some("0.0.0.0:0".parse().unwrap());
    let running = start(config).await;
    let port = running.admin_address().unwrap().port();
    let open = async |key: &str| {
        let url = format!("http://{key}127.0.0.1:{port}");
        open_address(&Address(url.into()), None).await.map_err(|error| error.to_string())
    };
    assert!(open("").await.unwrap_err().contains("it answered 401"));
    assert!(open("x@").await.unwrap_err().contains("it answered 401"));
    let forbidden = open(&format!("{reader}@")).await.unwrap_err();
    assert!(forbidden.contains("it answered 403") && !forbidden.contains(&reader), "{forbidden}");
    let live = open(&format!("{operator}@")).await.unwrap().unwrap();
    assert_eq!(live.address(), format!("http://127.0.0.1:{port}"));
    assert_eq!(live.log(0, Sequence::default(), 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_beside_a_file_store_ratings_are_in_memory_and_a_damaged_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    // A folder that does not exist, as one that is read-only to all but root, takes no file.
    let missing = folder.path().join("missing");
    let running = sparrow_app::start(on_file_store(&missing)).await.unwrap();
    assert!(running.live.contains("lost at restart"), "{}", running.live);
    let error = sparrow_app::start(on_file(&missing.join("live"))).await.unwrap_err();
    assert!(matches!(error, Error::OpenLive { .. }), "{error}");

    std::fs::write(folder.path().join("store.redb.live"), "movieId,title\n".repeat(99)).unwrap();
    let error = sparrow_app::start(on_file_store(folder.path())).await.unwrap_err();
    assert!(error.source().unwrap().to_string().contains("does not contain live data"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn servers_share_ratings_in_redis() {
    let redis = TestRedis::start(&["--appendonly", "yes"]);
    push(&*redis::pusher(&redis.url()).await, demo_entries()).await;
    let (one, two) = (redis::serve(&redis.url()).await, redis::serve(&redis.url()).await);
    let before = ids(&get(two.address, RECOMMENDATIONS).await.json());
    let best = rate_best(&one).await;
    let after = get(two.address, RECOMMENDATIONS).await.json();
    assert_eq!(before[0], best);
    assert!(!ids(&after).contains(&best));
    assert_eq!(after["degraded"], false);
    let ready = get(one.address, "/readyz").await.json();
    let live = &ready["live"];
    assert_eq!((&live["kind"], &live["durability"]), (&json!("redis"), &json!("everysec")));
    assert_eq!(live["lostAtRestart"], false);

    // The rest of the user and the live data are one read. Projectors read, too.
    for running in [&one, &two] {
        let is_done = |ready: &Answer| ready.json()["live"]["projector"]["users"] == 1;
        until(running.address, "/readyz", is_done).await;
    }
    redis.cli(&["CONFIG", "RESETSTAT"]);
    for _ in 0..20 {
        get(two.address, RECOMMENDATIONS).await;
    }
    let calls = redis.command_calls();
    let count = |name: &str| calls.iter().find(|(known, _)| known == name).map_or(0, |(_, n)| *n);
    assert_eq!((count("hgetall"), count("mget")), (20, 20), "{calls:?}");

    // Users with live data alone.
    let created = send(one.address, "POST", "/v1/users", "{}").await;
    let user = created.json()["userId"].as_u64().unwrap() as u32;
    rate(one.address, user, &best, 5.0).await;
    let target = format!("/v1/users/{user}/recommendations");
    let answer = get(two.address, &target).await.json();
    assert_eq!(answer["degraded"], false, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn writes_are_rejected_and_answers_degraded_while_redis_is_away() {
    let mut redis = TestRedis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    push(&*redis::pusher(&redis.url()).await, demo_entries()).await;
    let running = redis::serve(&redis.url()).await;
    let address = running.address;
    let best = rate_best(&running).await;
    redis.kill();
    for _ in 0..20 {
        let answer = send(address, "PUT", "/v1/users/6/ratings/1", "{\"stars\": 4}").await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        let answer = get(address, RECOMMENDATIONS).await;
        assert_eq!((answer.status, &answer.json()["degraded"]), (200, &json!(true)));
        assert_eq!(answer.json()["reason"], "store-unavailable");
    }
    redis.restart();
    let fine = |answer: &Answer| answer.json()["degraded"] == false;
    let answer = until(address, RECOMMENDATIONS, fine).await.json();
    assert!(!ids(&answer).contains(&best));
    let end = Instant::now() + PATIENCE;
    while send(address, "PUT", "/v1/users/6/ratings/1", "{\"stars\": 4}").await.status != 200 {
        assert!(Instant::now() < end, "writes stay rejected");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn unreachable_redis_is_no_error_of_the_start() {
    let redis = TestRedis::start(&[]);
    let url = redis.url();
    drop(redis);
    let running = sparrow_app::start(redis::on(&url)).await.unwrap();
    let movies = until(running.address, RECOMMENDATIONS, |answer| answer.status == 200).await;
    assert_eq!(movies.json()["degraded"], true);
    let answer = send(running.address, "PUT", "/v1/users/6/ratings/1", "{\"stars\": 4}").await;
    assert_eq!(answer.status, 503, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_that_forbids_writes_serves() {
    let redis = TestRedis::start(&[]);
    push(&*redis::pusher(&redis.url()).await, demo_entries()).await;
    redis.cli(&[
        "ACL",
        "SETUSER",
        "reader",
        "on",
        "nopass",
        "~*",
        "+@read",
        "+@connection",
        "+info",
    ]);
    let url = redis.url().replace("redis://", "redis://reader:x@");
    let running = redis::serve(&url).await;
    let answer = get(running.address, RECOMMENDATIONS).await.json();
    assert_eq!((&answer["model"], &answer["degraded"]), (&json!("emb"), &json!(false)), "{answer}");
    let answer = send(running.address, "PUT", "/v1/users/6/ratings/1", "{\"stars\": 4}").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    // What others write is served.
    let writer = redis::serve(&redis.url()).await;
    let best = rate_best(&writer).await;
    assert!(!ids(&get(running.address, RECOMMENDATIONS).await.json()).contains(&best));
}
