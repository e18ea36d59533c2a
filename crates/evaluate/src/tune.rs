//! Hyperparameter search at random (Bergstra and Bengio 2012), with a record of each trial.
//!
//! The search does not use the test part that `evaluate` holds out with the same seed. It divides the training part
//! once more, fits models to one part and compares them on the other. A trial depends only on the seed and its number,
//! and the first one has the defaults. The record contains a line of JSON per trial; a search with an existing record
//! continues it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write as _};
use std::iter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sparrow_embed::METHODS;
use sparrow_hyperparameters::{SearchSpace, Settings};
use sparrow_model::{Catalog, skip_byte_order_mark};
use sparrow_random::{Random, exp};
use sparrow_train as train;

use crate::models::model_of;
use crate::registry::as_settings;
use crate::split::Parts;
use crate::{Options as Evaluation, Protocol};

/// A method with a search space.
#[derive(Debug, Clone, PartialEq)]
pub struct Tunable {
    /// The name.
    pub name: &'static str,
    /// The name of the model in [`crate::method`].
    model: &'static str,
    /// The beginning of the command whose options are the hyperparameters.
    pub command: String,
    /// The hyperparameters that the search varies.
    space: Vec<(&'static str, SearchSpace)>,
}

impl Tunable {
    fn new(name: &'static str, model: &'static str, command: String, of: &dyn Settings) -> Self {
        let described = of.describe().into_iter();
        let space = described.filter_map(|it| Some((it.name, it.search?))).collect();
        Self { name, model, command, space }
    }
}

/// The methods with a search space.
pub fn methods() -> Vec<Tunable> {
    let embed = METHODS.iter().map(|kind| {
        let command = format!("embed --method {}", kind.name);
        Tunable::new(kind.name, model_of(kind), command, as_settings(&mut *(kind.new)()))
    });
    let train = train::Method::ALL.into_iter().filter(|method| method.searchable()).map(|method| {
        let command = format!("train --architecture {method}");
        Tunable::new(method.name(), method.name(), command, &train::Options::new(method))
    });
    embed.chain(train).filter(|tunable| !tunable.space.is_empty()).collect()
}

/// The measure by which trials are compared.
pub const MEASURE: &str = "ndcg_at_10";

/// The options of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The method.
    pub tunable: Tunable,
    /// The number of trials in the record at the end.
    pub trials: usize,
    /// The time after the start at which no further trial starts.
    pub time: Duration,
    /// The protocol: full ranking or leave-one-out.
    pub protocol: Protocol,
    /// The seed of the test part and of the trials.
    pub seed: u64,
}

/// The error of a search. Recorded trials remain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is outside its range.
    #[error("{0}")]
    Option(String),
    /// The record cannot be read or written.
    #[error("cannot use {}", .path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The record is malformed, or belongs to another search.
    #[error("{}:{line}: {what}", .path.display())]
    Foreign {
        /// The record.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The error.
        what: String,
    },
}

/// A line of the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The name of the method.
    pub method: String,
    /// SHA-256 over all ratings of the data set.
    pub data: String,
    /// The protocol.
    pub protocol: String,
    /// The seed of the search.
    pub seed: u64,
    /// The number of the trial; trial 0 has the defaults.
    pub trial: usize,
    /// The hyperparameters that differ from the defaults.
    pub settings: Map<String, Value>,
    /// The measures. Empty if the trial failed.
    pub measures: Map<String, Value>,
    /// The error, if the trial failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The duration of the trial.
    pub seconds: f64,
}

impl Trial {
    /// The value of [`MEASURE`]; `None` for a failed trial.
    pub fn value(&self) -> Option<f64> {
        self.measures.get(MEASURE).and_then(Value::as_f64)
    }

    /// The hyperparameters as command-line options.
    pub fn flags(&self) -> String {
        let flags = self.settings.iter().map(|(name, value)| format!("--{name} {value}"));
        flags.collect::<Vec<_>>().join(" ")
    }
}

/// Runs trials and records them in the file `record`. Calls `on_trial` after each trial. Returns all trials of the
/// record, including those of earlier runs, in order of number.
pub async fn search(
    catalog: &Catalog,
    record: &Path,
    options: &Options,
    on_trial: &mut dyn FnMut(&Trial),
) -> Result<Vec<Trial>, Error> {
    if matches!(options.protocol, Protocol::Label | Protocol::FirstK) {
        return Err(Error::Option(format!("the protocol {} has no {MEASURE}", options.protocol)));
    }
    let start = Instant::now();
    let data = train::fingerprint(catalog);
    let failed = |source| Error::Record { path: record.to_owned(), source };
    let (mut file, mut trials) = open(record, &data, options)?;
    let evaluation =
        Evaluation { seeds: vec![options.seed], resamples: 0, ..Evaluation::new(options.protocol) };
    // Without the test part of this seed.
    let kept = Parts::new(catalog, evaluation.hold_out, evaluation.fraction, options.seed).training;
    for number in 0..options.trials {
        if trials.iter().any(|trial| trial.trial == number) {
            continue;
        }
        if start.elapsed() >= options.time {
            break;
        }
        let begun = Instant::now();
        let settings = settings(&options.tunable, options.seed, number);
        let outcome = measure(&kept, &options.tunable, &settings, &evaluation).await;
        let (measures, error) = match outcome {
            Ok(measures) => (measures, None),
            Err(error) => (Map::new(), Some(chain(&error))),
        };
        let trial = Trial {
            method: options.tunable.name.to_owned(),
            data: data.clone(),
            protocol: options.protocol.to_string(),
            seed: options.seed,
            trial: number,
            settings,
            measures,
            error,
            seconds: (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        };
        let mut line = serde_json::to_vec(&trial).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        // One write, then a sync, so that a killed process loses no completed trial.
        file.write_all(&line).and_then(|()| file.sync_data()).map_err(failed)?;
        on_trial(&trial);
        trials.push(trial);
    }
    trials.sort_by_key(|trial| trial.trial);
    Ok(trials)
}

/// The best trial; the first of equal ones.
pub fn best(trials: &[Trial]) -> Option<&Trial> {
    let valued = trials.iter().filter_map(|trial| Some((trial.value()?, trial)));
    valued.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, trial)| trial)
}

async fn measure(
    catalog: &Catalog,
    tunable: &Tunable,
    settings: &Map<String, Value>,
    evaluation: &Evaluation,
) -> Result<Map<String, Value>, crate::Error> {
    let method = crate::method(&line(tunable, settings), None)?;
    let measured = crate::run(catalog, &*method, evaluation, &|_, _| {}).await?;
    let rounded = |value: f64| Value::from((value * 1e6).round() / 1e6);
    Ok(measured.measures.iter().map(|m| (m.name.to_owned(), rounded(m.mean))).collect())
}

/// Formats a trial for [`crate::method`].
fn line(tunable: &Tunable, settings: &Map<String, Value>) -> String {
    let settings = settings.iter().map(|(name, value)| format!(":{name}={value}"));
    iter::once(tunable.model.to_owned()).chain(settings).collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Draws the hyperparameters of a trial.
fn settings(tunable: &Tunable, seed: u64, number: usize) -> Map<String, Value> {
    if number == 0 {
        return Map::new();
    }
    let mut random = Random::new(seed, number as u64);
    let draw = |random: &mut Random, space| match space {
        SearchSpace::Logarithmic(low, high) => exp(random.between(low.ln(), high.ln())),
        SearchSpace::Uniform(low, high) => random.between(low, high),
        SearchSpace::OneOf(values) => random.pick(values),
    };
    let space = tunable.space.iter();
    space.map(|&(name, space)| (name.to_owned(), number_of(draw(&mut random, space)))).collect()
}

/// Rounds to three digits; whole numbers remain unchanged.
fn number_of(value: f64) -> Value {
    if value.fract() == 0.0 {
        return Value::from(value as i64);
    }
    let unit = 10_f64.powf(value.abs().log10().floor() - 2.0);
    // Formatted and parsed, so that 0.0123 does not become 0.012300000000000002.
    let digits = (-unit.log10()).round().max(0.0) as usize;
    Value::from(format!("{value:.digits$}").parse::<f64>().unwrap_or(value))
}

/// Maximum size of a record in bytes: some million trials.
const LARGEST_RECORD: u64 = 1 << 30;

/// Opens the record for appending and reads its trials. Removes an incomplete last line, which a killed process left.
fn open(path: &Path, data: &str, options: &Options) -> Result<(File, Vec<Trial>), Error> {
    let failed = |source| Error::Record { path: path.to_owned(), source };
    match sparrow_files::open(path, LARGEST_RECORD) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed)?;
    let mut trials = Vec::new();
    let (mut whole, mut line, mut text) = (0, 0, String::new());
    let mut reader = BufReader::new(&mut file);
    loop {
        text.clear();
        line += 1;
        let read = reader.read_line(&mut text).map_err(failed)?;
        if read == 0 || !text.ends_with('\n') {
            break;
        }
        whole += read as u64;
        let foreign = |what| Error::Foreign { path: path.to_owned(), line, what };
        let trial: Trial = serde_json::from_slice(skip_byte_order_mark(text.as_bytes()))
            .map_err(|error| foreign(format!("not a trial: {error}")))?;
        for (name, own, wanted) in [
            ("method", &*trial.method, options.tunable.name),
            ("data set", &*trial.data, data),
            ("protocol", &*trial.protocol, options.protocol.name()),
            ("seed", &*trial.seed.to_string(), &*options.seed.to_string()),
        ] {
            if own != wanted {
                return Err(foreign(format!(
                    "a trial of another search: its {name} is {own}, not {wanted}"
                )));
            }
        }
        trials.push(trial);
    }
    file.set_len(whole).map_err(failed)?;
    file.seek(SeekFrom::End(0)).map_err(failed)?;
    Ok((file, trials))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;

    use super::*;
    use crate::tests::generated;

    fn options(name: &str) -> Options {
        Options {
            tunable: methods().into_iter().find(|tunable| tunable.name == name).unwrap(),
            trials: 3,
            time: Duration::from_mins(10),
            protocol: Protocol::FullRanking,
            seed: 1,
        }
    }

    async fn searched(record: &Path, options: &Options) -> (Result<Vec<Trial>, Error>, usize) {
        let mut heard = 0;
        let catalog = generated(60, 40, 900);
        let found = search(&catalog, record, options, &mut |_| heard += 1).await;
        (found, heard)
    }

    #[tokio::test]
    async fn trials_are_recorded_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("trials");
        let options = options("ease");
        let (trials, heard) = searched(&record, &options).await;
        let trials = trials.unwrap();
        assert_eq!((trials.len(), heard), (3, 3));
        assert!(trials[0].settings.is_empty() && trials[1].settings != trials[2].settings);
        assert!(trials.iter().all(|trial| trial.value().is_some_and(|value| value > 0.0)));
        let text = fs::read_to_string(&record).unwrap();
        assert_eq!(text.lines().count(), 3);

        // As after a process that was killed while it wrote the third line.
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        fs::write(&record, format!("{}{}{}", lines[0], lines[1], &lines[2][..20])).unwrap();
        let (again, heard) = searched(&record, &options).await;
        let mut again = again.unwrap();
        assert_eq!(heard, 1);
        again[2].seconds = trials[2].seconds;
        assert_eq!(again, trials);
        assert_eq!(fs::read_to_string(&record).unwrap().lines().count(), 3);

        let more = Options { trials: 4, time: Duration::ZERO, ..options.clone() };
        assert_eq!(searched(&record, &more).await.1, 0, "the time is used up");
        let other = Options { seed: 2, ..options };
        let error = searched(&record, &other).await.0.unwrap_err().to_string();
        assert!(error.ends_with(":1: a trial of another search: its seed is 1, not 2"), "{error}");
    }

    #[tokio::test]
    async fn a_failed_trial_is_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options("ease");
        options.tunable.space = vec![("min-count", SearchSpace::OneOf(&[1000.0]))];
        options.trials = 2;
        let (trials, _) = searched(&folder.path().join("trials"), &options).await;
        let trials = trials.unwrap();
        assert!(trials[1].error.as_ref().unwrap().contains("no training data"));
        assert_eq!(best(&trials), Some(&trials[0]));
    }

    #[test]
    fn search_spaces_are_within_the_ranges() {
        for tunable in methods() {
            for number in 0..40 {
                let settings = settings(&tunable, 5, number);
                let line = line(&tunable, &settings);
                let method = crate::method(&line, None);
                assert!(method.is_ok(), "{line}: {}", method.err().unwrap());
            }
        }
    }

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [(0.012_345, "0.0123"), (1234.5, "1234"), (3.0, "3"), (0.5, "0.5")] {
            assert!(number_of(value).to_string().starts_with(text), "{}", number_of(value));
        }
    }
}
