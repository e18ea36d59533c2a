//! The subcommands `features` and `samples`, which another program implements.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One test at a time: a process that another test starts inherits a program that is being written, and running such a
/// program fails ("text file busy").
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A copy of the loader in its own folder.
fn install(folder: &Path) -> PathBuf {
    let loader = folder.join("bin/sparrow-loader");
    fs::create_dir(folder.join("bin")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_sparrow-loader"), &loader).unwrap();
    loader
}

/// A program that prints its arguments and exits with code 7.
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
fn arguments_and_exit_code_are_forwarded() {
    let _alone = alone();
    // In the folder of the loader, in that of its profile, and in PATH.
    for location in ["bin", "pipeline", "elsewhere"] {
        let folder = tempfile::tempdir().unwrap();
        let loader = install(folder.path());
        write_script(&folder.path().join(location));
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
            assert_eq!(output.status.code(), Some(7), "{location}: {arguments}");
            assert_eq!(
                String::from_utf8(output.stdout).unwrap().trim_end(),
                arguments,
                "{location}"
            );
        }
    }
}

#[test]
fn missing_program_is_an_error_with_the_command_that_builds_it() {
    let _alone = alone();
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

/// A program that describes the subcommand `samples` with one option.
fn write_describing_script(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join("sparrow-pipeline");
    let lines = "command\tsamples\tComputes samples\tComputes samples\noption\ttest-share\t\tSHARE\tShare\t\n";
    fs::write(&path, format!("#!/bin/sh\ncat <<END\n{lines}END\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn completions_and_manual_contain_forwarded_subcommands() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let loader = install(folder.path());
    let path = std::env::var_os("PATH").unwrap();
    let script = |arguments: &str| {
        let output = run(&loader, arguments, Path::new(&path));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    write_describing_script(&folder.path().join("bin"));
    let text = script("completions bash");
    assert!(text.contains("--test-share") && text.contains("features"), "{text}");
    let valid = Command::new("bash").args(["-n", "-c", &text]).output().unwrap();
    assert!(valid.status.success(), "{}", String::from_utf8_lossy(&valid.stderr));
    let pages = folder.path().join("man1");
    script(&format!("man --out {}", pages.display()));
    let page = fs::read_to_string(pages.join("sparrow-loader-samples.1")).unwrap();
    assert!(page.contains("test\\-share"), "{page}");
    assert!(pages.join("sparrow-loader-features.1").is_file());
    assert!(pages.join("sparrow-loader-fit.1").is_file());
}

#[test]
fn version_contains_the_commit() {
    let output = Command::new(env!("CARGO_BIN_EXE_sparrow-loader")).arg("--version").output();
    let version = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(version.starts_with("sparrow-loader ") && version.contains("(commit "), "{version}");
}
