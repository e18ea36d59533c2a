//! The progress bar: on a terminal only, on standard error.

use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that shows how much of the work is done.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// `unit` is what is counted: "ratings".
    pub(crate) fn new(doing: &'static str, unit: &str) -> Self {
        let bar = ProgressBar::new(0);
        let template =
            format!("{{msg}} {{wide_bar}} {{human_pos}}/{{human_len}} {unit}, {{eta}} left");
        // A template that does not parse would cost the looks of the bar only.
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_message(doing);
        Self(bar)
    }

    pub(crate) fn show(&self, done: u64, total: u64) {
        if self.0.length() != Some(total) {
            self.0.set_length(total);
        }
        self.0.set_position(done);
    }

    /// Writes a line to standard output, above the bar.
    pub(crate) fn say(&self, line: &str) {
        // Nobody may be reading there; the work goes on.
        self.0.suspend(|| drop(writeln!(io::stdout(), "{line}")));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
