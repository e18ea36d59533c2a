//! Throughput and latency of "recommended for you", beside a server that does nothing:
//! `cargo bench -p sparrow-app --bench serving`.
//!
//! In one run, on one machine, round by round in turn: (a) `GET /getrecforyou` for random users of a
//! data set of the size of ml-latest-small, 800 candidates ranked by `emb` (others with `--model`, `--movies` and
//! `--candidates`), 32 movies answered; (b) a
//! bare hyper server that answers as many bytes, whatever is asked; and (c) their ratio. The load
//! generator runs in the same process on a thread of its own, so it shares the cores with the server,
//! in both cases alike. Then latency at a fixed rate of half of what (a) reached (open loop: a late answer
//! does not hold up the next request, and its waiting counts).
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

mod load;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Response, body::Incoming};
use hyper_util::rt::TokioIo;
use sparrow_app::Config;
use sparrow_engine::{Engine, Request};
use sparrow_model::UserId;
use sparrow_offline::{embed, item2vec, synth, train};

use load::{Figures, Load};

/// Movies, users and ratings as in ml-latest-small.
const SIZE: synth::Size = synth::Size { users: 610, movies: 9742, ratings: 100_836 };

/// Measures the server against a bare hyper server.
#[derive(Debug, Parser)]
struct Arguments {
    /// Connections at once
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Rounds of each server
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds a round
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// The model that ranks: emb, popularity or neuralcf, which is trained first
    #[arg(long, default_value = "emb")]
    model: String,
    /// Movies in the data set
    #[arg(long, default_value_t = SIZE.movies)]
    movies: u32,
    /// Candidates that are ranked for a request; at least as many as there are movies: all
    #[arg(long, default_value_t = 800)]
    candidates: usize,
    /// Only the engine, without HTTP
    #[arg(long)]
    engine: bool,
    /// Cargo passes this
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let round = Duration::from_secs_f64(arguments.seconds);
    let folder = tempfile::tempdir()?;
    invent_data(folder.path(), synth::Size { movies: arguments.movies, ..SIZE })?;

    let runtime = tokio::runtime::Runtime::new()?;
    let mut config = Config::default();
    config.listen.set_port(0);
    config.data.path = Some(folder.path().to_owned());
    config.data.embeddings = Some(folder.path().to_owned());
    config.recall.candidates = arguments.candidates.try_into()?;
    if arguments.model == "neuralcf" {
        let options = train::Options::new(train::Method::NeuralCf);
        let reader = sparrow_movielens::Options::default();
        let out = folder.path().join("neuralcf");
        train::write(folder.path(), &out, &reader, &options, &mut ())?;
        config.models.path = Some(folder.path().to_owned());
    }
    let model = &*arguments.model;
    runtime.block_on(engine_alone(&sparrow_app::load_engine(&config)?, model, arguments.rounds))?;
    if arguments.engine {
        return Ok(());
    }
    let running = runtime.block_on(async {
        let mut running = sparrow_app::start(config).await?;
        println!("{}", running.loaded().await?);
        anyhow::Ok(running)
    })?;

    let paths: Vec<String> = random_users(4096)
        .map(|user| format!("/getrecforyou?id={user}&size=32&model={model}"))
        .collect();
    let sparrow = Load::new(running.address, &paths, arguments.connections);
    let first = sparrow.closed_loop(round)?;
    let body = first.mean_body();
    let bare = runtime.block_on(bare_server(body))?;
    let bare = Load::new(bare, &["/".to_owned()], arguments.connections);
    bare.closed_loop(round)?;

    println!(
        "{} connections, {} rounds of {round:?} each in turn, answers of {body} bytes, {} cores",
        arguments.connections,
        arguments.rounds,
        std::thread::available_parallelism()?,
    );
    let (mut a, mut b, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        a.push(sparrow.closed_loop(round)?);
        b.push(bare.closed_loop(round)?);
        ratios.extend(a.last().zip(b.last()).map(|(a, b)| a.rate() / b.rate()));
    }
    report("(a) getrecforyou", &a);
    report("(b) bare hyper", &b);
    println!("(c) ratio a / b, round by round: {}", spread(ratios, 3));

    let rate = median(a.iter().map(Figures::rate).collect()) / 2.0;
    let open = sparrow.open_loop(round * 2, rate)?;
    println!(
        "open loop at {rate:.0} requests/s: p50 {:?}, p99 {:?}, p99.9 {:?}",
        open.quantile(0.5),
        open.quantile(0.99),
        open.quantile(0.999)
    );
    runtime.block_on(running.stop());
    Ok(())
}

/// A data set and its embeddings, both from fixed seeds.
fn invent_data(folder: &Path, size: synth::Size) -> Result<()> {
    let start = Instant::now();
    let quiet = |_, _| {};
    synth::write(folder, &synth::Options { size, seed: 1, replace: true }, &quiet)?;
    let reader = sparrow_movielens::Options::default();
    embed::write(folder, folder, &reader, &item2vec::Options::default(), &quiet)?;
    println!("data and embeddings invented in {:.1?}", start.elapsed());
    Ok(())
}

/// User ids in an order without pattern, the same in every run (xorshift32, Marsaglia 2003).
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

/// What the engine takes for a request, on one thread: medians of rounds over random users.
async fn engine_alone(engine: &Engine, model: &str, rounds: usize) -> Result<()> {
    let (mut recall, mut rank, mut total) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..=rounds {
        let mut sums = [0.0; 3];
        for user in random_users(4096) {
            let request = Request { model: Some(model), ..Request::new(UserId(user)) };
            let timings = engine.recommend(&request).await?.timings;
            for (sum, time) in sums.iter_mut().zip([timings.recall, timings.rank, timings.total]) {
                *sum += time.as_secs_f64() * 1e6 / 4096.0;
            }
        }
        recall.push(sums[0]);
        rank.push(sums[1]);
        total.push(sums[2]);
    }
    println!("engine alone, µs a request: {}", spread(total, 1));
    println!("  recall {}, rank {}", spread(recall, 1), spread(rank, 1));
    Ok(())
}

/// Answers every request with the same number of bytes, and does nothing else.
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
                // The load generator hangs up at the end of a round.
                drop(connection.await);
            });
        }
    });
    Ok(address)
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
