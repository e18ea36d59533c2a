//! The guide for embedding: its files are a project that compiles, and that prints what the
//! guide prints.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// The first code block of a language.
fn block<'g>(guide: &'g str, language: &str) -> &'g str {
    let start = format!("```{language}\n");
    let (_, rest) = guide.split_once(&start).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_code_of_the_guide_has_no_hidden_lines() {
    let guide = include_str!("../../../docs/embedding.md");
    let hidden: Vec<&str> =
        guide.lines().filter(|line| *line == "#" || line.starts_with("# ")).skip(1).collect();
    assert_eq!(hidden, Vec::<&str>::new(), "beside the title");
}

#[test]
#[ignore = "compiles a project of its own, which takes a minute: run .ci/test"]
fn the_guide_compiles_as_pasted_and_prints_what_it_claims() {
    let guide = include_str!("../../../docs/embedding.md");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let project = tempfile::tempdir().unwrap();
    let manifest = block(guide, "toml").replace("../sparrow", &workspace.display().to_string());
    fs::write(project.path().join("Cargo.toml"), manifest).unwrap();
    // The versions that the workspace is tested with; Cargo drops what the project does not need.
    fs::copy(workspace.join("Cargo.lock"), project.path().join("Cargo.lock")).unwrap();
    fs::create_dir(project.path().join("src")).unwrap();
    fs::write(project.path().join("src/main.rs"), block(guide, "rust")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--target-dir", env!("CARGO_TARGET_TMPDIR")])
        .current_dir(project.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), block(guide, "text"), "{errors}");
}
