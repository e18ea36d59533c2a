//! Loads a MovieLens folder and prints its report, the load time and the memory use:
//! `cargo run --release -p sparrow-movielens --example load -- FOLDER [MAX_BAD_LINES]`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

use sparrow_movielens::{Options, Source};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program prints")]
fn main() -> ExitCode {
    match load() {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprint!("{error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn load() -> Result<String, Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: load FOLDER [MAX_BAD_LINES]")?);
    let mut options = Options::default();
    if let Some(number) = arguments.next() {
        options.max_bad_lines = number.to_string_lossy().parse()?;
    }
    let start = Instant::now();
    let loaded = Source::open(&folder)?.load(&options)?;
    let seconds = start.elapsed().as_secs_f64();
    let memory = memory().map(|memory| format!(", {memory}")).unwrap_or_default();
    Ok(format!("{}\n{seconds:.2} s{memory}", loaded.report))
}

/// Current and peak resident memory (Linux only).
fn memory() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mib = |key: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024)
    };
    Some(format!("{} MiB resident, {} MiB at the peak", mib("VmRSS:")?, mib("VmHWM:")?))
}
