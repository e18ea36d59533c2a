use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::python;

/// A server of one model with TensorFlow Serving's REST API on `127.0.0.1`; killed when dropped.
///
/// [`start`](Self::start) takes `tensorflow_model_server` where that is on the `PATH`, and
/// `fixtures/tensorflow/model_server.py` otherwise; [`start_switchable`](Self::start_switchable) takes the
/// latter, which can be told to go wrong.
#[derive(Debug)]
pub struct ModelServer {
    child: Child,
    port: u16,
    name: String,
    folder: PathBuf,
    switchable: bool,
}

/// Starting TensorFlow takes a few seconds, more on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

impl ModelServer {
    /// Serves the numbered versions in this folder.
    ///
    /// # Panics
    /// When the server does not come up.
    pub fn start(name: &str, folder: &Path) -> Self {
        match real() {
            Some(program) => Self::start_real(&program, name, folder),
            None => Self::start_switchable(name, folder),
        }
    }

    /// The same by a server that takes [`switch`](Self::switch).
    ///
    /// # Panics
    /// When the server does not come up.
    pub fn start_switchable(name: &str, folder: &Path) -> Self {
        Self::start_with(name, folder, &[])
    }

    /// The same with more arguments for `model_server.py`, such as `--versions=2`.
    ///
    /// # Panics
    /// When the server does not come up.
    pub fn start_with(name: &str, folder: &Path, arguments: &[&str]) -> Self {
        let (child, port) = spawn_python(name, folder, 0, arguments);
        Self { child, port, name: name.to_owned(), folder: folder.to_owned(), switchable: true }
    }

    fn start_real(program: &OsString, name: &str, folder: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let child = Command::new(program)
            .arg("--port=0")
            .arg(format!("--rest_api_port={port}"))
            .arg(format!("--model_name={name}"))
            .arg(format!("--model_base_path={}", folder.display()))
            .arg("--file_system_poll_wait_seconds=1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tensorflow_model_server runs");
        let (name, folder) = (name.to_owned(), folder.to_owned());
        let server = Self { child, port, name, folder, switchable: false };
        let path = format!("/v1/models/{}", server.name);
        let end = Instant::now() + PATIENCE;
        while !server.ask("GET", &path, "").is_some_and(|answer| answer.contains("AVAILABLE")) {
            assert!(Instant::now() < end, "tensorflow_model_server does not serve the model");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// The URL of the model.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/models/{}", self.port, self.name)
    }

    /// Has the server go wrong as a JSON object says, `{}` for not at all: see `model_server.py`.
    ///
    /// # Panics
    /// When the server cannot, or does not answer.
    pub fn switch(&self, switches: &str) {
        assert!(self.switchable, "only model_server.py has switches");
        let answer = self.ask("POST", "/switches", switches).expect("the model server answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Kills the server at once.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        self.child.wait().expect("the server's end");
    }

    /// Starts it again after [`kill`](Self::kill), on the same port.
    ///
    /// # Panics
    /// When the server does not come up, or another program took the port.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.switchable, "only model_server.py is started again");
        (self.child, _) = spawn_python(&self.name, &self.folder, self.port, &[]);
    }

    /// The whole answer to a request, head and body; `None` if there is none.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The path of `tensorflow_model_server`.
fn real() -> Option<OsString> {
    let paths = env::var_os("PATH")?;
    let named = |folder: PathBuf| folder.join("tensorflow_model_server");
    env::split_paths(&paths).map(named).find(|path| path.is_file()).map(Into::into)
}

fn spawn_python(name: &str, folder: &Path, port: u16, arguments: &[&str]) -> (Child, u16) {
    let mut model = OsString::from(format!("{name}="));
    model.push(folder);
    let mut child = python("model_server.py")
        .arg(model)
        .args(["--port", &port.to_string()])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    // It says so when it listens, and ends when it cannot.
    let line = lines.next().and_then(Result::ok);
    let port = line.as_deref().and_then(|line| line.strip_prefix("listening on ")?.parse().ok());
    let Some(port) = port else {
        drop(child.kill());
        drop(child.wait());
        panic!("model_server.py says {line:?}");
    };
    (child, port)
}
