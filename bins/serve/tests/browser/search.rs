//! The search box: suggestions by keyboard, results, and nothing found.

use anyhow::Result;

use crate::browser::{Browser, Screen, key};
use crate::data;
use crate::server::Server;

const OPEN: &str = "document.querySelector('#q').getAttribute('aria-expanded') === 'true' \
     && !document.querySelector('#suggestions').hidden \
     && document.querySelectorAll('#suggestions [role=option]').length > 0";
const CLOSED: &str = "document.querySelector('#q').getAttribute('aria-expanded') === 'false' \
     && document.querySelector('#suggestions').hidden";

fn active(index: usize) -> String {
    format!(
        "document.querySelector('#q').getAttribute('aria-activedescendant') === 'suggestion-{index}' \
         && document.querySelector('#suggestion-{index}').getAttribute('aria-selected') === 'true' \
         && document.querySelectorAll('[aria-selected=true]').length === 1"
    )
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn suggestions_are_chosen_by_keyboard() -> Result<()> {
    let folder = data::write(false)?;
    let server = Server::on(folder.path(), None)?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/users"))?;
    browser.write("#q", "harbour")?;
    browser.until(OPEN)?;
    assert_eq!(browser.value("document.querySelectorAll('#suggestions [role=option]').length")?, 7);

    browser.press(key::DOWN)?;
    browser.until(&active(0))?;
    browser.press(key::DOWN)?;
    browser.until(&active(1))?;
    browser.press(key::UP)?;
    browser.press(key::UP)?;
    // Back in the field itself, where the typed text still stands.
    browser.until("!document.querySelector('#q').hasAttribute('aria-activedescendant')")?;
    browser.press(key::UP)?;
    browser.until(&active(6))?;
    assert_eq!(browser.text("document.activeElement.id")?, "q", "the focus stays in the field");

    browser.press(key::ESCAPE)?;
    browser.until(CLOSED)?;
    assert_eq!(browser.text("document.querySelector('#q').value")?, "harbour");
    browser.press(key::DOWN)?;
    browser.until(OPEN)?;
    browser.press(key::DOWN)?;
    browser.until(&active(0))?;
    let chosen =
        browser.text("document.querySelector('#suggestion-0 .suggestion__title').textContent")?;
    browser.press(key::ENTER)?;
    browser.until(
        "location.pathname.startsWith('/movies/') && document.querySelector('#movie h1') !== null",
    )?;
    assert_eq!(browser.text("document.querySelector('#movie h1').textContent")?, chosen);
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn enter_without_a_choice_shows_all_results() -> Result<()> {
    let folder = data::write(false)?;
    let server = Server::on(folder.path(), None)?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/"))?;
    browser.write("#q", "harbour quiet")?;
    browser.press(key::ENTER)?;
    browser.until("location.pathname === '/search' && document.querySelectorAll('#movies [data-movie]').length === 42")?;
    assert_eq!(browser.text("document.querySelector('#count').textContent")?, "56 movies");
    assert_eq!(browser.text("document.querySelector('#q').value")?, "harbour quiet");
    let found = "[...document.querySelectorAll('#movies [data-movie]')].map(a => a.dataset.movie)";
    let mut all = browser.texts(found)?;
    browser.click("#pages a[rel=next]")?;
    browser.until("location.search.endsWith('page=2') && document.querySelectorAll('#movies [data-movie]').length === 14")?;
    all.extend(browser.texts(found)?);
    let mut distinct = all.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!((all.len(), distinct.len()), (56, 56), "each movie is on one page");

    browser.go(&server.url("/search?q=zeppelin"))?;
    browser.until("document.querySelector('#pages .state__title') !== null")?;
    assert_eq!(
        browser.text("document.querySelector('#pages .state__title').textContent")?,
        "No title matches"
    );
    assert_eq!(browser.text("document.querySelector('#count').textContent")?, "0 movies");
    Ok(())
}
