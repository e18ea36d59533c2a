//! A schema-driven fuzzer against the API and its description.

use std::process::Command;

use sparrow_http::SnapshotOptions;

use crate::support::{Running, patient, snapshot};

/// Schemathesis 4 derives valid and invalid requests from the description, and checks every answer
/// against it: status codes, content types, headers, bodies, refusal of what is invalid, acceptance
/// of what is valid, refusal of other methods, and no server errors.
#[test]
#[ignore = "needs schemathesis: run .ci/test"]
fn the_api_is_what_its_description_says() {
    let program = std::env::var_os("SPARROW_SCHEMATHESIS").unwrap_or("schemathesis".into());
    let folder = tempfile::tempdir().unwrap();
    // A poster, so that the fuzzer gets to see one.
    std::fs::write(folder.path().join("1.jpg"), b"\xff\xd8\xff\xe0").unwrap();
    let options =
        SnapshotOptions { posters: Some(folder.path().to_owned()), ..SnapshotOptions::default() };
    let running = Running::with_snapshot(patient(), snapshot(options));
    let base = format!("http://{}", running.address);
    let output = Command::new(&program)
        .args(["run", &format!("{base}/openapi.json")])
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--mode", "all", "--max-examples", "60", "--max-time", "60"])
        .args(["--seed", "20240601", "--workers", "2", "--continue-on-failure"])
        .args(["--generation-database", "none", "--no-color"])
        .current_dir(folder.path())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    // It also succeeds where it had nothing to do. It leaves out the description itself.
    assert!(report.contains("19 selected / 19 total"), "{report}");
    assert_eq!(running.get("/readyz").status, 200);
}
