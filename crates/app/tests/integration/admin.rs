//! The admin port beside the public one.

use std::net::TcpListener;

use crate::support::{config, get, send};

#[tokio::test(flavor = "multi_thread")]
async fn admin_port_serves_health_beside_the_public_port() {
    let mut config = config();
    config.admin.listen = Some("127.0.0.1:0".parse().unwrap());
    let mut running = sparrow_app::start(config).await.unwrap();
    running.loaded().await.unwrap();
    let admin = running.admin_address().unwrap();
    for target in ["/healthz", "/readyz", "/v1/models"] {
        assert_eq!(get(admin, target).await.status, 200, "{target}");
    }
    assert_eq!(get(admin, "/v1/users/1").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_starts_without_an_admin_port_that_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config();
    config.admin.listen = Some(taken.local_addr().unwrap());
    let mut running = sparrow_app::start(config).await.unwrap();
    running.loaded().await.unwrap();
    assert_eq!(running.admin_address(), None);
    assert_eq!(get(running.address, "/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_on_loopback_accepts_only_local_host_names() {
    let mut running = sparrow_app::start(config()).await.unwrap();
    running.loaded().await.unwrap();
    assert_eq!(get(running.address, "/v1/users/1").await.status, 200);
    let mut stream = tokio::net::TcpStream::connect(running.address).await.unwrap();
    let request = b"GET /v1/users/1 HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_on_loopback_see_the_configuration_and_the_public_port_does_not_have_it() {
    let mut config = config();
    config.admin.listen = Some("127.0.0.1:0".parse().unwrap());
    let mut running = sparrow_app::start(config.clone()).await.unwrap();
    running.loaded().await.unwrap();
    let admin = running.admin_address().unwrap();
    let shown = get(admin, "/debug/config").await;
    assert_eq!((shown.status, shown.header("content-type")), (200, Some("application/toml")));
    let shown: sparrow_app::Config = toml::from_str(&shown.body).unwrap();
    assert_eq!(shown, config);
    // The test has no log lines.
    assert_eq!(get(admin, "/debug/log-level").await.status, 404);
    for target in ["/debug/config", "/debug/log-level", "/metrics"] {
        assert_eq!(get(running.address, target).await.status, 404, "{target}");
    }
    let put = send(running.address, "PUT", "/debug/log-level", "{\"filter\":\"debug\"}").await;
    assert_eq!(put.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_port_beyond_loopback_has_only_health_without_a_key() {
    let mut config = config();
    config.admin.listen = Some("0.0.0.0:0".parse().unwrap());
    let mut running = sparrow_app::start(config).await.unwrap();
    running.loaded().await.unwrap();
    let port = running.admin_address().unwrap().port();
    let admin = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    for target in ["/healthz", "/readyz"] {
        assert_eq!(get(admin, target).await.status, 200, "{target}");
    }
    for target in ["/debug/config", "/debug/log-level", "/v1/models"] {
        assert_eq!(get(admin, target).await.status, 403, "{target}");
    }
    let put = send(admin, "PUT", "/debug/log-level", "{\"filter\":\"debug\"}").await;
    assert_eq!(put.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_with_a_rebound_name_are_no_operators() {
    let mut config = config();
    config.admin.listen = Some("127.0.0.1:0".parse().unwrap());
    let mut running = sparrow_app::start(config).await.unwrap();
    running.loaded().await.unwrap();
    let mut stream =
        tokio::net::TcpStream::connect(running.admin_address().unwrap()).await.unwrap();
    let request =
        b"GET /debug/config HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}
