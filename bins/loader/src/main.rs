//! `sparrow-loader`: computes features, samples and embeddings, pushes them to a feature store, trains and
//! evaluates models, generates data sets. `--help` documents the commands.

mod args;
mod compare;
mod dispatch;
mod embed;
mod evaluate;
mod experiment;
mod export;
mod failure;
mod fit;
mod forward;
mod hyperparameters;
mod push;
mod report;
mod run;
mod sources;
mod store;
mod tf_serving;
mod train;
mod trim;
mod tune;
mod verify;

use std::process::ExitCode;

fn main() -> ExitCode {
    dispatch::main()
}
