//! `sparrow-serve check`, and what the program prints about itself.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use sparrow_test_support::program::{command, ends, fails, succeeds};
use sparrow_test_support::tokens::{AUDIENCE, ISSUER, Issuer, key_set};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sparrow-serve");

/// A configuration file in its folder.
fn file(folder: &Path, text: &str) -> std::path::PathBuf {
    let path = folder.join("sparrow.toml");
    fs::write(&path, text).unwrap();
    path
}

/// The lines of a check that passes.
fn passes(line: &str, values: &[&dyn AsRef<Path>]) -> String {
    let lines = succeeds(&mut command(PROGRAM, line, values));
    assert!(lines.trim_end().ends_with("checks passed"), "{lines}");
    lines
}

/// The failures of a check, whose last line counts them.
fn failures(line: &str, values: &[&dyn AsRef<Path>]) -> Vec<String> {
    let (lines, errors) = ends(1, &mut command(PROGRAM, line, values));
    assert_eq!(errors, "");
    let failures = lines.lines().filter_map(|line| line.strip_prefix("FAIL  "));
    let failures: Vec<String> = failures.map(str::to_owned).collect();
    let last = lines.lines().last().unwrap();
    assert!(last.starts_with(&format!("{} of ", failures.len())), "{lines}");
    failures
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn demonstration_set_passes() {
    let lines = passes("check", &[]);
    for expected in
        ["ok    configuration: built-in defaults", "ok    data: ", "ok    model blend: "]
    {
        assert!(lines.contains(expected), "{expected}: {lines}");
    }
}

#[test]
fn wrong_key_in_the_file_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(folder.path(), "[server]\nidel_timeout = \"1s\"\n");
    let found = failures("check --config {}", &[&file]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("configuration: unknown key \"server.idel_timeout\""),
        "{found:?}"
    );
    assert!(found[0].contains("did you mean \"server.idle_timeout\"?"), "{found:?}");
    let missing = failures("check --config {}", &[&folder.path().join("none.toml")]);
    assert!(missing[0].contains("cannot read the configuration file"), "{missing:?}");
}

#[test]
fn all_failures_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let (data, models) = (folder.path().join("data"), folder.path().join("models"));
    fs::create_dir_all(models.join("neuralcf/1")).unwrap();
    fs::write(models.join("neuralcf/1/model.safetensors"), "damaged").unwrap();
    let text = format!(
        "[data]\npath = '{}'\nposters = '{}'\n[live]\npath = '{}'\n[ranking]\nmodels = '{}'\n\
         [[models]]\nname = 'remote'\nkind = 'tf-serving'\nurl = 'http://127.0.0.1:{}/v1/models/m'\n",
        data.display(),
        folder.path().join("posters").display(),
        folder.path().join("nowhere/live").display(),
        models.display(),
        free_port()
    );
    let file = file(folder.path(), &text);
    let found = failures("check --config {}", &[&file]);
    let parts: Vec<&str> = found.iter().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    assert_eq!(parts, ["posters", "live", "data", "model neuralcf", "model remote"], "{found:?}");
    assert!(found[4].contains("connect") || found[4].contains("unavailable"), "{found:?}");

    // With data, the damaged model is reported with its file.
    fs::create_dir(&data).unwrap();
    fs::write(data.join("movies.csv"), "movieId,title,genres\n1,Kites (1995),Drama\n").unwrap();
    fs::write(data.join("ratings.csv"), "userId,movieId,rating,timestamp\n1,1,4.0,100\n").unwrap();
    let found = failures("check --data {} --models {}", &[&data, &models]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("model neuralcf: "), "{found:?}");

    fs::write(data.join("ratings.csv"), "userId,movieId,rating,timestamp\n1,1,9,100\n").unwrap();
    let found = failures("check --data {}", &[&data]);
    assert!(found[0].contains("ratings.csv:2: "), "{found:?}");
    fs::remove_dir_all(&models).unwrap();
    let found = failures("check --data {} --models {}", &[&data, &models]);
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn keys_of_tokens_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("jwks.json");
    let text = format!(
        "[auth.tokens]\nissuer = '{ISSUER}'\naudience = '{AUDIENCE}'\njwks_file = '{}'\n",
        keys.display()
    );
    let file = file(folder.path(), &text);
    let missing = failures("check --config {}", &[&file]);
    assert!(missing[0].starts_with("auth: ") && missing[0].contains("jwks.json"), "{missing:?}");
    fs::write(&keys, key_set(&["{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}".to_owned()])).unwrap();
    let symmetric = failures("check --config {}", &[&file]);
    assert!(symmetric[0].contains("keys[0] is a symmetric key"), "{symmetric:?}");
    assert!(!symmetric[0].contains("c2VjcmV0"), "{symmetric:?}");
    fs::write(&keys, key_set(&[Issuer::new("one").jwk()])).unwrap();
    let lines = passes("check --config {}", &[&file]);
    assert!(lines.contains("ok    auth: 0 keys, tokens are verified with 1 keys"), "{lines}");
}

#[test]
fn unreachable_redis_is_reported_without_its_password() {
    let url = format!("redis://me:opensesame@127.0.0.1:{}", free_port());
    let mut check = command(PROGRAM, "check --store {}", &[&url]);
    let (lines, _) = ends(1, check.env("SPARROW__STORE__START_WAIT", "200ms"));
    assert!(lines.contains("FAIL  store: ") && lines.contains("127.0.0.1"), "{lines}");
    assert!(lines.contains("1 of ") && !lines.contains("opensesame"), "{lines}");
}

/// The path of a new certificate, beside its key in `NAME.key`.
fn certify(folder: &Path, name: &str) -> std::path::PathBuf {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let path = folder.join(name);
    fs::write(&path, certified.cert.pem()).unwrap();
    fs::write(path.with_extension("key"), certified.signing_key.serialize_pem()).unwrap();
    path
}

#[test]
fn certificate_and_its_key_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (certify(folder.path(), "one.pem"), certify(folder.path(), "other.pem"));
    let keys = |certificate: &Path, key: &Path| {
        let (certificate, key) = (certificate.display(), key.display());
        file(folder.path(), &format!("[tls]\ncertificate = '{certificate}'\nkey = '{key}'\n"))
    };
    let lines = passes("check --config {}", &[&keys(&one, &one.with_extension("key"))]);
    assert!(lines.contains("ok    tls: valid for another "), "{lines}");
    let wrong = failures("check --config {}", &[&keys(&one, &other.with_extension("key"))]);
    assert!(wrong[0].starts_with("tls: tls.key: the private key in "), "{wrong:?}");
    assert!(wrong[0].contains("other.key does not belong"), "{wrong:?}");
    let missing = failures("check --config {}", &[&keys(&one, &folder.path().join("none.key"))]);
    assert!(missing.len() == 1 && missing[0].contains("none.key"), "{missing:?}");
}

#[test]
fn expired_certificate_fails() {
    let folder = tempfile::tempdir().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 2, 3);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = folder.path().join("old.pem");
    fs::write(&certificate, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(folder.path().join("old.key"), key.serialize_pem()).unwrap();
    let mut check = command(PROGRAM, "check", &[]);
    check.env("SPARROW__TLS__CERTIFICATE", &certificate);
    let (lines, _) = ends(1, check.env("SPARROW__TLS__KEY", folder.path().join("old.key")));
    assert!(lines.contains("FAIL  tls: tls.certificate: it has expired"), "{lines}");
}

#[test]
fn unreachable_collector_and_malformed_address_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = |url: &str| file(folder.path(), &format!("[tracing]\nendpoint = \"{url}\"\n"));
    let url = format!("http://127.0.0.1:{}", free_port());
    let away = failures("check --config {}", &[&endpoint(&url)]);
    assert!(away.len() == 1 && away[0].starts_with("tracing.endpoint: "), "{away:?}");
    assert!(away[0].contains(&url), "{away:?}");
    let wrong = failures("check --config {}", &[&endpoint("localhost:4318")]);
    assert!(
        wrong[0].starts_with("tracing.endpoint: ") && wrong[0].contains("http://"),
        "{wrong:?}"
    );
    // Without a share of traced requests, there are no spans.
    let off = "[tracing]\nendpoint = \"localhost:4318\"\nsample = 0.0\n";
    passes("check --config {}", &[&file(folder.path(), off)]);
}

#[test]
#[ignore = "needs redis-server"]
fn empty_redis_is_reported() {
    let redis = sparrow_test_redis::TestRedis::start(&[]);
    let url = redis.url();
    let mut check = command(PROGRAM, "check --store {}", &[&url]);
    let (lines, _) = ends(1, check.env("SPARROW__STORE__START_WAIT", "1s"));
    assert!(lines.contains("FAIL  store: ") && lines.contains("it is empty"), "{lines}");
}

#[test]
fn check_leaves_no_files_and_ignores_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    passes("check --live {} --listen {}", &[&live, &address]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn version_contains_commit_profile_and_features() {
    let version = succeeds(&mut command(PROGRAM, "--version", &[]));
    let start = format!("sparrow-serve {} (commit ", env!("CARGO_PKG_VERSION"));
    assert!(version.starts_with(&start) && version.contains("features: "), "{version}");
    let short = succeeds(&mut command(PROGRAM, "-V", &[]));
    assert_eq!(short, format!("sparrow-serve {}\n", env!("CARGO_PKG_VERSION")));
}

/// Checks a script with the shell, if it is installed.
fn assert_valid(shell: &str, check: &str, script: &str) {
    let mut command = Command::new(shell);
    let child = command.arg(check).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        assert_ne!(shell, "bash", "bash is not installed");
        return;
    };
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn completion_scripts_are_valid() {
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = succeeds(&mut command(PROGRAM, &format!("completions {shell}"), &[]));
        assert!(script.contains("print-config") && script.contains("check"), "{script}");
        assert_valid(shell, check, &script);
    }
    assert_ne!(succeeds(&mut command(PROGRAM, "completions elvish", &[])), "");
    assert!(fails(2, &mut command(PROGRAM, "completions csh", &[])).contains("possible values"));
}

#[test]
fn manual_pages_are_written_for_all_subcommands() {
    let page = succeeds(&mut command(PROGRAM, "man", &[]));
    assert!(page.contains(".TH sparrow-serve 1") && page.contains("print\\-config"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    assert_eq!(succeeds(&mut command(PROGRAM, "man --out {}", &[&out])), "");
    for page in ["sparrow-serve.1", "sparrow-serve-check.1", "sparrow-serve-key.1"] {
        assert!(out.join(page).is_file(), "{page}");
    }
    assert!(fails(1, &mut command(PROGRAM, "man --out /dev/null/x", &[])).contains("/dev/null/x"));
}
