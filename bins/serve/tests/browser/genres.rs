//! Genres are names from the data, whatever they are.

use anyhow::Result;

use crate::browser::{Browser, Screen};
use crate::data;
use crate::pages::SETTLED;
use crate::server::Server;

/// Names that objects have from the start, that paths treat specially, and that must be encoded in a URL.
const GENRES: [&str; 13] = [
    "constructor",
    "__proto__",
    "toString",
    "hasOwnProperty",
    ".",
    "..",
    "...",
    "a/b",
    "50%",
    "q?x#y&z=1",
    "a+b",
    "Sword, Sorcery",
    "Über <i>",
];

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn any_name_of_a_genre_works_on_every_page() -> Result<()> {
    let folder = data::with_genres(&GENRES)?;
    let server = Server::on(folder.path(), None)?;
    let browser = Browser::open(Screen::Laptop)?;
    for path in [
        "/",
        "/search",
        "/search?q=harbour",
        "/movies/1",
        "/movies/2",
        "/movies/99",
        "/users",
        "/users/1",
    ] {
        browser.go(&server.url(path))?;
        browser.until(&format!(
            "document.querySelector('[data-movie], [data-user]') !== null && {SETTLED}"
        ))?;
        assert_eq!(browser.console()?, Vec::<String>::new(), "console of {path}");
    }
    // A choice of genres goes into the address and back.
    browser.go(&server.url("/users/1"))?;
    browser.until(
        "document.querySelector('#recommendation-controls input[type=checkbox]') !== null",
    )?;
    for name in ["Sword, Sorcery", "__proto__"] {
        let choice = format!("#recommendation-controls label:has(input[value='{name}'])");
        browser.click(&choice)?;
        browser
            .until(&format!("document.querySelector(\"{choice} input\").checked && {SETTLED}"))?;
    }
    browser.until("document.querySelector('#recommendations [data-movie=\"99\"]') !== null")?;
    browser.value("location.reload()")?;
    browser.until(&format!("document.querySelectorAll('#recommendation-controls input[type=checkbox]:checked').length === 2 && {SETTLED}"))?;
    assert_eq!(browser.console()?, Vec::<String>::new());
    browser.go(&server.url("/"))?;
    browser
        .until(&format!("document.querySelectorAll('#genres a').length === {}", GENRES.len()))?;
    let links = browser.texts("[...document.querySelectorAll('#genres a')].map(a => a.href)")?;
    let names =
        browser.texts("[...document.querySelectorAll('#genres a')].map(a => a.firstChild.data)")?;
    let mut sorted = names.clone();
    sorted.sort_unstable();
    let mut expected = GENRES;
    expected.sort_unstable();
    assert_eq!(sorted, expected);
    for (name, link) in names.iter().zip(links) {
        browser.go(&link)?;
        browser.until(&format!(
            "document.querySelectorAll('#movies [data-movie]').length === 2 && {SETTLED}"
        ))?;
        assert_eq!(&browser.text("document.querySelector('h1').textContent")?, name, "{link}");
        assert_eq!(browser.console()?, Vec::<String>::new(), "console of {link}");
    }
    Ok(())
}
