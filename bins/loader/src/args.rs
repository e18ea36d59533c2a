//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sparrow_offline::{item2vec, synth};

use crate::compare::Compare;
use crate::evaluate::Evaluate;
use crate::everything::Everything;
use crate::exit;
use crate::features::Features;
use crate::push::Push;
use crate::samples::Samples;
use crate::train::{Import, Train};
use crate::verify::Verify;

/// Prepares data for Sparrow: computes features, samples and embeddings, pushes them to a store, trains
/// models and measures them, invents data sets.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = exit::HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Everything),
    Features(Features),
    Samples(Samples),
    Embed(Embed),
    Import(Import),
    Push(Push),
    Verify(Verify),
    Synth(Synth),
    Train(Train),
    Evaluate(Evaluate),
    Compare(Compare),
}

/// Computes item2vec embeddings of a MovieLens data set.
///
/// Reads ml-latest-small, ml-25m, ml-32m, ml-1m or ml-100k (told apart by their files) and writes
/// item2vecEmb.csv, a vector for each movie, and userEmb.csv, for each user the mean over the vectors
/// of the movies that the user liked (3.5 stars or more). A line is "id:f f f …".
///
/// The vectors come from skip-gram with negative sampling over each user's liked movies in the
/// order of time. Vectors of movies have length 1.
#[derive(Debug, Args)]
pub(crate) struct Embed {
    /// Folder with the data set
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// Folder to write into; made if it does not exist, files in it are replaced
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Compute everything and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    training: Training,

    /// Threads [default: one for each processor]; with 1, the same seed gives the same files
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Bad lines of the data set to skip and report, rather than stop
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_lines: usize,
}

/// How vectors are computed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Embeddings")]
pub(crate) struct Training {
    /// Length of the vectors
    #[arg(long, value_name = "N", default_value_t = DEFAULTS.dimension)]
    dimension: usize,

    /// Neighbours on either side, at most, that a movie is paired with
    #[arg(long, value_name = "N", default_value_t = DEFAULTS.window)]
    window: usize,

    /// How often all likes are gone through [default: 10, fewer for more than 500,000 likes]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,

    /// Random movies that each movie is told apart from
    #[arg(long, value_name = "N", default_value_t = DEFAULTS.negatives)]
    negatives: usize,

    /// Step of the first update; it falls in a straight line to nearly 0
    #[arg(long, value_name = "X", default_value_t = DEFAULTS.learning_rate)]
    learning_rate: f32,

    /// Movies with more than this part of all likes are passed over now and then; 0 turns it off
    #[arg(long, value_name = "X", default_value_t = DEFAULTS.subsample)]
    subsample: f64,

    /// Movies with fewer likes get no vector
    #[arg(long, value_name = "N", default_value_t = DEFAULTS.min_count)]
    min_count: usize,

    /// Another seed gives other vectors, equally good
    #[arg(long, value_name = "S", default_value_t = DEFAULTS.seed)]
    seed: u64,
}

const DEFAULTS: item2vec::Options = item2vec::Options::DEFAULT;

impl Training {
    pub(crate) fn options(&self, threads: usize) -> item2vec::Options {
        item2vec::Options {
            dimension: self.dimension,
            window: self.window,
            epochs: self.epochs,
            negatives: self.negatives,
            learning_rate: self.learning_rate,
            subsample: self.subsample,
            min_count: self.min_count,
            threads,
            seed: self.seed,
        }
    }
}

impl Embed {
    /// `processors` is the number of threads unless one is asked for.
    pub(crate) fn options(&self, processors: usize) -> item2vec::Options {
        self.training.options(self.threads.unwrap_or(processors))
    }

    pub(crate) fn reader(&self) -> sparrow_offline::ReaderOptions {
        sparrow_offline::ReaderOptions { max_bad_lines: self.max_bad_lines }
    }
}

/// Invents a data set in the MovieLens format.
///
/// Writes movies.csv, ratings.csv and links.csv. The films, their titles and their users are made
/// up; tastes, popularity, sessions and years have a structure like that of real data. The same
/// numbers and seed give the same files on every machine.
#[derive(Debug, Args)]
pub(crate) struct Synth {
    /// Number of users, each with at least one rating (20 where there are enough ratings)
    #[arg(long, value_name = "U")]
    users: u32,

    /// Number of movies
    #[arg(long, value_name = "M")]
    movies: u32,

    /// Number of ratings, from U to U times M
    #[arg(long, value_name = "R")]
    ratings: u64,

    /// Another seed gives another data set
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Folder to write into; made if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

impl Synth {
    pub(crate) fn options(&self) -> synth::Options {
        synth::Options {
            size: synth::Size { users: self.users, movies: self.movies, ratings: self.ratings },
            seed: self.seed,
            replace: self.force,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    fn embed(more: &[&str]) -> Embed {
        let line = [&["sparrow-loader", "embed", "--data", "in", "--out", "out"], more].concat();
        match Cli::try_parse_from(line).expect("well-formed").command {
            Command::Embed(embed) => embed,
            other => unreachable!("embed was asked for, not {other:?}"),
        }
    }

    #[test]
    fn embed_without_options_takes_the_defaults_and_all_processors() {
        let expected = item2vec::Options { threads: 6, ..item2vec::Options::default() };
        assert_eq!(embed(&[]).options(6), expected);
        assert_eq!(embed(&[]).reader().max_bad_lines, 0);
    }

    #[test]
    fn embed_takes_each_option() {
        let line = "--dimension 8 --window 3 --epochs 2 --negatives 7 --learning-rate 0.5 \
                    --subsample 0.25 --min-count 4 --threads 1 --seed 9 --max-bad-lines 5";
        let embed = embed(&line.split_whitespace().collect::<Vec<_>>());
        let expected = item2vec::Options {
            dimension: 8,
            window: 3,
            epochs: Some(2),
            negatives: 7,
            learning_rate: 0.5,
            subsample: 0.25,
            min_count: 4,
            threads: 1,
            seed: 9,
        };
        assert_eq!(embed.options(6), expected);
        assert_eq!(embed.reader().max_bad_lines, 5);
    }
}
