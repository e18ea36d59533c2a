//! The page about the API.

use anyhow::{Context, Result};

use crate::browser::{Browser, Screen};
use crate::server::Server;

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn the_api_description_is_a_readable_page() -> Result<()> {
    let server = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/"))?;
    browser.click("footer a")?;
    browser
        .until("location.pathname === '/api' && document.querySelector('[data-path]') !== null")?;
    let document = server.api("/openapi.json")?;
    let paths = document["paths"].as_object().context("paths")?;
    // A path once for each of its methods.
    let mut described = Vec::new();
    for (path, operations) in paths {
        let count = operations.as_object().context("operations")?.len();
        described.extend(std::iter::repeat_n(path.as_str(), count));
    }
    let mut shown =
        browser.texts("[...document.querySelectorAll('[data-path]')].map(e => e.dataset.path)")?;
    shown.sort();
    let mut expected = described.clone();
    expected.sort_unstable();
    assert_eq!(shown, expected);
    // Each parameter and each field has a row.
    let size = "[...document.querySelectorAll('#operation-listMovies ~ .sideways')][0].textContent";
    assert!(browser.text(size)?.contains("1 to 1000"), "{}", browser.text(size)?);
    let dangling = browser.texts(
        "[...document.querySelectorAll('#description a[href^=\"#\"]')].map(a => a.hash.slice(1)).filter(id => !document.getElementById(id))",
    )?;
    assert_eq!(dangling, Vec::<String>::new());
    let page = browser.text("document.querySelector('main').innerText")?;
    assert!(page.contains("(default false)"), "{page}");
    for unwanted in ["undefined", "[object", "$ref", "null,", "default )"] {
        assert!(!page.contains(unwanted), "{unwanted} is on the page");
    }
    // Everything on it comes from this server.
    assert_eq!(
        browser.texts("performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith(location.origin))")?,
        Vec::<String>::new()
    );
    assert_eq!(browser.console()?, Vec::<String>::new());
    // A link to a part of it leads there.
    browser.go(&server.url("/api#schema-Movie"))?;
    browser.until("document.getElementById('schema-Movie') !== null && scrollY > 500")?;
    Ok(())
}
