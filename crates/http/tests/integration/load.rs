//! Overload: long rankings, large answers that clients do not read, connections at the limit.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use sparrow_engine::{Engine, Model};
use sparrow_http::{Options, Snapshot, SnapshotOptions};
use sparrow_rank::{Error, PopularityRanker, Query, Ranker, VersionedRanker};

use crate::support::{PATIENCE, Running, engine, patient};

/// Blocks a model until it is opened, and counts its calls.
#[derive(Default)]
struct Gate {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    fn wait_for_calls(&self, times: usize) {
        let state = self.state.lock().unwrap();
        let (state, _) =
            self.changed.wait_timeout_while(state, PATIENCE, |state| state.0 < times).unwrap();
        assert!(state.0 >= times, "the model was called {} times", state.0);
    }
}

struct Slow(Arc<Gate>);

#[async_trait]
impl Ranker for Slow {
    fn kind(&self) -> &'static str {
        "slow"
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        let mut state = self.0.state.lock().unwrap();
        state.0 += 1;
        self.0.changed.notify_all();
        let state = self.0.changed.wait_timeout_while(state, PATIENCE, |state| !state.1).unwrap();
        assert!(state.0.1, "the gate did not open");
        scores.clear();
        scores.resize(query.movies.len(), 1.0);
        Ok(())
    }
}

/// A server in one thread with another model.
pub(crate) fn with_model(options: Options, model: Model) -> Running {
    let catalog = Arc::clone(engine().catalog());
    let engine = Engine::builder(catalog).standard(None).model(model).build();
    let engine = Arc::new(engine.unwrap());
    let running = Running::in_one_thread(options);
    running.server.publish(Arc::new(Snapshot::new(engine, SnapshotOptions::default())));
    // Its pace is known from now on.
    assert_eq!(running.get(OTHER).status, 200);
    running
}

const OTHER: &str = "/v1/users/1/recommendations?model=popularity";

/// The same with a slow model of the name `slow`, which is `slowly`, too.
fn with_slow_model(options: Options) -> (Running, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let slow = Slow(Arc::clone(&gate));
    (with_model(options, Model::new("slow", Arc::new(slow)).alias("slowly")), gate)
}

const SLOW: &str = "/v1/users/1/recommendations?model=slow&candidates=all";

fn ask(running: &Running, target: &str) -> crate::support::Client {
    let mut client = running.connect();
    client.write(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
    client
}

#[test]
fn long_ranking_does_not_block_other_requests() {
    let (running, gate) = with_slow_model(patient());
    // Of the whole catalogue, and by a model whose pace is not known yet.
    for (times, target) in [(1, SLOW), (2, "/getrecforyou?id=1&model=slow"), (3, ALIAS)] {
        does_not_block_others(&running, &gate, times, target);
    }
}

const ALIAS: &str = "/getrecforyou?id=1&model=slowly";

/// Asks for what the model behind the gate ranks, and then for other things, for longer than a ranking may take
/// where connections are served.
fn does_not_block_others(running: &Running, gate: &Gate, times: usize, target: &str) {
    gate.state.lock().unwrap().1 = false;
    let mut slow = ask(running, target);
    gate.wait_for_calls(times);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(5) {
        for target in ["/healthz", "/readyz", "/getmovie?id=1"] {
            assert_eq!(running.get(target).status, 200, "{target}");
        }
        assert_eq!(running.get(OTHER).status, 200);
    }
    gate.open();
    let answer = slow.answer();
    assert_eq!((answer.status, answer.header("x-sparrow-model")), (200, Some("slow")));
}

#[test]
fn slow_version_after_a_fast_one_does_not_block_other_requests() {
    let slot = Arc::new(VersionedRanker::empty("slow", "none is loaded"));
    let quick: Arc<dyn Ranker> = Arc::new(PopularityRanker::new(Arc::clone(engine().catalog())));
    slot.replace(quick, Some(1), SystemTime::UNIX_EPOCH);
    let model = Model::new("slow", Arc::clone(&slot) as _).alias("slowly");
    let running = with_model(patient(), model);
    // More than a slow first answer, for whatever reason, weighs.
    for _ in 0..100 {
        assert_eq!(running.get(ALIAS).status, 200);
    }
    let gate = Arc::new(Gate::default());
    slot.replace(Arc::new(Slow(Arc::clone(&gate))), Some(2), SystemTime::UNIX_EPOCH);
    for times in 1..=3 {
        does_not_block_others(&running, &gate, times, ALIAS);
    }
}

#[test]
fn slow_fallback_does_not_block_other_requests() {
    let slot = Arc::new(VersionedRanker::empty("slow", "none is loaded"));
    let model = Model::new("slow", Arc::clone(&slot) as _).alias("slowly");
    let absent = Model::unavailable("absent", "embedding", "there are no vectors").fallback("slow");
    let catalog = Arc::clone(engine().catalog());
    let engine = Engine::builder(catalog).standard(None).model(absent).model(model).build();
    let engine = Arc::new(engine.unwrap());
    let running = Running::in_one_thread(patient());
    running.server.publish(Arc::new(Snapshot::new(engine, SnapshotOptions::default())));
    assert_eq!(running.get(OTHER).status, 200);
    let target = "/v1/users/1/recommendations?model=absent";
    for _ in 0..100 {
        assert_eq!(running.get(target).status, 200);
    }
    let gate = Arc::new(Gate::default());
    slot.replace(Arc::new(Slow(Arc::clone(&gate))), Some(1), SystemTime::UNIX_EPOCH);
    for times in 1..=3 {
        does_not_block_others(&running, &gate, times, target);
    }
}

#[test]
fn burst_on_an_unmeasured_slow_model_runs_a_few_at_a_time() {
    let options = Options { max_rankings: 1, ..patient() };
    let (running, gate) = with_slow_model(options);
    let mut slow: Vec<_> = (0..20).map(|_| ask(&running, ALIAS)).collect();
    gate.wait_for_calls(1);
    // The server has one thread: once it has answered this, it has read what was sent before.
    assert_eq!(running.get("/healthz").status, 200);
    assert_eq!(gate.state.lock().unwrap().0, 1);
    gate.open();
    let statuses: Vec<u16> = slow.iter_mut().map(|client| client.answer().status).collect();
    assert!(statuses.contains(&200) && statuses.iter().all(|status| [200, 503].contains(status)));
}

#[test]
fn burst_on_an_unmeasured_fast_model_is_not_refused() {
    let all_answered = || {
        let running = Running::in_one_thread(Options { max_rankings: 1, ..patient() });
        let mut fast: Vec<_> = (0..100).map(|_| ask(&running, "/getrecforyou?id=1")).collect();
        fast.iter_mut().all(|client| client.answer().status == 200)
    };
    // A pause of a busy machine in the first ranking makes the model a slow one for a while.
    assert!((0..5).any(|_| all_answered()));
}

#[test]
fn long_rankings_beyond_the_waiting_ones_are_refused() {
    let options = Options { max_rankings: 1, waiting_rankings: 4, ..patient() };
    let (running, gate) = with_slow_model(options);
    let mut first = ask(&running, SLOW);
    gate.wait_for_calls(1);
    let mut waiting: Vec<_> = (0..4).map(|_| ask(&running, SLOW)).collect();
    // The server has one thread: after this answer it has read the earlier requests.
    assert_eq!(running.get("/healthz").status, 200);
    let refused = running.get(SLOW);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.problem()["detail"].as_str().unwrap().contains("too many long rankings"));
    // Short rankings are not limited.
    assert_eq!(running.get("/v1/users/1/recommendations?model=popularity").status, 200);
    gate.open();
    assert_eq!(first.answer().status, 200);
    for client in &mut waiting {
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(gate.state.lock().unwrap().0, 5);
}

#[test]
fn requests_beyond_the_limit_are_refused_and_cheap_reads_keep_a_reserve() {
    let options = Options {
        max_requests: 4,
        waiting_requests: 1,
        max_rankings: 3,
        waiting_rankings: 0,
        ..patient()
    };
    let (running, gate) = with_slow_model(options);
    let admin = running.admin();
    assert_eq!(admin.get("/healthz").status, 200);
    let mut working: Vec<_> = (0..3).map(|_| ask(&running, SLOW)).collect();
    gate.wait_for_calls(3);
    let mut waiting = ask(&running, OTHER);
    // The server has one thread: after this answer it has read the earlier request.
    assert_eq!(running.get("/healthz").status, 200);
    for _ in 0..2 {
        let refused = running.get(OTHER);
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
        let problem = refused.problem();
        assert!(problem["detail"].as_str().unwrap().contains("too many rankings and writes"));
    }
    // A quarter of the places is left to what is cheap; health and operators need none.
    for target in ["/getmovie?id=1", "/v1/genres", "/", "/healthz", "/readyz"] {
        assert_eq!(running.get(target).status, 200, "{target}");
    }
    assert_eq!(admin.json("/status.json")["hour"]["shed"], 2);
    let metrics = admin.get("/metrics");
    let text = metrics.text();
    for line in [
        "sparrow_shed_requests_total{reason=\"costly-requests\"} 2\n",
        "sparrow_queue_length{queue=\"costly-requests\"} 1.0\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    gate.open();
    for client in working.iter_mut().chain([&mut waiting]) {
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(running.get(OTHER).status, 200, "a place was lost");
}

#[test]
fn health_check_is_answered_while_more_clients_are_refused_than_the_limit() {
    let running = Running::start(Options { max_connections: 1, max_refusals: 4, ..patient() });
    let mut served = running.connect();
    assert_eq!(served.get("/healthz").status, 200);
    // They neither ask nor close.
    let silent: Vec<_> = (0..20).map(|_| running.connect()).collect();
    let start = Instant::now();
    assert_eq!(running.get("/healthz").status, 200);
    assert!(start.elapsed() < Duration::from_secs(1), "it waited for the others to end");
    drop(silent);
}

#[test]
fn a_long_ranking_counts_until_it_ends_also_when_nobody_waits_for_it() {
    let options =
        Options { max_rankings: 1, request_timeout: Duration::from_millis(100), ..patient() };
    let (running, gate) = with_slow_model(options);
    let timed_out = running.get(SLOW);
    assert_eq!(timed_out.status, 503);
    assert!(timed_out.problem()["detail"].as_str().unwrap().contains("no answer within"));
    // The ranking still counts: the next one waits until its own timeout and does not run.
    assert_eq!(running.get(SLOW).status, 503);
    assert_eq!(gate.state.lock().unwrap().0, 1);
    gate.open();
    let start = Instant::now();
    while running.get(SLOW).status != 200 {
        assert!(start.elapsed() < PATIENCE, "the ended ranking still counts");
    }
}

const LARGE: &str = "/getrecommendation?genre=Drama&size=1000";

#[test]
fn unread_large_answers_are_bounded_and_equal_ones_count_once() {
    let one = Running::start(patient()).get(LARGE).body.len();
    let options = Options { max_bytes_in_flight: one + one / 2, ..patient() };
    let running = Running::start(options);
    // More than the sockets' buffers hold, so that a part stays in the server.
    let unread: Vec<_> = (0..3)
        .map(|_| {
            let mut client = running.connect();
            let request = format!("GET {LARGE} HTTP/1.1\r\nHost: test\r\n\r\n");
            client.write(request.repeat(100).as_bytes());
            client
        })
        .collect();
    let other = "/getrecommendation?genre=Comedy&size=1000";
    let start = Instant::now();
    let refused = loop {
        let answer = running.get(other);
        if answer.status != 200 {
            break answer;
        }
        assert!(start.elapsed() < PATIENCE, "nothing was refused");
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.problem()["detail"].as_str().unwrap().contains("too many large answers"));
    // An equal answer shares their memory, and small ones are always sent.
    assert_eq!(running.get(LARGE).body.len(), one);
    assert_eq!(running.get("/getmovie?id=1").status, 200);
    drop(unread);
    while running.get(other).status != 200 {
        assert!(start.elapsed() < PATIENCE, "the sent bytes still count");
    }
}

#[test]
fn client_that_reads_slowly_is_cut_after_the_answer_timeout() {
    let limit = Duration::from_millis(500);
    let running = Running::start(Options { answer_timeout: limit, ..patient() });
    let mut client = running.connect();
    client.write(format!("GET {LARGE} HTTP/1.1\r\nHost: test\r\n\r\n").repeat(100).as_bytes());
    let whole = running.get(LARGE).body.len() * 100;
    let (start, mut read) = (Instant::now(), 0);
    // Each part is progress and extends the write timeout.
    client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut piece = vec![0; 40_000];
    while start.elapsed() < limit * 3 {
        let until = Instant::now() + Duration::from_millis(20);
        match std::io::Read::read(&mut client.stream, &mut piece) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(_) => {}
        }
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    read += client.rest().len();
    assert!(read < whole, "{read} of {whole} bytes were sent");
}

#[test]
fn probes_are_answered_at_the_connection_limit() {
    let running = Running::start(Options { max_connections: 1, ..patient() });
    let mut only = running.connect();
    assert_eq!(only.get("/v1/genres").status, 200);
    for target in ["/healthz", "/readyz", "/healthz?t=1"] {
        let mut probe = running.connect();
        let answer = probe.get(target);
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{target}");
        probe.end();
    }
    for target in ["/v1/genres", "/healthzz", "/"] {
        let answer = running.get(target);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{target}");
    }
    assert_eq!(only.get("/v1/genres").status, 200);
}

#[test]
fn connections_beyond_the_limit_of_an_address_get_503() {
    let running = Running::start(Options { max_connections_per_address: 2, ..patient() });
    let (mut first, mut second) = (running.connect(), running.connect());
    assert_eq!((first.get("/healthz").status, second.get("/healthz").status), (200, 200));
    let refused = running.get("/healthz");
    assert_eq!(refused.status, 503);
    assert!(refused.problem()["detail"].as_str().unwrap().contains("this address"));
    drop(first);
    let start = Instant::now();
    while running.get("/healthz").status != 200 {
        assert!(start.elapsed() < PATIENCE, "the closed connection still counts");
    }
}
