//! The recommendation server as one piece: configuration, telemetry, wiring and shutdown.
//!
//! * [`main`] is the binary: it parses the command line and serves until a signal.
//! * [`start`] starts a server for a [`Config`] in the current process, for tests, benchmarks and programs with a `main`
//!   of their own. With port 0 it listens on a free port.
//! * [`start_with_store`] does the same with a feature store of the caller.
//! * [`config`] merges the layers of the configuration: built-in defaults, file, environment, command line.
//!
//! Errors are [`Error`], [`ModelError`] and [`config::Error`]. The crate contains no recommendation logic and no routes.

mod access_log;
mod admin;
mod auth;
mod check;
mod cli;
pub mod config;
mod duration;
mod error;
mod file_limit;
mod follow;
mod listen;
mod live;
mod load;
mod models;
mod refresh;
mod reload;
mod run;
mod size;
mod store;
mod store_url;
mod stored;
mod summary;
mod telemetry;
mod tls;

pub use config::Config;
pub use error::Error;
pub use load::load_engine;
pub use models::ModelError;
pub use run::{Running, main, start, start_with_store};
