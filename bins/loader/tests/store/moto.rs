//! The moto server, which implements S3.

use std::env;
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sparrow_test_redis::{TestRedis, wait_until};

/// A server on a free port; killed when dropped.
pub(crate) struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    pub(crate) fn start() -> Self {
        let program: OsString = env::var_os("SPARROW_MOTO")
            .expect("SPARROW_MOTO names moto_server (PyPI: moto[server])");
        let port = TestRedis::free_port();
        let child = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let moto = Self {
            child: child.unwrap_or_else(|error| panic!("{}: {error}", program.display())),
            port,
        };
        wait_until("moto answers", || moto.request("GET", "/moto-api/", b"").is_some());
        moto
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn put(&self, path: &str, body: &[u8]) {
        let answer = self.request("PUT", path, body).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }

    fn request(&self, method: &str, path: &str, body: &[u8]) -> Option<String> {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=test/20260101/us-east-1/s3/aws4_request\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        socket.write_all(head.as_bytes()).ok()?;
        socket.write_all(body).ok()?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).ok()?;
        (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
