use crate::Error;

/// The error message of Redis itself; `None` for connection and library errors.
pub(super) fn server_message(error: &fred::error::Error) -> Option<String> {
    use fred::error::ErrorKind;
    let code = error.details().split(' ').next().unwrap_or_default();
    // Redis starts its errors with a code in capitals; library errors are sentences.
    let coded = code.len() > 2 && code.chars().all(|c| c.is_ascii_uppercase() || c == '-');
    let own = matches!(error.kind(), ErrorKind::IO | ErrorKind::Tls | ErrorKind::Timeout);
    (coded && !own).then(|| error.details().to_owned())
}

/// Classifies an error reply of Redis.
pub(in crate::redis) fn refusal(address: &str, message: &str) -> Error {
    let store = address.to_owned();
    let code = message.split(' ').next().unwrap_or_default();
    let meaning = match code {
        "LOADING" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" | "MASTERDOWN" => {
            return Error::Unavailable { store, what: message.to_owned() };
        }
        "OOM" => "it is out of memory",
        "READONLY" => "it is a read-only replica",
        "WRONGPASS" => "the user or password is wrong",
        "NOAUTH" => "it requires a password",
        "NOPERM" => "the user lacks the permission",
        "MISCONF" | "NOREPLICAS" => "it accepts no writes",
        "MOVED" | "ASK" => "it is a node of a cluster, whose address starts with redis-cluster://",
        _ => "it returned an error",
    };
    Error::Refused { store, what: format!("{meaning} ({message})") }
}

pub(super) fn translate(address: &str, error: &fred::error::Error) -> Error {
    use fred::error::ErrorKind;
    if let Some(message) = server_message(error) {
        return refusal(address, &message);
    }
    let store = address.to_owned();
    let details = error.details();
    match error.kind() {
        ErrorKind::Timeout => Error::TimedOut { store },
        ErrorKind::Auth => Error::Refused { store, what: details.to_owned() },
        _ => Error::Unavailable { store, what: readable(details) },
    }
}

/// Extracts the message from system errors, which the library prints in debug format: `Os { code:
/// 111, kind: …, message: "…" }`, `Custom { kind: …, error: "…" }`.
fn readable(details: &str) -> String {
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
    fn system_errors_are_reduced_to_their_message() {
        let refused = "Os { code: 111, kind: ConnectionRefused, message: \"Connection refused\" }";
        assert_eq!(readable(refused), "Connection refused");
        let unknown = "Custom { kind: Uncategorized, error: \"failed to lookup address\" }";
        assert_eq!(readable(unknown), "failed to lookup address");
        assert_eq!(readable("Connection closed."), "Connection closed");
        let tls = "invalid peer certificate: UnknownIssuer";
        let words = "its certificate is not trusted (invalid peer certificate: UnknownIssuer)";
        assert_eq!(readable(tls), words);
        let oom = refusal("redis://h:1", "OOM command not allowed");
        assert!(oom.to_string().contains("out of memory (OOM command not allowed)"), "{oom}");
        assert!(matches!(refusal("h", "LOADING Redis is loading"), Error::Unavailable { .. }));
    }
}
