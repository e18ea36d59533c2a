//! Compares models with TensorFlow and Keras.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::slice;

use sparrow_neural::neural_cf::Scorer;
use sparrow_test_support::demo;
use sparrow_test_tensorflow::script;

use crate::{read, succeed};

/// The scores that a script of the fixtures prints for pairs of user id and movie id.
fn python(name: &str, arguments: &[PathBuf], pairs: &[(i32, i32)]) -> Vec<f64> {
    let mut lines = String::new();
    for (user, movie) in pairs {
        writeln!(lines, "{user} {movie}").unwrap();
    }
    script(name, arguments, &lines).lines().map(|line| line.parse().unwrap()).collect()
}

/// The scores in this process. Negative ids are mapped to an unknown id.
fn in_process(version: &Path, pairs: &[(i32, i32)]) -> Vec<f64> {
    let model = read(version).model;
    let id = |id: i32| u32::try_from(id).unwrap_or(u32::MAX);
    let scorer = Scorer::new(&model, pairs.iter().map(|&(_, movie)| id(movie)));
    let score = |(index, &(user, _)): (usize, &(i32, i32))| {
        let mut score = Vec::new();
        scorer.score(&scorer.query(id(user)), [index as u32].into_iter(), &mut score);
        f64::from(score[0])
    };
    pairs.iter().enumerate().map(score).collect()
}

fn assert_close(found: &[f64], expected: &[f64], pairs: &[(i32, i32)]) {
    assert_eq!((found.len(), expected.len()), (pairs.len(), pairs.len()));
    for ((found, expected), pair) in found.iter().zip(expected).zip(pairs) {
        assert!((found - expected).abs() <= 1e-6, "{pair:?}: {found} and {expected}");
    }
    assert!(found.iter().any(|score| (score - found[0]).abs() > 0.01), "all alike");
}

const UNKNOWN: [i32; 5] = [-1, i32::MIN, i32::MAX, 0, 1_000_000];

/// Users and movies of the demonstration set, and unknown ids.
fn pairs() -> Vec<(i32, i32)> {
    let known = (1..=500)
        .step_by(7)
        .flat_map(|user| (1..9000).step_by(131).map(move |movie| (user, movie + user % 131)));
    let unknown = UNKNOWN.into_iter().flat_map(|id| [(id, 1), (1, id), (id, id)]);
    known.chain(unknown).collect()
}

#[test]
#[ignore = "needs TensorFlow: run .ci/test"]
fn tensorflow_scores_exported_models_as_this_process_does() {
    let folder = tempfile::tempdir().unwrap();
    let data = demo();
    let models = [
        "--embedding=16",
        "--pretraining=none --epochs=3",
        "--pretraining=none --epochs=3 --hidden=7 --embedding=3",
        "--pretraining=none --epochs=3 --hidden=32,16,8 --embedding=17",
        "--epochs=3 --architecture=two-towers --hidden=10,10",
        "--epochs=20 --architecture=gmf",
        "--architecture=neumf",
        "--epochs=3 --architecture=neumf --pretraining=none --hidden=7,5 --embedding=3",
    ];
    for more in models {
        let folders = [("--data", &*data), ("--out", folder.path())];
        succeed(&format!("train {more}"), &folders);
    }
    let versions: Vec<PathBuf> =
        (1..=models.len()).map(|version| folder.path().join(format!("{version:03}"))).collect();
    let pairs = pairs();
    let scores = python("score.py", &versions, &pairs);
    assert_eq!(scores.len(), versions.len() * pairs.len());
    for (version, scores) in versions.iter().zip(scores.chunks(pairs.len())) {
        assert_close(scores, &in_process(version, &pairs), &pairs);
    }
}

#[test]
#[ignore = "needs TensorFlow: run .ci/test"]
fn a_keras_model_is_imported_with_its_scores() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.safetensors");
    let known = (0..=300).step_by(3);
    let mut pairs: Vec<(i32, i32)> =
        known.flat_map(|user| (user % 10..=1000).step_by(10).map(move |m| (user, m))).collect();
    let expected = python("keras_neuralcf.py", slice::from_ref(&weights), &pairs);
    let models = folder.path().join("models/neuralcf");
    succeed("import", &[("--from", &weights), ("--out", &models)]);
    let version = models.join("001");
    assert_close(&in_process(&version, &pairs), &expected, &pairs);
    // Ids beyond the embedding layers are unknown here, where Keras fails.
    pairs.extend([(301, 1), (1, 1001), (-1, -1), (i32::MAX, 7)]);
    let scores = python("score.py", slice::from_ref(&version), &pairs);
    assert_close(&scores, &in_process(&version, &pairs), &pairs);
    assert_close(&scores[..expected.len()], &expected, &pairs[..expected.len()]);
}
