//! Runs the program as a person would.

use std::path::Path;
use std::process::{Command, Output};

/// A command line, and options that are paths.
pub(crate) fn run(line: &str, folders: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sparrow-loader"));
    command.args(line.split_whitespace());
    for (option, folder) in folders {
        command.arg(option).arg(folder);
    }
    command.output().unwrap()
}

/// Runs what must succeed and returns what it prints.
pub(crate) fn succeed(line: &str, folders: &[(&str, &Path)]) -> String {
    let output = run(line, folders);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    assert_eq!(errors, "", "{line}: a progress bar off the terminal");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs what must fail and returns its error message.
pub(crate) fn fail(code: i32, line: &str, folders: &[(&str, &Path)]) -> String {
    let output = run(line, folders);
    assert_eq!(output.status.code(), Some(code), "{line}");
    String::from_utf8(output.stderr).unwrap()
}
