//! Compares `docs/tf-serving.md` with the code.

use std::fs;
use std::path::Path;

use sparrow_tf_serving::{Options, Type};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

#[test]
fn page_contains_the_configuration_of_the_fixtures() {
    let fixture = read("fixtures/tensorflow/embedding_mlp.toml");
    let (_, tables) = fixture.split_once("\n\n").unwrap();
    let page = read("docs/tf-serving.md");
    assert!(page.contains(&format!("```toml\n{tables}```\n")));
}

#[test]
fn page_lists_the_defaults() {
    let page = read("docs/tf-serving.md");
    let options = Options::default();
    for (key, default) in [
        ("`deadline`", format!("\"{}ms\"", options.deadline.as_millis())),
        ("`connections`", options.connections.to_string()),
        ("`queue`", options.queue.to_string()),
        ("`max_body`", format!("\"{}MiB\"", options.max_body >> 20)),
        ("`failure_rate`", options.circuit.failure_rate.to_string()),
        ("`window`", format!("\"{}s\"", options.circuit.window.as_secs())),
        ("`min_requests`", options.circuit.min_requests.to_string()),
        ("`check_interval`", format!("\"{}s\"", options.interval.as_secs())),
        ("`check_deadline`", format!("\"{}s\"", options.check_deadline.as_secs())),
    ] {
        let row = page.lines().find(|line| line.starts_with(&format!("| {key} |"))).unwrap();
        let documented = row.split(" | ").nth(1).unwrap().trim_matches('`');
        assert_eq!(documented, default, "{key}");
    }
    for name in ["int32", "int64", "float32", "string"] {
        assert!(name.parse::<Type>().is_ok() && page.contains(&format!("`{name}`")));
    }
}
