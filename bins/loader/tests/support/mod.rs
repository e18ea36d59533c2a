//! Runs the program from the command line.

use std::path::Path;
use std::process::Command;

use sparrow_test_support::program;

/// A command line and options with paths.
pub(crate) fn loader(line: &str, folders: &[(&str, &Path)]) -> Command {
    let mut command = program::command(env!("CARGO_BIN_EXE_sparrow-loader"), line, &[]);
    for (option, folder) in folders {
        command.arg(option).arg(folder);
    }
    command
}

/// Runs a command that must succeed; returns its output.
pub(crate) fn succeed(line: &str, folders: &[(&str, &Path)]) -> String {
    // Nothing on standard error: no progress bar off the terminal.
    program::succeeds(&mut loader(line, folders))
}

/// Runs a command that must fail with this code; returns its error message.
pub(crate) fn fail(code: i32, line: &str, folders: &[(&str, &Path)]) -> String {
    program::ends(code, &mut loader(line, folders)).1
}
