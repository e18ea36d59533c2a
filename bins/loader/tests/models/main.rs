//! Runs `train` and `import` from the command line.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod embedding_mlp;
#[path = "../support/mod.rs"]
mod support;
mod tensorflow;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sparrow_neural::model_folder::{MODEL_FILE, versions};
use sparrow_neural::neural_cf::{Architecture, ModelFile};

use sparrow_test_support::{demo, workspace};
use support::{fail, succeed};

fn read(version: &Path) -> ModelFile {
    ModelFile::read(&fs::read(version.join(MODEL_FILE)).unwrap(), "model").unwrap()
}

/// All files below a folder with their sizes.
fn listing(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(listing(&path));
        } else {
            found.insert(path.clone(), path.metadata().unwrap().len());
        }
    }
    found
}

#[test]
fn train_writes_consecutive_versions() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("models/neuralcf");
    let folders = [("--data", &*demo()), ("--out", &*out)];
    let summary = succeed("train --pretraining none --epochs 4 --verbose", &folders);
    assert!(summary.contains("epoch    loss  validation: ROC AUC"), "{summary}");
    assert!(summary.contains("of the test part (random split)"), "{summary}");
    succeed("train --epochs 1 --split per-user-time --architecture two-towers", &folders);
    fs::create_dir(out.join("041")).unwrap();
    succeed("train --pretraining none --epochs 1 --split time --seed 2", &folders);

    let numbers: Vec<u64> = versions(&out).unwrap().iter().map(|version| version.number).collect();
    assert_eq!(numbers, [42, 41, 2, 1]);
    let names = listing(&out).into_keys();
    let names: Vec<String> =
        names.map(|path| path.strip_prefix(&out).unwrap().display().to_string()).collect();
    assert_eq!(
        names,
        ["001", "002", "042"]
            .map(|version| {
                ["_SHA256SUMS", "model.safetensors", "saved_model.pb"]
                    .map(|file| format!("{version}/{file}"))
            })
            .concat()
    );

    let ModelFile { model, metadata } = read(&out.join("001"));
    assert_eq!(model.architecture(), Architecture::NeuralCf);
    assert_eq!((model.movies().dimension(), model.users().table.len()), (10, 500));
    assert_eq!(metadata.training["split"], "random");
    assert!(metadata.data.starts_with("sha256:"), "{}", metadata.data);
    // Random scores would reach 0.5.
    assert!(metadata.metrics["roc_auc"] > 0.65, "{:?}", metadata.metrics);
    let other = read(&out.join("002"));
    assert_eq!(other.model.architecture(), Architecture::TwoTowers);
    assert_eq!(other.metadata.data, metadata.data);
}

#[test]
fn train_starts_from_implicit_als_and_reports_the_quality_of_lists() {
    let parent = tempfile::tempdir().unwrap();
    let folders = [("--data", &*demo()), ("--out", parent.path())];
    let summary = succeed("train", &folders);
    assert!(summary.contains("nDCG@10"), "{summary}");
    let tuned = succeed("train --embedding 8 --epochs 1 --verbose", &folders);
    assert!(tuned.contains("epoch    loss  validation: nDCG@10"), "{tuned}");
    let ModelFile { model, metadata } = read(&parent.path().join("001"));
    assert_eq!((model.architecture(), model.movies().dimension()), (Architecture::NeuralCf, 32));
    assert_eq!((&*metadata.training["pretraining"], &*metadata.training["epochs"]), ("ials", "0"));
    let metrics = metadata.metrics;
    assert!(metrics["ndcg_at_10"] > 0.1 && metrics["users"] > 400.0, "{metrics:?}");
    assert!(!metrics.contains_key("roc_auc"), "{metrics:?}");
    assert_eq!(read(&parent.path().join("002")).model.movies().dimension(), 8);
    succeed("train --architecture neumf", &folders);
    let neumf = read(&parent.path().join("003"));
    assert_eq!(neumf.model.architecture(), Architecture::NeuMf);
    assert_eq!(neumf.metadata.training["embedding"], "64");
    // Its lists are those of implicit ALS; those of NeuralCF approximate them with fewer dimensions.
    assert!(neumf.metadata.metrics["ndcg_at_10"] > metrics["ndcg_at_10"]);
}

#[test]
fn same_seed_results_in_the_same_files() {
    let parent = tempfile::tempdir().unwrap();
    let folders = [("--data", &*demo()), ("--out", parent.path())];
    for seed in [4, 4, 5] {
        succeed(
            &format!("train --pretraining none --epochs 2 --dropout 0.1 --seed {seed}"),
            &folders,
        );
    }
    for name in ["model.safetensors", "saved_model.pb"] {
        let [first, again, other] =
            ["001", "002", "003"].map(|version| fs::read(parent.path().join(version).join(name)));
        let first = first.unwrap();
        assert!(first == again.unwrap(), "{name}");
        assert!(first != other.unwrap(), "{name}");
    }
}

#[test]
fn train_errors_name_the_option_and_nothing_is_written() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("models");
    let demo = demo();
    let folders = [("--data", &*demo), ("--out", &*out)];
    for (option, expected) in [
        ("--embedding 0", "embedding must be from 1 to 256, got 0"),
        ("--pretraining none --hidden 10,0", "hidden must be from 1 to 512, got 10,0"),
        ("--learning-rate nan", "learning-rate must be"),
        ("--dropout 1", "dropout must be from 0 to 0.9, got 1"),
        ("--test-fraction 0", "test-fraction must be more than 0"),
        ("--batch 0", "batch must be"),
        ("--bias-prior -1", "bias-prior must be"),
    ] {
        let line = format!("train {option}").replace(" -1", "=-1");
        let error = fail(2, &line, &folders);
        assert!(error.contains(expected), "{option}: {error}");
    }
    let error = fail(2, "train --split sideways", &folders);
    assert!(error.contains("is not one of random, time, per-user-time"), "{error}");
    let error = fail(2, "train --architecture tower", &folders);
    assert!(error.contains("is not one of neuralcf, neumf, two-towers, gmf"), "{error}");

    let data = tempfile::tempdir().unwrap();
    fs::copy(demo.join("movies.csv"), data.path().join("movies.csv")).unwrap();
    let ratings = "userId,movieId,rating,timestamp\n1,1,5.0,1\n1,2,5.0,2\n";
    fs::write(data.path().join("ratings.csv"), ratings).unwrap();
    let error = fail(3, "train", &[("--data", data.path()), ("--out", &out)]);
    assert!(error.contains("no training data: the test part is empty"), "{error}");
    let likes = "train --pretraining none";
    let error = fail(3, likes, &[("--data", data.path()), ("--out", &out)]);
    assert!(error.contains("no training data: the training part lacks"), "{error}");
    assert!(!out.exists());

    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let error = fail(1, "train --epochs 1", &[("--data", &demo), ("--out", &file.join("x"))]);
    assert!(error.contains("cannot write"), "{error}");
}

#[test]
fn import_rejects_malformed_models() {
    let parent = tempfile::tempdir().unwrap();
    let (file, out) = (parent.path().join("weights"), parent.path().join("models"));
    let folders = [("--from", &*file), ("--out", &*out)];
    let error = fail(3, "import", &folders);
    assert!(error.starts_with("error: cannot read") && error.contains("weights"), "{error}");
    for content in [&b""[..], b"no model", &[0xff; 100], b"\x02\0\0\0\0\0\0\0{}"] {
        fs::write(&file, content).unwrap();
        let error = fail(3, "import", &folders);
        assert!(error.starts_with("error: cannot import a model: "), "{error}");
    }
    assert!(!out.exists());
}

#[test]
fn imported_model_equals_the_original() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("a");
    let demo = demo();
    succeed("train --epochs 1", &[("--data", &demo), ("--out", &out)]);
    let file = out.join("001").join(MODEL_FILE);
    let summary = succeed("import", &[("--from", &file), ("--out", &parent.path().join("b"))]);
    assert!(summary.starts_with("neuralcf: "), "{summary}");
    for name in ["model.safetensors", "saved_model.pb"] {
        let [a, b] = ["a", "b"].map(|folder| parent.path().join(folder).join("001").join(name));
        assert!(fs::read(a).unwrap() == fs::read(b).unwrap(), "{name}");
    }
}

/// The Keras test runs the Python code in docs/models.md.
#[test]
fn the_python_of_the_documentation_is_tested() {
    let read = |path: &str| fs::read_to_string(workspace().join(path)).unwrap();
    let script = read("fixtures/tensorflow/keras_neuralcf.py");
    let (_, rest) = script.split_once("# --- as in docs/models.md\n").unwrap();
    let (code, _) = rest.split_once("\n\n\n# ---").unwrap();
    let page = read("docs/models.md");
    assert!(page.contains(&format!("```python\n{code}\n```")), "{code}");
}

/// The metrics in the documentation, with a tolerance.
#[test]
#[ignore = "needs the MovieLens data: set SPARROW_ML_LATEST_SMALL, run .ci/test"]
fn model_of_ml_latest_small_reaches_the_documented_metrics() {
    let data = std::env::var_os("SPARROW_ML_LATEST_SMALL")
        .expect("SPARROW_ML_LATEST_SMALL names the folder with ml-latest-small");
    let parent = tempfile::tempdir().unwrap();
    let folders = [("--data", Path::new(&data)), ("--out", parent.path())];
    for (line, version, at_least) in [
        ("--pretraining none --split random", "001", 0.79),
        ("--pretraining none --split per-user-time", "002", 0.78),
        ("--architecture gmf --split random", "003", 0.80),
        ("--architecture gmf --split per-user-time", "004", 0.79),
        ("--architecture two-towers --split random", "005", 0.75),
    ] {
        succeed(&format!("train {line}"), &folders);
        let found = read(&parent.path().join(version)).metadata.metrics["roc_auc"];
        assert!(found > at_least, "{line}: {found}");
    }
}
