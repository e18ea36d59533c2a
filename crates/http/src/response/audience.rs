//! The public port exposes no internal addresses.

use std::net::IpAddr;

/// The readers of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// All clients.
    Public,
    /// Clients of the admin port.
    Operator,
}

impl Audience {
    /// The message, without addresses for the public.
    pub(crate) fn message(self, message: String) -> String {
        match self {
            Self::Public => without_addresses(&message),
            Self::Operator => message,
        }
    }
}

/// A message without the addresses and folders in it, which only operators see. The last part of a path stays.
fn without_addresses(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for word in message.split_inclusive(char::is_whitespace) {
        let end = word.trim_end_matches(|c: char| c.is_whitespace() || ":,;.)\"'".contains(c));
        let bare = end.trim_start_matches(['(', '"', '\'']);
        if is_address(bare) {
            out.push_str(&end[..end.len() - bare.len()]);
            out.push('…');
            out.push_str(&word[end.len()..]);
        } else if let Some(name) = name_in_path(bare) {
            out.push_str(&end[..end.len() - bare.len()]);
            out.push_str(name);
            out.push_str(&word[end.len()..]);
        } else {
            out.push_str(word);
        }
    }
    out
}

/// The kind of the store at an address: `redis` for `redis://host`.
pub(crate) fn kind_of(address: &str) -> &str {
    address.split_once(':').map_or(address, |(kind, _)| kind)
}

fn is_address(word: &str) -> bool {
    if word.contains("://") || word.starts_with("file:") || word.parse::<IpAddr>().is_ok() {
        return true;
    }
    let Some((host, port)) = word.rsplit_once(':') else { return false };
    let of_host = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
    !host.is_empty() && host.chars().all(of_host) && port.parse::<u16>().is_ok()
}

/// The last part of a path that begins at a root or at this folder.
fn name_in_path(word: &str) -> Option<&str> {
    let is_path = ["/", "./", "../"].iter().any(|start| word.starts_with(start))
        || std::path::Path::new(word).is_absolute();
    let trimmed = word.trim_end_matches('/');
    let (_, name) = trimmed.rsplit_once(['/', std::path::MAIN_SEPARATOR])?;
    is_path.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_removed_from_messages() {
        for (message, public) in [
            (
                "the feature store redis://10.0.0.7:6379/2 is unavailable: refused (10.0.0.7:6379)",
                "the feature store … is unavailable: refused (…)",
            ),
            (
                "cannot connect to http://models:8501/v1/models/m: timed out",
                "cannot connect to …: timed out",
            ),
            ("file:/var/lib/users.redb holds no movies", "… holds no movies"),
            ("no route to 10.0.0.7, nor to \"[::1]:80\".", "no route to …, nor to \"…\"."),
            (
                "version 4: item 7: it has 3 dimensions, not 4",
                "version 4: item 7: it has 3 dimensions, not 4",
            ),
            (
                "cannot read \"/var/lib/sparrow/emb/userEmb.csv\": No such file",
                "cannot read \"userEmb.csv\": No such file",
            ),
            ("the folder ../models/ease/ is empty (/srv/a).", "the folder ease is empty (a)."),
            ("3/4 of them, and/or a model/name", "3/4 of them, and/or a model/name"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(without_addresses(message), public);
        }
    }

    #[test]
    fn the_kind_of_a_store_is_the_scheme_of_its_address() {
        for (address, kind) in [("redis://h:1", "redis"), ("file:/a", "file"), ("memory", "memory")]
        {
            assert_eq!(kind_of(address), kind);
        }
    }
}
