//! Every page comes up whole, with what the API says, on a laptop and on a phone.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::browser::{Browser, Screen, key};
use crate::data;
use crate::server::Server;

/// Titles or ids of movies in a list on the page.
fn cards(list: &str) -> String {
    format!("[...document.querySelectorAll('{list} [data-movie]')].map(a => a.dataset.movie)")
}

fn ids(answer: &Value) -> Result<Vec<String>> {
    let items = answer["items"].as_array().context("a list")?;
    Ok(items.iter().map(|item| item.get("movie").unwrap_or(item)["movieId"].to_string()).collect())
}

/// Nothing of the page still waits for data, apart from rows far below the screen.
pub(crate) const SETTLED: &str = "document.readyState === 'complete' \
     && [...document.querySelectorAll('[aria-busy]')].every(e => e.getBoundingClientRect().top > innerHeight + 500)";

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn every_page_of_the_demonstration_loads_without_console_errors() -> Result<()> {
    let server = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    let best = server.api("/v1/movies?sort=rating&size=1")?["items"][0].clone();
    let movie = best["movieId"].to_string();
    let genre = best["genres"][0].as_str().context("the best rated movie has a genre")?.to_owned();
    let user = server.api("/v1/users?size=1")?["items"][0]["userId"].to_string();
    let pages = [
        ("/".to_owned(), "#rows [data-movie]"),
        (format!("/movies/{movie}"), "#similar [data-movie]"),
        ("/users".to_owned(), "#users [data-user]"),
        (format!("/users/{user}"), "#recommendations [data-movie]"),
        (format!("/genres/{genre}"), "#movies [data-movie]"),
        ("/search".to_owned(), "#movies [data-movie]"),
        ("/search?q=the".to_owned(), "#movies [data-movie]"),
        ("/api".to_owned(), "#description [data-path]"),
    ];
    for (path, shown) in pages {
        browser.go(&server.url(&path))?;
        browser.until(&format!("document.querySelector('{shown}') !== null && {SETTLED}"))?;
        assert_eq!(browser.console()?, Vec::<String>::new(), "console of {path}");
        assert!(
            browser.text("document.title")?.ends_with("Sparrow") || path == "/",
            "title of {path}"
        );
    }
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn home_shows_the_public_rows_and_all_genres() -> Result<()> {
    let server = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/"))?;
    let home = server.api("/v1/home?size=20")?;
    for found in home["rows"].as_array().context("rows")? {
        let key = found["genre"].as_str().or(found["kind"].as_str()).context("a key")?;
        let expected = ids(found)?;
        let row = format!("[data-row=\"{key}\"]");
        browser.until(&format!("document.querySelector('{row}') !== null"))?;
        browser.value(&format!("document.querySelector('{row}').scrollIntoView()"))?;
        browser.until(&format!("{}.length > 0", cards(&row)))?;
        assert_eq!(browser.texts(&cards(&row))?, expected, "the row {key}");
    }
    // A link for each genre, and one for the movies without any.
    let links = server.api("/v1/genres")?["items"].as_array().context("genres")?.len() + 1;
    browser.until(&format!("document.querySelectorAll('#genres a').length === {links}"))?;
    // Rows out of sight are not asked for until they come near.
    browser.value("scrollTo(0, 0)")?;
    let last = "document.querySelector('#rows > section:last-child')";
    browser.until(&format!("{last} !== null && {last}.querySelector('[aria-busy]') !== null"))?;
    browser.value(&format!("{last}.scrollIntoView()"))?;
    browser.until(&format!("{last}.querySelectorAll('[data-movie]').length > 0"))?;
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn movie_page_shows_facts_links_and_the_best_ratings() -> Result<()> {
    let folder = data::write(true)?;
    let server = Server::on(folder.path(), Some(folder.path()))?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/movies/3"))?;
    browser.until("document.querySelector('#fans .stars') !== null")?;
    assert_eq!(browser.text("document.querySelector('h1').textContent")?, "The Lantern");
    assert_eq!(browser.text("document.title")?, "The Lantern (1995) – Sparrow");
    assert_eq!(
        browser.texts("[...document.querySelectorAll('.links a')].map(a => a.href)")?,
        ["https://www.imdb.com/title/tt0100003/", "https://www.themoviedb.org/movie/703"]
    );
    assert_eq!(
        browser.texts("[...document.querySelectorAll('#movie .chip')].map(a => a.textContent)")?,
        ["Drama", "Mystery"]
    );
    assert_eq!(
        browser.text("document.querySelector('#fans .stars').getAttribute('aria-label')")?,
        "4.5 of 5 stars"
    );
    assert_eq!(browser.value("document.querySelectorAll('#fans a').length")?, 0);

    // A movie that is on neither site has no links, and one without a year says so.
    browser.go(&server.url("/movies/4"))?;
    browser.until("document.querySelector('#fans > *') !== null")?;
    assert_eq!(browser.value("document.querySelectorAll('.links a').length")?, 0);
    assert_eq!(
        browser.text("document.querySelector('#movie .eyebrow').textContent")?,
        "Year unknown"
    );
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn similar_movies_change_with_the_model() -> Result<()> {
    let folder = data::write(true)?;
    let server = Server::on(folder.path(), Some(folder.path()))?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/movies/60"))?;
    for model in ["emb", "genre"] {
        if model == "genre" {
            browser.click("#similar-model label:nth-of-type(2)")?;
        }
        browser.until(&format!(
            "document.querySelector('#similar').dataset.model === '{model}' && {SETTLED}"
        ))?;
        let expected = ids(&server.api(&format!("/v1/movies/60/similar?size=15&model={model}"))?)?;
        assert_eq!(browser.texts(&cards("#similar"))?, expected, "by {model}");
    }
    assert_ne!(
        server.api("/v1/movies/60/similar?size=15&model=emb")?["items"],
        server.api("/v1/movies/60/similar?size=15&model=genre")?["items"],
        "the models differ, or the test shows nothing"
    );
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn genre_pages_sort_and_page_and_the_back_button_works() -> Result<()> {
    let folder = data::write(false)?;
    let server = Server::on(folder.path(), None)?;
    let browser = Browser::open(Screen::Laptop)?;
    let expect = |sort: &str, offset: usize| -> Result<()> {
        let expected =
            ids(&server
                .api(&format!("/v1/movies?genre=Drama&sort={sort}&size=42&offset={offset}"))?)?;
        let wanted = serde_json::to_string(&expected)?;
        browser.until(&format!("JSON.stringify({}) === '{wanted}'", cards("#movies")))
    };
    browser.go(&server.url("/genres/Drama"))?;
    expect("rating", 0)?;
    assert_eq!(browser.text("document.querySelector('h1').textContent")?, "Drama");

    browser.click("#controls label:nth-of-type(3)")?;
    expect("releaseYear", 0)?;
    browser.until("location.search === '?sort=releaseYear'")?;
    browser.click("#pages a[rel=next]")?;
    expect("releaseYear", 42)?;
    browser.until("location.search === '?sort=releaseYear&page=2'")?;
    assert_eq!(browser.text("document.querySelector('#pages [aria-current]').textContent")?, "2");

    browser.back()?;
    expect("releaseYear", 0)?;
    browser.back()?;
    expect("rating", 0)?;
    assert_eq!(browser.text("document.querySelector('#controls input:checked').value")?, "rating");

    // The address alone brings the same page back.
    browser.go(&server.url("/genres/Drama?sort=releaseYear&page=2"))?;
    expect("releaseYear", 42)?;
    browser.go(&server.url("/genres/Drama?page=99"))?;
    browser.until("document.querySelector('#pages .state') !== null")?;
    assert_eq!(
        browser.text("document.querySelector('#pages .state__title').textContent")?,
        "There is no such page"
    );
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn movies_without_a_genre_are_listed() -> Result<()> {
    let folder = data::write(false)?;
    let server = Server::on(folder.path(), None)?;
    let browser = Browser::open(Screen::Laptop)?;
    for (page, link) in [("/", "#genres li:last-child a"), ("/movies/4", "#movie .quiet a")] {
        browser.go(&server.url(page))?;
        browser.until(&format!("document.querySelector('{link}') !== null"))?;
        browser.click(link)?;
        browser.until(&format!("location.pathname.startsWith('/genres/') && {SETTLED}"))?;
        browser.until("document.querySelector('#movies [data-movie]') !== null")?;
        assert_eq!(browser.texts(&cards("#movies"))?, ["4"]);
        assert_eq!(browser.text("document.querySelector('h1').textContent")?, "Without a genre");
        assert_eq!(browser.console()?, Vec::<String>::new());
    }
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn a_user_can_be_picked_by_number_by_chance_and_from_the_list() -> Result<()> {
    let folder = data::write(false)?;
    let server = Server::on(folder.path(), None)?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/"))?;
    browser.write("#user-id", "7")?;
    browser.press(key::ENTER)?;
    browser.until("location.pathname === '/users/7'")?;

    browser.go(&server.url("/"))?;
    browser.click("#random-user")?;
    browser.until("/^.users.[1-9]$/.test(location.pathname)")?;

    browser.go(&server.url("/users"))?;
    browser.until("document.querySelectorAll('#users [data-user]').length === 9")?;
    browser.click("#controls label:nth-of-type(2)")?;
    let busiest =
        server.api("/v1/users?sort=ratingCount&size=1")?["items"][0]["userId"].to_string();
    browser.until(&format!("location.search === '?sort=ratingCount' && document.querySelector('#users [data-user]').dataset.user === '{busiest}'"))?;
    browser.click("#users [data-user]")?;
    browser.until(&format!("location.pathname === '/users/{busiest}'"))?;
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn what_does_not_exist_is_said_to_be_missing() -> Result<()> {
    let folder = data::write(false)?;
    let server = Server::on(folder.path(), None)?;
    let browser = Browser::open(Screen::Laptop)?;
    let bad = |path: &str| -> Result<String> {
        browser.go(&server.url(path))?;
        browser.until("document.querySelector('#problem h1') !== null")?;
        // A way on, and nothing left over of the page that could not be shown.
        assert_eq!(browser.value("document.querySelectorAll('#problem a').length")?, 3, "{path}");
        assert_eq!(browser.value("document.querySelectorAll('h1').length")?, 1, "{path}");
        let scripts = browser.console()?;
        assert!(scripts.iter().all(|line| line.contains("status of 4")), "{path}: {scripts:?}");
        browser.text("document.querySelector('#problem').innerText")
    };
    for (path, title) in [
        ("/movies/987654", "There is no movie 987654"),
        ("/users/987654", "There is no user 987654"),
        ("/genres/Polka", "There is no genre “Polka”"),
        ("/search?genre=Polka", "There is no genre “Polka”"),
        ("/movies/abc", "There is no such movie"),
        ("/users/abc", "There is no such user"),
        ("/no/such/page", "There is nothing here"),
    ] {
        assert!(bad(path)?.contains(title), "{path} says what is missing");
        assert_eq!(browser.text("document.title")?, format!("{title} – Sparrow"), "{path}");
    }
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn an_unknown_model_or_genre_in_the_address_is_named_and_the_known_ones_are_linked() -> Result<()> {
    let folder = data::write(true)?;
    let server = Server::on(folder.path(), Some(folder.path()))?;
    let browser = Browser::open(Screen::Laptop)?;
    for (path, title, link, search, list) in [
        (
            "/users/1?model=nope",
            "There is no model named “nope”",
            "popularity",
            "?model=popularity",
            "#recommendations",
        ),
        (
            "/users/1?genres=Polka",
            "There is no genre named “Polka”",
            "Comedy",
            "?genres=Comedy",
            "#recommendations",
        ),
        (
            "/movies/60?model=nope",
            "There is no model named “nope”",
            "genre",
            "?model=genre",
            "#similar",
        ),
    ] {
        browser.go(&server.url(path))?;
        browser.until("document.querySelector('.state--problem') !== null")?;
        assert_eq!(
            browser.text("document.querySelector('.state--problem .state__title').textContent")?,
            title
        );
        browser.click(&format!(".state--problem a[href$='={link}']"))?;
        browser.until(&format!(
            "location.search === '{search}' && document.querySelector('{list} [data-movie]') !== null"
        ))?;
        assert_eq!(browser.value("document.querySelector('.state--problem') === null")?, true);
    }
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn no_page_is_wider_than_a_phone() -> Result<()> {
    let folder = data::write(true)?;
    let server = Server::on(folder.path(), Some(folder.path()))?;
    let browser = Browser::open(Screen::Phone)?;
    let paths = [
        "/",
        "/movies/1",
        "/users",
        "/users/1",
        "/genres/Drama",
        "/search",
        "/search?q=harbour",
        "/search?q=zzzz",
        "/users/1?model=nope",
        "/api",
        "/no/such/page",
    ];
    for path in paths {
        browser.go(&server.url(path))?;
        browser.until(SETTLED)?;
        browser.until(
            "document.querySelector('[data-movie], [data-user], [data-path], .state') !== null",
        )?;
        let width = browser.value("document.documentElement.scrollWidth")?;
        assert_eq!(width, 390, "{path}: too wide is {}", browser.text(
            "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 391).map(e => e.className).slice(0, 5).join(', ')"
        )?);
    }
    Ok(())
}
