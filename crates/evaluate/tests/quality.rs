//! How good recommendations are on real ratings.

use std::env;
use std::path::Path;

use sparrow_evaluate::{self as evaluate, Options, Protocol};
use sparrow_movielens::Options as ReaderOptions;

#[tokio::test]
#[ignore = "needs the MovieLens data: set SPARROW_ML_LATEST_SMALL, run .ci/test"]
async fn factors_and_weights_beat_popularity_on_ml_latest_small() {
    let folder = env::var_os("SPARROW_ML_LATEST_SMALL");
    let folder = folder.expect("SPARROW_ML_LATEST_SMALL names the folder with ml-latest-small");
    let loaded = evaluate::load(Path::new(&folder), &ReaderOptions::default());
    let catalog = loaded.expect("it is a MovieLens folder without bad lines").catalog;
    let options = Options { seeds: vec![1], resamples: 0, ..Options::new(Protocol::FullRanking) };
    // A little less than what was measured; the fewer movies of the second make the test quick.
    for (line, at_least) in
        [("popularity", 0.2), ("emb", 0.27), ("ials", 0.31), ("ease:min-count=10", 0.3)]
    {
        let method = evaluate::method(line, None).expect("it is a known model");
        let measured = evaluate::run(&catalog, &*method, &options, &|_, _| {}).await;
        let measured = measured.expect("it can be measured");
        let found = measured.measures.iter().find(|measure| measure.name == "ndcg_at_10");
        let found = found.map_or(0.0, |measure| measure.mean);
        assert!(found > at_least, "{line}: nDCG@10 {found}");
    }
}
