//! [`GuardedRanker`]: a deadline, a circuit breaker and retries for any [`Ranker`].
//!
//! The contract of [`Ranker`] leaves these to the ranker, because the engine neither waits with a deadline nor retries. A
//! ranker that asks another process for its scores implements only the request, and is wrapped. The ranker for TensorFlow
//! Serving needs no wrapper: it uses the same [`Guard`] itself, since its batches serve several users and its health
//! checks close the circuit.
//!
//! It is a crate of its own because `sparrow-rank` contains no timers.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sparrow_guard::{Assessment, Outage, Policy, Recovery, Service};
pub use sparrow_guard::{Circuit, Guard, Retry};
use sparrow_model::UserState;
use sparrow_rank::{Contribution, Error, ItemScores, Query, Ranker, State, Status};

// A dev-dependency with the feature `testsuite` would add the feature to all builds.
#[cfg(test)]
#[expect(unreachable_pub, reason = "a public module of sparrow-rank")]
#[path = "../../rank/src/testsuite.rs"]
mod testsuite;

/// Deadline, circuit breaker and retries of a ranker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuardOptions {
    /// The deadline of a query, including its retries.
    pub deadline: Duration,
    /// When the circuit breaker opens.
    pub circuit: Circuit,
    /// The time between two probes while it is open: one query is then tried.
    pub pause: Duration,
    /// Retries of queries without an answer; none by default.
    pub retry: Retry,
}

impl Default for GuardOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(200),
            circuit: Circuit::default(),
            pause: Duration::from_secs(1),
            retry: Retry::default(),
        }
    }
}

/// A ranker with a deadline, a circuit breaker and retries.
///
/// [`Error::Unavailable`], [`Error::TimedOut`] and [`Error::Malformed`] count as failures; errors that concern the user
/// or the request do not. While the circuit breaker is open, queries fail at once with [`Error::Unavailable`], so that the
/// fallback answers, and the status is [`State::Failing`]. The scores of [`score_all`](Ranker::score_all) are computed in
/// memory and not guarded.
#[derive(Debug)]
pub struct GuardedRanker<R: Ranker> {
    guard: Guard<Guarded<R>>,
    deadline: Duration,
}

impl<R: Ranker> GuardedRanker<R> {
    /// Wraps a ranker.
    pub const fn new(ranker: R, options: GuardOptions) -> Self {
        let GuardOptions { deadline, circuit, pause, retry } = options;
        let policy = Policy { circuit, recovery: Recovery::Probe(pause), retry };
        Self { guard: Guard::new(Guarded(ranker), policy), deadline }
    }

    fn ranker(&self) -> &R {
        &self.guard.service().0
    }
}

#[derive(Debug)]
struct Guarded<R>(R);

impl<R: Ranker> Service for Guarded<R> {
    type Error = Error;
    type Cause = String;

    fn assess(&self, error: &Error) -> Assessment<String> {
        match error {
            Error::Unavailable(reason) => Assessment::Failure(reason.to_string()),
            Error::TimedOut | Error::Malformed(_) => Assessment::Failure(error.to_string()),
            _ => Assessment::Ignored,
        }
    }

    fn timed_out(&self) -> Error {
        Error::TimedOut
    }

    fn rejected(&self, outage: &Outage<String>) -> Error {
        Error::Unavailable(format!("its circuit breaker is open: {}", outage.cause).into())
    }
}

#[async_trait]
impl<R: Ranker> Ranker for GuardedRanker<R> {
    fn kind(&self) -> &'static str {
        self.ranker().kind()
    }

    fn dimension(&self) -> Option<usize> {
        self.ranker().dimension()
    }

    fn status(&self) -> Status {
        let status = self.ranker().status();
        match self.guard.outage() {
            Some(Outage { since, cause }) => {
                let (since, trouble) = (Some(since), Some(cause));
                Status { state: State::Failing, since, trouble, ..status }
            }
            None => status,
        }
    }

    fn revision(&self) -> u64 {
        self.ranker().revision()
    }

    fn uses_input(&self, index: usize) -> bool {
        self.ranker().uses_input(index)
    }

    fn score_all(&self, user: &UserState<'_>) -> Option<Result<Arc<ItemScores>, Error>> {
        self.ranker().score_all(user)
    }

    fn explain(&self, query: &Query<'_>) -> Vec<Contribution> {
        self.ranker().explain(query)
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        let attempt = || {
            let mut buffer = mem::take(scores);
            async move { self.ranker().score(query, &mut buffer).await.map(|()| buffer) }
        };
        let answer = self.guard.call(self.deadline, attempt).await?;
        *scores = answer;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Mutex;

    use sparrow_model::{MovieIndex, UserId};
    use tokio::time::Instant;

    use super::*;

    /// A ranker in another process, which answers, fails or does not respond.
    #[derive(Debug, Default)]
    struct Remote(Mutex<Vec<Reply>>);

    #[derive(Debug, Clone, Copy)]
    enum Reply {
        Reset,
        Silence,
        UnknownUser,
    }

    #[async_trait]
    impl Ranker for Remote {
        fn kind(&self) -> &'static str {
            "remote"
        }

        /// Takes the last reply; without one, the scores are the movies' indexes.
        async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
            let reply = self.0.lock().expect("not poisoned").pop();
            match reply {
                Some(Reply::Reset) => Err(Error::Unavailable("connection reset".into())),
                Some(Reply::Silence) => pending().await,
                Some(Reply::UnknownUser) => Err(Error::UnknownUser(query.user.id)),
                None => {
                    scores.clear();
                    scores.extend(query.movies.iter().map(|movie| movie.0 as f32));
                    Ok(())
                }
            }
        }
    }

    fn ranker(replies: Vec<Reply>, retry: Retry) -> GuardedRanker<Remote> {
        let circuit = Circuit { min_requests: 3, ..Circuit::default() };
        let options = GuardOptions { circuit, retry, ..GuardOptions::default() };
        GuardedRanker::new(Remote(Mutex::new(replies)), options)
    }

    async fn score(ranker: &GuardedRanker<Remote>) -> Result<Vec<f32>, String> {
        let user = UserState::unknown(UserId(1));
        let mut scores = vec![7.0];
        let query = Query::new(&user, &[MovieIndex(2), MovieIndex(5)]);
        let outcome = ranker.score(&query, &mut scores).await;
        // The reason of an unavailable model is the source of its error.
        let text = |error: Error| match error {
            Error::Unavailable(reason) => reason.to_string(),
            error => error.to_string(),
        };
        outcome.map(|()| scores).map_err(text)
    }

    #[tokio::test]
    async fn a_guarded_ranker_fulfils_the_contract() {
        let user = UserState::unknown(UserId(1));
        testsuite::check(&ranker(Vec::new(), Retry::default()), 5, &[user], &[]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn failures_open_the_circuit_and_a_probe_closes_it() {
        let ranker = ranker(vec![Reply::Silence, Reply::Reset, Reply::Silence], Retry::default());
        let start = Instant::now();
        assert_eq!(score(&ranker).await, Err("the model did not answer in time".to_owned()));
        assert_eq!(start.elapsed(), Duration::from_millis(200));
        assert_eq!(score(&ranker).await, Err("connection reset".to_owned()));
        assert_eq!(ranker.status().state, State::Ready);
        assert!(score(&ranker).await.is_err());

        let status = ranker.status();
        assert_eq!(status.state, State::Failing);
        assert_eq!(status.trouble.as_deref(), Some("the model did not answer in time"));
        let open = "its circuit breaker is open: the model did not answer in time";
        assert_eq!(score(&ranker).await, Err(open.to_owned()));

        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(score(&ranker).await, Ok(vec![2.0, 5.0]));
        assert_eq!(ranker.status().state, State::Ready);
    }

    #[tokio::test(start_paused = true)]
    async fn queries_without_an_answer_are_repeated_if_configured() {
        let retry = Retry { attempts: 2, ..Retry::default() };
        let ranker = ranker(vec![Reply::UnknownUser, Reply::Reset], retry);
        // The second attempt is the last one.
        assert_eq!(score(&ranker).await, Err("user 1 is not in the model".to_owned()));
        assert_eq!(score(&ranker).await, Ok(vec![2.0, 5.0]));
    }
}
