//! A load generator for HTTP/1.1 on kept-alive connections. It takes little processor time beside the server that it
//! measures.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Address, targets and number of connections of a load.
pub(crate) struct Load {
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    connections: usize,
}

/// The results of a round.
pub(crate) struct Figures {
    answers: u64,
    /// Requests that were answered 503, because rankings took long: other programs use the processor. They do not count as
    /// answers.
    rejected: u64,
    body_bytes: u64,
    elapsed: Duration,
    /// The latencies, in nanoseconds.
    latencies: Histogram<u64>,
}

impl Figures {
    pub(crate) fn rate(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }

    /// The time per answer over this many seconds, in microseconds.
    pub(crate) fn share_of(&self, seconds: f64) -> f64 {
        seconds * 1e6 / self.answers as f64
    }

    pub(crate) const fn rejected(&self) -> u64 {
        self.rejected
    }

    pub(crate) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latencies.value_at_quantile(quantile))
    }

    pub(crate) fn mean_body(&self) -> usize {
        (self.body_bytes / self.answers.max(1)) as usize
    }
}

impl Load {
    pub(crate) fn new(address: SocketAddr, paths: &[String], connections: usize) -> Self {
        let request = |path| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes();
        Self::of(address, paths.iter().map(request).collect(), connections)
    }

    /// The same load with complete requests, head and body.
    pub(crate) fn of(address: SocketAddr, requests: Vec<Vec<u8>>, connections: usize) -> Self {
        Self { address, requests, connections }
    }

    /// Closed loop: each connection sends the next request when it has received the answer.
    pub(crate) fn closed_loop(&self, time: Duration) -> Result<Figures> {
        self.run(time, None)
    }

    /// Open loop: requests are due at a fixed rate, distributed over the connections. Latency counts from the time at which
    /// a request is due.
    pub(crate) fn open_loop(&self, time: Duration, rate: f64) -> Result<Figures> {
        self.run(time, Some(Duration::from_secs_f64(self.connections as f64 / rate)))
    }

    fn run(&self, time: Duration, interval: Option<Duration>) -> Result<Figures> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut streams = Vec::new();
            for _ in 0..self.connections {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                streams.push(stream);
            }
            let start = Instant::now();
            let mut tasks = tokio::task::JoinSet::new();
            for (index, stream) in streams.into_iter().enumerate() {
                let turns = self.requests.len().div_ceil(self.connections);
                let requests: Vec<Vec<u8>> = (0..turns)
                    .map(|turn| (turn * self.connections + index) % self.requests.len())
                    .map(|at| self.requests[at].clone())
                    .collect();
                let offset = interval.map(|interval| interval * index as u32 / turns.max(1) as u32);
                tasks.spawn(connection(
                    stream,
                    requests,
                    start + time,
                    interval.zip(offset).map(|(interval, offset)| (start + offset, interval)),
                ));
            }
            let mut all = Figures {
                answers: 0,
                rejected: 0,
                body_bytes: 0,
                elapsed: Duration::ZERO,
                latencies: Histogram::new(3)?,
            };
            while let Some(figures) = tasks.join_next().await {
                let figures = figures??;
                all.answers += figures.answers;
                all.rejected += figures.rejected;
                all.body_bytes += figures.body_bytes;
                all.latencies.add(&figures.latencies)?;
            }
            all.elapsed = start.elapsed();
            Ok(all)
        })
    }
}

/// Sends requests on one connection until `end`. `schedule` is the time of the first request, and the interval of the
/// others.
async fn connection(
    mut stream: TcpStream,
    requests: Vec<Vec<u8>>,
    end: Instant,
    schedule: Option<(Instant, Duration)>,
) -> Result<Figures> {
    let mut figures = Figures {
        answers: 0,
        rejected: 0,
        body_bytes: 0,
        elapsed: Duration::ZERO,
        latencies: Histogram::new(3)?,
    };
    let mut buffer = vec![0; 1 << 18];
    for (turn, request) in requests.iter().cycle().enumerate() {
        let mut due = Instant::now();
        if let Some((first, interval)) = schedule {
            due = first + interval.mul_f64(turn as f64);
            tokio::time::sleep_until(due.into()).await;
        }
        if due >= end {
            break;
        }
        stream.write_all(request).await?;
        let Some(body) = answer(&mut stream, &mut buffer).await? else {
            figures.rejected += 1;
            continue;
        };
        figures.body_bytes += body as u64;
        figures.latencies.record(due.elapsed().as_nanos() as u64)?;
        figures.answers += 1;
    }
    Ok(figures)
}

/// Reads one answer and returns the length of its body; `None` for status 503.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<Option<usize>> {
    let (mut filled, mut rejected) = (0, false);
    let mut whole = None;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "the server hung up, or its answer is over {} bytes", buffer.len());
        filled += read;
        if whole.is_none() {
            let Some(end) = head_end(&buffer[..filled]) else { continue };
            let head = str::from_utf8(&buffer[..end])?;
            rejected = head.starts_with("HTTP/1.1 503 ");
            ensure!(rejected || head.starts_with("HTTP/1.1 200 "), "not a success: {head}");
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .context("an answer without content-length")?;
            whole = Some((end, length.1.trim().parse::<usize>()?));
        }
        if let Some((end, body)) = whole
            && filled >= end + body
        {
            return Ok((!rejected).then_some(body));
        }
    }
}

/// The offset of the body.
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}
