//! Back leads to where a page was left.

use anyhow::Result;
use serde_json::Value;

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

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn back_restores_rows_and_opened_boxes() -> Result<()> {
    let server = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.delay(80)?;
    let away_and_back = || -> Result<()> {
        browser.value("location.assign('/movies/1')")?;
        browser.until(
            "location.pathname === '/movies/1' && document.querySelector('#movie h1') !== null",
        )?;
        browser.back()?;
        Ok(())
    };

    // The last row is drawn again only when it comes near.
    browser.go(&server.url("/"))?;
    browser
        .until(&format!("document.querySelector('#rows [data-movie]') !== null && {SETTLED}"))?;
    let last = "document.querySelector('#rows > section:last-child .row__list')";
    browser.value(&format!("{last}.scrollIntoView()"))?;
    browser.until(&format!("{last}.querySelectorAll('[data-movie]').length > 10"))?;
    browser.value(&format!("{last}.scrollTo({{ left: 300, behavior: 'instant' }})"))?;
    browser.value("scrollTo(0, 0)")?;
    let first = "document.querySelector('#rows .row__list')";
    browser.value(&format!("{first}.scrollTo({{ left: 500, behavior: 'instant' }})"))?;
    let left = browser.value(&format!("{first}.scrollLeft"))?;
    let last_left = browser.value(&format!("{last}.scrollLeft"))?;
    assert!(left != 0 && last_left != 0, "{left} {last_left}");
    away_and_back()?;
    // Rows snap to their cards, also after they were measured here.
    let near = |row: &str, left: &Value| format!("Math.abs({row}?.scrollLeft - {left}) < 60");
    browser.until(&near(first, &left))?;
    browser.value(&format!("{last}.scrollIntoView()"))?;
    browser.until(&near(last, &last_left))?;

    browser.go(&server.url("/users/6"))?;
    browser.until(&format!("document.querySelector('#features summary') !== null && {SETTLED}"))?;
    // Clicks of the driver would hit the bar at the top, which is above what it scrolls to.
    browser.value("document.querySelector('#features summary').click()")?;
    browser.value("document.querySelector('details:has(#models) summary').click()")?;
    browser.until("document.querySelectorAll('#models tbody tr').length > 0")?;
    browser.until("document.querySelector('#features dl, #features p') !== null")?;
    away_and_back()?;
    browser.until(
        "[...document.querySelectorAll('details')].filter((box) => box.open).length === 2 \
         && document.querySelector('#features dl, #features p') !== null \
         && document.querySelectorAll('#models tbody tr').length > 0",
    )?;
    Ok(())
}
