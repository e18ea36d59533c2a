//! The time of training, compared with the Python packages for the same purpose: `cargo bench -p sparrow-train --bench
//! training`.
//!
//! * NeuralCF against Keras, seconds an epoch, on the same data with batches of 256. Needs `SPARROW_TENSORFLOW`, a
//!   Python with `fixtures/tensorflow/requirements.txt`.
//! * Implicit ALS against `implicit`, 64 numbers and 20 epochs, on all cores. Needs `SPARROW_IMPLICIT`, a Python with
//!   `fixtures/implicit/requirements.txt`.
//!
//! The data set is the folder in `DATA`, or in `SPARROW_ML_LATEST_SMALL`, or else an invented one of the size of
//! ml-latest-small. The two sides take turns, `ROUNDS=…` (5) times.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use sparrow_embed::ials;
use sparrow_embed::interactions::{Interactions, Positives};
use sparrow_movielens::Options as ReaderOptions;
use sparrow_movielens::Source;
use sparrow_synth as synth;
use sparrow_train::{self as train, Epoch, Method, Watch};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let scratch = tempfile::tempdir()?;
    let given = env::var_os("DATA").or_else(|| env::var_os("SPARROW_ML_LATEST_SMALL"));
    let data = if let Some(data) = given.map(PathBuf::from) {
        data
    } else {
        let size = synth::Size { users: 610, movies: 9_742, ratings: 100_836 };
        let options = synth::Options { size, seed: 1, replace: true };
        synth::write(scratch.path(), &options, &|_, _| {})?;
        scratch.path().to_owned()
    };
    let rounds = env::var("ROUNDS").map_or(Ok(5), |rounds| rounds.parse())?;
    let catalog = Source::open(&data)?.load(&ReaderOptions::default())?.catalog;
    println!("{} ratings, {rounds} rounds, medians", catalog.users().rating_count());

    let epochs = 5;
    let options = train::Options {
        epochs,
        patience: epochs,
        validation: 0.01,
        refit: false,
        ..train::Options::without_pretraining(Method::NeuralCf)
    };
    compare(
        "NeuralCF, an epoch",
        ("Keras", "SPARROW_TENSORFLOW", "tensorflow/keras_train.py", &[]),
        rounds,
        &data,
        || {
            let mut watch = Epochs { last: Instant::now(), seconds: Vec::new() };
            train::run(&catalog, &options, &mut watch)?;
            // The first one has the beginning in it.
            Ok(median(watch.seconds.split_off(1)))
        },
        |output| {
            // epoch 2: 1.23 s  …
            let seconds = output.lines().skip(1).filter_map(|line| {
                line.strip_prefix("epoch ")?.split_whitespace().nth(1)?.parse().ok()
            });
            Some(median(seconds.collect()))
        },
    )?;

    let threads = std::thread::available_parallelism()?.get();
    let ratings = Interactions::of(&catalog, Positives::All);
    let options = ials::Options { dimension: 64, epochs: 20, threads, ..ials::Options::DEFAULT };
    compare(
        "implicit ALS, 20 epochs",
        ("implicit", "SPARROW_IMPLICIT", "implicit/als.py", &["--factors", "64", "--epochs", "20"]),
        rounds,
        &data,
        || {
            let start = Instant::now();
            ials::train(&ratings, &options, &|_, _| {})?;
            Ok(start.elapsed().as_secs_f64())
        },
        |output| output.lines().find_map(|line| line.strip_prefix("seconds ")?.parse().ok()),
    )
}

struct Epochs {
    last: Instant,
    seconds: Vec<f64>,
}

impl Watch for Epochs {
    fn epoch(&mut self, _epoch: &Epoch) {
        self.seconds.push(self.last.elapsed().as_secs_f64());
        self.last = Instant::now();
    }
}

/// A package's name, the variable with its Python, the script in `fixtures`, and its arguments.
type Other<'a> = (&'a str, &'a str, &'a str, &'a [&'a str]);

/// Times both in turn, and prints their medians and the ratio.
fn compare(
    what: &str,
    (name, variable, script, arguments): Other<'_>,
    rounds: usize,
    data: &Path,
    mut ours: impl FnMut() -> Outcome<f64>,
    read: impl Fn(&str) -> Option<f64>,
) -> Outcome {
    let python = env::var_os(variable);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(script);
    let (mut own, mut others, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        own.push(ours()?);
        let Some(python) = &python else { continue };
        let output = Command::new(python).arg(&script).arg(data).args(arguments).output()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let other = read(&printed).filter(|_| output.status.success()).ok_or_else(|| {
            format!("{} failed: {}", script.display(), String::from_utf8_lossy(&output.stderr))
        })?;
        others.push(other);
        ratios.push(other / own[own.len() - 1]);
    }
    println!("{what}: {:.4} s", median(own));
    if python.is_some() {
        println!("{what} by {name}: {:.4} s, {:.1} times as long", median(others), median(ratios));
    } else {
        println!("left out: {name}, which needs {variable}");
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
