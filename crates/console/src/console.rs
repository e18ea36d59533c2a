//! What a command prints besides its result.
//!
//! Standard error is written by a thread of its own, so that a reader that does not read blocks nothing. Results on
//! standard output wait for their reader.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use sparrow_process::{Stream, terminal};

use crate::{Bar, Unit};

/// How long the end of the program waits for the reader of standard error.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long a line on standard output waits for what was sent to the terminal before it.
const ORDER: Duration = Duration::from_millis(50);

/// Standard error; `None` where the system gives no thread for it, and texts are lost.
static ERRORS: LazyLock<Option<Stream>> = LazyLock::new(|| Stream::stderr(|_| {}).ok());

/// Sends a text to standard error.
pub(crate) fn send(text: impl Into<Vec<u8>>) {
    if let Some(errors) = &*ERRORS {
        errors.send(text);
    }
}

/// Prints the error with which the program ends.
pub fn complain(message: impl Display) {
    send(terminal::error(message));
}

/// Waits for the reader of standard error, for a moment.
pub fn finish() {
    if let Some(errors) = LazyLock::get(&ERRORS).and_then(Option::as_ref) {
        errors.finish(LAST_WORDS);
    }
}

/// Lets a terminal show what was sent to standard error before a line on standard output, for which the progress bar
/// was cleared.
pub fn keep_order() {
    if io::stderr().is_terminal()
        && let Some(errors) = LazyLock::get(&ERRORS).and_then(Option::as_ref)
    {
        errors.finish(ORDER);
    }
}

/// Writes lines of a result to standard output.
pub fn say(text: impl Display) -> anyhow::Result<()> {
    keep_order();
    writeln!(io::stdout().lock(), "{text}").context("cannot write to standard output")
}

/// How much a command prints.
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
    /// A progress bar. It is drawn on a terminal only, and not with `--quiet`.
    pub fn bar(self, doing: &'static str, unit: Unit) -> Bar {
        if self.quiet { Bar::hidden() } else { Bar::new(doing, unit) }
    }

    /// Writes lines to standard output, unless with `--quiet`. The command goes on where nobody reads them.
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

    /// Writes which files were written, if not for a dry run, and how long it took.
    pub fn summarise(self, files: &[(PathBuf, u64)], started: Instant) {
        for (path, size) in files {
            self.note(&format!("wrote {} ({size} bytes)", path.display()));
        }
        if files.is_empty() {
            self.note("nothing was written (--dry-run)");
        }
        self.note(&format!("done in {:.1} s", started.elapsed().as_secs_f64()));
    }

    /// Whether details are asked for.
    pub const fn is_verbose(self) -> bool {
        self.verbose
    }
}
