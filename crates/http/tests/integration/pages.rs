//! Web pages, their files, and posters.

use std::sync::Arc;

use sparrow_http::SnapshotOptions;

use crate::support::{Running, patient, snapshot};

const PAGES: [(&str, u16); 11] = [
    ("/", 200),
    ("/movies/1", 200),
    ("/movies/2", 404),
    ("/users", 200),
    ("/users/1", 200),
    ("/users/999", 404),
    ("/genres/Sci-Fi", 200),
    ("/genres/%C3%9Cber%20&%20Out", 200),
    ("/genres/Nothing", 404),
    ("/search?q=lantern&utm_source=x", 200),
    ("/api", 200),
];

#[test]
fn pages_have_security_headers() {
    let running = Running::start(patient());
    for (target, status) in PAGES {
        let page = running.get_with(target, "Accept: text/html\r\n");
        assert_eq!(page.status, status, "{target}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{target}");
        let policy = page.header("content-security-policy").unwrap();
        assert_eq!(
            policy,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        );
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("referrer-policy"), Some("same-origin"));
        assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"));
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        assert!(page.text().starts_with("<!doctype html>"), "{target}");
    }
}

#[test]
fn page_with_a_trailing_slash_redirects() {
    let running = Running::start(patient());
    for (target, location) in [
        ("/users/", "/users"),
        ("/users/1/?model=emb", "/users/1?model=emb"),
        ("/search//?q=a%20b", "/search?q=a%20b"),
    ] {
        let answer = running.get(target);
        assert_eq!(answer.status, 308, "{target}");
        assert_eq!(answer.header("location"), Some(location));
    }
    assert_eq!(running.send(b"POST /users/ HTTP/1.1\r\nHost: test\r\n\r\n").status, 405);
    assert_eq!(running.get("//users/").status, 404);
}

#[test]
fn page_with_unknown_choices_returns_400() {
    let running = Running::start(patient());
    for (target, status) in [
        ("/users/1?model=nope", 400),
        ("/users/1?model=nerualcf&genres=Drama,Sci-Fi&x=1", 200),
        ("/users/1?genres=Drama&genres=Sci-Fi&model=&genres=", 400),
        ("/users/1?genres=&model=", 200),
        ("/users/1?genres=Polka", 400),
        ("/users/999?model=nope", 404),
        ("/movies/1?model=genre", 200),
        ("/movies/1?model=popularity", 400),
        ("/search?genre=Polka", 404),
        ("/search?genre=Drama", 200),
        ("/search?genre=%zz", 200),
    ] {
        let page = running.get(target);
        assert_eq!(page.status, status, "{target}");
        assert!(page.text().starts_with("<!doctype html>"), "{target}");
    }
}

#[test]
fn movies_without_a_genre_have_a_page() {
    let running = Running::start(patient());
    let target = "/v1/movies?genre=%28no+genres+listed%29&sort=popularity&size=1000";
    let list = running.json(target);
    let count = running.json("/v1/genres")["withoutGenre"]["movies"].clone();
    assert_eq!(list["total"], count);
    assert!(count.as_u64().is_some_and(|count| count > 100), "{count}");
    for movie in list["items"].as_array().unwrap() {
        assert_eq!(movie["genres"], serde_json::json!([]));
    }
    let original = running.json("/getrecommendation?genre=(no%20genres%20listed)&size=1");
    assert_eq!(original[0]["genres"], serde_json::json!([]));
    assert_eq!(running.get("/genres/(no%20genres%20listed)").status, 200);
    // It is no value of `genres`.
    let target = "/v1/users/1/recommendations?genres=(no+genres+listed)";
    assert_eq!(running.get(target).status, 400);
}

#[test]
fn files_of_pages_exist_and_have_their_content_type() {
    let running = Running::start(patient());
    let mut seen = std::collections::BTreeSet::new();
    for (target, _) in PAGES {
        let page = running.get(target);
        let references = page.text().split(['"']).filter(|part| part.starts_with("/assets/"));
        seen.extend(references.map(str::to_owned));
    }
    assert!(seen.len() > 5, "{seen:?}");
    for target in seen {
        let file = running.get(&target);
        assert_eq!(file.status, 200, "{target}");
        let expected = match target.rsplit_once('.').unwrap().1 {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            other => panic!("{other}"),
        };
        assert_eq!(file.header("content-type"), Some(expected), "{target}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn current_version_returns_304() {
    let running = Running::start(patient());
    for target in ["/", "/assets/site.css", "/assets/favicon.svg"] {
        let first = running.get(target);
        let etag = first.header("etag").unwrap().to_owned();
        let mut client = running.connect();
        client.write(
            format!("GET {target} HTTP/1.1\r\nHost: test\r\nIf-None-Match: \"x\", {etag}\r\n\r\n")
                .as_bytes(),
        );
        let again = client.head();
        assert_eq!(again.status, 304, "{target}");
        assert_eq!(again.header("etag"), Some(&*etag));
        assert_eq!(client.get("/healthz").status, 200);
        assert_eq!(running.get_with(target, "If-None-Match: \"other\"\r\n").status, 200);
    }
    // A page with status 404 has no version.
    let missing = running.get("/movies/2");
    let header = format!("If-None-Match: {}\r\n", missing.header("etag").unwrap());
    assert_eq!(running.get_with("/movies/2", &header).status, 404);
}

#[test]
fn broken_link_returns_a_page_to_browsers_and_a_problem_to_programs() {
    let running = Running::start(patient());
    let browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    for target in ["/nowhere", "/movies/abc", "/movies/", "/v2/movies"] {
        let page = running.get_with(target, browser);
        assert_eq!(page.status, 404, "{target}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{target}");
        assert!(page.header("content-security-policy").is_some());
        assert_eq!(page.header("vary"), Some("accept"));
        assert_eq!(running.get(target).problem()["status"], 404, "{target}");
    }
    for target in ["/v1/nowhere", "/getmovie?id=2", "/v1/movies/2", "/posters/1.jpg"] {
        let answer = running.get_with(target, browser);
        assert_eq!((answer.status, &answer.problem()["status"]), (404, &404.into()), "{target}");
    }
}

#[test]
fn posters_are_served_only_from_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    let picture = b"\xff\xd8\xff\xe0 a picture";
    std::fs::write(folder.path().join("7.jpg"), picture).unwrap();
    std::fs::write(folder.path().join("8.jpg"), vec![0; (4 << 20) + 1]).unwrap();
    std::fs::create_dir(folder.path().join("9.jpg")).unwrap();
    std::fs::write(folder.path().join("secret.jpg"), "secret").unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("11.jpg"), "secret").unwrap();
    #[cfg(unix)]
    {
        let link = folder.path().join("11.jpg");
        std::os::unix::fs::symlink(outside.path().join("11.jpg"), link).unwrap();
        let pipe = folder.path().join("12.jpg");
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("13.jpg")).unwrap();
    }
    let options =
        SnapshotOptions { posters: Some(folder.path().to_owned()), ..SnapshotOptions::default() };
    let running = Running::with_snapshot(patient(), Arc::clone(&snapshot(options)));

    assert_eq!(running.json("/v1/models")["posters"], true);
    let poster = running.get("/posters/7.jpg");
    assert_eq!((poster.status, &poster.body[..]), (200, &picture[..]));
    assert_eq!(poster.header("content-type"), Some("image/jpeg"));
    assert_eq!(running.get("/posters/7.jpg?v=2").body, picture);
    let header = format!("If-None-Match: {}\r\n", poster.header("etag").unwrap());
    let mut client = running.connect();
    client.write(format!("GET /posters/7.jpg HTTP/1.1\r\nHost: test\r\n{header}\r\n").as_bytes());
    assert_eq!(client.head().status, 304);

    for (target, status) in [
        ("/posters/10.jpg", 404),
        ("/posters/8.jpg", 500),
        ("/posters/9.jpg", 500),
        #[cfg(unix)]
        ("/posters/11.jpg", 404),
        #[cfg(unix)]
        ("/posters/12.jpg", 500),
        #[cfg(unix)]
        ("/posters/13.jpg", 404),
        ("/posters/secret.jpg", 400),
        ("/posters/..%2f7.jpg", 400),
        ("/posters/07.jpg", 400),
        ("/posters/7.jpeg", 404),
        ("/posters/10.jpg?x=1", 404),
    ] {
        let answer = running.get(target);
        assert_eq!(answer.status, status, "{target}");
        answer.problem();
    }
}
