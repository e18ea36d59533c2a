//! The commands in `fixtures/README.md` reproduce the demonstration set in `crates/demo/data`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

use sparrow_blend::Blend;
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
                    word if word.starts_with("crates/demo/data") => {
                        word.replace("crates/demo/data", folder.to_str().unwrap())
                    }
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
    assert_eq!(commands.len(), 3, "synth, embed, fit");
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
    assert_blends_agree(folder.path());
    for model in ["ease", "next-item", "item-knn", "neuralcf"] {
        let file = format!("models/{model}/001/model.safetensors");
        let [made, kept] = [folder.path(), &demo()].map(|data| fs::read(data.join(&file)).unwrap());
        let difference = made.len().abs_diff(kept.len());
        assert!(difference * 100 < kept.len(), "{file}: {} and {} bytes", made.len(), kept.len());
    }
}

/// The last digits of weights depend on the instruction set of the processor.
fn assert_blends_agree(folder: &Path) {
    let [made, kept] = [folder, &demo()].map(|data| {
        let bytes = fs::read(data.join("models/blend/001/blend.json")).unwrap();
        Blend::read(&bytes, "blend.json").unwrap()
    });
    let signals = |blend: &Blend| blend.terms().iter().map(|term| term.signal).collect::<Vec<_>>();
    assert_eq!(signals(&made), signals(&kept));
    for (made, kept) in made.terms().iter().zip(kept.terms()) {
        assert!((made.weight - kept.weight).abs() < 0.05, "{made:?} {kept:?}");
        let of_new_users = [made, kept].map(|term| term.new_user_weight.unwrap_or_default());
        assert!((of_new_users[0] - of_new_users[1]).abs() < 0.1, "{made:?} {kept:?}");
    }
}
