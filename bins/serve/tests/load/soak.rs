//! A soak test: mixed traffic, writes and new versions of models, with flat memory and descriptors.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sparrow_test_support::{demo, rounds};

use crate::client::{Answer, Client};
use crate::{Stop, send_until, start};

const CLIENTS: usize = 4;
const MIB: usize = 1 << 20;
/// New ratings and events of few users and movies, so that live data have a bound.
const WRITERS: usize = 50;
const MODELS: [&str; 5] = ["ease", "next-item", "item-knn", "neuralcf", "blend"];

/// A request, and the statuses that are expected.
struct Request {
    method: &'static str,
    path: String,
    body: String,
    expected: &'static [u16],
}

/// Requests of all kinds; a third changes data.
fn request(number: usize) -> Request {
    let (user, movie) = (number % WRITERS + 1, number * 7 % 19 + 1);
    let get =
        |path: String, expected| Request { method: "GET", path, body: String::new(), expected };
    match number % 18 {
        0 => get(format!("/v1/users/{user}/home"), &[200]),
        1 => get(format!("/v1/movies/{movie}/similar"), &[200]),
        2 => get(format!("/v1/movies/{movie}"), &[200]),
        3 => get(format!("/v1/search?q={}", ["la", "night", "the"][number % 3]), &[200]),
        4 => get(format!("/getrecforyou?id={user}&size=32&model=emb"), &[200]),
        5 => get("/".to_owned(), &[200]),
        6 => get("/v1/models".to_owned(), &[200]),
        7 => get(format!("/v1/users/{user}/recommendations?size=nonsense"), &[400]),
        8 => get("/nothing".to_owned(), &[404]),
        9..12 => {
            let model = MODELS[number / 18 % MODELS.len()];
            get(format!("/v1/users/{user}/recommendations?model={model}"), &[200])
        }
        12 | 13 => Request {
            method: "PUT",
            path: format!("/v1/users/{user}/ratings/{movie}"),
            body: format!("{{\"stars\": {}.5}}", number % 5),
            expected: &[200],
        },
        14 => Request {
            method: "DELETE",
            path: format!("/v1/users/{user}/ratings/{movie}"),
            body: String::new(),
            expected: &[200],
        },
        15 | 16 => Request {
            method: "POST",
            path: "/v1/events".to_owned(),
            body: format!(
                "{{\"events\": [{{\"type\": \"click\", \"userId\": {user}, \"movieId\": {}}}]}}",
                number % 19 + 1
            ),
            expected: &[200],
        },
        _ => Request {
            method: "POST",
            path: "/v1/recommendations".to_owned(),
            body: format!("{{\"ratings\": [{{\"movieId\": {movie}, \"stars\": 5}}]}}"),
            expected: &[200],
        },
    }
}

/// Copies the models of the demonstration set as a further version, and removes the one before the last.
fn publish(models: &Path, version: usize) {
    for model in MODELS {
        let folder = models.join(model);
        let next = folder.join(format!("{version:03}"));
        let partial = folder.join(format!(".{version:03}"));
        fs::create_dir_all(&partial).unwrap();
        let source = demo().join("models").join(model).join("001");
        for file in fs::read_dir(source).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), partial.join(file.file_name())).unwrap();
        }
        fs::rename(&partial, &next).unwrap();
        if let Some(old) = version.checked_sub(2).filter(|old| *old > 0) {
            fs::remove_dir_all(folder.join(format!("{old:03}"))).unwrap();
        }
    }
}

/// Whether all models are served in a version.
fn is_served(client: &mut Client, version: usize) -> bool {
    let answer = client.get("/v1/models").unwrap();
    let models: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let models = models["items"].as_array().unwrap();
    let is_it = |name| {
        models.iter().any(|model| model["name"] == name && model["version"] == version as u64)
    };
    MODELS.into_iter().all(is_it)
}

#[test]
fn memory_and_descriptors_stay_flat_under_mixed_traffic() {
    let _alone = crate::alone();
    let seconds = rounds("seconds of the soak test", 20, 30 * 60);
    let time = Duration::from_secs(seconds as u64);
    let folder = tempfile::tempdir().unwrap();
    let (models, live) = (folder.path().join("models"), folder.path().join("live"));
    publish(&models, 1);
    // No ranking is refused, also if a busy machine makes them long.
    let settings =
        [("SPARROW__RANKING__WATCH", "200ms"), ("SPARROW__SERVER__WAITING_RANKINGS", "8")];
    let options = "--data {} --embeddings {} --models {} --live {}";
    let server = start(options, &[&demo(), &demo(), &models, &live], &settings);
    let (sent, is_done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let unexpected = Mutex::new(Vec::new());
    let mut samples = Vec::new();
    let swaps = thread::scope(|scope| {
        let _stop = Stop(&is_done);
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                send_until(&is_done, server.address(), &unexpected, |client| {
                    let Request { method, path, body, expected } =
                        request(sent.fetch_add(1, Ordering::Relaxed));
                    let Answer { status, body } = client
                        .send(method, &path, &body)
                        .map_err(|error| format!("{method} {path}: {error}"))?;
                    let is_expected = expected.contains(&status);
                    is_expected
                        .then_some(())
                        .ok_or_else(|| format!("{method} {path}: {status} {body}"))
                });
            });
        }
        let began = Instant::now();
        let mut client = Client::connect(server.address()).unwrap();
        let (mut version, mut published) = (1, Instant::now());
        while began.elapsed() < time {
            thread::sleep(Duration::from_millis(250));
            samples.push((server.resident(), server.descriptors()));
            if is_served(&mut client, version) {
                if published.elapsed() > Duration::from_secs(1) {
                    version += 1;
                    publish(&models, version);
                    published = Instant::now();
                }
            } else {
                let late = published.elapsed();
                assert!(late < Duration::from_mins(1), "version {version} is not served");
            }
        }
        version - 1
    });
    let (unexpected, sent) = (unexpected.into_inner().unwrap(), sent.into_inner());
    let first = &unexpected[..unexpected.len().min(5)];
    assert!(unexpected.is_empty(), "{} of {sent} requests: {first:#?}", unexpected.len());
    assert!(swaps >= 2, "{swaps} new versions");
    // The first quarter warms up. The medians of the second and the last quarter are compared.
    let median = |part: &[(usize, usize)]| {
        let mut resident: Vec<usize> = part.iter().map(|(resident, _)| *resident).collect();
        resident.sort_unstable();
        resident[resident.len() / 2]
    };
    let open = |part: &[(usize, usize)]| part.iter().map(|(_, open)| *open).max().unwrap();
    let quarter = samples.len() / 4;
    let (second, last) = (&samples[quarter..2 * quarter], &samples[3 * quarter..]);
    let (before, after) = (median(second), median(last));
    let report = format!(
        "{sent} requests in {time:?}, {swaps} new versions, {} to {} MiB resident, {} to {} descriptors",
        before / MIB,
        after / MIB,
        open(second),
        open(last)
    );
    assert!(after < before + before / 10 + 8 * MIB, "memory grows: {report}");
    assert!(open(last) <= open(second) + 4, "descriptors grow: {report}");
    eprintln!("{report}");
}
