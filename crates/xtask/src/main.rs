//! `cargo xtask`: the few commands that a developer types every day.
//!
//! Each command runs Cargo, with the arguments that make Cargo compile dependencies once for all commands, or `.ci/test`.
//! The crate has no dependencies, so it compiles at once.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

/// A command: its name, its purpose, and what it runs, one program after the other. Further arguments go to the last.
struct Task {
    name: &'static str,
    purpose: &'static str,
    runs: &'static [&'static [&'static str]],
}

const TASKS: [Task; 9] = [
    Task {
        name: "check",
        purpose: "format, lints and documentation",
        runs: &[
            &["cargo", "fmt", "--all", "--check"],
            &[
                "cargo",
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "--deny",
                "warnings",
            ],
            &["cargo", "doc", "--workspace", "--no-deps", "--locked", "--quiet"],
        ],
    },
    Task { name: "fmt", purpose: "formats all sources", runs: &[&["cargo", "fmt", "--all"]] },
    Task {
        name: "test",
        purpose: "tests that need only Rust; with arguments, some of them: --test api -- similar",
        runs: &[&["cargo", "test", "--workspace", "--locked"]],
    },
    Task {
        name: "ci",
        purpose: "all checks and tests, short forms of the slow ones; --long runs them in full",
        runs: &[&[".ci/test"]],
    },
    Task {
        name: "serve",
        purpose: "the server on the demonstration set, as a release build; --help lists its options",
        runs: &[&["cargo", "run", "--release", "--locked", "--bin", "sparrow-serve", "--"]],
    },
    Task {
        name: "loader",
        purpose: "the loader, as a release build; --help lists its subcommands",
        runs: &[&["cargo", "run", "--release", "--locked", "--bin", "sparrow-loader", "--"]],
    },
    Task {
        name: "bench",
        purpose: "throughput and latency of the server",
        runs: &[&["cargo", "bench", "--locked", "-p", "sparrow-app", "--bench", "serving", "--"]],
    },
    Task {
        name: "fuzz",
        purpose: "fuzzes a target of crates/fuzz, for example csv; needs cargo-fuzz and a nightly toolchain",
        runs: &[&["cargo", "+nightly", "fuzz", "run", "--fuzz-dir", "crates/fuzz"]],
    },
    Task {
        name: "package",
        purpose: "the packages of all crates, without building them",
        runs: &[&[
            "cargo",
            "package",
            "--workspace",
            "--no-verify",
            "--allow-dirty",
            "--locked",
            "--quiet",
        ]],
    },
];

fn usage() -> String {
    let lines = TASKS.iter().map(|task| format!("  {:8} {}\n", task.name, task.purpose));
    format!("Usage: cargo xtask COMMAND [ARGUMENTS]\n\n{}", lines.collect::<String>())
}

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let name = arguments.next().unwrap_or_default();
    if ["", "help", "--help", "-h"].iter().any(|help| name == *help) {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    }
    let Some(task) = TASKS.iter().find(|task| name == task.name) else {
        eprint!("error: unknown command {}\n\n{}", name.display(), usage());
        return ExitCode::from(2);
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let rest: Vec<_> = arguments.collect();
    for (index, line) in task.runs.iter().enumerate() {
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).current_dir(&workspace);
        if index + 1 == task.runs.len() {
            command.args(&rest);
        }
        if line.get(1) == Some(&"doc") {
            command.env("RUSTDOCFLAGS", "--deny warnings");
        }
        eprintln!("+ {}", line.join(" "));
        match command.status() {
            Ok(status) if status.success() => {}
            Ok(_) => return ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: cannot run {}: {error}", line[0]);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_lists_every_command() {
        let page = include_str!("../../../docs/development.md");
        for task in &TASKS {
            let row = format!("| `cargo xtask {}` |", task.name);
            assert!(page.contains(&row), "docs/development.md has no row {row}");
        }
    }

    #[test]
    fn names_are_distinct() {
        for (index, task) in TASKS.iter().enumerate() {
            assert!(TASKS[..index].iter().all(|other| other.name != task.name), "{}", task.name);
        }
    }
}
