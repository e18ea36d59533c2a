//! Experiments, from requests to a server and events of its users to the analysis.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use sparrow_app::Config;
use sparrow_live::{Action, Exposure, Limits, LiveStore as _, Write};
use sparrow_model::{MovieId, UserId};
use sparrow_store::FileLive;
use sparrow_test_redis::{TestRedis, wait_until};
use support::{fail, succeed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const EXPERIMENT: &str = "[[experiments]]\nname = \"lists\"\n\
    [[experiments.variants]]\nname = \"plain\"\nweight = 0.5\nmodel = \"popularity\"\n\
    [[experiments.variants]]\nname = \"diverse\"\nweight = 0.5\nmodel = \"popularity\"\ndiversity = 0.5\n";
const USERS: u32 = 400;

async fn exchange(address: SocketAddr, method: &str, target: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    assert!(status.starts_with('2'), "{target}: {answer}");
    serde_json::from_str(body).unwrap()
}

/// Whether a user likes what the variant shows: 3 of 10 users with lists by popularity, 6 of 10 with diverse ones.
fn likes(user: u32, variant: &str) -> bool {
    user % 10 < if variant == "diverse" { 6 } else { 3 }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn effect_on_users_of_a_server_is_found() {
    let (redis, folder) = (TestRedis::start(&[]), tempfile::tempdir().unwrap());
    let (data, file) = (folder.path().join("data"), folder.path().join("sparrow.toml"));
    let size = format!("--users {USERS} --movies 90 --ratings 9000");
    succeed(&format!("synth --quiet {size}"), &[("--out", &data)]);
    let store = redis.url();
    succeed(&format!("push --quiet --store {store}"), &[("--data", &data)]);
    fs::write(&file, EXPERIMENT).unwrap();

    let mut config = Config::layered(Some(&file), [], &[]).unwrap();
    config.listen.set_port(0);
    config.admin.listen = None;
    config.data.path = Some(data);
    config.store.url = store.clone().try_into().unwrap();
    "popularity".clone_into(&mut config.ranking.default);
    let mut running = sparrow_app::start(config).await.unwrap();
    running.loaded().await.unwrap();
    let mut expected = [("plain", 0_u64, 0_u64), ("diverse", 0, 0)];
    for user in 1..=USERS {
        let target = format!("/v1/users/{user}/recommendations?size=5");
        let answer = exchange(running.address, "GET", &target, "").await;
        let variant = answer["experiments"][0]["variant"].as_str().unwrap().to_owned();
        let counts = expected.iter_mut().find(|(name, ..)| *name == variant).unwrap();
        counts.1 += 1;
        if likes(user, &variant) {
            counts.2 += 1;
            let movie = &answer["items"][0]["movie"]["movieId"];
            let event = json!({"events": [{"userId": user, "movieId": movie, "type": "like"}]});
            exchange(running.address, "POST", "/v1/events", &event.to_string()).await;
        }
    }
    wait_until("all exposures are logged", || running.exposure_counts().logged == u64::from(USERS));

    // The server still runs.
    let page = folder.path().join("page.html");
    let line = format!("experiment lists --quiet --json --store {store}");
    let printed = succeed(&line, &[("--config", &file), ("--report", &page)]);
    let found: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(found["control"], "plain");
    for (index, (name, users, converted)) in expected.iter().enumerate() {
        let variant = &found["variants"][index];
        assert_eq!((&variant["name"], &variant["users"]), (&json!(name), &json!(users)));
        let share = variant["conversion"]["mean"]["value"].as_f64().unwrap();
        assert!((share - *converted as f64 / *users as f64).abs() < 1e-12, "{variant}");
        assert_eq!(variant["models"], json!({"popularity": users}));
        assert_eq!(variant["degraded"]["mean"]["value"], 0.0);
        assert!(variant["milliseconds"]["mean"]["value"].as_f64().unwrap() > 0.0, "{variant}");
    }
    let against = &found["variants"][1]["conversion"]["againstControl"];
    assert!(against["lift"]["low"].as_f64().unwrap() > 0.0, "{against}");
    assert!(against["pValue"].as_f64().unwrap() < 1e-4, "{against}");
    assert_eq!(found["sampleRatio"]["mismatch"], false);
    assert_eq!(found["openWindows"], USERS);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<title>Experiment lists</title>") && page.contains("diverse, CUPED"));

    // With these weights, the numbers of users are a mismatch.
    let weights = "--variants plain=0.9,diverse=0.1 --control diverse";
    let printed = succeed(&format!("experiment lists --quiet --store {store} {weights}"), &[]);
    assert!(printed.contains("Sample-ratio mismatch"), "{printed}");
    running.stop().await;
}

/// A file with exposures and likes of users 1 to 40.
async fn live(path: &Path) {
    let store = FileLive::open(path, Limits::default()).unwrap();
    let mut writes = Vec::new();
    for user in 1..=40 {
        let variant = if user % 2 == 0 { "b" } else { "a" };
        let shown = Exposure {
            experiment: "x".into(),
            variant: variant.into(),
            model: "ease".into(),
            degraded: user % 10 == 0,
            micros: 100 + user,
            credits: (variant == "b").then(|| "1=ease 2=emb".into()),
        };
        writes.push(Write::new(UserId(user), Action::Expose(Box::new(shown)), 1_000_000_000));
        if user % 4 == 0 {
            let like = Action::Event { movie: MovieId(1), kind: "like".into(), value: 1.0 };
            writes.push(Write::new(UserId(user), like, 1_000_000_100));
        }
    }
    assert!(store.write(&writes).await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_a_table_without_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live");
    live(&path).await;
    let printed = succeed("experiment x --quiet", &[("--live", &path)]);
    for part in [
        "exposures from 2001-09-09T01:46:40Z to 2001-09-09T01:46:40Z",
        "outcomes: like, watch, rating ≥ 3.5 within 1day after an exposure",
        "Users (sample ratio: p = 1.0000)",
        "b           20     50.0%         20  ease 20",
        "Conversion (share of users with an outcome)",
        "a: median 0.119 ms, p95 0.137 ms, p99 0.139 ms",
        "b, interleaved: ease 10 outcomes, emb 0; more of ease for 10 users, of emb for 0 (sign test: p = 0.0020)",
    ] {
        assert!(printed.contains(part), "{part} is not in\n{printed}");
    }
    assert!(
        !printed.contains("mismatch") && !printed.contains("window of their last"),
        "{printed}"
    );
    let other =
        succeed("experiment x --quiet --outcomes rating --min-rating 4", &[("--live", &path)]);
    assert!(other.contains("outcomes: rating ≥ 4.0 within"), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (folder.path().join("live"), folder.path().join("sparrow.toml"));
    let missing = fail(3, "experiment x", &[("--live", &path)]);
    assert!(missing.contains("does not exist"), "{missing}");
    assert!(fail(2, "experiment x", &[]).contains("--store"));
    live(&path).await;
    let live = [("--live", &*path)];
    let none = fail(3, "experiment y --quiet", &live);
    assert!(none.contains("no exposures of the experiment \"y\""), "{none}");
    for (options, expected) in [
        ("--control c", "the variants are a, b"),
        ("--variants a=1,a=2", "contains a twice"),
        ("--variants a=0,b=1", "a weight is a positive number"),
        ("--min-rating 3.7", "ratings are 0.5, 1"),
        ("--window 0s", "above zero"),
    ] {
        let error = fail(2, &format!("experiment x --quiet {options}"), &live);
        assert!(error.contains(expected), "{error}");
    }
    let with = [("--live", &*path), ("--config", &*file)];
    for (text, expected) in [
        (EXPERIMENT, "no experiment is named \"x\" (lists)"),
        ("", "no experiment is named \"x\" (it has none)"),
        ("[[experiments]]\nname = \"x\"\n", "has no variants"),
        ("[[experiments]]\nname = 7\n", "sparrow.toml: "),
    ] {
        fs::write(&file, text).unwrap();
        let error = fail(3, "experiment x --quiet", &with);
        assert!(error.contains(expected), "{error}");
    }
}
