//! Ids of requests, which answers, problem documents and log lines contain.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::state::recommendation_ids::RecommendationIds;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LONGEST: usize = 128;

/// The id that a client or a proxy gave, if it is one; else a new one.
pub(crate) fn of(headers: &HeaderMap, ids: &RecommendationIds) -> HeaderValue {
    let mut given = headers.get_all(REQUEST_ID).iter();
    match (given.next(), given.next()) {
        (Some(id), None) if is_id(id.as_bytes()) => id.clone(),
        _ => HeaderValue::from_maybe_shared(bytes::Bytes::from(ids.next()))
            .unwrap_or(HeaderValue::from_static("-")),
    }
}

/// Whether an id is short and harmless in logs.
fn is_id(id: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    (1..=LONGEST).contains(&id.len()) && id.iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sane_ids_are_kept_and_others_replaced() {
        let ids = RecommendationIds::new();
        let id_of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(REQUEST_ID, HeaderValue::from_str(value).expect("a header"));
            }
            of(&headers, &ids)
        };
        assert_eq!(id_of(&["7f1a-b:c"]), "7f1a-b:c");
        let long = "x".repeat(LONGEST + 1);
        for values in [&[][..], &[""], &["a b"], &["a", "b"], &["\"}"], &[&long]] {
            let id = id_of(values);
            assert!(is_id(id.as_bytes()) && values.iter().all(|value| id != *value), "{id:?}");
        }
        assert_ne!(id_of(&[]), id_of(&[]));
    }
}
