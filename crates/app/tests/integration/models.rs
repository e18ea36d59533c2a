//! Watched model folders, and fallbacks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sparrow_app::Config;
use sparrow_neural::item_weights::{
    Architecture, InputWeights, ItemWeights, ItemWeightsFile, ItemWeightsMetadata,
};
use sparrow_neural::model_folder::MODEL_FILE;
use sparrow_neural::neural_cf::{Dense, Embedding, Metadata, Model, ModelFile, Network};
use sparrow_neural::{
    EmbeddingMetadata, ITEM_FILE, METADATA_FILE, Similarity, TableBuilder, USER_FILE, Validation,
};
use sparrow_store::MemoryStore;
use tempfile::TempDir;

use crate::load::{Load, Outcome};
use crate::support::{DEMO, PATIENCE, config, demo_entries, get, push, serve, until};

/// A model with the same score for every movie, which depends on `bias`. User 1 is in its training data.
fn model(bias: f32) -> Vec<u8> {
    let embedding = || {
        let mut table = TableBuilder::default();
        table.push(1, &[1.0]).unwrap();
        Embedding { table: table.build().unwrap(), unknown: vec![0.0] }
    };
    let towers = Network::TwoTowers { movie: Vec::new(), user: Vec::new() };
    let output = Dense { weight: vec![1.0], bias: vec![bias] };
    let model = Model::new(embedding(), embedding(), towers, output).unwrap();
    let metadata = Metadata::new(model.architecture());
    ModelFile { model, metadata }.to_bytes().unwrap()
}

/// A model file with validation metrics of some data and protocol.
fn validated_model(ndcg_at_10: f64) -> Vec<u8> {
    let mut file = ModelFile::read(&model(0.1), MODEL_FILE).unwrap();
    let (fingerprint, protocol) = ("sha256:0".to_owned(), "lists".to_owned());
    file.metadata.validation = Some(Validation { fingerprint, protocol, ndcg_at_10 });
    file.to_bytes().unwrap()
}

/// Writes a version as exports do: a complete folder is renamed.
fn export(folder: &Path, version: &str, files: &[(&str, &[u8])]) {
    let partial = folder.join(format!(".{version}.partial"));
    fs::create_dir_all(&partial).unwrap();
    for (name, content) in files {
        fs::write(partial.join(name), content).unwrap();
    }
    fs::rename(partial, folder.join(version)).unwrap();
}

/// A configuration with a models folder that is checked often.
fn with_models() -> (TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.ranking.models = Some(folder.path().to_owned());
    config.ranking.watch = Duration::from_millis(20);
    (folder, config)
}

/// The models of a file with this text in another configuration.
pub(crate) fn with_tables(config: &Config, tables: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sparrow.toml");
    fs::write(&file, format!("{}\n{tables}", config.to_toml())).unwrap();
    Config::layered(Some(&file), [], &[]).unwrap()
}

pub(crate) async fn start(config: Config) -> sparrow_app::Running {
    let mut running = sparrow_app::start(config).await.unwrap();
    tokio::time::timeout(PATIENCE, running.loaded()).await.expect("not loaded").unwrap();
    running
}

/// The entry of a model in `/v1/models`.
pub(crate) fn about(models: &Value, name: &str) -> Value {
    let items = models["items"].as_array().unwrap().iter();
    let found = items.clone().find(|model| model["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {models}")).clone()
}

/// Requests the entry of a model until it satisfies a condition.
pub(crate) async fn until_model(
    address: std::net::SocketAddr,
    name: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let answer = until(address, "/v1/models", |answer| wanted(&about(&answer.json(), name))).await;
    about(&answer.json(), name)
}

fn reason_has(model: &Value, part: &str) -> bool {
    model["reason"].as_str().is_some_and(|reason| reason.contains(part))
}

/// Asserts that this model answered all requests.
fn all_answered(outcomes: &[Outcome], model: &str) {
    assert!(!outcomes.is_empty());
    let good = |one: &&Outcome| one.status == 200 && one.model.as_deref() == Some(model);
    let bad = outcomes.iter().find(|outcome| !good(outcome));
    assert!(bad.is_none(), "{bad:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_requests_are_answered_while_versions_change() {
    let (folder, config) = with_models();
    let neuralcf = folder.path().join("neuralcf");
    export(&neuralcf, "001", &[(MODEL_FILE, &model(0.1))]);
    let running = start(config).await;
    let address = running.address;
    let first = until_model(address, "neuralcf", |model| model["version"] == 1).await;
    assert_eq!((&first["state"], &first["reason"]), (&"ready".into(), &Value::Null));
    let load = Load::asking(&[address], "neuralcf");
    load.more(20).await;

    let target = "/v1/users/6/recommendations?model=neuralcf&explain=true&size=1";
    let score = async || get(address, target).await.json()["items"][0]["score"].as_f64().unwrap();
    let mut scores = vec![score().await];
    for version in [2, 3] {
        let bias = 0.1 * version as f32;
        export(&neuralcf, &format!("{version:03}"), &[(MODEL_FILE, &model(bias))]);
        until_model(address, "neuralcf", |model| model["version"] == version).await;
        load.more(20).await;
        scores.push(score().await);
    }
    assert!(scores.is_sorted_by(|a, b| a < b), "{scores:?}");

    // A broken version is reported, and the previous one stays in use.
    export(&neuralcf, "004", &[(MODEL_FILE, b"half a mod")]);
    let broken = until_model(address, "neuralcf", |model| reason_has(model, "version 4")).await;
    assert_eq!((&broken["version"], &broken["state"]), (&3.into(), &"ready".into()));
    load.more(20).await;
    // If the newest version is removed, the one before is loaded.
    fs::remove_dir_all(neuralcf.join("003")).unwrap();
    let back = until_model(address, "neuralcf", |model| model["version"] == 2).await;
    assert!(reason_has(&back, "version 4"), "{back}");
    assert_eq!(score().await, scores[1]);
    // The broken version is rewritten.
    fs::write(neuralcf.join("004").join(MODEL_FILE), model(0.4)).unwrap();
    let mended = until_model(address, "neuralcf", |model| model["version"] == 4).await;
    assert_eq!(mended["reason"], Value::Null);
    // The served version is overwritten.
    fs::write(neuralcf.join("004").join(MODEL_FILE), model(0.45)).unwrap();
    let before = score().await;
    until(address, target, |answer| answer.json()["items"][0]["score"].as_f64().unwrap() > 0.605)
        .await;
    assert!(before < score().await || before > 0.605);
    // If all versions are removed, the loaded one stays in use.
    fs::remove_dir_all(&neuralcf).unwrap();
    let alone = until_model(address, "neuralcf", |model| reason_has(model, "remains in use")).await;
    assert_eq!(alone["version"], 4);
    load.more(20).await;
    all_answered(&load.stop().await, "neuralcf");
    let counts = &about(&get(address, "/v1/models").await.json(), "neuralcf")["requests"];
    assert!(counts["answered"].as_u64() > Some(80) && counts["failed"] == 0, "{counts}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn model_that_is_copied_after_the_start_is_loaded_when_complete() {
    let (folder, config) = with_models();
    let running = start(config).await;
    let address = running.address;
    let nothing = about(&get(address, "/v1/models").await.json(), "neuralcf");
    assert_eq!((&nothing["state"], &nothing["version"]), (&"unavailable".into(), &Value::Null));
    assert!(reason_has(&nothing, "folder does not exist"), "{nothing}");
    let answer = get(address, "/v1/users/6/recommendations?model=nerualcf").await.json();
    assert_eq!((&answer["model"], &answer["reason"]), (&"emb".into(), &"model-unavailable".into()));

    // A slow copy: an empty folder, half a file, the whole file.
    let version = folder.path().join("neuralcf/7");
    fs::create_dir_all(&version).unwrap();
    until_model(address, "neuralcf", |model| reason_has(model, "version 7")).await;
    let whole = model(0.5);
    fs::write(version.join(MODEL_FILE), &whole[..whole.len() / 2]).unwrap();
    fs::write(version.join(MODEL_FILE), &whole).unwrap();
    until_model(address, "neuralcf", |model| model["version"] == 7).await;
    let answer = get(address, "/v1/users/6/recommendations?model=nerualcf").await.json();
    assert_eq!((&answer["model"], &answer["degraded"]), (&"neuralcf".into(), &false.into()));
}

/// Vectors with one user, who is nearest to one movie.
fn vectors(user: u32, nearest: u32) -> [(&'static str, Vec<u8>); 2] {
    let items = (1..=50).map(|movie| {
        if movie == nearest { format!("{movie}:0 1\n") } else { format!("{movie}:1 0\n") }
    });
    [
        ("item2vecEmb.csv", items.collect::<String>().into_bytes()),
        ("userEmb.csv", format!("{user}:0 2\n").into_bytes()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_embedding_model_has_versions_and_users() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let mut config = config();
    config.ranking.watch = Duration::from_millis(20);
    let config = with_tables(
        &config,
        &format!("[[models]]\nname = 'other'\nkind = 'embedding'\npath = '{path}'\n"),
    );
    let [items, users] = vectors(6, 11);
    fs::write(folder.path().join(items.0), items.1).unwrap();
    fs::write(folder.path().join(users.0), users.1).unwrap();
    let running = start(config).await;
    let address = running.address;
    let target = "/v1/users/6/recommendations?model=other&candidates=all&exclude_seen=false&size=1";
    let best = async |target: &str| {
        let answer = get(address, target).await.json();
        (answer["model"].clone(), answer["items"][0]["movie"]["movieId"].clone())
    };
    assert_eq!(best(target).await, ("other".into(), 11.into()));
    let own = about(&get(address, "/v1/models").await.json(), "other");
    assert_eq!((&own["kind"], &own["version"]), (&"embedding".into(), &Value::Null));
    assert_eq!((&own["dimension"], &own["fallback"]), (&2.into(), &"emb".into()));
    // For other users its fallback answers.
    let answer = get(address, &target.replace("users/6", "users/7")).await.json();
    assert_eq!((&answer["model"], &answer["reason"]), (&"emb".into(), &"no-user-embedding".into()));

    let files = vectors(6, 12);
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, &text[..])).collect();
    export(folder.path(), "1", &files);
    until_model(address, "other", |model| model["version"] == 1).await;
    assert_eq!(best(target).await, ("other".into(), 12.into()));
    // Vectors of movies outside the catalogue.
    let foreign: [(&str, &[u8]); 2] =
        [("item2vecEmb.csv", b"900000:1 0\n"), ("userEmb.csv", b"6:1 0\n")];
    export(folder.path(), "2", &foreign);
    let broken = until_model(address, "other", |model| reason_has(model, "version 2")).await;
    assert!(reason_has(&broken, "none of the 1 item vectors"), "{broken}");
    assert_eq!(broken["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_remain_loaded_over_generations_of_a_store() {
    let (folder, config) = with_models();
    let neuralcf = folder.path().join("neuralcf");
    export(&neuralcf, "1", &[(MODEL_FILE, &model(0.1))]);
    let store = MemoryStore::default();
    push(&store, demo_entries()).await;
    let running = serve(config, Arc::new(store.clone())).await;
    let address = running.address;
    assert_eq!(until_model(address, "neuralcf", |_| true).await["version"], 1);
    let load = Load::asking(&[address], "neuralcf");
    load.more(20).await;
    let second = push(&store, demo_entries()).await;
    export(&neuralcf, "2", &[(MODEL_FILE, &model(0.2))]);
    until(address, "/readyz", |ready| ready.json()["store"]["generation"] == second.0).await;
    let with_second = until_model(address, "neuralcf", |model| model["version"] == 2).await;
    load.more(20).await;
    let third = push(&store, demo_entries()).await;
    until(address, "/readyz", |ready| ready.json()["store"]["generation"] == third.0).await;
    let now = until_model(address, "neuralcf", |_| true).await;
    assert_eq!((&now["version"], &now["since"]), (&2.into(), &with_second["since"]));
    assert!(now["requests"]["answered"].as_u64() > Some(20), "counts go on: {now}");
    all_answered(&load.stop().await, "neuralcf");
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_fallback_answers() {
    let (_folder, config) = with_models();
    let config = with_tables(
        &config,
        "[[models]]\nname = 'first'\nkind = 'neuralcf'\npath = '/nowhere'\nfallback = 'second'\n\
         [[models]]\nname = 'second'\nkind = 'embedding'\npath = '/nowhere'\nfallback = 'third'\n\
         [[models]]\nname = 'third'\nkind = 'popularity'\n",
    );
    let running = start(config).await;
    let address = running.address;
    let answer = get(address, "/v1/users/6/recommendations?model=first").await.json();
    assert_eq!(
        (&answer["model"], &answer["requestedModel"], &answer["reason"]),
        (&"third".into(), &"first".into(), &"model-unavailable".into())
    );
    let models = get(address, "/v1/models").await.json();
    let names = models["items"].as_array().unwrap().iter().map(|model| model["name"].clone());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["emb", "popularity", "neuralcf", "first", "second", "third"]
    );
    assert_eq!(about(&models, "third")["requests"]["stoodIn"], 1);
    assert!(reason_has(&about(&models, "second"), "folder does not exist"), "{models}");
}

/// The first movie of a model for user 6, including seen ones.
async fn first(address: std::net::SocketAddr, model: &str) -> u64 {
    let target = format!(
        "/v1/users/6/recommendations?model={model}&candidates=all&exclude_seen=false&size=1"
    );
    let answer = get(address, &target).await.json();
    assert_eq!(answer["model"], model, "{answer}");
    answer["items"][0]["movie"]["movieId"].as_u64().unwrap()
}

/// Weights between movies of these ids: all others have a positive weight to the sixth.
fn weights(ids: &[u32]) -> Vec<u8> {
    let count = ids.len() as u32;
    let starts = (0..=count).map(|row| if row > 5 { row - 1 } else { row }).collect();
    let (targets, weights) = (vec![5; ids.len() - 1], vec![0.5; ids.len() - 1]);
    let file = ItemWeightsFile {
        weights: ItemWeights::new(ids.to_vec(), starts, targets, weights).unwrap(),
        metadata: ItemWeightsMetadata::new(Architecture::Ease, InputWeights::EQUAL),
    };
    file.to_bytes().unwrap()
}

fn demo_ids() -> Vec<u32> {
    DEMO.catalog.movies().iter().map(|movie| movie.id.0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_the_models_folder_are_served_under_their_names() {
    let (folder, config) = with_models();
    let at = |name: &str| folder.path().join(name);
    export(&at("neuralcf"), "001", &[(MODEL_FILE, &model(0.1))]);
    export(&at("gmf"), "007", &[(MODEL_FILE, &model(0.2))]);
    export(&at("items"), "001", &[(MODEL_FILE, &weights(&demo_ids()))]);
    let vectors = vectors(6, DEMO.catalog.movies()[3].id.0);
    let vectors = vectors.each_ref().map(|(name, content)| (*name, &content[..]));
    export(&at("tastes"), "001", &vectors);
    export(&at("mine"), "001", &[(MODEL_FILE, &model(0.3))]);
    for other in ["notes", "saved/001", ".hidden", "emb"] {
        fs::create_dir_all(at(other)).unwrap();
    }
    fs::write(at("saved/001/saved_model.pb"), "").unwrap();
    fs::write(at("README.md"), "").unwrap();
    let config = with_tables(
        &config,
        "[[models]]\nname = 'mine'\nkind = 'popularity'\n\
         [[models]]\nname = 'next'\nkind = 'popularity'\nfallback = 'gmf'\n",
    );
    let running = start(config).await;
    for (name, kind, version) in [
        ("neuralcf", "neuralcf", 1),
        ("gmf", "neuralcf", 7),
        ("items", "ease", 1),
        ("tastes", "embedding", 1),
    ] {
        let model = until_model(running.address, name, |model| model["version"] == version).await;
        assert_eq!((&model["kind"], &model["state"]), (&kind.into(), &"ready".into()), "{name}");
        // It ranks.
        first(running.address, name).await;
    }
    let models = get(running.address, "/v1/models").await.json();
    assert_eq!(about(&models, "mine")["kind"], "popularity");
    assert_eq!(about(&models, "next")["fallback"], "gmf");
    let names = models["items"].as_array().unwrap().iter().map(|model| model["name"].clone());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["emb", "popularity", "neuralcf", "gmf", "items", "mine", "tastes", "next"]
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_models_folder_and_foreign_embeddings_fail_the_start() {
    let mut nowhere = config();
    nowhere.ranking.models = Some("/nowhere".into());
    let error = sparrow_app::start(nowhere).await.unwrap_err().to_string();
    assert!(error.starts_with("the models folder /nowhere cannot be read: "), "{error}");

    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [(ITEM_FILE, &b"1:1 0\n"[..]), (USER_FILE, b"6:1 0\n")] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let mut foreign = config();
    foreign.data.embeddings = Some(folder.path().to_owned());
    let mut running = sparrow_app::start(foreign).await.unwrap();
    let error = running.loaded().await.unwrap_err().to_string();
    assert!(error.contains("need the data set that they were made from"), "{error}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ease_ranks_by_the_history() {
    let ids = demo_ids();
    let folder = tempfile::tempdir().unwrap();
    let ease = folder.path().join("ease");
    export(&ease, "001", &[(MODEL_FILE, &weights(&ids))]);
    let table = format!("[[models]]\nname = 'ease'\nkind = 'ease'\npath = '{}'\n", ease.display());
    let running = start(with_tables(&config(), &table)).await;
    let model = until_model(running.address, "ease", |model| model["version"] == 1).await;
    assert_eq!((&model["kind"], &model["fallback"]), (&"ease".into(), &"emb".into()));
    assert_eq!(first(running.address, "ease").await, u64::from(ids[5]));
    // The first model of this kind is a recall strategy too.
    let target = "/v1/users/6/recommendations?model=ease&exclude_seen=false&explain=true&size=1";
    let answer = get(running.address, target).await.json();
    assert_eq!(answer["items"][0]["movie"]["movieId"], ids[5]);
    let recalled_by = answer["items"][0]["recalledBy"].as_array().unwrap();
    assert!(recalled_by.contains(&"ease".into()), "{answer}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn similarity_follows_the_description_of_the_vectors() {
    let [short, long] = [3, 4].map(|at| DEMO.catalog.movies()[at].id.0);
    let items = format!("{short}:1 0\n{long}:3 4\n");
    let files = [(ITEM_FILE, items.as_bytes()), (USER_FILE, b"6:1 0\n")];
    let dot = EmbeddingMetadata::new("ials", Similarity::Dot, None).to_bytes();
    let folder = tempfile::tempdir().unwrap();
    let mut tables = String::new();
    for name in ["plain", "said"] {
        let path = folder.path().join(name);
        export(&path, "001", &files);
        if name == "said" {
            fs::write(path.join("001").join(METADATA_FILE), &dot).unwrap();
        }
        let path = path.display();
        writeln!(tables, "[[models]]\nname = '{name}'\nkind = 'embedding'\npath = '{path}'")
            .unwrap();
    }
    let running = start(with_tables(&config(), &tables)).await;
    for name in ["plain", "said"] {
        until_model(running.address, name, |model| model["version"] == 1).await;
    }
    assert_eq!(first(running.address, "plain").await, u64::from(short), "by cosine");
    assert_eq!(first(running.address, "said").await, u64::from(long), "by dot product");
    running.stop().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn pipes_and_devices_as_model_files_are_errors_and_do_not_block() {
    let (folder, config) = with_models();
    let neuralcf = folder.path().join("neuralcf");
    export(&neuralcf, "001", &[(MODEL_FILE, &model(0.1))]);
    let [pipe, device] = ["002", "003"].map(|version| neuralcf.join(version));
    for version in [&pipe, &device] {
        fs::create_dir(version).unwrap();
    }
    let made = std::process::Command::new("mkfifo").arg(pipe.join(MODEL_FILE)).status().unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("/dev/zero", device.join(MODEL_FILE)).unwrap();
    let running = start(config).await;
    let model_now = until_model(running.address, "neuralcf", |model| {
        model["version"] == 1 && reason_has(model, "it is a device, not a file")
    })
    .await;
    assert_eq!(model_now["state"], "ready");
    fs::remove_dir_all(&device).unwrap();
    until_model(running.address, "neuralcf", |model| {
        reason_has(model, "it is a named pipe, not a file")
    })
    .await;
    export(&neuralcf, "004", &[(MODEL_FILE, &model(0.4))]);
    until_model(running.address, "neuralcf", |model| model["version"] == 4).await;
    running.stop().await;
}

/// A model of eight layers of 1,024.
fn large_model() -> Vec<u8> {
    const WIDTH: usize = 1024;
    let embedding = || {
        let mut table = TableBuilder::default();
        table.push(1, &[1.0]).unwrap();
        Embedding { table: table.build().unwrap(), unknown: vec![0.0] }
    };
    let layer = |inputs: usize, outputs: usize| Dense {
        weight: vec![0.001; inputs * outputs],
        bias: vec![0.0; outputs],
    };
    let mut hidden = vec![layer(2, WIDTH)];
    hidden.extend((1..8).map(|_| layer(WIDTH, WIDTH)));
    let model = Model::new(embedding(), embedding(), Network::NeuralCf { hidden }, layer(WIDTH, 1))
        .unwrap();
    let metadata = Metadata::new(model.architecture());
    ModelFile { model, metadata }.to_bytes().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_model_is_refused_with_its_estimated_time() {
    let (folder, mut config) = with_models();
    config.ranking.trial_timeout = Duration::from_millis(100);
    let neuralcf = folder.path().join("neuralcf");
    export(&neuralcf, "001", &[(MODEL_FILE, &model(0.1))]);
    let running = start(config).await;
    until_model(running.address, "neuralcf", |model| model["version"] == 1).await;
    export(&neuralcf, "002", &[(MODEL_FILE, &large_model())]);
    let refused = async {
        until_model(running.address, "neuralcf", |model| {
            reason_has(model, "and its trial may take 100ms (ranking.trial_timeout)")
        })
        .await
    };
    let healthy = async {
        loop {
            let begin = std::time::Instant::now();
            assert_eq!(get(running.address, "/healthz").await.status, 200);
            let took = begin.elapsed();
            assert!(took < Duration::from_secs(2), "{took:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let refused = tokio::select! {
        refused = refused => refused,
        () = healthy => unreachable!("it goes on"),
    };
    assert_eq!((&refused["version"], &refused["state"]), (&1.into(), &"ready".into()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_different_runs_are_not_mixed() {
    let [first_movie, other_movie] = [3, 4].map(|at| DEMO.catalog.movies()[at].id.0);
    let items = |at: i32| format!("{first_movie}:1 {at}\n{other_movie}:1 {}\n", -at);
    let users = "6:0 1\n";
    let about = |items: &str| {
        let digests = [(ITEM_FILE, items), (USER_FILE, users)]
            .map(|(name, text)| (name.to_owned(), sparrow_files::sha256(text.as_bytes())));
        EmbeddingMetadata::new("ials", Similarity::Dot, None).with_files(digests).to_bytes()
    };
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(model.join(name), bytes).unwrap();
    write(ITEM_FILE, items(1).as_bytes());
    write(USER_FILE, users.as_bytes());
    write(METADATA_FILE, &about(&items(1)));
    let path = model.display();
    let table = format!("[[models]]\nname = 'set'\nkind = 'embedding'\npath = '{path}'");
    let running = start(with_tables(&config(), &table)).await;
    until_model(running.address, "set", |model| model["state"] == "ready").await;
    assert_eq!(first(running.address, "set").await, u64::from(first_movie));

    // A run of embed that was killed after its first file: the loaded vectors stay in use.
    let later = items(-1);
    write(ITEM_FILE, later.as_bytes());
    let told = "the version in the model's folder itself cannot be served";
    until_model(running.address, "set", |model| {
        model["reason"].as_str().is_some_and(|reason| reason.contains(told))
    })
    .await;
    assert_eq!(first(running.address, "set").await, u64::from(first_movie));
    // The next run completes.
    write(METADATA_FILE, &about(&later));
    until_model(running.address, "set", |model| model["reason"].is_null()).await;
    assert_eq!(first(running.address, "set").await, u64::from(other_movie));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn default_model_is_the_best_by_stored_validation_metrics() {
    let (folder, mut config) = with_models();
    config.ranking.default = "auto".to_owned();
    for (name, ndcg) in [("neuralcf", 0.25), ("other", 0.375)] {
        export(&folder.path().join(name), "1", &[(MODEL_FILE, &validated_model(ndcg))]);
    }
    let running = start(config.clone()).await;
    let models = get(running.address, "/v1/models").await.json();
    let reason = "the best validation nDCG@10 (0.3750) of neuralcf, other";
    assert_eq!((&models["default"], &models["defaultReason"]), (&json!("other"), &json!(reason)));
    running.stop().await;
    // A single model with metrics is compared with none.
    export(&folder.path().join("other"), "2", &[(MODEL_FILE, &model(0.1))]);
    let running = start(config).await;
    let models = get(running.address, "/v1/models").await.json();
    assert_eq!(models["default"], "emb");
}
