//! The behaviour of TensorFlow Serving that the ranker relies on; the fixture's model server must match it.

use serde_json::{Value, json};
use sparrow_test_tensorflow::ModelServer;
use sparrow_tf_serving::{Options, Pin};

use crate::data::{all, demo, options, ranker, remote, score};
use crate::neural_cf::{assert_close, in_process, train};

/// Sends a request; returns the status and the body.
fn send(server: &ModelServer, method: &str, suffix: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = server.request(method, &format!("/v1/models/m{suffix}"), &body).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[test]
#[ignore = "needs TensorFlow: run .ci/test"]
fn model_server_matches_tensorflow_serving() {
    let folder = tempfile::tempdir().unwrap();
    train(&demo(), folder.path(), 1);
    let server = ModelServer::start("m", folder.path());
    let predict = |body: Value| send(&server, "POST", ":predict", &body);

    let (status, rows) =
        predict(json!({"instances": [{"userId": 6, "movieId": 1}, {"userId": 6, "movieId": 2}]}));
    assert_eq!(status, 200);
    assert_eq!(rows["predictions"].as_array().unwrap().len(), 2);
    let (status, columns) = predict(json!({"inputs": {"userId": [6, 6], "movieId": [1, 2]}}));
    assert_eq!((status, &columns["outputs"]), (200, &rows["predictions"]));

    // Unknown keys are an error in rows, and ignored in columns.
    let (status, error) = predict(json!({"instances": [{"userId": 6, "movieId": 1, "more": 1}]}));
    assert_eq!(status, 400);
    assert!(error["error"].is_string());
    let more = json!({"inputs": {"userId": [6, 6], "movieId": [1, 2], "more": [1, 1]}});
    assert_eq!(predict(more), (200, columns));
    for invalid in [
        json!({"inputs": {"userId": [6]}}),
        json!({"inputs": {"userId": [6.0], "movieId": [1]}}),
        json!({"inputs": {"userId": ["6"], "movieId": [1]}}),
        json!({"inputs": {"userId": [3_000_000_000_u32], "movieId": [1]}}),
        json!({"instances": [{"userId": 6}]}),
        json!({"instances": []}),
        json!({"rows": []}),
        json!([1]),
    ] {
        let (status, error) = predict(invalid.clone());
        assert_eq!(status, 400, "{invalid}");
        assert!(error["error"].is_string(), "{invalid}");
    }

    let (status, known) = send(&server, "GET", "", &Value::Null);
    assert_eq!(status, 200);
    assert_eq!(known["model_version_status"][0]["version"], "1");
    assert_eq!(known["model_version_status"][0]["state"], "AVAILABLE");
    let (status, described) = send(&server, "GET", "/versions/1/metadata", &Value::Null);
    assert_eq!(status, 200);
    assert_eq!(described["model_spec"]["version"], "1");
    let signature = &described["metadata"]["signature_def"]["signature_def"]["serving_default"];
    assert_eq!(signature["inputs"]["userId"]["dtype"], "DT_INT32");
    assert_eq!(signature["inputs"]["userId"]["tensor_shape"]["dim"][0]["size"], "-1");
    for absent in ["/versions/2/metadata", "/versions/2"] {
        assert_eq!(send(&server, "GET", absent, &Value::Null).0, 404, "{absent}");
    }
    let (status, error) = send(&server, "POST", "/labels/none:predict", &json!({"inputs": {}}));
    assert_eq!(status, 400);
    assert!(error["error"].as_str().unwrap().contains("label"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TensorFlow: run .ci/test"]
async fn pinned_version_or_label_selects_the_model() {
    let catalog = demo();
    let folder = tempfile::tempdir().unwrap();
    let versions = [1, 3].map(|epochs| train(&catalog, folder.path(), epochs));
    let server = ModelServer::start_with("m", folder.path(), &["--versions=2", "--label=old=1"]);
    let movies = all(&catalog);
    for (pin, version) in [
        (None, 2),
        (Some(Pin::Version(1)), 1),
        (Some(Pin::Version(2)), 2),
        (Some(Pin::Label("old".to_owned())), 1),
    ] {
        let remote = remote(&server.url(), vec![], Options { pin, ..options() });
        assert_eq!(remote.check().await.unwrap(), version);
        let found = score(&ranker(&remote, &catalog), &catalog, 9, &movies).await.unwrap();
        let expected = in_process(&versions[version as usize - 1], 9, &movies).await;
        assert_close(&found, &expected, 1e-6);
    }
    let missing = Options { pin: Some(Pin::Version(7)), ..options() };
    let error = remote(&server.url(), vec![], missing).check().await.unwrap_err().to_string();
    assert!(error.contains("Servable not found") && error.ends_with("(404)"), "{error}");
}
