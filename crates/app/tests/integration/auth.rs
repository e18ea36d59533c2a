//! Keys in the configuration and in a file, and tokens.

use std::time::{Duration, Instant};

use sparrow_app::config::Tokens;
use sparrow_test_support::tokens::{AUDIENCE, ISSUER, Issuer, key_set};

use crate::support::{PATIENCE, config, get, get_with};

fn table(digest: &str) -> String {
    format!("[[keys]]\nname = \"app\"\nsha256 = \"{digest}\"\nscopes = [\"read\"]\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_keys_file_is_read_without_restart_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    let (first, first_digest) = sparrow_http::generate_key().unwrap();
    let (second, second_digest) = sparrow_http::generate_key().unwrap();
    std::fs::write(&path, table(&first_digest)).unwrap();
    let mut config = config();
    config.auth.keys_file = Some(path.clone());
    let mut running = sparrow_app::start(config).await.unwrap();
    running.loaded().await.unwrap();
    let address = running.address;
    let status = async |key: &str| {
        let header = format!("authorization: Bearer {key}\r\n");
        get_with(address, "/v1/users/1", &header).await.status
    };
    assert_eq!(get(address, "/v1/users/1").await.status, 401);
    assert_eq!((status(&first).await, status(&second).await), (200, 401));
    // Both are valid during the rotation.
    std::fs::write(&path, table(&first_digest) + &table(&second_digest)).unwrap();
    let start = Instant::now();
    while status(&second).await != 200 {
        assert!(start.elapsed() < PATIENCE, "the file was not read again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status(&first).await, 200);
    std::fs::write(&path, "[[keys]]\nname = 1\n").unwrap();
    running.reload_auth().unwrap_err();
    assert_eq!(status(&second).await, 200);
    // A file without keys does not open the server.
    std::fs::write(&path, "").unwrap();
    running.reload_auth().unwrap();
    assert_eq!((status(&second).await, get(address, "/v1/movies").await.status), (401, 401));
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_keys_of_tokens_are_read_without_restart_and_broken_ones_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    std::fs::write(&path, key_set(&[old.jwk()])).unwrap();
    let mut config = config();
    config.auth.tokens = Some(Tokens {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        jwks_file: path.clone(),
        ..Tokens::default()
    });
    let mut running = sparrow_app::start(config.clone()).await.unwrap();
    running.loaded().await.unwrap();
    let address = running.address;
    let status = async |issuer: &Issuer, user: u32| {
        let header = format!("authorization: Bearer {}\r\n", issuer.token_of(1, 60));
        get_with(address, &format!("/v1/users/{user}"), &header).await.status
    };
    assert_eq!(get(address, "/v1/users/1").await.status, 401);
    assert_eq!((status(&old, 1).await, status(&old, 2).await), (200, 403));
    assert_eq!(status(&new, 1).await, 401);
    // Both are valid during the rotation.
    std::fs::write(&path, key_set(&[old.jwk(), new.jwk()])).unwrap();
    let start = Instant::now();
    while status(&new, 1).await != 200 {
        assert!(start.elapsed() < PATIENCE, "the file was not read again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status(&old, 1).await, 200);
    for broken in ["", "{\"keys\":[]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}"] {
        std::fs::write(&path, broken).unwrap();
        let error = running.reload_auth().unwrap_err().to_string();
        assert!(error.contains("jwks.json"), "{error}");
        assert_eq!((status(&old, 1).await, status(&new, 1).await), (200, 200), "{broken}");
    }
    // Nor does a server start with them.
    assert!(sparrow_app::start(config).await.is_err());
    std::fs::write(&path, key_set(&[new.jwk()])).unwrap();
    running.reload_auth().unwrap();
    assert_eq!((status(&old, 1).await, status(&new, 1).await), (401, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn server_beyond_loopback_without_keys_is_read_only_and_says_so() {
    let mut config = config();
    config.listen = "0.0.0.0:0".parse().unwrap();
    let running = sparrow_app::start(config.clone()).await.unwrap();
    assert!(running.live.starts_with("Read-only"), "{}", running.live);
    config.live.open_writes = true;
    let open = sparrow_app::start(config).await.unwrap();
    assert!(!open.live.contains("Read-only"), "{}", open.live);
}
