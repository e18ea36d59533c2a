//! The options of a server.

use std::time::Duration;

use crate::auth::Auth;
use crate::policy::base_path::BasePath;
use crate::policy::cors::Cors;
use crate::policy::hosts::Hosts;
use crate::policy::proxies::TrustedProxies;
use crate::policy::rates::RateLimits;

/// Limits of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// For the head of a request to arrive, from its first byte; for the first request, from the moment the
    /// connection is accepted.
    pub header_timeout: Duration,
    /// For the body of a request to arrive.
    pub body_timeout: Duration,
    /// For a connection without a request to stay open after an answer.
    pub idle_timeout: Duration,
    /// For the client to take any part of its answer. Bytes in the socket's buffer count as taken.
    pub write_timeout: Duration,
    /// For the client to take all of an answer, however steadily it reads.
    pub answer_timeout: Duration,
    /// For the engine to answer.
    pub request_timeout: Duration,
    /// Between the failure of readiness and the beginning of shutdown, so that load balancers notice the former.
    pub drain_delay: Duration,
    /// Requests at work, from the end of the request to its answer, except health and the admin port. Rankings and writes
    /// take at most three quarters of them, so that cheap reads find a place. At least 1.
    pub max_requests: usize,
    /// Requests that wait for a place; as many rankings and writes wait beside them. Further ones are answered 503 before
    /// work begins.
    pub waiting_requests: usize,
    /// Concurrent long rankings: of the whole catalogue, or by a slow model. 0 stands for
    /// the number of cores.
    pub max_rankings: usize,
    /// Long rankings that wait for each one that runs; further ones are answered 503. With n, an admitted one takes at most
    /// n + 1 times as long as on an idle server.
    pub waiting_rankings: usize,
    /// For requests to end after shutdown has begun; then connections are cut.
    pub shutdown_timeout: Duration,
    /// Concurrent connections; a further one is answered 503 and closed.
    pub max_connections: usize,
    /// Connections beyond that limit that are answered at a time; a further one ends the oldest that has its answer.
    pub max_refusals: usize,
    /// Concurrent connections to the admin port; further ones wait.
    pub max_admin_connections: usize,
    /// Concurrent connections from one address; 0 for no limit, since a proxy is one address.
    pub max_connections_per_address: usize,
    /// Bytes of all large answers that clients have not taken yet; further ones are answered 503.
    pub max_bytes_in_flight: usize,
    /// Bytes of a URL.
    pub max_uri_bytes: usize,
    /// Bytes of all headers together. At most a hundred headers are accepted.
    pub max_header_bytes: usize,
    /// The origins whose web pages may use the API.
    pub cors: Cors,
    /// The accepted values of the `Host` header. Health and readiness accept any.
    pub hosts: Hosts,
    /// The prefix of all paths of the public port. Health and readiness are at their paths without it, too.
    pub base_path: BasePath,
    /// The proxies that name the address of the client, for limits on rates and the access log.
    pub proxies: TrustedProxies,
    /// Whether the endpoints that change data accept requests of everybody, on a server without credentials.
    pub accepts_writes: bool,
    /// Whether the server counts its requests for `/metrics`.
    pub metrics: bool,
    /// Whether answers are compressed for clients that accept it.
    pub compression: bool,
    /// For shared caches, such as a proxy, to keep answers about movies alone; zero for none.
    pub shared_cache: Duration,
    /// Limits on the rate of requests, except those for health, readiness and the files of the web pages.
    pub rates: RateLimits,
    /// The credentials at the start; [`crate::Server::set_auth`] replaces them.
    pub auth: Auth,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_mins(2),
            request_timeout: Duration::from_secs(5),
            drain_delay: Duration::ZERO,
            max_requests: 256,
            waiting_requests: 64,
            max_rankings: 0,
            waiting_rankings: 2,
            shutdown_timeout: Duration::from_secs(10),
            max_connections: 1000,
            max_refusals: 32,
            max_admin_connections: 16,
            max_connections_per_address: 0,
            max_bytes_in_flight: 256 << 20,
            max_uri_bytes: 8 << 10,
            max_header_bytes: 16 << 10,
            cors: Cors::default(),
            hosts: Hosts::ANY,
            base_path: BasePath::default(),
            proxies: TrustedProxies::default(),
            accepts_writes: true,
            metrics: true,
            compression: true,
            shared_cache: Duration::from_secs(10),
            rates: RateLimits::default(),
            auth: Auth::default(),
        }
    }
}
