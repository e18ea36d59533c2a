//! Spans of requests reach a collector.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use prost::Message as _;
use serde_json::{Value, json};
use sparrow_otlp::proto::{ExportTraceServiceRequest, KeyValue, Span, Value as Attribute};
use sparrow_test_support::program::command;
use sparrow_test_support::server::Server;

const PATIENCE: Duration = Duration::from_secs(20);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str =
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";

/// A request that a test server received.
struct Received {
    /// The first line and the headers, in lower case.
    head: String,
    body: Vec<u8>,
}

/// Serves HTTP/1.1 on a free port; returns its address.
fn serve(answer: impl Fn(Received) -> Vec<u8> + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, answer) = (stream.unwrap(), answer.clone());
            thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                while let Some(request) = receive(&mut reader) {
                    let body = answer(request);
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    let stream = reader.get_mut();
                    if stream.write_all(&[head.into_bytes(), body].concat()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn receive(reader: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    head.make_ascii_lowercase();
    let length = head
        .split_once("content-length: ")
        .map_or(0, |(_, rest)| rest.split_once("\r\n").unwrap().0.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received { head, body })
}

struct Collector {
    address: String,
    spans: Receiver<(String, Span)>,
}

/// A collector, which decodes what it receives.
fn collector() -> Collector {
    let (sender, spans): (Sender<(String, Span)>, _) = channel();
    let address = serve(move |request| {
        assert!(request.head.starts_with("post /v1/traces http/1.1\r\n"), "{}", request.head);
        assert!(request.head.contains("content-type: application/x-protobuf\r\n"));
        let message = ExportTraceServiceRequest::decode(&*request.body).unwrap();
        for resource in message.resource_spans {
            let service = text(&resource.resource.unwrap().attributes, "service.name");
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                // Fails if the test has ended.
                let _ = sender.send((service.clone(), span));
            }
        }
        Vec::new()
    });
    Collector { address, spans }
}

impl Collector {
    /// The spans until the one with a name.
    fn until(&self, name: &str) -> Vec<Span> {
        let (mut spans, end) = (Vec::new(), Instant::now() + PATIENCE);
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            let received = self.spans.recv_timeout(rest);
            let (service, span) = received.unwrap_or_else(|_| panic!("no {name} in {spans:?}"));
            assert_eq!(service, "movies");
            let is_last = span.name == name;
            spans.push(span);
            if is_last {
                return spans;
            }
        }
    }
}

/// The spans of a request to a collector, as OpenTelemetry's own classes decode them.
fn decoded_elsewhere(body: &[u8]) -> Vec<Value> {
    let python = std::env::var_os("SPARROW_OPENTELEMETRY")
        .expect("SPARROW_OPENTELEMETRY must name a Python with opentelemetry-proto: run .ci/test");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/opentelemetry/decode.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads everything before it writes.
    child.stdin.take().unwrap().write_all(body).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "decode.py failed");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    match attribute(attributes, key) {
        Some(Attribute::Text(text)) => text.clone(),
        other => panic!("{key}: {other:?} in {attributes:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Starts a server with spans for a collector at an address, and this configuration, and waits until it answers.
fn start(collector: &str, sample: f64, more: &str) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sparrow.toml");
    let configuration = format!(
        "[tracing]\nendpoint = \"http://{collector}\"\nsample = {sample:?}\nservice_name = \"movies\"\n{more}"
    );
    std::fs::write(&file, configuration).unwrap();
    let mut command = command(env!("CARGO_BIN_EXE_sparrow-serve"), "--config {}", &[&file]);
    command.env("SPARROW__STORE__START_WAIT", "100ms");
    let server = Server::listening(command);
    let end = Instant::now() + PATIENCE;
    while server.ask("/v1/movies/1").0 != 200 {
        assert!(Instant::now() < end, "the server is not ready");
        thread::yield_now();
    }
    server
}

/// A model server with the API of TensorFlow Serving. Sends the context of each prediction.
fn model_server(contexts: Sender<String>) -> String {
    serve(move |request| {
        let answer = if request.head.starts_with("get ") {
            let input = |kind: &str, sizes: &[&str]| {
                let dims: Vec<Value> =
                    sizes.iter().map(|size| json!({"size": size, "name": ""})).collect();
                json!({"dtype": kind, "tensor_shape": {"dim": dims, "unknown_rank": false}, "name": "t:0"})
            };
            let inputs = json!({"userId": input("DT_INT32", &["-1"]), "movieId": input("DT_INT32", &["-1"])});
            let outputs = json!({"score": input("DT_FLOAT", &["-1", "1"])});
            let signature = json!({"inputs": inputs, "outputs": outputs, "method_name": "tensorflow/serving/predict"});
            json!({
                "model_spec": {"name": "wide", "signature_name": "", "version": "1"},
                "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
            })
        } else {
            let context = request.head.split_once("traceparent: ");
            let context = context.map_or("", |(_, rest)| rest.split_once("\r\n").unwrap().0);
            let _ = contexts.send(context.to_owned());
            let asked: Value = serde_json::from_slice(&request.body).unwrap();
            let rows = asked["instances"].as_array().map_or(0, Vec::len);
            let columns = asked["inputs"]["movieId"].as_array().map_or(0, Vec::len);
            let scores = |count| vec![vec![0.5]; count];
            if rows > 0 {
                json!({"predictions": scores(rows)})
            } else {
                json!({"outputs": scores(columns)})
            }
        };
        answer.to_string().into_bytes()
    })
}

#[test]
fn spans_of_a_request_continue_the_trace_of_its_caller_to_the_model_server() {
    let collector = collector();
    let (sender, contexts) = channel();
    let model = model_server(sender);
    let more = format!(
        "[[models]]\nname = \"wide\"\nkind = \"tf-serving\"\nurl = \"http://{model}/v1/models/wide\"\nfallback = \"emb\"\n"
    );
    // Only callers that trace are traced, but for one request of a million.
    let server = start(&collector.address, 0.000_001, &more);
    let path = "/v1/users/6/recommendations?model=wide&size=5";
    let end = Instant::now() + PATIENCE;
    // The model is probed until it is ready.
    while !server.ask(path).1.contains("\"model\":\"wide\"") {
        assert!(Instant::now() < end, "{}", server.ask(path).1);
        thread::yield_now();
    }
    while contexts.try_recv().is_ok() {}
    let (status, _) = server.ask_with(path, TRACEPARENT);
    assert_eq!(status, 200);
    // The first request of a server is always in the share.
    collector.until("GET /v1/movies/{id}");
    let spans = collector.until("GET /v1/users/{id}/recommendations");
    for span in &spans {
        assert_eq!(hex(&span.trace_id), TRACE, "{span:?}");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
    }
    let root = spans.last().unwrap();
    assert_eq!((hex(&root.parent_span_id), root.kind), ("00f067aa0ba902b7".to_owned(), 2));
    assert_eq!(text(&root.attributes, "http.route"), "/v1/users/{id}/recommendations");
    assert_eq!(
        attribute(&root.attributes, "http.response.status_code"),
        Some(&Attribute::Int(200))
    );
    assert_eq!(text(&root.attributes, "model"), "wide");
    assert_eq!(root.status, None);
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let recalls = named("recall");
    assert!(!recalls.is_empty(), "{spans:?}");
    for recall in recalls {
        assert_eq!(recall.parent_span_id, root.span_id);
        assert!(!text(&recall.attributes, "strategy").is_empty());
        assert!(matches!(attribute(&recall.attributes, "candidates"), Some(Attribute::Int(_))));
    }
    let models = named("model");
    let wide = models.iter().find(|span| text(&span.attributes, "model") == "wide").unwrap();
    let [call] = named("model server")[..] else { panic!("{spans:?}") };
    assert_eq!((&call.parent_span_id, call.kind), (&wide.span_id, 3));
    assert_eq!(text(&call.attributes, "server.address"), "127.0.0.1");
    let context = contexts.recv_timeout(PATIENCE).unwrap();
    assert_eq!(context, format!("00-{TRACE}-{}-01", hex(&call.span_id)));
}

#[test]
fn calls_of_a_store_are_spans_and_problems_name_the_trace() {
    let collector = collector();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = format!("[store]\nurl = \"redis://{closed}\"\n");
    let server = start(&collector.address, 1.0, &store);
    server.ask_with("/v1/users/6/features", TRACEPARENT);
    let spans = collector.until("GET /v1/users/{id}/features");
    let root = spans.last().unwrap();
    let of_root = |span: &&Span| span.name == "store" && span.parent_span_id == root.span_id;
    let store = spans.iter().find(of_root).unwrap_or_else(|| panic!("{spans:?}"));
    assert_eq!(store.status.as_ref().unwrap().code, 2);
    assert_eq!(text(&store.attributes, "db.namespace"), "features");
    let (status, problem) = server.ask_with("/v1/movies/x", TRACEPARENT);
    assert_eq!(status, 400);
    let problem: Value = serde_json::from_str(&problem).unwrap();
    assert_eq!(problem["traceId"], TRACE);
    // A request without a context has a trace of its own.
    server.ask("/v1/genres");
    let spans = collector.until("GET /v1/genres");
    let root = spans.last().unwrap();
    assert_ne!(hex(&root.trace_id), TRACE);
    assert!(root.parent_span_id.is_empty());
}

#[test]
#[ignore = "needs opentelemetry-proto: run .ci/test"]
fn decoder_of_opentelemetry_reads_the_same_spans() {
    let (sender, bodies) = channel();
    let collector = serve(move |request| {
        let _ = sender.send(request.body);
        Vec::new()
    });
    let mut server = start(&collector, 1.0, "");
    assert_eq!(server.ask_with("/v1/users/6/recommendations?model=emb", TRACEPARENT).0, 200);
    server.stop();
    let spans: Vec<Value> = bodies.try_iter().flat_map(|body| decoded_elsewhere(&body)).collect();
    for span in &spans {
        assert_eq!(span["resource"]["service.name"], "movies");
        let nanoseconds = span["nanoseconds"].as_i64().unwrap();
        assert!((0..PATIENCE.as_nanos() as i64).contains(&nanoseconds), "{span}");
    }
    let traced: Vec<&Value> = spans.iter().filter(|span| span["traceId"] == TRACE).collect();
    let named = |name: &str| -> Vec<&Value> {
        traced.iter().filter(|span| span["name"] == name).copied().collect()
    };
    let [root] = named("GET /v1/users/{id}/recommendations")[..] else { panic!("{spans:?}") };
    assert_eq!(root["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(
        (&root["kind"], &root["status"]),
        (&json!("SPAN_KIND_SERVER"), &json!("STATUS_CODE_UNSET"))
    );
    let attributes = &root["attributes"];
    assert_eq!(attributes["http.response.status_code"], 200);
    assert_eq!(attributes["http.route"], "/v1/users/{id}/recommendations");
    assert_eq!((&attributes["model"], &attributes["degraded"]), (&json!("emb"), &json!(false)));
    let [recall] = named("recall")[..] else { panic!("{spans:?}") };
    assert_eq!(
        (&recall["parentSpanId"], &recall["kind"]),
        (&root["spanId"], &json!("SPAN_KIND_INTERNAL"))
    );
    assert_eq!(recall["attributes"]["strategy"], "embedding");
    assert!(recall["attributes"]["candidates"].as_u64().unwrap() > 0, "{recall}");
}

#[test]
fn nothing_is_traced_with_a_share_of_0_and_last_spans_are_sent_at_the_end() {
    for sample in [1.0, 0.0] {
        let collector = collector();
        let mut server = start(&collector.address, sample, "");
        server.ask_with("/v1/genres", TRACEPARENT);
        let (_, problem) = server.ask_with("/v1/movies/x", TRACEPARENT);
        assert_eq!(problem.contains("traceId"), sample > 0.0, "{problem}");
        server.stop();
        let spans: Vec<_> = collector.spans.try_iter().map(|(_, span)| span.name).collect();
        assert_eq!(spans.iter().any(|name| name == "GET /v1/genres"), sample > 0.0, "{spans:?}");
        assert_eq!(spans.is_empty(), sample == 0.0, "{spans:?}");
    }
}

#[test]
fn requests_do_not_wait_for_a_collector_that_is_unreachable_or_does_not_answer() {
    // One port is closed; the other one accepts and never answers.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for collector in [closed, silent.local_addr().unwrap().to_string()] {
        let mut server = start(&collector, 1.0, "");
        let start = Instant::now();
        for _ in 0..500 {
            assert_eq!(server.ask("/v1/users/6/recommendations").0, 200);
        }
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        let stopping = Instant::now();
        server.stop();
        assert!(stopping.elapsed() < Duration::from_secs(10), "{:?}", stopping.elapsed());
    }
}
