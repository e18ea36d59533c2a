//! Compares features that are computed in memory, as by `sparrow-loader run`, with those of the
//! pipeline.

use std::fs;
use std::path::Path;

use sparrow_movielens::{Options, Source};
use sparrow_synth as synth;

use super::{
    contents, limits, ml_latest_small, movies_csv_from, run, synthetic_ratings, write_features,
};
use super::{write_set, write_set_with};

fn assert_same_bytes(data: &Path) {
    let pipeline = write_features(data, &limits()).unwrap();
    let out = tempfile::tempdir().unwrap();
    let data = Source::open(data).unwrap().load_histories(&Options::default()).unwrap();
    let summary = run(sparrow_feature_files::write(&data, out.path(), &|_, _| {})).unwrap();
    assert_eq!(summary.files.len(), 4);
    let [expected, found] = [pipeline.path(), out.path()].map(contents);
    assert!(expected.keys().eq(found.keys()), "{:?}", found.keys());
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{name} differs");
    }
}

#[test]
fn features_in_memory_equal_those_of_the_pipeline() {
    assert_same_bytes(write_set(&synthetic_ratings(3)).path());
}

#[test]
fn features_of_several_batches_equal_those_of_the_pipeline() {
    // More of each than the rows of a batch.
    let size = synth::Size { users: 9000, movies: 9500, ratings: 260_000 };
    let data = tempfile::tempdir().unwrap();
    let options = synth::Options { size, seed: 7, replace: false };
    synth::write(data.path(), &options, &|_, _| {}).unwrap();
    assert_same_bytes(data.path());
}

#[test]
fn features_with_large_ids_equal_those_of_the_pipeline() {
    let start = u32::MAX - 1000;
    let mut ratings = synthetic_ratings(5);
    for rating in &mut ratings {
        rating.movie += start;
        rating.user += start;
    }
    let data = write_set_with(&movies_csv_from(start), &ratings);
    let text = fs::read_to_string(data.path().join("ratings.csv")).unwrap();
    assert!(text.contains("\n42949"), "ids must exceed signed 32 bits");
    assert_same_bytes(data.path());
}

#[test]
#[ignore = "needs the MovieLens data: set SPARROW_ML_LATEST_SMALL, run .ci/test"]
fn features_of_ml_latest_small_in_memory_equal_those_of_the_pipeline() {
    assert_same_bytes(&ml_latest_small());
}
