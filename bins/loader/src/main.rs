//! `sparrow-loader`: computes features, samples and embeddings, pushes them to a feature store, trains
//! models, invents data sets. `--help` says how.

mod args;
mod embed;
mod everything;
mod exit;
mod features;
mod machine;
mod progress;
mod push;
mod run;
mod samples;
mod signals;
mod sources;
mod store;
mod train;
mod verify;

use std::process::ExitCode;

fn main() -> ExitCode {
    run::main()
}
