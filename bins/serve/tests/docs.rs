//! The documentation as Markdown: whole tables, and links that lead somewhere.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The pages at the root, and everything in `docs`.
fn pages() -> Vec<PathBuf> {
    let inside = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        inside.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    all.extend(
        ["README.md", ".github/SECURITY.md", "docs/deploy/README.md"].map(|page| root().join(page)),
    );
    assert!(all.len() > 5, "{all:?}");
    all
}

/// The lines outside of code blocks, with their numbers from 1.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut code = false;
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    });
    lines.map(|(index, line)| (index + 1, line)).collect()
}

/// The number of cells of a table's row; bars inside back-ticks are text.
fn cells(row: &str) -> usize {
    let mut code = false;
    let bars = row.chars().filter(|&letter| {
        code ^= letter == '`';
        letter == '|' && !code
    });
    bars.count() - 1
}

/// A rule below the head of a table: `|---|---|`.
fn is_rule(line: &str) -> bool {
    line.starts_with("|-") || line.starts_with("|:-")
}

#[test]
fn tables_are_whole_and_their_rows_have_as_many_cells_as_the_head() {
    let mut faults = Vec::new();
    let mut rows = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let mut head: Option<usize> = None;
        let lines = prose(&text);
        for (index, &(number, line)) in lines.iter().enumerate() {
            let at = format!("{}:{number}", page.file_name().unwrap().display());
            if !line.starts_with('|') {
                head = None;
                continue;
            }
            rows += 1;
            match head {
                Some(wanted) if cells(line) != wanted => {
                    faults.push(format!("{at} has {} cells, its head {wanted}", cells(line)));
                }
                Some(_) => {}
                None => {
                    if !lines.get(index + 1).is_some_and(|(_, next)| is_rule(next)) {
                        faults.push(format!("{at} is a row of no table"));
                    }
                    head = Some(cells(line));
                }
            }
        }
    }
    assert!(rows > 100, "{rows} rows");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn links_within_the_project_lead_to_files() {
    let mut faults = Vec::new();
    let mut links = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (number, line) in prose(&text) {
            for rest in line.split("](").skip(1) {
                let target = rest.split([')', '#']).next().unwrap();
                if target.is_empty() || target.contains("://") {
                    continue;
                }
                links += 1;
                if !page.parent().unwrap().join(target).exists() {
                    faults.push(format!("{}:{number}: {target}", page.display()));
                }
            }
        }
    }
    assert!(links > 20, "{links} links");
    assert!(faults.is_empty(), "{faults:#?}");
}
