//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sparrow_console::Console;
use sparrow_console::exit::HELP;
use sparrow_process::command_line::{Completions, Man};
use sparrow_synth as synth;

use crate::compare::Compare;
use crate::embed::Embed;
use crate::evaluate::Evaluate;
use crate::experiment::Experiment;
use crate::export::Export;
use crate::fit::Fit;
use crate::forward::Forwarded;
use crate::push::Push;
use crate::run::Run;
use crate::train::{Import, Train};
use crate::trim::Trim;
use crate::tune::Tune;
use crate::verify::Verify;

/// Prepares data for Sparrow: computes features, samples and embeddings, pushes them to a store, trains and
/// evaluates models, generates data sets.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) console: Console,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Run),
    /// Computes the features of all users and movies
    Features(Forwarded),
    /// Computes training and test samples: each rating with the features before it
    Samples(Forwarded),
    Embed(Embed),
    Fit(Fit),
    Import(Import),
    Push(Push),
    Verify(Verify),
    Export(Export),
    Trim(Trim),
    Synth(Synth),
    Train(Train),
    Tune(Tune),
    Evaluate(Evaluate),
    Compare(Compare),
    // Larger than the others.
    Experiment(Box<Experiment>),
    Completions(Completions),
    Man(Man),
}

/// Generates a synthetic data set in the MovieLens format.
///
/// Writes movies.csv, ratings.csv and links.csv. Movies, titles and users are fictional; tastes, popularity,
/// sessions and years have the structure of real data. The same sizes and seed result in the same files on
/// every machine.
#[derive(Debug, Args)]
pub(crate) struct Synth {
    /// Number of users, each with at least one rating (20 if there are enough ratings)
    #[arg(long, value_name = "U")]
    users: u32,

    /// Number of movies
    #[arg(long, value_name = "M")]
    movies: u32,

    /// Number of ratings, from U to U times M
    #[arg(long, value_name = "R")]
    ratings: u64,

    /// Seed of the random numbers
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Output folder, created if it does not exist
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Replace files that exist
    #[arg(short, long)]
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
}
