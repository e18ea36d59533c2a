//! Experiments on recommendations, from the configuration to the log.

use std::net::SocketAddr;

use serde_json::{Value, json};
use sparrow_app::Config;
use sparrow_live::{Action, Exposure, Limits, LiveStore as _, Sequence, Write};
use sparrow_store::FileLive;

use crate::live::ids;
use crate::support::{config, get};

/// The configuration with the experiments and recall of these tables, and a file for live data.
fn configured(tables: &str, folder: &tempfile::TempDir) -> Config {
    let file = folder.path().join("sparrow.toml");
    std::fs::write(&file, tables).unwrap();
    let Config { experiments, recall, .. } = Config::layered(Some(&file), [], &[]).unwrap();
    let mut config = Config { experiments, recall, ..config() };
    config.live.path = Some(folder.path().join("live.redb"));
    config
}

async fn ask(address: SocketAddr, user: u32, query: &str) -> Value {
    let answer = get(address, &format!("/v1/users/{user}/recommendations?size=10{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// The exposures in the file of a server that has ended.
async fn exposures(folder: &tempfile::TempDir) -> Vec<(Write, Exposure)> {
    let live = FileLive::open(&folder.path().join("live.redb"), Limits::default()).unwrap();
    let log = live.log(0, Sequence::default(), 1000).await.unwrap();
    let exposure = |write: Write| match write.action.clone() {
        Action::Expose(shown) => Some((write, *shown)),
        _ => None,
    };
    log.into_iter().filter_map(|entry| exposure(entry.write)).collect()
}

const MODELS: &str = "[[experiments]]\nname = \"models\"\n[[experiments.variants]]\nname = \"a\"\n\
                      model = \"emb\"\n[[experiments.variants]]\nname = \"b\"\nmodel = \"ease\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn users_keep_their_variants_and_are_exposed_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = sparrow_app::start(configured(MODELS, &folder)).await.unwrap();
    running.loaded().await.unwrap();
    let address = running.address;
    let mut users = [0, 0];
    for user in 1..=20 {
        let first = ask(address, user, "").await;
        let variant = first["experiments"][0]["variant"].as_str().unwrap();
        users[usize::from(variant == "b")] += 1;
        assert_eq!(first["experiments"][0]["name"], "models");
        let model = if variant == "a" { "emb" } else { "ease" };
        let named = ask(address, user, &format!("&model={model}")).await;
        assert_eq!(named.get("experiments"), None, "a named model is not part of an experiment");
        assert_eq!(ids(&named), ids(&first), "user {user} got {variant}");
        let again = ask(address, user, "").await;
        assert_eq!(again["experiments"], first["experiments"]);
    }
    assert!(users[0] > 2 && users[1] > 2, "{users:?}");
    // A test of a variant is not logged.
    let test = ask(address, 1, "&variant=models:b").await;
    assert_eq!(test["experiments"], json!([{"name": "models", "variant": "b"}]));
    let answer = get(address, "/v1/users/1/recommendations?variant=models:c").await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("models:a"), "{}", answer.body);
    // The endpoint of SparrowRecSys has a header.
    let answer = get(address, "/getrecforyou?id=1").await;
    assert!(answer.head.contains("x-sparrow-experiments: models:"), "{}", answer.head);

    // Replaced without a restart, except by experiments on models that this server does not have.
    let other = "[[models]]\nname = \"other\"\nkind = \"tf-serving\"\n\
                 url = \"http://127.0.0.1:9/v1/models/other\"\n";
    let unknown = configured(&format!("{other}{}", MODELS.replace("ease", "other")), &folder);
    let error = running.reload(&unknown).unwrap_err().to_string();
    assert!(
        error.contains("experiments[0].variants[1].model") && error.contains("other"),
        "{error}"
    );
    assert_eq!(ask(address, 1, "").await["experiments"][0]["name"], "models");
    running.reload(&configured("", &folder)).unwrap();
    assert_eq!(ask(address, 1, "").await.get("experiments"), None);
    running.stop().await;

    let found = exposures(&folder).await;
    assert_eq!(found.len(), 20);
    for (write, shown) in &found {
        let model = if &*shown.variant == "a" { "emb" } else { "ease" };
        assert!(write.recommendation.is_some() && &*shown.experiment == "models");
        // Some users have no vector: their exposure names the model that ranked.
        assert!(&*shown.model == model || shown.degraded, "{shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_rank_the_candidates_of_their_recall_mixes() {
    let folder = tempfile::tempdir().unwrap();
    let mix = |name: &str, strategy: &str| {
        format!(
            "[[recall.mixes]]\nname = \"{name}\"\ncandidates = 60\n\
             strategies = [{{ strategy = \"{strategy}\", share = 60 }}]\n"
        )
    };
    let mixes = mix("best", "rating") + &mix("newest", "recency");
    let experiment = "[[experiments]]\nname = \"recall\"\n[[experiments.variants]]\nname = \"a\"\n\
                      recall = \"best\"\n[[experiments.variants]]\nname = \"b\"\nrecall = \"newest\"\n";
    let config = configured(&format!("{mixes}{experiment}"), &folder);
    let mut running = sparrow_app::start(config).await.unwrap();
    running.loaded().await.unwrap();
    let address = running.address;
    let mut users = [0, 0];
    for user in 1..=20 {
        let answer = ask(address, user, "&explain=true").await;
        let variant = answer["experiments"][0]["variant"].as_str().unwrap();
        users[usize::from(variant == "b")] += 1;
        assert_eq!(answer["candidates"], 60, "user {user} got {variant}");
        let strategy = if variant == "a" { "rating" } else { "recency" };
        for item in answer["items"].as_array().unwrap() {
            assert_eq!(item["recalledBy"], json!([strategy]), "user {user} got {variant}");
        }
        // What a request sets itself is not part of an experiment.
        let all = ask(address, user, "&candidates=all").await;
        assert_eq!(all.get("experiments"), None, "user {user}");
    }
    assert!(users[0] > 2 && users[1] > 2, "{users:?}");

    // Other experiments can have the mixes that the server has started with.
    let unknown = format!("{}{experiment}", mix("best", "rating") + &mix("new", "recency"));
    let unknown = unknown.replace("recall = \"newest\"", "recall = \"new\"");
    let error = running.reload(&configured(&unknown, &folder)).unwrap_err().to_string();
    let expected = "experiments[0].variants[1].recall in the new configuration: no table of \
                    [[recall.mixes]] is named \"new\"";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(ask(address, 1, "").await["experiments"][0]["name"], "recall");
    let swapped = experiment
        .replace("\"best\"", "\"newest\"")
        .replace("name = \"recall\"", "name = \"more\"");
    running.reload(&configured(&format!("{mixes}{swapped}"), &folder)).unwrap();
    let answer = ask(address, 1, "&variant=more:a&explain=true").await;
    assert_eq!(answer["items"][0]["recalledBy"], json!(["recency"]), "{answer}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn degraded_answers_are_logged_with_the_model_that_ranked() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = sparrow_app::start(configured(MODELS, &folder)).await.unwrap();
    running.loaded().await.unwrap();
    let mut degraded = 0;
    // No model has a vector or ratings of these users.
    for user in 900_001..=900_020 {
        let answer = ask(running.address, user, "").await;
        degraded += usize::from(answer["degraded"] == true);
    }
    running.stop().await;
    let found = exposures(&folder).await;
    let shown = found.iter().filter(|(_, shown)| shown.degraded);
    let logged = shown.clone().count();
    assert!(degraded > 0 && logged == degraded, "{degraded} degraded, {logged} logged: {found:?}");
    for (_, shown) in shown {
        assert!(!["emb", "ease"].contains(&&*shown.model), "{shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interleaved_lists_name_and_log_the_model_of_each_movie() {
    let folder = tempfile::tempdir().unwrap();
    let tables = "[[experiments]]\nname = \"lists\"\n[[experiments.variants]]\nname = \"a\"\n\
                  interleave = [\"emb\", \"popularity\"]\n[[experiments.variants]]\nname = \"b\"\n\
                  interleave = [\"popularity\", \"emb\"]\n";
    let mut running = sparrow_app::start(configured(tables, &folder)).await.unwrap();
    running.loaded().await.unwrap();
    let answer = ask(running.address, 6, "").await;
    let items = answer["items"].as_array().unwrap();
    let of = |model: &str| items.iter().filter(|item| item["rankedBy"] == model).count();
    assert_eq!((items.len(), of("emb"), of("popularity")), (10, 5, 5), "{answer}");
    // Of each model, the order is its own.
    let emb = ids(&ask(running.address, 6, "&model=emb").await);
    let chosen: Vec<&Value> = items
        .iter()
        .filter(|item| item["rankedBy"] == "emb")
        .map(|item| &item["movie"]["movieId"])
        .collect();
    let positions: Vec<_> =
        chosen.iter().map(|id| emb.iter().position(|known| known == *id)).collect();
    assert!(positions.is_sorted() && positions[0].is_some(), "{positions:?}");
    ask(running.address, 6, "").await;
    running.stop().await;
    let found = exposures(&folder).await;
    assert_eq!(found.len(), 2, "each list is logged");
    let credited: Vec<_> = found[0].1.credited().map(|(id, model)| json!([id.0, model])).collect();
    let shown: Vec<_> =
        items.iter().map(|item| json!([item["movie"]["movieId"], item["rankedBy"]])).collect();
    assert_eq!(credited, shown);
}
