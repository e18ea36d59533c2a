//! `sparrow-loader`: computes features, samples and embeddings, pushes them to a feature store, trains
//! models and measures them, invents data sets. `--help` says how.

mod args;
mod compare;
mod dispatch;
mod embed;
mod evaluate;
mod exit;
mod forward;
mod hyperparameters;
mod push;
mod report;
mod run;
mod served;
mod signals;
mod sources;
mod store;
mod train;
mod tune;
mod verify;

use std::process::ExitCode;

fn main() -> ExitCode {
    dispatch::main()
}
