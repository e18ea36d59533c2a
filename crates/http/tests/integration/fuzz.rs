//! A schema-driven fuzzer against the API and its description.

use std::process::Command;
use std::sync::Arc;

use sparrow_http::{Auth, Options, Scopes, SnapshotOptions};
use sparrow_live::{Limits, MemoryLive};
use sparrow_user_state::LiveSource;

use crate::auth::key;
use crate::support::{Running, patient, snapshot};

/// A key that was used for another request is refused, which no description of a single request can express. With `partial`, an
/// invalid item of a batch has its status in an answer of status 200. The values of `variant` are those of the experiments of a
/// server, of which this one has none.
const CONFIGURATION: &str = r#"
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "422", "429", "5xx"]

[[operations]]
include-path = ["/getrecforyou", "/v1/users/{id}/recommendations", "/v1/recommendations"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", "400", "401", "403", "404", "409", "422", "429", "5xx"]

[[operations]]
include-operation-id = ["recordEvents", "rateMovies"]
checks.negative_data_rejection.expected-statuses = ["200", "400", "403", "404", "405", "406", "409", "413", "415", "422", "429", "5xx"]
"#;

/// Schemathesis 4 derives valid and invalid requests from the description, and checks every answer
/// against it: status codes, content types, headers, bodies, refusal of invalid requests, acceptance
/// of valid ones, refusal of other methods, and no server errors.
#[test]
#[ignore = "needs schemathesis: run .ci/test"]
fn api_conforms_to_its_description() {
    fuzz(Auth::default(), None);
}

/// All checks, with a key that may do everything on the public port; `ignored_auth` sends requests without it, too.
#[test]
#[ignore = "needs schemathesis: run .ci/test"]
fn api_with_keys_conforms_to_its_description() {
    let (secret, key) = key("fuzzer", Scopes::READ.and(Scopes::WRITE));
    fuzz(Auth { keys: vec![key], ..Auth::default() }, Some(&secret));
}

/// Fuzzes a server with these credentials, with the requests of a client that has this key.
fn fuzz(auth: Auth, secret: Option<&str>) {
    let program = std::env::var_os("SPARROW_SCHEMATHESIS").unwrap_or("schemathesis".into());
    let seconds = sparrow_test_support::rounds("seconds of the API's fuzzer", 30, 600).to_string();
    let examples = sparrow_test_support::rounds("examples per operation", 30, 1000).to_string();
    let folder = tempfile::tempdir().unwrap();
    // A poster for the fuzzer.
    std::fs::write(folder.path().join("1.jpg"), b"\xff\xd8\xff\xe0").unwrap();
    let configuration = folder.path().join("schemathesis.toml");
    std::fs::write(configuration, CONFIGURATION).unwrap();
    let live =
        LiveSource { store: Arc::new(MemoryLive::new(Limits::default())), types: Arc::default() };
    let options = SnapshotOptions {
        posters: Some(folder.path().to_owned()),
        live: Some(live),
        ..SnapshotOptions::default()
    };
    let running = Running::with_snapshot(Options { auth, ..patient() }, snapshot(options));
    let base = format!("http://{}", running.address);
    // One worker: with several, Python 3.11 before 3.11.10 can fail to parse sources (gh-106905).
    let mut command = Command::new(&program);
    command
        .args(["run", &format!("{base}/openapi.json")])
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--mode", "all", "--max-examples", &examples, "--max-time", &seconds])
        .args(["--seed", "20240601", "--workers", "1", "--continue-on-failure"])
        .args(["--generation-database", "none", "--no-color"])
        .current_dir(folder.path());
    if let Some(secret) = secret {
        command.args(["--header", &format!("Authorization: Bearer {secret}")]);
    }
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    // It also succeeds without any operation. It skips the description itself.
    let document = running.json("/openapi.json");
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.map(|path| path.as_object().unwrap().len()).sum::<usize>() - 1;
    assert!(report.contains(&format!("{operations} selected / {operations} total")), "{report}");
    assert_eq!(running.get("/readyz").status, 200);
}
