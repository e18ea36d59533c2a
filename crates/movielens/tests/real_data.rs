//! Loading the published ml-latest-small.

use std::env;
use std::path::PathBuf;

use sparrow_model::MovieId;
use sparrow_movielens::{Options, Source};

#[test]
#[ignore = "needs the MovieLens data: set SPARROW_ML_LATEST_SMALL, run .ci/test"]
fn ml_latest_small_loads_without_errors() {
    let folder = env::var_os("SPARROW_ML_LATEST_SMALL").map(PathBuf::from);
    let folder = folder.expect("SPARROW_ML_LATEST_SMALL names the folder with ml-latest-small");
    let source = Source::open(&folder).expect("it is a MovieLens folder");
    let loaded = source.load(&Options::default()).expect("it has no bad lines");
    let report = &loaded.report;
    assert_eq!((report.movies, report.users, report.ratings), (9742, 610, 100_836));
    assert_eq!((report.movies_without_year, report.movies_without_genres), (13, 34));
    assert_eq!((report.bad_line_count, report.duplicates, report.unknown_links), (0, 0, 0));

    let catalog = &loaded.catalog;
    assert_eq!(catalog.genres().len(), 19);
    assert_eq!(catalog.movies().last().map(|movie| movie.id), Some(MovieId(193_609)));
    assert!(catalog.movies().iter().all(|movie| movie.imdb_id.is_some()));
    assert_eq!(catalog.movies().iter().filter(|movie| movie.tmdb_id.is_none()).count(), 8);
    let ratings: usize = catalog.users().iter().map(|history| history.len()).sum();
    assert_eq!(ratings, 100_836);
}
