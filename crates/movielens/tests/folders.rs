//! Loading data sets from folders.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use sparrow_files::{MANIFEST_FILE, Manifest, sha256};
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

/// Writes the manifest of the folder's files, as `sha256sum * >_SHA256SUMS` does.
fn write_manifest(folder: &Path, names: &[&str]) -> Outcome {
    let mut manifest = Manifest::default();
    for name in names {
        manifest.set(name, sha256(&fs::read(folder.join(name))?));
    }
    fs::write(folder.join(MANIFEST_FILE), manifest.to_bytes())?;
    Ok(())
}

#[test]
fn files_are_compared_with_the_manifest_of_their_folder() -> Outcome {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    write_set(folder)?;
    fs::write(folder.join("links.csv"), "movieId,imdbId,tmdbId\n5,0000123,\n")?;
    // More than one block of 4 MiB, so that several threads read it.
    let mut ratings = String::from("userId,movieId,rating,timestamp\r\n");
    for user in 1..=500_000 {
        writeln!(ratings, "{user},5,4.5,{user}")?;
    }
    fs::write(folder.join("ratings.csv"), &ratings)?;
    let names = ["movies.csv", "links.csv", "ratings.csv"];
    write_manifest(folder, &names)?;
    let load = || -> Result<usize, sparrow_movielens::Error> {
        Ok(Source::open(folder)?.load(&Options::default())?.report.ratings)
    };
    let survey = || Source::open(folder)?.survey(&Options::default());
    assert_eq!(load()?, 500_000);
    assert!(survey()?.grouped_csv);

    let remedy = "or delete _SHA256SUMS if you changed the file on purpose";
    for name in names {
        let path = folder.join(name);
        let whole = fs::read(&path)?;
        // Still a data set, but another one.
        let mut changed = whole.clone();
        let at = changed.iter().rposition(|&byte| byte == b'5').ok_or("no 5")?;
        changed[at] = b'4';
        // A file that was cut has a bad line too, which is not the cause.
        let cut = &whole[..whole.len() - 4];
        for content in [&changed[..], cut] {
            fs::write(&path, content)?;
            for error in [load().map(drop), survey().map(drop)] {
                let error = error.expect_err(name).to_string();
                let expected = format!("{}: its SHA-256 is not the one in", path.display());
                assert!(error.starts_with(&expected) && error.ends_with(remedy), "{error}");
            }
        }
        fs::write(&path, whole)?;
    }
    assert_eq!(load()?, 500_000);

    // Compressed files are compared as they are.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(ratings.as_bytes())?;
    let mut compressed = encoder.finish()?;
    fs::remove_file(folder.join("ratings.csv"))?;
    fs::write(folder.join("ratings.csv.gz"), &compressed)?;
    assert_eq!(load()?, 500_000, "a file without an entry");
    write_manifest(folder, &["ratings.csv.gz"])?;
    assert_eq!(load()?, 500_000);
    // A byte of the header that decoders ignore: the time.
    compressed[4] ^= 1;
    fs::write(folder.join("ratings.csv.gz"), &compressed)?;
    let error = load().expect_err("it was changed").to_string();
    assert!(error.contains("ratings.csv.gz: its SHA-256"), "{error}");

    fs::write(folder.join(MANIFEST_FILE), "nonsense")?;
    let error = load().expect_err("the manifest is malformed");
    assert_eq!(error.to_string(), format!("cannot read {}", folder.display()));
    Ok(())
}

#[cfg(unix)]
#[test]
fn named_pipes_are_refused_at_once() -> Outcome {
    for name in ["movies.csv", "ratings.csv", "links.csv"] {
        let folder = tempfile::tempdir()?;
        write_set(folder.path())?;
        let path = folder.path().join(name);
        if name != "links.csv" {
            fs::remove_file(&path)?;
        }
        assert!(std::process::Command::new("mkfifo").arg(&path).status()?.success());
        let loaded = Source::open(folder.path())?.load(&Options::default());
        if name == "links.csv" {
            // Links never prevent the rest from being read.
            let listed = loaded?.report.bad_links[0].to_string();
            assert!(listed.contains("it is a named pipe, not a file"), "{listed}");
            continue;
        }
        let error = loaded.map(drop).expect_err(name);
        assert_eq!(error.to_string(), format!("cannot read {}", path.display()));
        let cause = error.source().ok_or("no cause")?.to_string();
        assert_eq!(cause, "it is a named pipe, not a file");
    }
    Ok(())
}
