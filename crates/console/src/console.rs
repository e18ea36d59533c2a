//! The output of a command besides its result.
//!
//! Standard error is written by a separate thread, so that a stalled reader does not block the
//! command. Results on standard output wait for their reader.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use sparrow_process::{Stream, terminal};

use crate::{Bar, Unit};

/// The time that the program waits for the reader of standard error at its end.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// The time that a line on standard output waits for earlier output on standard error.
const ORDER_TIMEOUT: Duration = Duration::from_millis(50);

/// Standard error; `None` if its thread cannot be started, in which case output is dropped.
static ERRORS: LazyLock<Option<Stream>> = LazyLock::new(|| Stream::stderr(|_| {}).ok());

/// Queues text for standard error.
pub(crate) fn send(text: impl Into<Vec<u8>>) {
    if let Some(errors) = &*ERRORS {
        errors.send(text);
    }
}

/// Prints the error with which the program ends.
pub fn print_error(message: impl Display) {
    send(terminal::error(message));
}

/// Waits until standard error is written, for a limited time.
pub fn finish() {
    if let Some(errors) = LazyLock::get(&ERRORS).and_then(Option::as_ref) {
        errors.finish(FLUSH_TIMEOUT);
    }
}

/// Waits briefly until standard error is written, so that the terminal shows a cleared progress bar
/// before a line on standard output.
pub fn keep_order() {
    if io::stderr().is_terminal()
        && let Some(errors) = LazyLock::get(&ERRORS).and_then(Option::as_ref)
    {
        errors.finish(ORDER_TIMEOUT);
    }
}

/// Writes lines of a result to standard output.
pub fn print_result(text: impl Display) -> anyhow::Result<()> {
    keep_order();
    writeln!(io::stdout().lock(), "{text}").context("cannot write to standard output")
}

/// The verbosity of a command.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Console {
    /// Print only errors and results: no progress bar, no summary
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 900)]
    quiet: bool,

    /// Print more: a line for each epoch of a training
    #[arg(short, long, global = true, display_order = 901)]
    verbose: bool,
}

impl Console {
    /// A progress bar, which is drawn only on a terminal and without `--quiet`.
    pub fn bar(self, doing: &'static str, unit: Unit) -> Bar {
        if self.quiet { Bar::hidden() } else { Bar::new(doing, unit) }
    }

    /// Writes lines to standard output, unless with `--quiet`. Errors are ignored.
    pub fn note(self, text: &str) {
        if !self.quiet {
            keep_order();
            drop(writeln!(io::stdout().lock(), "{text}"));
        }
    }

    /// Writes a warning to standard error, even with `--quiet`.
    pub fn warn(self, message: impl Display) {
        self.remark(format_args!("warning: {message}"));
    }

    /// Writes a line to standard error, even with `--quiet`.
    pub fn remark(self, message: impl Display) {
        send(format!("{message}\n"));
    }

    /// Lists the written files, or the dry run, and the elapsed time.
    pub fn summarise(self, files: &[(PathBuf, u64)], started: Instant) {
        for (path, size) in files {
            self.note(&format!("wrote {} ({size} bytes)", path.display()));
        }
        if files.is_empty() {
            self.note("nothing was written (--dry-run)");
        }
        self.note(&format!("done in {:.1} s", started.elapsed().as_secs_f64()));
    }

    /// Whether `--verbose` is present.
    pub const fn is_verbose(self) -> bool {
        self.verbose
    }
}
