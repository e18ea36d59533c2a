//! Three times the load that a server can carry, with the server on one core and the clients on another.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sparrow_test_support::rounds;

use crate::client::Client;
use crate::start;

/// So many that ranking all of them takes more than a millisecond.
const MOVIES: usize = 200_000;
const TARGET: &str = "/v1/users/1/recommendations?model=popularity&candidates=all";
const CLIENTS: u32 = 24;
const MIB: usize = 1 << 20;

/// A data set in which every movie has a rating.
fn write_data_set(folder: &Path) {
    let (mut movies, mut ratings) =
        ("movieId,title,genres\n".to_owned(), "userId,movieId,rating,timestamp\n".to_owned());
    for movie in 1..=MOVIES {
        let (year, user) = (1950 + movie % 70, movie % 600 + 2);
        writeln!(movies, "{movie},Film {movie} ({year}),Drama|Comedy").unwrap();
        writeln!(ratings, "{user},{movie},{}.5,{}", movie % 5, 1_000_000_000 + movie).unwrap();
    }
    ratings.push_str("1,1,5.0,1000000000\n");
    fs::write(folder.join("movies.csv"), movies).unwrap();
    fs::write(folder.join("ratings.csv"), ratings).unwrap();
}

/// Restricts this thread, and the threads and processes that it starts from now on, to a core.
fn pin(core: &str) {
    let thread = fs::read_link("/proc/thread-self").unwrap();
    let thread = thread.file_name().unwrap().to_owned();
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "--pid", core]).arg(thread).stdout(Stdio::null());
    assert!(command.status().unwrap().success(), "cannot use core {core}");
}

/// Two cores that this process may use.
fn cores() -> Option<[String; 2]> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let ranges =
        list.trim().split(',').map(|range| range.split_once('-').unwrap_or((range, range)));
    let mut cores = ranges
        .flat_map(|(first, last)| first.parse::<u32>().unwrap()..=last.parse::<u32>().unwrap());
    Some([cores.next()?.to_string(), cores.next()?.to_string()])
}

/// The answers of one kind.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn quantile(&self, share: f64) -> Duration {
        let mut times = self.0.clone();
        times.sort_unstable();
        let index = times.len().saturating_sub(1) as f64 * share;
        times.get(index as usize).copied().unwrap_or_default()
    }

    fn per_second(&self, time: Duration) -> f64 {
        self.0.len() as f64 / time.as_secs_f64()
    }
}

/// The time of one request, and whether it was accepted.
fn ask(client: &mut Client, due: Instant) -> (bool, Duration) {
    let answer = client.get(TARGET).unwrap();
    assert!([200, 503].contains(&answer.status), "{} {}", answer.status, answer.body);
    (answer.status == 200, due.elapsed())
}

/// The answers to one client that sends its requests one after the other, with pauses.
fn unloaded(address: SocketAddr, time: Duration) -> Times {
    let (mut client, start) = (Client::connect(address).unwrap(), Instant::now());
    let mut times = Times::default();
    while start.elapsed() < time {
        let (accepted, took) = ask(&mut client, Instant::now());
        assert!(accepted, "an idle server refused a request");
        times.0.push(took);
        thread::sleep(Duration::from_millis(1));
    }
    times
}

/// The accepted requests per second of clients that send their requests without pauses.
fn capacity(address: SocketAddr, time: Duration) -> f64 {
    let start = Instant::now();
    let count = |_| {
        let mut client = Client::connect(address).unwrap();
        let mut accepted = 0;
        while start.elapsed() < time {
            accepted += u32::from(ask(&mut client, Instant::now()).0);
        }
        accepted
    };
    // One computes, and one waits.
    let accepted: u32 = thread::scope(|scope| {
        let clients = [0; 2].map(|client| scope.spawn(move || count(client)));
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    f64::from(accepted) / start.elapsed().as_secs_f64()
}

/// The accepted and the refused requests at a rate per second. Times count from the moment at which a request is due.
fn loaded(address: SocketAddr, rate: f64, time: Duration) -> (Times, Times) {
    let interval = Duration::from_secs_f64(f64::from(CLIENTS) / rate);
    let begin = Instant::now();
    let send = |number: u32| {
        let mut client = Client::connect(address).unwrap();
        let (mut accepted, mut refused) = (Times::default(), Times::default());
        let mut due = begin + interval * number / CLIENTS;
        // Between half and one and a half intervals, from a fixed seed.
        let mut random = number.wrapping_mul(0x9e37_79b9).wrapping_add(1);
        while due < begin + time {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let (is_accepted, took) = ask(&mut client, due);
            if is_accepted { &mut accepted } else { &mut refused }.0.push(took);
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            due += interval.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX));
        }
        (accepted, refused)
    };
    let answers: Vec<(Times, Times)> = thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || send(number))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    answers.into_iter().fold(Default::default(), |mut all: (Times, Times), one| {
        all.0.0.extend(one.0.0);
        all.1.0.extend(one.1.0);
        all
    })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Measures a server with these settings, and prints a line.
fn measure(folder: &Path, cores: &[String; 2], time: Duration, settings: &[(&str, &str)]) {
    pin(&cores[0]);
    let server = start("--data {}", &[&folder], settings);
    pin(&cores[1]);
    let address = server.address();
    // Warms up, and measures the model.
    unloaded(address, time / 8);
    let before = unloaded(address, time / 4);
    let carried = capacity(address, time / 4);
    let (accepted, refused) = loaded(address, 3.0 * carried, time / 4);
    let resident = server.resident();
    drop((accepted, refused));
    let (accepted, refused) = loaded(address, 3.0 * carried, time);
    let after = server.resident();
    let idle = unloaded(address, time / 4);
    // The machine has other work: the slower of two measurements is that of the same conditions.
    let idle = before.quantile(0.99).max(idle.quantile(0.99));
    let (slow, quick) = (accepted.quantile(0.99), refused.quantile(0.99));
    eprintln!(
        "{settings:?}: carries {carried:.0}/s, idle p50 {:.2} ms, p99 {:.2} ms; sent {:.0}/s, accepted {:.0}/s, \
         p50 {:.2} ms, p99 {:.2} ms ({:.1} times); refused p50 {:.2} ms, p99 {:.2} ms, at most {:.2} ms; {} to {} MiB",
        millis(before.quantile(0.5)),
        millis(idle),
        accepted.per_second(time) + refused.per_second(time),
        accepted.per_second(time),
        millis(accepted.quantile(0.5)),
        millis(slow),
        slow.as_secs_f64() / idle.as_secs_f64(),
        millis(refused.quantile(0.5)),
        millis(quick),
        millis(refused.quantile(1.0)),
        resident / MIB,
        after / MIB,
    );
    assert!(
        before.quantile(0.5) > Duration::from_millis(1),
        "the route is too cheap for this test"
    );
    // Roughly what the server can carry is answered.
    assert!(accepted.per_second(time) > 0.5 * carried);
    assert!(refused.0.len() > accepted.0.len() / 2, "{} were refused", refused.0.len());
    // Medians: other programs may use the cores.
    assert!(refused.quantile(0.5) < Duration::from_millis(5));
    assert!(accepted.quantile(0.5) <= idle * 5);
    assert!(after < resident + 8 * MIB, "memory grows");
}

#[test]
fn under_three_times_the_load_accepted_requests_stay_quick_and_memory_stays_flat() {
    let _alone = crate::alone();
    let Some(cores) = cores() else {
        eprintln!("needs two cores");
        return;
    };
    let time = Duration::from_secs(rounds("seconds of overload", 3, 30) as u64);
    let folder = tempfile::tempdir().unwrap();
    write_data_set(folder.path());
    let path = folder.path();
    measure(path, &cores, time, &[]);
    if time > Duration::from_secs(10) {
        for waiting in ["0", "1", "2", "4", "8"] {
            measure(path, &cores, time, &[("SPARROW__SERVER__WAITING_RANKINGS", waiting)]);
        }
    }
}
