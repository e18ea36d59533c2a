//! Failures of commands, and the exit codes of all errors.

use std::process::ExitCode;

use sparrow_blend as blend;
use sparrow_console::exit::{BAD_INPUT, DIFFERENCES, FAILED, STORE};
use sparrow_embed as embed;
use sparrow_evaluate::{self as evaluate, tune};
use sparrow_fit as fit;
use sparrow_process::Interrupted;
use sparrow_process::terminal::USAGE;
use sparrow_push::{live, push, sources, verify, verify_live};
use sparrow_synth as synth;
use sparrow_train::{self as train, export};

/// A failure that is not an error of a library.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line is incomplete or contradictory.
    #[error("{0}")]
    Usage(String),
    /// The program that implements the command is missing.
    #[error("{0}")]
    NotInstalled(String),
    /// A file of the input is missing.
    #[error("{0}")]
    Input(String),
    /// The store differs from the sources; the differences have been printed.
    #[error("the store differs from the sources")]
    Differences,
}

/// The exit code of an error: that of the first cause that has one.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    let known = error.chain().find_map(|cause| {
        if let Some(Interrupted { signal, .. }) = cause.downcast_ref() {
            return Some(128 + signal.number());
        }
        if let Some(failure) = cause.downcast_ref() {
            return Some(match failure {
                Failure::Usage(_) => USAGE,
                Failure::NotInstalled(_) => FAILED,
                Failure::Input(_) => BAD_INPUT,
                Failure::Differences => DIFFERENCES,
            });
        }
        if let Some(error) = cause.downcast_ref() {
            return Some(store_code(error));
        }
        if let Some(error) = cause.downcast_ref::<sparrow_live_overlay::Error>() {
            return Some(error.exit_code());
        }
        if let Some(code) = cause.downcast_ref().and_then(live_code) {
            return Some(code);
        }
        if cause.is::<sparrow_live::Error>() {
            return Some(STORE);
        }
        if let Some(error) = cause.downcast_ref() {
            return Some(match error {
                push::Error::Source(error) => source_code(error),
                push::Error::Store(error) => store_code(error),
            });
        }
        if let Some(error) = cause.downcast_ref() {
            return match error {
                verify::Error::Source(error) => Some(source_code(error)),
                verify::Error::Store(error) => Some(store_code(error)),
                _ => None,
            };
        }
        match cause.downcast_ref() {
            Some(verify_live::Error::Store(error)) => return Some(store_code(error)),
            Some(verify_live::Error::Live(error)) => return live_code(error),
            _ => {}
        }
        if let Some(error) = cause.downcast_ref() {
            return Some(source_code(error));
        }
        if let Some(synth::Error::Impossible(_)) = cause.downcast_ref() {
            return Some(USAGE);
        }
        match cause.downcast_ref() {
            Some(embed::Error::Hyperparameter(_)) => return Some(USAGE),
            Some(embed::Error::NoTrainingData(_)) => return Some(BAD_INPUT),
            _ => {}
        }
        match cause.downcast_ref() {
            Some(tune::Error::Option(_)) => return Some(USAGE),
            Some(tune::Error::Foreign { .. }) => return Some(BAD_INPUT),
            _ => {}
        }
        match cause.downcast_ref() {
            Some(train::Error::Option(_)) => return Some(USAGE),
            Some(train::Error::NoTrainingData(_) | train::Error::Empty(_)) => {
                return Some(BAD_INPUT);
            }
            _ => {}
        }
        if let Some(sparrow_tf_serving::Error::Url(_)) = cause.downcast_ref() {
            return Some(USAGE);
        }
        match cause.downcast_ref() {
            Some(evaluate::Error::Option(_)) => return Some(USAGE),
            Some(evaluate::Error::NoTestData(_)) => return Some(BAD_INPUT),
            _ => {}
        }
        match cause.downcast_ref() {
            Some(fit::Error::NoEarlierVersion(_)) => return Some(BAD_INPUT),
            Some(fit::Error::Worse { .. }) => return Some(DIFFERENCES),
            _ => {}
        }
        if let Some(blend::fit::Error::NothingToFit) = cause.downcast_ref() {
            return Some(BAD_INPUT);
        }
        if let Some(export::Error::Read { .. } | export::Error::Import(_)) = cause.downcast_ref() {
            return Some(BAD_INPUT);
        }
        cause.is::<sparrow_movielens::Error>().then_some(BAD_INPUT)
    });
    ExitCode::from(known.unwrap_or(FAILED))
}

const fn source_code(error: &sources::Error) -> u8 {
    match error {
        sources::Error::Nothing => USAGE,
        _ => BAD_INPUT,
    }
}

const fn store_code(error: &sparrow_store::Error) -> u8 {
    match error {
        sparrow_store::Error::Configuration(_) => USAGE,
        _ => STORE,
    }
}

const fn live_code(error: &live::Error) -> Option<u8> {
    match error {
        live::Error::Store(_) => Some(STORE),
        live::Error::Trimmed { .. }
        | live::Error::Watermark { .. }
        | live::Error::Unreadable { .. } => Some(BAD_INPUT),
        live::Error::Output(_) => None,
    }
}
