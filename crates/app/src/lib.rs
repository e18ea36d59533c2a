//! The recommendation server as one piece: configuration, telemetry, wiring and shutdown.
//!
//! * [`main`] is the whole of the binary: it reads the command line and runs until a signal.
//! * [`start`] starts a server for a [`Config`] in the current process, on port 0 if asked: for tests,
//!   benchmarks and programs that bring a main of their own.
//! * [`start_with_store`] does so for a feature store that the caller brings.
//! * [`config`] layers the configuration: built-in defaults, file, environment, command line.
//!
//! The crate holds no recommendation logic and knows no routes.

mod admin;
mod cli;
pub mod config;
mod duration;
mod files;
mod listen;
mod load;
mod models;
mod refresh;
mod run;
mod size;
mod store;
mod store_url;
mod stored;
mod telemetry;

pub use config::Config;
pub use load::load_engine;
pub use run::{Running, main, start, start_with_store};
