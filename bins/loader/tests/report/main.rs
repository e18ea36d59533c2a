//! The pages that `--report` writes: their content, and how they look in Chromium.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod audit;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;

use anyhow::Result;
use sparrow_test_browser::{Browser, Screen};
use support::{fail, loader, succeed};
use tempfile::TempDir;

/// Commands; each writes `NAME.html`.
const COMMANDS: [(&str, &str); 7] = [
    (
        "lists",
        "compare --models popularity emb ease item-knn next-item biases gmf:epochs=2:embedding=8:l2=4 --seeds 2 \
         --resamples 50",
    ),
    ("last", "evaluate --protocol leave-one-out --model ease --seeds 1 --resamples 50"),
    (
        "label",
        "evaluate --protocol label --model biases --against gmf:epochs=3 --seeds 1 --resamples 50",
    ),
    ("train", "train --quiet --pretraining none --epochs 4"),
    ("pretrained", "train --quiet --epochs 2"),
    ("tune", "tune --quiet --method ease --trials 4"),
    ("fit", "fit --quiet"),
];

/// A folder with a small data set in `data`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let size = "--users 150 --movies 120 --ratings 5000";
    succeed(&format!("synth --quiet {size}"), &[("--out", &folder.path().join("data"))]);
    folder
}

/// Runs a command on the data set in a folder, and returns its page.
fn report(name: &str, folder: &Path) -> String {
    let line = COMMANDS.iter().find(|(known, _)| *known == name).unwrap().1;
    let (page, out) = (folder.join(format!("{name}.html")), folder.join(format!("{name}-out")));
    let data = folder.join("data");
    let mut folders = vec![("--data", &*data), ("--report", &*page)];
    if !line.starts_with("evaluate") {
        folders.push(("--out", &*out));
    }
    let output = loader(line, &folders).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(page).unwrap()
}

/// The headings of the sections, and the titles of the figures.
fn between<'a>(page: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    let parts = page.split(start).skip(1);
    parts.map(|part| part.split(end).next().unwrap().split_once('>').unwrap().1).collect()
}

#[test]
fn evaluations_have_measures_groups_and_calibration() {
    let folder = folder();
    let page = report("lists", folder.path());
    let sections = between(&page, "<h2", "</h2>");
    let expected = [
        "Measures",
        "Accuracy and diversity",
        "By length of history",
        "By popularity of the movie",
        "Models and seeds",
    ];
    assert_eq!(sections, expected);
    let figures = between(&page, "<figcaption", "</figcaption>");
    for title in [
        "nDCG@10",
        "Coverage of the catalogue",
        "nDCG@10 against diversity of genres",
        "nDCG@10 by length of history",
    ] {
        assert!(figures.contains(&title), "{figures:?}");
    }
    assert!(page.contains("The best 6 of 7 models; the table has all."));
    assert!(page.contains("<code>gmf:epochs=2:embedding=8:l2=4</code>"));
    let command = "<code>sparrow-loader compare --data data --protocol full-ranking --seeds 2 --models popularity";
    assert!(page.contains(command) && page.contains(" --resamples 50</code>"), "{page}");

    let page = report("label", folder.path());
    let sections = between(&page, "<h2", "</h2>");
    assert!(sections.contains(&"Calibration") && sections.contains(&"Difference"), "{sections:?}");
    assert!(page.contains("biases less gmf:epochs=3") && page.contains("class=\"guide\""));
}

#[test]
fn trainings_searches_and_fits_have_their_charts() {
    let folder = folder();
    for (name, titles) in [
        ("train", ["Log loss by epoch", "Loss in training by epoch", "Metrics on the test part"]),
        ("pretrained", ["nDCG@10 by epoch", "Recall@10 by epoch", "Metrics on the test part"]),
        ("tune", ["nDCG@10 by trial", "Seconds by trial", "nDCG@10 by regularization"]),
        ("fit", ["Weights by signal", "nDCG@10 of the blend and of each model", "Seconds by step"]),
    ] {
        let page = report(name, folder.path());
        let figures = between(&page, "<figcaption", "</figcaption>");
        for title in titles {
            assert!(figures.contains(&title), "{name}: {figures:?}");
        }
    }
}

#[test]
fn page_is_replaced_and_a_path_that_cannot_be_written_is_an_error_before_any_work() {
    let folder = folder();
    let page = folder.path().join("page.html");
    fs::write(&page, "old").unwrap();
    let data = folder.path().join("data");
    let line = "evaluate --model popularity --seeds 1 --resamples 0";
    let output = loader(line, &[("--data", &data), ("--report", &page)]).output().unwrap();
    assert!(output.status.success());
    assert!(fs::read_to_string(&page).unwrap().starts_with("<!doctype html>"));
    let entries = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    assert_eq!(names, ["data", "page.html"], "no temporary file and no manifest");

    let missing = folder.path().join("none/page.html");
    // The data set does not exist either, and is not read.
    let error = fail(1, line, &[("--data", Path::new("nowhere")), ("--report", &missing)]);
    assert!(error.contains("cannot write") && error.contains("none"), "{error}");
    let error = fail(2, line, &[("--data", &data), ("--report", folder.path())]);
    assert!(error.contains("not a file"), "{error}");
    let error = fail(2, "fit --rollback", &[("--out", folder.path()), ("--report", &page)]);
    assert!(error.contains("cannot be used with"), "{error}");
    // Without the option, nothing is written.
    succeed(line, &[("--data", &data)]);
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn pages_are_readable_in_light_and_dark_on_any_screen() -> Result<()> {
    let folder = folder();
    for (name, _) in COMMANDS {
        report(name, folder.path());
    }
    let mut charts = 0;
    for screen in [Screen::Laptop, Screen::Phone] {
        let browser = Browser::open(screen)?;
        for scheme in ["light", "dark"] {
            browser.prefer(scheme)?;
            for (name, _) in COMMANDS {
                let page = folder.path().join(format!("{name}.html"));
                browser.go(&format!("file://{}", page.display()))?;
                browser.until("document.readyState === 'complete'")?;
                assert_eq!(browser.console()?, Vec::<String>::new(), "{name} in {scheme}");
                assert_eq!(
                    browser.texts(audit::FAULTS)?,
                    Vec::<String>::new(),
                    "{name} in {scheme}, {screen:?}"
                );
                let found = browser.value("document.querySelectorAll('svg').length")?;
                charts += found.as_u64().unwrap_or_default();
            }
        }
    }
    assert!(charts > 100, "{charts} charts");
    Ok(())
}

#[test]
#[ignore = "needs Chromium and chromedriver: run .ci/test"]
fn audit_finds_faults() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let page = folder.path().join("page.html");
    let svg = "<svg viewBox=\"0 0 100 100\" style=\"background:#fff;width:100px\"><text x=\"1\" y=\"20\" fill=\"#eee\">pale</text>\
               <text x=\"2\" y=\"22\">over</text><text x=\"90\" y=\"80\">outside</text></svg>";
    let body = format!(
        "<h1>a</h1><h3>b</h3><p style=\"width:3000px;color:#ddd\">c</p>{svg}<img src=\"none.png\">"
    );
    fs::write(
        &page,
        format!("<!doctype html><title>t</title><body style=\"background:#fff\">{body}"),
    )?;
    let browser = Browser::open(Screen::Laptop)?;
    browser.go(&format!("file://{}", page.display()))?;
    let faults = browser.texts(audit::FAULTS)?;
    for expected in [
        "no language",
        "wider than the screen",
        "heading levels",
        "no name",
        "contrast",
        "covers",
        "outside the chart",
        "resources",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected}: {faults:?}");
    }
    Ok(())
}
