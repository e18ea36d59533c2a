//! The front end as clients see it: through a socket.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod auth;
mod bad_input;
mod base_path;
mod bodies;
mod compression;
mod connections;
mod cors;
mod fuzz;
mod live;
mod load;
mod metrics;
mod new_user;
mod overload;
mod pages;
mod private;
mod rates;
mod request_ids;
mod shutdown;
mod status;
mod support;
