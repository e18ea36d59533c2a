//! The HTTP front end: connections, routing, endpoints, JSON and web pages, on hyper.
//!
//! It turns a request into a call of the engine, and the engine's answer into bytes. It does not recommend, reads no
//! data set and reads no configuration files: these are the tasks of `sparrow-engine` and `sparrow-app`. The server
//! describes its API at `/openapi.json`.
//!
//! Start with [`Server`]: it answers as soon as it has a listener, and completely once a [`Snapshot`] is published. A
//! snapshot contains an engine and everything that is serialised once rather than per request. Users are those of
//! the engine's catalogue, or each request reads its user from a feature store ([`SnapshotOptions::store`]).
//!
//! The modules, each of which uses only those below it:
//!
//! * `connection` accepts connections, limits and times them.
//! * `routing` checks a request, finds its endpoint or page, and adds the headers of the answer.
//! * `endpoints` contains the handlers with their descriptions. `endpoints::endpoints!` registers them.
//! * `state` contains what requests are answered from, and shared limits.
//! * `policy` decides which hosts and origins may use the server, and limits the rate of requests.
//! * `auth` decides who calls and what they may do.
//! * `parameters` defines and reads parameters.
//! * `response` contains JSON types, problem documents (RFC 9457) and answers.

mod auth;
mod connection;
mod endpoints;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod parameters;
mod policy;
mod response;
mod routing;
mod state;

pub use auth::keys::{ApiKey, Scopes, generate_key};
pub use auth::token_keys::TokenKeys;
pub use auth::tokens::Tokens;
pub use auth::{AnonymousReads, Auth};
pub use connection::accept::{Served, Server};
pub use endpoints::EXPERIMENT_ROUTES;
pub use policy::base_path::BasePath;
pub use policy::cors::Cors;
pub use policy::hosts::Hosts;
pub use policy::proxies::{AddressHeader, TrustedProxies};
pub use policy::rates::RateLimits;
pub use state::access_log::{AccessLines, AccessLog, LoggedUsers};
pub use state::experiments::{Experiment, ExposureCounts, Variant, VariantModel};
pub use state::operations::{LogFilter, Operations};
pub use state::options::Options;
pub use state::snapshot::{Snapshot, SnapshotOptions};
pub use state::tls::{EncryptedStream, Handshake, Tls};
