//! Loading data sets from folders.

use std::error::Error;
use std::fs;
use std::path::Path;

use sparrow_movielens::{Format, Options, Source};

type Outcome = Result<(), Box<dyn Error>>;

fn write_set(folder: &Path) -> Result<(), std::io::Error> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("movies.csv"), "movieId,title,genres\r\n5,Lantern (1994),Drama\r\n")?;
    fs::write(folder.join("ratings.csv"), "userId,movieId,rating,timestamp\r\n3,5,4.5,77\r\n")
}

#[test]
fn folder_loads_with_and_without_links() -> Outcome {
    let folder = tempfile::tempdir()?;
    write_set(folder.path())?;
    let source = Source::open(folder.path())?;
    assert_eq!(source.format(), Format::Latest);
    let loaded = source.load(&Options::default())?;
    assert_eq!(
        loaded.report.to_string(),
        "MovieLens CSV: 1 movie (0 without a year, 0 without genres), 1 user, 1 rating"
    );
    assert_eq!(loaded.catalog.movies()[0].imdb_id, None);

    fs::write(folder.path().join("links.csv"), "movieId,imdbId,tmdbId\n5,0000123,\n")?;
    let linked = Source::open(folder.path())?.load(&Options::default())?;
    assert_eq!(linked.catalog.movies()[0].imdb_id.as_deref(), Some("0000123"));
    Ok(())
}

#[test]
fn load_movies_works_without_ratings_file() -> Outcome {
    let folder = tempfile::tempdir()?;
    write_set(folder.path())?;
    fs::remove_file(folder.path().join("ratings.csv"))?;
    let error = Source::open(folder.path()).expect_err("the ratings are missing").to_string();
    assert!(error.contains("(ratings.csv is missing)"), "{error}");
    let source = Source::open_movies(folder.path())?;
    let (movies, report) = source.load_movies(&Options::default())?;
    assert_eq!((movies.as_slice().len(), report.movies, report.ratings), (1, 1, 0));
    assert!(source.load(&Options::default()).is_err());

    fs::remove_file(folder.path().join("movies.csv"))?;
    let error = Source::open_movies(folder.path()).expect_err("there is nothing").to_string();
    assert!(error.ends_with("looked for movies.csv, or movies.dat, or u.item"), "{error}");
    Ok(())
}

#[test]
fn errors_contain_the_path() -> Outcome {
    let folder = tempfile::tempdir()?;
    let missing = folder.path().join("missing");
    let error = Source::open(&missing).expect_err("there is no such folder");
    assert_eq!(error.to_string(), format!("cannot read {}", missing.display()));
    assert!(error.source().is_some());

    write_set(folder.path())?;
    let source = Source::open(folder.path())?;
    let ratings = folder.path().join("ratings.csv");
    fs::remove_file(&ratings)?;
    let error = source.load(&Options::default()).expect_err("the ratings are gone");
    assert_eq!(error.to_string(), format!("cannot read {}", ratings.display()));

    fs::write(&ratings, "userId,movieId,rating,timestamp\n3,5,4.5,77\n3,6,4.5,77")?;
    let error = source.load(&Options::default()).expect_err("movie 6 is unknown");
    assert!(error.to_string().contains(&format!("{}:3: movieId 6", ratings.display())), "{error}");
    Ok(())
}

#[test]
fn error_suggests_a_sub_folder_with_a_data_set() -> Outcome {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("a"))?;
    let error = Source::open(folder.path()).expect_err("the folder is empty").to_string();
    assert!(error.ends_with("or u.item and u.data"), "{error}");

    let inner = folder.path().join("inner");
    write_set(&inner)?;
    let error = Source::open(folder.path()).expect_err("the files are deeper").to_string();
    assert!(error.ends_with(&format!("; {} contains one", inner.display())), "{error}");
    Ok(())
}
