//! Tests of whole servers over sockets.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod admin;
mod auth;
mod entries;
mod failing;
mod follow;
mod live;
mod live_stores;
mod load;
mod model_server;
mod models;
mod redis;
mod same_answers;
mod support;
mod tf_serving;
