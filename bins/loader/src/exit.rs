//! Exit codes.

use std::process::ExitCode;

use sparrow_console::exit::{BAD_INPUT, DIFFERENCES, FAILED, STORE};
use sparrow_embed as embed;
use sparrow_evaluate::{self as evaluate, tune};
use sparrow_process::Signal;
use sparrow_process::terminal::USAGE;
use sparrow_push::{push, sources, verify};
use sparrow_synth as synth;
use sparrow_train::{self as train, export};

/// Why a command ended that is no error of a library.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// The command line is not complete or contradicts itself.
    #[error("{0}")]
    Usage(String),
    /// A program that carries the command out is missing.
    #[error("{0}")]
    NotInstalled(String),
    /// A file of the input is missing.
    #[error("{0}")]
    Input(String),
    /// The store is not as the sources say; it has been said how.
    #[error("the store differs from the sources")]
    Differences,
    /// A signal came.
    #[error("interrupted: {0}")]
    Interrupted(&'static str, Signal),
}

/// The code for an error: that of the first cause that has one.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    let known = error.chain().find_map(|cause| {
        if let Some(ended) = cause.downcast_ref() {
            return Some(match ended {
                Ended::Usage(_) => USAGE,
                Ended::NotInstalled(_) => FAILED,
                Ended::Input(_) => BAD_INPUT,
                Ended::Differences => DIFFERENCES,
                Ended::Interrupted(_, signal) => 128 + signal.number(),
            });
        }
        if let Some(error) = cause.downcast_ref() {
            return Some(of_store(error));
        }
        if let Some(error) = cause.downcast_ref() {
            return Some(match error {
                push::Error::Source(error) => of_source(error),
                push::Error::Store(error) => of_store(error),
            });
        }
        if let Some(error) = cause.downcast_ref() {
            return match error {
                verify::Error::Source(error) => Some(of_source(error)),
                verify::Error::Store(error) => Some(of_store(error)),
                _ => None,
            };
        }
        if let Some(error) = cause.downcast_ref() {
            return Some(of_source(error));
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
            Some(train::Error::NothingToLearn(_)) => return Some(BAD_INPUT),
            _ => {}
        }
        if let Some(sparrow_tf_serving::Error::Url(_)) = cause.downcast_ref() {
            return Some(USAGE);
        }
        match cause.downcast_ref() {
            Some(evaluate::Error::Option(_)) => return Some(USAGE),
            Some(evaluate::Error::NothingToMeasure(_)) => return Some(BAD_INPUT),
            _ => {}
        }
        if let Some(export::Error::Read { .. } | export::Error::Import(_)) = cause.downcast_ref() {
            return Some(BAD_INPUT);
        }
        cause.is::<sparrow_movielens::Error>().then_some(BAD_INPUT)
    });
    ExitCode::from(known.unwrap_or(FAILED))
}

const fn of_source(error: &sources::Error) -> u8 {
    match error {
        sources::Error::Nothing => USAGE,
        _ => BAD_INPUT,
    }
}

const fn of_store(error: &sparrow_store::Error) -> u8 {
    match error {
        sparrow_store::Error::Configuration(_) => USAGE,
        _ => STORE,
    }
}
