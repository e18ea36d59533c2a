//! The access log from its configuration.

use std::sync::Arc;

use sparrow_http::{AccessLines, AccessLog, LoggedUsers};
use sparrow_process::Stream;

use crate::Error;
use crate::config::{self, LogUsers};

/// The size of the largest key file.
const LONGEST_KEY: u64 = 4096;

/// The size of the shortest key: with fewer bytes, the users behind hashes could be found by trying keys.
const SHORTEST_KEY: usize = 16;

#[derive(Debug)]
struct Output(Stream);

impl AccessLines for Output {
    fn write(&self, line: Vec<u8>) {
        self.0.send(line);
    }
}

/// The access log to a stream; `None` if it is off.
pub(crate) fn open(
    config: &config::AccessLog,
    stream: &Stream,
) -> Result<Option<AccessLog>, Error> {
    if config.sample <= 0.0 {
        return Ok(None);
    }
    let users = match config.users {
        LogUsers::Off => LoggedUsers::Off,
        LogUsers::Plain => LoggedUsers::Plain,
        LogUsers::Hashed => LoggedUsers::hashed(&key(config).map_err(Error::Setting)?),
    };
    let lines = Arc::new(Output(stream.clone()));
    Ok(Some(AccessLog { sample: config.sample, users, addresses: config.addresses, lines }))
}

fn key(config: &config::AccessLog) -> Result<Vec<u8>, String> {
    let file = config.users_key_file.as_ref();
    let file = file.ok_or("access_log.users = \"hashed\" needs access_log.users_key_file")?;
    let key = sparrow_files::read(file, LONGEST_KEY)
        .map_err(|error| format!("access_log.users_key_file {}: {error}", file.display()))?;
    let key = key.trim_ascii();
    if key.len() < SHORTEST_KEY {
        return Err(format!(
            "access_log.users_key_file {}: a key has at least {SHORTEST_KEY} bytes, this one has {}",
            file.display(),
            key.len()
        ));
    }
    Ok(key.to_vec())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn hashed_users_need_a_key_of_some_length() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let mut config = config::AccessLog { users: LogUsers::Hashed, ..Default::default() };
        assert!(key(&config).unwrap_err().contains("users_key_file"));
        config.users_key_file = Some(file.clone());
        assert!(key(&config).unwrap_err().contains("key"));
        std::fs::write(&file, "short\n").unwrap();
        assert!(key(&config).unwrap_err().contains("at least 16 bytes, this one has 5"));
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        assert_eq!(key(&config).unwrap(), b"0123456789abcdef");
    }
}
