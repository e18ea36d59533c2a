//! Masks secrets in the configuration that operators see.

use toml::{Table, Value};

use super::Config;

const MASK: &str = "***";

/// The ends of the names of keys whose values are secret.
const SECRET: [&str; 6] = ["password", "secret", "token", "sha256", "_key", "_salt"];

/// A configuration as TOML, without passwords in URLs and without secret values.
pub(super) fn masked(config: &Config) -> String {
    let mut table = Table::try_from(config).unwrap_or_default();
    mask_table(&mut table);
    toml::to_string(&table).unwrap_or_default()
}

fn mask_table(table: &mut Table) {
    for (key, value) in table {
        let is_secret = key == "key" || SECRET.iter().any(|end| key.ends_with(end));
        mask(value, is_secret);
    }
}

fn mask(value: &mut Value, is_secret: bool) {
    match value {
        Value::Table(table) => mask_table(table),
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, is_secret)),
        Value::String(text) if is_secret => MASK.clone_into(text),
        Value::String(text) => {
            if let Some(masked) = without_credentials(text) {
                *text = masked;
            }
        }
        _ => {}
    }
}

/// A URL whose user and password are masked; `None` if it has none.
fn without_credentials(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let (_, host) = authority.rsplit_once('@')?;
    Some(format!("{scheme}://{MASK}@{host}{}", &rest[authority.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_urls_and_secret_values_are_masked() {
        let text = "url = \"https://me:p@ss@models:8501/v1?a=b\"\nplain = \"http://models/a@b\"\n\
                    [[auth]]\nsha256 = \"0a1b\"\nname = \"ci\"\nkey = [\"k\"]\n";
        let mut table: Table = text.parse().unwrap_or_default();
        mask_table(&mut table);
        let shown = toml::to_string(&table).unwrap_or_default();
        for expected in [
            "\"https://***@models:8501/v1?a=b\"",
            "http://models/a@b",
            "\"ci\"",
            "sha256 = \"***\"",
        ] {
            assert!(shown.contains(expected), "{shown}");
        }
        assert!(!shown.contains("p@ss") && !shown.contains("0a1b") && !shown.contains("\"k\""));
    }
}
