//! The page shells agree with each other, as there is no build step to make them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::server::Server;

const SHELLS: [&str; 8] = ["home", "movie", "user", "users", "genre", "search", "api", "error"];

fn shell(name: &str) -> Result<String> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../crates/http/web/{name}.html"));
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

/// What stands between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Result<&'a str> {
    let start = text.find(from).with_context(|| format!("no {from}"))?;
    let end = text[start..].find(to).with_context(|| format!("no {to}"))?;
    Ok(&text[start..start + end])
}

#[test]
fn header_and_footer_are_the_same_in_every_shell() -> Result<()> {
    let first = shell(SHELLS[0])?;
    for name in SHELLS {
        let text = shell(name)?;
        for (from, to) in
            [("<a class=\"skip\"", "<main"), ("</main>", "</html>"), ("<meta charset", "<title>")]
        {
            assert_eq!(
                between(&text, from, to)?,
                between(&first, from, to)?,
                "{name}.html differs from {from} on"
            );
        }
    }
    Ok(())
}

#[test]
fn shells_hold_nothing_that_the_content_security_policy_forbids() -> Result<()> {
    for name in SHELLS {
        let text = shell(name)?;
        assert!(!text.contains(" style="), "{name}.html has an inline style");
        assert!(!text.contains("<style"), "{name}.html has a style element");
        assert!(
            !text.contains("http://") && !text.contains("https://"),
            "{name}.html names an outside host"
        );
        for tag in text.match_indices("<script").map(|(at, _)| &text[at..]) {
            let tag = between(tag, "<script", "</script>")?;
            assert!(
                tag.contains("src=\"/assets/") && tag.ends_with('>'),
                "{name}.html has an inline script: {tag}"
            );
        }
    }
    Ok(())
}

/// The codes of the API have a text on the pages.
#[test]
fn every_reason_of_the_api_has_a_text() -> Result<()> {
    let description = Server::demonstration()?.api("/openapi.json")?;
    let reasons =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/http/web/assets/reasons.js");
    let texts = fs::read_to_string(reasons)?;
    let mut reasons = 0;
    for schema in ["Recommendations", "SimilarMovies"] {
        let reason = &description["components"]["schemas"][schema]["properties"]["reason"];
        for code in reason["enum"].as_array().context("codes")? {
            let code = code.as_str().context("a code")?;
            assert!(texts.contains(&format!("  \"{code}\": \"")), "{code} has no text");
            reasons += 1;
        }
    }
    assert!(reasons > 10, "{reasons}");
    Ok(())
}

#[test]
fn every_module_a_shell_loads_exists() -> Result<()> {
    for name in SHELLS {
        for part in shell(name)?.split("\"/assets/").skip(1) {
            let file = part.split('"').next().context("a closing quote")?;
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../crates/http/web/assets")
                .join(file);
            assert!(path.is_file(), "{name}.html loads {file}, which does not exist");
        }
    }
    Ok(())
}
