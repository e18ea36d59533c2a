use std::io::{BufRead, BufReader};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A debug build on a busy machine still starts well within this.
const PATIENCE: Duration = Duration::from_mins(1);

/// The first thing `find` sees in the lines of a child's output; what follows is read and thrown away, so
/// that the child never blocks on a full pipe.
pub(crate) fn wait_for<T: Send + 'static>(
    output: impl std::io::Read + Send + 'static,
    find: impl Fn(&str) -> Option<T> + Send + 'static,
) -> Option<T> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(found) = find(&line) {
                let _ = send.send(found);
            }
        }
    });
    receive.recv_timeout(PATIENCE).ok()
}
