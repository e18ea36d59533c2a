//! What `sparrow-loader` and `sparrow-pipeline` print, and the codes that they exit with.
//!
//! * [`Console`]: the options `--quiet` and `--verbose`, and all that depends on them.
//! * [`Bar`]: a progress bar, on a terminal only.
//! * [`exit`]: the exit codes.
//!
//! The server has log lines instead. Start reading at [`Console`].

mod console;
pub mod exit;
mod progress;

pub use console::{Console, complain, finish, keep_order, say};
pub use progress::{Bar, Unit};
