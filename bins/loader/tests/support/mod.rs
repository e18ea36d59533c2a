//! Runs the program as a person would.

use std::path::Path;
use std::process::Command;

use sparrow_test_support::program;

/// A command line, and options that are paths.
pub(crate) fn loader(line: &str, folders: &[(&str, &Path)]) -> Command {
    let mut command = program::command(env!("CARGO_BIN_EXE_sparrow-loader"), line, &[]);
    for (option, folder) in folders {
        command.arg(option).arg(folder);
    }
    command
}

/// Runs what must succeed and returns what it prints.
pub(crate) fn succeed(line: &str, folders: &[(&str, &Path)]) -> String {
    // Nothing on standard error: no progress bar off the terminal.
    program::succeeds(&mut loader(line, folders))
}

/// Runs what must fail and returns its error message.
pub(crate) fn fail(code: i32, line: &str, folders: &[(&str, &Path)]) -> String {
    program::ends(code, &mut loader(line, folders)).1
}
