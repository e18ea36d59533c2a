//! What the tests of several crates share: the folders of the project, the lengths of slow tests, and the
//! corpus of fuzz targets.
//!
//! * [`catalogue`]: catalogues of invented movies.
//! * [`program`]: programs as processes.
//! * [`random`]: random numbers for damaged input.
//! * [`reference`](mod@reference): features, computed in the plainest way.
//! * [`server`]: `sparrow-serve` as a process.
//! * [`tokens`]: tokens of users.
//!
//! Functions panic with the cause if an operation fails: they run in tests only. `sparrow-test-redis` and
//! `sparrow-test-tensorflow` start servers.

pub mod catalogue;
pub mod program;
pub mod random;
pub mod reference;
pub mod server;
pub mod tokens;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder of the demonstration set.
pub fn demo() -> PathBuf {
    workspace().join("crates/demo/data")
}

/// The number of rounds of a slow test: `short`, or `long` if the variable `SPARROW_LONG_TESTS` is set, as `.ci/test --long`
/// does. Adds a line about it to the file that `SPARROW_TEST_REPORT` names, if any, which `.ci/test` prints.
///
/// # Panics
/// If that file cannot be written.
pub fn rounds(what: &str, short: usize, long: usize) -> usize {
    let is_long = std::env::var_os("SPARROW_LONG_TESTS").is_some();
    let rounds = if is_long { long } else { short };
    if let Some(report) = std::env::var_os("SPARROW_TEST_REPORT") {
        let file = fs::OpenOptions::new().append(true).create(true).open(report);
        let line = format!("{what}: {rounds} of {long}\n");
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("cannot write the report");
    }
    rounds
}

/// The seeds of a fuzz target, which are files in `crates/fuzz/corpus`, and further inputs beside them, by file name. With
/// the variable `SPARROW_UPDATE` set, writes the seeds first.
///
/// # Panics
/// If a seed is not in the corpus, or differs.
pub fn corpus(target: &str, seeds: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    let folder = workspace().join("crates/fuzz/corpus").join(target);
    for (name, content) in seeds {
        let file = folder.join(format!("seed-{name}"));
        if is_update() {
            fs::create_dir_all(&folder).expect("cannot create the folder of the corpus");
            fs::write(&file, content).expect("cannot write a seed");
        }
        let found = fs::read(&file).unwrap_or_default();
        assert!(found == *content, "{} differs: set SPARROW_UPDATE=1 to write it", file.display());
    }
    let entries = fs::read_dir(&folder).expect("cannot read the folder of the corpus");
    let mut inputs: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let entry = entry.expect("cannot read the folder of the corpus");
            let content = fs::read(entry.path()).expect("cannot read an input");
            (entry.file_name().to_string_lossy().into_owned(), content)
        })
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "the corpus {} is empty", folder.display());
    inputs
}

/// Whether tests write the files that they compare with.
fn is_update() -> bool {
    std::env::var_os("SPARROW_UPDATE").is_some()
}

/// Compares a text with a file that a previous run wrote. With the variable `SPARROW_UPDATE` set, writes the file.
///
/// # Panics
/// If the text differs from the file, or there is no such file.
pub fn assert_snapshot(file: &Path, text: &str) {
    if is_update() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("cannot create the folder");
        fs::write(file, text).expect("cannot write the snapshot");
    }
    let kept = fs::read_to_string(file).unwrap_or_default().replace("\r\n", "\n");
    if kept == text {
        return;
    }
    let same = text.lines().zip(kept.lines()).take_while(|(found, kept)| found == kept).count();
    panic!(
        "{} differs from line {} on; SPARROW_UPDATE=1 writes it, then compare the files. Found:\n{text}",
        file.display(),
        same + 1
    );
}
