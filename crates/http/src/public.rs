//! What the public port tells of the machines behind it: nothing.

use std::net::IpAddr;

/// Who reads an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Anybody.
    Public,
    /// Whoever reaches the admin port.
    Operator,
}

impl Audience {
    /// What it may know of a message.
    pub(crate) fn message(self, message: String) -> String {
        match self {
            Self::Public => without_addresses(&message),
            Self::Operator => message,
        }
    }
}

/// A message without the addresses in it: they are for the log and for the admin port.
pub(crate) fn without_addresses(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for word in message.split_inclusive(char::is_whitespace) {
        let end = word.trim_end_matches(|c: char| c.is_whitespace() || ":,;.)\"'".contains(c));
        let bare = end.trim_start_matches(['(', '"', '\'']);
        if is_address(bare) {
            out.push_str(&end[..end.len() - bare.len()]);
            out.push('…');
            out.push_str(&word[end.len()..]);
        } else {
            out.push_str(word);
        }
    }
    out
}

/// What sort of store an address is of: `redis` for `redis://host`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lose_their_addresses_alone() {
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
            ("", ""),
        ] {
            assert_eq!(without_addresses(message), public);
        }
    }

    #[test]
    fn stores_have_a_kind() {
        for (address, kind) in [("redis://h:1", "redis"), ("file:/a", "file"), ("memory", "memory")]
        {
            assert_eq!(kind_of(address), kind);
        }
    }
}
