use std::fs;

use super::Config;

mod documentation;
mod layers;
mod models;
mod strategies;

/// Merges a file, an environment and one flag. Errors contain `FILE` instead of the path of the file.
pub(in crate::config) fn layered(
    file: &str,
    environment: &[(&str, &str)],
) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparrow.toml");
    fs::write(&path, file).unwrap();
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let flags = [("listen", "127.0.0.1:7".to_owned())];
    Config::layered(Some(&path), environment, &flags).map_err(|error| {
        let whole = crate::error::Chain(&error).to_string();
        whole.replace(&path.display().to_string(), "FILE")
    })
}
