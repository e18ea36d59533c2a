//! Runs the program as `sparrow-loader` does.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sparrow-pipeline")).args(arguments).output().unwrap()
}

#[test]
fn the_help_lists_both_subcommands() {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    assert!(help.contains("  features ") && help.contains("  samples "), "{help}");
}

#[test]
fn a_missing_data_set_exits_with_the_code_for_invalid_input() {
    for command in ["features", "samples"] {
        let output = run(&[command, "--data", "missing", "--out", "missing/out"]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{error}");
        assert!(error.starts_with("error: ") && error.contains("missing"), "{error}");
    }
}

#[test]
fn help_of_every_subcommand_is_as_kept() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    for name in ["features", "samples"] {
        let help = String::from_utf8(run(&[name, "--help"]).stdout).unwrap();
        sparrow_test_support::assert_snapshot(&folder.join(format!("help-{name}.txt")), &help);
    }
}

#[test]
fn options_are_described_for_the_loader() {
    let text = String::from_utf8(run(&["describe"]).stdout).unwrap();
    let commands = sparrow_process::command_line::described(&text);
    let names: Vec<&str> = commands.iter().map(clap::Command::get_name).collect();
    assert_eq!(names, ["features", "samples"]);
    let options: Vec<_> = commands[1].get_arguments().filter_map(clap::Arg::get_long).collect();
    assert!(options.contains(&"data") && options.contains(&"memory-limit"), "{options:?}");
}

#[test]
fn version_contains_the_commit() {
    let version = String::from_utf8(run(&["--version"]).stdout).unwrap();
    assert!(version.starts_with("sparrow-pipeline ") && version.contains("(commit "), "{version}");
}
