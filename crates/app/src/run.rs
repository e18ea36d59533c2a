use std::ffi::OsString;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Error, Result, ensure};
use clap::Parser;
use sparrow_engine::Engine;
use sparrow_http::{Cors, Options, Server, Site, SiteOptions, StoreReader};
use sparrow_process::Signals;
use sparrow_process::terminal::{self, USAGE};
use sparrow_rank::State;
use sparrow_store::{FeatureStore, GuardOptions, Guarded};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::admin::{self, Admin};
use crate::cli::Cli;
use crate::config::Config;
use crate::load::load;
use crate::models::Registry;
use crate::{files, listen, refresh, telemetry};

/// The whole of the binary: reads the command line and the environment, serves until SIGTERM or
/// SIGINT, and says on standard error what went wrong.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return terminal::explain(&error),
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
        say(&config.to_toml());
        return ExitCode::SUCCESS;
    }
    match serve(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

fn serve(config: &Config) -> Result<()> {
    telemetry::start(&config.log)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let mut running = start(config.clone()).await?;
        let to_open = listen::to_open(running.address);
        let data = config.data.path.as_ref();
        say(&format!(
            "Loading {}; http://{} answers when it is ready (Ctrl-C stops it)\n",
            data.map_or("the demonstration set".to_owned(), |path| path.display().to_string()),
            to_open
        ));
        tokio::select! {
            loaded = running.loaded() => {
                let summary = loaded?;
                say(&format!("Ready: {summary}. Open http://{to_open} in a browser.\n"));
                signals.next().await;
            }
            _ = signals.next() => {}
        }
        tracing::info!("stopping: finishing requests in flight; a signal after more than a second stops at once");
        tokio::select! {
            () = running.stop() => Ok(()),
            _ = signals.next() => Err(anyhow::anyhow!("a second signal: stopped at once")),
        }
    });
    // A thread may still be reading files; the process need not wait for it.
    runtime.shutdown_background();
    outcome.inspect(|()| tracing::info!("stopped"))
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
    let server = Arc::new(Server::new(Options {
        header_timeout: config.server.header_timeout,
        idle_timeout: config.server.idle_timeout,
        write_timeout: config.server.write_timeout,
        request_timeout: config.server.request_timeout,
        shutdown_timeout: config.server.shutdown_timeout,
        answer_timeout: config.server.answer_timeout,
        max_connections: files::room_for(config.server.max_connections.get()),
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
        async move { registry.keep_servers().await }
    });
    let (tell, loading) = oneshot::channel();
    let loader = match store {
        Some(store) => {
            let options =
                GuardOptions { deadline: config.store.deadline, ..GuardOptions::default() };
            let reader = Arc::new(StoreReader::new(Arc::new(Guarded::new(store, options))));
            tokio::spawn(refresh::keep(config, registry, reader, server, tell))
        }
        None => tokio::spawn(async move {
            let models = Arc::clone(&registry);
            let load = spawn_blocking(move || load_files(config, &models, &server));
            let outcome = load.await.context("loading was cut off").flatten();
            let loaded = outcome.is_ok();
            // Nobody may be waiting for the outcome.
            let _ = tell.send(outcome);
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
    let options = SiteOptions { posters: config.data.posters, store: None };
    server.publish(Arc::new(Site::new(Arc::new(engine), options)));
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

/// Writes to standard output; nobody may be reading there, and that is no reason to stop.
fn say(text: &str) {
    let mut output = stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    terminal::complain(format_args!("{error:#}"));
    ExitCode::from(code)
}
