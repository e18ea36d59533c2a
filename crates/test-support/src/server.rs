//! `sparrow-serve` as a process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
#[cfg(target_os = "linux")]
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::program::Running;

/// A running server with its standard output; killed when dropped.
#[derive(Debug)]
pub struct Server {
    process: Running,
    /// Open, so that the server can print.
    output: BufReader<ChildStdout>,
    first_line: String,
    address: SocketAddr,
}

impl Server {
    /// Starts a server on a free port of loopback, without an admin port unless the command has one, and waits until it
    /// listens. Its standard error is that of the command.
    ///
    /// # Panics
    /// If it cannot run, or does not print its address.
    pub fn listening(mut command: Command) -> Self {
        set_default(&mut command, "SPARROW__ADMIN__LISTEN", "off");
        command.env("SPARROW__LISTEN", "127.0.0.1:0").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Running::spawn(command);
        let mut output = BufReader::new(process.child().stdout.take().expect("a pipe"));
        let mut first_line = String::new();
        output.read_line(&mut first_line).expect("the server prints UTF-8");
        let address = first_line.split_once("://").and_then(|(_, rest)| rest.split(' ').next());
        let address = address.and_then(|address| address.trim_end().parse().ok());
        let address =
            address.unwrap_or_else(|| panic!("the server printed no address: {first_line:?}"));
        Self { process, output, first_line, address }
    }

    /// The same, and waits until the server is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub fn start(command: Command) -> Self {
        let mut server = Self::listening(command);
        let line = server.line();
        let is_ready = line.starts_with("Ready: ") && line.contains(&server.address.to_string());
        assert!(is_ready, "{line:?}");
        server
    }

    /// The line that it printed first.
    pub fn first_line(&self) -> &str {
        &self.first_line
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    pub fn process(&mut self) -> &mut Running {
        &mut self.process
    }

    /// Its standard error, if that is a pipe.
    ///
    /// # Panics
    /// If it is none, or was taken before.
    pub fn errors(&mut self) -> BufReader<ChildStderr> {
        BufReader::new(self.process.child().stderr.take().expect("a pipe"))
    }

    /// The next line of its standard output.
    ///
    /// # Panics
    /// If it is not UTF-8.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the server prints UTF-8");
        line
    }

    /// Waits for its end; returns the exit code and what remained of its standard output.
    ///
    /// # Panics
    /// If it does not end within a minute.
    pub fn end(&mut self) -> (Option<i32>, String) {
        let code = self.process.wait();
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("the server prints UTF-8");
        (code, rest)
    }

    /// Stops the server as a service manager does.
    ///
    /// # Panics
    /// If it does not end with success.
    pub fn stop(&mut self) {
        self.process.signal("-TERM");
        assert_eq!(self.process.wait(), Some(0));
    }

    /// Sends a GET request on a connection of its own, with further header lines, each with its CRLF; returns the status and
    /// the body.
    ///
    /// # Panics
    /// If there is no complete answer.
    pub fn ask_with(&self, path: &str, headers: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a complete head");
        let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// The same without further headers.
    ///
    /// # Panics
    /// If there is no complete answer.
    pub fn ask(&self, path: &str) -> (u16, String) {
        self.ask_with(path, "")
    }

    /// The JSON at a path.
    ///
    /// # Panics
    /// If the status is not 200.
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// If the process has ended.
    #[cfg(target_os = "linux")]
    pub fn resident(&self) -> usize {
        let status = std::fs::read_to_string(self.files().join("status")).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
    }

    /// The number of open descriptors.
    ///
    /// # Panics
    /// If the process has ended.
    #[cfg(target_os = "linux")]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(self.files().join("fd")).expect("a process").count()
    }

    #[cfg(target_os = "linux")]
    fn files(&self) -> PathBuf {
        Path::new("/proc").join(self.process.id().to_string())
    }
}

/// Sets a variable that the command does not set yet.
fn set_default(command: &mut Command, name: &str, value: &str) {
    if command.get_envs().all(|(known, _)| known != name) {
        command.env(name, value);
    }
}
