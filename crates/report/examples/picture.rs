//! Prints a chart of a report as an SVG file: `cargo run -p sparrow-report --example picture -- PAGE TITLE`.

use std::error::Error;
use std::io::{self, Write as _};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [page, title] = &arguments[..] else { return Err("usage: picture PAGE TITLE".into()) };
    let page = fs::read_to_string(page)?;
    let picture =
        sparrow_report::picture(&page, title).ok_or("the page has no chart of this title")?;
    io::stdout().write_all(picture.as_bytes())?;
    Ok(())
}
