//! Pages of other origins, as the page about SparrowRecSys describes them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::browser::{Browser, Screen};
use crate::server::Server;

/// What the front end of SparrowRecSys requests, and whether a page of any origin may read it.
const REQUESTS: [(&str, bool); 6] = [
    ("/getmovie?id=1&_=1700000000000", true),
    ("/getsimilarmovie?movieId=1&size=3&model=emb", true),
    ("/getrecommendation?genre=Drama&size=3&sortby=rating", true),
    ("/getuser?id=6", false),
    ("/getrecforyou?id=6&size=3&model=emb", false),
    ("/v1/users/6", false),
];

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn a_front_end_on_another_origin_needs_the_documented_line() -> Result<()> {
    let front_end = Server::demonstration()?;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sparrowrecsys.md");
    let page = fs::read_to_string(page)?;
    let (_, line) = page.split_once("```toml\n[cors]\n").context("the line is documented")?;
    let (line, _) = line.split_once("```").context("the block ends")?;
    let line = line.replace("http://127.0.0.1:6020", &front_end.url(""));
    let allowing = Server::configured(&format!("[cors]\n{line}"))?;
    let closed = Server::demonstration()?;

    let browser = Browser::open(Screen::Laptop)?;
    // A document without a content security policy, so that only CORS decides.
    browser.go(&front_end.url("/healthz"))?;
    for (path, always) in REQUESTS {
        for (server, readable) in [(&closed, always), (&allowing, true)] {
            let url = server.url(path);
            let read = format!("fetch('{url}').then((answer) => answer.ok, () => false)");
            assert_eq!(browser.value(&read)?, readable, "{url}");
        }
    }
    Ok(())
}
