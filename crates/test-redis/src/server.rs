use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use tempfile::TempDir;

use crate::wait_until;

/// A Redis server on `127.0.0.1`. Dropping it kills the server and removes its folder.
#[derive(Debug)]
pub struct TestRedis {
    child: Child,
    folder: TempDir,
    port: u16,
    config: Vec<String>,
}

impl TestRedis {
    /// Starts a server with additional options, such as `["--maxmemory", "10mb"]`. Persistence is off by default.
    ///
    /// # Panics
    /// If the server does not start.
    pub fn start(config: &[&str]) -> Self {
        let config: Vec<String> = config.iter().map(|&word| word.to_owned()).collect();
        // Another process may take the port before the server binds it.
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let port = free_port();
            let mut server = Self {
                child: spawn(port, folder.path(), &config),
                folder,
                port,
                config: config.clone(),
            };
            if server.wait_until_ready() {
                return server;
            }
        }
        panic!("redis-server does not start with {config:?}");
    }

    /// Starts a sentinel with this configuration. A line `tls-port N` makes it speak TLS on that port.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_sentinel(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let file = folder.path().join("sentinel.conf");
        let text = format!("port {port}\nbind 127.0.0.1\n{config}");
        fs::write(&file, text).expect("a file in a temporary folder");
        let child = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is on the PATH (Debian package redis-server)");
        let tls_port = config.lines().find_map(|line| line.strip_prefix("tls-port "));
        let tls_port = tls_port.map(|port| vec!["--tls-port".to_owned(), port.to_owned()]);
        let mut server = Self { child, folder, port, config: tls_port.unwrap_or_default() };
        assert!(server.wait_until_ready(), "a sentinel does not start");
        server
    }

    /// The URL of the store.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The server's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command with `redis-cli` and returns its output without the trailing newline. An error reply is returned
    /// as output.
    ///
    /// # Panics
    /// If redis-cli fails.
    pub fn cli(&self, command: &[&str]) -> String {
        let (succeeded, printed) = self.try_cli(command);
        assert!(succeeded, "redis-cli {command:?}: {printed}");
        printed
    }

    /// Sends a command with redis-cli. Returns whether it succeeded, and what it printed. It fails if the server closes the
    /// connection, as it does when its role changes.
    ///
    /// # Panics
    /// If redis-cli is not installed.
    pub fn try_cli(&self, command: &[&str]) -> (bool, String) {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(command)
            .stderr(Stdio::null())
            .output()
            .expect("redis-cli is on the PATH (Debian package redis-tools)");
        let printed = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
        (output.status.success(), printed)
    }

    /// Sends many inline commands, one per line, with `redis-cli --pipe`.
    ///
    /// # Panics
    /// If redis-cli fails.
    pub fn cli_lines(&self, lines: &str) -> String {
        let mut child = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-cli is on the PATH (Debian package redis-tools)");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(lines.as_bytes()).expect("redis-cli reads");
        drop(stdin);
        let output = child.wait_with_output().expect("redis-cli ends");
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Returns a numeric field of `INFO`, such as `total_commands_processed`.
    ///
    /// # Panics
    /// If the field is missing.
    pub fn info(&self, name: &str) -> u64 {
        let info = self.cli(&["INFO", "everything"]);
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or_else(|| panic!("{name} in {info}"))
    }

    /// Returns the number of calls of each command since the start or `CONFIG RESETSTAT`.
    ///
    /// # Panics
    /// If redis-cli fails.
    pub fn command_calls(&self) -> Vec<(String, u64)> {
        let stats = self.cli(&["INFO", "commandstats"]);
        let of_line = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        };
        stats.lines().filter_map(of_line).collect()
    }

    /// Kills the server (SIGKILL).
    ///
    /// # Panics
    /// If the operating system returns an error.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child process is valid");
        self.child.wait().expect("the child process is valid");
    }

    /// Restarts the server after [`kill`](Self::kill), with the same port and folder.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.child = spawn(self.port, self.folder.path(), &self.config);
        assert!(self.wait_until_ready(), "redis-server does not restart: {}", self.log());
    }

    /// Suspends the server (SIGSTOP): connections stay open, requests time out.
    ///
    /// # Panics
    /// If the operating system returns an error.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Resumes the server (SIGCONT).
    ///
    /// # Panics
    /// If the operating system returns an error.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill {signal}");
    }

    /// Waits until the server answers, or listens if it requires TLS. Returns false if it exited.
    fn wait_until_ready(&mut self) -> bool {
        let mut up = false;
        wait_until("redis-server answers", || {
            up = self.answers();
            up || self.child.try_wait().expect("the child process is valid").is_some()
        });
        up
    }

    fn answers(&self) -> bool {
        let answer = || -> io::Result<bool> {
            let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
            socket.write_all(b"PING\r\n")?;
            let mut start = [0; 5];
            socket.read_exact(&mut start)?;
            Ok(&start != b"-LOAD")
        };
        if self.config.iter().any(|word| word == "--tls-port") {
            return TcpStream::connect((Ipv4Addr::LOCALHOST, self.tls_port())).is_ok();
        }
        answer().unwrap_or(false)
    }

    /// The TLS port of the configuration.
    ///
    /// # Panics
    /// If `--tls-port` is missing.
    pub fn tls_port(&self) -> u16 {
        let index = self.config.iter().position(|word| word == "--tls-port");
        let port = index.and_then(|index| self.config.get(index + 1)?.parse().ok());
        port.expect("--tls-port with a number is in the configuration")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, folder: &Path, config: &[String]) -> Child {
    let log = File::create(folder.join("log")).expect("a file in a temporary folder");
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(config)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is on the PATH (Debian package redis-server)")
}

/// Returns an unused port.
///
/// # Panics
/// If there is none.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

impl TestRedis {
    /// Returns an unused port.
    ///
    /// # Panics
    /// If there is none.
    pub fn free_port() -> u16 {
        free_port()
    }
}
