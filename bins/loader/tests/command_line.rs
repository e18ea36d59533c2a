//! Runs the program from the command line.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{fail, loader, succeed};
use tempfile::TempDir;

fn synth(line: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    succeed(&format!("synth {line}"), &[("--out", folder.path())]);
    folder
}

/// The names of the files in a folder except its manifest.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "_SHA256SUMS")
        .collect();
    names.sort();
    names
}

fn lines(folder: &Path, name: &str) -> Vec<String> {
    fs::read_to_string(folder.join(name)).unwrap().lines().map(str::to_owned).collect()
}

/// The year of a timestamp in seconds since 1970.
fn year(timestamp: i64) -> i64 {
    1970 + timestamp * 10 / 315_569_520
}

#[test]
fn synth_writes_the_requested_sizes() {
    let folder = synth("--users 90 --movies 700 --ratings 6001 --seed 3");
    assert_eq!(names(folder.path()), ["links.csv", "movies.csv", "ratings.csv"]);

    let movies = lines(folder.path(), "movies.csv");
    assert_eq!(movies[0], "movieId,title,genres");
    let years: BTreeMap<u32, Option<i64>> = movies[1..]
        .iter()
        .map(|line| {
            let (id, rest) = line.split_once(',').unwrap();
            let (title, _genres) = rest.rsplit_once(',').unwrap();
            let title = title.trim_end_matches('"');
            let year = title.strip_suffix(')').map(|rest| rest[rest.len() - 4..].parse().unwrap());
            (id.parse().unwrap(), year)
        })
        .collect();
    assert_eq!(years.len(), 700);

    let links = lines(folder.path(), "links.csv");
    assert_eq!(links[0], "movieId,imdbId,tmdbId");
    assert_eq!(links.len(), 701);

    let ratings = lines(folder.path(), "ratings.csv");
    assert_eq!(ratings[0], "userId,movieId,rating,timestamp");
    assert_eq!(ratings.len(), 6002);
    let mut pairs = BTreeSet::new();
    let mut per_user: BTreeMap<u32, u32> = BTreeMap::new();
    let mut last = (0, 0);
    for line in &ratings[1..] {
        let fields: Vec<&str> = line.split(',').collect();
        let [user, movie, stars, timestamp] = fields[..] else { panic!("{line}") };
        let (user, movie): (u32, u32) = (user.parse().unwrap(), movie.parse().unwrap());
        assert!((user, movie) > last, "{line}: out of order");
        last = (user, movie);
        let half_stars = stars.parse::<f64>().unwrap() * 2.0;
        assert!((1.0..=10.0).contains(&half_stars) && half_stars.fract() == 0.0, "{line}");
        let rated = year(timestamp.parse().unwrap());
        assert!((1996..=2018).contains(&rated), "{line}");
        assert!(years[&movie].is_none_or(|released| released <= rated), "{line}");
        pairs.insert((user, movie));
        *per_user.entry(user).or_default() += 1;
    }
    assert_eq!(pairs.len(), 6001);
    assert_eq!(per_user.len(), 90);
    assert!(per_user.values().all(|&count| count >= 20));
}

#[test]
fn synth_is_reproducible_and_depends_on_the_seed() {
    let read = |folder: &TempDir| fs::read(folder.path().join("ratings.csv")).unwrap();
    let first = synth("--users 600 --movies 100 --ratings 13000 --seed 5");
    let again = synth("--users 600 --movies 100 --ratings 13000 --seed 5");
    let other = synth("--users 600 --movies 100 --ratings 13000 --seed 6");
    assert_eq!(read(&first), read(&again));
    assert_ne!(read(&first), read(&other));
}

#[test]
fn synth_supports_the_least_and_greatest_sizes() {
    for size in [
        "--users 1 --movies 1 --ratings 1",
        "--users 7 --movies 30 --ratings 210",
        "--users 40 --movies 3 --ratings 40",
    ] {
        let folder = synth(size);
        let ratings: usize = size.rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!(lines(folder.path(), "ratings.csv").len(), ratings + 1, "{size}");
    }
}

#[test]
fn synth_rejects_impossible_sizes() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("new");
    let out = [("--out", &*out)];
    let error = fail(2, "synth --users 5 --movies 5 --ratings 26", &out);
    assert!(error.contains("26 ratings are too many"), "{error}");
    let error = fail(2, "synth --users 5 --movies 5 --ratings 4", &out);
    assert!(error.contains("4 ratings are too few"), "{error}");
    let error = fail(2, "synth --users 0 --movies 5 --ratings 4", &out);
    assert!(error.contains("at least 1"), "{error}");
    let error = fail(2, "synth --users many --movies 5 --ratings 4", &out);
    assert!(error.contains("--users"), "{error}");
    assert_eq!(names(parent.path()), [""; 0]);
}

#[test]
fn synth_replaces_files_only_when_forced() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("links.csv"), "mine").unwrap();
    let out = [("--out", folder.path())];
    let error = fail(1, "synth --users 2 --movies 5 --ratings 4", &out);
    assert!(error.contains("links.csv exists already; --force replaces it"), "{error}");
    assert_eq!(names(folder.path()), ["links.csv"]);
    assert_eq!(fs::read_to_string(folder.path().join("links.csv")).unwrap(), "mine");
    succeed("synth --users 2 --movies 5 --ratings 4 --force", &out);
    assert_eq!(lines(folder.path(), "links.csv").len(), 6);
}

#[test]
fn uncreatable_folder_is_an_error_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = fail(1, "synth --users 2 --movies 5 --ratings 4", &[("--out", &file.join("x"))]);
    assert!(error.starts_with("error: cannot write") && error.contains("irectory"), "{error}");
}

#[test]
fn embed_writes_vectors_of_all_users_and_most_movies() {
    let data = synth("--users 200 --movies 300 --ratings 8000 --seed 2");
    let out = data.path().join("emb");
    let folders = [("--data", data.path()), ("--out", &*out)];
    let summary = succeed("embed --dimension 6 --threads 1 --epochs 2 --min-count 1", &folders);
    assert!(summary.contains("200 of 200 users"), "{summary}");
    assert_eq!(names(&out), ["embedding.json", "item2vecEmb.csv", "userEmb.csv"]);
    for (name, at_least) in [("item2vecEmb.csv", 250), ("userEmb.csv", 200)] {
        let mut last = 0;
        let lines = lines(&out, name);
        assert!(lines.len() >= at_least, "{name} has {} lines", lines.len());
        for line in lines {
            let (id, vector) = line.split_once(':').unwrap();
            let id: u32 = id.parse().unwrap();
            assert!(id > last, "{line}: ids ascend");
            last = id;
            let numbers: Vec<f32> = vector.split(' ').map(|n| n.parse().unwrap()).collect();
            assert_eq!(numbers.len(), 6, "{line}");
            assert!(numbers.iter().all(|n| n.is_finite()), "{line}");
        }
    }
}

#[test]
fn embed_with_one_thread_is_reproducible() {
    let data = synth("--users 100 --movies 200 --ratings 3000 --seed 2");
    let embed = |seed: u32| {
        let out = tempfile::tempdir().unwrap();
        let folders = [("--data", data.path()), ("--out", out.path())];
        succeed(&format!("embed --dimension 8 --epochs 3 --threads 1 --seed {seed}"), &folders);
        ["item2vecEmb.csv", "userEmb.csv"].map(|name| fs::read(out.path().join(name)).unwrap())
    };
    assert_eq!(embed(4), embed(4));
    assert_ne!(embed(4), embed(5));
}

#[test]
fn embed_by_ials_is_the_same_on_any_number_of_threads() {
    let data = synth("--users 100 --movies 200 --ratings 3000 --seed 2");
    let embed = |options: &str| {
        let out = tempfile::tempdir().unwrap();
        let folders = [("--data", data.path()), ("--out", out.path())];
        let line = format!("embed --method ials --dimension 20 --epochs 3 {options}");
        let summary = succeed(&line, &folders);
        assert!(
            summary.contains("): trained on 3000 ratings") && summary.contains("ials ("),
            "{summary}"
        );
        let about = fs::read_to_string(out.path().join("embedding.json")).unwrap();
        assert!(about.contains("\"similarity\": \"dot\""), "{about}");
        ["item2vecEmb.csv", "userEmb.csv"].map(|name| fs::read(out.path().join(name)).unwrap())
    };
    assert_eq!(embed("--threads 1"), embed("--threads 3"));
    assert_ne!(embed("--seed 1"), embed("--seed 2"));
}

#[test]
fn embed_by_ease_writes_the_next_version_of_a_model() {
    let data = synth("--users 100 --movies 200 --ratings 3000 --seed 2");
    let out = data.path().join("ease");
    let folders = [("--data", data.path()), ("--out", &*out)];
    let summary = succeed("embed --method ease --keep 5 --dry-run", &folders);
    assert!(summary.contains("): trained on 3000 ratings") && !out.exists(), "{summary}");
    for version in ["001", "002"] {
        succeed("embed --method ease --keep 5", &folders);
        assert_eq!(names(&out.join(version)), ["model.safetensors"]);
    }
    assert_eq!(names(&out), ["001", "002"]);
}

#[test]
fn options_of_other_methods_are_usage_errors() {
    let data = synth("--users 30 --movies 60 --ratings 900 --seed 2");
    let out = data.path().join("emb");
    let folders = [("--data", data.path()), ("--out", &*out)];
    for (line, expected) in [
        ("embed --keep 3", "--keep is an option of --method ease"),
        ("embed --method ials --window 3", "--window is an option of --method item2vec"),
        ("embed --method ials --regularization 0", "regularization must be more than 0"),
        ("embed --method ease --regularization 0", "regularization must be from 1"),
        ("embed --method ease --positives stars", "--positives must be all or liked, got stars"),
        ("embed --method als", "possible values: item2vec, ials, ease"),
    ] {
        let error = fail(2, line, &folders);
        assert!(error.contains(expected), "{line}: {error}");
    }
    assert!(!out.exists());
}

#[test]
fn tune_continues_its_record() {
    let data = synth("--users 60 --movies 80 --ratings 2000 --seed 2");
    let record = data.path().join("trials.jsonl");
    let folders = [("--data", data.path()), ("--out", &*record)];
    let first = succeed("tune --method ials --trials 2", &folders);
    assert!(first.contains("the defaults") && first.contains("best of 2 trials"), "{first}");
    let again = succeed("tune --method ials --trials 3", &folders);
    assert!(!again.contains("the defaults  ") && again.contains("best of 3 trials"), "{again}");
    assert!(again.contains("sparrow-loader embed --method ials"), "{again}");
    assert_eq!(lines(data.path(), "trials.jsonl").len(), 3);
    let error = fail(3, "tune --method ease --trials 3", &folders);
    assert!(
        error.contains(":1: a trial of another search: its method is ials, not ease"),
        "{error}"
    );
    let error = fail(2, "tune --method neuralcf --trials 3", &folders);
    assert!(error.contains("item2vec, ials, ease, next-item, item-knn, gmf"), "{error}");
}

#[test]
fn embed_skips_at_most_the_allowed_number_of_bad_lines() {
    let data = synth("--users 30 --movies 60 --ratings 900 --seed 2");
    let path = data.path().join("ratings.csv");
    let mut ratings = fs::read_to_string(&path).unwrap();
    ratings.push_str("30,nonsense,4.0,1500000000\n");
    fs::write(&path, ratings).unwrap();
    fs::remove_file(data.path().join("_SHA256SUMS")).unwrap();
    let out = data.path().join("emb");
    let folders = [("--data", data.path()), ("--out", &*out)];
    let error = fail(3, "embed", &folders);
    assert!(error.contains("ratings.csv:902"), "{error}");
    let summary = succeed("embed --max-bad-lines 1 --epochs 1 --dry-run", &folders);
    assert!(summary.contains("ratings.csv:902") && summary.contains("nothing was"), "{summary}");
    assert!(!out.exists());
    let summary = succeed("embed --max-bad-lines 1 --epochs 1", &folders);
    assert!(summary.contains("ratings.csv:902"), "{summary}");
    assert_eq!(names(&out), ["embedding.json", "item2vecEmb.csv", "userEmb.csv"]);
}

#[test]
fn embed_errors_name_the_option_or_the_file() {
    let data = synth("--users 30 --movies 60 --ratings 900 --seed 2");
    let out = data.path().join("emb");
    let folders = [("--data", data.path()), ("--out", &*out)];
    for (option, expected) in [
        ("--dimension 0", "dimension must be from 1 to 1024, got 0"),
        ("--threads 0", "threads must be from 1"),
        ("--epochs 0", "epochs must be"),
        ("--window 0", "window must be"),
        ("--learning-rate nan", "learning-rate must be"),
    ] {
        let error = fail(2, &format!("embed {option}"), &folders);
        assert!(error.contains(expected), "{option}: {error}");
    }
    let error = fail(2, "embed --dimension many", &folders);
    assert!(error.contains("--dimension"), "{error}");

    let missing = data.path().join("missing");
    let error = fail(3, "embed", &[("--data", &missing), ("--out", &out)]);
    assert!(error.contains("missing"), "{error}");

    // No ratings.
    fs::write(data.path().join("ratings.csv"), "userId,movieId,rating,timestamp\n").unwrap();
    fs::remove_file(data.path().join("_SHA256SUMS")).unwrap();
    let error = fail(3, "embed", &folders);
    assert!(error.contains("no training data"), "{error}");
    assert!(!out.exists());
}

#[test]
fn degenerate_training_fails_and_writes_nothing() {
    let demo = sparrow_test_support::demo();
    let temporary = tempfile::tempdir().unwrap();
    let out = temporary.path().join("out");
    let folders = [("--data", &*demo), ("--out", &*out)];
    for (line, problem) in [
        ("embed --method ials --regularization 1000", "movies and 500 of 500 users are zero"),
        ("train --pretraining none --learning-rate 1 --epochs 10", "every rating alike"),
        ("train --architecture two-towers --learning-rate 1 --epochs 10", "every rating alike"),
    ] {
        let error = fail(1, line, &folders);
        assert!(error.contains(problem), "{line}: {error}");
        assert!(!out.exists(), "{line}");
    }

    // Some vectors are zero: a warning.
    let line = "embed --method ials --regularization 3 --epochs 8 --dimension 16";
    let output = loader(line, &folders).output().unwrap();
    let warning = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{warning}");
    let numbers: Vec<usize> = warning.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [movies, all_movies, users, all_users] = numbers[..] else { panic!("{warning}") };
    assert!(warning.starts_with("warning: the vectors of ") && movies > 0 && users > 0);
    assert_eq!(lines(&out, "item2vecEmb.csv").len(), all_movies - movies);
    assert_eq!(lines(&out, "userEmb.csv").len(), all_users - users);
}

#[test]
fn features_and_samples_are_written_and_counted() {
    let data = synth("--users 40 --movies 90 --ratings 1500 --seed 4");
    let out = data.path().join("out");
    let folders = [("--data", data.path()), ("--out", &*out)];
    let nothing = succeed("features --dry-run", &folders);
    assert!(nothing.contains("features of 40 users and ") && !out.exists(), "{nothing}");
    let summary = succeed("features --memory-limit 64MiB --threads 2", &folders);
    assert!(summary.contains("features of 40 users and "), "{summary}");
    let features =
        ["movieFeatures.csv", "movieFeatures.parquet", "userFeatures.csv", "userFeatures.parquet"];
    assert_eq!(names(&out), features);
    assert_eq!(lines(&out, "userFeatures.csv").len(), 41);

    // The first two ratings of each user have fewer than two earlier ones.
    for (split, test) in [("random", 200..360), ("time", 200..320), ("per-user-time", 240..301)] {
        let out = data.path().join(split);
        let folders = [("--data", data.path()), ("--out", &*out)];
        let summary = succeed(&format!("samples --split {split} --format csv"), &folders);
        assert_eq!(names(&out), ["testSamples.csv", "trainingSamples.csv"]);
        let [train, tests] =
            ["trainingSamples.csv", "testSamples.csv"].map(|name| lines(&out, name).len() - 1);
        assert_eq!(train + tests, 1500 - 80, "{split}");
        assert!(test.contains(&tests), "{split}: {tests}");
        let counts = format!("{train} training samples and {tests} test samples");
        assert!(summary.contains(&counts), "{summary}");
    }
}

#[test]
fn damaged_files_are_errors_with_their_name() {
    let data = synth("--users 40 --movies 90 --ratings 1500 --seed 4");
    let out = data.path().join("out");
    let folders = [("--data", data.path()), ("--out", &*out)];
    succeed("features", &folders);
    succeed("embed --method ials --dimension 4 --epochs 2", &folders);
    for folder in [data.path(), &out] {
        let status = Command::new("sha256sum")
            .args(["--check", "--strict", "--quiet", "_SHA256SUMS"])
            .current_dir(folder)
            .status();
        assert!(status.unwrap().success());
    }
    let push = |folder: &Path| {
        let both = [("--features", folder), ("--embeddings", folder)];
        loader("push --dry-run", &both).output().unwrap()
    };
    let output = push(&out);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["userFeatures.parquet", "movieFeatures.parquet", "item2vecEmb.csv", "userEmb.csv"]
    {
        let path = out.join(name);
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        fs::write(&path, damaged).unwrap();
        let output = push(&out);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{name}: {error}");
        assert!(
            error.contains(name) && error.contains("its SHA-256 is not the one in "),
            "{error}"
        );
        fs::write(&path, whole).unwrap();
    }
    // As older versions write them.
    fs::remove_file(out.join("_SHA256SUMS")).unwrap();
    fs::remove_file(out.join("embedding.json")).unwrap();
    assert!(push(&out).status.success());
}

#[test]
fn data_set_that_differs_from_its_manifest_is_an_error() {
    let data = synth("--users 40 --movies 90 --ratings 1500 --seed 4");
    let ratings = data.path().join("ratings.csv");
    let text = fs::read_to_string(&ratings).unwrap();
    // Without the last rating the file is still valid.
    let shorter = &text[..=text.trim_end().rfind('\n').unwrap()];
    fs::write(&ratings, shorter).unwrap();
    let out = data.path().join("out");
    let folders = [("--data", data.path()), ("--out", &*out)];
    let with_data = [("--data", data.path())];
    let run_with_store = format!("run --store file:{}", data.path().join("s").display());
    for (line, folders) in [
        ("features", &folders[..]),
        ("samples", &folders),
        ("embed --epochs 1", &folders),
        ("train --architecture neuralcf --epochs 1", &folders),
        ("tune --method ials --trials 1", &folders),
        ("evaluate --model popularity", &with_data),
        ("compare --models popularity", &with_data),
        ("push --dry-run", &with_data),
        (&run_with_store, &with_data),
    ] {
        let error = fail(3, line, folders);
        assert!(
            error.contains("ratings.csv: its SHA-256 is not the one in _SHA256SUMS")
                && error.contains("delete _SHA256SUMS if you changed the file on purpose"),
            "{line}: {error}"
        );
        assert!(!out.exists() || names(&out).is_empty(), "{line}");
    }
    fs::remove_file(data.path().join("_SHA256SUMS")).unwrap();
    succeed("features", &folders);
}

/// Standard error is a full pipe without a reader.
#[cfg(unix)]
#[test]
fn an_unread_standard_error_does_not_block() {
    let demo = sparrow_test_support::demo();
    let out = tempfile::tempdir().unwrap();
    for (line, code) in [
        // A warning and a result.
        ("embed --method ials --regularization 3 --epochs 8 --dimension 16", 0),
        ("embed --method ials --regularization 1000", 1),
        ("embed --max-bad-lines 1", 3),
    ] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        // The size of a pipe on Linux; elsewhere it is smaller, and the test would block here.
        if cfg!(target_os = "linux") {
            writer.write_all(&vec![b'x'; 1 << 16]).unwrap();
        }
        let data = if code == 3 { Path::new("/nowhere") } else { &*demo };
        let mut command = Command::new(env!("CARGO_BIN_EXE_sparrow-loader"));
        command.args(line.split(' ')).arg("--data").arg(data).arg("--out").arg(out.path());
        let mut child = command.stdout(Stdio::null()).stderr(writer).spawn().unwrap();
        let end = Instant::now() + Duration::from_mins(1);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > end {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{line}: it waits for a reader of standard error");
            }
            thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), Some(code), "{line}");
        drop(reader);
    }
}

#[test]
fn features_and_samples_reject_invalid_options() {
    let data = synth("--users 2 --movies 5 --ratings 4");
    let folders = [("--data", data.path()), ("--out", data.path())];
    for (line, problem) in [
        ("features --memory-limit lots", "a size"),
        ("features --memory-limit 1MiB", "at least 16MiB"),
        ("features --threads 0", "--threads"),
        ("tune --method ials --trials 0", "it must be above zero"),
        ("samples --split coin", "per-user-time"),
        ("samples --test-fraction 1.2", "a number from 0 to 1"),
        ("samples --sample-fraction nan", "a number from 0 to 1"),
        ("samples --format xml", "parquet"),
    ] {
        let error = fail(2, line, &folders);
        assert!(error.contains(problem), "{line}: {error}");
    }
}

#[cfg(unix)]
#[test]
fn full_disk_leaves_the_old_files() {
    let data = synth("--users 400 --movies 900 --ratings 60000 --seed 4");
    let out = data.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("trainingSamples.csv"), "old").unwrap();
    // A file size limit has the same effect as a full disk: a write fails.
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_sparrow-loader"), "samples", "--data"])
        .arg(data.path())
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("error: cannot write ") && error.contains("Samples."), "{error}");
    assert!(error.contains("too large"), "{error}");
    assert_eq!(names(&out), ["trainingSamples.csv"]);
    assert_eq!(fs::read_to_string(out.join("trainingSamples.csv")).unwrap(), "old");
}

#[test]
fn usage_errors_have_the_exit_code_2() {
    assert!(succeed("--help", &[]).contains("synth"));
    assert!(succeed("embed --help", &[]).contains("--max-bad-lines"));
    fail(2, "", &[]);
    fail(2, "synth --users 3", &[]);
    fail(2, "invent", &[]);
}

#[test]
fn wrong_usage_and_missing_input_have_their_exit_codes() {
    let data = synth("--users 30 --movies 60 --ratings 900 --seed 2");
    let options = [("--data", data.path())];
    for (code, line, expected) in [
        (2, "train --out x --choices 4", "--choices must be 0 except for gmf, got 4"),
        (2, "evaluate --model nope", "no model is named \"nope\""),
        (2, "run", "no store"),
        (2, "push --store memory", "name another"),
        (3, "evaluate --model emb --embeddings nowhere", "cannot read nowhere/item2vecEmb.csv"),
    ] {
        let error = fail(code, line, &options);
        assert!(error.starts_with("error: ") && error.contains(expected), "{line}: {error}");
    }
}

const COMMANDS: [&str; 15] = [
    "run",
    "features",
    "samples",
    "embed",
    "import",
    "push",
    "verify",
    "export",
    "trim",
    "synth",
    "train",
    "tune",
    "evaluate",
    "compare",
    "experiment",
];

#[test]
fn help_is_wrapped_at_80_columns_and_keeps_every_word() {
    for command in [""].iter().chain(&COMMANDS) {
        for flag in ["-h", "--help"] {
            let help = succeed(&format!("{command} {flag}"), &[]);
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{command} {flag}: {line}");
            }
            assert!(
                help.contains("--quiet") && !help.contains('\u{1b}'),
                "{command} {flag}: {help}"
            );
        }
    }
    let help = succeed("--help", &[]);
    for command in COMMANDS {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(command)),
            "{command}: {help}"
        );
    }
}

#[test]
fn help_lists_all_models() {
    for command in ["evaluate", "compare"] {
        let help = succeed(&format!("{command} --help"), &[]);
        for model in sparrow_evaluate::models().into_iter().map(|model| model.name) {
            let begins = format!("  {model} ");
            assert!(
                help.lines().any(|line| line.starts_with(&begins)),
                "{command}: {model}: {help}"
            );
        }
        assert!(help.contains("  tf-serving "), "{command}: {help}");
    }
}

#[test]
fn run_accepts_only_methods_that_compute_vectors() {
    let help = succeed("run --help", &[]);
    assert!(help.contains("ials") && help.contains("--negatives"), "{help}");
    assert!(!help.contains("ease") && !help.contains("--keep"), "{help}");
    let help = succeed("embed --help", &[]);
    assert!(help.contains("ease") && help.contains("--keep"), "{help}");
    let error = fail(2, "run --data x --store file:x --method ease", &[]);
    assert!(error.contains("possible values: item2vec, ials"), "{error}");
    fail(2, "run --data x --store file:x --keep 3", &[]);
}

#[test]
fn frequent_options_have_short_forms() {
    let data = tempfile::tempdir().unwrap();
    let line = "synth --users 60 --movies 80 --ratings 2000 --seed 2 -q";
    assert_eq!(succeed(line, &[("-o", data.path())]), "");
    let out = data.path().join("out");
    let folders = [("-d", data.path()), ("-o", &*out)];
    for line in [
        "embed -n -m ials -t 1",
        "features -n -t 1",
        "samples -n -t 1",
        "train -a gmf --epochs 1",
        "tune -m ials --trials 1",
    ] {
        let out = if line.starts_with("tune") { out.join("trials") } else { out.clone() };
        succeed(line, &[folders[0], ("-o", &*out)]);
    }
    let options = [("-d", data.path())];
    let table = succeed("evaluate -m popularity -p label --seeds 1 -j", &options);
    assert!(table.starts_with('{'), "{table}");
}

#[test]
fn quiet_prints_results_only_and_verbose_the_epochs() {
    let data = synth("--users 60 --movies 80 --ratings 2000 --seed 2");
    let out = data.path().join("model");
    let folders = [("--data", data.path()), ("--out", &*out)];
    let line = "train --architecture gmf --epochs 3";
    let usual = succeed(line, &folders);
    assert!(usual.contains("of the test part (random split)"), "{usual}");
    assert!(!usual.contains("validation:"), "{usual}");
    let verbose = succeed(&format!("{line} --verbose"), &folders);
    assert!(verbose.contains("epoch    loss  validation: ROC AUC"), "{verbose}");
    assert_eq!(succeed(&format!("{line} --quiet"), &folders), "");
    let options = [("--data", data.path())];
    let line = "evaluate --model popularity --protocol label --seeds 1 --quiet";
    assert!(succeed(line, &options).contains("roc_auc"));
    fail(2, "train --quiet --verbose", &folders);
}

/// A command succeeds if only its summary cannot be written.
#[cfg(unix)]
#[test]
fn unwritable_output_fails_only_commands_that_print_results() {
    let data = tempfile::tempdir().unwrap();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let run = |line: &str, option: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sparrow-loader"));
        command.args(line.split_whitespace()).arg(option).arg(data.path());
        let output = command.stdout(full()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let synth = "synth --users 60 --movies 80 --ratings 2000 --seed 2";
    assert_eq!(run(synth, "--out"), (Some(0), String::new()));
    assert_eq!(lines(data.path(), "ratings.csv").len(), 2001);
    let (code, error) = run("evaluate --model popularity --protocol label --seeds 1", "--data");
    assert_eq!(code, Some(1));
    assert!(error.contains("cannot write to standard output: No space left"), "{error}");

    // The exit code is the same if standard error cannot be written either.
    let mut command = Command::new(env!("CARGO_BIN_EXE_sparrow-loader"));
    command.args(synth.split_whitespace()).arg("--out").arg(data.path());
    let status = command.stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[tokio::test]
async fn features_and_samples_overlay_the_data_set_with_live_data() {
    use sparrow_live::{Action, Limits, LiveStore as _, Write};
    use sparrow_model::{MovieId, Stars, UserId};

    let data = synth("--users 40 --movies 60 --ratings 1500");
    let [live, merged, ours, theirs, samples] =
        ["live", "merged", "ours", "theirs", "samples"].map(|name| data.path().join(name));
    let file = sparrow_store::FileLive::open(&live, Limits::default()).unwrap();
    let stars = Stars::from_half_stars(9).unwrap();
    let rate = |user| Write::new(UserId(user), Action::Rate(MovieId(1), stars), 1_900_000_000);
    assert!(file.write(&[rate(1), rate(1_000_000_001)]).await.iter().all(Result::is_ok));
    drop(file);
    succeed("export", &[("--live", &live), ("--data", data.path()), ("--out", &merged)]);
    succeed("features", &[("--data", data.path()), ("--live", &live), ("--out", &ours)]);
    succeed("features", &[("--data", &merged), ("--out", &theirs)]);
    for name in ["userFeatures.csv", "movieFeatures.parquet", "watermark.csv"] {
        assert_eq!(fs::read(ours.join(name)).unwrap(), fs::read(theirs.join(name)).unwrap());
    }
    assert!(lines(&ours, "userFeatures.csv").iter().any(|line| line.starts_with("1000000001,")));
    // Without live data, the watermark of the earlier features is removed.
    succeed("features", &[("--data", data.path()), ("--out", &ours)]);
    assert!(!ours.join("watermark.csv").exists());
    let said =
        succeed("samples", &[("--data", data.path()), ("--live", &live), ("--out", &samples)]);
    assert!(said.contains("overlaid with 2 writes of 2 users"), "{said}");
    fail(
        3,
        "features",
        &[("--data", data.path()), ("--live", &data.path().join("no")), ("--out", &ours)],
    );
}
