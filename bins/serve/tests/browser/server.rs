//! A Sparrow server of its own for a test, on a free port, stopped when dropped.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use sparrow_test_support::program::command;
use sparrow_test_support::server as program;
use tempfile::TempDir;

use crate::http;

/// A debug build on a busy machine still starts well within this.
const START: Duration = Duration::from_mins(1);

/// Between two looks at a server that is starting.
const GLANCE: Duration = Duration::from_millis(20);

pub(crate) struct Server {
    _process: program::Server,
    port: u16,
    /// If the server has an admin port.
    admin_port: Option<u16>,
    _scratch: TempDir,
}

impl Server {
    /// On the demonstration set that ships with the binary.
    pub(crate) fn demonstration() -> Result<Self> {
        Self::start::<&str>(&[])
    }

    /// On a data folder, with embeddings from another where given.
    pub(crate) fn on(data: &Path, embeddings: Option<&Path>) -> Result<Self> {
        let mut arguments = vec![OsStr::new("--data"), data.as_os_str()];
        if let Some(embeddings) = embeddings {
            arguments.extend([OsStr::new("--embeddings"), embeddings.as_os_str()]);
        }
        Self::start(&arguments)
    }

    /// On a data folder, with a folder of poster pictures.
    pub(crate) fn with_posters(data: &Path, posters: &Path) -> Result<Self> {
        Self::start(&[
            OsStr::new("--data"),
            data.as_os_str(),
            OsStr::new("--posters"),
            posters.as_os_str(),
        ])
    }

    /// On the demonstration set, with this text as configuration file.
    pub(crate) fn configured(text: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("sparrow.toml");
        std::fs::write(&file, text)?;
        Self::start(&[OsStr::new("--config"), file.as_os_str()])
    }

    /// On the demonstration set, with a store whose server does not run.
    pub(crate) fn without_its_store() -> Result<Self> {
        let taken = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("redis://{}", taken.local_addr()?);
        drop(taken);
        let server = Self::launch(&["--store", &url])?;
        server.until_answered("/v1/movies/1")?;
        Ok(server)
    }

    /// On the demonstration set, with an admin port.
    pub(crate) fn with_admin_port() -> Result<Self> {
        let free = TcpListener::bind("127.0.0.1:0")?;
        let port = free.local_addr()?.port();
        drop(free);
        let server = Self::launch_with_admin::<&str>(&[], Some(port))?;
        server.until_answered("/readyz")?;
        Ok(server)
    }

    fn start<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Self> {
        let server = Self::launch(arguments)?;
        server.until_answered("/readyz")?;
        Ok(server)
    }

    fn launch<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Self> {
        Self::launch_with_admin(arguments, None)
    }

    fn launch_with_admin<S: AsRef<OsStr>>(
        arguments: &[S],
        admin_port: Option<u16>,
    ) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let mut command = command(env!("CARGO_BIN_EXE_sparrow-serve"), "", &[]);
        command.args(arguments).env("SPARROW__STORE__START_WAIT", "100ms");
        if let Some(port) = admin_port {
            command.env("SPARROW__ADMIN__LISTEN", format!("127.0.0.1:{port}"));
        }
        command.current_dir(scratch.path());
        let process = program::Server::listening(command);
        let port = process.address().port();
        Ok(Self { _process: process, port, admin_port, _scratch: scratch })
    }

    /// The server listens before its data is loaded.
    fn until_answered(&self, path: &str) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            let (status, body) = http::request(self.port, "GET", path, None)?;
            if status == 200 {
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "sparrow-serve does not answer {path}: {body}"
            );
            thread::sleep(GLANCE);
        }
    }

    /// The address of a page.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The address of a page on the admin port.
    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin_port.unwrap_or_default())
    }

    /// What the admin port answers.
    pub(crate) fn admin_api(&self, path: &str) -> Result<Value> {
        http::get(self.admin_port.context("there is no admin port")?, path)
    }

    /// What the API answers.
    pub(crate) fn api(&self, path: &str) -> Result<Value> {
        http::get(self.port, path)
    }
}
