//! Signing in on a server with keys or tokens.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use sparrow_test_support::tokens::{AUDIENCE, ISSUER, Issuer, key_set};

use crate::browser::{Browser, Screen};
use crate::server::Server;

/// A key with its table, as `sparrow-serve key` prints them.
fn key(scopes: &str) -> Result<(String, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_sparrow-serve"))
        .args(["key", "--name", "visitor", "--scopes", scopes])
        .output()?;
    anyhow::ensure!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout)?;
    let key = text.lines().find_map(|line| line.strip_prefix("# sparrow_")).context("a key")?;
    Ok((format!("sparrow_{key}"), text.clone()))
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn visitor_signs_in_with_a_key_rates_and_signs_out() -> Result<()> {
    let (key, table) = key("read,write")?;
    let server = Server::configured(&table)?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/users/6"))?;
    browser.until("document.querySelector('#sign-in[open]') !== null")?;
    assert_eq!(
        browser.value("document.querySelector('[data-movie]') === null")?,
        Value::Bool(true)
    );
    browser.write("#key", "sparrow_wrong")?;
    browser.click("#sign-in form button")?;
    browser.until(
        "document.querySelector('#sign-in [role=alert]').textContent.includes('not valid')",
    )?;
    browser.value("(() => { document.querySelector('#key').value = ''; return true })()")?;
    browser.write("#key", &key)?;
    browser.click("#sign-in form button")?;
    browser.until("document.querySelector('#recommendations [data-movie]') !== null")?;

    // Scripts see the key nowhere.
    let seen = "document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })";
    assert!(!browser.text(seen)?.contains("sparrow_"), "a script can read the key");
    let status = "fetch('/v1/users/6/ratings/1', { method: 'PUT', headers: { 'content-type': 'application/json' }, \
                  body: '{\"stars\":4}' }).then((answer) => answer.status)";
    assert_eq!(browser.value(status)?, 200);

    browser.value("document.querySelector('#sign-out').scrollIntoView()")?;
    browser.click("#sign-out")?;
    browser.until("document.querySelector('#sign-in[open]') !== null")?;
    assert_eq!(browser.value("fetch('/v1/users/6').then((answer) => answer.status)")?, 401);
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn visitor_with_a_token_is_its_user_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (issuer, keys) = (Issuer::new("one"), folder.path().join("jwks.json"));
    std::fs::write(&keys, key_set(&[issuer.jwk()]))?;
    let server = Server::configured(&format!(
        "[auth.tokens]\nissuer = '{ISSUER}'\naudience = '{AUDIENCE}'\njwks_file = '{}'\n",
        keys.display()
    ))?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/"))?;
    browser.until("document.querySelector('#sign-in[open]') !== null")?;
    browser.write("#key", &issuer.token_of(6, 600))?;
    browser.click("#sign-in form button")?;
    // The home page is that of the user, without ways to others.
    browser.until("document.querySelector('#you-rows [data-movie]') !== null")?;
    assert_eq!(browser.text("document.querySelector('#me').textContent")?, "User 6");
    let others = "['#pick-user', '#start-new', '.top__nav a[href=\"/users\"]'].some((way) => \
                  document.querySelector(way).checkVisibility())";
    assert_eq!(browser.value(others)?, false);
    browser.click("#me")?;
    browser.until("document.querySelector('.chooser[open]') !== null")?;
    assert_eq!(browser.value("document.querySelector('#me-id') === null")?, true);
    let status = |path: &str| browser.value(&format!("fetch('{path}').then((it) => it.status)"));
    assert_eq!((status("/v1/users/6")?, status("/v1/users/7")?), (200.into(), 403.into()));
    let token = "document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })";
    assert!(!browser.text(token)?.contains("eyJ"), "a script can read the token");
    browser.value("document.querySelector('.chooser').close()")?;
    browser.value("document.querySelector('#sign-out').scrollIntoView()")?;
    browser.click("#sign-out")?;
    browser.until("document.querySelector('#me').textContent === 'Who are you?'")?;
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn page_of_another_origin_cannot_use_the_session() -> Result<()> {
    let (key, table) = key("read,write")?;
    let server = Server::configured(&table)?;
    let other = Server::demonstration()?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&server.url("/"))?;
    let sign_in = format!(
        "fetch('/v1/session', {{ method: 'POST', headers: {{ 'content-type': 'application/json' }}, \
         body: '{{\"key\":\"{key}\"}}' }}).then((answer) => answer.status)"
    );
    assert_eq!(browser.value(&sign_in)?, 200);
    assert_eq!(browser.value("fetch('/v1/users/6').then((answer) => answer.status)")?, 200);
    // Another port of this host is the same site, so that the browser sends the cookie.
    browser.go(&other.url("/healthz"))?;
    let url = server.url("/v1/users/6/ratings/1");
    let write = format!(
        "fetch('{url}', {{ method: 'DELETE', credentials: 'include', mode: 'cors' }}).then(() => 'read', () => 'refused')"
    );
    assert_eq!(browser.value(&write)?, "refused");
    let read = format!(
        "fetch('{}', {{ credentials: 'include' }}).then(() => 'read', () => 'refused')",
        server.url("/v1/users/6")
    );
    assert_eq!(browser.value(&read)?, "refused");
    Ok(())
}
