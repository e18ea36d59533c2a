//! NeuralCF, trained here and by Keras, in the real TensorFlow.

use std::path::Path;

use sparrow_model::{Catalog, MovieIndex, UserId, UserState};
use sparrow_offline::{export, train};
use sparrow_rank::{NeuralCfRanker, Ranker as _};
use sparrow_test_tensorflow::ModelServer;
use sparrow_tf_serving::{Format, Options};

use crate::data::{all, demo, options, ranker, remote, score};

fn train(catalog: &Catalog, folder: &Path, epochs: usize) -> NeuralCfRanker {
    let options = train::Options { epochs, ..train::Options::new(train::Method::NeuralCf) };
    let trained = train::run(catalog, &options, &mut ()).unwrap();
    export::write(folder, &trained.file).unwrap();
    NeuralCfRanker::new(&trained.file.model, catalog)
}

async fn in_process(ranker: &NeuralCfRanker, user: u32, movies: &[MovieIndex]) -> Vec<f32> {
    let mut scores = Vec::new();
    ranker.score(&UserState::unknown(UserId(user)), movies, &mut scores).await.unwrap();
    scores
}

fn assert_close(found: &[f32], expected: &[f32], within: f32) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= within, "{at}: {found} and {expected}");
    }
    assert!(found.iter().any(|score| (score - found[0]).abs() > 0.01), "all alike");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TensorFlow: run .ci/test"]
async fn a_model_trained_here_scores_over_rest_as_in_process() {
    let catalog = demo();
    let folder = tempfile::tempdir().unwrap();
    let here = train(&catalog, folder.path(), 3);
    let server = ModelServer::start("recmodel", folder.path());
    let movies = all(&catalog);
    let scattered = [MovieIndex(7), MovieIndex(0), MovieIndex(7)];
    for format in [Format::Columns, Format::Rows] {
        let remote = remote(&server.url(), vec![], Options { format, ..options() });
        assert_eq!(remote.check().await.unwrap(), 1);
        let over_rest = ranker(&remote, &catalog);
        for user in [1, 2, 3, 999_999] {
            for movies in [&movies[..], &scattered] {
                let found = score(&over_rest, &catalog, user, movies).await.unwrap();
                assert_close(&found, &in_process(&here, user, movies).await, 1e-6);
            }
        }
        assert_eq!(score(&over_rest, &catalog, 1, &[]).await.unwrap(), [] as [f32; 0]);
    }
}
