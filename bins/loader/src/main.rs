//! `sparrow-loader`: invents data sets, computes embeddings and trains models. `--help` says how.

mod args;
mod progress;
mod run;
mod train;

use std::process::ExitCode;

fn main() -> ExitCode {
    run::main()
}
