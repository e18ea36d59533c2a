//! The files of `docs/deploy`, checked with the tools of their formats. No engine for containers and no cluster runs them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sparrow_test_support::program::{command, ends, succeeds};
use sparrow_test_support::workspace;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sparrow-serve");

fn deploy(name: &str) -> PathBuf {
    workspace().join("docs/deploy").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(deploy(name)).unwrap()
}

/// A tool of `.ci/test`, which names it in a variable.
fn tool(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable);
    path.unwrap_or_else(|| panic!("{variable} is not set: .ci/test sets it")).into()
}

/// Checks a file with a tool: it passes, and a damaged copy does not.
fn assert_checked(variable: &str, line: &str, file: &str, damage: (&str, &str)) {
    let checks = |path: &Path| command(tool(variable), line, &[&path]).output().unwrap();
    let output = checks(&deploy(file));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}{errors}", String::from_utf8_lossy(&output.stdout));
    let folder = tempfile::tempdir().unwrap();
    let text = read(file);
    assert!(text.contains(damage.0), "{file} does not contain {}", damage.0);
    let damaged = folder.path().join(file);
    fs::write(&damaged, text.replacen(damage.0, damage.1, 1)).unwrap();
    assert!(!checks(&damaged).status.success(), "{line} accepts {}", damage.1);
}

#[test]
#[ignore = "needs hadolint"]
fn dockerfile_has_no_warnings() {
    let damage = ("rust:${RUST_VERSION}-slim-bookworm", "rust");
    assert_checked("SPARROW_HADOLINT", "{}", "Dockerfile", damage);
}

#[test]
#[ignore = "needs kubernetes-validate"]
fn kubernetes_manifests_match_the_schemas() {
    let damage = ("terminationGracePeriodSeconds: 30", "terminationGracePeriod: 30");
    assert_checked("SPARROW_KUBERNETES_VALIDATE", "--strict {}", "kubernetes.yaml", damage);
}

#[test]
#[ignore = "needs check-jsonschema"]
fn compose_file_matches_the_schema() {
    let line = "--builtin-schema vendor.compose-spec {}";
    let damage = ("read_only: true", "readonly: true");
    assert_checked("SPARROW_CHECK_JSONSCHEMA", line, "compose.yaml", damage);
}

/// The unit with the program of this test, since `systemd-analyze` looks for it.
#[cfg(target_os = "linux")]
fn unit(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("sparrow-serve.service");
    fs::write(&path, text.replace("/usr/local/bin/sparrow-serve", PROGRAM)).unwrap();
    path
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs systemd-analyze"]
fn unit_is_valid_and_hardened() {
    let analyze = |line: &str, text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let unit = unit(folder.path(), text);
        let output = command(tool("SPARROW_SYSTEMD_ANALYZE"), line, &[&unit]).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.success() && !errors.contains("sparrow-serve.service:"), text + &errors)
    };
    let text = read("sparrow-serve.service");
    let verify = "verify --man=no {}";
    let (is_valid, output) = analyze(verify, &text);
    assert!(is_valid, "{output}");
    assert!(!analyze(verify, &text.replace("ProtectHome=", "ProtectHouse=")).0);
    // Of 100: 10 is a fully confined service, 96 one without any setting.
    let security = "security --offline=yes --no-pager --threshold=15 {}";
    let (is_hardened, output) = analyze(security, &text);
    assert!(is_hardened, "{output}");
    assert!(!analyze(security, &text.replace("DynamicUser=yes", "User=root")).0);
}

/// The configuration in the config map.
fn config_map() -> String {
    let manifests = read("kubernetes.yaml");
    let (_, rest) = manifests.split_once("  sparrow.toml: |\n").unwrap();
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    lines.map(|line| line.strip_prefix("    ").unwrap_or_default().to_owned() + "\n").collect()
}

#[test]
fn configurations_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    for text in [config_map(), read("sparrow.toml")] {
        let file = folder.path().join("sparrow.toml");
        fs::write(&file, &text).unwrap();
        let printed = succeeds(&mut command(PROGRAM, "--print-config --config {}", &[&file]));
        assert!(printed.contains("path = \"/data/set\""), "{printed}");
    }
    let file = folder.path().join("sparrow.toml");
    fs::write(&file, config_map().replace("drain_delay", "drain_dely")).unwrap();
    ends(2, &mut command(PROGRAM, "--print-config --config {}", &[&file]));
}

#[test]
fn variables_of_the_image_are_configuration_keys() {
    let dockerfile = read("Dockerfile");
    let mut print = Command::new(PROGRAM);
    print.arg("--print-config");
    let mut count = 0;
    for line in dockerfile.lines().filter(|line| line.contains("SPARROW__")) {
        let line = line.trim().trim_start_matches("ENV ").trim_end_matches(" \\");
        let (name, value) = line.split_once('=').unwrap();
        print.env(name, value);
        count += 1;
    }
    assert_eq!(count, 3);
    let printed = succeeds(&mut print);
    assert!(
        printed.contains("listen = \"0.0.0.0:6010\"") || printed.contains("[::]:6010"),
        "{printed}"
    );
    assert!(printed.contains("format = \"json\""), "{printed}");
}

#[test]
fn image_is_built_with_the_pinned_toolchain_and_contains_all_sources() {
    let toolchain = fs::read_to_string(workspace().join("rust-toolchain.toml")).unwrap();
    let version = toolchain.split('"').nth(1).unwrap();
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains(&format!("ARG RUST_VERSION={version}\n")), "{version}");
    assert!(dockerfile.contains("USER 65532:65532"));
    let ignored = read("Dockerfile.dockerignore");
    for name in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        assert!(workspace().join(name).exists(), "{name}");
    }
    // The files of the root that the build needs.
    for name in ["bins", "crates", "Cargo.toml", "Cargo.lock", ".cargo"] {
        assert!(ignored.lines().any(|line| line == format!("!{name}")), "{name}");
    }
}

#[test]
fn grace_periods_are_longer_than_the_shutdown() {
    // drain_delay and shutdown_timeout of the config map are 10 s each.
    let config = config_map();
    assert!(config.contains("drain_delay = \"10s\"\nshutdown_timeout = \"10s\""), "{config}");
    assert!(read("kubernetes.yaml").contains("terminationGracePeriodSeconds: 30"));
    assert!(read("compose.yaml").contains("stop_grace_period: 30s"));
    assert!(read("sparrow-serve.service").contains("TimeoutStopSec=30s"));
}
