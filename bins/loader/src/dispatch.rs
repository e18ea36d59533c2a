//! Runs the command of the command line.

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::CommandFactory as _;
use sparrow_console::{Console, Unit};
use sparrow_output::Error as OutputError;
use sparrow_process::command_line::parse;
use sparrow_process::terminal;
use sparrow_synth as synth;
use tokio::runtime::Runtime;

use crate::args::{Cli, Command, Synth};
use crate::{failure, forward};
use sparrow_process::Signals;

/// What a subcommand that prints has failed to do.
const PRINT: &str = "cannot print";

/// Runs the command and reports its error on standard error. [`failure`] contains the exit codes.
pub(crate) fn main() -> ExitCode {
    if forward::is_help() {
        return end(forward::run());
    }
    let Cli { console, command } = match parse(env::args_os(), env!("SPARROW_VERSION")) {
        Ok(cli) => cli,
        Err(error) => return terminal::print_clap_result(&error),
    };
    let outcome = match command {
        Command::Run(args) => on_runtime(async |signals| args.run(console, signals).await),
        Command::Features(_) | Command::Samples(_) => return end(forward::run()),
        Command::Embed(embed) => embed.run(console),
        Command::Fit(fit) => fit.run(console),
        Command::Import(import) => import.run(console),
        Command::Verify(args) => on_runtime(async |signals| args.run(console, signals).await),
        // The layout of the future is too deep for the compiler.
        Command::Export(args) => {
            on_runtime(async |signals| Box::pin(args.run(console, signals)).await)
        }
        Command::Push(args) => {
            on_runtime(async |signals| Box::pin(args.run(console, signals)).await)
        }
        Command::Trim(args) => on_runtime(async |signals| args.run(console, signals).await),
        Command::Synth(synth) => synthesise(&synth, console),
        Command::Train(train) => train.run(console),
        Command::Tune(tune) => tune.run(console),
        Command::Evaluate(evaluate) => evaluate.run(console),
        Command::Compare(compare) => compare.run(console),
        Command::Experiment(args) => on_runtime(async |signals| args.run(console, signals).await),
        Command::Completions(completions) => completions.run(program()).context(PRINT),
        Command::Man(man) => man.run(program()).context(PRINT),
    };
    end(outcome.map(|()| ExitCode::SUCCESS))
}

/// The command line with the options of forwarded subcommands.
fn program() -> clap::Command {
    let command = Cli::command().long_version(env!("SPARROW_VERSION"));
    forward::described().into_iter().fold(command, |command, forwarded| {
        let name = forwarded.get_name().to_owned();
        command.mut_subcommand(name, |_| forwarded)
    })
}

fn end(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    let code = match outcome {
        Ok(code) => code,
        Err(error) => {
            sparrow_console::print_error(format_args!("{error:#}"));
            failure::exit_code(&error)
        }
    };
    sparrow_console::finish();
    code
}

/// Runs an asynchronous command.
fn on_runtime(work: impl AsyncFnOnce(&mut Signals) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let runtime = Runtime::new().context("cannot start the async runtime")?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        work(&mut signals).await
    });
    // A thread may still be reading files: after a signal the process does not wait for it.
    runtime.shutdown_background();
    outcome
}

fn synthesise(synth: &Synth, console: Console) -> anyhow::Result<()> {
    let started = Instant::now();
    let bar = console.bar("generating", Unit::Each("ratings"));
    let files = synth::write(&synth.out, &synth.options(), &|done, total| bar.show(done, total));
    drop(bar);
    let files = match files {
        Err(synth::Error::Output(error @ OutputError::Exists(_))) => {
            anyhow::bail!("{error}; --force replaces it");
        }
        files => files?,
    };
    console.summarise(&files, started);
    Ok(())
}
