//! SIGTERM and SIGINT.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

/// How long after a signal further ones belong to it.
///
/// One request to stop often arrives several times: `timeout` signals its child and then the whole process
/// group, and a supervisor forwards the Ctrl-C that the terminal has sent to everybody already.
const BURST: Duration = Duration::from_secs(1);

/// A signal that asks a program to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// Its number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Interrupt => 2,
            Self::Terminate => 15,
        }
    }
}

/// Receives SIGTERM and SIGINT; elsewhere than on Unix, Ctrl-C.
#[derive(Debug)]
pub struct Signals {
    source: Source,
    burst: Burst,
}

impl Signals {
    /// From now on these signals no longer end the process. Needs a Tokio runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { source: Source::listen()?, burst: Burst::default() })
    }

    /// The next request to stop. Signals within a second of the one that was returned last are repeats of it
    /// and ignored.
    ///
    /// Cancel safe: a signal that arrives while no caller waits is returned by the next call.
    pub async fn next(&mut self) -> Signal {
        loop {
            let signal = self.source.next().await;
            if self.burst.starts_at(Instant::now()) {
                return signal;
            }
        }
    }
}

/// Tells a new request to stop from repeats of the last one.
#[derive(Debug, Default)]
struct Burst {
    began: Option<Instant>,
}

impl Burst {
    /// Whether a signal that arrives now is a new request.
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
    fn repeats_within_a_second_belong_to_the_first_signal() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut burst = Burst::default();
        assert!(burst.starts_at(at(0)));
        assert!(!burst.starts_at(at(0)));
        assert!(!burst.starts_at(at(600)));
        assert!(!burst.starts_at(at(999)));
        assert!(burst.starts_at(at(1000)), "counted from the first, not from the last repeat");
        assert!(!burst.starts_at(at(1999)));
        assert!(burst.starts_at(at(5000)));
    }
}
