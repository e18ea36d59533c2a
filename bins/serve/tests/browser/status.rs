//! The page for operators.

use anyhow::Result;

use crate::accessibility::AUDIT;
use crate::browser::{Browser, Screen};
use crate::server::Server;

const FILLED: &str = "document.querySelectorAll('[data-route]').length > 0 && document.getElementById('pause').hidden === false";

fn server_with_traffic() -> Result<Server> {
    let server = Server::with_admin_port()?;
    // The first sample is the basis of the differences.
    server.admin_api("/status.json")?;
    for path in ["/v1/movies/1", "/v1/users/1/recommendations", "/v1/users/2/home"] {
        server.api(path)?;
    }
    Ok(server)
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn status_page_is_readable_and_shows_what_the_server_did() -> Result<()> {
    let server = server_with_traffic()?;
    for screen in [Screen::Laptop, Screen::Phone] {
        let browser = Browser::open(screen)?;
        for scheme in ["light", "dark"] {
            browser.prefer(scheme)?;
            browser.go(&server.admin_url("/status"))?;
            browser.until(FILLED)?;
            let faults = browser.texts(AUDIT)?;
            // It has no search.
            let faults: Vec<_> =
                faults.iter().filter(|fault| !fault.contains("[role=search]")).collect();
            assert_eq!(faults, Vec::<&String>::new(), "{scheme}");
        }
        let routes = browser
            .texts("[...document.querySelectorAll('[data-route]')].map(e => e.dataset.route)")?;
        assert!(routes.iter().any(|route| route == "/v1/movies/{id}"), "{routes:?}");
        let models = browser
            .texts("[...document.querySelectorAll('[data-model]')].map(e => e.dataset.model)")?;
        assert!(models.iter().any(|model| model == "emb"), "{models:?}");
        assert_eq!(browser.text("document.querySelector('[data-state]').dataset.state")?, "ready");
        // Wide tables scroll, the page does not.
        browser.until("document.documentElement.scrollWidth <= innerWidth")?;
        // Each drawing is described.
        browser.until("document.querySelectorAll('.chart').length >= 4 && [...document.querySelectorAll('.chart__drawing')].every(e => e.getAttribute('aria-label').includes('last hour'))")?;
        assert_eq!(
            browser.texts("performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith(location.origin))")?,
            Vec::<String>::new()
        );
        assert_eq!(browser.console()?, Vec::<String>::new());
    }
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn status_page_updates_itself_when_it_is_resumed() -> Result<()> {
    let server = server_with_traffic()?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.admin_url("/status"))?;
    browser.until(FILLED)?;
    browser.click("#pause")?;
    browser.until("document.getElementById('pause').getAttribute('aria-pressed') === 'true'")?;
    server.api("/v1/genres")?;
    assert_eq!(
        browser.text("String(document.querySelector('[data-route=\"/v1/genres\"]'))")?,
        "null"
    );
    browser.click("#pause")?;
    browser.until("document.querySelector('[data-route=\"/v1/genres\"]') !== null")?;
    assert_eq!(browser.console()?, Vec::<String>::new());
    Ok(())
}
