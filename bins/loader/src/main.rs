//! `sparrow-loader`: computes features, samples and embeddings, pushes them to a feature store, trains
//! models and measures them, invents data sets. `--help` says how.

mod args;
mod compare;
mod console;
mod embed;
mod evaluate;
mod everything;
mod exit;
mod features;
mod machine;
mod progress;
mod push;
mod report;
mod run;
mod samples;
mod served;
mod signals;
mod sources;
mod store;
mod train;
mod tune;
mod verify;

use std::process::ExitCode;

fn main() -> ExitCode {
    run::main()
}
