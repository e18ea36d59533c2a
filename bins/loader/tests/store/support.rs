//! Runs the program with generated data.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sparrow_test_support::program;
use tempfile::TempDir;

pub(crate) use sparrow_test_support::program::{Running, ends};

/// A command line of the loader; see [`program::command`].
pub(crate) fn loader(line: &str, values: &[&dyn AsRef<Path>]) -> Command {
    program::command(env!("CARGO_BIN_EXE_sparrow-loader"), line, values)
}

pub(crate) fn succeeds(line: &str, values: &[&dyn AsRef<Path>]) -> String {
    program::succeeds(&mut loader(line, values))
}

pub(crate) fn fails(code: i32, line: &str, values: &[&dyn AsRef<Path>]) -> String {
    program::fails(code, &mut loader(line, values))
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
