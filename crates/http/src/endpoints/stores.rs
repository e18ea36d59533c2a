//! The problems of failing stores.

use sparrow_live::Error as LiveError;
use sparrow_store::Error;

use crate::response::problem::{Kind, Problem};

pub(crate) fn unreadable() -> Problem {
    Problem::new(Kind::Internal, "the feature store's entry cannot be read")
}

/// The problem of a failed read from the feature store.
pub(crate) fn store_problem(error: &Error) -> Problem {
    if let Error::Malformed { key, what } = error {
        tracing::error!(key, what, "malformed entry in the feature store");
        return unreadable();
    }
    Problem::new(Kind::Unavailable, "the feature store does not answer at the moment")
}

/// The problem of a failed call of the store for live data.
pub(crate) fn live_problem(error: &LiveError) -> Problem {
    match error {
        LiveError::KeyReused { .. } => Problem::new(Kind::KeyReused, error.to_string()),
        LiveError::TooManyRatings { .. } => {
            let detail = format!("{error}; remove some of them, or raise max_ratings in [live]");
            Problem::new(Kind::TooManyRatings, detail)
        }
        LiveError::Malformed { key, what } => {
            tracing::error!(key, what, "malformed entry in the live data");
            Problem::new(Kind::Internal, "the entry in the live data cannot be read")
        }
        error => {
            tracing::warn!(error = error as &dyn std::error::Error, "the live data failed");
            Problem::new(Kind::Unavailable, "the store for live data does not answer at the moment")
        }
    }
}
