//! The recommendation server. All of it is in `sparrow-app`; see `sparrow-serve --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sparrow_app::main(std::env::args_os(), std::env::vars_os())
}
