use std::ffi::OsString;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use clap::Parser;
use sparrow_engine::Engine;
use sparrow_http::{Cors, Options, Server, Snapshot, SnapshotOptions};
use sparrow_process::terminal::{self, USAGE};
use sparrow_process::{Signals, Stream};
use sparrow_rank::State;
use sparrow_store::{FeatureStore, GuardOptions, Guarded};
use sparrow_user_state::StoreReader;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::admin::{self, Admin};
use crate::cli::Cli;
use crate::config::Config;
use crate::load::load;
use crate::models::Registry;
use crate::{files, listen, refresh, telemetry};

/// How long the end of a process waits for the readers of its output.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The whole of the binary: reads the command line and the environment, serves until SIGTERM or
/// SIGINT, and says on standard error what went wrong.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return terminal::print_clap_result(&error),
    };
    // What is not Unicode can be neither one of our keys nor one of their values.
    let environment = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let config = match Config::layered(cli.config.as_deref(), environment, &cli.settings()) {
        Ok(config) => config,
        Err(error) => return fail(&anyhow::Error::new(error), USAGE),
    };
    if cli.print_config {
        // Nobody may be reading there, and that is no reason to fail.
        let _ = stdout().write_all(config.to_toml().as_bytes());
        return ExitCode::SUCCESS;
    }
    let streams = match Streams::new() {
        Ok(streams) => streams,
        Err(error) => return fail(&error, 1),
    };
    match serve(&config, &streams) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            streams.errors.send(terminal::error(format_args!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Standard output and error of a process that must not wait for their readers.
struct Streams {
    output: Stream,
    errors: Stream,
}

impl Streams {
    fn new() -> Result<Self> {
        let output = Stream::stdout(|_| {}).context("cannot use standard output")?;
        let errors = Stream::stderr(telemetry::report_lost).context("cannot use standard error")?;
        Ok(Self { output, errors })
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        for stream in [&self.output, &self.errors] {
            stream.finish(LAST_WORDS);
        }
    }
}

fn serve(config: &Config, streams: &Streams) -> Result<()> {
    let telemetry = telemetry::start(&config.log, &streams.errors)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let outcome = runtime.block_on(serve_until_signal(config, &streams.output));
    // A thread may still be reading files; the process need not wait for it.
    runtime.shutdown_background();
    drop(telemetry);
    outcome.inspect(|()| tracing::info!("stopped"))
}

async fn serve_until_signal(config: &Config, output: &Stream) -> Result<()> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let mut running = start(config.clone()).await?;
    let to_open = listen::to_open(running.address);
    let data = config.data.path.as_ref();
    output.send(format!(
        "Loading {}; http://{to_open} answers when it is ready (Ctrl-C stops it)\n",
        data.map_or("the demonstration set".to_owned(), |path| path.display().to_string())
    ));
    tokio::select! {
        biased;
        loaded = running.loaded() => {
            let summary = loaded?;
            output.send(format!("Ready: {summary}. Open http://{to_open} in a browser.\n"));
            tokio::select! {
                _ = signals.next() => {}
                broken = running.broken() => return Err(broken),
            }
        }
        _ = signals.next() => {}
    }
    tracing::info!(
        "stopping: finishing requests in flight; a signal after more than a second stops at once"
    );
    tokio::select! {
        () = running.stop() => Ok(()),
        _ = signals.next() => Err(anyhow::anyhow!("a second signal: stopped at once")),
    }
}

/// A server that runs in this process.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    admin: Option<Admin>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    loading: Option<oneshot::Receiver<Result<String>>>,
    /// Loads, and keeps in step with a store and with model folders.
    loader: Upkeep,
    /// Looks after model servers.
    servers: Upkeep,
}

/// A task that ends with the server.
#[derive(Debug)]
struct Upkeep(JoinHandle<()>);

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Running {
    /// Where the admin port is, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// Waits until everything is loaded and the server ready; a summary of what is served, or why it
    /// cannot be. To be awaited once.
    pub async fn loaded(&mut self) -> Result<String> {
        let Some(loading) = &mut self.loading else { return Ok("loaded before".to_owned()) };
        let outcome = loading.await.context("loading was cut off")?;
        self.loading = None;
        outcome
    }

    /// Waits until a part of the server that works as long as the server does has ended, and returns
    /// why: the server can no longer be relied on. Never, if all goes well; not to be awaited once it has
    /// returned.
    ///
    /// Cancel safe. To be awaited after [`Running::loaded`], whose failure is not one of these.
    pub async fn broken(&mut self) -> anyhow::Error {
        let (part, ended) = tokio::select! {
            ended = &mut self.serving => ("serving connections", ended),
            ended = &mut self.loader.0 => ("following data and models", ended),
            ended = &mut self.servers.0 => ("checking model servers", ended),
        };
        match ended {
            Ok(()) => anyhow::anyhow!("{part} has ended"),
            Err(error) => anyhow::Error::new(error).context(format!("{part} has failed")),
        }
    }

    /// Stops accepting, finishes requests in flight within the configured time, and cuts the rest.
    pub async fn stop(self) {
        // The admin port closes last.
        let Self { stop, serving, loader, servers, admin: _admin, .. } = self;
        drop((loader, servers));
        // An error means that the server has stopped by itself.
        let _ = stop.send(());
        if let Err(error) = serving.await {
            tracing::error!(error = &error as &dyn std::error::Error, "the server broke off");
        }
    }
}

/// Starts a server: it listens at once, and is ready when [`Running::loaded`] says so.
pub async fn start(config: Config) -> Result<Running> {
    let store = crate::store::open(&config.store)?;
    start_from(config, store).await
}

/// The same with a feature store that the caller brings, whatever the configuration says of one.
pub async fn start_with_store(config: Config, store: Arc<dyn FeatureStore>) -> Result<Running> {
    start_from(config, Some(store)).await
}

#[expect(clippy::unused_async, reason = "the listener and the tasks need an async runtime")]
async fn start_from(config: Config, store: Option<Arc<dyn FeatureStore>>) -> Result<Running> {
    if let Some(folder) = &config.data.posters {
        ensure!(folder.is_dir(), "the posters folder {} is not there", folder.display());
    }
    let registry = Arc::new(Registry::new(&config)?);
    let hosts = config.server.allowed_hosts(config.listen).map_err(Error::msg)?;
    let cors = Cors::new(config.cors.origins.iter().map(String::as_str)).map_err(Error::msg)?;
    let listener = listen::bind(config.listen).with_context(|| {
        format!("cannot listen on {} (--listen chooses another)", config.listen)
    })?;
    let address = listener.local_addr().context("the listener has no address")?;
    let room = files::room_for(config.server.max_connections.get());
    let server = Arc::new(Server::new(Options {
        header_timeout: config.server.header_timeout,
        body_timeout: config.server.body_timeout,
        idle_timeout: config.server.idle_timeout,
        write_timeout: config.server.write_timeout,
        request_timeout: config.server.request_timeout,
        drain_delay: config.server.drain_delay,
        shutdown_timeout: config.server.shutdown_timeout,
        answer_timeout: config.server.answer_timeout,
        max_connections: room.connections,
        max_refusals: room.refusals,
        max_admin_connections: room.admin,
        max_connections_per_address: config.server.max_connections_per_address,
        max_bytes_in_flight: config.server.max_bytes_in_flight.0,
        max_rankings: config.server.max_rankings,
        hosts,
        cors,
        ..Options::default()
    }));
    let admin = admin::start(config.admin.listen, &server);
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn({
        let server = Arc::clone(&server);
        async move {
            // A dropped sender stops the server too.
            let shutdown = async { drop(stopped.await) };
            let outcome = server.serve(listener, shutdown).await;
            tracing::info!(cut = outcome.cut, "connections are closed");
        }
    });
    let servers = tokio::spawn({
        let registry = Arc::clone(&registry);
        async move { registry.maintain_servers().await }
    });
    let (report, loading) = oneshot::channel();
    let loader = match store {
        Some(store) => {
            let options =
                GuardOptions { deadline: config.store.deadline, ..GuardOptions::default() };
            let reader = Arc::new(StoreReader::new(Arc::new(Guarded::new(store, options))));
            tokio::spawn(refresh::run(config, registry, reader, server, report))
        }
        None => tokio::spawn(async move {
            let models = Arc::clone(&registry);
            let load = spawn_blocking(move || load_files(config, &models, &server));
            let outcome = load.await.context("loading was cut off").flatten();
            let loaded = outcome.is_ok();
            // Nobody may be waiting for the outcome.
            let _ = report.send(outcome);
            if loaded {
                registry.watch().await;
            }
        }),
    };
    let (loader, servers) = (Upkeep(loader), Upkeep(servers));
    Ok(Running { address, admin, stop, serving, loading: Some(loading), loader, servers })
}

/// Loads everything from files, and publishes it.
fn load_files(config: Config, registry: &Registry, server: &Server) -> Result<String> {
    let engine = load(&config, registry)?;
    let summary = summary(&engine);
    let options = SnapshotOptions { posters: config.data.posters, ..SnapshotOptions::default() };
    server.publish(Arc::new(Snapshot::new(Arc::new(engine), options)));
    Ok(summary)
}

fn summary(engine: &Engine) -> String {
    let catalog = engine.catalog();
    let models: Vec<String> = engine
        .models()
        .into_iter()
        .filter(|model| model.status.state == State::Ready)
        .map(|model| model.name.to_string())
        .collect();
    format!(
        "{} movies, {} users, {} ratings; models: {}",
        catalog.len(),
        catalog.users().len(),
        catalog.users().rating_count(),
        models.join(", ")
    )
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    terminal::print_error(format_args!("{error:#}"));
    ExitCode::from(code)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    async fn running() -> Running {
        let config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() };
        let mut running = start(config).await.unwrap();
        running.loaded().await.unwrap();
        running
    }

    #[tokio::test]
    async fn a_part_that_ends_by_itself_is_noticed() {
        for (place, name) in ["serving", "following", "checking"].into_iter().enumerate() {
            let mut running = running().await;
            [&running.serving, &running.loader.0, &running.servers.0][place].abort();
            let error = format!("{:#}", running.broken().await);
            assert!(error.starts_with(name) && error.contains("has failed: task"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_server_without_models_to_watch_is_not_broken() {
        let mut running = running().await;
        let wait = tokio::time::timeout(Duration::from_millis(100), running.broken());
        assert!(wait.await.is_err());
        running.stop().await;
    }
}
