//! TLS, with a certificate that the test makes.

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use sparrow_model::UserId;
use sparrow_store::{Entry, Error, Options, connect};
use sparrow_test_redis::TestRedis;
use tempfile::TempDir;

use crate::conformance::push;
use crate::redis::{keeps_the_contract, options};

/// A server that speaks TLS, the folder of its certificate, and the certificate.
fn server() -> (TestRedis, TempDir, PathBuf) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let port = TestRedis::free_port().to_string();
    let [certificate_text, key] = [&certificate, &key].map(|path| path.to_str().unwrap());
    let redis = TestRedis::start(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        certificate_text,
        "--tls-key-file",
        key,
        "--tls-ca-cert-file",
        certificate_text,
        "--tls-auth-clients",
        "no",
    ]);
    (redis, folder, certificate)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_over_tls_keeps_the_contract() {
    let (redis, _folder, certificate) = server();
    let url = format!("rediss://127.0.0.1:{}", redis.tls_port());
    let options = Options { ca_file: Some(certificate), ..options() };
    keeps_the_contract(&url, |n| format!("t{n}:"), &options).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn certificates_are_checked() {
    let (redis, folder, certificate) = server();
    let hasty = Options { connect_timeout: Duration::from_millis(500), ..options() };
    let url = format!("rediss://localhost:{}", redis.tls_port()).parse().unwrap();
    let trusting = Options { ca_file: Some(certificate.clone()), ..hasty.clone() };
    let store = connect(&url, &trusting).await.unwrap();
    push(store.as_ref(), vec![Entry::UserEmbedding(UserId(1), vec![1.0])]).await;

    // Another one's certificate.
    let other = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let path = folder.path().join("other.pem");
    std::fs::write(&path, other.cert.pem()).unwrap();
    let distrusting = Options { ca_file: Some(path.clone()), ..hasty.clone() };
    let error = connect(&url, &distrusting).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("its certificate is not trusted"), "{error}");

    for (content, says) in
        [("", "there are none"), ("-----BEGIN CERTIFICATE-----\nx", "certificates in")]
    {
        std::fs::write(&path, content).unwrap();
        let error = connect(&url, &distrusting).await.map(|_| ()).unwrap_err();
        assert!(
            matches!(error, Error::Configuration(_)) && error.to_string().contains(says),
            "{error}"
        );
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(connect(&url, &distrusting).await, Err(Error::Configuration(_))));

    // Plain text to the port for TLS, and the reverse.
    let plain = format!("redis://127.0.0.1:{}", redis.tls_port()).parse().unwrap();
    let error = connect(&plain, &hasty).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("rediss://"), "{error}");
    let tls = format!("rediss://127.0.0.1:{}", redis.port()).parse().unwrap();
    let error = connect(&tls, &trusting).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains(" redis://"), "{error}");
}
