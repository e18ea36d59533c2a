//! Termination signals: SIGTERM and SIGINT.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

/// Time after a signal in which further ones are repeats of it.
///
/// One stop request often arrives as several signals: `timeout` signals its child and then the process group; a
/// supervisor forwards a Ctrl-C that the terminal has already sent to the whole group.
const BURST: Duration = Duration::from_secs(1);

/// A termination signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// The signal number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Interrupt => 2,
            Self::Terminate => 15,
        }
    }
}

/// The error of work that a signal interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted: {consequence}")]
pub struct Interrupted {
    /// The consequence for the user, such as "nothing was written".
    pub consequence: &'static str,
    /// The signal.
    pub signal: Signal,
}

/// Receives SIGTERM and SIGINT; Ctrl-C on systems other than Unix.
#[derive(Debug)]
pub struct Signals {
    source: Source,
    burst: Burst,
}

impl Signals {
    /// Installs the handlers: from now on the signals do not terminate the process. Requires a Tokio runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { source: Source::listen()?, burst: Burst::default() })
    }

    /// Waits for the next stop request. Signals within a second of the last returned one are ignored as repeats.
    ///
    /// Cancel safe: the next call returns a signal that arrived in between.
    pub async fn next(&mut self) -> Signal {
        loop {
            let signal = self.source.next().await;
            if self.burst.starts_at(Instant::now()) {
                return signal;
            }
        }
    }

    /// Waits for the next stop request and returns it as an error.
    pub async fn interrupted(&mut self, consequence: &'static str) -> Interrupted {
        Interrupted { consequence, signal: self.next().await }
    }

    /// Runs `work` until it completes, or until a stop request drops it and becomes its error.
    pub async fn or<T, E: From<Interrupted>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
        consequence: &'static str,
    ) -> Result<T, E> {
        tokio::select! {
            result = work => result,
            interrupted = self.interrupted(consequence) => Err(interrupted.into()),
        }
    }
}

/// Distinguishes new stop requests from repeats.
#[derive(Debug, Default)]
struct Burst {
    began: Option<Instant>,
}

impl Burst {
    /// Returns whether a signal at this time is a new request.
    fn starts_at(&mut self, now: Instant) -> bool {
        let repeats = self.began.is_some_and(|began| now.duration_since(began) < BURST);
        if !repeats {
            self.began = Some(now);
        }
        !repeats
    }
}

#[cfg(unix)]
#[derive(Debug)]
struct Source {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Source {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
struct Source;

#[cfg(not(unix))]
impl Source {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Interrupt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_signals_within_a_second_are_ignored() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut burst = Burst::default();
        assert!(burst.starts_at(at(0)));
        assert!(!burst.starts_at(at(0)));
        assert!(!burst.starts_at(at(600)));
        assert!(!burst.starts_at(at(999)));
        assert!(
            burst.starts_at(at(1000)),
            "the second counts from the first signal, not from repeats"
        );
        assert!(!burst.starts_at(at(1999)));
        assert!(burst.starts_at(at(5000)));
    }
}
