//! Time and memory of features and samples: `cargo bench -p sparrow-pipeline --bench pipeline`.
//!
//! Generates 25 million ratings of 162,000 users and 62,000 movies (`RATINGS=…` for another
//! number), and computes features and samples (as Parquet) with different memory limits. Each run
//! is a separate process, so that its peak resident size is its own. `ROUNDS=…` (3) is the number
//! of runs of each, `SCRATCH=…` the folder for the data, about 3 GB (the system's temporary
//! folder). With `SPARROW_ML_LATEST_SMALL` set, features of that data set are measured as well.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use sparrow_movielens::Options as ReaderOptions;
use sparrow_pipeline::{self as pipeline, DataSet, FileFormat, SampleOptions, SessionOptions};
use sparrow_synth as synth;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    match (arguments.next(), arguments.next(), arguments.next(), arguments.next()) {
        (Some(work), Some(data), Some(out), Some(limit)) => {
            run(&work, Path::new(&data), Path::new(&out), limit.parse()?)
        }
        _ => compare(),
    }
}

/// Runs one task in this process, and prints seconds and the peak resident size.
fn run(work: &str, data: &Path, out: &Path, memory_limit: usize) -> Outcome {
    let started = Instant::now();
    let threads = std::thread::available_parallelism()?.get();
    let session = pipeline::session(&SessionOptions { threads, memory_limit, spill_folder: None })?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let ignored = |_, _| {};
    runtime.block_on(async {
        let data = DataSet::open(&session, data, &ReaderOptions::default()).await?;
        if work == "features" {
            pipeline::write_features(&data, Some(out), &ignored).await?;
        } else {
            let (options, formats) = (SampleOptions::default(), [FileFormat::Parquet]);
            pipeline::write_samples(&data, Some(out), &options, &formats, &ignored).await?;
        }
        Ok::<_, pipeline::Error>(())
    })?;
    println!("{} {}", started.elapsed().as_secs_f64(), peak_size()?);
    Ok(())
}

/// The peak resident size of this process in KiB; 0 if the system does not report it.
fn peak_size() -> Outcome<u64> {
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return Ok(0) };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let size = line.and_then(|line| line.split_whitespace().next());
    Ok(size.map_or(Ok(0), str::parse)?)
}

fn compare() -> Outcome {
    let number = |name: &str, default: u64| -> Outcome<u64> {
        Ok(env::var(name).map_or(Ok(default), |text| text.parse())?)
    };
    let (ratings, rounds) = (number("RATINGS", 25_000_000)?, number("ROUNDS", 3)?);
    let scratch = env::var_os("SCRATCH").map_or_else(env::temp_dir, PathBuf::from);
    let data = scratch.join(format!("sparrow-{ratings}-ratings"));
    if !data.join("ratings.csv").is_file() {
        println!("generating {ratings} ratings in {}", data.display());
        let users = (ratings / 154).clamp(1, 162_000) as u32;
        let movies = (ratings / 403).clamp(100, 62_000) as u32;
        let size = synth::Size { users, movies, ratings };
        let options = synth::Options { size, seed: 1, replace: true };
        synth::write(&data, &options, &|_, _| {})?;
    }
    let out = tempfile::tempdir_in(&scratch)?;
    println!("| work | limit | seconds (median; all) | peak resident size |\n|---|---|---|---|");
    for limit in [2 << 30, 1 << 30] {
        for work in ["features", "samples"] {
            row(work, &data, out.path(), limit, rounds)?;
        }
    }
    if let Some(small) = env::var_os("SPARROW_ML_LATEST_SMALL") {
        println!("ml-latest-small:");
        row("features", Path::new(&small), out.path(), 1 << 30, rounds.max(5))?;
    }
    Ok(())
}

/// Runs a task several times, and prints the measurements.
fn row(work: &str, data: &Path, out: &Path, limit: u64, rounds: u64) -> Outcome {
    let (mut times, mut size) = (Vec::new(), 0);
    for _ in 0..rounds {
        let run = Command::new(env::current_exe()?)
            .arg(work)
            .args([data, out])
            .arg(limit.to_string())
            .output()?;
        let printed = String::from_utf8(run.stdout)?;
        let Some((time, greatest)) = printed.trim().split_once(' ') else {
            return Err(format!("{work} failed: {}", String::from_utf8_lossy(&run.stderr)).into());
        };
        times.push(time.parse::<f64>()?);
        size = size.max(greatest.parse::<u64>()?);
    }
    times.sort_by(f64::total_cmp);
    let all: Vec<String> = times.iter().map(|time| format!("{time:.2}")).collect();
    println!(
        "| {work} | {} MiB | {:.2}; {} | {} MiB |",
        limit >> 20,
        times[times.len() / 2],
        all.join(", "),
        size >> 10
    );
    Ok(())
}
