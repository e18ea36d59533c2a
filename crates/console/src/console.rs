//! What a command prints besides its result.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;

use crate::{Bar, Unit};

/// Writes lines of a result to standard output.
pub fn say(text: impl Display) -> anyhow::Result<()> {
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
            drop(writeln!(io::stdout().lock(), "{text}"));
        }
    }

    /// Writes a warning to standard error, even with `--quiet`.
    #[expect(clippy::unused_self, reason = "all that a command prints goes through its console")]
    pub fn warn(self, message: impl Display) {
        drop(writeln!(io::stderr(), "warning: {message}"));
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
