//! `embed`.

use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use sparrow_console::{Console, Unit};
use sparrow_embed::{self as embed, Contents, Execution, METHODS, Method, MethodKind, Output};
use sparrow_fit as fit;
use sparrow_hyperparameters::Description;
use sparrow_live_overlay::{DataArgs, DataSet};
use sparrow_model::Catalog;
use sparrow_neural::Zeros;

use crate::failure::Failure;
use crate::hyperparameters::{Hyperparameters, Methods};

/// Computes embeddings or item-item weights of a MovieLens data set.
///
/// Reads ml-latest-small, ml-25m, ml-32m, ml-1m or ml-100k (detected by their files).
///
/// item2vec and ials write item2vecEmb.csv with a vector per movie, userEmb.csv with one per user, and
/// embedding.json with the similarity of the vectors. A line is "id:f f f …". With item2vec, a user's vector is
/// the mean of the vectors of the liked movies (3.5 stars or more). With ials, the dot product of the vectors of a
/// user and a movie predicts whether the user chooses the movie.
///
/// ease writes item-item weights as the next version (003 after 002) of the model folder --out.
#[derive(Debug, Args)]
pub(crate) struct Embed {
    #[command(flatten)]
    data: DataArgs,

    /// Folder for the files, created if necessary. Files in it are replaced; for methods that compute weights it is a
    /// model folder, such as models/ease
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// Compute everything and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Also measure the method: compute without a tenth of the ratings, and store with the result how well its lists find
    /// these. The server prefers the best of several models with such metrics if there is no blend
    #[arg(long)]
    validate: bool,

    /// The method
    #[arg(
        short,
        long,
        value_name = "NAME",
        value_parser = method_parser(is_any),
        default_value = METHODS[0].name,
        help_heading = HEADING
    )]
    method: MethodKind,

    #[command(flatten)]
    hyperparameters: Hyperparameters<AllMethods>,

    #[command(flatten)]
    seed: Seed,

    /// Number of threads [default: one per processor]. The result is the same with any number, except for item2vec,
    /// whose results are reproducible with 1 only
    #[arg(short, long, value_name = "N")]
    threads: Option<usize>,
}

/// The heading of the methods' flags in help.
pub(crate) const HEADING: &str = "Embeddings";

/// All methods.
#[derive(Debug)]
pub(crate) struct AllMethods;

/// The methods that compute vectors.
#[derive(Debug)]
pub(crate) struct VectorMethods;

const fn is_any(_: &MethodKind) -> bool {
    true
}

pub(crate) fn computes_vectors(kind: &MethodKind) -> bool {
    kind.output == Output::Vectors
}

fn described(filter: fn(&MethodKind) -> bool) -> Vec<(&'static str, Vec<Description>)> {
    let methods = METHODS.into_iter().filter(filter);
    methods.map(|kind| (kind.name, (kind.new)().describe())).collect()
}

impl Methods for AllMethods {
    const SELECTOR: &'static str = "method";
    const HEADING: Option<&'static str> = Some(HEADING);

    fn list() -> Vec<(&'static str, Vec<Description>)> {
        described(is_any)
    }
}

impl Methods for VectorMethods {
    const SELECTOR: &'static str = "method";
    const HEADING: Option<&'static str> = Some(HEADING);

    fn list() -> Vec<(&'static str, Vec<Description>)> {
        described(computes_vectors)
    }
}

/// A parser of the names of some methods.
pub(crate) fn method_parser(
    filter: fn(&MethodKind) -> bool,
) -> impl TypedValueParser<Value = MethodKind> {
    let value = |kind: MethodKind| PossibleValue::new(kind.name).help(kind.help);
    let names = PossibleValuesParser::new(METHODS.into_iter().filter(filter).map(value));
    names.try_map(|name| {
        METHODS.into_iter().find(|kind| kind.name == name).ok_or(Failure::Usage(name))
    })
}

/// The seed of methods that use random numbers.
#[derive(Debug, Args)]
pub(crate) struct Seed {
    /// Seed of the random numbers [default: 1]
    #[arg(long, value_name = "S", help_heading = HEADING)]
    seed: Option<u64>,
}

/// Builds a method and its execution from the command line.
pub(crate) fn method<M: Methods>(
    kind: MethodKind,
    hyperparameters: &Hyperparameters<M>,
    seed: &Seed,
    threads: usize,
) -> Result<(Box<dyn Method>, Execution), Failure> {
    if seed.seed.is_some() && !kind.seeded {
        let seeded = METHODS.into_iter().filter(|kind| kind.seeded);
        return Err(Hyperparameters::<M>::other_method("seed", seeded.map(|kind| kind.name)));
    }
    let mut method = (kind.new)();
    hyperparameters.apply(kind.name, &mut *method)?;
    let default = Execution::default();
    Ok((method, Execution { threads, seed: seed.seed.unwrap_or(default.seed) }))
}

impl Embed {
    pub(crate) fn run(self, console: Console) -> anyhow::Result<()> {
        let data = self.data.clone();
        data.on_data_set(None, console, move |data| self.work(data, console))
    }

    fn work(&self, data: &DataSet, console: Console) -> anyhow::Result<()> {
        let started = Instant::now();
        let is_pushed = !self.dry_run && computes_vectors(&self.method);
        if is_pushed {
            DataSet::remove_watermark(&self.out)?;
        }
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        let (method, execution) = self.method(self.threads.unwrap_or_else(processors))?;
        let bar = console.bar("embedding", Unit::Steps);
        let validate = |catalog: &Catalog| fit::validate(catalog, &*method, execution);
        let summary = embed::write(
            data.folder(),
            (!self.dry_run).then_some(self.out.as_path()),
            &self.data.reader(),
            &*method,
            execution,
            self.validate.then_some(&validate),
            &|done, total| bar.show(done, total),
        )?;
        drop(bar);
        let watermark = if is_pushed { data.carry_watermark(&self.out)? } else { Vec::new() };
        let embed::Summary { data, settings, ratings, movies, contents, ndcg_at_10, mut files } =
            summary;
        files.extend(watermark);
        let settings: Vec<String> =
            settings.into_iter().map(|(name, value)| format!("{name} {value}")).collect();
        let trained = format!(
            "{data}\n{} ({}): trained on {ratings} ratings: ",
            self.method.name,
            settings.join(", ")
        );
        match contents {
            Contents::Vectors { users, zeros } => {
                console.note(&format!(
                    "{trained}vectors of {movies} of {} movies and {users} of {} users",
                    data.movies, data.users
                ));
                warn_of(&zeros, console);
            }
            Contents::Weights { weights, without_weights } => {
                console.note(&format!(
                    "{trained}{weights} weights between {movies} of {} movies",
                    data.movies
                ));
                if without_weights > 0 {
                    console.warn(format_args!(
                        "{without_weights} of {movies} movies have no weight to another movie: no user \
                         rated them together with another movie"
                    ));
                }
            }
        }
        if let Some(ndcg) = ndcg_at_10 {
            console.note(&format!("nDCG@10 on held-out ratings, trained without these: {ndcg:.4}"));
        }
        console.summarise(&files, started);
        Ok(())
    }

    fn method(&self, threads: usize) -> Result<(Box<dyn Method>, Execution), Failure> {
        method(self.method, &self.hyperparameters, &self.seed, threads)
    }
}

/// Reports zero vectors, if any, on standard error.
pub(crate) fn warn_of(zeros: &Zeros, console: Console) {
    if zeros.any() {
        console.warn(format_args!("{zeros}: weaker regularization results in fewer"));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use clap::Parser as _;
    use sparrow_hyperparameters::Range;

    use super::*;
    use crate::args::{Cli, Command};

    fn embed(line: &str) -> Embed {
        let line = format!("sparrow-loader embed --data in --out out {line}");
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Embed(embed) => embed,
            other => unreachable!("embed was asked for, not {other:?}"),
        }
    }

    /// The hyperparameters that differ from the defaults, threads and seed.
    fn changed(line: &str) -> (Vec<(String, String)>, Execution) {
        let embed = embed(line);
        let (method, execution) = embed.method(6).unwrap();
        let mut settings = method.settings();
        let defaults = (embed.method.new)().settings();
        settings.retain(|setting| !defaults.contains(setting));
        (settings, execution)
    }

    #[test]
    fn without_flags_the_defaults_are_used() {
        for line in ["", "--method ials", "--method ease"] {
            assert_eq!(changed(line), (vec![], Execution { threads: 6, seed: 1 }), "{line}");
        }
        assert_eq!((embed("").data.reader().max_bad_lines, embed("").threads), (0, None));
        let embed = embed("--threads 1 --max-bad-lines 5");
        assert_eq!((embed.data.reader().max_bad_lines, embed.threads), (5, Some(1)));
    }

    #[test]
    fn every_hyperparameter_of_every_method_is_a_flag() {
        for kind in METHODS {
            for hyperparameter in (kind.new)().describe() {
                let Description { name, flag, range, value: default, .. } = hyperparameter;
                let value = match range {
                    Range::Names(names) => names[1].to_owned(),
                    Range::Any => unreachable!("no method of embed has a switch"),
                    Range::Numbers { .. } if name == "keep" || name == "min-count" => {
                        "77".to_owned()
                    }
                    Range::Numbers { from, to, .. } if default == to.to_string() => {
                        from.to_string()
                    }
                    Range::Numbers { to, .. } => to.to_string(),
                };
                let line = format!("--method {} --{flag} {value}", kind.name);
                assert_eq!(changed(&line).0, [(name.to_owned(), value)], "{line}");
            }
        }
        assert_eq!(changed("--negative-exponent -0.5").0.len(), 1);
        assert_eq!(changed("--seed 9").1.seed, 9);
    }

    #[test]
    fn flags_of_other_methods_are_errors() {
        for (line, message) in [
            ("--steps 3", "--steps is an option of --method ials"),
            ("--regularization 3", "--regularization is an option of --method ials and ease"),
            (
                "--method ials --keep 3",
                "--keep is an option of --method ease, next-item and item-knn",
            ),
            (
                "--method ials --window 3",
                "--window is an option of --method item2vec, next-item and item-knn",
            ),
            ("--method ease --seed 3", "--seed is an option of --method item2vec and ials"),
            ("--dimension 0", "--dimension must be from 1 to 1024, got 0"),
            ("--dimension x", "--dimension must be a whole number from 1 to 1024, got x"),
        ] {
            assert_eq!(embed(line).method(1).unwrap_err().to_string(), message);
        }
    }
}
