//! One request at a time over a plain socket: enough for chromedriver and for asking the server what a page
//! should show, without another dependency to compile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Longer than any answer takes, chromedriver's start of a browser included.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Status and JSON body of one request to 127.0.0.1.
pub fn request(port: u16, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .with_context(|| format!("connecting to port {port}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    let mut length = None;
    let mut start = 0;
    let mut chunk = [0; 16 * 1024];
    loop {
        if length.is_some_and(|length: usize| answer.len() >= start + length) {
            break;
        }
        let read = stream
            .read(&mut chunk)
            .with_context(|| format!("reading the answer to {method} {path}"))?;
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&chunk[..read]);
        if length.is_none()
            && let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n")
        {
            start = end + 4;
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        }
    }
    let head = String::from_utf8_lossy(&answer[..start]);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let Some(status) = status else { bail!("{method} {path}: no status in {head:?}") };
    let body = &answer[start..];
    let json = serde_json::from_slice(body).with_context(|| {
        format!("{method} {path}: no JSON in {:?}", String::from_utf8_lossy(body))
    })?;
    Ok((status, json))
}

/// The JSON body of a GET that must succeed.
pub fn get(port: u16, path: &str) -> Result<Value> {
    let (status, body) = request(port, "GET", path, None)?;
    if status != 200 {
        bail!("GET {path}: status {status}, {body}");
    }
    Ok(body)
}
