//! The guide for embedding: its files are a project that compiles, that prints what the guide prints, and whose tests
//! pass.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// The code blocks of a language.
fn blocks<'g>(guide: &'g str, language: &str) -> Vec<&'g str> {
    let start = format!("```{language}\n");
    guide.split(&start).skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

/// The output of a command of Cargo in a project.
fn cargo(project: &Path, command: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args([command, "--quiet", "--offline", "--target-dir", env!("CARGO_TARGET_TMPDIR")])
        .current_dir(project)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {command}: {printed}{errors}");
    printed
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
    let manifest = blocks(guide, "toml").join("\n");
    let manifest = manifest.replace("../sparrow", &workspace.display().to_string());
    fs::write(project.path().join("Cargo.toml"), manifest).unwrap();
    // The versions that the workspace is tested with; Cargo drops what the project does not need.
    fs::copy(workspace.join("Cargo.lock"), project.path().join("Cargo.lock")).unwrap();
    for (folder, file, language) in
        [("src", "main.rs", "rust"), ("tests", "contracts.rs", "rust,ignore")]
    {
        fs::create_dir(project.path().join(folder)).unwrap();
        fs::write(project.path().join(folder).join(file), blocks(guide, language)[0]).unwrap();
    }
    assert_eq!(cargo(project.path(), "run"), blocks(guide, "text")[0]);
    let tests = cargo(project.path(), "test");
    assert!(tests.contains("test result: ok. 3 passed; 0 failed"), "{tests}");
}
