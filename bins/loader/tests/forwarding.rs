//! `features` and `samples` are subcommands of another program.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The loader in a folder of its own.
fn install(folder: &Path) -> PathBuf {
    let loader = folder.join("bin/sparrow-loader");
    fs::create_dir(folder.join("bin")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_sparrow-loader"), &loader).unwrap();
    loader
}

/// A program that prints its arguments, and fails with 7.
fn write_script(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join("sparrow-pipeline");
    fs::write(&path, "#!/bin/sh\necho \"$@\"\nexit 7\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn run(loader: &Path, arguments: &str, path: &Path) -> Output {
    let mut command = Command::new(loader);
    command.args(arguments.split_whitespace()).env("PATH", path).output().unwrap()
}

#[test]
fn arguments_and_exit_code_are_those_of_the_other_program() {
    // Beside the loader, in the folder of its profile, and in PATH.
    for place in ["bin", "pipeline", "elsewhere"] {
        let folder = tempfile::tempdir().unwrap();
        let loader = install(folder.path());
        write_script(&folder.path().join(place));
        for arguments in [
            "features --data a --out b --memory-limit 1GiB",
            "samples -d a -o b --quiet",
            "--quiet samples --split time",
            "features --help",
            "features -h",
            "samples",
            "help samples",
        ] {
            let output = run(&loader, arguments, &folder.path().join("elsewhere"));
            assert_eq!(output.status.code(), Some(7), "{place}: {arguments}");
            assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), arguments, "{place}");
        }
    }
}

#[test]
fn a_missing_program_is_named_with_the_command_that_builds_it() {
    let folder = tempfile::tempdir().unwrap();
    let loader = install(folder.path());
    for arguments in ["features --data a --out b", "help samples"] {
        let output = run(&loader, arguments, folder.path());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("cargo build --profile pipeline --bin sparrow-pipeline"), "{error}");
    }
    let help = String::from_utf8(run(&loader, "--help", folder.path()).stdout).unwrap();
    assert!(help.contains("  features ") && help.contains("  samples "), "{help}");
}
