//! Prometheus collects the metrics of a running server.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::support::{PATIENCE, config, get, until};

/// A program of the Debian package `prometheus`.
fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("SPARROW_PROMETHEUS")
        .expect("SPARROW_PROMETHEUS must name the folder of prometheus: run .ci/test");
    Path::new(&folder).join(name)
}

struct Prometheus {
    process: Child,
    address: SocketAddr,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts Prometheus, which collects from an address.
async fn prometheus(folder: &Path, target: SocketAddr) -> Prometheus {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deploy/alerts.yml");
    let rules = rules.canonicalize().unwrap();
    let configuration = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nrule_files: [{:?}]\nscrape_configs:\n- job_name: sparrow\n  \
         static_configs: [{{targets: [\"{target}\"]}}]\n",
        rules.display().to_string()
    );
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, configuration).unwrap();
    // Free for a moment: Prometheus cannot choose a port.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let process = Command::new(program("prometheus"))
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let prometheus = Prometheus { process, address };
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(address).await.is_err() {
        assert!(Instant::now() < end, "prometheus does not listen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    prometheus
}

fn query(expression: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    format!("/api/v1/query?query={}", expression.bytes().map(encode).collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs prometheus"]
async fn prometheus_collects_the_metrics_of_a_server() {
    let mut config = config();
    config.admin.listen = Some("127.0.0.1:0".parse().unwrap());
    let mut running = sparrow_app::start(config).await.unwrap();
    running.loaded().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let prometheus = prometheus(folder.path(), running.admin_address().unwrap()).await;
    for user in 1..=5 {
        let target = format!("/v1/users/{user}/recommendations");
        assert_eq!(get(running.address, &target).await.status, 200);
    }
    let count = "sum(http_server_request_duration_seconds_count{http_route=\"/v1/users/{id}/recommendations\",\
                 http_response_status_code=\"200\"})";
    until(prometheus.address, &query(count), |answer| {
        answer.status == 200 && answer.body.contains(",\"5\"]")
    })
    .await;
    for (expression, value) in [
        ("up{job=\"sparrow\"}", "1"),
        ("sparrow_ready", "1"),
        ("count(sparrow_build_info)", "1"),
        ("sum(sparrow_model_requests_total{outcome=\"answered\"}) >= bool 5", "1"),
        ("sum(sparrow_model_duration_seconds_bucket{le=\"+Inf\"}) >= bool 5", "1"),
        ("process_max_fds > bool process_open_fds", "1"),
    ] {
        let answer = get(prometheus.address, &query(expression)).await;
        assert!(answer.body.contains(&format!(",\"{value}\"]")), "{expression}: {}", answer.body);
    }
    // Prometheus evaluates the expressions of the dashboard and the alert rules.
    let dashboard = include_str!("../../../../docs/deploy/grafana.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10);
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    for target in targets {
        let expression = target["expr"].as_str().unwrap();
        let expression = expression.replace("$instance", ".*").replace("$__rate_interval", "1m");
        let answer = get(prometheus.address, &query(&expression)).await;
        assert_eq!(answer.status, 200, "{expression}: {}", answer.body);
    }
    let rules = get(prometheus.address, "/api/v1/rules").await;
    assert!(rules.body.contains("SparrowCircuitOpen"), "{}", rules.body);
    running.stop().await;
}

#[test]
#[ignore = "needs prometheus"]
fn promtool_accepts_the_alert_rules() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deploy/alerts.yml");
    let checked = Command::new(program("promtool")).args(["check", "rules"]).arg(rules).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
