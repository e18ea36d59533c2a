//! Runs `evaluate` and `compare` from the command line.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;

use sparrow_test_support::demo;
use support::{fail, succeed};

fn evaluated(line: &str, data: &Path) -> Value {
    serde_json::from_str(&succeed(&format!("evaluate --json {line}"), &[("--data", data)])).unwrap()
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("{name}: {value}"))
}

#[test]
fn json_contains_all_results() {
    let line = "--protocol full-ranking --model popularity --against emb --seeds 2 --resamples 100";
    let found = evaluated(line, &demo());
    assert_eq!(found["data"]["name"], "data");
    assert!(found["data"]["fingerprint"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(
        (&found["split"], &found["test_fraction"]),
        (&"random-by-movie".into(), &0.25.into())
    );
    assert_eq!(found["seeds"].as_array().unwrap().len(), 2);
    for name in
        ["ndcg_at_10", "map_at_10", "precision_at_10", "recall_at_10", "novelty", "diversity"]
    {
        let [low, high] = [0, 1].map(|end| found["interval"][name][end].as_f64().unwrap());
        let mean = number(&found, name);
        assert!(low <= mean && mean <= high, "{name}: {found}");
        let seeds = [0, 1].map(|seed| number(&found["seeds"][seed], name));
        assert!((mean - seeds.iter().sum::<f64>() / 2.0).abs() < 1e-12);
        let difference = &found["against"]["differences"][name];
        let expected = mean - number(&found["against"], name);
        assert!((number(difference, "difference") - expected).abs() < 1e-12);
        assert!((0.0..=1.0).contains(&number(difference, "p_value")));
    }
    assert!(number(&found, "coverage") > 0.0 && number(&found, "seen_share") == 0.0);
    assert_eq!(evaluated(line, &demo())["ndcg_at_10"], found["ndcg_at_10"]);
}

#[test]
fn label_protocol_reports_areas_and_calibration() {
    let found = evaluated("--protocol label --split per-user-time --model gmf --seeds 1", &demo());
    for name in ["roc_auc", "pr_auc", "log_loss", "accuracy", "calibration_error"] {
        assert!(number(&found, name) > 0.0, "{found}");
    }
    let bins = found["calibration"].as_array().unwrap();
    let counted: f64 = bins.iter().map(|bin| number(bin, "count")).sum();
    assert_eq!(counted, number(&found["seeds"][0], "test_ratings"));
    let other = evaluated("--protocol label --model popularity --seeds 1", &demo());
    assert!(other["log_loss"].is_null() && number(&other, "roc_auc") > 0.0);
}

#[test]
fn leave_one_out_reports_sampled_and_full_ranks() {
    let found = evaluated("--protocol leave-one-out --model ials --seeds 2", &demo());
    assert_eq!(found["split"], "leave-one-out");
    assert!(number(&found, "hit_rate_at_10") > number(&found, "hit_rate_at_10_all"));
    assert!(number(&found, "ndcg_at_10") > number(&found, "ndcg_at_10_all"));
    let table = succeed(
        "evaluate --protocol leave-one-out --model engine --seeds 1",
        &[("--data", &demo())],
    );
    assert!(table.contains("hit_rate_at_10_all") && !table.contains("hit_rate_at_10  "), "{table}");
}

#[test]
fn vectors_with_unknown_training_data_have_a_warning() {
    let parent = tempfile::tempdir().unwrap();
    let folders = [("--data", &*demo()), ("--out", parent.path())];
    succeed("embed --epochs 2 --threads 1", &folders);
    let folders = [("--data", &*demo()), ("--embeddings", parent.path())];
    let table = succeed("evaluate --model emb --seeds 1", &folders);
    assert!(table.contains("WARNING: the training data of this model are unknown"), "{table}");
    let table = succeed("compare --models emb popularity --seeds 1", &folders);
    assert!(table.contains("| `emb` (*) |") && table.contains("| `popularity` |"), "{table}");
}

#[test]
fn compare_writes_a_reproducible_table() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("table.md");
    let line =
        "compare --protocol label --models popularity biases gmf:epochs=5 --seeds 2 --resamples 0";
    let folders = [("--data", &*demo()), ("--out", &*out)];
    assert_eq!(succeed(line, &folders), "");
    let table = fs::read_to_string(&out).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("data: ")
            && lines[0].ends_with("means and deviations over seeds 1, 2."),
        "{table}"
    );
    assert!(lines[2].starts_with("| model | roc_auc | pr_auc |"), "{table}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("| `")).count(), 3);
    let command = "`sparrow-loader compare --data data --protocol label --seeds 2 \
                   --models popularity biases gmf:epochs=5`";
    assert!(lines.contains(&command), "{table}");
    assert_eq!(succeed(line, &[("--data", &demo())]), table);
}

#[test]
fn invalid_models_and_options_are_errors_with_their_name() {
    let data = demo();
    let folders = [("--data", &*data)];
    for (line, problem) in [
        ("--model nothing", "no model is named \"nothing\""),
        ("--model gmf:window=3", "no setting \"window\""),
        ("--model gmf:l2=-1", "l2 must be from 0 to 100"),
        ("--model engine --protocol label", "returns lists without scores"),
        ("--model popularity --protocol leave-one-out --split time", "which has its own"),
        ("--model popularity --test-fraction 1", "more than 0 and less than 1"),
        ("--model popularity --seeds 0", "from 1 to 1000 seeds"),
        ("--model tf-serving", "needs --url"),
        ("--model tf-serving --url nowhere", "url"),
    ] {
        let error = fail(2, &format!("evaluate {line}"), &folders);
        assert!(error.to_lowercase().contains(problem), "{line}: {error}");
    }
    let parent = tempfile::tempdir().unwrap();
    fail(3, "evaluate --model popularity", &[("--data", parent.path())]);
    // No server listens on port 9.
    let url = "evaluate --model tf-serving --url http://127.0.0.1:9/v1/models/m";
    let error = fail(1, url, &folders);
    assert!(error.contains("unavailable"), "{error}");
}

/// The metrics in docs/quality.md, with a tolerance.
#[test]
#[ignore = "needs the MovieLens data: set SPARROW_ML_LATEST_SMALL, run .ci/test"]
fn metrics_on_ml_latest_small_equal_the_documentation() {
    let data = std::env::var_os("SPARROW_ML_LATEST_SMALL")
        .expect("SPARROW_ML_LATEST_SMALL names the folder with ml-latest-small");
    let data = Path::new(&data);
    let label = |model: &str, split: &str| {
        let line = format!("--protocol label --split {split} --model {model} --resamples 0");
        number(&evaluated(&line, data), "roc_auc")
    };
    for (model, split, least) in [
        ("gmf", "random", 0.81),
        ("gmf", "per-user-time", 0.80),
        ("neuralcf:pretraining=none", "random", 0.785),
        ("neuralcf:pretraining=none", "per-user-time", 0.78),
    ] {
        let found = label(model, split);
        assert!(found >= least, "{model}, {split}: {found}");
    }
    let left_out = |model: &str| {
        let line = format!("--protocol leave-one-out --model {model} --resamples 0 --seeds 2");
        number(&evaluated(&line, data), "hit_rate_at_10")
    };
    let [popularity, neuralcf, ease] = ["popularity", "neuralcf", "ease"].map(left_out);
    assert!(popularity < neuralcf && neuralcf < ease, "{popularity} {neuralcf} {ease}");
    // NeuMF starts from vectors of rated movies alone.
    let [neumf, ials] = ["neumf", "ials:content-ridge=0"].map(left_out);
    assert!((neumf - ials).abs() < 0.002, "{neumf} {ials}");
}
