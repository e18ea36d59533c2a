use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::layered;
use crate::config::keys::{flatten, known_keys, without_indices};
use crate::config::{Config, Models};

/// Keys without a default are in comments.
#[test]
fn the_default_file_contains_all_keys_with_their_defaults() {
    let text = include_str!("../../../../../docs/sparrow.toml");
    let parsed = text.parse::<Table>().unwrap();
    assert_eq!(Config::deserialize(parsed.clone()).unwrap(), Config::default());
    let uncommented: String = text
        .lines()
        .map(|line| line.strip_prefix("#= ").unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let all: BTreeMap<String, Value> = flatten(uncommented.parse::<Table>().unwrap())
        .into_iter()
        .map(|(key, value)| (without_indices(&key), value))
        .collect();
    // A model has a version or a label.
    let known = known_keys();
    let known = known.keys().filter(|key| *key != "models[].label");
    assert_eq!(all.keys().collect::<Vec<_>>(), known.collect::<Vec<_>>());

    // The examples are valid, and the printed configuration parses equally.
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("genres.txt");
    fs::write(&words, "Comedy\nDrama\n").unwrap();
    let examples = uncommented.replace("genres.txt", &words.display().to_string());
    let config: Config = toml::from_str(&examples).unwrap();
    let printed = config.to_toml();
    assert_eq!(toml::from_str::<Config>(&printed).unwrap(), config, "{printed}");
    assert_eq!(layered(&printed, &[]).unwrap().models, config.models);
}

#[test]
fn tables_in_the_documentation_are_valid() {
    let tables = include_str!("../../../../../fixtures/tensorflow/embedding_mlp.toml");
    let pages = [
        include_str!("../../../../../docs/models.md"),
        include_str!("../../../../../docs/tf-serving.md"),
    ];
    let blocks = pages.iter().flat_map(|page| page.split("```toml\n").skip(1));
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let shown: Vec<&str> = blocks.filter(|block| block.contains("[[models]]")).collect();
    assert!(shown.len() >= 3, "{shown:?}");
    for tables in shown.into_iter().chain([tables]) {
        let models = layered(tables, &[]).unwrap_or_else(|e| panic!("{e} in {tables}")).models;
        assert!(models.all().len() > Models::default().all().len(), "{tables}");
    }
}
