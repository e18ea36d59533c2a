//! `sparrow-loader`: invents data sets and computes embeddings. `--help` says how.

mod args;
mod progress;
mod run;

use std::process::ExitCode;

fn main() -> ExitCode {
    run::main()
}
