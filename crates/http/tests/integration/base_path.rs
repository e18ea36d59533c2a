//! A server below a path of a proxy.

use sparrow_http::{Auth, BasePath, Options, Scopes};

use crate::auth::{key, server};
use crate::support::{Running, patient};

const BASE: &str = "/films/here";

fn below(auth: Auth) -> Running {
    server(Options { base_path: BasePath::new(BASE).unwrap(), auth, ..patient() })
}

#[test]
fn everything_is_below_the_base_path_and_nothing_outside() {
    let running = below(Auth::default());
    for target in [
        "/",
        "/users/1",
        "/movies/1",
        "/search?q=a",
        "/assets/site.css",
        "/v1/genres",
        "/getmovie?id=1",
        "/getrecforyou?id=1",
        "/openapi.json",
        "/healthz",
        "/readyz",
    ] {
        assert_eq!(running.get(&format!("{BASE}{target}")).status, 200, "{target}");
        let expected = if target.ends_with('z') { 200 } else { 404 };
        assert_eq!(running.get(target).status, expected, "{target}");
    }
    assert_eq!(running.get(BASE).status, 200);
    for target in ["/films", "/films/hereabouts", "/films/here/films/here/v1/genres", "/users/"] {
        assert_eq!(running.get(target).status, 404, "{target}");
    }
    let redirect = running.get(&format!("{BASE}/users/1/?page=2"));
    assert_eq!(redirect.status, 308);
    assert_eq!(redirect.header("location"), Some("/films/here/users/1?page=2"));
    // The admin port has its own paths.
    assert_eq!(running.admin().get("/metrics").status, 200);
}

#[test]
fn documents_refer_to_nothing_outside_the_base_path() {
    let running = below(Auth::default());
    let root = server(patient());
    for target in ["/", "/users", "/users/1", "/movies/1", "/search", "/genres/Drama", "/api"] {
        let (page, same) = (running.get(&format!("{BASE}{target}")), root.get(target));
        refers_below(page.text(), same.text());
        assert_ne!(page.header("etag"), same.header("etag"), "{target}");
    }
    let error = running.get_with("/nowhere", "Accept: text/html\r\n");
    assert_eq!(error.status, 404);
    refers_below(error.text(), root.get_with("/nowhere", "Accept: text/html\r\n").text());
    assert_eq!(running.json("/films/here/openapi.json")["servers"][0]["url"], BASE);
    assert_eq!(root.json("/openapi.json")["servers"][0]["url"], "/");
}

/// All quoted absolute paths in a page are those of the same page without a prefix, with the prefix.
fn refers_below(page: &str, same: &str) {
    let paths = |text: &str| {
        let parts = text.split('"').filter(|part| part.starts_with('/') && !part.contains('>'));
        parts.map(str::to_owned).collect::<Vec<_>>()
    };
    let expected: Vec<String> =
        paths(same).into_iter().map(|path| format!("{BASE}{path}")).collect();
    assert!(expected.len() > 10, "{expected:?}");
    assert_eq!(paths(page), expected);
}

#[test]
fn cookie_of_a_session_is_sent_to_the_base_path_alone() {
    let (secret, key) = key("visitor", Scopes::READ);
    let running = below(Auth { keys: vec![key], ..Auth::default() });
    let body = format!("{{\"key\":\"{secret}\"}}");
    let answer = running.send(
        format!(
            "POST {BASE}/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Origin: http://localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains("; Path=/films/here; "), "{cookie}");
}
