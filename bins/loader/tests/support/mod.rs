//! Runs the program from the command line.

use std::path::Path;
use std::process::{Command, Output};

/// A command line and options with paths.
pub(crate) fn run(line: &str, folders: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sparrow-loader"));
    command.args(line.split_whitespace());
    for (option, folder) in folders {
        command.arg(option).arg(folder);
    }
    command.output().unwrap()
}

/// Runs a command that must succeed; returns its output.
pub(crate) fn succeed(line: &str, folders: &[(&str, &Path)]) -> String {
    let output = run(line, folders);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    assert_eq!(errors, "", "{line}: a progress bar off the terminal");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with this code; returns its error message.
pub(crate) fn fail(code: i32, line: &str, folders: &[(&str, &Path)]) -> String {
    let output = run(line, folders);
    assert_eq!(output.status.code(), Some(code), "{line}");
    String::from_utf8(output.stderr).unwrap()
}
