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

/// The commands work on the same data as with an exported data set, and what they write for pushes has its watermark.
#[tokio::test(flavor = "multi_thread")]
async fn commands_overlay_the_data_set_with_live_data() {
    let data = data_set();
    let inside = |name: &str| data.path().join(name);
    let (path, merged, vectors, spill) =
        (inside("live"), inside("merged"), inside("vectors"), inside("spill"));
    fs::create_dir(&spill).unwrap();
    let missing = fails(3, "evaluate --model popularity --data {} --live {}", &[&data, &path]);
    assert!(missing.contains("does not exist") && !path.exists(), "{missing}");
    let live = FileLive::open(&path, Limits::default()).unwrap();
    write(&live).await;
    let locked = fails(4, "embed --data {} --live {} --out {}", &[&data, &path, &vectors]);
    assert!(locked.contains("another process has the file open"), "{locked}");
    drop(live);
    succeeds("export --live {} --data {} --out {}", &[&path, &data, &merged]);
    let watermark = fs::read(merged.join("watermark.csv")).unwrap();

    // The fingerprint covers all ratings.
    let evaluated = |line: &str, values: &[&dyn AsRef<Path>]| {
        let said = succeeds(&format!("evaluate --json --seeds 1 --resamples 0 {line}"), values);
        let (_, rest) = said.split_once("\"fingerprint\":").unwrap();
        rest.split(',').next().unwrap().to_owned()
    };
    let plain = evaluated("--model popularity --data {}", &[&data]);
    let overlaid = evaluated("--quiet --model popularity --data {} --live {}", &[&data, &path]);
    let exported = evaluated("--model popularity --data {}", &[&merged]);
    assert_eq!(overlaid, exported);
    assert_ne!(overlaid, plain);

    let embed = "embed --method ials --epochs 1 --dimension 4 --out {} --data {}";
    let said = succeeds(&format!("{embed} --live {{}}"), &[&vectors, &data, &path]);
    assert!(said.contains("overlaid with 3 writes of 3 users"), "{said}");
    assert_eq!(fs::read(vectors.join("watermark.csv")).unwrap(), watermark);
    let of_live = fs::read(vectors.join("userEmb.csv")).unwrap();
    // Without live data, the watermark of the earlier vectors is removed.
    succeeds(embed, &[&vectors, &data]);
    assert!(!vectors.join("watermark.csv").exists());
    let manifest = fs::read_to_string(vectors.join("_SHA256SUMS")).unwrap_or_default();
    assert!(!manifest.contains("watermark"), "{manifest}");
    assert_ne!(fs::read(vectors.join("userEmb.csv")).unwrap(), of_live);
    // An exported data set has its own.
    succeeds(embed, &[&vectors, &merged]);
    assert_eq!(fs::read(vectors.join("watermark.csv")).unwrap(), watermark);
    assert_eq!(fs::read(vectors.join("userEmb.csv")).unwrap(), of_live);
    fs::write(merged.join("watermark.csv"), "partition,sequence\n0,x\n").unwrap();
    let bad = fails(3, embed, &[&vectors, &merged]);
    assert!(bad.contains("watermark.csv, line 2"), "{bad}");

    let (store, out) = (format!("file:{}", inside("store").display()), inside("out"));
    let run = "run --no-models --method ials --epochs 1 --dimension 4 --data {} --live {} --store {} --out {}";
    let said = succeeds(run, &[&data, &path, &store, &out]);
    assert!(said.contains("70 users"), "{said}");
    assert_eq!(fs::read(out.join("watermark.csv")).unwrap(), watermark);
    let verified = "verify --features {} --embeddings {} --store {} --sample all";
    succeeds(verified, &[&out, &out, &store]);
    // Temporary folders are removed.
    let temporary =
        "run --no-models --method ials --epochs 1 --data {} --live {} --store {} --spill {}";
    succeeds(temporary, &[&data, &path, &store, &spill]);
    assert_eq!(fs::read_dir(&spill).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn commands_overlay_the_data_set_with_live_data_in_redis() {
    let (redis, data) = (TestRedis::start(&[]), data_set());
    let Location::Redis(location) = redis.url().parse().unwrap() else { panic!() };
    let options = Options { prefix: "films:".to_owned(), ..Options::default() };
    let live = RedisLive::open(&location, &options, Limits::default()).unwrap();
    live.connected().await.unwrap();
    write(&live).await;
    let out = data.path().join("vectors");
    let embed = "embed --method ials --epochs 1 --dimension 4 --data {} --out {} --live {}";
    let said = succeeds(&format!("{embed} --live-prefix films:"), &[&data, &out, &redis.url()]);
    assert!(said.contains("overlaid with 3 writes of 3 users"), "{said}");
    assert_eq!(rows(&out, "watermark.csv").len(), 256);
    let said = succeeds(embed, &[&data, &out, &redis.url()]);
    assert!(said.contains("overlaid with 0 writes of 0 users"), "{said}");
}
