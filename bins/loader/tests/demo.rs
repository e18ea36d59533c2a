//! The commands in `fixtures/README.md` reproduce the demonstration set in `crates/demo/data`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

use sparrow_test_support::{demo, workspace};

/// The commands of the README, with another folder instead of `crates/demo/data`.
fn commands(folder: &Path) -> Vec<Vec<String>> {
    let readme = fs::read_to_string(workspace().join("fixtures/README.md")).unwrap();
    readme
        .lines()
        .filter_map(|line| line.split_once("--bin sparrow-loader -- "))
        .map(|(_, arguments)| {
            arguments
                .split_whitespace()
                .map(|word| match word {
                    "crates/demo/data" => folder.to_str().unwrap().to_owned(),
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
        let kept = fs::read(demo().join(name)).unwrap();
        assert!(made == kept, "crates/demo/data/{name} differs from what its command makes");
    }
}
