//! The progress bar on standard error, on terminals only.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::console::{keep_order, send};

/// The unit of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Items, such as "ratings".
    Each(&'static str),
    /// Bytes.
    Bytes,
    /// A percentage, for steps without a meaning to users, or repeated passes.
    Steps,
}

impl Unit {
    fn template(self) -> String {
        let counted = match self {
            Self::Each(name) => format!("{{human_pos}}/{{human_len}} {name}"),
            Self::Bytes => "{binary_bytes}/{binary_total_bytes}".to_owned(),
            Self::Steps => "{percent}%".to_owned(),
        };
        format!("{{msg}} {{wide_bar}} {counted}, {{eta}} left")
    }
}

/// A progress bar.
pub struct Bar {
    bar: ProgressBar,
    unit: Unit,
}

impl Bar {
    /// Shows a message only, until the first call of [`Bar::show`].
    pub fn new(doing: &'static str, unit: Unit) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::term_like_with_hz(Box::<Terminal>::default(), 20)
        } else {
            ProgressDrawTarget::hidden()
        };
        Self::on(target, doing, unit)
    }

    /// A bar that is never drawn.
    pub fn hidden() -> Self {
        Self::on(ProgressDrawTarget::hidden(), "", Unit::Steps)
    }

    fn on(target: ProgressDrawTarget, doing: &'static str, unit: Unit) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        style(&bar, "{msg} …");
        bar.set_message(doing);
        bar.tick();
        Self { bar, unit }
    }

    /// Updates the progress.
    pub fn show(&self, done: u64, total: u64) {
        if self.bar.length() != Some(total) {
            if self.bar.length().is_none() {
                style(&self.bar, &self.unit.template());
            }
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
    }

    /// Changes the message.
    pub fn doing(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Writes a line to standard output, above the bar.
    pub fn print(&self, line: &str) {
        // Output errors do not stop the work.
        self.bar.suspend(|| {
            keep_order();
            drop(writeln!(io::stdout(), "{line}"));
        });
    }
}

/// A terminal on standard error that never blocks the work.
#[derive(Debug, Default)]
struct Terminal {
    /// The output since the last flush.
    drawn: Mutex<String>,
}

impl Terminal {
    fn drawn(&self) -> MutexGuard<'_, String> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the cursor by an escape sequence of ECMA-48.
    fn move_by(&self, n: usize, direction: char) -> io::Result<()> {
        if n > 0 {
            self.write_str(&format!("\x1b[{n}{direction}"))?;
        }
        Ok(())
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        Term::stderr().size().1
    }

    fn height(&self) -> u16 {
        Term::stderr().size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_by(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_by(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_by(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_by(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        let mut drawn = self.drawn();
        drawn.push_str(text);
        drawn.push('\n');
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.drawn().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write_str("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        send(std::mem::take(&mut *self.drawn()));
        Ok(())
    }
}

/// Template errors only affect the appearance of the bar.
fn style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use indicatif::TermLike;

    use super::*;

    /// A terminal that records output without cursor movements.
    #[derive(Debug, Clone, Default)]
    struct Terminal(Arc<Mutex<String>>);

    impl Terminal {
        fn written(&self) -> String {
            std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn bar(unit: Unit) -> (Bar, Terminal) {
        let terminal = Terminal::default();
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        (Bar::on(target, "reading", unit), terminal)
    }

    #[test]
    fn the_bar_is_drawn_after_the_total_is_known() {
        let (bar, terminal) = bar(Unit::Each("ratings"));
        let written = terminal.written();
        assert!(written.contains("reading …"), "{written:?}");
        assert!(!written.contains('█') && !written.contains("0/0"), "{written:?}");
        bar.show(0, 2000);
        bar.bar.tick();
        let written = terminal.written();
        assert!(written.contains("0/2,000 ratings"), "{written:?}");
        assert!(!written.contains('█'), "{written:?}");
    }

    #[test]
    fn steps_are_shown_as_a_percentage_and_bytes_with_units() {
        let (bar, terminal) = self::bar(Unit::Steps);
        bar.show(533_920, 1_067_840);
        bar.bar.tick();
        let written = terminal.written();
        assert!(written.contains("50%") && !written.contains("1,067,840"), "{written:?}");
        let (bar, terminal) = self::bar(Unit::Bytes);
        bar.show(1 << 20, 2 << 20);
        bar.bar.tick();
        let written = terminal.written();
        assert!(written.contains("1.00 MiB/2.00 MiB"), "{written:?}");
    }
}
