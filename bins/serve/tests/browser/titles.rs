//! A title is text, whatever it looks like.

use std::fs;

use anyhow::Result;

use crate::browser::{Browser, Screen};
use crate::data::{self, IMAGE_TITLE, SCRIPT_TITLE};
use crate::pages::SETTLED;
use crate::server::Server;

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn titles_with_markup_stay_text_on_every_page() -> Result<()> {
    let folder = data::write(true)?;
    let server = Server::on(folder.path(), Some(folder.path()))?;
    let browser = Browser::open(Screen::Laptop)?;
    let pages = [
        // Page, what to wait for, what shows the titles there.
        ("/", ".card__title", ".card__title"),
        ("/movies/1", "#similar [data-movie]", "h1"),
        ("/movies/2", "#similar [data-movie]", "h1"),
        ("/users/1?page=2", "#history [data-movie]", ".seen__title"),
        ("/users/2?show=100", "#recommendations [data-movie]", ".card__title"),
        ("/genres/Drama", "#movies [data-movie]", ".card__title"),
        ("/search?q=quoted", "#movies [data-movie]", ".card__title"),
        ("/search?q=hacked", "#movies [data-movie]", ".poster__title"),
        (
            "/search?q=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E",
            "#movies [data-movie], #pages .state",
            "h1",
        ),
    ];
    for (path, wait, place) in pages {
        browser.go(&server.url(path))?;
        browser.until(&format!("document.querySelector('{wait}') !== null && {SETTLED}"))?;
        let shown = browser
            .texts(&format!("[...document.querySelectorAll('{place}')].map(e => e.textContent)"))?;
        assert!(
            shown.iter().any(|title| title == IMAGE_TITLE
                || title == SCRIPT_TITLE
                || title.contains("<img src=x")),
            "{path} shows the titles as they are: {shown:?}"
        );
        assert_eq!(
            browser.value("document.querySelectorAll('img, main script').length")?,
            0,
            "{path} has made markup of a title"
        );
        assert_eq!(browser.value("window.hacked === undefined")?, true, "{path} ran a script");
        assert_eq!(browser.console()?, Vec::<String>::new(), "console of {path}");
    }
    // In the suggestions, too.
    browser.write("#q", "quoted")?;
    browser.until("document.querySelector('#suggestions [role=option]') !== null")?;
    assert_eq!(
        browser.text("document.querySelector('.suggestion__title').textContent")?,
        IMAGE_TITLE
    );
    assert_eq!(browser.value("document.querySelectorAll('img').length")?, 0);
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn an_article_at_the_end_of_a_title_is_put_in_front() -> Result<()> {
    let folder = data::write(false)?;
    let server = Server::on(folder.path(), None)?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/search?q=lantern"))?;
    browser.until("document.querySelector('#movies [data-movie]') !== null")?;
    assert_eq!(browser.text("document.querySelector('.card__title').textContent")?, "The Lantern");
    // The drawing is the same each time.
    let drawing = "document.querySelector('.poster').outerHTML";
    let first = browser.text(drawing)?;
    browser.go(&server.url("/movies/3"))?;
    browser.until("document.querySelector('#movie .poster__title') !== null")?;
    assert_eq!(browser.text(drawing)?, first);
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn a_picture_covers_the_drawing_where_there_is_one() -> Result<()> {
    let browser = Browser::open(Screen::Laptop)?;
    // The browser itself makes the picture.
    let picture: Vec<u8> = serde_json::from_value(browser.value(
        "[...Uint8Array.from(atob(document.createElement('canvas').toDataURL('image/jpeg').split(',')[1]), (c) => c.charCodeAt(0))]",
    )?)?;
    let posters = tempfile::tempdir()?;
    fs::write(posters.path().join("5.jpg"), picture)?;
    let folder = data::write(false)?;
    let server = Server::with_posters(folder.path(), posters.path())?;
    browser.go(&server.url("/movies/5"))?;
    browser.until("document.querySelector('#movie .poster img')?.naturalWidth > 0")?;
    assert_eq!(
        browser.value("document.querySelector('#movie .poster svg') !== null")?,
        true,
        "the drawing is still below"
    );

    // Where there is none the drawing stays, and no broken picture with it.
    browser.go(&server.url("/movies/6"))?;
    browser.until("performance.getEntriesByType('resource').some((entry) => entry.name.endsWith('/posters/6.jpg'))")?;
    browser.until("document.querySelector('#movie .poster svg') !== null && document.querySelector('#movie .poster img') === null")?;
    Ok(())
}
