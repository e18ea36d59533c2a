//! Runs the program with generated data.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use sparrow_test_redis::wait_until;
use tempfile::TempDir;

/// Splits a command line; `{}` is replaced by the next of `values`, which may contain spaces.
pub(crate) fn loader(line: &str, values: &[&dyn AsRef<Path>]) -> Command {
    let mut values = values.iter();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sparrow-loader"));
    for word in line.split_whitespace() {
        match word {
            "{}" => command.arg(values.next().unwrap().as_ref()),
            word => command.arg(word),
        };
    }
    assert!(values.next().is_none(), "a value too many for {line}");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") || name == "SPARROW_STORE" {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command; returns its standard output and standard error.
pub(crate) fn ends(code: i32, command: &mut Command) -> (String, String) {
    let output: Output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, errors) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{out}\n{errors}");
    (out, errors)
}

pub(crate) fn succeeds(line: &str, values: &[&dyn AsRef<Path>]) -> String {
    let (out, errors) = ends(0, &mut loader(line, values));
    assert_eq!(errors, "", "{line}");
    out
}

pub(crate) fn fails(code: i32, line: &str, values: &[&dyn AsRef<Path>]) -> String {
    let (_, errors) = ends(code, &mut loader(line, values));
    assert!(errors.starts_with("error: "), "{line}: {errors}");
    errors
}

/// A running program; killed when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        assert!(status.unwrap().success(), "kill {signal}");
    }

    /// Waits for the exit code (`None` after a signal) and standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        wait_until("the program ends", || self.0.try_wait().unwrap().is_some());
        let status = self.0.wait().unwrap();
        let errors = std::io::read_to_string(self.0.stderr.take().unwrap()).unwrap();
        (status.code(), errors)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A synthetic data set.
pub(crate) fn data_set() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    succeeds("synth --users 70 --movies 90 --ratings 4000 --seed 4 --out {}", &[&folder]);
    folder
}

/// A file with vectors whose components depend on the generation.
pub(crate) fn vectors(folder: &Path, count: u32, generation: u32) -> PathBuf {
    let mut text = String::new();
    for id in 1..=count {
        writeln!(text, "{id}:{generation} {id}").unwrap();
    }
    let path = folder.join(format!("vectors{generation}.csv"));
    fs::write(&path, text).unwrap();
    path
}
