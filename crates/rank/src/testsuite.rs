//! The contract of [`Ranker`], as tests of any implementation.
//!
//! With the Cargo feature `testsuite`, tests of other crates call [`check`] with a ranker of their own. It panics at the
//! first violation.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use sparrow_model::{MovieIndex, UserState};
use sparrow_rank::{Error, Query, Ranker, UNSCORED};

/// Content of the buffer before a call; rankers replace it.
const EARLIER: f32 = -9.876_543e20;

/// Checks a ranker over a catalogue of `movies` movies, two or more. `scored` are users whom it can score, one or more;
/// `unscored` are users whom it cannot, for models with such users.
///
/// # Panics
/// If the ranker violates the contract.
pub async fn check(
    ranker: &dyn Ranker,
    movies: usize,
    scored: &[UserState<'_>],
    unscored: &[UserState<'_>],
) {
    assert!(movies >= 2 && !scored.is_empty(), "nothing to check");
    let status = ranker.status();
    assert!(!ranker.kind().is_empty(), "the kind is empty, the status is {status:?}");
    let all: Vec<MovieIndex> = (0..movies as u32).map(MovieIndex).collect();
    for user in scored {
        returns_one_score_per_movie(ranker, user, &all).await;
        keeps_the_order_of_the_query(ranker, user, &all).await;
        scores_the_catalogue_as_it_scores_a_query(ranker, user, &all).await;
        survives_dropped_futures(ranker, user, &all).await;
    }
    for user in unscored {
        reports_users_that_it_cannot_score(ranker, user, &all).await;
    }
    // One failure has no consequences for others.
    returns_one_score_per_movie(ranker, &scored[0], &all).await;
}

/// The scores of a query, after checks that apply to all of them.
async fn scores(ranker: &dyn Ranker, user: &UserState<'_>, movies: &[MovieIndex]) -> Vec<f32> {
    let mut scores = vec![EARLIER; 3];
    if let Err(error) = ranker.score(&Query::new(user, movies), &mut scores).await {
        panic!("no scores for user {}: {error}", user.id);
    }
    check_scores(user, movies.len(), &scores);
    scores
}

fn check_scores(user: &UserState<'_>, movies: usize, scores: &[f32]) {
    assert_eq!(scores.len(), movies, "scores for {movies} movies of user {}", user.id);
    for score in scores {
        assert!(score.is_finite() || *score == UNSCORED, "user {} has a score of {score}", user.id);
        assert!(*score != EARLIER, "user {} has a score that was in the buffer before", user.id);
    }
}

async fn returns_one_score_per_movie(
    ranker: &dyn Ranker,
    user: &UserState<'_>,
    all: &[MovieIndex],
) {
    for movies in [all, &all[..1], &all[all.len() - 1..], &all[all.len() / 2..], &[]] {
        scores(ranker, user, movies).await;
    }
}

async fn keeps_the_order_of_the_query(
    ranker: &dyn Ranker,
    user: &UserState<'_>,
    all: &[MovieIndex],
) {
    let forward = scores(ranker, user, all).await;
    let reversed: Vec<MovieIndex> = all.iter().rev().copied().collect();
    let mut backward = scores(ranker, user, &reversed).await;
    backward.reverse();
    check_same_order(user, "with the movies reversed", &forward, &backward);
}

/// Two calls may score differently, but they order the movies alike, apart from rounding errors.
fn check_same_order(user: &UserState<'_>, what: &str, one: &[f32], other: &[f32]) {
    let mut best_first: Vec<usize> = (0..one.len()).collect();
    best_first.sort_by(|&a, &b| one[b].total_cmp(&one[a]));
    for pair in best_first.windows(2) {
        let [better, worse] = [pair[0], pair[1]];
        let missing = |scores: &[f32], movie: usize| scores[movie] == UNSCORED;
        assert_eq!(missing(one, better), missing(other, better), "user {}, {what}", user.id);
        assert_eq!(missing(one, worse), missing(other, worse), "user {}, {what}", user.id);
        if missing(one, worse) {
            continue;
        }
        let rounding = 1e-4 * other[better].abs().max(other[worse].abs()).max(1e-3);
        assert!(
            other[worse] - other[better] <= rounding,
            "user {}, {what}: movie {worse} has {} and {}, movie {better} has {} and {}",
            user.id,
            one[worse],
            other[worse],
            one[better],
            other[better],
        );
    }
}

async fn scores_the_catalogue_as_it_scores_a_query(
    ranker: &dyn Ranker,
    user: &UserState<'_>,
    all: &[MovieIndex],
) {
    match ranker.score_all(user) {
        None => {}
        Some(Err(error)) => panic!("no scores of the catalogue for user {}: {error}", user.id),
        Some(Ok(catalogue)) => {
            check_scores(user, all.len(), catalogue.as_slice());
            let queried = scores(ranker, user, all).await;
            check_same_order(user, "for the whole catalogue", &queried, catalogue.as_slice());
        }
    }
}

async fn survives_dropped_futures(ranker: &dyn Ranker, user: &UserState<'_>, all: &[MovieIndex]) {
    let before = scores(ranker, user, all).await;
    for _ in 0..3 {
        let mut buffer = Vec::new();
        let query = Query::new(user, all);
        let mut future = ranker.score(&query, &mut buffer);
        // Once, so that it has started.
        poll_fn(|context| {
            let _ = Pin::new(&mut future).poll(context);
            Poll::Ready(())
        })
        .await;
        drop(future);
    }
    let after = scores(ranker, user, all).await;
    check_same_order(user, "after dropped futures", &before, &after);
}

async fn reports_users_that_it_cannot_score(
    ranker: &dyn Ranker,
    user: &UserState<'_>,
    all: &[MovieIndex],
) {
    let mut scores = Vec::new();
    let mut outcomes = vec![ranker.score(&Query::new(user, all), &mut scores).await];
    outcomes.extend(ranker.score_all(user).map(|outcome| outcome.map(|_| ())));
    for outcome in outcomes {
        let id = match outcome {
            Err(Error::NoUserEmbedding(id) | Error::UnknownUser(id)) => id,
            Err(error) => panic!("user {} cannot be scored because of: {error}", user.id),
            Ok(()) => panic!("user {} was scored", user.id),
        };
        assert_eq!(id, user.id, "the error names another user");
    }
}
