use std::ffi::OsString;
use std::io::{self, Write, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory as _;
use sparrow_http::{Cors, ExposureCounts, Operations, Options, Server, Snapshot, SnapshotOptions};
use sparrow_live::Consumers;
use sparrow_process::command_line::parse;
use sparrow_process::terminal::{self, USAGE};
use sparrow_process::{Signals, Stream};
use sparrow_store::FeatureStore;
use sparrow_user_state::{LiveSource, StoreReader};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::Error;
use crate::admin::{self, Admin};
use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::error::Chain;
use crate::follow::{self, Publisher};
use crate::load::{check_posters, load};
use crate::models::Registry;
use crate::reload::{self, Reload, Source};
use crate::summary::summary;
use crate::tls::Tls;
use crate::{access_log, auth, check, file_limit, listen, live, refresh, store, telemetry};

/// The time limit for writing remaining output at the end of the process.
const FINAL_OUTPUT: Duration = Duration::from_millis(500);

/// Runs the binary: parses the command line and the environment, serves until SIGTERM or SIGINT, and reports errors on
/// standard error. `version` is what `--version` prints after the name.
pub fn main(
    version: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let Cli { settings, print_config, command } = match parse(arguments, version) {
        Ok(cli) => cli,
        Err(error) => return terminal::print_clap_result(&error),
    };
    let program = || Cli::command().long_version(version);
    let (settings, checks) = match command {
        Some(Command::Key { name, scopes }) => {
            return match auth::new_key(&name, &scopes) {
                Ok(text) => {
                    // A closed pipe is not a failure.
                    let _ = stdout().write_all(text.as_bytes());
                    ExitCode::SUCCESS
                }
                Err(error) => fail(&error, USAGE),
            };
        }
        Some(Command::Completions(completions)) => return end(completions.run(program())),
        Some(Command::Man(man)) => return end(man.run(program())),
        Some(Command::Check(settings)) => (*settings, true),
        None => (settings, false),
    };
    // Variables that are not Unicode cannot be keys or values of the configuration.
    let environment = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let environment: Vec<(String, String)> = environment.collect();
    let (file, flags) = (settings.config.clone(), settings.keys());
    let source = {
        let file = file.clone();
        move || Config::layered(file.as_deref(), environment.iter().cloned(), &flags)
    };
    let config = source();
    if checks {
        return check::run(file.as_deref(), config);
    }
    let config = match config {
        Ok(config) => config,
        Err(error) => return fail(&error, USAGE),
    };
    if print_config {
        // A closed pipe is not a failure.
        let _ = stdout().write_all(config.to_toml().as_bytes());
        return ExitCode::SUCCESS;
    }
    let streams = match Streams::new() {
        Ok(streams) => streams,
        Err(error) => return fail(&error, 1),
    };
    match serve(&config, Box::new(source), &streams) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            streams.errors.send(terminal::error(Chain(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Non-blocking standard output and error.
struct Streams {
    output: Stream,
    errors: Stream,
}

impl Streams {
    fn new() -> Result<Self, Error> {
        let output = Stream::stdout(|_| {}).map_err(Error::system("use standard output"))?;
        let errors =
            Stream::stderr(telemetry::report_lost).map_err(Error::system("use standard error"))?;
        Ok(Self { output, errors })
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        for stream in [&self.output, &self.errors] {
            stream.finish(FINAL_OUTPUT);
        }
    }
}

fn serve(config: &Config, source: Source, streams: &Streams) -> Result<(), Error> {
    let telemetry =
        telemetry::start(&config.log, &config.tracing, env!("CARGO_PKG_VERSION"), &streams.errors)?;
    let runtime =
        tokio::runtime::Runtime::new().map_err(Error::system("start the async runtime"))?;
    let operations = Operations {
        configuration: None,
        log_filter: Some(telemetry.filter()),
        access_log: access_log::open(&config.access_log, &streams.output)?,
        trace_sample: telemetry.exports_spans().then_some(config.tracing.sample),
    };
    // With an access log, standard output has nothing else.
    let has_log = operations.access_log.is_some();
    let output = if has_log { &streams.errors } else { &streams.output };
    let outcome = runtime.block_on(serve_until_signal(config, source, output, operations));
    // A thread may still be reading files, and the process does not wait for it.
    runtime.shutdown_background();
    drop(telemetry);
    outcome.inspect(|()| tracing::info!("stopped"))
}

async fn serve_until_signal(
    config: &Config,
    source: Source,
    output: &Stream,
    operations: Operations,
) -> Result<(), Error> {
    let mut signals = Signals::listen().map_err(Error::system("listen for signals"))?;
    let store = store::open(config)?;
    let mut running = start_from(config.clone(), store, Some(source), operations).await?;
    let scheme = if config.tls.is_configured() { "https" } else { "http" };
    let browser = format!("{scheme}://{}", listen::browser_address(running.address));
    let data = config.data.path.as_ref();
    output.send(format!(
        "Loading {}; {browser} answers when it is ready (Ctrl-C stops it)\n",
        data.map_or("the demonstration set".to_owned(), |path| path.display().to_string())
    ));
    tokio::select! {
        biased;
        loaded = running.loaded() => {
            let summary = loaded?;
            let base = &config.server.base_path;
            output.send(format!("Ready: {summary}. Open {browser}{base} in a browser.\n"));
            output.send(format!("{}\n", running.live));
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
        _ = signals.next() => Err(Error::SecondSignal),
    }
}

/// A server that runs in this process.
#[derive(Debug)]
pub struct Running {
    /// The address on which it listens.
    pub address: SocketAddr,
    /// Where ratings and events are kept, as a sentence.
    pub live: String,
    admin: Option<Admin>,
    reload: Arc<Reload>,
    server: Arc<Server>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    loading: Option<oneshot::Receiver<Result<String, Error>>>,
    /// Loads data, and follows the store and the model folders.
    loader: ServerTask,
    /// Follows the configuration and the files with keys.
    reloader: ServerTask,
    /// Probes model servers.
    servers: ServerTask,
    /// Follows ratings and events.
    follower: ServerTask,
}

/// A task that is aborted with the server.
#[derive(Debug)]
struct ServerTask(JoinHandle<()>);

impl Drop for ServerTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Running {
    /// The address of the admin port, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// The numbers of exposures of experiments since the start.
    pub fn exposure_counts(&self) -> ExposureCounts {
        self.server.exposure_counts()
    }

    /// Waits until the data are loaded and the server is ready. Returns a summary of the data. To be awaited once.
    pub async fn loaded(&mut self) -> Result<String, Error> {
        let Some(loading) = &mut self.loading else { return Ok("loaded before".to_owned()) };
        let outcome = loading.await.map_err(|_| Error::Interrupted(None))?;
        self.loading = None;
        outcome
    }

    /// Puts those keys of a configuration in force that take effect without a restart: `auth`, `experiments` and
    /// `log.filter`. Reads the files with keys and the certificate again. Requests in flight keep what they have. After an error,
    /// everything stays.
    pub fn reload(&self, config: &Config) -> Result<(), Error> {
        self.reload.apply(config)
    }

    /// Reads the files with keys again and puts the credentials in force, from the next request on. After an error, the
    /// earlier ones stay.
    pub fn reload_auth(&self) -> Result<(), Error> {
        self.reload.reload_auth()
    }

    /// Waits until a task that should run as long as the server has ended, and returns why. A healthy server never returns
    /// from this.
    ///
    /// Cancel safe. To be awaited after [`Running::loaded`] has succeeded, and not again after it has returned.
    pub async fn broken(&mut self) -> Error {
        let (part, ended) = tokio::select! {
            ended = &mut self.serving => ("serving connections", ended),
            ended = &mut self.loader.0 => ("following data and models", ended),
            ended = &mut self.servers.0 => ("checking model servers", ended),
            ended = &mut self.follower.0 => ("watching ratings and events", ended),
        };
        Error::Ended { part, source: ended.err() }
    }

    /// Stops accepting connections, finishes requests in flight within the configured time, and closes the others.
    pub async fn stop(self) {
        // The admin port closes last.
        let Self { stop, serving, loader, servers, reloader, follower, admin: _admin, .. } = self;
        drop((loader, servers, reloader, follower));
        // Fails if the server has already stopped.
        let _ = stop.send(());
        if let Err(error) = serving.await {
            tracing::error!(error = &error as &dyn std::error::Error, "the server has failed");
        }
    }
}

/// Starts a server. It listens when this returns, and is ready when [`Running::loaded`] has returned.
pub async fn start(config: Config) -> Result<Running, Error> {
    let store = store::open(&config)?;
    start_from(config, store, None, Operations::default()).await
}

/// The same with a feature store of the caller, instead of the configured one.
pub async fn start_with_store(
    config: Config,
    store: Arc<dyn FeatureStore>,
) -> Result<Running, Error> {
    let reader = store::reader(&config.store, store);
    start_from(config, Some(reader), None, Operations::default()).await
}

#[expect(clippy::unused_async, reason = "the listener and the tasks need an async runtime")]
async fn start_from(
    config: Config,
    store: Option<StoreReader>,
    source: Option<Source>,
    operations: Operations,
) -> Result<Running, Error> {
    check_posters(&config)?;
    let registry = Arc::new(Registry::new(&config)?);
    let hosts = config.server.allowed_hosts(config.listen).map_err(Error::Setting)?;
    let proxies = config.server.proxies().map_err(Error::Setting)?;
    let base_path = config.server.base_path().map_err(Error::Setting)?;
    let cors = Cors::new(config.cors.origins.iter().map(String::as_str)).map_err(Error::Setting)?;
    let tls = Tls::open(&config.tls)?;
    let listener = listen::bind(config.listen)
        .map_err(|source| Error::Listen { address: config.listen, source })?;
    let address =
        listener.local_addr().map_err(Error::system("find the address of the listener"))?;
    let accepts_writes = config.live.open_writes || address.ip().is_loopback();
    let auth = auth::load(&config)?;
    let is_writable = accepts_writes || auth.is_configured();
    let live_source = live::open(&config)?;
    let live = live::description(&live_source, is_writable);
    if !is_writable {
        tracing::warn!("read-only: the server listens beyond loopback and has no keys ([auth])");
    }
    let limits = limits(&config);
    let options = Options { hosts, base_path, proxies, cors, accepts_writes, auth, ..limits };
    let server = Arc::new(Server::new(options));
    server.set_experiments(config.experiments.in_force());
    let log_filter = operations.log_filter.clone();
    server.operate(operations);
    if let Some(tls) = tls.clone() {
        server.set_tls(tls);
    }
    let reload = Reload::new(source, config.clone(), Arc::clone(&server), log_filter, tls);
    let reload = Arc::new(reload);
    let admin = admin::start(config.admin.listen, &server);
    let publisher = Arc::new(Publisher::new(Arc::clone(&server)));
    let consumers = Arc::new(Consumers::default());
    let projects = config.live.project && store.as_ref().is_some_and(StoreReader::has_live_data);
    let following = follow::run(
        Arc::clone(&publisher),
        Arc::clone(&live_source.store),
        Arc::clone(&consumers),
        projects,
    );
    let follower = ServerTask(tokio::spawn(following));
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn({
        let server = Arc::clone(&server);
        async move {
            // Dropping the sender stops the server too.
            let shutdown = async { drop(stopped.await) };
            let outcome = server.serve(listener, shutdown).await;
            tracing::info!(cut = outcome.cut, "connections are closed");
        }
    });
    let servers = tokio::spawn({
        let registry = Arc::clone(&registry);
        async move { registry.maintain_servers().await }
    });
    let serving_here = Arc::clone(&server);
    let reloader = tokio::spawn(reload::follow(Arc::clone(&reload)));
    let (report, loading) = oneshot::channel();
    let loader = match store {
        Some(reader) => {
            let reader = Arc::new(reader);
            let running =
                refresh::run(config, registry, reader, live_source, publisher, consumers, report);
            tokio::spawn(running)
        }
        None => tokio::spawn(async move {
            let models = Arc::clone(&registry);
            let load = spawn_blocking(move || {
                load_files(config, &models, live_source, &publisher, consumers)
            });
            let outcome = load.await.map_err(|error| Error::Interrupted(Some(error))).flatten();
            let loaded = outcome.is_ok();
            // Fails if the caller does not wait for the outcome.
            let _ = report.send(outcome);
            if loaded {
                registry.watch().await;
            }
        }),
    };
    let (loader, servers) = (ServerTask(loader), ServerTask(servers));
    let reloader = ServerTask(reloader);
    Ok(Running {
        reload,
        server: serving_here,
        reloader,
        address,
        live,
        admin,
        stop,
        serving,
        loading: Some(loading),
        loader,
        servers,
        follower,
    })
}

/// The limits of requests and connections.
fn limits(config: &Config) -> Options {
    let (metrics, limits) = (config.metrics.enabled, config.limits);
    let config = &config.server;
    let descriptors = file_limit::reserve(config.max_connections.get());
    Options {
        header_timeout: config.header_timeout,
        body_timeout: config.body_timeout,
        idle_timeout: config.idle_timeout,
        write_timeout: config.write_timeout,
        request_timeout: config.request_timeout,
        drain_delay: config.drain_delay,
        shutdown_timeout: config.shutdown_timeout,
        answer_timeout: config.answer_timeout,
        max_connections: descriptors.connections,
        max_refusals: descriptors.refusals,
        max_admin_connections: descriptors.admin,
        max_connections_per_address: config.max_connections_per_address,
        max_bytes_in_flight: config.max_bytes_in_flight.0,
        max_rankings: config.max_rankings,
        metrics,
        waiting_rankings: config.waiting_rankings,
        compression: config.compression,
        shared_cache: config.shared_cache,
        max_requests: limits.max_requests.get(),
        waiting_requests: limits.waiting_requests,
        rates: limits.rates(),
        ..Options::default()
    }
}

/// Loads all data from files and publishes them.
fn load_files(
    config: Config,
    registry: &Registry,
    live: LiveSource,
    publisher: &Publisher,
    consumers: Arc<Consumers>,
) -> Result<String, Error> {
    let engine = load(&config, registry)?;
    let summary = summary(&engine);
    let options = SnapshotOptions {
        posters: config.data.posters,
        live: Some(live),
        consumers: Some(consumers),
        ..SnapshotOptions::default()
    };
    publisher.publish(Arc::new(Snapshot::new(Arc::new(engine), options)));
    Ok(summary)
}

/// The exit code of a subcommand that prints.
fn end(outcome: io::Result<()>) -> ExitCode {
    outcome.map_or_else(|error| fail(&error, 1), |()| ExitCode::SUCCESS)
}

fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    terminal::print_error(Chain(error));
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
    async fn ended_task_is_reported_as_broken() {
        for (index, name) in
            ["serving", "following", "checking", "watching"].into_iter().enumerate()
        {
            let mut running = running().await;
            let tasks =
                [&running.serving, &running.loader.0, &running.servers.0, &running.follower.0];
            tasks[index].abort();
            let error = Chain(&running.broken().await).to_string();
            assert!(error.starts_with(name) && error.contains("has failed: task"), "{error}");
        }
    }

    #[tokio::test]
    async fn server_without_watched_models_is_not_broken() {
        let mut running = running().await;
        let wait = tokio::time::timeout(Duration::from_millis(100), running.broken());
        assert!(wait.await.is_err());
        running.stop().await;
    }
}
