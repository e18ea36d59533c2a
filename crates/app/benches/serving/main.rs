//! Throughput and latency of "recommended for you", compared with a bare server:
//! `cargo bench -p sparrow-app --bench serving`.
//!
//! One run measures, in alternating rounds:
//!
//! * (a) `GET /getrecforyou` for random users of a data set of the size of ml-latest-small: 32 movies, ranked by
//!   `emb` (`--model`, `--movies`, `--dimension` and `--candidates` change this; several models are measured in turn);
//! * (b) a bare hyper server that returns the same number of bytes for every request;
//! * (c) the ratio of (a) to (b);
//! * (d) the requests for the first model to a server that reads its users from a redis-server on this machine;
//! * (e) the ratio of (d) to (a);
//! * (g) these requests if each user has 100 live ratings, and (h) if live data are not in Redis, and the ratios of (d) and
//!   (g) to (h): the cost of the overlay;
//! * (f) the requests for the first model to a server like (a) that counts nothing, and the ratio of (a) to (f): the cost of
//!   `[metrics]`.
//!
//! The load generator runs on a thread of the same process, so it shares the cores with all servers. Then the latency is
//! measured in an open loop, at half of the rate of (a).
//!
//! `--ranking` measures models on 62,000 movies instead: NeuralCF in process, with 800 candidates and with the whole
//! catalogue, and at a model server, which is also requested directly. It is TensorFlow if `SPARROW_TENSORFLOW` is a Python
//! interpreter that has it.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

#[path = "../../tests/integration/entries.rs"]
mod entries;
mod load;
mod models;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Response, body::Incoming};
use hyper_util::rt::TokioIo;
use sparrow_app::config::Store;
use sparrow_app::{Config, Running};
use sparrow_embed::{self as embed, Execution, item2vec};
use sparrow_engine::{Engine, Request};
use sparrow_fit as fit;
use sparrow_live::{Action, Limits, LiveStore as _, Write};
use sparrow_model::{Stars, UserId};
use sparrow_movielens::Source;
use sparrow_neural::{EmbeddingTable, ITEM_FILE, USER_FILE};
use sparrow_store::{Location, RedisLive};
use sparrow_synth as synth;
use sparrow_test_redis::TestRedis;
use sparrow_train as train;

use load::{Figures, Load};

/// The allocator of `sparrow-serve`.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Movies, users and ratings as in ml-latest-small.
const SIZE: synth::Size = synth::Size { users: 610, movies: 9742, ratings: 100_836 };

/// Measures the server against a bare hyper server.
#[derive(Debug, Parser)]
struct Arguments {
    /// Concurrent connections
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Rounds of each server
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds per round
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Connections of the server to Redis
    #[arg(long, default_value_t = Store::default().connections)]
    redis_connections: NonZeroUsize,
    /// The models that rank, such as emb,ease,blend; trained first by `sparrow-loader fit`, unless they need no training
    #[arg(long, value_delimiter = ',', default_value = "emb")]
    model: Vec<String>,
    /// Dimensions of the embeddings
    #[arg(long, default_value_t = item2vec::Options::default().dimension)]
    dimension: usize,
    /// Movies in the data set [default: 62,000 with --ranking, otherwise as in ml-latest-small]
    #[arg(long)]
    movies: Option<u32>,
    /// Compare NeuralCF in process and at a model server
    #[arg(long)]
    ranking: bool,
    /// Candidates per request; the number of movies ranks the whole catalogue
    #[arg(long, default_value_t = 800)]
    candidates: usize,
    /// Measure only the engine, without HTTP
    #[arg(long)]
    engine: bool,
    /// Cargo passes this
    #[arg(long, hide = true)]
    bench: bool,
}

#[expect(clippy::too_many_lines, reason = "the measurements in their order")]
fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let round = Duration::from_secs_f64(arguments.seconds);
    let folder = tempfile::tempdir()?;
    let usual = if arguments.ranking { 62_000 } else { SIZE.movies };
    let movies = arguments.movies.unwrap_or(usual);
    invent_data(folder.path(), synth::Size { movies, ..SIZE }, arguments.dimension)?;

    let runtime = tokio::runtime::Runtime::new()?;
    let mut config = Config::default();
    config.listen.set_port(0);
    config.data.path = Some(folder.path().to_owned());
    config.data.embeddings = Some(folder.path().to_owned());
    config.recall.candidates = arguments.candidates.try_into()?;
    let is_built_in = |model: &String| ["emb", "popularity"].contains(&model.as_str());
    if arguments.ranking {
        let options = train::Options::new(train::Method::NeuralCf);
        let reader = sparrow_movielens::Options::default();
        let out = folder.path().join("neuralcf");
        train::write(folder.path(), &out, &reader, &options, &mut ())?;
        config.ranking.models = Some(folder.path().to_owned());
        return models::compare(&arguments, folder.path(), &runtime, &config);
    }
    if !arguments.model.iter().all(is_built_in) {
        config.ranking.models = Some(folder.path().join("models"));
        fit_models(folder.path())?;
    }
    let engine = sparrow_app::load_engine(&config)?;
    for model in &arguments.model {
        runtime.block_on(engine_alone(&engine, model, arguments.rounds))?;
    }
    drop(engine);
    if arguments.engine {
        return Ok(());
    }
    let running = runtime.block_on(async {
        let mut running = sparrow_app::start(config.clone()).await?;
        println!("{}", running.loaded().await?);
        anyhow::Ok(running)
    })?;

    let paths = |model: &String| -> Vec<String> {
        let path = |user| format!("/getrecforyou?id={user}&size=32&model={model}");
        random_users(4096).map(path).collect()
    };
    let load = |model| Load::new(running.address, &paths(model), arguments.connections);
    let sparrow: Vec<Load> = arguments.model.iter().map(load).collect();
    let uncounted = runtime.block_on(async {
        let mut config = config.clone();
        config.admin.listen = None;
        config.metrics.enabled = false;
        let mut running = sparrow_app::start(config).await?;
        running.loaded().await?;
        anyhow::Ok(running)
    })?;
    let without_metrics =
        Load::new(uncounted.address, &paths(&arguments.model[0]), arguments.connections);
    without_metrics.closed_loop(round)?;
    let redis = TestRedis::start(&[]);
    let redis_id = redis.info("process_id").to_string();
    let on_redis = runtime.block_on(async {
        push(folder.path(), &redis.url()).await?;
        start_on_redis(&redis.url(), &arguments, config.clone()).await
    })?;
    let from_redis =
        Load::new(on_redis.address, &paths(&arguments.model[0]), arguments.connections);
    from_redis.closed_loop(round)?;
    let mut apart = config.clone();
    apart.live.path = Some(folder.path().join("live"));
    let live_apart = runtime.block_on(start_on_redis(&redis.url(), &arguments, apart))?;
    let with_live_apart =
        Load::new(live_apart.address, &paths(&arguments.model[0]), arguments.connections);
    with_live_apart.closed_loop(round)?;
    let redis_with_ratings = TestRedis::start(&[]);
    let with_ratings = runtime.block_on(async {
        push(folder.path(), &redis_with_ratings.url()).await?;
        rate(folder.path(), &redis_with_ratings.url()).await?;
        start_on_redis(&redis_with_ratings.url(), &arguments, config.clone()).await
    })?;
    let with_ratings_load =
        Load::new(with_ratings.address, &paths(&arguments.model[0]), arguments.connections);
    with_ratings_load.closed_loop(round)?;
    let first: Vec<Figures> =
        sparrow.iter().map(|load| load.closed_loop(round)).collect::<Result<_>>()?;
    let body = first[0].mean_body();
    let bare = runtime.block_on(bare_server(body))?;
    let bare = Load::new(bare, &["/".to_owned()], arguments.connections);
    bare.closed_loop(round)?;

    println!(
        "{} connections, {} rounds of {round:?} each in turn, answers of {body} bytes, {} cores",
        arguments.connections,
        arguments.rounds,
        std::thread::available_parallelism()?,
    );
    let mut all: Vec<Vec<Figures>> = sparrow.iter().map(|_| Vec::new()).collect();
    let (mut b, mut d, mut f) = (Vec::new(), Vec::new(), Vec::new());
    let (mut overlaid, mut plain) = (Vec::new(), Vec::new());
    let (mut a_cpu, mut d_cpu, mut redis_cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        for (index, (load, all)) in sparrow.iter().zip(&mut all).enumerate() {
            let before = processor_time("self");
            let figures = load.closed_loop(round)?;
            if index == 0 {
                a_cpu.push(figures.share_of(processor_time("self") - before));
            }
            all.push(figures);
            if index == 0 {
                f.push(without_metrics.closed_loop(round)?);
            }
        }

        b.push(bare.closed_loop(round)?);

        let (before, redis_before) = (processor_time("self"), processor_time(&redis_id));
        let figures = from_redis.closed_loop(round)?;
        d_cpu.push(figures.share_of(processor_time("self") - before));
        redis_cpu.push(figures.share_of(processor_time(&redis_id) - redis_before));
        d.push(figures);
        plain.push(with_live_apart.closed_loop(round)?);
        overlaid.push(with_ratings_load.closed_loop(round)?);
    }
    let ratio = |above: &[Figures], below: &[Figures]| {
        let pairs = above.iter().zip(below);
        spread(pairs.map(|(above, below)| above.rate() / below.rate()).collect(), 3)
    };
    report("(b) bare hyper", &b);
    for (model, a) in arguments.model.iter().zip(&all) {
        report(&format!("(a) getrecforyou by {model}"), a);
        println!("(c) ratio a / b, round by round: {}", ratio(a, &b));
    }
    let a = &all[0];
    report(&format!("(d) getrecforyou by {}, users in Redis", arguments.model[0]), &d);
    println!("(e) ratio d / a, round by round: {}", ratio(&d, a));
    report("(g) users in Redis with 100 live ratings each", &overlaid);
    report("(h) users in Redis, live data in a file", &plain);
    println!("ratio d / h, round by round: {}", ratio(&d, &plain));
    println!("ratio g / h, round by round: {}", ratio(&overlaid, &plain));
    report(&format!("(f) getrecforyou by {}, without metrics", arguments.model[0]), &f);
    println!("(f) ratio a / f, round by round: {}", ratio(a, &f));
    println!(
        "processor time a request, µs: (a) {:.0}; (d) {:.0}, and redis-server {:.0}; the load generator's included",
        median(a_cpu),
        median(d_cpu),
        median(redis_cpu)
    );

    let rate = median(a.iter().map(Figures::rate).collect()) / 2.0;
    let open = sparrow[0].open_loop(round * 2, rate)?;
    println!(
        "open loop at {rate:.0} requests/s: p50 {:?}, p99 {:?}, p99.9 {:?}",
        open.quantile(0.5),
        open.quantile(0.99),
        open.quantile(0.999)
    );
    runtime.block_on(async {
        running.stop().await;
        on_redis.stop().await;
        live_apart.stop().await;
        with_ratings.stop().await;
        uncounted.stop().await;
    });
    Ok(())
}

/// Pushes the data set to Redis.
async fn push(folder: &Path, url: &str) -> Result<()> {
    let table = |name: &str| {
        let bytes = std::fs::read(folder.join(name))?;
        anyhow::Ok(EmbeddingTable::read(&bytes[..], name)?)
    };
    let data = Source::open(folder)?.load(&sparrow_movielens::Options::default())?;
    let entries = entries::entries(&data.catalog, &table(ITEM_FILE)?, &table(USER_FILE)?);
    let store = sparrow_store::connect(&url.parse()?, &sparrow_store::Options::default()).await?;
    let mut push = store.push().await?;
    push.put(entries).await?;
    push.commit().await?;
    Ok(())
}

/// Records 100 live ratings of each user in Redis.
async fn rate(folder: &Path, url: &str) -> Result<()> {
    let data = Source::open(folder)?.load(&sparrow_movielens::Options::default())?;
    let Location::Redis(location) = url.parse()? else { anyhow::bail!("{url} is not Redis") };
    let live = RedisLive::open(&location, &sparrow_store::Options::default(), Limits::default())?;
    live.connected().await?;
    let movies = data.catalog.movies();
    for user in 1..=SIZE.users {
        let movie = |step: u32| movies[(user * 31 + step * 61) as usize % movies.len()].id;
        let rated = |step| {
            let action = Action::Rate(movie(step), Stars::LIKED);
            Write::new(UserId(user), action, 1_700_000_000 + step)
        };
        let writes: Vec<Write> = (0..100).map(rated).collect();
        for outcome in live.write(&writes).await {
            outcome?;
        }
    }
    Ok(())
}

/// Starts a server on a Redis with data, with otherwise the same configuration.
async fn start_on_redis(url: &str, arguments: &Arguments, mut config: Config) -> Result<Running> {
    config.data.embeddings = None;
    config.store.url = url.to_owned().try_into()?;
    config.store.connections = arguments.redis_connections;
    let mut running = sparrow_app::start(config).await?;
    println!("{}", running.loaded().await?);
    Ok(running)
}

/// Trains the models of a blend, the blend and NeuralCF into the folder `models`.
fn fit_models(folder: &Path) -> Result<()> {
    let start = Instant::now();
    let threads = std::thread::available_parallelism()?.get();
    let options = fit::Options {
        blend: sparrow_blend::fit::Options { threads, ..sparrow_blend::fit::Options::DEFAULT },
        vectors: Box::new(embed::ials::Ials::default()),
        neural_cf: train::Options::new(train::Method::NeuralCf),
        keep: None,
        force: false,
    };
    let reader = sparrow_movielens::Options::default();
    fit::write(folder, &folder.join("models"), &reader, &options, &mut |_| {})?;
    println!("models trained in {:.1?}", start.elapsed());
    Ok(())
}

/// A data set and its embeddings, both from fixed seeds.
fn invent_data(folder: &Path, size: synth::Size, dimension: usize) -> Result<()> {
    let start = Instant::now();
    let quiet = |_, _| {};
    synth::write(folder, &synth::Options { size, seed: 1, replace: true }, &quiet)?;
    let reader = sparrow_movielens::Options::default();
    let method = item2vec::Options { dimension, ..item2vec::Options::default() };
    embed::write(folder, Some(folder), &reader, &method, Execution::default(), None, &quiet)?;
    println!("data and embeddings invented in {:.1?}", start.elapsed());
    Ok(())
}

/// User ids in a pseudo-random order that is the same in every run (xorshift32, Marsaglia 2003).
fn random_users(count: usize) -> impl Iterator<Item = u32> {
    let mut state = 2_463_534_242_u32;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % SIZE.users + 1
    })
    .take(count)
}

/// Measures the engine on one thread: the median time of rounds over random users, and the processor time, which other
/// programs disturb less.
async fn engine_alone(engine: &Engine, model: &str, rounds: usize) -> Result<()> {
    let (mut recall, mut rank, mut total) = (Vec::new(), Vec::new(), Vec::new());
    let mut processor = Vec::new();
    for _ in 0..=rounds {
        let mut sums = [0.0; 3];
        let before = thread_time();
        for user in random_users(4096) {
            let request = Request { model: Some(model), ..Request::new(UserId(user)) };
            let timings = engine.recommend(&request).await?.timings;
            for (sum, time) in sums.iter_mut().zip([timings.recall, timings.rank, timings.total]) {
                *sum += time.as_secs_f64() * 1e6 / 4096.0;
            }
        }
        processor.push((thread_time() - before) * 1e6 / 4096.0);
        recall.push(sums[0]);
        rank.push(sums[1]);
        total.push(sums[2]);
    }
    println!("engine alone, {model}, µs a request: {}", spread(total, 1));
    println!("  of the processor {}", spread(processor, 1));
    println!("  recall {}, rank {}", spread(recall, 1), spread(rank, 1));
    Ok(())
}

/// A server that answers every request with the same number of bytes.
async fn bare_server(body: usize) -> Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let body = Bytes::from(vec![b'x'; body]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let body = body.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |_: hyper::Request<Incoming>| {
                    let body = body.clone();
                    async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer);
                // The load generator closes the connection at the end of a round.
                drop(connection.await);
            });
        }
    });
    Ok(address)
}

/// Processor time of a process in seconds; NaN if the system does not report it.
fn processor_time(process: &str) -> f64 {
    /// Linux reports hundredths of a second here.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The 12th and 13th field after the name, which is in parentheses and may contain any characters.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    match ticks[..] {
        [user, system] => (user + system) / TICKS,
        _ => f64::NAN,
    }
}

/// Processor time of this thread in seconds; NaN if the system does not report it.
fn thread_time() -> f64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split(' ').next().and_then(|text| text.parse::<f64>().ok());
    nanoseconds.map_or(f64::NAN, |nanoseconds| nanoseconds / 1e9)
}

fn report(name: &str, rounds: &[Figures]) {
    let quantile = |q| {
        let times = rounds.iter().map(|figures| figures.quantile(q).as_secs_f64() * 1e6);
        median(times.collect())
    };
    println!(
        "{name}: requests/s {}; p50 {:.0} µs, p99 {:.0} µs (medians of the rounds)",
        spread(rounds.iter().map(Figures::rate).collect(), 0),
        quantile(0.5),
        quantile(0.99)
    );
    let rejected: u64 = rounds.iter().map(Figures::rejected).sum();
    if rejected > 0 {
        println!("  {rejected} requests were answered 503: other programs use the processor");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn spread(values: Vec<f64>, digits: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(0.0, f64::max);
    format!("{:.digits$} (median; from {least:.digits$} to {greatest:.digits$})", median(values))
}
