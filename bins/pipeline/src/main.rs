//! `sparrow-pipeline`: the subcommands of `sparrow-loader` that compute with DataFusion. It is a
//! separate program because DataFusion takes longer to compile than everything else.

mod features;
mod resources;
mod samples;

use std::env;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use sparrow_console::{Console, exit};
use sparrow_pipeline::Error;
use sparrow_process::command_line::{description, parse};
use sparrow_process::{Interrupted, terminal};

use features::Features;
use samples::Samples;

/// Computes features and training samples for sparrow-loader.
#[derive(Debug, Parser)]
#[command(name = "sparrow-pipeline", version, arg_required_else_help = true, after_help = exit::HELP)]
struct Cli {
    #[command(flatten)]
    console: Console,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Features(Features),
    Samples(Samples),
    /// Prints the options of the other subcommands, for sparrow-loader.
    #[command(hide = true)]
    Describe,
}

fn main() -> ExitCode {
    let Cli { console, command } = match parse(env::args_os(), env!("SPARROW_VERSION")) {
        Ok(cli) => cli,
        Err(error) => return terminal::print_clap_result(&error),
    };
    let outcome = match command {
        Command::Features(args) => features::run(args, console),
        Command::Samples(args) => samples::run(args, console),
        Command::Describe => sparrow_console::print_result(description(&Cli::command()).trim_end()),
    };
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            sparrow_console::print_error(format_args!("{error:#}"));
            ExitCode::from(code(&error))
        }
    };
    sparrow_console::finish();
    code
}

fn code(error: &anyhow::Error) -> u8 {
    let of_live = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref().map(sparrow_live_overlay::Error::exit_code)
    };
    if let Some(code) = error.chain().find_map(of_live) {
        return code;
    }
    if let Some(Interrupted { signal, .. }) = error.downcast_ref() {
        return 128 + signal.number();
    }
    let bad_input = error.chain().any(|cause| {
        cause.downcast_ref().is_some_and(Error::is_bad_input)
            || cause.is::<sparrow_movielens::Error>()
    });
    if bad_input { exit::BAD_INPUT } else { exit::FAILED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
