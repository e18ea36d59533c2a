//! Sources in an object store.

use std::fs;
use std::path::Path;
use std::process::Command;

use sparrow_test_redis::TestRedis;

use crate::moto::Moto;
use crate::support::{data_set, ends, loader, succeeds};

fn with_moto<'a>(command: &'a mut Command, endpoint: &str) -> &'a mut Command {
    command
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "s3cret")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ALLOW_HTTP", "true")
}

fn succeeds_from_moto(moto: &Moto, line: &str) {
    ends(0, with_moto(&mut loader(line, &[]), &moto.url()));
}

#[test]
#[ignore = "needs moto"]
fn features_and_embeddings_are_read_from_an_object_store() {
    let (moto, data) = (Moto::start(), data_set());
    let (out, store) =
        (data.path().join("out"), format!("file:{}", data.path().join("s").display()));
    succeeds("features --data {} --out {}", &[&data, &out]);
    succeeds("embed --data {} --out {} --epochs 1", &[&data, &out]);
    moto.put("/films", b"");
    let upload =
        |file: &Path, key: &str| moto.put(&format!("/films/{key}"), &fs::read(file).unwrap());
    for name in ["userFeatures.parquet", "movieFeatures.parquet"] {
        upload(&out.join(name), &format!("daily/{name}"));
    }
    // Part files as Spark writes them, with an object for the folder.
    let text = fs::read_to_string(out.join("userEmb.csv")).unwrap();
    let (first, second) = text.split_at(text.find("\n35:").unwrap() + 1);
    for (key, body) in [
        ("users/", ""),
        ("users/_SUCCESS", ""),
        ("users/_temporary/0/part-00000", "?"),
        ("users/part-00000", first),
        ("users/part-00001", second),
    ] {
        moto.put(&format!("/films/{key}"), body.as_bytes());
    }
    upload(&out.join("item2vecEmb.csv"), "items.csv");
    upload(&out.join("embedding.json"), "embedding.json");
    let line = "push --features s3://films/daily --user-embeddings s3://films/users/ \
                --item-embeddings s3://films/items.csv --store {}";
    let (printed, _) = ends(0, with_moto(&mut loader(line, &[&store]), &moto.url()));
    assert!(printed.contains("70 users' embeddings"), "{printed}");
    // The local files have the same content.
    let line = "verify --features {} --embeddings {} --store {} --sample all";
    assert!(succeeds(line, &[&out, &out, &store]).contains("\n0 differences"));

    // Objects are compared with the digests beside them.
    upload(&out.join("_SHA256SUMS"), "daily/_SHA256SUMS");
    succeeds_from_moto(&moto, "push --dry-run --features s3://films/daily");
    let mut damaged = fs::read(out.join("userFeatures.parquet")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    moto.put("/films/daily/userFeatures.parquet", &damaged);
    upload(&out.join("embedding.json"), "set/embedding.json");
    upload(&out.join("userEmb.csv"), "set/userEmb.csv");
    let item_vectors = fs::read_to_string(out.join("item2vecEmb.csv")).unwrap();
    moto.put("/films/set/item2vecEmb.csv", item_vectors.replace('1', "2").as_bytes());
    for (line, expected) in [
        (
            "--features s3://films/daily",
            "daily/userFeatures.parquet: its SHA-256 is not the one in _SHA",
        ),
        (
            "--embeddings s3://films/set",
            "set/item2vecEmb.csv: its SHA-256 is not the one in embedding.",
        ),
    ] {
        let line = format!("push --dry-run {line}");
        let (_, errors) = ends(3, with_moto(&mut loader(&line, &[]), &moto.url()));
        assert!(errors.contains(expected), "{errors}");
    }
    upload(&out.join("userFeatures.parquet"), "daily/userFeatures.parquet");

    for (source, expected) in [
        ("s3://films/nothing", "cannot read s3://films/nothing"),
        ("s3://elsewhere/users", "cannot read s3://elsewhere/users"),
        ("s3://films/daily/userFeatures.parquet", "no column movieId"),
    ] {
        let line = format!("push --dry-run --item-embeddings {source}");
        let (_, errors) = ends(3, with_moto(&mut loader(&line, &[]), &moto.url()));
        assert!(errors.contains(expected) && !errors.contains("s3cret"), "{errors}");
    }
}

#[test]
fn unavailable_object_store_is_an_error_in_bounded_time() {
    let unused = format!("http://127.0.0.1:{}", TestRedis::free_port());
    let mut command = loader("push --dry-run --item-embeddings s3://films/items.csv", &[]);
    let (_, errors) = ends(3, with_moto(&mut command, &unused));
    assert!(errors.contains("cannot read s3://films/items.csv"), "{errors}");
    assert!(!errors.contains("s3cret"), "{errors}");
}
