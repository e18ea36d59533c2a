//! The user page: history, taste, recommendations and where they come from.

use anyhow::{Context, Result};

use crate::browser::{Browser, Screen, key};
use crate::data;
use crate::pages::SETTLED;
use crate::server::Server;

const RECOMMENDED: &str =
    "[...document.querySelectorAll('#recommendations [data-movie]')].map(a => a.dataset.movie)";
const SEEN: &str =
    "[...document.querySelectorAll('#history [data-movie]')].map(a => a.dataset.movie)";

fn answered_by(model: &str) -> String {
    format!(
        "document.querySelector('#answered-by')?.dataset.model === '{model}' && document.querySelector('#recommendations').dataset.model === '{model}'"
    )
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn a_click_on_a_recommendation_leads_to_its_movie_page() -> Result<()> {
    let server = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    let user = server.api("/v1/users?size=1")?["items"][0]["userId"].to_string();
    browser.go(&server.url(&format!("/users/{user}")))?;
    browser.until("document.querySelector('#recommendations [data-movie]') !== null")?;
    let movie = browser.text(&format!("{RECOMMENDED}[0]"))?;
    let title =
        browser.text("document.querySelector('#recommendations .card__title').textContent")?;
    browser.click("#recommendations [data-movie]")?;
    browser.until(&format!(
        "location.pathname === '/movies/{movie}' && document.querySelector('#movie h1') !== null"
    ))?;
    assert_eq!(browser.text("document.querySelector('#movie h1').textContent")?, title);
    assert_eq!(browser.console()?, Vec::<String>::new());
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn features_are_shown_where_somebody_wants_to_see_them() -> Result<()> {
    let server = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    for (page, field) in [("/users/6", "userRatingCount"), ("/movies/1", "movieRatingCount")] {
        browser.go(&server.url(page))?;
        browser.until("document.querySelector('#features summary') !== null")?;
        let stored = server.api(&format!("/v1{page}/features"))?;
        browser.click("#features summary")?;
        browser.until("document.querySelector('#features dl') !== null")?;
        let shown = browser.texts(
            "[...document.querySelectorAll('#features dl > div')].map(e => e.textContent)",
        )?;
        let value = stored["features"][field].as_str().context("a field")?;
        assert!(shown.contains(&format!("{field}{value}")), "{shown:?}");
        // Movies have their titles rather than ids.
        for (name, id) in stored["features"].as_object().context("features")? {
            if name.starts_with("userRatedMovie") {
                let movie = server.api(&format!("/v1/movies/{}", id.as_str().context("an id")?))?;
                let link = format!(
                    "[...document.querySelectorAll('#features dl > div')].find(e => e.firstChild.textContent === '{name}').querySelector('a')"
                );
                assert_eq!(
                    browser.value(&format!("Number({link}.dataset.movie)"))?,
                    movie["movieId"]
                );
                assert_ne!(browser.text(&format!("{link}.textContent"))?, *id);
            }
        }
        let bars =
            browser.text("String(document.querySelectorAll('#features .vector__bar').length)")?;
        let vector = stored["embedding"].as_array().context("a vector")?;
        assert_eq!(bars, vector.len().to_string());
        assert_eq!(browser.console()?, Vec::<String>::new());
    }
    Ok(())
}

/// A store that cannot be reached: what is said of a user must not sound as if there were none.
#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn a_user_whose_store_is_away_is_not_unknown() -> Result<()> {
    let server = Server::without_its_store()?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/users/6"))?;
    browser.until("document.querySelector('#problem h1') !== null")?;
    let text = browser.text("document.querySelector('#problem').textContent")?;
    assert!(text.contains("503") && text.contains("feature store does not answer"), "{text}");
    browser.go(&server.url("/movies/1"))?;
    browser.until("document.querySelector('#similar [data-movie]') !== null")?;
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn changing_the_model_changes_the_list_and_names_the_model() -> Result<()> {
    let folder = data::write(true)?;
    let server = Server::on(folder.path(), Some(folder.path()))?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/users/1"))?;
    browser.until(&answered_by("emb"))?;
    let by_embedding = browser.texts(RECOMMENDED)?;
    assert_eq!(
        by_embedding.first().map(String::as_str),
        Some("60"),
        "nearest to the user's vector"
    );
    assert!(browser.texts("[...document.querySelectorAll('#recommendations .why__tag')].map(e => e.textContent)")?.iter().any(|tag| tag == "similar taste"));
    assert!(
        browser
            .text("document.querySelector('#recommendations .why__score').textContent")?
            .starts_with("No. 1")
    );

    browser.click("#recommendation-controls label:has(input[value=popularity])")?;
    browser.until(&answered_by("popularity"))?;
    let by_popularity = browser.texts(RECOMMENDED)?;
    assert_eq!(by_popularity.first().map(String::as_str), Some("30"), "rated by most");
    assert_ne!(by_popularity, by_embedding);
    // The score of popularity is a number of ratings; users 2 to 9 have rated movie 30.
    assert_eq!(
        browser.text("document.querySelector('#recommendations .why__score').textContent")?,
        "No. 1, 8 ratings"
    );
    assert_eq!(browser.text("location.search")?, "?model=popularity");
    assert_eq!(
        browser.value("document.querySelector('#degraded') === null")?,
        true,
        "nothing was degraded"
    );

    browser.back()?;
    browser.until(&answered_by("emb"))?;
    assert_eq!(browser.texts(RECOMMENDED)?, by_embedding);

    // By keyboard, too: the focus stays on the control while the list changes.
    browser.value("document.querySelector('#recommendation-controls input:checked').focus()")?;
    browser.press(key::DOWN)?;
    browser.until("document.activeElement.name === 'model' && document.activeElement.value !== 'emb' && document.activeElement.checked")?;
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn a_fallback_is_visible_and_gives_its_reason() -> Result<()> {
    let folder = data::write(false)?;
    let server = Server::on(folder.path(), None)?;
    let browser = Browser::open(Screen::Laptop)?;
    let answer = server.api("/v1/users/1/recommendations?model=emb")?;
    assert_eq!(answer["degraded"], true, "without embeddings the emb model cannot answer");
    let real = answer["model"].as_str().context("a model")?;
    browser.go(&server.url("/users/1?model=emb"))?;
    browser.until(&answered_by(real))?;
    browser.until("document.querySelector('#degraded') !== null")?;
    let notice = browser.text("document.querySelector('#degraded').textContent")?;
    assert!(notice.contains("Embedding") && notice.contains("not available"), "{notice}");
    assert!(browser.text("document.querySelector('#recommendation-controls input[value=emb] + span').textContent")?.contains("unavailable"));

    // And the notice goes when the model asked for is the one that answers.
    browser.click("#recommendation-controls label:has(input[value=popularity])")?;
    browser.until(&format!(
        "document.querySelector('#degraded') === null && location.search === '' && {SETTLED}"
    ))?;

    browser.go(&server.url("/movies/5"))?;
    browser.until("document.querySelector('#similar-notice .notice') !== null")?;
    Ok(())
}

/// A model server that does not run, and a model folder that does not exist.
#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn models_are_offered_with_their_state_and_the_one_that_stepped_in_is_named() -> Result<()> {
    let server = Server::configured(
        "[[models]]\nname = 'recmodel'\nkind = 'tf-serving'\nurl = 'http://127.0.0.1:9/v1/models/m'\n\
         [[models]]\nname = 'next'\nkind = 'neuralcf'\npath = 'next'\nfallback = 'popularity'\n",
    )?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/users/6?model=recmodel"))?;
    browser.until(&answered_by("neuralcf"))?;
    browser.until("document.querySelector('#degraded') !== null")?;
    let notice = browser.text("document.querySelector('#degraded').textContent")?;
    assert!(notice.contains("“recmodel” could not answer"), "{notice}");
    assert!(notice.contains("fallback"), "{notice}");
    let marks = "[...document.querySelectorAll('#recommendation-controls input[name=model]')].map(i => i.nextSibling.textContent)";
    browser.until(&format!("{marks}.includes('next (unavailable)')"))?;
    let offered = browser.texts(marks)?;
    assert!(offered.contains(&"Embedding".to_owned()), "{offered:?}");
    assert!(
        browser
            .text("document.querySelector('#recommendation-controls').textContent")?
            .contains("next is unavailable: the model's folder does not exist.")
    );

    // The table tells more, and counts.
    browser.click("details:has(#models) summary")?;
    let row = |model: &str| {
        format!(
            "[...document.querySelectorAll('#models tr[data-model={model}] > *')].map(e => e.textContent)"
        )
    };
    browser.until(&format!("{}[4] === 'NeuralCF'", row("recmodel")))?;
    let cells = browser.texts(&row("recmodel"))?;
    assert!(cells[1].starts_with("TensorFlow Serving"), "{cells:?}");
    assert!(cells[2].contains("cannot connect"), "{cells:?}");
    // The list and the rows below it.
    browser.until(&format!("Number.parseInt({}[5]) > 1", row("neuralcf")))?;
    assert_eq!(browser.texts(&row("next"))?[4], "Popularity");
    assert_eq!(browser.console()?, Vec::<String>::new());
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn genres_narrow_the_recommendations() -> Result<()> {
    let folder = data::write(true)?;
    let server = Server::on(folder.path(), Some(folder.path()))?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/users/1"))?;
    browser.until(&answered_by("emb"))?;
    browser
        .until("document.querySelector('#recommendation-controls input[value=Comedy]') !== null")?;
    browser.click("#recommendation-controls label:has(input[value=Comedy])")?;
    // Of this data's movies each third one is a comedy.
    browser.until(&format!(
        "{SETTLED} && {RECOMMENDED}.length > 3 && {RECOMMENDED}.every(id => id % 3 === 0)"
    ))?;
    assert_eq!(browser.text("location.search")?, "?genres=Comedy");
    // The space bar takes the choice back.
    browser.until("document.activeElement.value === 'Comedy'")?;
    browser.press(key::SPACE)?;
    browser.until(&format!(
        "{SETTLED} && {RECOMMENDED}.some(id => id % 3 !== 0) && location.search === ''"
    ))?;
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn history_shows_half_stars_newest_first_in_pages() -> Result<()> {
    let folder = data::write(true)?;
    let server = Server::on(folder.path(), Some(folder.path()))?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/users/1"))?;
    let newest: Vec<String> = (6..=data::HISTORY).rev().map(|id| id.to_string()).collect();
    browser.until(&format!("{SEEN}.length === 20"))?;
    assert_eq!(browser.texts(SEEN)?, newest);
    let stars = "[...document.querySelectorAll('#history [role=slider]')].slice(0, 2).map(e => e.getAttribute('aria-valuetext'))";
    browser.until(&format!("!{stars}.includes('not rated')"))?;
    assert_eq!(browser.texts(stars)?, ["4.5 stars", "3.5 stars"]);
    // Drawn as wide as the rating: 4.5 stars of 20 units each.
    assert_eq!(
        browser.text("document.querySelector('#history .stars svg').getAttribute('width')")?,
        "90"
    );
    browser.click("#history-pages a[rel=next]")?;
    browser.until(&format!("JSON.stringify({SEEN}) === '[\"5\",\"4\",\"3\",\"2\",\"1\"]'"))?;
    assert_eq!(browser.text("location.search")?, "?page=2");
    assert_eq!(
        browser.text("document.activeElement.id")?,
        "history-title",
        "the focus moves to the new page's heading"
    );
    browser.back()?;
    browser.until(&format!("{SEEN}.length === 20"))?;
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn favourite_genres_are_drawn_from_the_data() -> Result<()> {
    let folder = data::write(true)?;
    let server = Server::on(folder.path(), Some(folder.path()))?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/users/1"))?;
    browser.until("document.querySelectorAll('#taste .bar').length > 0")?;
    let bars = browser.texts("[...document.querySelectorAll('#taste .bar')].map(b => b.querySelector('.bar__name').textContent + ' ' + b.querySelector('.bar__count').textContent)")?;
    // Movies 1 to 25 but for number 4 are dramas; 6, 9, … 24 are comedies as well; all of them are liked.
    assert_eq!(bars, ["Drama liked 24 of 24", "Comedy liked 7 of 7", "Mystery liked 1 of 1"]);
    let widths = browser.texts("[...document.querySelectorAll('#taste .bar__rated')].map(b => Math.round(parseFloat(b.style.width)) + '%')")?;
    assert_eq!(widths, ["100%", "29%", "4%"]);
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn more_recommendations_come_on_demand() -> Result<()> {
    let server = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    let user = server.api("/v1/users?size=1")?["items"][0]["userId"].to_string();
    browser.go(&server.url(&format!("/users/{user}")))?;
    browser.until(&format!(
        "{RECOMMENDED}.length === 28 && !document.querySelector('#show-more').hidden"
    ))?;
    let first = browser.texts(RECOMMENDED)?;
    browser.click("#show-more")?;
    browser.until(&format!("{RECOMMENDED}.length === 56"))?;
    assert_eq!(
        browser.texts(&format!("{RECOMMENDED}.slice(0, 28)"))?,
        first,
        "what was there stays"
    );
    assert_eq!(
        browser.text("document.querySelector('#recommendations + * button').id")?,
        "show-more",
        "the button follows the list"
    );
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn user_page_has_the_rows_of_the_user_by_the_chosen_model() -> Result<()> {
    let server = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    let rows = |browser: &Browser| {
        browser.texts("[...document.querySelectorAll('#rows .row__title')].map(e => e.textContent)")
    };
    for model in ["emb", "popularity"] {
        let home = server.api(&format!("/v1/users/6/home?size=28&model={model}"))?;
        let found = home["rows"].as_array().context("rows")?;
        let genres = found.iter().filter_map(|row| row["genre"].as_str());
        if model == "emb" {
            browser.go(&server.url("/users/6?model=emb"))?;
        } else {
            browser.click("#recommendation-controls label:has(input[value=popularity])")?;
        }
        browser.until(&answered_by(model))?;
        for row in found.iter().skip(1) {
            let key = row["genre"].as_str().or(row["kind"].as_str()).context("a key")?;
            let first = &row["items"][0]["movie"]["movieId"];
            let link = format!("document.querySelector('#rows [data-row=\"{key}\"] [data-movie]')");
            browser.until(&format!("{link}?.dataset.movie === '{first}'"))?;
        }
        let shown = rows(&browser)?;
        assert_eq!(shown.len(), found.len() - 1);
        assert!(genres.into_iter().all(|genre| shown.iter().any(|title| title == genre)));
        assert!(shown[0].starts_with("Because you liked "), "{shown:?}");
    }
    assert_eq!(browser.console()?, Vec::<String>::new());
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn two_models_are_compared_side_by_side() -> Result<()> {
    let folder = data::write(true)?;
    let server = Server::on(folder.path(), Some(folder.path()))?;
    let ids = |model: &str| -> Result<Vec<String>> {
        let answer = server.api(&format!("/v1/users/1/recommendations?size=10&model={model}"))?;
        let items = answer["items"].as_array().context("items")?;
        Ok(items.iter().map(|item| item["movie"]["movieId"].to_string()).collect())
    };
    let shown = |model: &str| {
        format!(
            "[...document.querySelectorAll('.versus__side[data-model={model}] [data-movie]')].map(a => a.dataset.movie)"
        )
    };
    let is_shown = |model: &str, ids: &[String]| {
        format!("JSON.stringify({}) === '{}'", shown(model), serde_json::json!(ids))
    };
    for screen in [Screen::Laptop, Screen::Phone] {
        let browser = Browser::open(screen)?;
        browser.go(&server.url("/users/1"))?;
        browser.until(&answered_by("emb"))?;
        assert_eq!(browser.texts(&shown("emb"))?, Vec::<String>::new());
        browser.click("#versus summary")?;
        let by_embedding = ids("emb")?;
        browser.until(&is_shown("emb", &by_embedding))?;
        for second in ["emb", "popularity"] {
            let label = format!("#versus-controls label:has(input[name=second][value={second}])");
            browser.click(&label)?;
        }
        let by_popularity = ids("popularity")?;
        browser.until(&is_shown("popularity", &by_popularity))?;
        browser.until(&is_shown("emb", &by_embedding))?;
        let common = by_popularity.iter().filter(|id| by_embedding.contains(id)).count();
        let summary = browser.text("document.querySelector('#versus-summary').textContent")?;
        assert!(summary.starts_with(&format!("{common} movie")), "{summary}");
        let only = browser.texts("[...document.querySelectorAll('.versus__side[data-model=popularity] li > .quiet')].map(e => e.textContent).filter(t => t === 'only here')")?;
        assert_eq!(only.len(), 10 - common);
        // Beside each other on a laptop, below each other on a phone.
        let tops = browser.texts("[...document.querySelectorAll('.versus__side')].map(e => String(Math.round(e.getBoundingClientRect().top)))")?;
        assert_eq!(tops[0] == tops[1], matches!(screen, Screen::Laptop), "{tops:?}");
        assert_eq!(
            browser.value("document.documentElement.scrollWidth <= innerWidth")?,
            true,
            "the page is too wide"
        );
        // The address names both models; the list above stays as it is.
        assert_eq!(browser.text("location.search")?, "?first=emb&second=popularity");
        browser.value("location.reload()")?;
        browser.until(&is_shown("popularity", &by_popularity))?;
        browser.until(&answered_by("emb"))?;
        assert_eq!(browser.console()?, Vec::<String>::new());
    }
    Ok(())
}
