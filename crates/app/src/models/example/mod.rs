//! The ranking model of `docs/extending.md`, so that its code compiles and works.

mod kind;
#[expect(unreachable_pub, reason = "in the project the file belongs to another crate")]
mod ranker;

use super::{LoadedModel, ModelError, ModelKind};
use kind::Decade;
use ranker::DecadeRanker;

use std::fs;
use std::sync::Arc;

use sparrow_model::{MovieIndex, UserId, UserState};
use sparrow_rank::State;
use sparrow_test_support::catalogue;

use crate::config::Ranking;
use crate::models::model_folder::ModelFolder;
use crate::models::{EngineData, ModelSource};

#[test]
fn the_page_contains_the_code_of_the_example() {
    let page = include_str!("../../../../../docs/extending.md");
    for code in [include_str!("ranker.rs"), include_str!("kind.rs")] {
        assert!(page.contains(&format!("```rust,ignore\n{code}```\n")), "{code}");
    }
}

#[test]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
fn a_version_of_the_example_is_loaded_and_scores() {
    let movies = [(1, Some(1999)), (2, None), (3, Some(2004))];
    let movies = movies.map(|(id, year)| catalogue::movie(id, year, catalogue::NO_GENRES));
    let catalog = Arc::new(catalogue::unrated(movies));
    let folder = tempfile::tempdir().unwrap();
    let version = folder.path().join("001");
    fs::create_dir(&version).unwrap();
    fs::write(version.join("decades.txt"), "1990 0.5\n2000 -1\n").unwrap();
    assert!(Decade.recognises(&version) && !Decade.recognises(folder.path()));

    let path = folder.path().to_owned();
    let source = ModelFolder::new(&Decade, "decade".into(), path, Ranking::default());
    let data = EngineData {
        catalog: &catalog,
        embeddings: Err("none"),
        validation: None,
        movie_feature: &|_, _| None,
    };
    let ranker = source.ranker(&data);
    assert_eq!(ranker.status().state, State::Unavailable);
    source.check(std::time::Duration::ZERO);
    assert_eq!((ranker.status().state, ranker.status().version), (State::Ready, Some(1)));
    let user = UserState::unknown(UserId(1));
    let all = ranker.score_all(&user).unwrap().unwrap();
    assert_eq!(all.as_slice(), [0.5, 0.0, -1.0]);
    let mut scores = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let movies = [2, 0].map(MovieIndex);
    let query = sparrow_rank::Query::new(&user, &movies);
    runtime.block_on(ranker.score(&query, &mut scores)).unwrap();
    assert_eq!(scores, [-1.0, 0.5]);

    fs::write(version.join("decades.txt"), "1990 0.5\n2000").unwrap();
    source.check(std::time::Duration::ZERO);
    let problem = ranker.status().trouble.unwrap();
    assert!(problem.contains("line 2 of decades.txt is not a decade and a weight"), "{problem}");
}
