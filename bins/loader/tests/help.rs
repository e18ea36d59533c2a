//! The help of the program and of its subcommands.

use std::path::Path;

use sparrow_test_support::assert_snapshot;
use sparrow_test_support::program::{command, succeeds};

fn help(line: &str) -> String {
    succeeds(&mut command(env!("CARGO_BIN_EXE_sparrow-loader"), line, &[]))
}

fn assert_kept(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    assert_snapshot(&folder.join(format!("{name}.txt")), text);
}

#[test]
fn help_of_every_subcommand_is_as_kept() {
    let all = help("--help");
    assert_kept("help", &all);
    let (_, commands) = all.split_once("Commands:\n").expect("a list of commands");
    let names = commands.lines().take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names: Vec<&str> = names.filter(|name| !name.is_empty() && *name != "help").collect();
    assert!(names.len() > 8, "{names:?}");
    // The help of these two is that of `sparrow-pipeline`.
    for name in names.iter().filter(|name| !["features", "samples"].contains(name)) {
        assert_kept(&format!("help-{name}"), &help(&format!("{name} --help")));
    }
}
