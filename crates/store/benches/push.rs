//! The speed of a push relative to `redis-benchmark -P` on the same server, with the same commands
//! and value sizes, in one run.
//!
//! A push writes each value under a staged key and renames that to the plain one: two commands per
//! key (three for hashes with a time to live). All commands that Redis executed are counted, from
//! `INFO commandstats`. The grace period of a commit, in which nothing is sent, is excluded.
//!
//! `cargo bench -p sparrow-store --bench push [-- USERS MOVIES]`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement prints, and may panic"
)]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;

use sparrow_features::{MOVIE_FIELDS, USER_FIELDS};
use sparrow_model::{MovieId, Stars, TopRating, UserId};
use sparrow_store::{
    Entry, FeatureStore, Fields, Location, MovieRatings, Options, Push, RedisStore, StoredRating,
};
use sparrow_test_redis::TestRedis;

const ROUNDS: usize = 5;
/// Ratings per user and dimensions of a vector, about the medians of ml-latest-small.
const RATINGS: u32 = 70;
const DIMENSION: usize = 10;
/// The pipeline depth of `redis-benchmark`.
const PIPELINE: &str = "64";

const USER_VALUES: [&str; 15] = [
    "318",
    "50",
    "296",
    "593",
    "2571",
    "100",
    "1994",
    "9.87",
    "3.92",
    "0.83",
    "Drama",
    "Thriller",
    "Crime",
    "Comedy",
    "Adventure",
];
const MOVIE_VALUES: [&str; 7] =
    ["Adventure", "Animation", "Children", "215", "1995", "3.92", "0.83"];

fn fields(names: &[&str], values: &[&str]) -> Fields {
    let pairs = names.iter().zip(values);
    Fields(pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn vector(id: u32) -> Vec<f32> {
    (0..DIMENSION).map(|at| ((id as usize * 31 + at * 17) % 1999) as f32 / 1999.0 - 0.5).collect()
}

fn entries(users: u32, movies: u32) -> Vec<Vec<Entry>> {
    let stars = Stars::MAX;
    let users = (1..=users).flat_map(|id| {
        let ratings = (0..RATINGS)
            .map(|at| StoredRating { movie: MovieId(at * 7), stars, timestamp: 1_000_000_000 + at })
            .collect();
        [
            Entry::UserFeatures(UserId(id), fields(&USER_FIELDS, &USER_VALUES)),
            Entry::UserEmbedding(UserId(id), vector(id)),
            Entry::UserRatings(UserId(id), ratings),
        ]
    });
    let movies = (1..=movies).flat_map(|id| {
        let top = TopRating { user: UserId(id), stars, timestamp: 1_000_000_000 };
        [
            Entry::MovieFeatures(MovieId(id), fields(&MOVIE_FIELDS, &MOVIE_VALUES)),
            Entry::MovieEmbedding(MovieId(id), vector(id)),
            Entry::MovieRatings(
                MovieId(id),
                MovieRatings { count: 215, half_stars: 1685, top: vec![top; 10] },
            ),
        ]
    });
    let all: Vec<Entry> = users.chain(movies).collect();
    all.chunks(3000).map(<[Entry]>::to_vec).collect()
}

/// Commands per second that `redis-benchmark` reaches.
fn benchmark(redis: &TestRedis, requests: u32, command: &[&str]) -> f64 {
    let output = Command::new("redis-benchmark")
        .args(["-p", &redis.port().to_string(), "-P", PIPELINE, "-c", "8", "-r", "1000000", "-q"])
        .args(["-n", &requests.to_string()])
        .args(command)
        .output()
        .expect("redis-benchmark is on the PATH (Debian package redis-tools)");
    let printed = String::from_utf8_lossy(&output.stdout);
    let rate = printed.rsplit('\r').find_map(|line| {
        let (_, rest) = line.rsplit_once(": ")?;
        rest.split(" requests per second").next()?.trim().parse().ok()
    });
    rate.unwrap_or_else(|| panic!("redis-benchmark printed {printed}"))
}

/// The time of `redis-benchmark` for the commands of the staging.
fn benchmark_time(redis: &TestRedis, users: u32, movies: u32) -> (f64, f64) {
    let hash = |key: &str, names: &[&str], values: &[&str]| {
        let mut words = vec!["HSET".to_owned(), key.to_owned()];
        words
            .extend(names.iter().zip(values).flat_map(|(a, b)| [(*a).to_owned(), (*b).to_owned()]));
        words
    };
    let set = |key: &str, bytes: usize| vec!["SET".to_owned(), key.to_owned(), "x".repeat(bytes)];
    // The average size of the vectors.
    let text: usize =
        (1..=100).map(|id| format!("{:?}", vector(id)).len() - 2 - (DIMENSION - 1)).sum();
    let kinds = [
        (users, hash("sparrow:new:{uf:__rand_int__}", &USER_FIELDS, &USER_VALUES)),
        (users, set("sparrow:new:{uEmb:__rand_int__}", text / 100)),
        (users, set("sparrow:new:{sparrow:ratings:__rand_int__}", 1 + 9 * RATINGS as usize)),
        (movies, hash("sparrow:new:{mf:__rand_int__}", &MOVIE_FIELDS, &MOVIE_VALUES)),
        (movies, set("sparrow:new:{i2vEmb:__rand_int__}", text / 100)),
        (movies, set("sparrow:new:{sparrow:movie:__rand_int__}", 99)),
    ];
    let mut stage = 0.0;
    for (count, words) in kinds {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        stage += f64::from(count) / benchmark(redis, count.max(20_000), &words);
    }
    // A rename needs an existing key: here to itself, which is cheaper than a real rename.
    redis.cli(&["SET", "there", "1"]);
    let renames = 3 * (users + movies);
    let rename = f64::from(renames) / benchmark(redis, renames, &["RENAME", "there", "there"]);
    redis.cli(&["FLUSHALL"]);
    (stage, rename)
}

struct Round {
    stage: f64,
    commit: f64,
    commands: BTreeMap<String, u64>,
}

async fn pushed(redis: &TestRedis, chunks: &[Vec<Entry>]) -> Round {
    let options = Options::default();
    let Location::Redis(location) = redis.url().parse().unwrap() else { unreachable!() };
    let store = RedisStore::open(&location, &options).unwrap();
    store.connected().await.unwrap();
    let chunks = chunks.to_vec();
    redis.cli(&["CONFIG", "RESETSTAT"]);
    let start = Instant::now();
    let mut push: Box<dyn Push> = store.push().await.unwrap();
    for chunk in chunks {
        push.put(chunk).await.unwrap();
    }
    let (stage, staged) = (start.elapsed(), Instant::now());
    push.commit().await.unwrap();
    let commit = staged.elapsed().saturating_sub(options.grace);
    let mut commands: BTreeMap<String, u64> = redis.command_calls().into_iter().collect();
    commands.retain(|name, _| !name.starts_with("config") && name != "info");
    Round { stage: stage.as_secs_f64(), commit: commit.as_secs_f64(), commands }
}

/// The memory usage of the keys of one user and one movie, and the total.
fn print_memory(redis: &TestRedis, users: u32, movies: u32) {
    let of = |key: &str| redis.cli(&["MEMORY", "USAGE", key]).parse::<u64>().unwrap();
    let user = ["uf:77", "uEmb:77", "sparrow:ratings:77"].map(of);
    let movie = ["mf:77", "i2vEmb:77", "sparrow:movie:77"].map(of);
    println!(
        "MEMORY USAGE: user {} bytes (features {}, vector of {DIMENSION} {}, {RATINGS} ratings {}); \
         movie {} bytes (features {}, vector {}, sums and 10 best ratings {})",
        user.iter().sum::<u64>(),
        user[0],
        user[1],
        user[2],
        movie.iter().sum::<u64>(),
        movie[0],
        movie[1],
        movie[2],
    );
    println!(
        "used_memory with {users} users and {movies} movies: {:.1} MiB",
        redis.info("used_memory") as f64 / 1_048_576.0
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() {
    let numbers: Vec<u32> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let (users, movies) = match numbers[..] {
        [users, movies, ..] => (users, movies),
        _ => (30_000, 10_000),
    };
    let redis = TestRedis::start(&[]);
    let chunks = entries(users, movies);
    let keys: usize = chunks.iter().map(Vec::len).sum();
    println!(
        "{users} users, {movies} movies: {keys} keys; {ROUNDS} rounds, redis-benchmark -P {PIPELINE} -c 8"
    );
    let mut figures: [Vec<[f64; 4]>; 2] = Default::default();
    for round in 1..=ROUNDS {
        let (stage, rename) = benchmark_time(&redis, users, movies);
        let ours = pushed(&redis, &chunks).await;
        // Over existing data, as most pushes are.
        let again = pushed(&redis, &chunks).await;
        if round == ROUNDS {
            print_memory(&redis, users, movies);
        }
        redis.cli(&["FLUSHALL"]);
        for (ours, figures) in [ours, again].iter().zip(&mut figures) {
            let commands: u64 = ours.commands.values().sum();
            let rate = commands as f64 / (ours.stage + ours.commit);
            println!(
                "round {round}: staged in {:.2} s, the rest of the commit {:.2} s without its grace period; {commands} commands, \
                 {rate:.0}/s; redis-benchmark: the same values {:.2} s, renames {:.2} s, {:.0} values/s",
                ours.stage,
                ours.commit,
                stage,
                rename,
                keys as f64 / stage,
            );
            let whole = rate / (keys as f64 / stage);
            figures.push([rate, whole, stage / ours.stage, rename / ours.commit]);
            if round == 1 {
                println!("  executed: {:?}", ours.commands);
            }
        }
    }
    for (name, figures) in ["into an empty store", "over existing data"].iter().zip(figures) {
        let [speed, whole, staging, committing] =
            [0, 1, 2, 3].map(|at| median(figures.iter().map(|figures| figures[at]).collect()));
        println!(
            "{name}, medians: {speed:.0} commands/s in total, {whole:.2} of redis-benchmark's rate with the same values; \
             of its rate phase by phase: staging {staging:.2}, the rest against renames of a key onto itself {committing:.2}"
        );
    }
}
