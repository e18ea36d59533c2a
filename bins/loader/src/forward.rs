//! The subcommands that another program implements: `features` and `samples`.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::Args;
use sparrow_process::command_line;

use crate::failure::Failure;

/// The name of the program.
const PROGRAM: &str = "sparrow-pipeline";

/// The Cargo profile of the program, and the name of its target folder.
const PROFILE: &str = "pipeline";

/// The subcommands.
const COMMANDS: [&str; 2] = ["features", "samples"];

/// Arguments that the other program parses.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Forwarded {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _arguments: Vec<OsString>,
}

/// Returns whether the command line is `help NAME` with the name of a forwarded subcommand.
pub(crate) fn is_help() -> bool {
    let mut arguments = env::args_os().skip(1);
    arguments.next().is_some_and(|first| first == "help")
        && arguments.next().is_some_and(|name| COMMANDS.iter().any(|command| name == *command))
}

/// Runs the program with the arguments of this process. On Unix it replaces this process and receives signals
/// directly.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let mut command = Command::new(program());
    command.args(env::args_os().skip(1));
    match execute(&mut command) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::NotInstalled(format!(
            "{} are subcommands of {PROGRAM}, which is neither beside this program nor in PATH: build it \
             with \"cargo build --profile {PROFILE} --bin {PROGRAM}\"",
            COMMANDS.join(" and ")
        ))
        .into()),
        ended => ended.with_context(|| format!("cannot start {PROGRAM}")),
    }
}

/// The subcommands with the options that the program describes. Without the program, only their names are known: none are
/// returned.
pub(crate) fn described() -> Vec<clap::Command> {
    let output = Command::new(program()).arg(command_line::DESCRIBE).output();
    let output = output.ok().filter(|output| output.status.success());
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    let mut commands = command_line::described(&text);
    commands.retain(|command| COMMANDS.contains(&command.get_name()));
    commands
}

/// The path of the program: in the folder of this executable, or in the sibling folder of its Cargo profile;
/// otherwise its name, which is searched in PATH.
fn program() -> PathBuf {
    let name = format!("{PROGRAM}{}", env::consts::EXE_SUFFIX);
    let this = env::current_exe().and_then(|path| path.canonicalize()).unwrap_or_default();
    let folder = this.parent().map(PathBuf::from).unwrap_or_default();
    let paths = [folder.join(&name), folder.join("..").join(PROFILE).join(&name)];
    paths.into_iter().find(|path| path.is_file()).unwrap_or_else(|| name.into())
}

#[cfg(unix)]
fn execute(command: &mut Command) -> io::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;

    // Its usage messages then contain the name by which this program was called.
    if let Some(name) = env::args_os().next() {
        command.arg0(name);
    }
    Err(command.exec())
}

#[cfg(not(unix))]
fn execute(command: &mut Command) -> io::Result<ExitCode> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(sparrow_console::exit::FAILED)))
}
