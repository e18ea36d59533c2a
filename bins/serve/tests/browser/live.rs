//! Ratings on the pages: everything follows at once.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::browser::{Browser, Screen};
use crate::server::Server;

const RECOMMENDED: &str =
    "[...document.querySelectorAll('#recommendations [data-movie]')].map(a => a.dataset.movie)";

/// Clicks the fifth star of a control: at the right edge of the stars.
fn five_stars(browser: &Browser, control: &str) -> Result<()> {
    browser.value(&format!(
        "(() => {{ const e = document.querySelector(\"{control} [role=slider]\"); const b = e.getBoundingClientRect(); \
         e.dispatchEvent(new MouseEvent('click', {{ bubbles: true, clientX: b.right - 2, clientY: b.top + 5 }})); return true }})()"
    ))?;
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn rating_and_dismissal_on_a_user_page_change_lists_and_history_without_reload() -> Result<()> {
    let server = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/users/6"))?;
    browser.until("document.querySelector('#recommendations [data-movie]') !== null")?;
    browser.value("window.sameDocument = true")?;
    let before = browser.texts(RECOMMENDED)?;
    let count = server.api("/v1/users/6")?["ratingCount"].as_u64().context("a count")?;
    five_stars(&browser, "#recommendations li:nth-child(2)")?;
    let rated = &before[1];
    browser.until(&format!("{RECOMMENDED}.length > 0 && !{RECOMMENDED}.includes('{rated}')"))?;
    browser.until(&format!(
        "document.querySelector('#history [data-movie]').dataset.movie === '{rated}'"
    ))?;
    browser.until(&format!(
        "document.querySelector('#user-facts dd').textContent === '{}'",
        count + 1
    ))?;
    let user = server.api("/v1/users/6")?;
    assert_eq!(user["ratings"]["items"][0]["score"], 5.0);

    // By keyboard on the history: removed again.
    browser.value(
        "(() => { document.querySelector('#history [role=slider]').focus(); return true })()",
    )?;
    browser.press("\u{E017}")?;
    browser.until(&format!(
        "document.querySelector('#history [data-movie]').dataset.movie !== '{rated}'"
    ))?;
    assert_eq!(server.api("/v1/users/6")?["ratingCount"], count);

    let hidden = browser.text(&format!("{RECOMMENDED}[0]"))?;
    // Away from the bar at the top.
    browser.value(
        "document.querySelector('#recommendations li').scrollIntoView({ block: 'center' })",
    )?;
    browser.click("#recommendations li:first-child .rate__hide")?;
    browser.until(&format!("!{RECOMMENDED}.includes('{hidden}')"))?;
    browser.click(".toast__undo")?;
    browser.until(&format!("{RECOMMENDED}[0] === '{hidden}'"))?;
    assert_eq!(browser.value("window.sameDocument === true")?, Value::Bool(true));
    assert_eq!(browser.console()?, Vec::<String>::new());
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn new_visitor_rates_films_and_sees_the_list_change() -> Result<()> {
    let server = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/"))?;
    browser.until("document.querySelector('#rows .card') !== null")?;
    browser.click("#start-new")?;
    browser.until("document.querySelectorAll('#first-films .card').length >= 5")?;
    assert!(
        browser.text("document.querySelector('#first-left').textContent")?.starts_with("5 films")
    );
    let list = "[...document.querySelectorAll('#you-rows .row:first-child [data-movie]')].map(a => a.dataset.movie).join()";
    let mut shown = browser.text(list)?;
    for film in 1..=5 {
        five_stars(&browser, &format!("#first-films li:nth-child({film})"))?;
        browser.until(&format!("{list} !== '{shown}'"))?;
        shown = browser.text(list)?;
    }
    browser.until("document.querySelector('#first-left').textContent.startsWith('Thank you')")?;
    // The choice outlives the page, and the profile exists.
    browser.go(&server.url("/movies/1"))?;
    browser.until("document.querySelector('#me').textContent.includes('1000000001')")?;
    assert_eq!(server.api("/v1/users/1000000001")?["ratingCount"], 5);
    browser.go(&server.url("/users/1000000001"))?;
    browser.until("document.querySelectorAll('#history .seen').length === 5")?;
    assert_eq!(browser.console()?, Vec::<String>::new());
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn visitor_chooses_a_user_and_learns_where_ratings_are_kept() -> Result<()> {
    let server = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/movies/1"))?;
    browser.until("document.querySelector('#movie [role=slider]') !== null")?;
    browser.click("#me")?;
    browser
        .until("document.querySelector('.chooser').textContent.includes('a restart loses them')")?;
    browser.write("#me-id", "6")?;
    browser.click(".chooser form button")?;
    browser.until("document.querySelector('#me').textContent === 'User 6' && document.querySelector('#movie [role=slider]') !== null")?;
    five_stars(&browser, "#movie")?;
    browser.until("document.querySelector('#movie [role=slider]').getAttribute('aria-valuetext') === '5 stars'")?;
    browser.until("document.querySelector('.toast') !== null")?;
    let ratings = server.api("/v1/users/6")?["ratings"]["items"].clone();
    assert_eq!(ratings[0]["movie"]["movieId"], 1);
    assert_eq!(browser.console()?, Vec::<String>::new());
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn variety_is_a_choice_and_blends_show_reasons_instead_of_scores() -> Result<()> {
    let server = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/users/6"))?;
    browser.until("document.querySelector('#recommendations .why__score') !== null")?;
    let reasons = browser.texts(
        "[...document.querySelectorAll('#recommendations .why__score')].map(e => e.textContent)",
    )?;
    assert!(reasons[0].starts_with("No. 1"), "{reasons:?}");
    assert!(reasons.iter().all(|reason| !reason.contains("score")), "{reasons:?}");
    let before = browser.texts(RECOMMENDED)?;
    browser.click("input[name=diversity][value='0.7']")?;
    browser.until(&format!("location.search.includes('diversity=0.7') && {RECOMMENDED}.length > 0 && {RECOMMENDED}.join() !== '{}'", before.join(",")))?;
    assert_eq!(browser.console()?, Vec::<String>::new());
    Ok(())
}
