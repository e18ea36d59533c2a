//! Limits on the rate of requests.

use std::num::NonZeroU32;

use sparrow_http::{AddressHeader, Auth, Options, RateLimits, Scopes, TrustedProxies};
use sparrow_test_support::tokens::Issuer;

use crate::auth::{accepting, bearer, key, send, server};
use crate::support::{Answer, Running, patient};

const MOST: u32 = 5;

fn limited(limits: RateLimits, auth: Auth) -> Running {
    server(Options { rates: limits, auth, ..patient() })
}

fn by_address() -> RateLimits {
    let per_address = NonZeroU32::new(MOST);
    RateLimits { per_address, limits_loopback: true, ..RateLimits::default() }
}

/// Sends many requests at once, so that they arrive well within a second.
fn flood(running: &Running, target: &str, headers: &str) -> Vec<Answer> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    let mut client = running.connect();
    client.write(request.repeat(20).as_bytes());
    (0..20).map(|_| client.answer()).collect()
}

fn is_refusal(answer: &Answer) -> bool {
    answer.status == 429
}

#[test]
fn requests_beyond_the_rate_get_429_with_the_time_to_wait() {
    let running = limited(by_address(), Auth::default());
    let answers = flood(&running, "/v1/genres", "");
    assert!(answers[..MOST as usize].iter().all(|answer| answer.status == 200));
    assert_eq!(answers[0].header("ratelimit-policy"), Some("\"address\";q=5;w=1"));
    assert_eq!(answers[0].header("ratelimit"), Some("\"address\";r=4;t=1"));
    assert_eq!(answers[0].header("retry-after"), None);
    let refused = answers.iter().find(|answer| is_refusal(answer)).unwrap();
    assert_eq!(refused.problem()["type"], "/problems/too-many-requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("ratelimit"), Some("\"address\";r=0;t=1"));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"address\";q=5;w=1"));
}

#[test]
fn health_and_files_of_pages_are_not_limited() {
    let running = limited(by_address(), Auth::default());
    assert!(flood(&running, "/no-such-endpoint", "").iter().any(is_refusal));
    for target in ["/healthz", "/readyz", "/", "/assets/site.css"] {
        let answers = flood(&running, target, "");
        assert!(answers.iter().all(|answer| answer.status == 200), "{target}");
        assert_eq!(answers[0].header("ratelimit"), None, "{target}");
    }
}

#[test]
fn clients_on_loopback_are_not_limited_by_default() {
    let limits = RateLimits { limits_loopback: false, ..by_address() };
    let running = limited(limits, Auth::default());
    assert!(flood(&running, "/v1/genres", "").iter().all(|answer| answer.status == 200));
}

#[test]
fn each_user_of_tokens_has_their_own_limit() {
    let issuer = Issuer::new("one");
    let auth = Auth { tokens: Some(accepting(&issuer)), ..Auth::default() };
    let per_key = NonZeroU32::new(1);
    let running = limited(RateLimits { per_key, ..RateLimits::default() }, auth);
    let answers = flood(&running, "/v1/genres", &bearer(&issuer.token_of(1, 60)));
    assert_eq!(answers[0].status, 200);
    assert_eq!(answers[0].header("ratelimit-policy"), Some("\"user\";q=1;w=1"));
    let refused = answers.iter().find(|answer| is_refusal(answer)).unwrap();
    assert!(refused.problem()["detail"].as_str().unwrap().ends_with("by this user"));
    // A new token of the same user shares the limit, the one of another user does not.
    let renewed = issuer.token_of(1, 120);
    assert!(flood(&running, "/v1/genres", &bearer(&renewed))[1..].iter().any(is_refusal));
    assert_eq!(running.get_with("/v1/genres", &bearer(&issuer.token_of(2, 60))).status, 200);
}

#[test]
fn each_name_of_a_key_has_its_own_limit() {
    let (one, first) = key("one", Scopes::READ);
    let (renewed, second) = key("one", Scopes::READ);
    let (other, third) = key("other", Scopes::READ);
    let auth = Auth { keys: vec![first, second, third], ..Auth::default() };
    let per_key = NonZeroU32::new(1);
    let running = limited(RateLimits { per_key, ..RateLimits::default() }, auth);
    let answers = flood(&running, "/v1/genres", &bearer(&one));
    assert_eq!(answers[0].status, 200);
    assert_eq!(answers[0].header("ratelimit-policy"), Some("\"key\";q=1;w=1"));
    assert!(answers[1..].iter().any(is_refusal));
    // A new key of the same name shares the limit, the one of another name does not.
    assert!(flood(&running, "/v1/genres", &bearer(&renewed))[1..].iter().any(is_refusal));
    assert_eq!(running.get_with("/v1/genres", &bearer(&other)).status, 200);
    // Without a key there is no limit, since there is none per address.
    assert!(flood(&running, "/v1/genres", "").iter().all(|answer| answer.status == 401));
}

#[test]
fn guesses_of_keys_count_for_their_address() {
    let auth = Auth { keys: vec![key("one", Scopes::READ).1], ..Auth::default() };
    let running = limited(by_address(), auth);
    let answers = flood(&running, "/v1/genres", &bearer("sparrow_wrong"));
    assert_eq!(answers[0].status, 401);
    assert!(answers.iter().any(is_refusal));
}

#[test]
fn refused_request_with_a_body_ends_its_connection() {
    let running = limited(by_address(), Auth::default());
    let mut refused = (0..200)
        .map(|_| send(&running, "PUT", "/v1/users/1/ratings/1", "", "{\"stars\":4}"))
        .filter(is_refusal);
    assert_eq!(refused.next().unwrap().header("connection"), Some("close"));
}

/// The number of refused requests of a client that invents another address for each.
fn refused_with(running: &Running, header: impl Fn(usize) -> String) -> usize {
    let mut client = running.connect();
    for number in 0..20 {
        let header = header(number);
        let request = format!("GET /v1/genres HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n");
        client.write(request.as_bytes());
    }
    (0..20).map(|_| client.answer()).filter(is_refusal).count()
}

#[test]
fn addresses_behind_a_trusted_proxy_are_limited_each_and_cannot_be_invented() {
    let behind = |networks: &[&str], header| {
        let proxies = TrustedProxies::new(networks.iter().copied(), header).unwrap();
        // Loopback is exempt: what is limited is the address in the header.
        let limits = RateLimits { limits_loopback: false, ..by_address() };
        server(Options { rates: limits, proxies, ..patient() })
    };
    let running = behind(&["127.0.0.0/8"], AddressHeader::XForwardedFor);
    // The proxy appends the address of the client to what the client sent.
    let refused = refused_with(&running, |n| format!("X-Forwarded-For: 203.0.113.{n}, 192.0.2.1"));
    assert!(refused > 0);
    // A different client.
    assert_eq!(running.get_with("/v1/genres", "X-Forwarded-For: 192.0.2.2\r\n").status, 200);
    // The other header comes from the client as it is.
    let both = |n| format!("Forwarded: for=203.0.113.{n}\r\nX-Forwarded-For: 192.0.2.3");
    assert!(refused_with(&running, both) > 0);
    let each = |n| format!("X-Forwarded-For: 198.51.100.{n}");
    assert_eq!(refused_with(&running, each), 0);

    let running = behind(&["127.0.0.1"], AddressHeader::Forwarded);
    let spoofed = |n| format!("Forwarded: for=\"203.0.113.{n}, for=192.0.2.1;proto=https");
    assert!(refused_with(&running, spoofed) > 0);

    // A server without trusted proxies, or with others, counts the address of the connection.
    for networks in [&[] as &[&str], &["10.0.0.0/8"]] {
        let proxies = TrustedProxies::new(networks.iter().copied(), AddressHeader::default());
        let proxies = proxies.unwrap();
        let running = server(Options { rates: by_address(), proxies, ..patient() });
        assert!(refused_with(&running, each) > 0, "{networks:?}");
    }
}
