//! The commands in `fixtures/README.md` reproduce the demonstration set in `fixtures/demo`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// The commands of the README, with another folder instead of `fixtures/demo`.
fn commands(folder: &Path) -> Vec<Vec<String>> {
    let readme = fs::read_to_string(fixtures().join("README.md")).unwrap();
    readme
        .lines()
        .filter_map(|line| line.split_once("--bin sparrow-loader -- "))
        .map(|(_, arguments)| {
            arguments
                .split_whitespace()
                .map(|word| match word {
                    "fixtures/demo" => folder.to_str().unwrap().to_owned(),
                    word => word.to_owned(),
                })
                .collect()
        })
        .collect()
}

#[test]
fn documented_commands_reproduce_the_demonstration_set() {
    let folder = tempfile::tempdir().unwrap();
    let commands = commands(folder.path());
    assert_eq!(commands.len(), 2, "one synth, one embed");
    for command in commands {
        let status = Command::new(env!("CARGO_BIN_EXE_sparrow-loader")).args(&command).status();
        assert!(status.unwrap().success(), "{command:?}");
    }
    for name in [
        "movies.csv",
        "links.csv",
        "ratings.csv",
        "item2vecEmb.csv",
        "userEmb.csv",
        "embedding.json",
        "_SHA256SUMS",
    ] {
        let made = fs::read(folder.path().join(name)).unwrap();
        let kept = fs::read(fixtures().join("demo").join(name)).unwrap();
        assert!(made == kept, "fixtures/demo/{name} differs from what its command makes");
    }
}
