use std::time::Duration;

use fred::types::config::{
    ClusterDiscoveryPolicy, Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, Server,
    ServerConfig, TcpConfig, UnresponsiveConfig,
};

use crate::location::{Host, Topology};
use crate::{Error, Options, RedisLocation};

pub(super) fn config(location: &RedisLocation) -> Config {
    let server = |(host, port): &Host| Server::new(host.as_str(), *port);
    let server = match &location.topology {
        Topology::Server(host) => ServerConfig::Centralized { server: server(host) },
        Topology::Cluster(hosts) => ServerConfig::Clustered {
            hosts: hosts.iter().map(server).collect(),
            policy: ClusterDiscoveryPolicy::UseCache,
        },
        Topology::Sentinel { hosts, service, username, password } => ServerConfig::Sentinel {
            hosts: hosts.iter().map(server).collect(),
            service_name: service.clone(),
            username: username.clone(),
            password: password.clone(),
        },
        // The relay connects to the socket, whatever the host name.
        Topology::Socket(_) => ServerConfig::Centralized { server: Server::new("localhost", 0) },
    };
    Config {
        // Reports the first failure instead of retrying silently; `keep_connected` retries.
        fail_fast: true,
        username: location.username.clone(),
        password: location.password.clone(),
        server,
        database: (location.database != 0).then_some(location.database),
        ..Config::default()
    }
}

/// The name required in a server's certificate. Cluster nodes are found by IP address, which
/// certificates rarely contain. They must contain the name of the first configured node instead.
pub(super) fn tls_name(location: &RedisLocation, host: &str) -> String {
    let hosts = location.hosts();
    match hosts.first() {
        Some((first, _))
            if location.is_cluster() && hosts.iter().all(|(known, _)| known != host) =>
        {
            first.clone()
        }
        _ => host.to_owned(),
    }
}

pub(in crate::redis) fn tls_config(options: &Options) -> Result<rustls::ClientConfig, Error> {
    sparrow_tls::client_config(options.ca_file.as_deref())
        .map_err(|error| Error::Configuration(error.to_string()))
}

pub(super) fn performance(options: &Options) -> PerformanceConfig {
    PerformanceConfig {
        // For commands without their own deadline.
        default_command_timeout: options.bulk_deadline,
        // Commands per flush of the socket: a whole batch.
        max_feed_count: 10_000,
        ..PerformanceConfig::default()
    }
}

/// The minimum timeout of the first commands of a connection.
const SETUP: Duration = Duration::from_secs(1);

pub(super) fn connection(options: &Options) -> ConnectionConfig {
    let unresponsive = options.bulk_deadline * 2;
    ConnectionConfig {
        // Shorter than the callers' timeout, so that their error contains the cause.
        connection_timeout: options.connect_timeout * 4 / 5,
        // A reply to the first commands of a connection may be lost, too.
        internal_command_timeout: options.connect_timeout.min(SETUP.max(options.deadline)),
        max_command_attempts: 1,
        unresponsive: UnresponsiveConfig {
            max_timeout: Some(unresponsive),
            interval: (unresponsive / 4).clamp(Duration::from_millis(50), Duration::from_secs(1)),
        },
        tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
        ..ConnectionConfig::default()
    }
}

/// Retries without end, first after about 20 ms, later every two seconds.
pub(super) fn reconnect() -> ReconnectPolicy {
    let mut policy = ReconnectPolicy::new_exponential(0, 20, 2_000, 2);
    policy.set_jitter(20);
    policy
}
