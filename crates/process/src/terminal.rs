//! Help and errors on the terminal.
//!
//! Colours are those of clap. They are disabled if the output is not a terminal or `NO_COLOR` is set.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Command;
use clap::error::ErrorKind;

/// Columns per line of help.
const WIDTH: usize = 80;

/// Exit code for an invalid command line or configuration.
pub const USAGE: u8 = 2;

/// Prints clap's help, wrapped at 80 columns, or version to standard output, or its error to standard error. Returns
/// the exit code.
pub fn print_clap_result(error: &clap::Error) -> ExitCode {
    let text = error.render().ansi().to_string();
    // If printing fails, the exit code still reports the error.
    if error.use_stderr() {
        let help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        let text = if help { wrapped(&text) } else { text };
        drop(anstream::stderr().write_all(text.as_bytes()));
        return ExitCode::from(USAGE);
    }
    // Programs read the version: it stays in one line.
    let text = if error.kind() == ErrorKind::DisplayVersion { text } else { wrapped(&text) };
    let printed = anstream::stdout().write_all(text.as_bytes());
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Prints an error in clap's format to standard error.
pub fn print_error(message: impl Display) {
    drop(io::stderr().write_all(error(message).as_bytes()));
}

/// Formats an error like clap, with colours if standard error supports them.
pub fn error(message: impl Display) -> String {
    let text = styled(message);
    match anstream::AutoStream::choice(&io::stderr()) {
        anstream::ColorChoice::Never => plain(&text),
        _ => text,
    }
}

/// Formats an error like clap, with colours.
fn styled(message: impl Display) -> String {
    let error = clap::Error::raw(ErrorKind::Io, format_args!("{message}\n"));
    error.with_cmd(&Command::new("")).render().ansi().to_string()
}

/// Wraps lines between words, with a hanging indent: continuation lines start below the text after an option's
/// name, or else below the first word.
fn wrapped(text: &str) -> String {
    let mut whole = String::with_capacity(text.len() + text.len() / 40);
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches('\n');
        if width(content) <= WIDTH {
            whole.push_str(line);
            continue;
        }
        let hang = hanging_indent(content);
        let mut column = 0;
        // The spaces before a word are dropped at a line break.
        let mut rest = content;
        while !rest.is_empty() {
            let spaces = rest.len() - rest.trim_start_matches(' ').len();
            let word = rest[spaces..].find(' ').map_or(rest.len(), |end| spaces + end);
            let wide = width(&rest[spaces..word]);
            if column > hang && column + spaces + wide > WIDTH {
                whole.push('\n');
                whole.push_str(&" ".repeat(hang));
                whole.push_str(&rest[spaces..word]);
                column = hang + wide;
            } else {
                whole.push_str(&rest[..word]);
                column += spaces + wide;
            }
            rest = &rest[word..];
        }
        whole.push_str(&line[content.len()..]);
    }
    whole
}

/// The column at which continuation lines start.
fn hanging_indent(line: &str) -> usize {
    let plain = plain(line);
    let indent = plain.len() - plain.trim_start_matches(' ').len();
    // After "  -o, --out <DIR>   " or the name of a subcommand. Prose is not indented.
    let gap = plain[indent..].find("  ").filter(|_| indent > 0).map(|gap| indent + gap);
    let text = gap.map(|gap| {
        let spaces = plain[gap..].len() - plain[gap..].trim_start_matches(' ').len();
        width(&plain[..gap]) + spaces
    });
    text.filter(|&column| column <= WIDTH / 2).unwrap_or(indent)
}

/// The number of visible characters.
fn width(text: &str) -> usize {
    plain(text).chars().count()
}

/// Strips colour escape sequences.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn long_lines_wrap_between_words_with_a_hanging_indent() {
        let prose = "word ".repeat(30);
        let text = format!("{prose}\n\n      --out <DIR>  {prose}\n\nshort\n");
        let wrapped = wrapped(&text);
        assert!(wrapped.lines().all(|line| line.chars().count() <= WIDTH), "{wrapped}");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&wrapped), words(&text));
        let lines: Vec<&str> = wrapped.lines().collect();
        assert!(lines[0].starts_with("word word") && lines[1].starts_with("word"), "{wrapped}");
        let option = lines.iter().position(|line| line.contains("--out")).unwrap_or_default();
        assert!(lines[option + 1].starts_with(&format!("{}word", " ".repeat(19))), "{wrapped}");
        assert!(wrapped.ends_with("\n\nshort\n"), "{wrapped}");
    }

    #[test]
    fn colours_have_no_width_and_long_words_are_not_split() {
        let coloured = format!("{}\n", "\u{1b}[1mword\u{1b}[0m ".repeat(16).trim_end());
        assert_eq!(wrapped(&coloured), coloured, "79 columns");
        let long = "x".repeat(200);
        assert_eq!(wrapped(&format!("    {long} y\n")), format!("    {long}\n    y\n"));
    }

    #[test]
    fn errors_match_the_format_of_clap() {
        let ours = styled("no store");
        assert_eq!(plain(&ours), "error: no store\n");
        let theirs = Command::new("x").try_get_matches_from(["x", "--no"]).unwrap_err();
        let theirs = theirs.render().ansi().to_string();
        let prefix = |text: &str| text.split_once("error:").map(|(before, _)| before.to_owned());
        assert_eq!(prefix(&ours), prefix(&theirs));
        assert!(ours.starts_with('\u{1b}'), "{ours:?}");
    }
}
