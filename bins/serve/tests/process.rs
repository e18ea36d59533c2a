//! The binary as a process: what it prints, what it refuses, how it ends.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sparrow_neural::TableBuilder;
use sparrow_neural::neural_cf::{Dense, Embedding, Metadata, Model, ModelFile, Network};
use sparrow_test_support::program;
use sparrow_test_support::server::Server;

fn command(arguments: &[&str]) -> Command {
    let mut command = program::command(env!("CARGO_BIN_EXE_sparrow-serve"), "", &[]);
    command.args(arguments).env("SPARROW__LISTEN", "127.0.0.1:0");
    command.env("SPARROW__ADMIN__LISTEN", "off").stdin(Stdio::null());
    command
}

/// Runs a server that is expected to end by itself.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// Starts a server as a person at the terminal does, and waits until all its lines are printed. Its standard error is a pipe.
fn start(mut command: Command) -> Server {
    command.stderr(Stdio::piped());
    launch(command)
}

/// The same, with the standard error of the command.
fn launch(command: Command) -> Server {
    let mut server = Server::start(command);
    let line = server.line();
    assert!(line.starts_with("Ratings and events are "), "{line}");
    server
}

/// Three movies and two users.
fn write_data(folder: &Path) {
    let movies = "movieId,title,genres\n1,\"Lantern, The (1994)\",Drama\n2,Kites (1995),Comedy\n\
                  5,Harbour (2001),Drama\n";
    fs::write(folder.join("movies.csv"), movies).unwrap();
    let ratings = "userId,movieId,rating,timestamp\n1,1,4.0,100\n1,2,2.0,200\n2,5,5.0,300\n";
    fs::write(folder.join("ratings.csv"), ratings).unwrap();
}

#[test]
fn demonstration_set_is_served_without_arguments() {
    let server = start(command(&[]));
    let answer = server.get("/v1/users/6/recommendations?size=5");
    assert_eq!(answer["model"], "blend");
    assert_eq!(answer["degraded"], false);
    assert_eq!(answer["items"].as_array().unwrap().len(), 5);
    for model in ["neuralcf", "ease", "next-item", "item-knn", "emb", "popularity"] {
        let answer = server.get(&format!("/v1/users/6/recommendations?model={model}"));
        assert_eq!((&answer["model"], &answer["degraded"]), (&model.into(), &false.into()));
    }
    // The parts of a blend's scores add up to them.
    let explained = server.get("/v1/users/6/recommendations?explain=true");
    for item in explained["items"].as_array().unwrap() {
        let parts = item["contributions"].as_array().unwrap();
        let sum: f64 = parts.iter().map(|part| part["score"].as_f64().unwrap()).sum();
        assert!(parts.len() > 3, "{item}");
        assert!((sum - item["score"].as_f64().unwrap()).abs() < 1e-3, "{item}");
    }
}

#[test]
fn server_with_a_certificate_prints_its_address_with_https() {
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&certificate, certified.cert.pem()).unwrap();
    fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let mut command = command(&[]);
    command.env("SPARROW__TLS__CERTIFICATE", &certificate).env("SPARROW__TLS__KEY", &key);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(2);
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lines[0].contains("; https://127.0.0.1:"), "{lines:?}");
    assert!(lines[1].contains("Open https://127.0.0.1:"), "{lines:?}");
}

#[test]
fn popularity_ranks_by_default_without_embeddings() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let server = start(command(&["--data", folder.path().to_str().unwrap()]));
    let answer = server.get("/v1/users/1/recommendations");
    assert_eq!((&answer["model"], &answer["degraded"]), (&"popularity".into(), &false.into()));
    let answer = server.get("/v1/users/1/recommendations?model=emb");
    assert_eq!(answer["model"], "popularity");
    assert_eq!(answer["degraded"], true);
    assert_eq!(answer["reason"], "model-unavailable");
    assert_eq!(answer["items"][0]["movie"]["title"], "Harbour");
    let models = server.get("/v1/models");
    assert_eq!(models["items"][0]["name"], "emb");
    assert_eq!(models["items"][0]["available"], false);
    assert_eq!(models["items"][0]["reason"], "no embeddings folder is configured");
}

#[test]
fn embeddings_and_configuration_file_are_used() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    fs::write(folder.path().join("item2vecEmb.csv"), "1:1 0\n2:0 1\n5:1 1\n").unwrap();
    fs::write(folder.path().join("userEmb.csv"), "1:1 0\n2:0 1\n").unwrap();
    let path = folder.path().display();
    let file = folder.path().join("sparrow.toml");
    let text = format!(
        "[data]\npath = '{path}'\nembeddings = '{path}'\n[ranking]\ndefault = 'popularity'\n"
    );
    fs::write(&file, text).unwrap();
    let server = start(command(&["--config", file.to_str().unwrap()]));
    let ids = |answer: &Value| -> Vec<u64> {
        let items = answer["items"].as_array().unwrap();
        items.iter().map(|item| item["movie"]["movieId"].as_u64().unwrap()).collect()
    };
    let by_default = server.get("/v1/users/2/recommendations");
    assert_eq!(by_default["model"], "popularity");
    assert_eq!(ids(&by_default), [1, 2]);
    let by_vector = server.get("/v1/users/2/recommendations?model=emb");
    assert_eq!((&by_vector["model"], ids(&by_vector)), (&Value::from("emb"), vec![2, 1]));
}

/// The greatest version that loads answers; movies and users that it does not know are scored too.
#[test]
fn neuralcf_ranks_from_a_models_folder() {
    let embedding = |rows: &[(u32, f32)], unknown| {
        let mut table = TableBuilder::default();
        for &(id, value) in rows {
            table.push(id, &[value]).unwrap();
        }
        Embedding { table: table.build().unwrap(), unknown: vec![unknown] }
    };
    // The score grows with the movie's number, by what stands for the user.
    let model = |movies: &[(u32, f32)]| {
        let towers = Network::TwoTowers { movie: Vec::new(), user: Vec::new() };
        let output = Dense { weight: vec![1.0], bias: vec![0.0] };
        let users = embedding(&[(1, 1.0)], -1.0);
        let model = Model::new(embedding(movies, 0.0), users, towers, output).unwrap();
        let metadata = Metadata::new(model.architecture());
        ModelFile { model, metadata }.to_bytes().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    for (version, content) in [
        ("9", model(&[(1, 5.0), (2, 4.0)])),
        ("10", model(&[(1, 1.0), (2, -1.0)])),
        ("011", b"half a mod".to_vec()),
    ] {
        let version = folder.path().join("neuralcf").join(version);
        fs::create_dir_all(&version).unwrap();
        fs::write(version.join("model.safetensors"), content).unwrap();
    }
    let path = folder.path().to_str().unwrap();
    let server = start(command(&["--data", path, "--models", path]));
    let models = server.get("/v1/models");
    assert_eq!(models["items"][2]["name"], "neuralcf");
    assert_eq!(models["items"][2]["available"], true);
    let ids = |user: u32, model: &str| -> Vec<u64> {
        let path = format!("/v1/users/{user}/recommendations?model={model}&exclude_seen=false");
        let answer = server.get(&path);
        assert_eq!((&answer["model"], &answer["degraded"]), (&"neuralcf".into(), &false.into()));
        let items = answer["items"].as_array().unwrap();
        items.iter().map(|item| item["movie"]["movieId"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids(1, "neuralcf"), [1, 5, 2]);
    assert_eq!(ids(2, "nerualcf"), [2, 5, 1]);

    let empty = tempfile::tempdir().unwrap();
    let server = start(command(&["--data", path, "--models", empty.path().to_str().unwrap()]));
    let reason = server.get("/v1/models")["items"][2]["reason"].to_string();
    assert!(reason.contains("the model's folder does not exist"), "{reason}");
}

#[cfg(unix)]
#[test]
fn signals_shut_the_server_down_gracefully() {
    for signal in ["-TERM", "-INT"] {
        let mut server = start(command(&[]));
        // A kept-alive connection must not hold it up.
        let _idle = TcpStream::connect(server.address()).unwrap();
        server.process().signal(signal);
        assert_eq!(server.end(), (Some(0), String::new()), "{signal}");
    }
}

#[cfg(unix)]
#[test]
fn hangup_reloads_experiments_and_log_filter_and_keeps_them_after_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sparrow.toml");
    let tables = "[[experiments]]\nname = \"x\"\n[[experiments.variants]]\nname = \"a\"\n\
                  [[experiments.variants]]\nname = \"b\"\n";
    fs::write(&file, "").unwrap();
    let mut server = start(command(&["--config", file.to_str().unwrap()]));
    let mut log = server.errors().lines().map(Result::unwrap);
    let experiments = |server: &Server| {
        server
            .get("/v1/users/6/recommendations")
            .get("experiments")
            .map(|all| all[0]["name"].clone())
    };
    assert_eq!(experiments(&server), None);

    fs::write(&file, format!("[server]\nwaiting_rankings = 3\n{tables}")).unwrap();
    server.process().signal("-HUP");
    assert!(log.any(|line| line.contains("was read again") && line.contains("experiments")));
    let restart = log.find(|line| line.contains("a restart only")).unwrap();
    assert!(restart.contains("server.waiting_rankings"), "{restart}");
    assert!(!restart.contains("experiments"), "{restart}");
    assert_eq!(experiments(&server), Some("x".into()));

    fs::write(&file, "experimens = 1\n").unwrap();
    server.process().signal("-HUP");
    assert!(log.any(|line| line.contains("experimens") && line.contains("stays in force")));
    assert_eq!(experiments(&server), Some("x".into()));

    // With this filter, nothing reports that it is in force.
    fs::write(&file, "[log]\nfilter = \"error\"\n").unwrap();
    server.process().signal("-HUP");
    let end = Instant::now() + Duration::from_secs(30);
    while experiments(&server).is_some() {
        assert!(Instant::now() < end, "the experiments are still in force");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.process().signal("-TERM");
    assert_eq!(log.next(), None, "a line below the filter");
}

/// `timeout` signals its child and then the whole group.
#[cfg(unix)]
#[test]
fn burst_of_signals_counts_once_and_a_later_signal_stops_at_once() {
    let mut command = command(&[]);
    command.env("SPARROW__SERVER__SHUTDOWN_TIMEOUT", "60s");
    command.env("SPARROW__SERVER__HEADER_TIMEOUT", "60s");
    let mut server = start(command);
    // Half a request: it is in flight, and the server waits for its other half.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    let mut log = server.errors().lines();
    let began = Instant::now();
    server.process().signal("-TERM");
    assert!(log.any(|line| line.unwrap().contains("stopping")));
    for name in ["-TERM", "-INT", "-TERM"] {
        server.process().signal(name);
    }
    while server.process().child().try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(30), "a later signal is ignored");
        server.process().signal("-TERM");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(began.elapsed() >= Duration::from_secs(1), "a repeat stopped it");
    assert_eq!(server.process().wait(), Some(1));
    assert!(log.any(|line| line.unwrap().contains("error: a second signal")));
}

#[test]
fn help_is_as_kept() {
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/help.txt");
    sparrow_test_support::assert_snapshot(&file, &help);
}

#[test]
fn help_is_wrapped_at_80_columns_and_frequent_options_have_short_forms() {
    for flag in ["-h", "--help"] {
        let (code, help, _) = run(&[flag]);
        assert_eq!(code, Some(0));
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{flag}: {line}");
        }
        for short in
            ["-d, --data", "-e, --embeddings", "-s, --store", "-l, --listen", "-c, --config"]
        {
            assert!(help.contains(short), "{short}: {help}");
        }
    }
}

/// Opens connections that the server refuses, and waits until it has.
#[cfg(unix)]
fn refused(server: &Server, count: usize) {
    let mut kept = TcpStream::connect(server.address()).unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    kept.read_exact(&mut [0]).unwrap();
    for _ in 0..count {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        // Without a request, the server waits whether it is one of a health check.
        let _ = stream.write_all(b"GET /v1/genres HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let mut answer = String::new();
        // A connection that is not even told so is closed.
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
}

/// Waits until a connection that was closed is no longer counted.
#[cfg(unix)]
fn answers(server: &Server) {
    let end = Instant::now() + Duration::from_secs(30);
    while server.ask("/readyz").0 != 200 {
        assert!(Instant::now() < end, "the server does not answer");
    }
}

#[cfg(unix)]
#[test]
fn closed_standard_error_does_not_stop_the_server() {
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let (reader, dead) = std::io::pipe().unwrap();
    drop(reader);
    for errors in [Stdio::from(full()), Stdio::from(dead)] {
        let mut command = command(&[]);
        command.env("SPARROW__SERVER__MAX_CONNECTIONS", "1").stderr(errors);
        let mut server = launch(command);
        refused(&server, 100);
        answers(&server);
        server.stop();
    }
}

#[cfg(unix)]
#[test]
fn unread_standard_error_does_not_block_the_server() {
    let (reader, errors) = std::io::pipe().unwrap();
    let mut command = command(&[]);
    command.env("SPARROW__LOG__FILTER", "debug").stderr(errors);
    let mut server = launch(command);
    // A pipe holds 64 KiB, and the queue for it 1 MiB.
    let path = format!("/nothing/{}", "x".repeat(2000));
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut answer = [0; 4096];
    for _ in 0..1000 {
        stream.write_all(request.as_bytes()).unwrap();
        assert!(stream.read(&mut answer).unwrap() > 0);
    }
    answers(&server);
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(reader);
}

#[cfg(unix)]
#[test]
fn repeated_warnings_are_limited_and_counted() {
    let mut command = command(&[]);
    command.env("SPARROW__SERVER__MAX_CONNECTIONS", "1");
    let mut server = start(command);
    refused(&server, 500);
    server.process().signal("-TERM");
    let mut log = String::new();
    server.errors().read_to_string(&mut log).unwrap();
    assert_eq!(server.process().wait(), Some(0));
    let warnings = log.lines().filter(|line| line.contains("refusing one")).count();
    // Two windows at most, and a line for each that counts the rest.
    assert!((11..=22).contains(&warnings), "{log}");
    assert!(log.contains("suppressed repeated log lines: too many connections"), "{log}");
    assert!(log.len() < 8 << 10, "{} bytes of log", log.len());
}

#[cfg(target_os = "linux")]
#[test]
fn memory_of_unread_answers_is_freed() {
    use std::fmt::Write as _;

    const MOVIES: u32 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let mut movies = "movieId,title,genres\n".to_owned();
    let mut ratings = "userId,movieId,rating,timestamp\n".to_owned();
    for movie in 1..=MOVIES {
        writeln!(movies, "{movie},Invented Number {movie} (1994),Drama").unwrap();
        writeln!(ratings, "1,{movie},4.0,{movie}").unwrap();
    }
    fs::write(folder.path().join("movies.csv"), movies).unwrap();
    fs::write(folder.path().join("ratings.csv"), ratings).unwrap();
    let server = start(command(&["--data", folder.path().to_str().unwrap()]));
    let (_, one) = server.ask("/getuser?id=1");
    assert!(one.len() > 1 << 20, "{}", one.len());
    // Loading leaves memory behind that is given back in the next seconds.
    let (mut start, mut since) = (server.resident(), Instant::now());
    while since.elapsed() < Duration::from_secs(4) {
        server.ask("/getuser?id=1");
        let now = server.resident();
        if now < start {
            (start, since) = (now, Instant::now());
        }
    }

    let unread: Vec<_> = (0..150)
        .map(|client| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            // Different targets, so that each has an answer of its own.
            let request =
                format!("GET /getuser?id=1&client={client} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    let waits_for = |what: &str, is_there: &dyn Fn(usize) -> bool| {
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            let now = server.resident();
            if is_there(now) {
                return;
            }
            assert!(Instant::now() < end, "{what}: {start} bytes at the start, now {now}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    waits_for("never many answers at once", &|now| now > start + one.len() * 100);
    drop(unread);
    waits_for("not given back", &|now| now * 5 <= start * 6);
}

#[cfg(unix)]
#[test]
fn low_limit_on_open_files_is_divided_between_connections_and_health_checks() {
    let mut limited = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_sparrow-serve");
    limited.args(["-c", "ulimit -n 64 && exec \"$0\"", program]);
    let server = start(limited);
    let mut clients: Vec<_> = (0..100)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            // One that is refused may be closed already.
            stream.write_all(b"GET /v1/genres HTTP/1.1\r\nhost: localhost\r\n\r\n").ok()?;
            Some(stream)
        })
        .collect();
    let mut answered = 0;
    for client in &mut clients {
        let mut beginning = [0; 12];
        let is_answered = client.read_exact(&mut beginning).is_ok();
        answered += usize::from(is_answered && beginning == *b"HTTP/1.1 200");
    }
    assert_eq!(answered, 16);
    let began = Instant::now();
    assert_eq!(server.ask("/healthz").0, 200);
    assert_eq!(server.ask("/v1/genres").0, 503);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(clients);
    answers(&server);
    assert_eq!(server.ask("/v1/genres").0, 200);
}

#[test]
fn server_listens_while_it_loads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let (code, output, error) = run(&["-d", path]);
    assert_eq!(code, Some(1));
    assert!(output.starts_with(&format!("Loading {path}; http://127.0.0.1:")), "{output}");
    assert!(!output.contains("Ready"), "{output}");
    assert!(error.starts_with("error: "), "{error}");
}

#[test]
fn invalid_data_fails_the_start_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let (code, _, error) = run(&["--data", path]);
    assert_eq!(code, Some(1));
    assert!(error.contains(path) && error.contains("movies.csv"), "{error}");

    write_data(folder.path());
    let ratings = folder.path().join("ratings.csv");
    fs::write(&ratings, "userId,movieId,rating,timestamp\n1,1,4.0,100\n1,2,9,200\n").unwrap();
    let (code, _, error) = run(&["--data", path]);
    assert_eq!(code, Some(1));
    assert!(error.contains("ratings.csv:3: ") && error.contains("--max-bad-lines"), "{error}");
    let server = start(command(&["--data", path, "--max-bad-lines", "1"]));
    assert_eq!(server.get("/v1/users/1")["ratingCount"], 1);

    let (code, _, error) = run(&["--embeddings", path]);
    assert_eq!(code, Some(1));
    assert!(error.contains("item2vecEmb.csv"), "{error}");
    let (code, _, error) = run(&["--posters", "/nowhere"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("the posters folder /nowhere does not exist"), "{error}");
}

#[test]
fn port_in_use_and_invalid_configuration_are_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, error) = run(&["--listen", &address]);
    assert_eq!(code, Some(1));
    assert!(error.contains(&format!("cannot listen on {address}")), "{error}");

    for (arguments, message) in [
        (
            ["--listen", "nonsense"],
            "--listen in the command line: \"nonsense\" is not an address to listen on, such as",
        ),
        (["--max-bad-lines", "few"], "invalid value 'few' for '--max-bad-lines <N>'"),
        (["--dta", "x"], "a similar argument exists: '--data'"),
        (["--store", "redis//:secret@host"], "--store in the command line: the store's address"),
        (["--store", "redis://host/secret"], "--store in the command line: the store's address"),
        (["--config", "/nowhere.toml"], "cannot read the configuration file /nowhere.toml"),
    ] {
        let (code, _, error) = run(&arguments);
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains(message) && !error.contains("secret"), "{error}");
    }
    let output = command(&[]).env("SPARROW__SERVER__IDEL_TIMEOUT", "1s").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("did you mean \"SPARROW__SERVER__IDLE_TIMEOUT\"?"), "{error}");
    let output = command(&[]).env("SPARROW__RANKING__DEFAULT", "emd").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    let place = "ranking.default in the environment (SPARROW__RANKING__DEFAULT)";
    let message = format!("{place}: no model is named \"emd\", did you mean \"emb\"?");
    assert!(error.contains(&message), "{error}");
}

/// Starts a server on a store, waits until `/readyz` contains the reason, and returns the whole output.
#[cfg(unix)]
fn printed_without_a_store(url: &str, reason: &str) -> String {
    let mut command = command(&["--store", url]);
    command.env("SPARROW__STORE__START_WAIT", "100ms").env("SPARROW__LOG__FILTER", "debug");
    command.stderr(Stdio::piped());
    let mut server = Server::listening(command);
    let mut printed = server.first_line().to_owned();
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let (status, body) = server.ask("/readyz");
        printed += &body;
        assert_eq!(status, 503, "{body}");
        if body.contains(reason) {
            break;
        }
        assert!(Instant::now() < end, "never {reason:?}: {body}");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.process().signal("-TERM");
    server.errors().read_to_string(&mut printed).unwrap();
    let (code, rest) = server.end();
    assert_eq!(code, Some(0));
    printed + &rest
}

#[cfg(unix)]
#[test]
fn unreachable_store_is_reported_without_its_password() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    drop(taken);
    let url = format!("redis://me:opensesame@127.0.0.1:{port}");
    let reason = "the feature store … is unavailable";
    let printed = printed_without_a_store(&url, reason);
    assert!(printed.contains("WARN") && !printed.contains("opensesame"), "{printed}");
    let (_, printed, _) = run(&["--print-config", "--store", &url]);
    assert!(printed.contains(&format!("redis://127.0.0.1:{port}")), "{printed}");
    assert!(!printed.contains("opensesame"), "{printed}");
}

#[cfg(unix)]
#[test]
#[ignore = "needs redis-server"]
fn wrong_password_is_reported_without_the_password() {
    let redis = sparrow_test_redis::TestRedis::start(&["--requirepass", "opensesame"]);
    let url = redis.url().replace("redis://", "redis://:opensesima@");
    let printed = printed_without_a_store(&url, "user or password is wrong");
    assert!(printed.contains("WARN") && !printed.contains("openses"), "{printed}");
}

#[test]
fn effective_configuration_is_printed() {
    let (code, output, _) = run(&["--print-config", "--data", "somewhere"]);
    assert_eq!(code, Some(0));
    assert!(output.contains("listen = \"127.0.0.1:0\"") && output.contains("path = \"somewhere\""));
    assert!(output.contains("idle_timeout = \"1m 15s\""), "{output}");
}
