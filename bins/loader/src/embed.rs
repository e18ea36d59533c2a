//! `embed`.

use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use clap::{Args, ValueEnum};
use sparrow_console::{Console, Unit};
use sparrow_embed::interactions::Positives;
use sparrow_embed::{self as embed, Method, ease, ials, item2vec};
use sparrow_movielens::Options as ReaderOptions;
use sparrow_neural::Zeros;

use crate::exit::Ended;

/// Computes embeddings of a MovieLens data set.
///
/// Reads ml-latest-small, ml-25m, ml-32m, ml-1m or ml-100k (told apart by their files) and writes
/// item2vecEmb.csv, a vector for each movie, userEmb.csv, one for each user, and embedding.json, which tells
/// the server how to compare them. A line is "id:f f f …".
///
/// With item2vec, vectors come from skip-gram with negative sampling over each user's liked movies (3.5
/// stars or more) in the order of time; a user's is the mean over the vectors of the movies that the
/// user liked. With ials, vectors of users and movies come from implicit alternating least squares,
/// and their dot products tell who will choose what.
///
/// With ease there are no vectors: how much each movie speaks for each other one comes in closed form, and
/// goes into the next version (003 after 002) of the model folder --out.
#[derive(Debug, Args)]
#[command(
    mut_arg("min_count", |arg| arg.help(
        "item2vec, ease: movies with fewer likes, or ratings, are left out [default: 5; ease: 2]"
    )),
    mut_arg("positives", |arg| arg.help(
        "ials, ease: which ratings count: all, liked (3.5 stars or more) or, for ials, stars (all, by \
         their stars) [default: all]"
    )),
    mut_arg("regularization", |arg| arg.help(
        "ials, ease: how strongly vectors, or weights, are pulled to zero [default: 0.1; ease: 400]"
    )),
)]
pub(crate) struct Embed {
    /// Folder with the data set
    #[arg(short, long, value_name = "DIR")]
    data: PathBuf,

    /// Folder to write into; made if it does not exist. Files in it are replaced; with ease it is a model
    /// folder, such as models/ease
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// Compute everything and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// How vectors, or weights, are computed
    #[arg(
        short,
        long,
        value_name = "NAME",
        value_enum,
        default_value = "item2vec",
        help_heading = HEADING
    )]
    method: Name,

    #[command(flatten)]
    training: Training,

    /// ease: weights of each movie that are kept, the greatest in size [default: 500]
    #[arg(long, value_name = "N", help_heading = HEADING)]
    keep: Option<usize>,

    /// Threads [default: one for each processor]; item2vec with 1 writes the same files for the same
    /// seed, ials with any number
    #[arg(short, long, value_name = "N")]
    threads: Option<usize>,

    /// Bad lines of the data set to skip and report, rather than stop
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_lines: usize,
}

/// Where the help lists what methods take.
pub(crate) const HEADING: &str = "Embeddings";

/// The methods that compute vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Vectors {
    /// Skip-gram with negative sampling over what users liked, in the order of time
    Item2vec,
    /// Implicit alternating least squares
    Ials,
}

/// All methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// Skip-gram with negative sampling over what users liked, in the order of time
    Item2vec,
    /// Implicit alternating least squares
    Ials,
    /// Item-item weights in closed form (EASE), into a model folder
    Ease,
}

/// The options of the methods that compute vectors.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct Training {
    /// Length of the vectors [default: 32; ials: 64]
    #[arg(long, value_name = "N")]
    dimension: Option<usize>,

    /// How often the ratings are gone through [default: item2vec: 20, fewer for more than 250,000 likes;
    /// ials: 16]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,

    /// Another seed gives other vectors, equally good [default: 1]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// item2vec: neighbours on either side, at most, that a movie is paired with [default: 25]
    #[arg(long, value_name = "N")]
    window: Option<usize>,

    /// item2vec: random movies that each movie is told apart from [default: 5]
    #[arg(long, value_name = "N")]
    negatives: Option<usize>,

    /// item2vec: random movies are drawn by their number of likes to this power, from -1 to 1
    /// [default: 0.25]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    negative_exponent: Option<f64>,

    /// item2vec: step of the first update; it falls in a straight line to nearly 0 [default: 0.05]
    #[arg(long, value_name = "X")]
    learning_rate: Option<f32>,

    /// item2vec: movies with more than this part of all likes are passed over now and then; 0 turns it
    /// off [default: 0.001]
    #[arg(long, value_name = "X")]
    subsample: Option<f64>,

    /// item2vec: movies with fewer likes are left out [default: 5]
    #[arg(long, value_name = "N")]
    min_count: Option<usize>,

    /// ials: which ratings count: all, liked (3.5 stars or more) or stars (all, by their stars)
    /// [default: all]
    #[arg(long, value_name = "NAME")]
    positives: Option<Positives>,

    /// ials: weight of a pair of user and movie whatever is known of it; ratings have 1 on top
    /// [default: 0.25]
    #[arg(long, value_name = "X")]
    unobserved_weight: Option<f32>,

    /// ials: how strongly vectors are pulled to zero [default: 0.1]
    #[arg(long, value_name = "X")]
    regularization: Option<f32>,

    /// ials: how that pull grows with the number of ratings: 1 in proportion, 0 not at all
    /// [default: 0.7]
    #[arg(long, value_name = "X")]
    regularization_exponent: Option<f32>,

    /// ials: steps of conjugate gradients in each half of an epoch [default: 3]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
}

impl Training {
    /// The method with its options, where there is none but those that compute vectors. An option of another
    /// method is an error.
    pub(crate) fn method(&self, vectors: Vectors, threads: usize) -> Result<Method, Ended> {
        let method = match vectors {
            Vectors::Item2vec => Name::Item2vec,
            Vectors::Ials => Name::Ials,
        };
        self.refuse_others(method, &[Name::Item2vec, Name::Ials])?;
        Ok(self.vectors(vectors, threads))
    }

    fn vectors(&self, vectors: Vectors, threads: usize) -> Method {
        match vectors {
            Vectors::Item2vec => {
                let default = item2vec::Options::DEFAULT;
                Method::Item2Vec(item2vec::Options {
                    dimension: self.dimension.unwrap_or(default.dimension),
                    window: self.window.unwrap_or(default.window),
                    epochs: self.epochs,
                    negatives: self.negatives.unwrap_or(default.negatives),
                    negative_exponent: self.negative_exponent.unwrap_or(default.negative_exponent),
                    learning_rate: self.learning_rate.unwrap_or(default.learning_rate),
                    subsample: self.subsample.unwrap_or(default.subsample),
                    min_count: self.min_count.unwrap_or(default.min_count),
                    threads,
                    seed: self.seed.unwrap_or(default.seed),
                })
            }
            Vectors::Ials => {
                let default = ials::Options::DEFAULT;
                let mut objective = default.objective;
                objective.unobserved = self.unobserved_weight.unwrap_or(objective.unobserved);
                objective.regularization = self.regularization.unwrap_or(objective.regularization);
                objective.exponent = self.regularization_exponent.unwrap_or(objective.exponent);
                Method::Ials(ials::Options {
                    dimension: self.dimension.unwrap_or(default.dimension),
                    epochs: self.epochs.unwrap_or(default.epochs),
                    objective,
                    positives: self.positives.unwrap_or(default.positives),
                    steps: self.steps.unwrap_or(default.steps),
                    start: default.start,
                    threads,
                    seed: self.seed.unwrap_or(default.seed),
                })
            }
        }
    }

    /// The options for [`Name::Ease`].
    fn ease(&self, keep: Option<usize>, threads: usize) -> Result<ease::Options, Ended> {
        let default = ease::Options::DEFAULT;
        let liked_only = match self.positives {
            None | Some(Positives::All) => false,
            Some(Positives::Liked) => true,
            Some(Positives::Stars) => {
                return Err(Ended::Usage(
                    "--method ease takes --positives all or liked".to_owned(),
                ));
            }
        };
        Ok(ease::Options {
            regularization: self.regularization.unwrap_or(default.regularization),
            min_count: self.min_count.unwrap_or(default.min_count),
            keep: keep.unwrap_or(default.keep),
            liked_only,
            recency: default.recency,
            threads,
            memory: default.memory,
        })
    }

    /// Refuses options of other methods than `method`, which is one of `methods`.
    fn refuse_others(&self, method: Name, methods: &[Name]) -> Result<(), Ended> {
        let item2vec = &[Name::Item2vec][..];
        let ials = &[Name::Ials][..];
        let vectors = &[Name::Item2vec, Name::Ials][..];
        let not_ials = &[Name::Item2vec, Name::Ease][..];
        let not_item2vec = &[Name::Ials, Name::Ease][..];
        for (flag, given, of) in [
            ("dimension", self.dimension.is_some(), vectors),
            ("epochs", self.epochs.is_some(), vectors),
            ("seed", self.seed.is_some(), vectors),
            ("window", self.window.is_some(), item2vec),
            ("negatives", self.negatives.is_some(), item2vec),
            ("negative-exponent", self.negative_exponent.is_some(), item2vec),
            ("learning-rate", self.learning_rate.is_some(), item2vec),
            ("subsample", self.subsample.is_some(), item2vec),
            ("min-count", self.min_count.is_some(), not_ials),
            ("positives", self.positives.is_some(), not_item2vec),
            ("unobserved-weight", self.unobserved_weight.is_some(), ials),
            ("regularization", self.regularization.is_some(), not_item2vec),
            ("regularization-exponent", self.regularization_exponent.is_some(), ials),
            ("steps", self.steps.is_some(), ials),
        ] {
            if given && !of.contains(&method) {
                return Err(of_another_method(
                    flag,
                    methods.iter().filter(|name| of.contains(name)),
                ));
            }
        }
        Ok(())
    }
}

fn of_another_method<'a>(flag: &str, of: impl Iterator<Item = &'a Name>) -> Ended {
    let names: Vec<String> =
        of.filter_map(|name| Some(name.to_possible_value()?.get_name().to_owned())).collect();
    Ended::Usage(format!("--{flag} is an option of --method {}", names.join(" and ")))
}

/// What is to be computed.
#[derive(Debug, PartialEq)]
enum Work {
    Vectors(Method),
    Weights(ease::Options),
}

impl Embed {
    pub(crate) fn run(&self, console: Console) -> anyhow::Result<()> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or(processors);
        match self.work(threads)? {
            Work::Weights(options) => self.weights(&options, console),
            Work::Vectors(method) => self.vectors(&method, console),
        }
    }

    fn work(&self, threads: usize) -> Result<Work, Ended> {
        self.training.refuse_others(self.method, Name::value_variants())?;
        if self.keep.is_some() && self.method != Name::Ease {
            return Err(of_another_method("keep", [Name::Ease].iter()));
        }
        let vectors = |method| Work::Vectors(self.training.vectors(method, threads));
        Ok(match self.method {
            Name::Item2vec => vectors(Vectors::Item2vec),
            Name::Ials => vectors(Vectors::Ials),
            Name::Ease => Work::Weights(self.training.ease(self.keep, threads)?),
        })
    }

    fn weights(&self, options: &ease::Options, console: Console) -> anyhow::Result<()> {
        let started = Instant::now();
        let bar = console.bar("weighing", Unit::Steps);
        let summary = ease::write(
            &self.data,
            (!self.dry_run).then_some(self.out.as_path()),
            &ReaderOptions { max_bad_lines: self.max_bad_lines },
            options,
            &|done, total| bar.show(done, total),
        )?;
        drop(bar);
        let ease::Summary { data, movies, pairs, weights, without_weights, written } = summary;
        console.note(&format!(
            "{data}\nease: learned from {pairs} ratings: {weights} weights between {movies} of {} movies",
            data.movies
        ));
        if without_weights > 0 {
            console.warn(format_args!(
                "{without_weights} of {movies} movies have no weight to another: no user rated them \
                 beside another movie"
            ));
        }
        let files = written.map(|written| written.files).unwrap_or_default();
        console.summarise(&files, started);
        Ok(())
    }

    fn vectors(&self, method: &Method, console: Console) -> anyhow::Result<()> {
        let started = Instant::now();
        let bar = console.bar("embedding", Unit::Steps);
        let summary = embed::write(
            &self.data,
            (!self.dry_run).then_some(self.out.as_path()),
            &ReaderOptions { max_bad_lines: self.max_bad_lines },
            method,
            &|done, total| bar.show(done, total),
        )?;
        drop(bar);
        let embed::Summary { data, movies, users, pairs, zeros, files } = summary;
        console.note(&format!(
            "{data}\n{}: learned from {pairs} ratings: vectors for {movies} of {} movies and {users} of {} users",
            method.name(),
            data.movies,
            data.users
        ));
        warn_of(&zeros, console);
        console.summarise(&files, started);
        Ok(())
    }
}

/// Reports zero vectors, if any, on standard error.
pub(crate) fn warn_of(zeros: &Zeros, console: Console) {
    if zeros.any() {
        console.warn(format_args!("{zeros}: weaker regularization gives fewer"));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn embed(line: &str) -> Embed {
        let line = format!("sparrow-loader embed --data in --out out {line}");
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Embed(embed) => embed,
            other => unreachable!("embed was asked for, not {other:?}"),
        }
    }

    #[test]
    fn without_options_the_defaults_and_all_processors_count() {
        let expected = item2vec::Options { threads: 6, ..item2vec::Options::default() };
        assert_eq!(embed("").work(6).unwrap(), Work::Vectors(Method::Item2Vec(expected)));
        assert_eq!(embed("").max_bad_lines, 0);
        let expected = ials::Options { threads: 6, ..ials::Options::default() };
        assert_eq!(embed("--method ials").work(6).unwrap(), Work::Vectors(Method::Ials(expected)));
    }

    #[test]
    fn each_option_counts() {
        let embed = embed(
            "--dimension 8 --window 3 --epochs 2 --negatives 7 --negative-exponent -0.5 --learning-rate 0.5 \
             --subsample 0.25 --min-count 4 --threads 1 --seed 9 --max-bad-lines 5",
        );
        let expected = item2vec::Options {
            dimension: 8,
            window: 3,
            epochs: Some(2),
            negatives: 7,
            negative_exponent: -0.5,
            learning_rate: 0.5,
            subsample: 0.25,
            min_count: 4,
            threads: 6,
            seed: 9,
        };
        assert_eq!(embed.work(6).unwrap(), Work::Vectors(Method::Item2Vec(expected)));
        assert_eq!(embed.threads, Some(1));
        assert_eq!(embed.max_bad_lines, 5);
    }

    #[test]
    fn each_option_of_ials_counts() {
        let embed = embed(
            "--method ials --dimension 8 --epochs 2 --seed 9 --positives liked --unobserved-weight 0.5 \
             --regularization 0.25 --regularization-exponent 0.75 --steps 4",
        );
        let expected = ials::Options {
            dimension: 8,
            epochs: 2,
            objective: sparrow_neural::Objective {
                unobserved: 0.5,
                regularization: 0.25,
                exponent: 0.75,
            },
            positives: Positives::Liked,
            steps: 4,
            start: ials::Options::DEFAULT.start,
            threads: 6,
            seed: 9,
        };
        assert_eq!(embed.work(6).unwrap(), Work::Vectors(Method::Ials(expected)));
    }

    #[test]
    fn each_option_of_ease_counts() {
        let embed =
            embed("--method ease --regularization 50 --min-count 4 --keep 7 --positives liked");
        let expected = ease::Options {
            regularization: 50.0,
            min_count: 4,
            keep: 7,
            liked_only: true,
            recency: 0.0,
            threads: 6,
            memory: None,
        };
        assert_eq!(embed.work(6).unwrap(), Work::Weights(expected));
    }

    #[test]
    fn an_option_of_another_method_is_refused() {
        for (line, message) in [
            ("--steps 3", "--steps is an option of --method ials"),
            ("--regularization 3", "--regularization is an option of --method ials and ease"),
            ("--method ials --keep 3", "--keep is an option of --method ease"),
            ("--method ials --window 3", "--window is an option of --method item2vec"),
        ] {
            assert_eq!(embed(line).work(1).unwrap_err().to_string(), message);
        }
    }
}
