//! Pushes to a store in memory, and verifies it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use sparrow_model::{MovieId, UserId};
use sparrow_push::sources::{Counts, Location, Reader, Sources};
use sparrow_push::{push, verify};
use sparrow_store::{FeatureStore, Generation, Kind, MemoryStore};
use sparrow_synth as synth;
use tempfile::TempDir;

const USERS: u32 = 60;

/// A synthetic data set with arbitrary features.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let size = synth::Size { users: USERS, movies: 80, ratings: 2000 };
    let options = synth::Options { size, seed: 3, replace: false };
    synth::write(folder.path(), &options, &|_, _| ()).unwrap();
    let mut users = format!("userId,{}\n", sparrow_features::USER_FIELDS.join(","));
    // Values of features that the contract does not contain.
    let others = ",1".repeat(sparrow_features::USER_FIELDS.len() - 15);
    let mut vectors = String::new();
    for id in 1..=USERS {
        writeln!(users, "{id},{id},,,,,9,1990,1.00,3.00,0.50,Drama,,,,{others}").unwrap();
        writeln!(vectors, "{id}:{id} 0.25 -1e-9").unwrap();
    }
    let movies = sparrow_features::MOVIE_FIELDS.join(",");
    let movies = format!("movieId,{movies}\n1,Drama,,,9,1990,3.00,0.50\n");
    for (name, text) in [("users.csv", users), ("vectors.csv", vectors), ("movies.csv2", movies)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn sources(folder: &Path) -> Sources {
    let location = |name: &str| Some(Location::Local(folder.join(name)));
    Sources {
        user_features: location("users.csv"),
        movie_features: location("movies.csv2"),
        user_embeddings: location("vectors.csv"),
        item_embeddings: location("vectors.csv"),
        ratings: Some(folder.to_owned()),
        ..Sources::default()
    }
}

async fn pushed(sources: &Sources, store: &MemoryStore) -> (Counts, Generation) {
    let reader = Reader::open(sources).await.unwrap();
    let never = std::future::pending::<()>();
    match push::stage(reader, store, &|_, _| (), never).await.unwrap() {
        ControlFlow::Continue(staged) => (staged.counts(), staged.commit().await.unwrap()),
        ControlFlow::Break(()) => unreachable!("the push is not stopped"),
    }
}

async fn compared(sources: &Sources, store: &MemoryStore, sample: Option<usize>) -> verify::Report {
    let reader = Reader::open(sources).await.unwrap();
    let options = verify::Options { sample, seed: 1 };
    verify::verify(reader, store, options, &BTreeSet::new(), &|_, _| ()).await.unwrap()
}

#[tokio::test]
async fn pushed_values_are_in_the_store() {
    let folder = folder();
    let (sources, store) = (sources(folder.path()), MemoryStore::default());
    let dry_run = push::dry_run(Reader::open(&sources).await.unwrap(), &|_, _| ()).await;
    assert_eq!(store.generation().await.unwrap(), Generation(0));
    let (counts, generation) = pushed(&sources, &store).await;
    assert_eq!(dry_run.unwrap(), counts);
    assert_eq!(store.generation().await.unwrap(), generation);
    for kind in [Kind::UserFeatures, Kind::UserEmbedding, Kind::MovieEmbedding, Kind::UserRatings] {
        assert_eq!(counts.get(kind), u64::from(USERS));
    }
    assert_eq!((counts.get(Kind::MovieFeatures), counts.get(Kind::UserList)), (1, 1));

    let user = &store.users(&[UserId(7)]).await.unwrap().value[0];
    assert_eq!(user.features.as_ref().and_then(|fields| fields.get("userRatedMovie1")), Some("7"));
    assert_eq!(user.embedding.as_deref(), Some(&[7.0, 0.25, -1e-9][..]));
    let list = store.user_list().await.unwrap().value;
    assert_eq!((list.total, list.most_active.len()), (USERS, USERS as usize));
    let ratings: u32 = list.most_active.iter().map(|&(_, count, _)| count).sum();
    assert_eq!(ratings, 2000);
    let first = list.most_active[0];
    let stored = store.users(&[first.0]).await.unwrap().value.remove(0).ratings.unwrap();
    assert_eq!(stored.len(), first.1 as usize);
    let half_stars: u32 = stored.iter().map(|rating| u32::from(rating.stars.half_stars())).sum();
    assert_eq!(half_stars, first.2);
    let movies = store.all_movies().await.unwrap().value;
    let sums = movies.iter().filter_map(|(_, movie)| movie.ratings.as_ref());
    assert_eq!(sums.map(|sums| sums.count).sum::<u32>(), 2000);

    let report = compared(&sources, &store, None).await;
    assert_eq!((report.differences, report.compared), (0, counts));
    let report = compared(&sources, &store, Some(10)).await;
    assert_eq!((report.differences, report.sources), (0, counts));
    assert_eq!(report.compared.get(Kind::UserRatings), 10);
    assert_eq!(report.compared.get(Kind::MovieFeatures), 1);
}

#[tokio::test]
async fn differences_are_reported_with_key_and_field() {
    let folder = folder();
    let (sources, store) = (sources(folder.path()), MemoryStore::default());
    pushed(&sources, &store).await;
    let change = |name: &str, from: &str, to: &str| {
        let path = folder.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
    };
    change("users.csv", "\n9,9,", "\n9,10,");
    change("vectors.csv", "\n5:5 0.25", "\n5:5 0.5");
    change("vectors.csv", "\n60:", "\n99:");
    change("movies.csv2", "\n1,", "\n2,");
    let ratings = fs::read_to_string(folder.path().join("ratings.csv")).unwrap();
    let last = ratings.trim_end().rfind('\n').unwrap();
    fs::write(folder.path().join("ratings.csv"), &ratings[..=last]).unwrap();
    fs::remove_file(folder.path().join("_SHA256SUMS")).unwrap();
    let report = compared(&sources, &store, None).await;
    let lines: Vec<String> = report.first.iter().map(ToString::to_string).collect();
    let has =
        |line: &str| assert!(lines.iter().any(|it| it.starts_with(line)), "{line} in {lines:#?}");
    has("uf:9 userRatedMovie1: \"10\" in the sources, \"9\" in the store");
    has("uEmb:5 1: 0.5 in the sources, 0.25 in the store");
    has("i2vEmb:99: 3 components in the sources, missing in the store");
    has("i2vEmb:60: missing in the sources, present in the store");
    has("mf:2: 7 fields in the sources, missing in the store");
    has("mf:1: missing in the sources, present in the store");
    has("sparrow:ratings:60: ");
    has("sparrow:users 5");
    assert_eq!(report.first.len() as u64, report.differences);
}

#[tokio::test]
async fn kinds_that_are_not_pushed_remain_unchanged() {
    let folder = folder();
    let (all, store) = (sources(folder.path()), MemoryStore::default());
    let (_, before) = pushed(&all, &store).await;
    fs::write(folder.path().join("vectors.csv"), "3:1\n").unwrap();
    let vectors = Sources { item_embeddings: all.item_embeddings.clone(), ..Sources::default() };
    let (counts, generation) = pushed(&vectors, &store).await;
    assert!(counts.total() == 1 && generation > before);
    let movies = store.movies(&[MovieId(1), MovieId(3)]).await.unwrap().value;
    assert!(movies[0].features.is_some() && movies[0].embedding.is_none());
    assert_eq!(movies[1].embedding.as_deref(), Some(&[1.0][..]));
    assert_eq!(compared(&vectors, &store, None).await.differences, 0);
}

#[tokio::test]
async fn invalid_input_leaves_the_store_unchanged() {
    let folder = folder();
    let (sources, store) = (sources(folder.path()), MemoryStore::default());
    fs::write(folder.path().join("users.csv"), "userId\n1\n").unwrap();
    let reader = Reader::open(&sources).await.unwrap();
    let never = std::future::pending::<()>();
    let failed = push::stage(reader, &store, &|_, _| (), never).await;
    assert!(matches!(failed, Err(push::Error::Source(_))));
    assert_eq!(store.generation().await.unwrap(), Generation(0));
    assert!(store.all_movies().await.unwrap().value.is_empty());
}

#[tokio::test]
async fn a_stopped_push_leaves_the_store_unchanged() {
    let folder = folder();
    let (sources, store) = (sources(folder.path()), MemoryStore::default());
    let reader = Reader::open(&sources).await.unwrap();
    // The first batch triggers the stop.
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let stop = std::sync::Mutex::new(Some(stop));
    let progress = |_, _| {
        if let Some(stop) = stop.lock().unwrap().take() {
            stop.send(()).unwrap();
        }
    };
    let outcome = push::stage(reader, &store, &progress, stopped).await.unwrap();
    assert!(matches!(outcome, ControlFlow::Break(Ok(()))));
    drop(outcome);
    assert_eq!(store.generation().await.unwrap(), Generation(0));
    let (_, generation) = pushed(&sources, &store).await;
    assert_eq!(store.generation().await.unwrap(), generation);
}
