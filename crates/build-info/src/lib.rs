//! For the build scripts of the programs: what `--version` prints about a build.
//!
//! [`emit`] sets the variable `SPARROW_VERSION` of the compiled crate. The crate has no dependencies and uses no network.
//! It does not describe the compiled libraries, only the features of the program itself.
#![expect(clippy::print_stdout, reason = "Cargo reads the standard output of build scripts")]

use std::env;
use std::path::Path;
use std::process::Command;

/// Sets `SPARROW_VERSION`, such as `0.1.0 (commit 0123456789ab, release, x86_64-unknown-linux-gnu, features: none)`.
///
/// The commit is that of the variable `SPARROW_COMMIT`, for builds without a repository, or else of Git. It is `unknown`
/// if neither is there, and in builds of the profile `dev`: these are not compiled again after each commit.
pub fn emit() {
    println!("cargo::rerun-if-env-changed=SPARROW_COMMIT");
    let variable = |name| env::var(name).unwrap_or_default();
    let is_release = variable("PROFILE") == "release";
    let commit = Some(variable("SPARROW_COMMIT"))
        .filter(|commit| is_commit(commit))
        .or_else(|| is_release.then(commit_of_git).flatten())
        .unwrap_or_else(|| "unknown".to_owned());
    let features = features(env::vars().map(|(name, _)| name));
    println!(
        "cargo::rustc-env=SPARROW_VERSION={} (commit {commit}, {}, {}, features: {features})",
        variable("CARGO_PKG_VERSION"),
        variable("PROFILE"),
        variable("TARGET"),
    );
}

/// The commit of the repository of this project; `None` if the sources are not in it.
fn commit_of_git() -> Option<String> {
    // A copy of the sources in another repository has another prefix.
    let prefix = git(&["rev-parse", "--show-prefix"])?;
    if !["bins/serve/", "bins/loader/", "bins/pipeline/"].contains(&prefix.as_str()) {
        return None;
    }
    // The log of HEAD changes with each commit and checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).is_file() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"]).filter(|commit| is_commit(commit))
}

/// The first line that Git prints; `None` if it fails or is not installed.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}

fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The Cargo features among the variables of a build script.
fn features(variables: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = variables
        .filter_map(|name| {
            Some(name.strip_prefix("CARGO_FEATURE_")?.to_lowercase().replace('_', "-"))
        })
        .filter(|name| name != "default")
        .collect();
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_sorted_and_without_the_default() {
        let list = |names: &[&str]| features(names.iter().map(|&name| name.to_owned()));
        assert_eq!(list(&["PATH", "CARGO_FEATURE_DEFAULT"]), "none");
        let some = ["CARGO_FEATURE_TLS_SERVER", "CARGO_FEATURE_OTLP", "HOME"];
        assert_eq!(list(&some), "otlp tls-server");
    }

    #[test]
    fn only_hexadecimal_text_is_a_commit() {
        assert!(is_commit("0123456789ab"));
        for other in ["", "main", "0123456789ab\ncargo::rustc-env=A=b", "v0.1.0-dirty"] {
            assert!(!is_commit(other), "{other}");
        }
    }
}
