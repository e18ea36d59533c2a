//! `sparrow-loader`: invents data sets, computes features, training samples and embeddings. `--help`
//! says how.

mod args;
mod features;
mod machine;
mod progress;
mod run;
mod samples;

use std::process::ExitCode;

fn main() -> ExitCode {
    run::main()
}
