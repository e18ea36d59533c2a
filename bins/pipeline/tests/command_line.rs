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
