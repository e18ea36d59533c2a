//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sparrow_console::Console;
use sparrow_console::exit::HELP;
use sparrow_synth as synth;

use crate::compare::Compare;
use crate::embed::Embed;
use crate::evaluate::Evaluate;
use crate::forward::Forwarded;
use crate::push::Push;
use crate::run::Run;
use crate::train::{Import, Train};
use crate::tune::Tune;
use crate::verify::Verify;

/// Prepares data for Sparrow: computes features, samples and embeddings, pushes them to a store, trains
/// models and measures them, invents data sets.
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
    /// Makes training and test samples: each rating with what was known just before it
    Samples(Forwarded),
    Embed(Embed),
    Import(Import),
    Push(Push),
    Verify(Verify),
    Synth(Synth),
    Train(Train),
    Tune(Tune),
    Evaluate(Evaluate),
    Compare(Compare),
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
