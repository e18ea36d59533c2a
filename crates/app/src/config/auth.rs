//! `[auth]`: keys, and tokens of users.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sparrow_http::{AnonymousReads, ApiKey, Scopes, TokenKeys};
use toml::{Table, Value};

use super::TableProblem;

/// The credentials that the server accepts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Auth {
    /// What clients without credentials may read, once there are keys.
    pub anonymous: Anonymous,
    /// A file with more keys, which is read again when it changes.
    pub keys_file: Option<PathBuf>,
    /// The accepted tokens of users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// The keys.
    #[serde(skip_serializing_if = "Keys::is_empty")]
    pub keys: Keys,
}

/// What clients without credentials may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// Nothing but health and the documents of pages.
    #[default]
    Nothing,
    /// Movies.
    Catalog,
    /// Everything.
    All,
}

impl Anonymous {
    pub(crate) const fn reads(self) -> AnonymousReads {
        match self {
            Self::Nothing => AnonymousReads::Nothing,
            Self::Catalog => AnonymousReads::Catalog,
            Self::All => AnonymousReads::All,
        }
    }
}

/// The table `[auth.tokens]`: tokens of an issuer, each of which permits the data of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tokens {
    /// The claim `iss`. Required.
    pub issuer: String,
    /// The claim `aud`, or one of its values. Required.
    pub audience: String,
    /// The file with the public keys of the issuer, a JWK Set, which is read again when it changes. Required.
    pub jwks_file: PathBuf,
    /// The claim with the id of the user.
    pub user_claim: String,
    /// The tolerated difference between the clocks of the issuer and of the server.
    #[serde(with = "crate::duration::or_zero")]
    pub leeway: Duration,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            jwks_file: PathBuf::new(),
            user_claim: "sub".to_owned(),
            leeway: Duration::from_mins(1),
        }
    }
}

impl Tokens {
    /// A key that is missing or empty, and what it is for.
    pub(super) fn missing(&self) -> Option<(&'static str, &'static str)> {
        let all = [
            (self.issuer.is_empty(), "issuer", "the claim iss of the tokens"),
            (self.audience.is_empty(), "audience", "the claim aud of the tokens"),
            (
                self.jwks_file.as_os_str().is_empty(),
                "jwks_file",
                "the file with the public keys of the issuer",
            ),
            (self.user_claim.is_empty(), "user_claim", "the claim with the id of the user"),
        ];
        all.into_iter().find(|(is_missing, ..)| *is_missing).map(|(_, key, what)| (key, what))
    }

    /// The tokens as the server verifies them, with the keys of the file.
    pub(crate) fn read(&self) -> Result<sparrow_http::Tokens, String> {
        let text = super::read_text(&self.jwks_file).map_err(|error| error.to_string())?;
        Ok(sparrow_http::Tokens {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            user_claim: self.user_claim.clone(),
            leeway: self.leeway,
            keys: TokenKeys::parse(&text)?,
        })
    }
}

impl Auth {
    /// The files with keys.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.keys_file.iter().chain(self.tokens.iter().map(|tokens| &tokens.jwks_file))
    }
}

/// The tables of `[[auth.keys]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Keys(Vec<KeyTable>);

/// A key.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct KeyTable {
    name: String,
    sha256: String,
    scopes: Vec<String>,
}

/// Without the digest.
impl std::fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyTable")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

impl Keys {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A table with all keys, for the list of known keys.
    pub(super) fn table_of_all_keys() -> Table {
        let keys = ["name", "sha256", "scopes"];
        keys.into_iter().map(|key| (key.to_owned(), Value::Boolean(false))).collect()
    }

    /// Reads tables with this path, such as `auth.keys`.
    pub(super) fn new(path: &str, tables: &[Table]) -> Result<Self, TableProblem> {
        let mut keys = Vec::with_capacity(tables.len());
        for (index, table) in tables.iter().enumerate() {
            let problem = |key: &str, message: &str| TableProblem {
                key: format!("{path}[{index}].{key}"),
                message: message.to_owned(),
            };
            // One key at a time, so that an error names its key.
            let (mut read, mut key) = (Table::new(), KeyTable::default());
            for (name, value) in table {
                read.insert(name.clone(), value.clone());
                key = KeyTable::deserialize(read.clone())
                    .map_err(|error| problem(name, error.message()))?;
            }
            if key.name.is_empty() || key.name.chars().count() > 100 {
                return Err(problem("name", "a key has a name of 1 to 100 characters"));
            }
            if key.scopes.is_empty() {
                return Err(problem("scopes", "a key has scopes: read, write or admin"));
            }
            let scopes = key.scopes().map_err(|message| problem("scopes", &message))?;
            ApiKey::new(&key.name, &key.sha256, scopes)
                .map_err(|message| problem("sha256", &message))?;
            let same = |other: &KeyTable| other.sha256.eq_ignore_ascii_case(&key.sha256);
            if keys.iter().any(same) {
                return Err(problem("sha256", "another table has the same digest"));
            }
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// The table of a key as text.
    pub(crate) fn table(name: &str, sha256: &str, scopes: &[String]) -> Result<String, String> {
        let key =
            KeyTable { name: name.to_owned(), sha256: sha256.to_owned(), scopes: scopes.to_vec() };
        let table = Table::try_from(&key).map_err(|error| error.to_string())?;
        Self::new("auth.keys", std::slice::from_ref(&table)).map_err(|problem| problem.message)?;
        Ok(format!("[[auth.keys]]\n{table}"))
    }

    /// Reads a file of `[[keys]]`. The error names the key in it.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = super::read_text(path).map_err(|error| error.to_string())?;
        // The message of the parser contains a part of the text, which may be secret.
        let mut table = text.parse::<Table>().map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let line = text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
            format!("line {line} is not valid TOML")
        })?;
        let tables = match table.remove("keys") {
            None => Vec::new(),
            Some(Value::Array(values)) => values
                .into_iter()
                .map(|value| match value {
                    Value::Table(table) => Ok(table),
                    _ => Err("keys: each element must be a table".to_owned()),
                })
                .collect::<Result<_, _>>()?,
            Some(_) => return Err("keys must be an array of tables: [[keys]]".to_owned()),
        };
        if let Some(other) = table.keys().next() {
            return Err(format!("{other:?} is unknown: the file consists of [[keys]]"));
        }
        Self::new("keys", &tables).map_err(|problem| problem.to_string())
    }

    /// The keys as the server checks them.
    pub(crate) fn api_keys(&self) -> impl Iterator<Item = ApiKey> {
        // Checked when the tables were read.
        self.0.iter().filter_map(|key| ApiKey::new(&key.name, &key.sha256, key.scopes().ok()?).ok())
    }
}

impl KeyTable {
    fn scopes(&self) -> Result<Scopes, String> {
        let mut names = self.scopes.iter();
        names.try_fold(Scopes::NONE, |all, name| Ok(all.and(name.parse::<Scopes>()?)))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::tests::layered;
    use super::*;

    const DIGEST: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    #[test]
    fn keys_are_read_and_printed_again() {
        let text = format!(
            "[auth]\nanonymous = \"catalog\"\n[[auth.keys]]\nname = \"app\"\nsha256 = \"{DIGEST}\"\n\
             scopes = [\"read\", \"write\"]\n"
        );
        let config = layered(&text, &[]).unwrap();
        assert_eq!(config.auth.anonymous, Anonymous::Catalog);
        let keys: Vec<ApiKey> = config.auth.keys.api_keys().collect();
        assert_eq!((keys[0].name(), keys[0].scopes()), ("app", Scopes::READ.and(Scopes::WRITE)));
        assert_eq!(layered(&config.to_toml(), &[]).unwrap().auth, config.auth);
        assert!(!format!("{config:?}").contains(DIGEST));
    }

    #[test]
    fn invalid_keys_are_named_without_what_may_be_a_secret() {
        let table = |rest: &str| format!("[[auth.keys]]\nname = \"app\"\n{rest}");
        let digest = format!("sha256 = \"{DIGEST}\"\n");
        for (text, key) in [
            ("[[auth.keys]]\n".to_owned(), "auth.keys[0].name"),
            (table(&digest), "auth.keys[0].scopes"),
            (table("sha256 = \"sparrow_secret\"\nscopes = [\"read\"]"), "auth.keys[0].sha256"),
            (table(&format!("{digest}scopes = [\"root\"]")), "auth.keys[0].scopes"),
            (table(&format!("{digest}scope = [\"read\"]")), "auth.keys[0].scope"),
            (table(&format!("{digest}scopes = [\"read\"]\n")).repeat(2), "auth.keys[1].sha256"),
            ("[auth]\nanonymous = \"some\"".to_owned(), "auth.anonymous"),
        ] {
            let error = layered(&text, &[]).unwrap_err();
            assert!(error.contains(key) && !error.contains("sparrow_secret"), "{text}: {error}");
        }
    }

    #[test]
    fn tokens_have_defaults_and_required_keys() {
        let lines = [
            "issuer = \"https://login.example\"\n",
            "audience = \"sparrow\"\n",
            "jwks_file = \"jwks.json\"\n",
        ];
        let text = |lines: &[&str]| format!("[auth.tokens]\n{}", lines.concat());
        let config = layered(&text(&lines), &[]).unwrap();
        let tokens = config.auth.tokens.clone().unwrap();
        assert_eq!((&*tokens.user_claim, tokens.leeway), ("sub", Duration::from_mins(1)));
        assert_eq!(layered(&config.to_toml(), &[]).unwrap().auth, config.auth);
        for (lines, key) in [
            (&lines[1..], "auth.tokens.issuer"),
            (&lines[..1], "auth.tokens.audience"),
            (&lines[..2], "auth.tokens.jwks_file"),
            (&["user_claim = \"\"", "\n", lines[0], lines[1], lines[2]], "auth.tokens.user_claim"),
            (&["issuer = 1"], "auth.tokens.issuer"),
            (&["leeway = 60"], "auth.tokens.leeway"),
            (&["key_file = \"jwks.json\""], "auth.tokens.key_file"),
        ] {
            let error = layered(&text(lines), &[]).unwrap_err();
            assert!(error.contains(key), "{lines:?}: {error}");
        }
        let from_environment = [("SPARROW__AUTH__TOKENS__ISSUER", "https://login.example")];
        let error = layered("", &from_environment).unwrap_err();
        assert!(error.contains("auth.tokens.audience in the environment"), "{error}");
    }

    #[test]
    fn errors_of_a_keys_file_name_the_line_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        for (text, what) in [
            ("[[keys]]\nname = \"a\"\nsha256 = sparrow_secret\n", "line 3"),
            ("keys = 1\n", "array of tables"),
            ("[[key]]\nname = \"a\"\n", "\"key\" is unknown"),
            (
                "[[keys]]\nname = \"a\"\nsha256 = \"sparrow_secret\"\nscopes = [\"read\"]",
                "keys[0].sha256",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Keys::read(&path).unwrap_err();
            assert!(error.contains(what) && !error.contains("sparrow_secret"), "{text}: {error}");
        }
        std::fs::write(&path, "").unwrap();
        assert_eq!(Keys::read(&path), Ok(Keys::default()));
    }
}
