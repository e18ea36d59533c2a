//! Carries out what the command line asks for.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser as _;
use sparrow_offline::synth;
use tokio::runtime::Runtime;

use crate::args::{Cli, Command, Synth};
use crate::progress::Bar;
use crate::signals::Signals;
use crate::{exit, features, samples};

/// Runs the command, and says on standard error why it failed. [`exit`] has the exit codes.
pub(crate) fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => on_runtime(async |signals| args.run(signals).await),
        Command::Features(args) => features::run(&args),
        Command::Samples(args) => samples::run(&args),
        Command::Embed(embed) => embed.run(),
        Command::Import(import) => import.run(),
        Command::Push(args) => on_runtime(async |signals| args.run(signals).await),
        Command::Verify(args) => on_runtime(async |signals| args.run(signals).await),
        Command::Synth(synth) => invent(&synth),
        Command::Train(train) => train.run(),
        Command::Tune(tune) => tune.run(),
        Command::Evaluate(evaluate) => evaluate.run(),
        Command::Compare(compare) => compare.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If even this cannot be written, the exit code still tells.
            drop(writeln!(io::stderr(), "error: {error:#}"));
            exit::code(&error)
        }
    }
}

/// Runs what waits for files and stores.
fn on_runtime(work: impl AsyncFnOnce(&mut Signals) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let runtime = Runtime::new().context("cannot start the async runtime")?;
    let outcome = runtime.block_on(async { work(&mut Signals::listen()?).await });
    // A thread may still be reading files; after a signal the process need not wait for it.
    runtime.shutdown_background();
    outcome
}

fn invent(synth: &Synth) -> anyhow::Result<()> {
    let started = Instant::now();
    let bar = Bar::new("inventing", "ratings");
    let files = synth::write(&synth.out, &synth.options(), &|done, total| bar.show(done, total))?;
    drop(bar);
    summarise(&files, started)
}

/// Says what was written, if not for a dry run, and how long it took.
pub(crate) fn summarise(files: &[(PathBuf, u64)], started: Instant) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let mut write = || {
        for (path, size) in files {
            writeln!(out, "wrote {} ({size} bytes)", path.display())?;
        }
        if files.is_empty() {
            writeln!(out, "nothing was written (--dry-run)")?;
        }
        writeln!(out, "done in {:.1} s", started.elapsed().as_secs_f64())
    };
    write().context("cannot write to standard output")
}
