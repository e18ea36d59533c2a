//! What a keyboard and a screen reader need.

use anyhow::Result;

use crate::browser::{Browser, Screen, key};
use crate::data;
use crate::pages::SETTLED;
use crate::server::Server;

/// Faults that can be seen from the document: a list of sentences, empty when there are none.
pub(crate) const AUDIT: &str = r"(() => {
    const faults = [];
    const visible = (e) => e.checkVisibility();
    const name = (e) => (e.getAttribute('aria-label')
        ?? (e.getAttribute('aria-labelledby') ?? '').split(' ').map((id) => document.getElementById(id)?.textContent ?? '').join(' ')).trim()
        || [...(e.labels ?? [])].map((l) => l.textContent).join(' ').trim()
        || e.textContent.trim();
    const each = (selector, check) => document.querySelectorAll(selector).forEach((e) => {
        const fault = visible(e) && check(e);
        if (fault) faults.push(`${fault}: ${e.outerHTML.slice(0, 160)}`);
    });
    for (const one of ['h1', 'main', 'header', 'footer', '[role=search]']) {
        const found = [...document.querySelectorAll(one)].filter(visible).length;
        if (found !== 1) faults.push(`${found} visible ${one}`);
    }
    if (!document.documentElement.lang) faults.push('no language');
    if (!document.title) faults.push('no title');
    const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
    for (const id of new Set(ids.filter((id, k) => ids.indexOf(id) !== k))) faults.push(`id twice: ${id}`);
    each('a[href], button, input, select', (e) => !name(e) && 'no name');
    each('nav, section', (e) => !e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby') && 'unnamed landmark');
    each('svg', (e) => e.getAttribute('aria-hidden') !== 'true' && !e.parentElement.closest('svg') && !(e.getAttribute('role') === 'img' && e.getAttribute('aria-label')) && 'neither named nor hidden');
    each('img', (e) => !e.hasAttribute('alt') && 'no alternative text');
    each('[tabindex]', (e) => e.tabIndex > 0 && 'tab order by number');
    each('ul[role=list] > :not(li), ol[role=list] > :not(li)', () => 'no list item in a list');
    each('[aria-labelledby], [aria-controls], [aria-activedescendant]', (e) =>
        ['aria-labelledby', 'aria-controls', 'aria-activedescendant'].some((a) => (e.getAttribute(a) ?? '').split(' ').some((id) => id && !document.getElementById(id))) && 'points to nothing');
    const levels = [...document.querySelectorAll('h1, h2, h3')].filter(visible).map((e) => Number(e.tagName[1]));
    if (levels[0] !== 1 || levels.some((l, k) => k > 0 && l > levels[k - 1] + 1)) faults.push(`heading levels ${levels}`);
    // Contrast of text that stands on a plain background, after WCAG 2.2, 1.4.3.
    const rgb = (c) => (c.match(/[0-9.]+/g) ?? []).map(Number);
    const lum = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((s, v, k) => s + v * [0.2126, 0.7152, 0.0722][k], 0);
    const seen = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || seen.has(e) || !visible(e) || e.closest('svg, .hidden, .skip, :disabled, .pager__link--off')) continue;
        if (e.querySelector('input:disabled') || e.closest('label')?.querySelector('input:disabled')) continue;
        seen.add(e);
        let ground = e;
        while (ground && (rgb(getComputedStyle(ground).backgroundColor)[3] ?? 1) === 0) ground = ground.parentElement;
        const back = ground ? getComputedStyle(ground).backgroundColor : getComputedStyle(document.body).backgroundColor;
        if (back.startsWith('color(')) continue;
        const style = getComputedStyle(e);
        const [light, dark] = [lum(rgb(style.color)), lum(rgb(back))].sort((x, y) => y - x);
        const ratio = (light + 0.05) / (dark + 0.05);
        const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
        if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)} of ${e.outerHTML.slice(0, 120)} on ${back}`);
    }
    return faults;
})()";

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn pages_are_named_labelled_ordered_and_readable_in_light_and_dark() -> Result<()> {
    let folder = data::write(false)?;
    let server = Server::on(folder.path(), None)?;
    let browser = Browser::open(Screen::Laptop)?;
    let paths = [
        "/",
        "/movies/3",
        "/users",
        "/users/1",
        "/genres/Drama",
        "/search",
        "/search?q=zzzz",
        "/users/1?model=nope",
        "/api",
        "/no/such/page",
        "/users/987654",
    ];
    for scheme in ["light", "dark"] {
        browser.prefer(scheme)?;
        for path in paths {
            browser.go(&server.url(path))?;
            browser.until(&format!(
                "document.querySelector('[data-movie], [data-user], [data-path], .state') !== null && {SETTLED}"
            ))?;
            assert_eq!(browser.texts(AUDIT)?, Vec::<String>::new(), "{path} in {scheme}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn the_first_tab_stop_skips_to_the_content() -> Result<()> {
    let folder = data::write(false)?;
    let server = Server::on(folder.path(), None)?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/users"))?;
    browser.until("document.querySelector('[data-user]') !== null")?;
    browser.press(key::TAB)?;
    browser.until("document.activeElement.className === 'skip' && document.activeElement.getBoundingClientRect().top >= 0")?;
    browser.press(key::ENTER)?;
    browser.until("location.hash === '#main'")?;
    browser.press(key::TAB)?;
    browser.until("document.activeElement.id === 'user-id'")?;
    // What has the focus by keyboard shows it.
    assert_ne!(browser.text("getComputedStyle(document.activeElement).outlineStyle")?, "none");
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn changes_are_announced() -> Result<()> {
    let folder = data::write(true)?;
    let server = Server::on(folder.path(), Some(folder.path()))?;
    let browser = Browser::open(Screen::Laptop)?;
    let says = |text: &str| {
        browser.until(&format!(
            "document.querySelector('#live[aria-live=polite]').textContent.includes('{text}')"
        ))
    };
    browser.go(&server.url("/genres/Drama"))?;
    says("page 1, Best rated")?;
    browser.click("#pages a[rel=next]")?;
    says("page 2, Best rated")?;
    assert_eq!(browser.text("document.activeElement.id")?, "title");
    browser.write("#q", "harbour")?;
    says("7 suggestions")?;
    browser.go(&server.url("/users/1"))?;
    says("ranked by Embedding")?;
    Ok(())
}
