//! Test support: TensorFlow, and a model server on a free local port, stopped when dropped.
//!
//! [`script`] runs a script in `fixtures/tensorflow`; [`ModelServer`] serves models with TensorFlow Serving's REST
//! API, and [`fake`] pretends to. `SPARROW_TENSORFLOW` must name a Python interpreter with the packages of
//! `fixtures/tensorflow/requirements.txt`. Functions panic with the cause if it is missing or an operation times out.
//! Only tests depend on this crate.

pub mod fake;
mod model_server;

pub use model_server::ModelServer;

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder `fixtures/tensorflow`.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tensorflow")
}

/// Prepares a command that runs a script of the fixtures.
fn python(script: &str) -> Command {
    let python = std::env::var_os("SPARROW_TENSORFLOW")
        .expect("SPARROW_TENSORFLOW must name a Python with TensorFlow: run .ci/test");
    let mut command = Command::new(python);
    command.arg(fixtures().join(script));
    command
}

/// Runs a script of the fixtures with `input` on standard input; returns its standard output.
///
/// # Panics
/// If the script fails.
pub fn script<S: AsRef<OsStr>>(
    name: &str,
    arguments: impl IntoIterator<Item = S>,
    input: &str,
) -> String {
    let mut child = python(name)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run Python with {name}: {error}"));
    // No deadlock: the scripts read their whole input before they write.
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("the script reads");
    drop(stdin);
    let output = child.wait_with_output().expect("the script ends");
    assert!(output.status.success(), "{name} failed");
    String::from_utf8(output.stdout).expect("scripts print UTF-8")
}
