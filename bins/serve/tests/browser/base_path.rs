//! The pages of a server below a path of a proxy.

use anyhow::Result;

use crate::browser::{Browser, Screen};
use crate::server::Server;

/// Each page, and what shows that its script has run.
const PAGES: [(&str, &str); 8] = [
    ("/", "[data-movie]"),
    ("/movies/1", "#movie h1"),
    ("/users/6", "#recommendations [data-movie]"),
    ("/users", "[data-user]"),
    ("/search?q=the", "[data-movie]"),
    ("/genres/Drama", "[data-movie]"),
    ("/api", "#main table"),
    ("/movies/0", "#main a"),
];

/// The addresses of this origin that a page links to, and that it has requested.
const ADDRESSES: &str = "[
    ...[...document.querySelectorAll('[href], [src], [action], [data-href]')].map((element) =>
        ['href', 'src', 'action', 'data-href'].map((name) => element.getAttribute(name)).find((value) => value)),
    ...performance.getEntriesByType('resource').map((entry) => entry.name),
].map((address) => new URL(address, document.baseURI)).filter((url) => url.origin === location.origin).map((url) => url.pathname)";

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn no_page_leaves_the_base_path() -> Result<()> {
    let server = Server::configured("[server]\nbase_path = \"/films/here\"\n")?;
    let browser = Browser::open(Screen::Laptop)?;
    for (path, shown) in PAGES {
        browser.go(&server.url(&format!("/films/here{path}")))?;
        browser.until(&format!("document.querySelector('{shown}') !== null"))?;
        let addresses = browser.texts(ADDRESSES)?;
        assert!(addresses.len() > 10, "{path}: {addresses:?}");
        let outside: Vec<_> = addresses
            .iter()
            .filter(|address| *address != "/films/here" && !address.starts_with("/films/here/"))
            .collect();
        assert!(outside.is_empty(), "{path}: {outside:?}");
    }
    // Links, and the script of the page that they lead to.
    browser.go(&server.url("/films/here/users/6"))?;
    browser.until("document.querySelector('#recommendations [data-movie]') !== null")?;
    browser.click("#recommendations [data-movie]")?;
    browser.until(
        "location.pathname.startsWith('/films/here/movies/') && document.querySelector('#movie h1') !== null",
    )?;
    Ok(())
}
