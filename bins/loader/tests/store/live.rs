//! Exports of live data.

use std::fs;
use std::path::Path;

use sparrow_live::{Action, Limits, LiveStore, Write};
use sparrow_model::{MovieId, Stars, UserId};
use sparrow_store::{FileLive, Location, Options, RedisLive};
use sparrow_test_redis::TestRedis;

use crate::support::{data_set, fails, succeeds};

fn rate(user: u32, movie: u32, time: u32) -> Write {
    let stars = Stars::from_half_stars(9).unwrap();
    Write::new(UserId(user), Action::Rate(MovieId(movie), stars), time)
}

async fn write(live: &dyn LiveStore) {
    let forget = Write::new(UserId(2), Action::Forget, 1);
    let writes = [rate(1_000_000_001, 1, 1_900_000_000), rate(1, 1, 1_900_000_000), forget];
    assert!(live.write(&writes).await.iter().all(Result::is_ok));
}

fn rows(folder: &Path, file: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn export_of_a_file_is_a_data_set_for_other_commands() {
    let data = data_set();
    let (path, out) = (data.path().join("live"), data.path().join("merged"));
    let missing = fails(3, "export --live {} --out {}", &[&path, &out]);
    assert!(missing.contains("does not exist") && !path.exists(), "{missing}");
    let live = FileLive::open(&path, Limits::default()).unwrap();
    write(&live).await;
    let locked = fails(4, "export --live {} --out {}", &[&path, &out]);
    assert!(locked.contains("another process has the file open"), "{locked}");
    drop(live);

    let said = succeeds("export --live {} --data {} --out {}", &[&path, &data, &out]);
    assert!(said.contains("exported 3 writes of 3 users"), "{said}");
    let exists = fails(1, "export --live {} --out {}", &[&path, &out]);
    assert!(exists.contains("--force replaces it"), "{exists}");
    let ratings = rows(&out, "ratings.csv");
    for user in [1, 1_000_000_001] {
        assert!(ratings.contains(&format!("{user},1,4.5,1900000000")), "{user}");
    }
    assert!(ratings.iter().all(|row| !row.starts_with("2,")));
    assert_eq!(rows(&out, "movies.csv"), rows(data.path(), "movies.csv"));
    assert_eq!(rows(&out, "links.csv"), rows(data.path(), "links.csv"));
    let store = format!("file:{}", data.path().join("store").display());
    let pushed = succeeds("push --data {} --store {}", &[&out, &store]);
    assert!(pushed.contains("70 users"), "{pushed}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn export_of_redis_contains_the_live_ratings() {
    let (redis, folder) = (TestRedis::start(&[]), tempfile::tempdir().unwrap());
    let Location::Redis(location) = redis.url().parse().unwrap() else { panic!() };
    let live = RedisLive::open(&location, &Options::default(), Limits::default()).unwrap();
    live.connected().await.unwrap();
    write(&live).await;
    let said = succeeds("export --store {} --out {}", &[&redis.url(), &folder]);
    assert!(said.contains("2 ratings in force"), "{said}");
    let expected = ["1,1,4.5,1900000000", "1000000001,1,4.5,1900000000"];
    assert_eq!(rows(folder.path(), "ratings.csv"), expected);
    assert_eq!(rows(folder.path(), "events.csv").len(), 3);
    assert_eq!(rows(folder.path(), "watermark.csv").len(), 256);
}
