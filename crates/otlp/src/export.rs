//! Sends recorded spans to a collector.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use sparrow_tls::Connector;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::layer::{Message, Spans};
use crate::proto::{
    ExportTraceServiceRequest, InstrumentationScope, KeyValue, Resource, ResourceSpans, ScopeSpans,
    Span, Value,
};
use crate::{Counters, Error};

/// Spans that wait to be sent: at most about 4 MB.
const QUEUE: usize = 2048;
/// Spans of one request to the collector.
const BATCH: usize = 512;
/// Between the first span of a batch and the request.
const DELAY: Duration = Duration::from_millis(500);
/// For the collector to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For the last spans.
const FLUSH: Duration = Duration::from_secs(2);
/// Bytes of the longest answer of a collector.
const LONGEST_ANSWER: usize = 64 << 10;

/// Where spans go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The address of the collector, such as `http://127.0.0.1:4318`; spans go to `/v1/traces` below it.
    pub endpoint: String,
    /// The certificates (PEM) that `https://` trusts; without it, those of the system.
    pub ca_file: Option<PathBuf>,
    /// The attribute `service.name`.
    pub service_name: String,
    /// The attribute `service.version`.
    pub service_version: String,
}

/// Sends spans until it is dropped; then sends the last ones, for at most two seconds.
#[derive(Debug)]
pub struct Exporter {
    sender: mpsc::Sender<Message>,
    ended: Receiver<()>,
    counters: Counters,
}

impl Exporter {
    /// The numbers of spans.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // If the queue is full, the last spans are dropped.
        if self.sender.try_send(Message::Flush).is_ok() {
            let _ = self.ended.recv_timeout(FLUSH);
        }
    }
}

/// A collector.
#[derive(Debug, Clone)]
struct Collector {
    host: String,
    port: u16,
    authority: String,
    tls: Option<Connector>,
    uri: Uri,
    options: Options,
}

impl Collector {
    fn new(options: Options) -> Result<Self, Error> {
        let endpoint = options.endpoint.trim_end_matches('/').to_owned();
        let invalid = |what: &str| Error::Endpoint(options.endpoint.clone(), what.to_owned());
        let uri: Uri = endpoint.parse().map_err(|_| invalid("it is not a URL"))?;
        let is_encrypted = uri.scheme_str() == Some("https");
        if !is_encrypted && uri.scheme_str() != Some("http") {
            return Err(invalid("it must begin with http:// or https://"));
        }
        let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
            return Err(invalid("it has no host"));
        };
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(invalid("it must have no user and no query"));
        }
        let target = format!("{}/v1/traces", uri.path().trim_end_matches('/'));
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let ca_file = options.ca_file.as_deref();
        let tls = is_encrypted.then(|| Connector::new(&host, ca_file)).transpose();
        Ok(Self {
            tls: tls.map_err(|error| invalid(&error.to_string()))?,
            host,
            port: uri.port_u16().unwrap_or(4318),
            authority: authority.to_string(),
            uri: target.parse().map_err(|_| invalid("its path is invalid"))?,
            options,
        })
    }

    /// Sends spans; the error says why the collector has not accepted them.
    async fn send(&self, spans: Vec<Span>) -> Result<(), String> {
        let body = Bytes::from(self.message(spans).encode_to_vec());
        let sent = timeout(TIMEOUT, async {
            let address = (self.host.as_str(), self.port);
            let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
            let stream = sparrow_tls::connect(self.tls.as_ref(), stream)
                .await
                .map_err(|error| error.to_string())?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(|error| error.to_string())?;
            // It ends with the sender.
            tokio::spawn(connection);
            let request = Request::post(self.uri.clone())
                .header(HOST, &self.authority)
                .header(CONTENT_TYPE, "application/x-protobuf")
                .body(Full::new(body))
                .map_err(|error| error.to_string())?;
            let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER);
            body.collect().await.map_err(|error| error.to_string())?;
            if status.is_success() { Ok(()) } else { Err(format!("it answers {status}")) }
        });
        sent.await.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")))
    }

    fn message(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let text = |key, value: &str| KeyValue::new(key, Value::Text(value.to_owned()));
        let attributes = vec![
            text("service.name", &self.options.service_name),
            text("service.version", &self.options.service_version),
        ];
        let scope = InstrumentationScope {
            name: "sparrow".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes }),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
            }],
        }
    }
}

/// Checks that a collector accepts a request, without spans.
pub async fn check(options: Options) -> Result<(), Error> {
    let collector = Collector::new(options)?;
    let sent = collector.send(Vec::new()).await;
    sent.map_err(|what| Error::Collector(collector.options.endpoint, what))
}

/// Starts an exporter. Returns the layer whose spans it sends.
///
/// While it is in force, spans of this workspace that are not recorded are disabled for all layers.
pub fn start(options: Options) -> Result<(Spans, Exporter), Error> {
    let collector = Collector::new(options)?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (end, ended) = channel();
    let counters = Counters::default();
    let counted = counters.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Thread)?;
    thread::Builder::new()
        .name("sparrow-traces".to_owned())
        .spawn(move || {
            runtime.block_on(export(receiver, &collector, &counted));
            // Fails if nothing waits any more.
            let _ = end.send(());
        })
        .map_err(Error::Thread)?;
    let layer = Spans::new(sender.clone(), counters.clone());
    Ok((layer, Exporter { sender, ended, counters }))
}

async fn export(mut receiver: mpsc::Receiver<Message>, collector: &Collector, counters: &Counters) {
    let mut is_last = false;
    while !is_last {
        let mut spans = Vec::new();
        match receiver.recv().await {
            Some(Message::Span(span)) => spans.push(*span),
            Some(Message::Flush) | None => break,
        }
        let fill = async {
            while spans.len() < BATCH {
                match receiver.recv().await {
                    Some(Message::Span(span)) => spans.push(*span),
                    Some(Message::Flush) | None => return true,
                }
            }
            false
        };
        is_last = timeout(DELAY, fill).await.unwrap_or(false);
        let count = spans.len();
        let sent = collector.send(spans).await;
        counters.count(sent.is_ok(), count);
        if let Err(error) = sent {
            let endpoint = &*collector.options.endpoint;
            tracing::warn!(endpoint, error, spans = count, "cannot export spans, dropping them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_addresses_of_collectors_are_errors() {
        let collector = |endpoint: &str| {
            Collector::new(Options {
                endpoint: endpoint.to_owned(),
                ca_file: None,
                service_name: String::new(),
                service_version: String::new(),
            })
        };
        for (endpoint, host, port, target) in [
            ("http://127.0.0.1:4318", "127.0.0.1", 4318, "/v1/traces"),
            ("http://collector/otlp/", "collector", 4318, "/otlp/v1/traces"),
            ("http://[::1]:80/", "::1", 80, "/v1/traces"),
        ] {
            let Ok(collector) = collector(endpoint) else { panic!("{endpoint}") };
            assert_eq!((&*collector.host, collector.port), (host, port));
            assert_eq!(collector.uri, target);
        }
        for endpoint in
            ["", "localhost:4318", "ftp://collector", "http://a@b", "http://b/?c", "http://"]
        {
            assert!(collector(endpoint).is_err(), "{endpoint}");
        }
    }
}
