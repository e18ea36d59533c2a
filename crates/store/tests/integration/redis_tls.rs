//! TLS, with a generated certificate.

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use sparrow_model::UserId;
use sparrow_store::{Entry, Error, Options, connect};
use sparrow_test_redis::TestRedis;
use tempfile::TempDir;

use crate::redis::{check_contract, options};
use crate::testsuite::push;

/// A certificate and its key, in a folder.
struct Identity {
    folder: TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

impl Identity {
    fn new() -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, cert.pem()).unwrap();
        std::fs::write(&key, signing_key.serialize_pem()).unwrap();
        Self { folder, certificate, key }
    }

    /// The options of a TLS server on a free port.
    fn options(&self) -> Vec<(&'static str, String)> {
        let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
        vec![
            ("tls-port", TestRedis::free_port().to_string()),
            ("tls-cert-file", text(&self.certificate)),
            ("tls-key-file", text(&self.key)),
            ("tls-ca-cert-file", text(&self.certificate)),
            ("tls-auth-clients", "no".to_owned()),
        ]
    }

    /// A TLS server with further options.
    fn server(&self, more: &[&str]) -> TestRedis {
        let options = self.options();
        let options = options.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]);
        let words: Vec<String> = options.chain(more.iter().map(|&word| word.to_owned())).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        TestRedis::start(&words)
    }
}

/// A TLS server, its identity, and the certificate.
fn server() -> (TestRedis, Identity, PathBuf) {
    let identity = Identity::new();
    let certificate = identity.certificate.clone();
    (identity.server(&[]), identity, certificate)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_over_tls_fulfils_the_contract() {
    let (redis, _folder, certificate) = server();
    let url = format!("rediss://127.0.0.1:{}", redis.tls_port());
    let options = Options { ca_file: Some(certificate), ..options() };
    check_contract(&url, |n| format!("t{n}:"), &options).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn certificates_are_checked() {
    let (redis, identity, certificate) = server();
    let hasty = Options { connect_timeout: Duration::from_millis(500), ..options() };
    let url = format!("rediss://localhost:{}", redis.tls_port()).parse().unwrap();
    let trusting = Options { ca_file: Some(certificate.clone()), ..hasty.clone() };
    let store = connect(&url, &trusting).await.unwrap();
    push(store.as_ref(), vec![Entry::UserEmbedding(UserId(1), vec![1.0])]).await;

    // The certificate of another server.
    let other = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let path = identity.folder.path().join("other.pem");
    std::fs::write(&path, other.cert.pem()).unwrap();
    let distrusting = Options { ca_file: Some(path.clone()), ..hasty.clone() };
    let error = connect(&url, &distrusting).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("its certificate is not trusted"), "{error}");

    for (content, expected) in
        [("", "no certificates found"), ("-----BEGIN CERTIFICATE-----\nx", "certificates in")]
    {
        std::fs::write(&path, content).unwrap();
        let error = connect(&url, &distrusting).await.map(|_| ()).unwrap_err();
        assert!(
            matches!(error, Error::Configuration(_)) && error.to_string().contains(expected),
            "{error}"
        );
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(connect(&url, &distrusting).await, Err(Error::Configuration(_))));

    // Plain text to the TLS port, and the reverse.
    let plain = format!("redis://127.0.0.1:{}", redis.tls_port()).parse().unwrap();
    let error = connect(&plain, &hasty).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("rediss://"), "{error}");
    let tls = format!("rediss://127.0.0.1:{}", redis.port()).parse().unwrap();
    let error = connect(&tls, &trusting).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains(" redis://"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn sentinels_over_tls_have_their_own_password() {
    let identity = Identity::new();
    let redis = identity.server(&["--requirepass", "films"]);
    let of_sentinel = identity.options();
    let mut config: Vec<String> =
        of_sentinel.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
    config.push(format!(
        "tls-replication yes\n\
         requirepass watch\n\
         sentinel monitor cinema 127.0.0.1 {} 1\n\
         sentinel auth-pass cinema films\n",
        redis.tls_port()
    ));
    let config = config.concat();
    let sentinel = TestRedis::start_sentinel(&config);
    let options = Options { ca_file: Some(identity.certificate.clone()), ..options() };
    let url = |password: &str, sentinel_password: &str| {
        format!(
            "rediss-sentinel://:{password}@127.0.0.1:{}/cinema?sentinel_password={sentinel_password}",
            sentinel.tls_port()
        )
    };
    check_contract(&url("films", "watch"), |n| format!("t{n}:"), &options).await;

    let hasty = Options { connect_timeout: Duration::from_millis(500), ..options };
    for (password, sentinel_password, expected) in
        [("films", "wrong", "sentinel"), ("wrong", "watch", "password")]
    {
        let wrong = url(password, sentinel_password).parse().unwrap();
        let error = connect(&wrong, &hasty).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("watch"), "{expected}: {error}");
    }
}
