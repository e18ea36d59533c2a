use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sparrow_guard::Circuit;

use crate::Error;

/// Options of a model server. The defaults suit a server in the same network.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The format of requests.
    pub format: Format,
    /// The version or label, if not in the URL; `None` for the default of the server.
    pub pin: Option<Pin>,
    /// The deadline of a request, including the wait for a connection.
    pub deadline: Duration,
    /// Maximum number of concurrent requests, one per connection.
    pub connections: usize,
    /// Maximum number of requests that wait for a connection; further ones fail at once.
    pub queue: usize,
    /// Maximum size of a response body in bytes.
    pub max_body: usize,
    /// Combines requests of several users.
    pub batch: Option<Batch>,
    /// Trusted TLS certificates (PEM), instead of those of the system.
    pub ca_file: Option<PathBuf>,
    /// The name of the signature.
    pub signature: String,
    /// The name of the score output, for models with several outputs.
    pub output: Option<String>,
    /// The interval of health checks, which also detect new versions.
    pub interval: Duration,
    /// The deadline of a health check. The first prediction of a model is slower than later ones.
    pub check_deadline: Duration,
    /// The options of the circuit breaker.
    pub circuit: Circuit,
}

/// The default signature of TensorFlow Serving.
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
    /// Checks the ranges of the options; the error names the first invalid one.
    pub fn check(&self) -> Result<(), Error> {
        let fault = if self.deadline.is_zero() || self.check_deadline.is_zero() {
            "deadlines must be above zero"
        } else if self.interval < Duration::from_millis(10) {
            "the interval of checks must be at least 10 ms"
        } else if self.connections == 0 || self.connections > 1024 {
            "connections must be from 1 to 1024"
        } else if self.queue > 1 << 20 {
            "the queue must be at most 1048576"
        } else if self.max_body < 1024 || self.max_body > 1 << 30 {
            "the limit of a response must be from 1 KiB to 1 GiB"
        } else if self.signature.is_empty() {
            "the signature name must not be empty"
        } else if let Err(fault) = self.circuit.check() {
            fault
        } else if self.batch.as_ref().is_some_and(|batch| batch.max_rows == 0) {
            "a batch must have at least one row"
        } else if self.batch.as_ref().is_some_and(|batch| batch.wait >= self.deadline) {
            "the wait for a batch must be below the deadline"
        } else {
            return Ok(());
        };
        Err(Error::Options(fault))
    }
}

/// The format of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `{"inputs":{"userId":[6,6],"movieId":[1,2]}}`: the more compact one.
    #[default]
    Columns,
    /// `{"instances":[{"userId":6,"movieId":1},{"userId":6,"movieId":2}]}`.
    Rows,
}

/// The version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pin {
    /// A version number.
    Version(u64),
    /// A label of the server's configuration.
    Label(String),
}

/// Options of batching.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Batch {
    /// Maximum time that the first request waits for others.
    pub wait: Duration,
    /// Number of rows at which a batch is sent at once.
    pub max_rows: usize,
}
