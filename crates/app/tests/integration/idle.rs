//! What following the streams of live data costs a server without requests.

use std::process::Command;
use std::time::Duration;

use sparrow_test_redis::{TestCluster, TestRedis};

use crate::redis;
use crate::support::{demo_entries, push};

/// The address of the store, for the process that is measured.
const URL: &str = "SPARROW_TEST_IDLE_ON";
const SECONDS: &str = "SPARROW_TEST_IDLE_SECONDS";
/// Of the times in `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

/// The CPU time of this process, in ticks.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name of the program, in parentheses, may contain spaces.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let [user, system] = [11, 12].map(|at: usize| fields[at].parse::<u64>().unwrap());
    user + system
}

/// Not a test: the process that is measured.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "serves on the store that the test below names"]
#[expect(clippy::print_stdout, reason = "the parent test reads it")]
async fn process_that_is_idle() {
    let Ok(url) = std::env::var(URL) else { return };
    let seconds: u64 = std::env::var(SECONDS).unwrap().parse().unwrap();
    let mut config = redis::on(&url);
    config.store.refresh = sparrow_app::Config::default().store.refresh;
    let mut running = sparrow_app::start(config).await.unwrap();
    running.loaded().await.unwrap();
    // The first read of all users, and the trials of models.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = ticks();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    println!("ticks:{}", ticks() - before);
    running.stop().await;
}

/// The share of a core that an idle server takes.
fn share(url: &str, seconds: usize) -> f64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "idle::process_that_is_idle", "--include-ignored", "--nocapture"])
        .env(URL, url)
        .env(SECONDS, seconds.to_string())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    let (_, rest) = printed.split_once("ticks:").unwrap();
    let ticks: u64 = rest.lines().next().unwrap().parse().unwrap();
    ticks as f64 / TICKS_PER_SECOND / seconds as f64
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
#[expect(clippy::print_stdout, reason = "`--nocapture` shows the figures")]
async fn following_costs_an_idle_server_at_most_1_percent_of_a_core() {
    let seconds = sparrow_test_support::rounds("seconds of an idle server", 10, 30);
    let (redis, cluster) = (TestRedis::start(&[]), TestCluster::start(3));
    for (what, url) in [("one Redis", redis.url()), ("a cluster of 3", cluster.url())] {
        push(&*redis::pusher(&url).await, demo_entries()).await;
        let share = share(&url, seconds);
        println!("idle on {what}: {:.2}% of a core over {seconds} s", share * 100.0);
        assert!(share <= 0.01, "{what}: {share}");
    }
    assert_eq!(redis.cli(&["GET", "sparrow:partitions"]), "256");
}
