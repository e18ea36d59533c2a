//! Exports of a running server, and the verification of what it projects.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use serde_json::{Value, json};
use sparrow_app::{Config, Running};
use sparrow_live::{Limits, partition, unix_time};
use sparrow_model::UserId;
use sparrow_store::FileLive;
use sparrow_test_redis::{TestRedis, wait_until};

use crate::support::{data_set, ends, fails, loader, succeeds};

/// Sends a request, which must succeed; returns the answer's body.
fn send(address: SocketAddr, method: &str, target: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(head.split(' ').nth(1), Some("200"), "{target}: {answer}");
    serde_json::from_str(body).unwrap()
}

async fn start(data: &Path, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config::layered(None, [], &[]).unwrap();
    config.listen.set_port(0);
    config.admin.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.data.path = Some(data.to_owned());
    "popularity".clone_into(&mut config.ranking.default);
    change(&mut config);
    let mut running = sparrow_app::start(config).await.unwrap();
    running.loaded().await.unwrap();
    running
}

fn rows(folder: &Path, file: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn export_of_a_running_server_contains_what_was_written() {
    let data = data_set();
    let inside = |name: &str| data.path().join(name);
    let (path, out, later) = (inside("live.redb"), inside("out"), inside("later"));
    let running = start(data.path(), |config| config.live.path = Some(path.clone())).await;
    let (address, time) = (running.address, unix_time());
    let admin = format!("http://{}", running.admin_address().unwrap());
    let rating = json!({"stars": 4.5, "timestamp": time}).to_string();
    send(address, "PUT", "/v1/users/1/ratings/1", &rating);
    let event =
        json!({"type": "watch", "userId": 1, "movieId": 2, "share": 0.5, "timestamp": time});
    send(address, "POST", "/v1/events", &json!({"events": [event]}).to_string());
    let last = send(address, "DELETE", "/v1/users/2", "")["sequence"].as_str().unwrap().to_owned();

    // The server has the file open.
    let locked = fails(4, "export --live {} --out {}", &[&path, &out]);
    assert!(locked.contains("another process has the file open"), "{locked}");
    let said = succeeds("export --store {} --data {} --out {}", &[&admin, &data, &out]);
    assert!(said.contains("exported 3 writes of 2 users"), "{said}");
    let ratings = rows(&out, "ratings.csv");
    assert!(ratings.contains(&format!("1,1,4.5,{time}")));
    assert!(ratings.iter().all(|row| !row.starts_with("2,")));
    let events = rows(&out, "events.csv");
    assert!(events[1].ends_with(&format!(",event,1,2,watch,0.5,{time},,,1")), "{events:?}");
    assert_eq!(rows(&out, "watermark.csv"), [format!("0,{last}")]);
    for table in ["ratings.parquet", "events.parquet"] {
        assert!(fs::read(out.join(table)).unwrap().starts_with(b"PAR1"), "{table}");
    }
    // Other commands read the same address.
    let embed = "embed --method ials --epochs 1 --dimension 4 --data {} --live {} --out {}";
    let said = succeeds(embed, &[&data, &admin, &inside("vectors")]);
    assert!(said.contains("overlaid with 3 writes of 2 users"), "{said}");
    let watermark = fs::read(out.join("watermark.csv")).unwrap();
    assert_eq!(fs::read(inside("vectors").join("watermark.csv")).unwrap(), watermark);
    let public = fails(4, "export --store {} --out {}", &[&format!("http://{address}"), &later]);
    assert!(public.contains("it answered 404"), "{public}");
    let usage = fails(2, "export --store {} --out {}", &[&"http://127.0.0.1", &later]);
    assert!(usage.contains("http://HOST:PORT"), "{usage}");

    send(address, "PUT", "/v1/users/1/ratings/2", &rating);
    running.stop().await;
    // Its last tasks close the file.
    wait_until("the file is closed", || FileLive::open(&path, Limits::default()).is_ok());
    succeeds("export --live {} --data {} --out {}", &[&path, &data, &later]);
    let all = rows(&later, "events.csv");
    assert_eq!((all.len(), &all[..3]), (4, &events[..]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn verify_finds_projected_features_and_live_data_that_differ() {
    let (redis, data) = (TestRedis::start(&[]), data_set());
    let url = redis.url();
    let run = "run --no-models --method ials --epochs 1 --dimension 4 --store {} --data {}";
    succeeds(run, &[&url, &data]);
    let store = url.clone();
    let running = start(data.path(), |config| config.store.url = store.try_into().unwrap()).await;
    let rating = json!({"stars": 0.5, "timestamp": unix_time()}).to_string();
    for target in ["/v1/users/1/ratings/1", "/v1/users/2/ratings/3", "/v1/users/1000/ratings/1"] {
        send(running.address, "PUT", target, &rating);
    }
    send(running.address, "DELETE", "/v1/users/3", "");
    let verify = "verify --store {} --data {} --sample all";
    let differences = || ends(5, &mut loader(verify, &[&url, &data])).0;
    // Until the server has projected them, the features are those of the generation.
    wait_until("all features are projected", || {
        let said = succeeds(verify, &[&url, &data]);
        assert!(said.contains("compared 4 users with live data; 0 wrote meanwhile"), "{said}");
        !said.contains("no server projects")
    });

    let average = redis.cli(&["HGET", "uf:1", "userAvgRating"]);
    redis.cli(&["HSET", "uf:1", "userAvgRating", "9.99"]);
    let found = differences();
    assert!(found.contains("uf:1") && found.contains("userAvgRating"), "{found}");
    redis.cli(&["HSET", "uf:1", "userAvgRating", &average]);
    let said = succeeds(verify, &[&url, &data]);
    assert!(said.contains("compared the projected vectors of "), "{said}");

    let vector = redis.cli(&["GET", "uEmb:1"]);
    redis.cli(&["SET", "uEmb:1", "9 9 9 9"]);
    let found = differences();
    assert!(found.contains("uEmb:1: ") && found.contains("9.0000"), "{found}");
    redis.cli(&["DEL", "uEmb:1"]);
    let found = differences();
    assert!(found.contains("uEmb:1: ") && found.contains("missing in the store"), "{found}");
    redis.cli(&["SET", "uEmb:1", vector.trim()]);
    succeeds(verify, &[&url, &data]);

    redis.cli(&["HSET", "uf:3", "userAvgRating", "1.00"]);
    let found = differences();
    assert!(found.contains("uf:3"), "{found}");
    redis.cli(&["DEL", "uf:3"]);
    succeeds(verify, &[&url, &data]);

    // A live rating that the log has is lost.
    running.stop().await;
    let key = format!("sparrow:{{p{}}}:live:2", partition(UserId(2), 256));
    assert_eq!(redis.cli(&["DEL", &key]), "1");
    let found = differences();
    assert!(found.contains("user 2 with live data"), "{found}");
}
