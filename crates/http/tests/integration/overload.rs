//! Three times the load that the server can carry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sparrow_engine::Model;
use sparrow_http::Options;
use sparrow_rank::{Error, Query, Ranker};

use crate::load::with_model;
use crate::support::{Running, patient};

/// The time of one ranking: long enough that the pauses of a busy machine weigh little.
const SERVICE: Duration = Duration::from_millis(20);

struct Paced;

#[async_trait]
impl Ranker for Paced {
    fn kind(&self) -> &'static str {
        "paced"
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        // Holds its thread like a computation, but leaves the processor to the clients of the test.
        std::thread::sleep(SERVICE);
        scores.clear();
        scores.resize(query.movies.len(), 1.0);
        Ok(())
    }
}

const TARGET: &str = "/v1/users/1/recommendations?model=paced&candidates=all";

/// The statuses and times of requests that start at this interval, on one connection.
fn ask_regularly(running: &Running, interval: Duration, times: u32) -> Vec<(u16, Duration)> {
    let mut client = running.connect();
    let begin = Instant::now();
    let ask = |number: u32| {
        let due = begin + interval * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let start = Instant::now();
        let answer = client.get(TARGET);
        if answer.status == 503 {
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        (answer.status, start.elapsed())
    };
    (0..times).map(ask).collect()
}

fn quantile(mut times: Vec<Duration>, share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures of the test")]
fn under_three_times_the_load_accepted_requests_stay_quick_and_others_are_refused_at_once() {
    let options = Options { max_rankings: 2, waiting_rankings: 1, ..patient() };
    let running = with_model(options, Model::new("paced", Arc::new(Paced)));
    // The first rankings of a model are measured one by one.
    let idle = ask_regularly(&running, SERVICE, 20);
    assert!(idle.iter().all(|(status, _)| *status == 200));
    let idle = quantile(idle.into_iter().map(|(_, time)| time).collect(), 0.5);
    // Two at a time carry one in half the time of a ranking; 12 clients ask for three times as many.
    let interval = SERVICE * 12 / 6;
    let answers: Vec<(u16, Duration)> = std::thread::scope(|scope| {
        let client = || scope.spawn(|| ask_regularly(&running, interval, 25));
        let clients: Vec<_> = (0..12).map(|_| client()).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let of = |wanted: u16| {
        let times = answers.iter().filter(|(status, _)| *status == wanted);
        times.map(|(_, time)| *time).collect::<Vec<_>>()
    };
    let (accepted, refused) = (of(200), of(503));
    assert_eq!(accepted.len() + refused.len(), answers.len());
    println!(
        "idle {idle:?}; accepted {} p50 {:?} p99 {:?}; refused {} p50 {:?} p99 {:?}",
        accepted.len(),
        quantile(accepted.clone(), 0.5),
        quantile(accepted.clone(), 0.99),
        refused.len(),
        quantile(refused.clone(), 0.5),
        quantile(refused.clone(), 0.99),
    );
    // As many as the server can carry, roughly, and not more.
    assert!(accepted.len() >= answers.len() / 6, "{} were accepted", accepted.len());
    assert!(refused.len() >= answers.len() / 4, "{} were refused", refused.len());
    // Medians, since other tests run beside this one.
    assert!(quantile(accepted, 0.5) <= idle * 3);
    assert!(quantile(refused, 0.5) < Duration::from_millis(5));
}
