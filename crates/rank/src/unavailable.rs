use async_trait::async_trait;

use crate::{Error, Query, Ranker, Status};

/// A model that cannot rank: each query is [`Error::Unavailable`], and its status contains the reason.
#[derive(Debug, Clone)]
pub struct Unavailable {
    kind: &'static str,
    reason: String,
}

impl Unavailable {
    /// An unavailable model of a kind such as `embedding`.
    pub fn new(kind: &'static str, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

#[async_trait]
impl Ranker for Unavailable {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn status(&self) -> Status {
        Status::unavailable(self.reason.as_str())
    }

    async fn score(&self, _query: &Query<'_>, _scores: &mut Vec<f32>) -> Result<(), Error> {
        Err(Error::Unavailable(self.reason.clone().into()))
    }
}
