//! NeuralCF in process and at a model server, measured by requests to a whole server.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sparrow_app::{Config, Running};
use sparrow_test_tensorflow::ModelServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::load::{Figures, Load};
use crate::{Arguments, random_users, report, spread};

/// Users of the requests to a model server.
const USERS: usize = 64;

/// Measures in alternating rounds: `getrecforyou` by NeuralCF in process, with the candidates of recall and with the whole
/// catalogue; by a model server, on one connection; and direct requests to the model server for the same scores.
pub(crate) fn compare(
    arguments: &Arguments,
    folder: &Path,
    runtime: &Runtime,
    config: &Config,
) -> Result<()> {
    let round = Duration::from_secs_f64(arguments.seconds);
    let tensorflow = std::env::var_os("SPARROW_TENSORFLOW")
        .map(|_| ModelServer::start("m", &folder.join("neuralcf")));
    let (name, url) = if let Some(server) = &tensorflow {
        ("TensorFlow", server.url())
    } else {
        let address = runtime.block_on(quick_server())?;
        ("a server that answers at once", format!("http://{address}/v1/models/m"))
    };
    let file = folder.join("sparrow.toml");
    let table =
        format!("[[models]]\nname = 'tf'\nkind = 'tf-serving'\nurl = '{url}'\ndeadline = '5s'\n");
    std::fs::write(&file, format!("{}\n{table}", config.to_toml()))?;
    let config = Config::layered(Some(&file), [], &[])?;
    let running = runtime.block_on(async {
        let mut running = sparrow_app::start(config).await?;
        println!("{}", running.loaded().await?);
        until_ready(running.address).await?;
        anyhow::Ok(running)
    })?;
    let address = running.address;
    let paths = |users: usize, rest: &str| -> Vec<String> {
        random_users(users).map(|user| format!("/getrecforyou?id={user}&size=32&{rest}")).collect()
    };
    let few = Load::new(address, &paths(4096, "model=neuralcf"), arguments.connections);
    let all = paths(4096, "model=neuralcf&candidates=all");
    let all = Load::new(address, &all, arguments.connections);
    let served = Load::new(address, &paths(USERS, "model=tf"), 1);
    let direct = runtime.block_on(direct_requests(address, &url))?;
    let authority = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let direct = Load::of(authority.parse()?, direct, 1);
    for load in [&few, &all, &served, &direct] {
        load.closed_loop(round / 4)?;
    }

    println!(
        "{} rounds of {round:?} each in turn; {} connections in process, 1 to the model server, which is {name}; {} cores",
        arguments.rounds,
        arguments.connections,
        std::thread::available_parallelism()?,
    );
    let mut figures: [Vec<Figures>; 4] = Default::default();
    for _ in 0..arguments.rounds {
        for (figures, load) in figures.iter_mut().zip([&few, &all, &served, &direct]) {
            figures.push(load.closed_loop(round)?);
        }
    }
    let [few, all, served, direct] = figures;
    report("(a) neuralcf in process, candidates of recall", &few);
    report("(b) neuralcf in process, all movies", &all);
    report("(c) getrecforyou by the model server", &served);
    report("(d) the model server directly, the same movies", &direct);
    let p50 = |figures: &Figures| figures.quantile(0.5).as_secs_f64() * 1e6;
    let pairs = || served.iter().zip(&direct);
    println!(
        "(e) added to the median, µs: {}; ratio c / d: {}",
        spread(pairs().map(|(c, d)| p50(c) - p50(d)).collect(), 0),
        spread(pairs().map(|(c, d)| p50(c) / p50(d)).collect(), 3),
    );
    let failed = runtime.block_on(async {
        let models = get(address, "/v1/models").await?;
        let tf = models["items"].as_array().context("models")?.iter();
        let tf = tf.clone().find(|model| model["name"] == "tf").context("the model")?;
        let stages = get(address, "/v1/users/6/recommendations?model=tf&explain=true").await?;
        println!("stages of a request by the model server: {}", stages["timings"]);
        anyhow::Ok(tf["requests"]["failed"].as_u64().unwrap_or(0))
    })?;
    ensure!(failed == 0, "{failed} requests did not get their answer from the model server");
    runtime.block_on(Running::stop(running));
    Ok(())
}

/// Waits until the model `tf` answers.
async fn until_ready(address: SocketAddr) -> Result<()> {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let models = get(address, "/v1/models").await?;
        let items = models["items"].as_array().context("models")?;
        if items.iter().any(|model| model["name"] == "tf" && model["available"] == true) {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("the model server is not used: {models}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The requests of the server to the model server, for the same users and candidates.
async fn direct_requests(address: SocketAddr, url: &str) -> Result<Vec<Vec<u8>>> {
    let (_, path) = url.trim_start_matches("http://").split_once('/').context("a path")?;
    let mut requests = Vec::new();
    for user in random_users(USERS) {
        let target = format!("/v1/users/{user}/recommendations?model=neuralcf&size=800");
        let answer = get(address, &target).await?;
        let items = answer["items"].as_array().context("items")?;
        let movies: Vec<String> =
            items.iter().map(|item| item["movie"]["movieId"].to_string()).collect();
        let users = vec![user.to_string(); movies.len()].join(",");
        let movies = movies.join(",");
        let body = format!("{{\"inputs\":{{\"userId\":[{users}],\"movieId\":[{movies}]}}}}");
        let mut request = format!(
            "POST /{path}:predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        );
        write!(request, "content-length: {}\r\n\r\n{body}", body.len())?;
        requests.push(request.into_bytes());
    }
    Ok(requests)
}

async fn get(address: SocketAddr, target: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer")?;
    Ok(serde_json::from_str(body)?)
}

/// A model server with a trivial score for any `userId` and `movieId`.
async fn quick_server() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Without this, answers wait for the acknowledgement of the client.
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let http = hyper::server::conn::http1::Builder::new();
                // The client may close the connection at any time.
                let _ = http.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            });
        }
    });
    Ok(address)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if !request.uri().path().ends_with(":predict") {
        return Ok(Response::new(Full::from(METADATA)));
    }
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    let list = b"\"movieId\":[";
    let start = body.windows(list.len()).position(|window| window == list).unwrap_or_default();
    let movies = body[start..].split(|byte| *byte == b']').next().unwrap_or_default();
    let rows = movies.split(|byte| *byte == b',').count();
    let mut out = String::with_capacity(rows * 14 + 16);
    out.push_str("{\"outputs\":[");
    for row in 0..rows {
        let comma = if row == 0 { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(out, "{comma}[0.{:07}]", 1_234_567 + row * 1_001);
    }
    out.push_str("]}");
    Ok(Response::new(Full::from(out)))
}

const METADATA: &str = r#"{"model_spec":{"name":"m","signature_name":"","version":"1"},"metadata":{"signature_def":
{"signature_def":{"serving_default":{"inputs":{
"userId":{"dtype":"DT_INT32","tensor_shape":{"dim":[{"size":"-1","name":""}],"unknown_rank":false},"name":"u:0"},
"movieId":{"dtype":"DT_INT32","tensor_shape":{"dim":[{"size":"-1","name":""}],"unknown_rank":false},"name":"m:0"}},
"outputs":{"score":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1","name":""},{"size":"1","name":""}],
"unknown_rank":false},"name":"s:0"}},"method_name":"tensorflow/serving/predict","defaults":{}}}}}}"#;
