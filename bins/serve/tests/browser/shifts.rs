//! Layout shifts while a page loads, as Chromium measures them.

use anyhow::Result;

use crate::browser::{Browser, Screen};
use crate::pages::SETTLED;
use crate::server::Server;

/// The limit for the cumulative layout shift of a page. Web Vitals calls 0.1 good.
const LIMIT: f64 = 0.05;

/// Sums the shifts that no input caused, and keeps what moved.
const OBSERVER: &str = "window.shifts = 0; window.moved = [];
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
            if (entry.hadRecentInput) continue;
            window.shifts += entry.value;
            for (const { node, previousRect, currentRect } of entry.sources) {
                window.moved.push(`${node?.id || node?.className || node?.nodeName}: ${previousRect.y} to ${currentRect.y}`);
            }
        }
    }).observe({ type: 'layout-shift', buffered: true });";

/// Resolves when all shifts so far have been reported.
const REPORTED: &str = "new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => resolve(true)))))";

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
#[expect(clippy::print_stdout, reason = "`--nocapture` shows the figures")]
fn nothing_moves_while_a_page_loads() -> Result<()> {
    let server = Server::demonstration()?;
    let mut faults = Vec::new();
    let browser = Browser::open(Screen::Laptop)?;
    browser.prepare(OBSERVER)?;
    // So that what comes first is painted before the rest is there.
    browser.delay(80)?;
    for (width, height, name) in [(1280, 800, "laptop"), (390, 844, "phone")] {
        browser.resize(width, height)?;
        for path in [
            "/",
            "/users/6",
            "/users/6?model=popularity",
            "/users",
            "/movies/1",
            "/genres/Drama",
            "/search",
            "/search?q=the",
            "/api",
        ] {
            browser.go(&server.url(path))?;
            browser.until(&format!(
                "document.querySelector('[data-movie], [data-user], [data-path]') !== null && {SETTLED}"
            ))?;
            browser.until(REPORTED)?;
            let shifts = browser.value("window.shifts")?.as_f64().unwrap_or(f64::INFINITY);
            println!("{path} on a {name}: {shifts:.4}");
            if shifts >= LIMIT {
                faults.push((name, path, shifts, browser.texts("window.moved")?));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    Ok(())
}
