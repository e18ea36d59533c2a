//! Timeouts of a connection: closes it when it makes no progress.
//!
//! hyper does not limit the total time of reading a request or of writing an answer. [`TimedStream`] is between
//! hyper and the socket, and [`Progress`] contains which of the two is going on. A timer is armed only when the
//! socket makes hyper wait, and is not rearmed for a later deadline before it fires, so that a busy connection
//! costs no timer work.
//!
//! With TLS, the time of the handshake counts as a part of the first wait, and bytes that the encrypted stream keeps count as not
//! yet written.
//!
//! The stream also replaces hyper's empty answers to unparsable requests by problem documents. After an answer to
//! a request that was not read to its end it reads a little more: closing a socket with unread data resets the
//! connection, and the client may lose the answer.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::connection::socket::Socket;
use crate::response::problem::{Kind, Problem};
use crate::response::reply;
use crate::state::options::Options;

/// How long, and how many bytes, are read after the last answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// How long a connection may be idle during shutdown. The next request of a busy client comes within that time, and
/// its answer closes the connection.
const LAST_REQUEST: Duration = Duration::from_millis(500);

/// The time for the last request of an idle connection.
pub(crate) fn last_request(options: &Options) -> Duration {
    LAST_REQUEST.min(options.shutdown_timeout / 2)
}

/// The phase of a connection, set by the service and read by the stream. Both run in the same task.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    phase: AtomicU8,
    linger: AtomicBool,
    stopping: AtomicBool,
}

/// No part of a request has been read.
const IDLE: u8 = 0;
/// A part of a request's head has been read.
const HEAD: u8 = 1;
const ANSWERING: u8 = 2;
const WRITING: u8 = 3;

impl Progress {
    /// A request has been read.
    pub(crate) fn answering(&self) {
        self.phase.store(ANSWERING, Ordering::Relaxed);
    }

    /// The answer is ready to be written.
    pub(crate) fn writing(&self) {
        self.phase.store(WRITING, Ordering::Relaxed);
    }

    fn is_within_head(&self) -> bool {
        self.phase() == HEAD
    }

    /// The client may be sending more than was read: the stream reads on after the answer.
    pub(crate) fn linger(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }

    /// The server shuts down: the connection may be idle only for a short time.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Relaxed)
    }

    fn is_reading(&self) -> bool {
        self.phase() <= HEAD
    }
}

/// What the stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The first byte of the first request.
    First,
    /// The first byte of another request.
    Idle,
    /// The rest of a request's head.
    Head,
    /// The client to take a part of its answer.
    Write,
    /// The client to close.
    Linger,
}

/// A socket whose reads and writes have deadlines.
#[derive(Debug)]
pub(crate) struct TimedStream {
    stream: Socket,
    progress: Arc<Progress>,
    options: Arc<Options>,
    timer: Pin<Box<Sleep>>,
    /// What the stream waits for, and since when; `None` after progress.
    waiting: Option<(Stage, Instant)>,
    /// Whether an answer has been written.
    served: bool,
    /// When writing of the current answer began.
    writing_since: Option<Instant>,
    /// Whether the first line of the head has ended.
    first_line: bool,
    /// The last byte that was read.
    last: u8,
    /// The answer that replaces hyper's, and how many of its bytes are written.
    replacement: Option<(Vec<u8>, usize)>,
    lingered: usize,
}

impl TimedStream {
    /// The stream of a connection that was accepted at this time.
    pub(crate) fn new(
        stream: Socket,
        progress: Arc<Progress>,
        options: Arc<Options>,
        accepted: Instant,
    ) -> Self {
        let deadline = after(accepted, options.header_timeout);
        let timer = Box::pin(tokio::time::sleep_until(deadline));
        Self {
            stream,
            progress,
            options,
            timer,
            waiting: Some((Stage::First, accepted)),
            served: false,
            writing_since: None,
            first_line: false,
            last: 0,
            replacement: None,
            lingered: 0,
        }
    }

    /// The socket.
    pub(crate) fn into_stream(self) -> Socket {
        self.stream
    }

    fn limit(&self, stage: Stage) -> Duration {
        let usual = match stage {
            Stage::First | Stage::Head => self.options.header_timeout,
            Stage::Idle => self.options.idle_timeout,
            Stage::Write => self.options.write_timeout,
            Stage::Linger => LINGER,
        };
        let ends = matches!(stage, Stage::First | Stage::Idle)
            && self.progress.stopping.load(Ordering::Relaxed);
        if ends { usual.min(last_request(&self.options)) } else { usual }
    }

    /// Whether the deadline of a stage has passed; if not, the task is woken then.
    fn overdue(&mut self, cx: &mut Context<'_>, stage: Stage) -> bool {
        let since = match self.waiting {
            Some((current, since)) if current == stage => since,
            _ => {
                let now = Instant::now();
                self.waiting = Some((stage, now));
                now
            }
        };
        let mut deadline = after(since, self.limit(stage));
        if stage == Stage::Write {
            // A client that reads slowly but steadily has a deadline, too.
            let start = *self.writing_since.get_or_insert(since);
            deadline = deadline.min(after(start, self.options.answer_timeout));
        }
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return true;
            }
            self.timer.as_mut().reset(deadline);
        }
        false
    }

    /// Ends the connection of a client that did not send its request in time.
    fn expire_read(&mut self, cx: &mut Context<'_>, stage: Stage) -> io::Result<()> {
        tracing::debug!(?stage, "closing a connection that makes no progress");
        if stage != Stage::Head {
            // As if the client had closed.
            return Ok(());
        }
        let detail =
            format!("the request head did not arrive within {:?}", self.options.header_timeout);
        let answer = reply::raw(&Problem::new(Kind::Timeout, detail));
        // Nothing waits for so slow a client: it gets what fits into the socket's buffer.
        let _ = Pin::new(&mut self.stream).poll_write(cx, &answer);
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Writes a problem document in place of one of hyper's own answers.
    fn replace(&mut self, cx: &mut Context<'_>, automatic: &[u8]) -> Poll<io::Result<usize>> {
        let (answer, written) = self
            .replacement
            .get_or_insert_with(|| (reply::raw(&automatic_problem(automatic, self.first_line)), 0));
        while *written < answer.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &answer[*written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => *written += count,
            }
        }
        self.replacement = None;
        self.progress.linger();
        Poll::Ready(Ok(automatic.len()))
    }

    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.waiting = None;
        } else if self.overdue(cx, Stage::Write) {
            tracing::debug!("closing a connection that does not take its answer");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        result
    }

    fn is_automatic(&self, bytes: &[u8]) -> bool {
        self.progress.is_reading()
            && (self.replacement.is_some()
                || (bytes.starts_with(b"HTTP/1.") && bytes.ends_with(b"\r\n\r\n")))
    }
}

/// The end of a wait; a limit that cannot be added is 30 years.
fn after(start: Instant, limit: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(24 * 365 * 30);
    start.checked_add(limit.min(FAR)).unwrap_or(start)
}

/// Makes line ends without a carriage return unreadable, so that the parser refuses them. It would accept them as
/// line ends, and a proxy in front may not: the two would disagree on where a request ends.
fn spoil_bare_line_ends(bytes: &mut [u8], mut last: u8) {
    for byte in bytes {
        if *byte == b'\n' && last != b'\r' {
            *byte = 0;
        }
        last = *byte;
    }
}

/// The problem behind one of hyper's empty answers.
fn automatic_problem(automatic: &[u8], first_line: bool) -> Problem {
    let status = automatic.get(9..12).unwrap_or_default();
    match status {
        b"414" => Problem::new(Kind::UriTooLong, "the URL is longer than this server reads"),
        b"431" if !first_line => {
            Problem::new(Kind::UriTooLong, "the request line is longer than this server reads")
        }
        b"431" => Problem::new(
            Kind::HeadersTooLarge,
            "the headers are more, or larger, than this server reads",
        ),
        _ => Problem::new(
            Kind::MalformedRequest,
            "the request line or a header is not valid HTTP/1.1",
        ),
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        let new = &mut buf.filled_mut()[before..];
        if let Some(&last) = new.last() {
            spoil_bare_line_ends(new, this.last);
            this.last = last;
        }
        if !this.progress.is_reading() {
            return result;
        }
        match result {
            Poll::Ready(Ok(())) => {
                let new = &buf.filled()[before..];
                if !new.is_empty() {
                    this.progress.phase.store(HEAD, Ordering::Relaxed);
                    this.first_line = this.first_line || memchr::memchr(b'\n', new).is_some();
                }
                result
            }
            Poll::Ready(Err(_)) => result,
            Poll::Pending => {
                let stage = match (this.progress.is_within_head(), this.served) {
                    (true, _) => Stage::Head,
                    (false, false) => Stage::First,
                    (false, true) => Stage::Idle,
                };
                if this.overdue(cx, stage) {
                    return Poll::Ready(this.expire_read(cx, stage));
                }
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = if this.is_automatic(bytes) {
            this.replace(cx, bytes)
        } else {
            Pin::new(&mut this.stream).poll_write(cx, bytes)
        };
        this.wrote(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = match slices {
            [only] if this.is_automatic(only) => this.replace(cx, only),
            _ => Pin::new(&mut this.stream).poll_write_vectored(cx, slices),
        };
        this.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only TLS keeps bytes to flush. hyper flushes when its own buffer is empty.
        let this = self.get_mut();
        if !this.progress.is_reading() {
            let flushed = Pin::new(&mut this.stream).poll_flush(cx);
            ready!(this.wrote(cx, flushed))?;
        }
        if this.progress.phase() == WRITING {
            this.progress.phase.store(IDLE, Ordering::Relaxed);
            (this.served, this.first_line) = (true, false);
            (this.waiting, this.writing_since) = (None, None);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let ended = Pin::new(&mut this.stream).poll_shutdown(cx)?;
        if ended.is_pending() {
            return this.wrote(cx, Poll::Pending);
        }
        if !this.progress.linger.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = [0; 4096];
        while this.lingered < LINGER_BYTES {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    this.lingered += buf.filled().len();
                }
                Poll::Pending if !this.overdue(cx, Stage::Linger) => return Poll::Pending,
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_without_a_carriage_return_are_spoilt() {
        for (sent, last, read) in [
            (
                &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
                0,
                &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            ),
            (b"a\nb\r\nc\n\n", 0, b"a\0b\r\nc\0\0"),
            (b"\nb", b'\r', b"\nb"),
            (b"\nb", b'x', b"\0b"),
        ] {
            let mut bytes = sent.to_vec();
            spoil_bare_line_ends(&mut bytes, last);
            assert_eq!(bytes, read);
        }
    }

    #[test]
    fn the_longest_timeout_does_not_overflow() {
        let now = Instant::now();
        assert_eq!(after(now, Duration::from_secs(1)), now + Duration::from_secs(1));
        assert!(after(now, Duration::MAX) > now);
    }

    #[test]
    fn hypers_own_answers_become_problems() {
        for (answer, first_line, kind) in [
            ("HTTP/1.1 400 Bad Request\r\n\r\n", true, Kind::MalformedRequest),
            ("HTTP/1.1 414 URI Too Long\r\n\r\n", true, Kind::UriTooLong),
            ("HTTP/1.1 431 Request Header Fields Too Large\r\n\r\n", true, Kind::HeadersTooLarge),
            ("HTTP/1.1 431 Request Header Fields Too Large\r\n\r\n", false, Kind::UriTooLong),
            ("", true, Kind::MalformedRequest),
        ] {
            assert_eq!(automatic_problem(answer.as_bytes(), first_line).kind(), kind, "{answer}");
        }
    }
}
