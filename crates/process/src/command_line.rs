//! Parsing with the version of a build, completion scripts, and manual pages.
//!
//! A program that forwards a subcommand to another one gets its options with [`described`], from the text of
//! [`description`] that the other program prints.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::builder::{PossibleValue, StyledStr};
use clap::{Arg, ArgAction, Args, Command, Parser};
use clap_complete::Shell;

/// The name of the hidden subcommand that prints the [`description`].
pub const DESCRIBE: &str = "describe";

/// Parses arguments, with the text that `--version` prints after the name of the program.
pub fn parse<P: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    version: &'static str,
) -> Result<P, clap::Error> {
    let mut command = P::command().long_version(version);
    let matches = command.try_get_matches_from_mut(arguments)?;
    P::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Print the completion script of a shell
///
/// Each shell reads a folder of its own: bash, for example, reads ~/.local/share/bash-completion/completions, where the file has
/// the name of the program.
#[derive(Debug, Clone, Args)]
pub struct Completions {
    /// Shell
    shell: Shell,
}

impl Completions {
    /// Prints the script to standard output.
    pub fn run(&self, mut command: Command) -> io::Result<()> {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        print(&script)
    }
}

/// Print the manual page, or write those of all subcommands to a folder
#[derive(Debug, Clone, Args)]
pub struct Man {
    /// Folder for the pages of the program and of all subcommands, created if it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    /// Prints or writes the pages.
    pub fn run(&self, command: Command) -> io::Result<()> {
        let Some(folder) = &self.out else {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            return print(&page);
        };
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot write to {}: {error}", folder.display()))
        };
        fs::create_dir_all(folder).map_err(named)?;
        clap_mangen::generate_to(command, folder).map_err(named)
    }
}

/// Writes to standard output. A closed pipe is not a failure.
fn print(text: &[u8]) -> io::Result<()> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// The subcommands of a program with their options, as lines: `command`, name, short and long help; then `option` with long
/// name, letter, value name, help and values. Tabs separate the fields.
pub fn description(command: &Command) -> String {
    let mut text = String::new();
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let (about, long) = (subcommand.get_about(), subcommand.get_long_about());
        let help = [about, long.or(about)].map(|help| help.map_or_else(String::new, field));
        // Writing to a string does not fail.
        let _ = writeln!(text, "command\t{}\t{}\t{}", subcommand.get_name(), help[0], help[1]);
        for option in subcommand.get_arguments().filter(|option| !option.is_hide_set()) {
            let Some(long) = option.get_long() else { continue };
            let letter = option.get_short().map_or_else(String::new, String::from);
            let takes_value = option.get_action().takes_values();
            let value =
                option.get_value_names().filter(|_| takes_value).map_or("", |names| &names[0]);
            let help = option.get_long_help().or(option.get_help());
            let help = help.map_or_else(String::new, field);
            let values: Vec<_> = option.get_possible_values();
            let values: Vec<&str> = values.iter().map(PossibleValue::get_name).collect();
            let values = if takes_value { values.join(",") } else { String::new() };
            let _ = writeln!(text, "option\t{long}\t{letter}\t{value}\t{help}\t{values}");
        }
    }
    text
}

/// A field of a description, in one line.
fn field(text: &StyledStr) -> String {
    text.to_string().replace('\t', " ").replace('\\', "\\\\").replace('\n', "\\n")
}

/// The subcommands of a [`description`]. Lines that are not of its form are ignored. The text is never freed, as clap's names
/// are static.
pub fn described(text: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for line in text.lines() {
        let fields: Vec<&'static str> =
            line.split('\t').map(|field| &*unescaped(field).leak()).collect();
        match fields[..] {
            ["command", name, about, long] => {
                commands.push(Command::new(name).about(about).long_about(long));
            }
            ["option", long, letter, value, help, values] => {
                let option = Arg::new(long).long(long).help(help);
                let option = match letter.chars().next() {
                    Some(letter) => option.short(letter),
                    None => option,
                };
                let option = match (value, values) {
                    ("", _) => option.action(ArgAction::SetTrue),
                    (value, "") => option.value_name(value),
                    (value, values) => {
                        option.value_name(value).value_parser(values.split(',').collect::<Vec<_>>())
                    }
                };
                if let Some(command) = commands.pop() {
                    commands.push(command.arg(option));
                }
            }
            _ => {}
        }
    }
    commands
}

fn unescaped(field: &str) -> String {
    let mut text = String::new();
    let mut letters = field.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.push(if letters.next() == Some('n') { '\n' } else { '\\' }),
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn program() -> Command {
        let option = Arg::new("order").long("order").short('o').value_name("ORDER");
        let samples = Command::new("samples")
            .about("Computes samples")
            .long_about("Computes samples\n\nOf a \\ data set")
            .arg(option.value_parser(["data", "random"]).help("Order"))
            .arg(Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue).help("No files"))
            .arg(Arg::new("out").long("out").value_name("DIR").help("Output\nfolder"));
        Command::new("pipeline").subcommand(samples).subcommand(Command::new("x").hide(true))
    }

    #[test]
    fn described_subcommands_equal_the_original() {
        let text = description(&program());
        let commands = described(&text);
        assert_eq!(commands.len(), 1);
        assert_eq!(description(&Command::new("loader").subcommands(commands.clone())), text);
        let help = |mut command: Command| command.render_long_help().to_string();
        let original = program().find_subcommand("samples").unwrap().clone();
        assert_eq!(help(commands[0].clone()), help(original));
    }

    #[test]
    fn malformed_descriptions_are_ignored() {
        assert!(described("option\ta\t\t\t\t\nnothing\n\ncommand\tshort").is_empty());
    }

    #[test]
    fn version_and_errors_are_those_of_the_program() {
        #[derive(Debug, Parser)]
        #[command(name = "program", version)]
        struct Program {
            #[arg(long)]
            _count: Option<u8>,
        }
        let parsed = |argument: &str| {
            let arguments = ["program", argument].map(OsString::from);
            parse::<Program>(arguments, "1.2.3 (commit 0123456)").unwrap_err().to_string()
        };
        assert_eq!(parsed("--version"), "program 1.2.3 (commit 0123456)\n");
        assert!(parsed("--count=x").contains("invalid value 'x'"), "{}", parsed("--count=x"));
    }
}
