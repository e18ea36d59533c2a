use crate::Error;

/// What Redis itself said about a command; `None` for errors between it and us.
pub(super) fn said_by_server(error: &fred::error::Error) -> Option<String> {
    use fred::error::ErrorKind;
    let code = error.details().split(' ').next().unwrap_or_default();
    // Redis starts its errors with a code in capitals; the library's own are sentences.
    let coded = code.len() > 2 && code.chars().all(|c| c.is_ascii_uppercase() || c == '-');
    let own = matches!(error.kind(), ErrorKind::IO | ErrorKind::Tls | ErrorKind::Timeout);
    (coded && !own).then(|| error.details().to_owned())
}

/// What an error means that Redis answered with.
pub(in crate::redis) fn refusal(address: &str, says: &str) -> Error {
    let store = address.to_owned();
    let code = says.split(' ').next().unwrap_or_default();
    let meaning = match code {
        "LOADING" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" | "MASTERDOWN" => {
            return Error::Unavailable { store, what: says.to_owned() };
        }
        "OOM" => "it has no memory left",
        "READONLY" => "it is a read-only replica",
        "WRONGPASS" => "user or password is wrong",
        "NOAUTH" => "it asks for a password",
        "NOPERM" => "the user may not do this",
        "MISCONF" | "NOREPLICAS" => "it takes no writes",
        "MOVED" | "ASK" => "it is a node of a cluster, whose address starts with redis-cluster://",
        _ => "it answered",
    };
    Error::Refused { store, what: format!("{meaning} ({says})") }
}

pub(super) fn translate(address: &str, error: &fred::error::Error) -> Error {
    use fred::error::ErrorKind;
    if let Some(says) = said_by_server(error) {
        return refusal(address, &says);
    }
    let store = address.to_owned();
    let details = error.details();
    match error.kind() {
        ErrorKind::Timeout => Error::TimedOut { store },
        ErrorKind::Auth => Error::Refused { store, what: details.to_owned() },
        _ => Error::Unavailable { store, what: plain_words(details) },
    }
}

/// The library prints errors of the system for debugging: `Os { code: 111, kind: …, message: "…" }`,
/// `Custom { kind: …, error: "…" }`.
fn plain_words(details: &str) -> String {
    let inner = ["message: ", "error: "].iter().find_map(|mark| {
        let (_, rest) = details.strip_suffix(" }")?.split_once(mark)?;
        Some(rest.trim_matches('"'))
    });
    let words = inner.unwrap_or(details).trim_end_matches('.');
    if words.contains("invalid peer certificate") {
        format!("its certificate is not trusted ({words})")
    } else {
        words.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_put_in_plain_words() {
        let refused = "Os { code: 111, kind: ConnectionRefused, message: \"Connection refused\" }";
        assert_eq!(plain_words(refused), "Connection refused");
        let unknown = "Custom { kind: Uncategorized, error: \"failed to lookup address\" }";
        assert_eq!(plain_words(unknown), "failed to lookup address");
        assert_eq!(plain_words("Connection closed."), "Connection closed");
        let tls = "invalid peer certificate: UnknownIssuer";
        let words = "its certificate is not trusted (invalid peer certificate: UnknownIssuer)";
        assert_eq!(plain_words(tls), words);
        let oom = refusal("redis://h:1", "OOM command not allowed");
        assert!(oom.to_string().contains("no memory left (OOM command not allowed)"), "{oom}");
        assert!(matches!(refusal("h", "LOADING Redis is loading"), Error::Unavailable { .. }));
    }
}
