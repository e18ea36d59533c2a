//! The embedded store, and errors without a store.

use std::fs;
use std::path::Path;

use crate::support::{data_set, ends, fails, loader, succeeds, vectors};

fn store(folder: &Path) -> String {
    format!("file:{}", folder.join("store.redb").display())
}

/// The generation in the output.
fn generation(printed: &str) -> u64 {
    let (_, behind) = printed.split_once("generation ").unwrap();
    behind.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn output_of_run_is_verified_and_can_be_pushed_again() {
    let data = data_set();
    let out = data.path().join("out");
    let store = store(data.path());
    let (users, movies) = ("70 users' features (uf:)", "movies' features (mf:)");
    let printed = succeeds("run --data {} --out {} --store {} --epochs 1", &[&data, &out, &store]);
    assert!(printed.contains(users) && printed.contains(movies), "{printed}");
    for step in ["features", "embeddings", "push"] {
        assert!(
            printed.lines().any(|line| line.contains(step) && line.contains(" s")),
            "{step}: {printed}"
        );
    }
    // The printed commands can be pasted into a shell.
    let line = printed.lines().find(|line| line.contains("sparrow-loader verify")).unwrap();
    let words = line.split_whitespace().skip_while(|word| *word != "verify");
    let (checked, _) = ends(0, loader("", &[]).args(words));
    assert!(checked.contains("\n0 differences; generation "), "{checked}");
    let first = generation(&checked);

    let files: [&dyn AsRef<Path>; 4] = [&data, &out, &out, &store];
    let printed = succeeds("push --data {} --features {} --embeddings {} --store {}", &files);
    let second = generation(&printed);
    assert!(second > first, "{printed}");
    let all = "verify --data {} --features {} --embeddings {} --store {} --sample all";
    let checked = succeeds(all, &files);
    assert!(checked.contains("\n0 differences"), "{checked}");
    assert_eq!(generation(&checked), second);
}

#[test]
fn run_removes_its_files_without_out() {
    let (data, folder) = (data_set(), tempfile::tempdir().unwrap());
    let (temporary, working) = (folder.path().join("tmp"), folder.path().join("here"));
    for folder in [&temporary, &working] {
        fs::create_dir(folder).unwrap();
    }
    let store = store(data.path());
    let mut command = loader("run --data {} --store {} --epochs 1", &[&data, &store]);
    let (printed, errors) = ends(0, command.env("TMPDIR", &temporary).current_dir(&working));
    assert_eq!(errors, "");
    for folder in [&temporary, &working] {
        let left: Vec<_> = fs::read_dir(folder).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(!printed.contains("kept "), "{printed}");
    let line = printed.lines().find(|line| line.contains("sparrow-loader verify")).unwrap();
    let words = line.split_whitespace().skip_while(|word| *word != "verify");
    let (checked, _) = ends(0, loader("", &[]).args(words));
    assert!(checked.contains("\n0 differences; generation "), "{checked}");
}

#[test]
fn verify_reports_differences_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let (one, two) = (vectors(folder.path(), 5, 1), vectors(folder.path(), 6, 2));
    succeeds("push --item-embeddings {} --store {}", &[&one, &store]);
    let same = succeeds("verify --item-embeddings {} --store {}", &[&one, &store]);
    assert!(same.contains("compared 5 of 5 entries"), "{same}");
    let line = "verify --item-embeddings {} --store {} --sample all";
    let (out, errors) = ends(5, &mut loader(line, &[&two, &store]));
    assert!(out.contains("i2vEmb:1 0: 2 in the sources, 1 in the store"), "{out}");
    assert!(out.contains("i2vEmb:6: 2 components in the sources, missing in the store"), "{out}");
    assert!(out.contains("\n6 differences"), "{out}");
    assert!(errors.starts_with("error: the store differs"), "{errors}");
    let line = "verify --item-embeddings {} --store {} --sample 3 --seed 9";
    let (out, _) = ends(5, &mut loader(line, &[&two, &store]));
    assert!(out.contains("compared 3 of 6 entries"), "{out}");
}

#[test]
fn dry_run_reads_everything_and_writes_nothing() {
    let data = data_set();
    let file = vectors(data.path(), 7, 1);
    let store = store(data.path());
    let line = "push --data {} --item-embeddings {} --store {} --dry-run";
    let printed = succeeds(line, &[&data, &file, &store]);
    assert!(printed.contains("7 movies' embeddings (i2vEmb:)"), "{printed}");
    assert!(printed.contains("70 users' rating histories"), "{printed}");
    assert!(!data.path().join("store.redb").exists());
    succeeds("push --item-embeddings {} --dry-run", &[&file]);

    let out = data.path().join("out");
    let printed = succeeds("run --data {} --out {} --store {} --dry-run", &[&data, &out, &store]);
    assert!(printed.contains("nothing was written"), "{printed}");
    assert!(!out.exists() && !data.path().join("store.redb").exists());

    fs::write(&file, "1:1\n2:one\n").unwrap();
    let error = fails(3, "push --item-embeddings {} --dry-run", &[&file]);
    assert!(error.contains("vectors1.csv: line 2: \"one\" is not a number"), "{error}");
}

#[test]
fn invalid_input_has_its_exit_code_and_leaves_the_store_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let good = vectors(folder.path(), 5000, 1);
    succeeds("push --item-embeddings {} --store {}", &[&good, &store]);
    let bad = folder.path().join("bad.csv");
    let text = fs::read_to_string(&good).unwrap();
    for (bytes, expected) in [
        (format!("{text}5001:1\n").into_bytes(), "bad.csv: id 5001 has 1 dimensions"),
        ([text.as_bytes(), b"5001:\xff\n"].concat(), "bad.csv: line 5001: not UTF-8"),
        (b"PAR1".to_vec(), "bad.csv: is not Parquet"),
        (b"PAR1 and no more than that, PAR1".to_vec(), "bad.csv: is not readable as Parquet"),
        (b"movieId,embeding\n1,1\n".to_vec(), "the nearest is \"embeding\""),
    ] {
        fs::write(&bad, bytes).unwrap();
        let error = fails(3, "push --item-embeddings {} --store {}", &[&bad, &store]);
        assert!(error.contains(expected), "{error}");
    }
    let nowhere = folder.path().join("nowhere");
    for source in ["--item-embeddings", "--features", "--embeddings", "--data"] {
        let error = fails(3, &format!("push {source} {{}} --store {{}}"), &[&nowhere, &store]);
        assert!(error.contains("nowhere"), "{error}");
    }
    fails(3, "run --data {} --store {}", &[&nowhere, &store]);
    let printed = succeeds("verify --item-embeddings {} --store {} --sample all", &[&good, &store]);
    assert!(printed.contains("\n0 differences"), "{printed}");
}

#[test]
fn damaged_parquet_is_an_input_error_and_releases_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out, store) = (data_set(), folder.path().join("out"), store(folder.path()));
    succeeds("features --data {} --out {}", &[&data, &out]);
    let good = out.join("userFeatures.parquet");
    let bytes = fs::read(&good).unwrap();
    let bad = folder.path().join("bad.parquet");
    let mut refused = 0;
    let rounds = sparrow_test_support::rounds("pushes of damaged Parquet files", 24, 300);
    for round in 0..rounds {
        let mut damaged = bytes.clone();
        let offset = bytes.len() - 9 - round * 61 % (bytes.len() / 2);
        damaged[offset] ^= 0x5a;
        fs::write(&bad, damaged).unwrap();
        let output =
            loader("push --user-features {} --store {}", &[&bad, &store]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(0) {
            assert_eq!(output.status.code(), Some(3), "{errors}");
            assert!(errors.starts_with("error: ") && errors.contains("bad.parquet"), "{errors}");
            refused += 1;
        }
    }
    assert!(refused > 3, "{refused}");
    succeeds("push --user-features {} --store {}", &[&good, &store]);
}

#[test]
fn unusable_store_has_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = vectors(folder.path(), 5, 1);
    let no_store = folder.path().join("vectors1.csv");
    let (here, below) = (format!("file:{}", no_store.display()), no_store.join("x"));
    let below = format!("file:{}", below.display());
    fails(4, "push --item-embeddings {} --store {}", &[&file, &below]);
    let error = fails(4, "push --item-embeddings {} --store {}", &[&file, &here]);
    assert!(error.contains("vectors1.csv"), "{error}");
    assert!(fs::read_to_string(&file).unwrap().starts_with("1:1 1\n"), "it is as it was");

    // No server listens on the port.
    let port = sparrow_test_redis::TestRedis::free_port();
    let away = format!("redis://me:hidden@127.0.0.1:{port}");
    let line = "push --item-embeddings {} --store {} --connect-timeout 300ms";
    let error = fails(4, line, &[&file, &away]);
    assert!(error.contains(&format!("redis://127.0.0.1:{port}")), "{error}");
    assert!(!error.contains("hidden"), "{error}");
    fails(4, "verify --item-embeddings {} --store {} --connect-timeout 300ms", &[&file, &away]);
    fails(
        4,
        "push --dry-run --item-embeddings {} --store {} --connect-timeout 300ms",
        &[&file, &away],
    );
    // TLS to a server without TLS.
    let error = fails(4, line, &[&file, &away.replace("redis:", "rediss:")]);
    assert!(!error.contains("hidden"), "{error}");
}

#[test]
fn usage_is_checked_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let file = vectors(folder.path(), 5, 1);
    let error = fails(2, "push --item-embeddings {}", &[&file]);
    assert!(error.contains("--store") && error.contains("SPARROW_STORE"), "{error}");
    fails(2, "verify --item-embeddings {}", &[&file]);
    fails(2, "run --data {}", &[&folder]);
    for line in [
        "push --store file:x",
        "push --store file:x --features a --user-features b --item-embeddings {}",
        "push --store file:x --item-embeddings {} --ttl 30",
        "push --store file:x --item-embeddings {} --ttl 0s",
        "push --store file:x --item-embeddings {} --ttl 30d",
        "push --dry-run --store file:x --item-embeddings {} --ttl 30d",
        "run --store file:x --data {} --ttl 30d",
        "push --store file:x --item-embeddings {} --pool many",
        "push --store file:x --item-embeddings hdfs://host/{}",
        "verify --store file:x --item-embeddings {} --sample 0",
    ] {
        let values: &[&dyn AsRef<Path>] =
            if line.ends_with("file:x") || line.contains("hdfs") { &[] } else { &[&file] };
        fails(2, line, values);
    }
    let error = fails(2, "push --item-embeddings {} --store redis://u:hidden@h:port", &[&file]);
    assert!(error.contains("address") && !error.contains("hidden"), "{error}");
    let error = fails(2, "push --item-embeddings {} --store file:x --pool 0", &[&file]);
    assert!(error.contains("connections"), "{error}");

    let error = fails(2, "push --item-embeddings {} --store memory", &[&file]);
    assert!(error.contains("memory"), "{error}");

    let mut command = loader("push --item-embeddings {} --dry-run", &[&file]);
    let (_, errors) = ends(2, command.env("SPARROW_STORE", "redis://:hidden@h:port"));
    assert!(errors.contains("address") && !errors.contains("hidden"), "{errors}");
}

#[test]
fn store_address_is_read_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let (file, store) = (vectors(folder.path(), 5, 1), store(folder.path()));
    ends(0, loader("push --item-embeddings {}", &[&file]).env("SPARROW_STORE", &store));
    succeeds("verify --item-embeddings {} --store {}", &[&file, &store]);
}

#[test]
fn help_names_exit_codes_and_the_environment() {
    for line in ["--help", "push --help", "verify --help", "run --help"] {
        let help = succeeds(line, &[]);
        assert!(help.contains("Exit codes: 0 "), "{line}: {help}");
    }
    let mut command = loader("push --help", &[]);
    let (help, _) = ends(0, command.env("SPARROW_STORE", "redis://:hidden@h"));
    assert!(help.contains("SPARROW_STORE") && help.contains("AWS_ENDPOINT_URL"), "{help}");
    assert!(!help.contains("hidden"), "{help}");
}
