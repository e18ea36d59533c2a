//! The program as a process.

#[cfg(target_os = "linux")]
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use sparrow_test_support::program::command;

use crate::client::Client;

/// A server that is killed when the test ends.
pub(crate) struct Server {
    child: Child,
    /// Open, so that the server can print.
    _output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server on a free port, and waits until it is ready.
    pub(crate) fn start(
        line: &str,
        values: &[&dyn AsRef<Path>],
        settings: &[(&str, &str)],
    ) -> Self {
        let mut command: Command = command(env!("CARGO_BIN_EXE_sparrow-serve"), line, values);
        command.env("SPARROW__LISTEN", "127.0.0.1:0").env("SPARROW__ADMIN__LISTEN", "off");
        command
            .env("SPARROW__LOG__FILTER", "warn")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line.split_once("http://").unwrap().1.split(' ').next().unwrap();
        let address = address.parse().unwrap();
        line.clear();
        output.read_line(&mut line).unwrap();
        assert!(line.starts_with("Ready: "), "{line}");
        Self { child, _output: output, address }
    }

    pub(crate) fn is_ready(address: SocketAddr) -> bool {
        Client::connect(address).is_ok_and(|mut client| {
            client.set_timeout(Duration::from_secs(1));
            client.get("/readyz").is_ok_and(|answer| answer.status == 200)
        })
    }

    /// Stops the server as a service manager does, and waits for its end.
    pub(crate) fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }

    /// Kills the server (SIGKILL), and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Resident memory in bytes, and open descriptors.
    #[cfg(target_os = "linux")]
    pub(crate) fn usage(&self) -> (usize, usize) {
        let process = Path::new("/proc").join(self.child.id().to_string());
        let status = fs::read_to_string(process.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident = line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10;
        (resident, fs::read_dir(process.join("fd")).unwrap().count())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
