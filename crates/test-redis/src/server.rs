use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use tempfile::TempDir;

use crate::wait_until;

/// A redis-server on `127.0.0.1`; killed, and its folder removed, when dropped.
#[derive(Debug)]
pub struct TestRedis {
    child: Child,
    folder: TempDir,
    port: u16,
    config: Vec<String>,
}

impl TestRedis {
    /// Starts a server with more configuration, such as `["--maxmemory", "10mb"]`; it keeps nothing on disk
    /// unless told to.
    ///
    /// # Panics
    /// When the server does not come up.
    pub fn start(config: &[&str]) -> Self {
        let config: Vec<String> = config.iter().map(|&word| word.to_owned()).collect();
        // Someone else may take the port between our look and the server's.
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let port = free_port();
            let mut server = Self {
                child: spawn(port, folder.path(), &config),
                folder,
                port,
                config: config.clone(),
            };
            if server.comes_up() {
                return server;
            }
        }
        panic!("redis-server does not start with {config:?}");
    }

    /// Starts a sentinel with this configuration. A line `tls-port N` makes it speak TLS on that port.
    ///
    /// # Panics
    /// When it does not come up.
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
        assert!(server.comes_up(), "a sentinel does not start");
        server
    }

    /// The address, as a store takes it.
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

    /// What `redis-cli` prints for a command, without the last line end.
    ///
    /// # Panics
    /// When redis-cli fails; an error that Redis answers is what it prints.
    pub fn cli(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(command)
            .stderr(Stdio::null())
            .output()
            .expect("redis-cli is on the PATH (Debian package redis-tools)");
        let printed = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
        assert!(output.status.success(), "redis-cli {command:?}: {printed}");
        printed
    }

    /// Feeds lines to `redis-cli --pipe`, which is quick for many; `lines` are commands with plain words.
    ///
    /// # Panics
    /// When redis-cli fails.
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

    /// A number that `INFO` has, such as `total_commands_processed`.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn info(&self, name: &str) -> u64 {
        let info = self.cli(&["INFO", "everything"]);
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or_else(|| panic!("{name} in {info}"))
    }

    /// How often each command was executed since the server started, or since `CONFIG RESETSTAT`.
    ///
    /// # Panics
    /// When redis-cli fails.
    pub fn executed(&self) -> Vec<(String, u64)> {
        let stats = self.cli(&["INFO", "commandstats"]);
        let of_line = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        };
        stats.lines().filter_map(of_line).collect()
    }

    /// Ends the server, without warning.
    ///
    /// # Panics
    /// When the system does not let us.
    pub fn kill(&mut self) {
        self.child.kill().expect("a process of ours");
        self.child.wait().expect("a process of ours");
    }

    /// Starts it again after [`kill`](Self::kill), on the same port and with the same folder.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_again(&mut self) {
        self.child = spawn(self.port, self.folder.path(), &self.config);
        assert!(self.comes_up(), "redis-server does not start again: {}", self.log());
    }

    /// Stops the server in its tracks (SIGSTOP): connections stand, nothing is answered.
    ///
    /// # Panics
    /// When the system does not let us.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Panics
    /// When the system does not let us.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill {signal}");
    }

    /// Whether it answers, or at least listens where it wants TLS or a password.
    fn comes_up(&mut self) -> bool {
        let mut up = false;
        wait_until("redis-server answers", || {
            up = self.answers();
            up || self.child.try_wait().expect("a process of ours").is_some()
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

    /// The port for TLS that the configuration names.
    ///
    /// # Panics
    /// When it names none.
    pub fn tls_port(&self) -> u16 {
        let at = self.config.iter().position(|word| word == "--tls-port");
        let port = at.and_then(|at| self.config.get(at + 1)?.parse().ok());
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

/// A port that nothing listens on at the moment.
///
/// # Panics
/// When there is none.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

impl TestRedis {
    /// A port that nothing listens on at the moment.
    ///
    /// # Panics
    /// When there is none.
    pub fn free_port() -> u16 {
        free_port()
    }
}
