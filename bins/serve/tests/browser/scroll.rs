//! Back leads to where a page was left.

use anyhow::Result;

use crate::browser::{Browser, Screen};
use crate::data;
use crate::pages::SETTLED;
use crate::server::Server;

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn back_from_a_movie_restores_the_scroll_position() -> Result<()> {
    let server = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.delay(80)?;
    for (path, list) in [
        ("/", "#rows [data-movie]"),
        ("/genres/Drama", "#movies [data-movie]"),
        ("/users/6?show=56", "#recommendations [data-movie]"),
        ("/users?page=2", "#users [data-user]"),
        ("/search?q=the", "#movies [data-movie]"),
    ] {
        browser.go(&server.url(path))?;
        browser.until(&format!("document.querySelector('{list}') !== null && {SETTLED}"))?;
        browser.value("scrollTo(0, 640)")?;
        browser.until("scrollY === 640")?;
        browser.value("location.assign('/movies/1')")?;
        browser.until(
            "location.pathname === '/movies/1' && document.querySelector('#movie h1') !== null",
        )?;
        assert_eq!(browser.value("scrollY")?, 0, "a new page starts at its top");
        browser.back()?;
        browser.until(&format!("document.querySelector('{list}') !== null && {SETTLED}"))?;
        browser.until("scrollY === 640")?;
    }
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn back_within_a_page_restores_the_scroll_position() -> Result<()> {
    let folder = data::write(false)?;
    let server = Server::on(folder.path(), None)?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/genres/Drama"))?;
    browser.until("document.querySelectorAll('#movies [data-movie]').length === 42")?;
    browser.value("scrollTo(0, 600)")?;
    browser.until("scrollY === 600")?;
    browser.value("document.querySelector('#pages a[rel=next]').click()")?;
    browser.until("document.querySelector('#pages [aria-current]')?.textContent === '2'")?;
    browser.back()?;
    browser.until(
        "document.querySelector('#pages [aria-current]')?.textContent === '1' && scrollY === 600",
    )?;

    // A reload keeps the position, too.
    browser.value("location.reload()")?;
    browser.until(
        "document.querySelectorAll('#movies [data-movie]').length === 42 && scrollY === 600",
    )?;
    Ok(())
}
