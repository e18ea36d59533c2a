//! Keys, tokens, sessions of browsers, and the admin port.

use std::sync::Arc;
use std::time::Duration;

use sparrow_http::{
    AnonymousReads, ApiKey, Auth, Cors, Options, Scopes, SnapshotOptions, TokenKeys, Tokens,
    generate_key,
};
use sparrow_live::{Limits, MemoryLive};
use sparrow_test_support::tokens::{AUDIENCE, ISSUER, Issuer, key_set};
use sparrow_user_state::LiveSource;

use crate::support::{Answer, Running, patient, snapshot};

/// A new key with scopes, and what the server knows of it.
pub(crate) fn key(name: &str, scopes: Scopes) -> (String, ApiKey) {
    let (key, digest) = generate_key().unwrap();
    (key, ApiKey::new(name, &digest, scopes).unwrap())
}

pub(crate) fn server(options: Options) -> Running {
    let live =
        LiveSource { store: Arc::new(MemoryLive::new(Limits::default())), types: Arc::default() };
    let options_of_snapshot = SnapshotOptions { live: Some(live), ..SnapshotOptions::default() };
    Running::with_snapshot(options, snapshot(options_of_snapshot))
}

fn with_keys(keys: Vec<ApiKey>) -> Running {
    server(Options { auth: Auth { keys, ..Auth::default() }, ..patient() })
}

pub(crate) fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}\r\n")
}

pub(crate) fn put(running: &Running, headers: &str) -> Answer {
    send(running, "PUT", "/v1/users/1/ratings/1", headers, "{\"stars\":4}")
}

pub(crate) fn send(
    running: &Running,
    method: &str,
    target: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    running.send(request.as_bytes())
}

const CATALOG: [&str; 5] =
    ["/v1/movies", "/v1/genres", "/getmovie?id=1", "/v1/models", "/v1/search?q=lantern"];
const PERSONAL: [&str; 6] = [
    "/v1/users",
    "/v1/users/1",
    "/v1/users/1/recommendations",
    "/v1/users/1/events",
    "/getuser?id=1",
    "/getrecforyou?id=1",
];
const OPEN: [&str; 8] = [
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/v1/session",
    "/",
    "/users/1",
    "/search",
    "/assets/site.css",
];

#[test]
fn requests_without_key_get_401_and_documents_of_pages_stay_open() {
    let running = with_keys(vec![key("reader", Scopes::READ).1]);
    for target in CATALOG.into_iter().chain(PERSONAL) {
        let answer = running.get(target);
        assert_eq!(answer.status, 401, "{target}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"sparrow\""), "{target}");
        assert_eq!(answer.problem()["type"], "/problems/unauthorized", "{target}");
    }
    for target in OPEN {
        assert_eq!(running.get(target).status, 200, "{target}");
    }
    assert_eq!(put(&running, "").status, 401);
}

#[test]
fn key_permits_what_its_scopes_contain() {
    let (reader, writer) = (key("reader", Scopes::READ), key("writer", Scopes::WRITE));
    let running = with_keys(vec![reader.1, writer.1]);
    for target in CATALOG.into_iter().chain(PERSONAL) {
        for header in [bearer(&reader.0), format!("X-API-Key: {}\r\n", reader.0)] {
            assert_eq!(running.get_with(target, &header).status, 200, "{target}");
        }
        let refused = running.get_with(target, &bearer(&writer.0));
        assert_eq!(refused.status, 403, "{target}");
        let detail = refused.problem()["detail"].to_string();
        assert!(detail.contains("writer") && detail.contains("scope read"), "{detail}");
    }
    assert_eq!(put(&running, &bearer(&reader.0)).status, 403);
    assert_eq!(put(&running, &bearer(&writer.0)).status, 200);
    // Caches must not give an answer to somebody else.
    let answer = running.get_with("/v1/movies", &bearer(&reader.0));
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
}

#[test]
fn invalid_credentials_get_401_and_are_not_repeated() {
    let running = with_keys(vec![key("reader", Scopes::READ).1]);
    for header in [
        "Authorization: Bearer sparrow_wrong\r\n",
        "X-API-Key: sparrow_wrong\r\n",
        "Authorization: Basic sparrow_wrong\r\n",
        "Authorization: Bearer sparrow_wrong\r\nX-API-Key: sparrow_wrong\r\n",
    ] {
        let answer = running.get_with("/v1/movies", header);
        assert_eq!(answer.status, 401, "{header}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        assert_eq!(answer.problem()["type"], "/problems/invalid-credentials");
        assert!(!answer.text().contains("sparrow_wrong"), "{}", answer.text());
    }
}

#[test]
fn rotation_keeps_the_old_key_until_it_is_removed() {
    let (old, new) = (key("app", Scopes::READ), key("app", Scopes::READ));
    let running = with_keys(vec![old.1.clone()]);
    let mut client = running.connect();
    let mut get = |key: &str| {
        let request = format!("GET /v1/genres HTTP/1.1\r\nHost: test\r\n{}\r\n", bearer(key));
        client.write(request.as_bytes());
        client.answer().status
    };
    assert_eq!((get(&old.0), get(&new.0)), (200, 401));
    running.server.set_auth(Auth { keys: vec![old.1.clone(), new.1.clone()], ..Auth::default() });
    assert_eq!((get(&old.0), get(&new.0)), (200, 200));
    running.server.set_auth(Auth { keys: vec![new.1.clone()], ..Auth::default() });
    // Also on an open connection.
    assert_eq!((get(&old.0), get(&new.0)), (401, 200));
}

#[test]
fn server_whose_keys_are_gone_stays_closed() {
    let running = with_keys(vec![key("reader", Scopes::READ).1]);
    running.server.set_auth(Auth { is_required: true, ..Auth::default() });
    assert_eq!((running.get("/v1/movies").status, put(&running, "").status), (401, 401));
}

#[test]
fn anonymous_reads_and_writes_are_configured() {
    let start = |anonymous_reads, anonymous_writes| {
        let keys = vec![key("reader", Scopes::READ).1];
        let auth = Auth { keys, anonymous_reads, anonymous_writes, ..Auth::default() };
        server(Options { auth, ..patient() })
    };
    let catalog = start(AnonymousReads::Catalog, false);
    assert!(CATALOG.iter().all(|target| catalog.get(target).status == 200));
    assert!(PERSONAL.iter().all(|target| catalog.get(target).status == 401));
    assert_eq!(put(&catalog, "").status, 401);
    let all = start(AnonymousReads::All, true);
    assert!(CATALOG.iter().chain(&PERSONAL).all(|target| all.get(target).status == 200));
    assert_eq!(put(&all, "").status, 200);
}

#[test]
fn server_beyond_loopback_without_keys_is_read_only_and_accepts_writes_with_a_key() {
    let running = server(Options { accepts_writes: false, ..patient() });
    let refused = put(&running, "");
    assert_eq!(refused.status, 403);
    assert!(refused.problem()["detail"].as_str().unwrap().contains("[auth]"));
    assert_eq!(running.get("/v1/users/1").status, 200);
    let (writer, known) = key("writer", Scopes::WRITE);
    running.server.set_auth(Auth { keys: vec![known], ..Auth::default() });
    assert_eq!(put(&running, &bearer(&writer)).status, 200);
    assert_eq!(put(&running, "").status, 401);
}

fn cookie(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
}

#[test]
fn session_reads_and_writes_from_the_own_origin_alone() {
    let (both, known) = key("editor", Scopes::READ.and(Scopes::WRITE));
    let running = with_keys(vec![known]);
    let body = format!("{{\"key\":\"{both}\"}}");
    let answer = send(&running, "POST", "/v1/session", "Origin: http://test\r\n", &body);
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    assert_eq!(answer.json()["key"], "editor");
    assert!(!answer.header("set-cookie").unwrap().contains("Secure"));
    let cookie = cookie(&answer);
    assert_eq!(running.get_with("/v1/users/1", &cookie).status, 200);
    let own = format!("{cookie}Origin: http://test\r\n");
    assert_eq!(put(&running, &own).status, 200);
    for origin in ["", "Origin: https://evil.example\r\n", "Origin: null\r\n"] {
        assert_eq!(put(&running, &format!("{cookie}{origin}")).status, 403, "{origin}");
    }
    // Nor can another page sign somebody in.
    let foreign = send(&running, "POST", "/v1/session", "Origin: https://evil.example\r\n", &body);
    assert_eq!((foreign.status, foreign.header("set-cookie")), (403, None));
    let signed_out = send(&running, "DELETE", "/v1/session", &own, "");
    assert!(signed_out.header("set-cookie").unwrap().contains("Max-Age=0"));
}

#[test]
fn session_behind_tls_is_secure_and_a_revoked_one_can_sign_in_again() {
    let (reader, known) = key("reader", Scopes::READ);
    let running = with_keys(vec![known]);
    let body = format!("{{\"key\":\"{reader}\"}}");
    let answer = send(&running, "POST", "/v1/session", "X-Forwarded-Proto: https\r\n", &body);
    assert!(answer.header("set-cookie").unwrap().ends_with("Secure"));
    let cookie = cookie(&answer);
    let (other, known) = key("reader", Scopes::READ);
    running.server.set_auth(Auth { keys: vec![known], ..Auth::default() });
    assert_eq!(running.get_with("/v1/users/1", &cookie).status, 401);
    let body = format!("{{\"key\":\"{other}\"}}");
    assert_eq!(send(&running, "POST", "/v1/session", &cookie, &body).status, 200);
    let wrong = send(&running, "POST", "/v1/session", "", "{\"key\":\"sparrow_wrong\"}");
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
}

#[test]
fn session_of_a_server_without_keys_is_open() {
    let running = server(patient());
    let session = running.json("/v1/session");
    assert_eq!(session, serde_json::json!({ "guarded": false, "reads": true, "writes": true }));
    let answer = send(&running, "POST", "/v1/session", "", "{\"key\":\"a\"}");
    assert_eq!((answer.status, answer.header("set-cookie")), (403, None));
}

#[test]
fn listed_origins_write_and_others_need_a_key_in_a_header() {
    let start = |origins: &[&str], keys: Vec<ApiKey>| {
        let cors = Cors::new(origins.iter().copied()).unwrap();
        server(Options { cors, auth: Auth { keys, ..Auth::default() }, ..patient() })
    };
    let from = "Origin: https://movies.example\r\n";
    let listed = start(&["https://movies.example"], Vec::new());
    let answer = put(&listed, from);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://movies.example"));
    assert_eq!(put(&listed, "Origin: https://other.example\r\n").status, 403);
    let preflight = format!("{from}Access-Control-Request-Method: PUT\r\n");
    let answer = send(&listed, "OPTIONS", "/v1/users/1/ratings/1", &preflight, "");
    assert_eq!(answer.status, 204);
    assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("PUT"));
    // `*` alone permits no writes: any page could send them.
    assert_eq!(put(&start(&["*"], Vec::new()), from).status, 403);
    let (writer, known) = key("writer", Scopes::WRITE);
    let any = start(&["*"], vec![known]);
    assert_eq!(put(&any, &format!("{from}{}", bearer(&writer))).status, 200);
}

#[test]
fn admin_port_on_loopback_needs_no_key() {
    let running = with_keys(vec![key("reader", Scopes::READ).1]);
    let admin = running.admin();
    assert_eq!(admin.get("/v1/models").status, 200);
}

#[test]
fn admin_port_beyond_loopback_has_health_alone_without_key() {
    let running = with_keys(vec![key("reader", Scopes::READ).1]);
    let (admin_key, known) = key("operator", Scopes::ADMIN);
    let (reader, also) = key("reader", Scopes::READ);
    let admin = running.admin_on("0.0.0.0:0");
    assert_eq!(admin.get("/healthz").status, 200);
    assert_eq!(admin.get("/v1/models").status, 401);
    running.server.set_auth(Auth { keys: vec![known, also], ..Auth::default() });
    assert_eq!(admin.get_with("/v1/models", &bearer(&reader)).status, 403);
    assert_eq!(admin.get_with("/v1/models", &bearer(&admin_key)).status, 200);
    running.server.set_auth(Auth::default());
    assert_eq!(admin.get("/v1/models").status, 403);
    assert_eq!(admin.get("/readyz").status, 200);
}

/// A server that accepts the tokens of an issuer, and one key.
fn with_tokens(issuer: &Issuer) -> (Running, String) {
    let (key, known) = key("app", Scopes::READ.and(Scopes::WRITE));
    let auth = Auth { keys: vec![known], tokens: Some(accepting(issuer)), ..Auth::default() };
    (server(Options { auth, ..patient() }), key)
}

pub(crate) fn accepting(issuer: &Issuer) -> Tokens {
    Tokens {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        user_claim: "sub".to_owned(),
        leeway: Duration::ZERO,
        keys: TokenKeys::parse(&key_set(&[issuer.jwk()])).unwrap(),
    }
}

#[test]
fn token_reads_and_changes_its_own_user_alone() {
    let issuer = Issuer::new("one");
    let (running, key) = with_tokens(&issuer);
    let token = bearer(&issuer.token_of(1, 60));
    let status = |method: &str, target: &str, body: &str| {
        let status = send(&running, method, target, &token, body).status;
        // A key permits both.
        assert_eq!(send(&running, method, target, &bearer(&key), body).status, 200, "{target}");
        status
    };
    for target in CATALOG {
        assert_eq!(running.get_with(target, &token).status, 200, "{target}");
    }
    for target in PERSONAL {
        let other = target.replace("users/1", "users/2").replace("id=1", "id=2");
        let (own, other) = (running.get_with(target, &token), running.get_with(&other, &token));
        let expected = if target == "/v1/users" { 403 } else { 200 };
        assert_eq!((own.status, other.status), (expected, 403), "{target}");
        assert!(other.problem()["detail"].as_str().unwrap().contains("user 1"), "{target}");
    }
    let rating = "{\"stars\":4}";
    assert_eq!(status("PUT", "/v1/users/1/ratings/1", rating), 200);
    assert_eq!(status("PUT", "/v1/users/2/ratings/1", rating), 403);
    let event = |user: u32| format!("{{\"type\":\"like\",\"userId\":{user},\"movieId\":1}}");
    let events = |users: &[u32]| {
        let events: Vec<String> = users.iter().map(|user| event(*user)).collect();
        format!("{{\"events\":[{}]}}", events.join(","))
    };
    assert_eq!(status("POST", "/v1/events", &events(&[1, 1])), 200);
    assert_eq!(status("POST", "/v1/events", &events(&[1, 2])), 403);
    let partial = send(&running, "POST", "/v1/events?partial=true", &token, &events(&[1, 2]));
    assert_eq!(partial.json()["items"][0]["status"], 200);
    assert_eq!(partial.json()["items"][1]["status"], 403);
    assert_eq!(partial.json()["items"][1]["parameter"], "events[1].userId");
    assert_eq!(status("POST", "/v1/users", "{}"), 403);
    assert_eq!(status("POST", "/v1/recommendations", "{\"ratings\":[]}"), 200);
    // What is not the id of a user is not the own user.
    for target in ["/v1/users/x", "/v1/users/%31", "/getuser?id=2&id=1", "/getuser"] {
        assert_ne!(running.get_with(target, &token).status, 200, "{target}");
    }
}

#[test]
fn token_of_a_replaced_key_or_a_passed_time_is_refused() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let (running, _) = with_tokens(&old);
    let get = |token: &str| running.get_with("/v1/users/1", &bearer(token));
    assert_eq!(get(&old.token_of(1, 60)).status, 200);
    let expired = get(&old.token_of(1, -1));
    assert_eq!(expired.status, 401);
    assert!(expired.problem()["detail"].as_str().unwrap().contains("expired"));
    assert!(expired.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    let oversized = old.token(&format!("{{\"pad\":\"{}\"}}", "a".repeat(4096)));
    assert_eq!(get(&oversized).status, 401);
    let mut tokens = accepting(&old);
    tokens.keys = TokenKeys::parse(&key_set(&[old.jwk(), new.jwk()])).unwrap();
    running.server.set_auth(Auth { tokens: Some(tokens), ..Auth::default() });
    for issuer in [&old, &new] {
        assert_eq!(get(&issuer.token_of(1, 60)).status, 200);
    }
    running.server.set_auth(Auth { tokens: Some(accepting(&new)), ..Auth::default() });
    assert_eq!((get(&old.token_of(1, 60)).status, get(&new.token_of(1, 60)).status), (401, 200));
    // Without tokens, one is an unknown key.
    let auth = Auth { is_required: true, ..Auth::default() };
    running.server.set_auth(auth);
    assert_eq!(get(&new.token_of(1, 60)).status, 401);
}

#[test]
fn session_of_a_token_is_that_of_its_user_until_it_expires() {
    let issuer = Issuer::new("one");
    let (running, _) = with_tokens(&issuer);
    let body = format!("{{\"key\":\"{}\"}}", issuer.token_of(1, 60));
    let own = "Origin: http://test\r\n";
    let answer = send(&running, "POST", "/v1/session", own, &body);
    let session = serde_json::json!({ "guarded": true, "reads": true, "writes": true, "user": 1 });
    assert_eq!((answer.status, answer.json()), (200, session.clone()));
    let cookie = cookie(&answer);
    assert_eq!(running.get_with("/v1/session", &cookie).json(), session);
    assert_eq!(running.get_with("/v1/users/1", &cookie).status, 200);
    assert_eq!(running.get_with("/v1/users/2", &cookie).status, 403);
    // The pages show nothing about others, not even whether they exist.
    for (page, status) in [("/users/1", 200), ("/users/2", 200), ("/users/999999", 200)] {
        assert_eq!(running.get_with(page, &cookie).status, status, "{page}");
    }
    assert_eq!(put(&running, &format!("{cookie}{own}")).status, 200);
    assert_eq!(put(&running, &cookie).status, 403);
    let expired = format!("Cookie: sparrow_session={}\r\n", issuer.token_of(1, -1));
    assert_eq!(running.get_with("/v1/users/1", &expired).status, 401);
    assert_eq!(running.get_with("/v1/session", &expired).json()["reads"], false);
    let body = format!("{{\"key\":\"{}\"}}", issuer.token_of(1, -1));
    assert_eq!(send(&running, "POST", "/v1/session", own, &body).status, 401);
}

#[test]
fn tokens_are_no_keys_of_the_admin_port() {
    let issuer = Issuer::new("one");
    let (running, _) = with_tokens(&issuer);
    let admin = running.admin_on("0.0.0.0:0");
    let token = bearer(&issuer.token_of(1, 60));
    for target in ["/v1/models", "/debug/config", "/debug/live"] {
        assert_eq!(admin.get_with(target, &token).status, 403, "{target}");
    }
}

#[test]
fn description_names_tokens_where_they_can_permit_something() {
    let running = server(patient());
    let paths = running.json("/openapi.json");
    let has = |path: &str, method: &str| {
        let security = &paths["paths"][path][method]["security"];
        security.as_array().unwrap().contains(&serde_json::json!({ "token": [] }))
    };
    assert!(has("/v1/users/{id}", "get") && has("/v1/events", "post") && has("/v1/movies", "get"));
    assert!(has("/getuser", "get") && !has("/v1/users", "get") && !has("/v1/users", "post"));
    assert_eq!(paths["components"]["securitySchemes"]["token"]["bearerFormat"], "JWT");
}
