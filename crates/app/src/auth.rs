//! Loads credentials.

use sparrow_http::Server;

use crate::Error;
use crate::config::{Config, Keys};

/// The configured credentials, with those of the files.
pub(crate) fn load(config: &Config) -> Result<sparrow_http::Auth, Error> {
    let auth = &config.auth;
    let mut keys: Vec<_> = auth.keys.api_keys().collect();
    if let Some(path) = &auth.keys_file {
        let more = Keys::read(path).map_err(|error| {
            Error::Setting(format!("the keys file {} cannot be used: {error}", path.display()))
        })?;
        keys.extend(more.api_keys());
    }
    let tokens = auth.tokens.as_ref().map(|tokens| {
        tokens.read().map_err(|error| {
            let file = tokens.jwks_file.display();
            Error::Setting(format!("the file with keys of tokens {file} cannot be used: {error}"))
        })
    });
    Ok(sparrow_http::Auth {
        keys,
        tokens: tokens.transpose()?,
        anonymous_reads: auth.anonymous.reads(),
        anonymous_writes: config.live.open_writes,
        is_required: auth.keys_file.is_some(),
    })
}

/// The number of keys with which tokens are verified.
pub(crate) fn token_keys(auth: &sparrow_http::Auth) -> usize {
    auth.tokens.as_ref().map_or(0, |tokens| tokens.keys.count())
}

/// A new key, with its table for the configuration, which does not contain it.
pub(crate) fn new_key(name: &str, scopes: &[String]) -> Result<String, Error> {
    let (key, sha256) = sparrow_http::generate_key().map_err(Error::Setting)?;
    let table = Keys::table(name, &sha256, scopes).map_err(Error::Setting)?;
    Ok(format!(
        "# The key, for the client. It is not stored anywhere:\n# {key}\n\n# For the configuration:\n{table}"
    ))
}

/// Puts the credentials of the configuration and its files in force. If they cannot be read, those in force stay.
pub(crate) fn reload(config: &Config, server: &Server) -> Result<(), Error> {
    let auth = load(config)?;
    let token_keys = token_keys(&auth);
    tracing::info!(keys = auth.keys.len(), token_keys, "the credentials were read again");
    server.set_auth(auth);
    Ok(())
}
