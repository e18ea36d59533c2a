//! Terminal output and exit codes of `sparrow-loader` and `sparrow-pipeline`.
//!
//! * [`Console`]: the options `--quiet` and `--verbose`, and the output that they control.
//! * [`Bar`]: a progress bar, on terminals only.
//! * [`exit`]: the exit codes.
//!
//! Start reading at [`Console`].

mod console;
pub mod exit;
mod progress;

pub use console::{Console, finish, keep_order, print_error, print_result};
pub use progress::{Bar, Unit};
