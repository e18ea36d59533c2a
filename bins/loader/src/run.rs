//! `sparrow-loader run`.

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use sparrow_blend::fit as blend;
use sparrow_console::exit::HELP;
use sparrow_console::{Console, Unit};
use sparrow_embed::{self as embed, Contents, Execution, METHODS, Method, MethodKind};
use sparrow_feature_files::Summary as FeatureSummary;
use sparrow_fit as fit;
use sparrow_live_overlay::{DataArgs, DataSet};
use sparrow_movielens::{Options as ReaderOptions, Source};
use sparrow_neural::Zeros;
use sparrow_push::sources::{self, Sources};
use sparrow_store::Location;
use sparrow_train as train;
use tempfile::TempDir;
use tokio::task;

use crate::embed::{
    HEADING, Seed, VectorMethods, computes_vectors, method, method_parser, warn_of,
};
use crate::fit::described;
use crate::hyperparameters::Hyperparameters;
use crate::push::{NOTHING, no_store, open, push, rehearse};
use crate::sources::from_folders;
use crate::store::{StoreArgs, duration};
use sparrow_process::Signals;

/// Computes features, embeddings and models, and pushes features and embeddings with the rating histories.
///
/// Has the same result as "features", "embed", "fit" and "push" in sequence. At the end it prints commands for checking
/// the store and for serving.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
#[expect(
    clippy::struct_field_names,
    reason = "fields are named after the flags, such as --dry-run"
)]
pub(crate) struct Run {
    #[command(flatten)]
    data: DataArgs,

    /// Output folder for the files with features and embeddings, created if it does not exist [default: none, the files
    /// are temporary]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Models folder, created if it does not exist: the models of "fit" with the embeddings of --method [default: models in
    /// --out; without --out, no models are trained]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,

    /// Train no models
    #[arg(long, conflicts_with = "models")]
    no_models: bool,

    /// Read and check the data set, connect to the store, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    store: StoreArgs,

    /// Expiry time of keys in Redis, such as 30d or 12h [default: never]
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Store")]
    ttl: Option<Duration>,

    /// The method that computes vectors
    #[arg(
        short,
        long,
        value_name = "NAME",
        value_parser = method_parser(computes_vectors),
        default_value = METHODS[0].name,
        help_heading = HEADING
    )]
    method: MethodKind,

    #[command(flatten)]
    hyperparameters: Hyperparameters<VectorMethods>,

    #[command(flatten)]
    seed: Seed,

    /// Number of threads [default: one per processor]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Folder for temporary files, without --out [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    spill: Option<PathBuf>,
}

impl Run {
    pub(crate) async fn run(&self, console: Console, signals: &mut Signals) -> anyhow::Result<()> {
        let started = Instant::now();
        let location = self.store.location()?.ok_or_else(no_store)?;
        StoreArgs::check_ttl(Some(&location), self.ttl)?;
        let method = method(self.method, &self.hyperparameters, &self.seed, self.threads())?;
        let reader = self.data.reader();
        let live = self.data.live().or(&self.store.prefix, self.store.ca_file.as_deref());
        if self.dry_run {
            let data = live.data_set(self.data.folder(), &reader, self.spill.as_deref(), console);
            let data = signals.or(Box::pin(data), NOTHING).await?;
            let ratings = Some(data.folder().to_owned());
            let sources = Sources { ratings, reader, ..Sources::default() };
            let rehearsal = async {
                rehearse(&sources, &self.store, Some(location), console).await?;
                console.note("would compute features, embeddings and models, and push features and embeddings too");
                Ok(())
            };
            return signals.or(rehearsal, NOTHING).await;
        }
        let files = self.folder()?;
        let out = files.path().to_owned();
        // The store first, so that an unavailable store is an error before the computation.
        let store = signals.or(self.store.connect(&location, self.ttl), NOTHING).await?;

        let kept = "the store is unchanged";
        let data = live.data_set(self.data.folder(), &reader, self.spill.as_deref(), console);
        let data = signals.or(Box::pin(data), NOTHING).await?;
        DataSet::remove_watermark(&out)?;
        let (features, for_features) =
            timed(signals.or(Box::pin(Self::features(&data, &out, &reader, console)), kept))
                .await?;
        console
            .note(&format!("features of {} users and {} movies", features.users, features.movies));
        let trained = self.train(&data, &out, &reader, method, console);
        let (trained, for_training) = timed(signals.or(Box::pin(trained), kept)).await?;
        let Trained { users, movies, zeros, files: mut embeddings, models } = trained;
        embeddings.extend(data.carry_watermark(&out)?);
        console.note(&format!("embeddings of {users} users and {movies} movies"));
        warn_of(&zeros, console);
        let folder = sources::Location::Local(out.clone());
        let mut sources = from_folders(Some(&folder), Some(&folder));
        (sources.ratings, sources.reader) = (Some(data.folder().to_owned()), reader);
        let reading_and_pushing = async {
            let reader = open(&sources, console, signals).await?;
            push(reader, &*store, console, signals).await
        };
        let ((counts, generation), for_push) = timed(reading_and_pushing).await?;

        console.note(&format!("pushed to {location}, generation {generation}\n{counts}"));
        for (path, size) in &models {
            console.note(&format!("wrote {} ({size} bytes)", path.display()));
        }
        if let Folder::Kept(_) = files {
            for (path, size) in features.files.iter().chain(&embeddings) {
                console.note(&format!("kept {} ({size} bytes)", path.display()));
            }
        }
        let [features, training, push, all] =
            [for_features, for_training, for_push, started.elapsed()].map(|it| it.as_secs_f64());
        let what = if models.is_empty() { "embeddings" } else { "embeddings and models" };
        console.note(&format!(
            "done in {all:.1} s: features {features:.1} s, {what} {training:.1} s, push {push:.1} s"
        ));
        let user_id = store.user_list().await.ok();
        let user_id = user_id.and_then(|list| Some(list.value.most_active.first()?.0.0));
        let models = self.models_folder().filter(|folder| folder.is_dir());
        console.note(&self.check_commands(&location, user_id, models.as_deref()));
        Ok(())
    }

    /// The folder for the files: that of `--out`, or a temporary one.
    fn folder(&self) -> anyhow::Result<Folder> {
        if let Some(folder) = &self.out {
            return Ok(Folder::Kept(folder.clone()));
        }
        let parent = self.spill.clone().unwrap_or_else(env::temp_dir);
        let folder = tempfile::Builder::new().prefix("sparrow-").tempdir_in(&parent);
        Ok(Folder::Temporary(
            folder.with_context(|| {
                format!("cannot make a temporary folder in {}", parent.display())
            })?,
        ))
    }

    fn threads(&self) -> usize {
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(processors, usize::from)
    }

    async fn features(
        data: &DataSet,
        out: &Path,
        reader: &ReaderOptions,
        console: Console,
    ) -> anyhow::Result<FeatureSummary> {
        let (folder, reader) = (data.folder().to_owned(), reader.clone());
        let bar = console.bar("computing features", Unit::Each("ratings"));
        let load = move || Source::open(&folder)?.load_histories(&reader);
        let data = match task::spawn_blocking(load).await {
            Ok(data) => data?,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        };
        let progress = |done, total| bar.show(done, total);
        Ok(sparrow_feature_files::write(&data, out, &progress).await?)
    }

    /// The folder for models, if models are trained.
    fn models_folder(&self) -> Option<PathBuf> {
        let in_out = || self.out.as_ref().map(|out| out.join("models"));
        self.models.clone().or_else(in_out).filter(|_| !self.no_models)
    }

    /// Computes the embeddings, and the models if there is a folder for them.
    async fn train(
        &self,
        data: &DataSet,
        out: &Path,
        reader: &ReaderOptions,
        (method, execution): (Box<dyn Method>, Execution),
        console: Console,
    ) -> anyhow::Result<Trained> {
        let (data, out, reader) = (data.folder().to_owned(), out.to_owned(), reader.clone());
        let (models, is_required) = (self.models_folder(), self.models.is_some());
        let work = move || -> anyhow::Result<Trained> {
            let Some(models) = models else {
                return embeddings(&data, &out, &reader, &*method, execution, console);
            };
            let Execution { threads, seed } = execution;
            let options = fit::Options {
                blend: blend::Options { threads, seed, ..blend::Options::DEFAULT },
                neural_cf: train::Options::new(train::Method::NeuralCf),
                keep: None,
                vectors: method,
                force: false,
            };
            match fit::write(&data, &models, &reader, &options, &mut |step| console.note(step)) {
                Ok(summary) => {
                    console.note(&described(&summary));
                    let fit::Summary { vectors, files: models, .. } = summary;
                    let (users, movies) = (vectors.users.len(), vectors.movies.len());
                    let (zeros, files) = (vectors.zeros, vectors.write(&out)?);
                    Ok(Trained { users, movies, zeros, files, models })
                }
                Err(error) if is_required && !matches!(error, fit::Error::Worse { .. }) => {
                    Err(error.into())
                }
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    console.warn(format_args!("no models are published: {error:#}"));
                    embeddings(&data, &out, &reader, &*options.vectors, execution, console)
                }
            }
        };
        match task::spawn_blocking(work).await {
            Ok(trained) => trained,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    /// Shell commands that check the store and serve from it.
    fn check_commands(
        &self,
        location: &Location,
        user_id: Option<u32>,
        models: Option<&Path>,
    ) -> String {
        let data = shell(&self.data.folder().to_string_lossy());
        let files = self.out.as_ref().map_or_else(String::new, |out| {
            let out = shell(&out.to_string_lossy());
            format!(" --features {out} --embeddings {out}")
        });
        let secret = self.store.has_password();
        let mut store = if secret {
            String::new()
        } else {
            format!(" --store {}", shell(&location.to_string()))
        };
        if !self.store.prefix.is_empty() {
            let _ = write!(store, " --prefix {}", shell(&self.store.prefix));
        }
        if let Some(file) = &self.store.ca_file {
            let _ = write!(store, " --ca-file {}", shell(&file.to_string_lossy()));
        }
        let mut lines = String::from("to check:");
        // The combined data set is gone at the end: features and embeddings remain to compare.
        if !self.data.live().is_given() {
            let _ =
                write!(lines, "\n  sparrow-loader verify --data {data}{files}{store} --sample all");
        } else if self.out.is_some() {
            let _ = write!(lines, "\n  sparrow-loader verify{files}{store} --sample all");
        }
        if let (Some(cli), Some(user)) = (redis_cli(location), user_id) {
            let key = shell(&format!("{}uf:{user}", self.store.prefix));
            let _ = write!(lines, "\n  {cli} hgetall {key}");
        }
        let models = models.map_or_else(String::new, |models| {
            format!(" --models {}", shell(&models.to_string_lossy()))
        });
        let _ = write!(lines, "\nto serve:\n  sparrow-serve --data {data}{models}{store}");
        if secret {
            lines.push_str(
                "\nThese take the store's address, which has a password, from SPARROW_STORE; redis-cli \
                 takes the password from REDISCLI_AUTH.",
            );
        }
        lines
    }
}

/// The embeddings and models.
struct Trained {
    /// The number of users with a vector.
    users: usize,
    /// The number of movies with a vector.
    movies: usize,
    zeros: Zeros,
    /// The files with the embeddings and their sizes in bytes.
    files: Vec<(PathBuf, u64)>,
    /// The files of the models.
    models: Vec<(PathBuf, u64)>,
}

/// Computes only embeddings.
fn embeddings(
    data: &Path,
    out: &Path,
    reader: &ReaderOptions,
    method: &dyn Method,
    execution: Execution,
    console: Console,
) -> anyhow::Result<Trained> {
    let bar = console.bar("embedding", Unit::Steps);
    let progress = |done, total| bar.show(done, total);
    let summary = embed::write(data, Some(out), reader, method, execution, None, &progress)?;
    let embed::Summary { movies, contents, files, .. } = summary;
    let Contents::Vectors { users, zeros } = contents else {
        unreachable!("the methods of this command compute vectors")
    };
    Ok(Trained { users, movies, zeros, files, models: Vec::new() })
}

/// The folder of the files with features and embeddings.
enum Folder {
    Kept(PathBuf),
    /// Removed at the end of the command, also after a signal.
    Temporary(TempDir),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

async fn timed<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<(T, Duration)> {
    let started = Instant::now();
    Ok((work.await?, started.elapsed()))
}

/// The beginning of a `redis-cli` command; for a cluster it connects to one of the nodes.
fn redis_cli(location: &Location) -> Option<String> {
    let Location::Redis(redis) = location else { return None };
    let address = redis.to_string();
    if let Some(path) = address.strip_prefix("unix://") {
        let (path, database) = path.rsplit_once("?db=").unwrap_or((path, "0"));
        return Some(format!("redis-cli -s {} -n {database}", shell(path)));
    }
    if address.contains("-sentinel://") {
        // redis-cli cannot ask the sentinels for the address.
        return None;
    }
    let first = address.split(',').next()?;
    Some(match first.split_once("-cluster://") {
        Some((scheme, host)) => format!("redis-cli -c -u {}", shell(&format!("{scheme}://{host}"))),
        None => format!("redis-cli -u {}", shell(first)),
    })
}

/// Quotes a word for a shell, if necessary.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.,:_-+@%=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn words_with_special_characters_are_quoted() {
        assert_eq!(shell("redis://h:6379/2"), "redis://h:6379/2");
        assert_eq!(shell("{films}:"), "'{films}:'");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell(""), "''");
    }

    #[test]
    fn redis_cli_commands_contain_supported_addresses() {
        let line = |text: &str| redis_cli(&text.parse().unwrap());
        assert_eq!(line("rediss://u:p@h/2").unwrap(), "redis-cli -u rediss://h:6379/2");
        assert_eq!(line("redis-cluster://a:1,b:2").unwrap(), "redis-cli -c -u redis://a:1");
        assert_eq!(line("unix:///run/r.sock?db=2").unwrap(), "redis-cli -s /run/r.sock -n 2");
        assert_eq!(line("redis-sentinel://a/films"), None);
        assert_eq!(line("file:x"), None);
    }
}
