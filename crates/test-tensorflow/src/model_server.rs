use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::python;

/// A model server with TensorFlow Serving's REST API on `127.0.0.1`; killed when dropped.
///
/// [`start`](Self::start) runs `tensorflow_model_server` if it is on the `PATH`, otherwise
/// `fixtures/tensorflow/model_server.py`. [`start_switchable`](Self::start_switchable) always runs the script, which
/// supports fault injection.
#[derive(Debug)]
pub struct ModelServer {
    child: Child,
    port: u16,
    name: String,
    folder: PathBuf,
    switchable: bool,
}

/// TensorFlow takes seconds to start, longer on a busy machine.
const START_TIMEOUT: Duration = Duration::from_mins(2);

impl ModelServer {
    /// Serves the numbered versions in a folder.
    ///
    /// # Panics
    /// If the server does not start.
    pub fn start(name: &str, folder: &Path) -> Self {
        match find_model_server() {
            Some(program) => Self::start_real(&program, name, folder),
            None => Self::start_switchable(name, folder),
        }
    }

    /// Serves a folder with a server that supports [`switch`](Self::switch).
    ///
    /// # Panics
    /// If the server does not start.
    pub fn start_switchable(name: &str, folder: &Path) -> Self {
        Self::start_with(name, folder, &[])
    }

    /// Like [`start_switchable`](Self::start_switchable), with additional arguments such as `--versions=2`.
    ///
    /// # Panics
    /// If the server does not start.
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
        let end = Instant::now() + START_TIMEOUT;
        while !server
            .request("GET", &path, "")
            .is_some_and(|response| response.contains("AVAILABLE"))
        {
            assert!(Instant::now() < end, "tensorflow_model_server does not serve the model");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// The URL of the model.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/models/{}", self.port, self.name)
    }

    /// Sets the injected faults to a JSON object, `{}` for none; `model_server.py` lists them.
    ///
    /// # Panics
    /// If the server does not support it or does not response.
    pub fn switch(&self, switches: &str) {
        assert!(self.switchable, "only model_server.py has switches");
        let response =
            self.request("POST", "/switches", switches).expect("the model server responds");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    }

    /// Kills the server at once.
    ///
    /// # Panics
    /// If waiting for the process fails.
    pub fn kill(&mut self) {
        // Fails if the process has already exited.
        drop(self.child.kill());
        self.child.wait().expect("the server's end");
    }

    /// Kills the server and restarts it on the same port.
    ///
    /// # Panics
    /// If the server does not start, or another process took the port.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.switchable, "only model_server.py can be restarted");
        (self.child, _) = spawn_python(&self.name, &self.folder, self.port, &[]);
    }

    /// Sends a request; returns the response with its head, or `None` on an I/O error.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        let length = body.len();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).ok()?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).ok()?;
        Some(String::from_utf8_lossy(&response).into_owned())
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Finds `tensorflow_model_server` on the `PATH`.
fn find_model_server() -> Option<OsString> {
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
    // The script prints its address when it listens, and exits if it cannot.
    let line = lines.next().and_then(Result::ok);
    let port = line.as_deref().and_then(|line| line.strip_prefix("listening on ")?.parse().ok());
    let Some(port) = port else {
        drop(child.kill());
        drop(child.wait());
        panic!("unexpected output of model_server.py: {line:?}");
    };
    (child, port)
}
