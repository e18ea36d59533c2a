//! Output streams whose writers never block or fail.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Maximum size of the queue in bytes.
const QUEUE: usize = 1 << 20;

/// A lossy, buffered writer to standard output or error with its own thread.
///
/// Writing blocks or fails if a disk is full or the reader of a pipe is stalled or gone. This affects only the
/// stream's thread. Up to 1 MiB of texts is queued; further texts, and those that cannot be written, are dropped
/// and counted.
///
/// The thread writes to the file descriptor without the lock of the standard library, so a blocked stream does not
/// block `println!` or a panic.
#[derive(Debug, Clone)]
pub struct Stream(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    texts: VecDeque<Vec<u8>>,
    /// Size of the queued texts and of the one being written.
    bytes: usize,
}

impl Stream {
    /// Creates a stream to standard output. See [`Stream::over`] for `recovered`.
    pub fn stdout(recovered: impl Fn(u64) + Send + 'static) -> io::Result<Self> {
        Self::over(file_of(&io::stdout())?, recovered)
    }

    /// Creates a stream to standard error. See [`Stream::over`] for `recovered`.
    pub fn stderr(recovered: impl Fn(u64) + Send + 'static) -> io::Result<Self> {
        Self::over(file_of(&io::stderr())?, recovered)
    }

    /// Creates a stream to any writer. Calls `recovered` with [`Stream::lost`] when writing succeeds again after texts
    /// were lost. Returns an error if the thread cannot be started.
    pub fn over(
        output: impl Write + Send + 'static,
        recovered: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let stream = Self(Arc::default());
        let shared = Arc::clone(&stream.0);
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || shared.write_all(output, recovered))?;
        Ok(stream)
    }

    /// Queues a text, or drops it as a whole if the queue is full.
    pub fn send(&self, text: impl Into<Vec<u8>>) {
        let text = text.into();
        let mut queue = self.0.lock();
        if queue.bytes + text.len() > QUEUE {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += text.len();
        queue.texts.push_back(text);
        drop(queue);
        self.0.changed.notify_all();
    }

    /// The number of dropped texts.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Waits at most `timeout` for the queue to be written. Returns whether it was.
    pub fn finish(&self, timeout: Duration) -> bool {
        let queue = self.0.lock();
        let waited = self.0.changed.wait_timeout_while(queue, timeout, |queue| queue.bytes > 0);
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.bytes == 0
    }
}

impl Write for Stream {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.send(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes queued texts until the process ends.
    fn write_all(&self, mut output: impl Write, recovered: impl Fn(u64)) {
        let mut reported = 0;
        loop {
            let text = {
                let queue = self.lock();
                let waited = self.changed.wait_while(queue, |queue| queue.texts.is_empty());
                let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
                queue.texts.pop_front().unwrap_or_default()
            };
            let written = output.write_all(&text).and_then(|()| output.flush());
            if written.is_err() {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            let emptied = {
                let mut queue = self.lock();
                queue.bytes -= text.len();
                queue.texts.is_empty()
            };
            self.changed.notify_all();
            let lost = self.lost.load(Ordering::Relaxed);
            if written.is_ok() && emptied && lost > reported {
                reported = lost;
                recovered(lost);
            }
        }
    }
}

/// Duplicates the descriptor of a standard stream.
#[cfg(unix)]
fn file_of(stream: &impl std::os::fd::AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

#[cfg(windows)]
fn file_of(stream: &impl std::os::windows::io::AsHandle) -> io::Result<File> {
    Ok(File::from(stream.as_handle().try_clone_to_owned()?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// A writer that waits for permission for each text, and fails on "fail".
    struct Output {
        allowed: mpsc::Receiver<()>,
        written: mpsc::Sender<String>,
    }

    impl Write for Output {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.allowed.recv().map_err(io::Error::other)?;
            if text == b"fail" {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.send(String::from_utf8_lossy(text).into_owned()).unwrap();
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lost_texts_are_counted_and_reported_after_recovery() {
        let (allow, allowed) = mpsc::channel();
        let (written, texts) = mpsc::channel();
        let (report, reports) = mpsc::channel();
        let recovered = move |lost| report.send(lost).unwrap();
        let stream = Stream::over(Output { allowed, written }, recovered).unwrap();
        stream.send("one");
        allow.send(()).unwrap();
        assert!(stream.finish(LONG));
        assert_eq!((texts.recv().unwrap(), stream.lost()), ("one".to_owned(), 0));
        stream.send("fail");
        allow.send(()).unwrap();
        assert!(stream.finish(LONG));
        assert_eq!(stream.lost(), 1);
        stream.send("two");
        allow.send(()).unwrap();
        assert_eq!(texts.recv().unwrap(), "two");
        assert_eq!(reports.recv().unwrap(), 1);
    }

    #[test]
    fn blocked_output_drops_texts_beyond_the_queue_limit() {
        let (allow, allowed) = mpsc::channel();
        let (written, texts) = mpsc::channel();
        let stream = Stream::over(Output { allowed, written }, |_| {}).unwrap();
        let kilobyte = "x".repeat(1 << 10);
        for _ in 0..2000 {
            stream.send(&*kilobyte);
        }
        assert_eq!(stream.lost(), 2000 - 1024);
        assert!(!stream.finish(Duration::from_millis(1)));
        for _ in 0..1024 {
            allow.send(()).unwrap();
        }
        assert!(stream.finish(LONG));
        assert_eq!(texts.try_iter().count(), 1024);
    }
}
