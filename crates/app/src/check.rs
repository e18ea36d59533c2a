//! `sparrow-serve check`: whether a server can start and serve with a configuration.

use std::fmt::Display;
use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sparrow_engine::Engine;
use sparrow_http::Cors;
use sparrow_model::Movies;
use sparrow_rank::State;
use sparrow_user_state::StoreReader;
use tokio::runtime::Runtime;

use crate::config::{self, Config, Models, Ranking, Recall, Tracing};
use crate::error::Chain;
use crate::load::{check_posters, engine_of, load, load_movies};
use crate::models::Registry;
use crate::stored::Stored;
use crate::summary::{default_model, summary};
use crate::{Error, auth, store, telemetry, tls};

/// The pause between two attempts to read the store.
const RETRY: Duration = Duration::from_millis(100);

/// Checks everything that a start reads, and prints a line per check. Listens on no port, and writes no files.
pub(crate) fn run(file: Option<&Path>, config: Result<Config, config::Error>) -> ExitCode {
    let mut checks = Checks::default();
    let name = file.map_or("built-in defaults".to_owned(), |file| file.display().to_string());
    if let Some(config) = checks.record("configuration", config.map(|config| (config, name))) {
        check_settings(&mut checks, &config);
        match Runtime::new() {
            Ok(runtime) => {
                check_collector(&mut checks, &config.tracing, &runtime);
                check_data_and_models(&mut checks, &config, &runtime);
                runtime.shutdown_background();
            }
            Err(error) => checks.fail("async runtime", &error),
        }
    }
    let (all, failed) = (checks.all, checks.failed);
    if failed == 0 {
        print(format_args!("all {all} checks passed"));
        return ExitCode::SUCCESS;
    }
    print(format_args!("{failed} of {all} checks failed"));
    ExitCode::FAILURE
}

/// The outcomes of checks so far.
#[derive(Default)]
struct Checks {
    all: usize,
    failed: usize,
}

impl Checks {
    /// Prints the outcome: the details of a success, or the error with its causes.
    fn record<T, E: std::error::Error>(
        &mut self,
        what: &str,
        outcome: Result<(T, String), E>,
    ) -> Option<T> {
        match outcome {
            Ok((value, details)) => {
                self.pass(what, details);
                Some(value)
            }
            Err(error) => {
                self.fail(what, Chain(&error));
                None
            }
        }
    }

    fn pass(&mut self, what: &str, details: impl Display) {
        self.all += 1;
        print(format_args!("ok    {what}: {details}"));
    }

    fn fail(&mut self, what: &str, reason: impl Display) {
        self.all += 1;
        self.failed += 1;
        // Errors of data sets have a line per bad line.
        let reason = format!("{reason}");
        let lines: Vec<&str> = reason.lines().map(str::trim).collect();
        print(format_args!("FAIL  {what}: {}", lines.join(" ")));
    }
}

fn print(line: impl Display) {
    // A closed pipe is not a failure; the exit code remains.
    let _ = writeln!(stdout(), "{line}");
}

/// The settings that depend on this computer.
fn check_settings(checks: &mut Checks, config: &Config) {
    let hosts = config.server.allowed_hosts(config.listen).map_err(Error::Setting);
    checks.record("server.hosts", hosts.map(|_| ((), "valid".to_owned())));
    let cors = Cors::new(config.cors.origins.iter().map(String::as_str)).map_err(Error::Setting);
    checks.record("cors.origins", cors.map(|_| ((), "valid".to_owned())));
    let keys = auth::load(config).map(|auth| {
        let token_keys = auth::token_keys(&auth);
        let of_tokens =
            auth.tokens.map(|_| format!(", tokens are verified with {token_keys} keys"));
        ((), format!("{} keys{}", auth.keys.len(), of_tokens.unwrap_or_default()))
    });
    checks.record("auth", keys);
    if config.tls.is_configured() {
        checks.record("tls", tls::check(&config.tls).map(|details| ((), details)));
    }
    if config.data.posters.is_some() {
        let posters = check_posters(config);
        checks.record("posters", posters.map(|()| ((), "the folder exists".to_owned())));
    }
    if let Some(path) = &config.live.path {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        match (path.metadata(), folder.is_dir()) {
            (Ok(file), _) if file.is_file() => checks.pass("live", "the file exists, not opened"),
            (Ok(_), _) => checks.fail("live", format_args!("{} is not a file", path.display())),
            (Err(_), true) => checks.pass("live", "the file is created at the start"),
            (Err(_), false) => {
                let folder = folder.display();
                checks.fail("live", format_args!("the folder {folder} does not exist"));
            }
        }
    }
}

/// Sends the collector of traces, if one is configured, a request without spans.
fn check_collector(checks: &mut Checks, config: &Tracing, runtime: &Runtime) {
    if let Some(options) = telemetry::exporter_options(config, env!("CARGO_PKG_VERSION")) {
        let address = options.endpoint.clone();
        let answered = runtime.block_on(sparrow_otlp::check(options));
        let details = format!("the collector at {address} accepts spans");
        checks.record("tracing.endpoint", answered.map(|()| ((), details)));
    }
}

/// Loads the data and the models as a start does, and asks the store and the model servers.
fn check_data_and_models(checks: &mut Checks, config: &Config, runtime: &Runtime) {
    // The clients of stores and model servers start tasks.
    let _context = runtime.enter();
    let unserved = config.discover_models().map(|discovered| discovered.others);
    for (name, reason) in unserved.unwrap_or_default() {
        if !config.models.has_table(&name) {
            print(format_args!("warn  model {name}: this folder is not served: {reason}"));
        }
    }
    let registry = match Registry::new(config) {
        Ok(registry) => registry,
        Err(error) => {
            checks.fail("models", Chain(&error));
            // The data can be checked without the models.
            let alone = Config {
                ranking: Ranking::default(),
                models: Models::default(),
                recall: Recall::default(),
                ..config.clone()
            };
            if let Ok(registry) = Registry::new(&alone) {
                load_data(checks, &alone, &registry, runtime);
            }
            return;
        }
    };
    let engine = load_data(checks, config, &registry, runtime);
    check_models(checks, config, &registry, engine.as_ref(), runtime);
}

/// Builds the engine over the files or the store, with the versions of models in folders.
fn load_data(
    checks: &mut Checks,
    config: &Config,
    registry: &Registry,
    runtime: &Runtime,
) -> Option<Engine> {
    let reader = match store::open(config) {
        Ok(Some(reader)) => reader,
        Ok(None) => {
            let loaded = load(config, registry).map(|engine| {
                let summary = summary(&engine);
                (engine, summary)
            });
            return checks.record("data", loaded);
        }
        Err(error) => {
            checks.fail("store", Chain(&error));
            return None;
        }
    };
    let movies = load_movies(config).map(|movies| (movies, "the movies are loaded".to_owned()));
    let movies: Option<Movies> = checks.record("data", movies);
    let stored = runtime.block_on(read_store(&reader, config.store.start_wait));
    let stored = checks.record("store", stored)?;
    let engine = engine_of(movies?, stored, config, registry);
    let engine = checks.record(
        "engine",
        engine.map(|engine| {
            let default = default_model(&engine);
            (engine, default)
        }),
    )?;
    registry.load();
    Some(engine)
}

/// Reads the movies of the store, and retries for the configured time.
async fn read_store(reader: &StoreReader, wait: Duration) -> Result<(Stored, String), Error> {
    let start = Instant::now();
    loop {
        match read_store_once(reader).await {
            Err(Error::Store(_) | Error::StoreChanged(_)) if start.elapsed() < wait => {
                tokio::time::sleep(RETRY).await;
            }
            outcome => return outcome,
        }
    }
}

async fn read_store_once(reader: &StoreReader) -> Result<(Stored, String), Error> {
    let movies = reader.all_movies().await?;
    let users = reader.user_list().await?;
    let info = reader.embedding_info().await?;
    let address = reader.address();
    if users.generation != movies.generation || info.generation != movies.generation {
        return Err(Error::StoreChanged(address.to_owned()));
    }
    if movies.value.is_empty() {
        return Err(Error::StoreEmpty(address.to_owned()));
    }
    let details = format!(
        "{address}, {} movies, {} users, generation {}",
        movies.value.len(),
        users.value.total,
        movies.generation
    );
    Ok((Stored { movies: movies.value, embedding_info: Ok(info.value) }, details))
}

/// Reports each model that the configuration or the models folder names, and all of the demonstration set.
fn check_models(
    checks: &mut Checks,
    config: &Config,
    registry: &Registry,
    engine: Option<&Engine>,
    runtime: &Runtime,
) {
    let statuses = engine.map(Engine::models).unwrap_or_default();
    let folder = config.ranking.models.as_deref();
    for (name, probe) in registry.probes() {
        let what = format!("model {name}");
        if let Some(probe) = probe {
            let version = runtime.block_on(probe);
            checks.record(
                &what,
                version.map(|version| ((), format!("version {version} at its server"))),
            );
            continue;
        }
        let is_configured = config.models.has_table(name)
            || folder.is_some_and(|folder| folder.join(name).exists());
        match statuses.iter().find(|model| *model.name == *name).map(|model| &model.status) {
            Some(status) if status.state == State::Ready => match status.version {
                Some(version) => checks.pass(&what, format_args!("version {version}")),
                None => checks.pass(&what, "ready"),
            },
            Some(status) if is_configured => {
                let trouble = status.trouble.as_deref().unwrap_or(status.state.as_str());
                checks.fail(&what, trouble);
            }
            None if is_configured => checks.fail(&what, "not loaded, because the data are not"),
            _ => {}
        }
    }
}
