//! For tests: the real TensorFlow, and a server of its models on a free port of this machine, gone when dropped.
//!
//! [`script`] runs a script of `fixtures/tensorflow`, [`ModelServer`] serves model folders by TensorFlow
//! Serving's REST API. `SPARROW_TENSORFLOW` names a Python that has the packages of
//! `fixtures/tensorflow/requirements.txt`; without it, and whenever something does not come about in time, this
//! panics and says why. Nothing but tests depends on this crate.

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

/// Python with a script of the fixtures.
fn python(script: &str) -> Command {
    let python = std::env::var_os("SPARROW_TENSORFLOW")
        .expect("SPARROW_TENSORFLOW must name a Python with TensorFlow: run .ci/test");
    let mut command = Command::new(python);
    command.arg(fixtures().join(script));
    command
}

/// What a script of the fixtures prints.
///
/// # Panics
/// When it fails.
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
    // The scripts read all of their input before they write.
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("the script reads");
    drop(stdin);
    let output = child.wait_with_output().expect("the script ends");
    assert!(output.status.success(), "{name} failed");
    String::from_utf8(output.stdout).expect("scripts print UTF-8")
}
