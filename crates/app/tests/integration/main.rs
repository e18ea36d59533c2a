//! Tests of whole servers over sockets.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod admin;
mod auth;
mod entries;
mod experiments;
mod failing;
mod follow;
#[cfg(target_os = "linux")]
mod idle;
mod live;
mod live_cluster;
mod live_stores;
mod load;
mod metrics;
mod model_server;
mod models;
mod push_during_writes;
mod redis;
mod same_answers;
mod support;
mod tf_serving;
mod tls;
