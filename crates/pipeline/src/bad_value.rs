use datafusion::error::DataFusionError;

/// An invalid value in the input.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadValue(pub(super) String);

impl BadValue {
    pub(super) fn error(what: String) -> DataFusionError {
        DataFusionError::External(Box::new(Self(what)))
    }
}
