//! Ends a command when a signal comes.

use anyhow::Context as _;

use crate::exit::Ended;

/// SIGTERM and SIGINT; elsewhere than on Unix, Ctrl-C.
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

impl Signals {
    #[cfg(unix)]
    pub(crate) fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let signal = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    pub(crate) async fn next(&mut self, meaning: &'static str) -> Ended {
        tokio::select! {
            _ = self.terminate.recv() => Ended::Interrupted(meaning, SIGTERM),
            _ = self.interrupt.recv() => Ended::Interrupted(meaning, SIGINT),
        }
    }

    #[cfg(not(unix))]
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self, meaning: &'static str) -> Ended {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Ended::Interrupted(meaning, SIGINT)
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
