use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sparrow_circuit::Options as Circuit;

use crate::Error;

/// How a model server is asked. The defaults suit one in the same network.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How the values are laid out in a request.
    pub format: Format,
    /// Which version is asked, where the URL does not say; without, the one that the server prefers.
    pub pin: Option<Pin>,
    /// After this a request has failed; it includes the wait for a connection.
    pub deadline: Duration,
    /// Requests that are out at once, each on a connection of its own.
    pub connections: usize,
    /// Requests that may wait for a connection; one more fails at once.
    pub queue: usize,
    /// The longest answer that is read, in bytes.
    pub max_body: usize,
    /// Requests of several users are sent as one.
    pub batch: Option<Batch>,
    /// Certificates (PEM) to trust for TLS, instead of those of the system.
    pub ca_file: Option<PathBuf>,
    /// The name of the signature that is asked.
    pub signature: String,
    /// The name of the output that is the score, for models with several.
    pub output: Option<String>,
    /// Time between two looks at the server: whether it is back, and which version it serves.
    pub interval: Duration,
    /// The deadline of such a look. A model's first prediction takes longer than later ones.
    pub check_deadline: Duration,
    /// When requests go elsewhere until a look finds the server well.
    pub circuit: Circuit,
}

/// The signature that TensorFlow Serving uses where a request names none.
pub(crate) const SERVING_DEFAULT: &str = "serving_default";

impl Default for Options {
    fn default() -> Self {
        Self {
            format: Format::Columns,
            pin: None,
            deadline: Duration::from_millis(200),
            connections: 16,
            queue: 256,
            max_body: 16 << 20,
            batch: None,
            ca_file: None,
            signature: SERVING_DEFAULT.to_owned(),
            output: None,
            interval: Duration::from_secs(1),
            check_deadline: Duration::from_secs(5),
            circuit: Circuit::default(),
        }
    }
}

impl Options {
    /// Whether they make sense.
    pub fn check(&self) -> Result<(), Error> {
        let fault = if self.deadline.is_zero() || self.check_deadline.is_zero() {
            "deadlines are above zero"
        } else if self.interval < Duration::from_millis(10) {
            "the interval of checks is at least 10 ms"
        } else if self.connections == 0 || self.connections > 1024 {
            "there are 1 to 1024 connections"
        } else if self.queue > 1 << 20 {
            "at most 1048576 requests wait"
        } else if self.max_body < 1024 || self.max_body > 1 << 30 {
            "an answer's limit is from 1 KiB to 1 GiB"
        } else if self.signature.is_empty() {
            "a signature has a name"
        } else if let Err(fault) = self.circuit.check() {
            fault
        } else if self.batch.as_ref().is_some_and(|batch| batch.max_rows == 0) {
            "a batch has at least one row"
        } else if self.batch.as_ref().is_some_and(|batch| batch.wait >= self.deadline) {
            "the wait for a batch is below the deadline"
        } else {
            return Ok(());
        };
        Err(Error::Options(fault))
    }
}

/// How the values of a request are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `{"inputs":{"userId":[6,6],"movieId":[1,2]}}`: names once, the smaller one.
    #[default]
    Columns,
    /// `{"instances":[{"userId":6,"movieId":1},{"userId":6,"movieId":2}]}`.
    Rows,
}

/// Which of a model's versions is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pin {
    /// This one.
    Version(u64),
    /// The one that the server's configuration gives this label.
    Label(String),
}

/// How requests of several users become one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Batch {
    /// How long the first of them waits for others.
    pub wait: Duration,
    /// Movies of all of them together, at which they are sent without waiting further.
    pub max_rows: usize,
}
