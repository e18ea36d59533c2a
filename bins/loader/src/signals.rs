//! Ends a command when a signal comes.

use anyhow::Context as _;

use crate::exit::Ended;

/// SIGTERM and SIGINT; elsewhere than on Unix, Ctrl-C.
pub(crate) struct Signals(sparrow_process::Signals);

impl Signals {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Ok(Self(sparrow_process::Signals::listen().context("cannot listen for signals")?))
    }

    /// The next request to stop. `meaning` says what that means for the user.
    pub(crate) async fn next(&mut self, meaning: &'static str) -> Ended {
        Ended::Interrupted(meaning, self.0.next().await)
    }

    /// Carries work out unless a signal comes first, which drops it. `meaning` says what that means for
    /// the user.
    pub(crate) async fn or<T>(
        &mut self,
        work: impl Future<Output = anyhow::Result<T>>,
        meaning: &'static str,
    ) -> anyhow::Result<T> {
        tokio::select! {
            done = work => done,
            ended = self.next(meaning) => Err(ended.into()),
        }
    }
}
