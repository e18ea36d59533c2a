//! Looks for good settings of a method: random search (Bergstra and Bengio 2012) on a part of the training
//! ratings, with a record of each trial.
//!
//! The test part that `evaluate` holds out with the same seed is taken away first and never looked at; what
//! is left is divided once more, and settings are compared by what a model fitted to one part makes of the
//! other. Trials depend on the seed and their number alone, and the first has the usual settings. The record
//! has a line of JSON for each; a search over a file that has some goes on after them.

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

use crate::registry::{as_settings, model_of};
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

/// The measure that settings are compared by.
pub const MEASURE: &str = "ndcg_at_10";

/// How to search.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What is tuned.
    pub tunable: Tunable,
    /// How many trials there should be in the record.
    pub trials: usize,
    /// No trial begins later than this after the start.
    pub time: Duration,
    /// What a model is asked: full ranking or leave-one-out.
    pub protocol: Protocol,
    /// Another seed holds out another test part, and tries other settings.
    pub seed: u64,
}

/// Why there is no outcome. Trials that were recorded stay recorded.
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
        /// Why.
        source: io::Error,
    },
    /// The record is none, or one of another search.
    #[error("{}:{line}: {what}", .path.display())]
    Foreign {
        /// The record.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// A line of the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was tuned.
    pub method: String,
    /// SHA-256 over all ratings of the data set.
    pub data: String,
    /// What the model was asked.
    pub protocol: String,
    /// The seed of the search.
    pub seed: u64,
    /// The trial's number, from 0, which has the usual settings.
    pub trial: usize,
    /// The settings that are not the usual ones, under the names of the loader's options.
    pub settings: Map<String, Value>,
    /// What was measured; [`MEASURE`] counts. Empty where there is no model with these settings.
    pub measures: Map<String, Value>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long the trial took.
    pub seconds: f64,
}

impl Trial {
    /// What counts; `None` for a trial that failed.
    pub fn value(&self) -> Option<f64> {
        self.measures.get(MEASURE).and_then(Value::as_f64)
    }

    /// The settings as options of a command.
    pub fn flags(&self) -> String {
        let flags = self.settings.iter().map(|(name, value)| format!("--{name} {value}"));
        flags.collect::<Vec<_>>().join(" ")
    }
}

/// Searches, and records each trial in the file `record`. `told` hears of each trial as it ends. Returns all
/// trials of the record, those of earlier runs too, in order of number.
pub async fn search(
    catalog: &Catalog,
    record: &Path,
    options: &Options,
    told: &mut dyn FnMut(&Trial),
) -> Result<Vec<Trial>, Error> {
    if options.protocol == Protocol::Label {
        return Err(Error::Option("settings are compared by lists, not by labels".to_owned()));
    }
    let start = Instant::now();
    let data = train::fingerprint(catalog);
    let failed = |source| Error::Record { path: record.to_owned(), source };
    let (mut file, mut trials) = open(record, &data, options)?;
    let how =
        Evaluation { seeds: vec![options.seed], resamples: 0, ..Evaluation::new(options.protocol) };
    // The test part of this seed goes, whatever is measured with it later.
    let kept = Parts::new(catalog, how.hold_out, how.fraction, options.seed).training;
    for number in 0..options.trials {
        if trials.iter().any(|trial| trial.trial == number) {
            continue;
        }
        if start.elapsed() >= options.time {
            break;
        }
        let begun = Instant::now();
        let settings = settings(&options.tunable, options.seed, number);
        let outcome = measure(&kept, &options.tunable, &settings, &how).await;
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
        // One write and then the disk: what was tried is not lost with the process.
        file.write_all(&line).and_then(|()| file.sync_data()).map_err(failed)?;
        told(&trial);
        trials.push(trial);
    }
    trials.sort_by_key(|trial| trial.trial);
    Ok(trials)
}

/// The best of some trials: of equal ones the first.
pub fn best(trials: &[Trial]) -> Option<&Trial> {
    let valued = trials.iter().filter_map(|trial| Some((trial.value()?, trial)));
    valued.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, trial)| trial)
}

async fn measure(
    catalog: &Catalog,
    tunable: &Tunable,
    settings: &Map<String, Value>,
    how: &Evaluation,
) -> Result<Map<String, Value>, crate::Error> {
    let method = crate::method(&line(tunable, settings), None)?;
    let measured = crate::run(catalog, &*method, how, &|_, _| {}).await?;
    let rounded = |value: f64| Value::from((value * 1e6).round() / 1e6);
    Ok(measured.measures.iter().map(|m| (m.name.to_owned(), rounded(m.mean))).collect())
}

/// As [`crate::method`] reads it.
fn line(tunable: &Tunable, settings: &Map<String, Value>) -> String {
    let settings = settings.iter().map(|(name, value)| format!(":{name}={value}"));
    iter::once(tunable.model.to_owned()).chain(settings).collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The settings of a trial.
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

/// To three digits; whole where it is.
fn number_of(value: f64) -> Value {
    if value.fract() == 0.0 {
        return Value::from(value as i64);
    }
    let unit = 10_f64.powf(value.abs().log10().floor() - 2.0);
    // Through text, so that 0.0123 is not 0.012300000000000002.
    let digits = (-unit.log10()).round().max(0.0) as usize;
    Value::from(format!("{value:.digits$}").parse::<f64>().unwrap_or(value))
}

/// The largest record, in bytes: some million trials.
const LARGEST_RECORD: u64 = 1 << 30;

/// Opens the record for more, and reads what it has. A last line without its end, which a killed process
/// has left, goes.
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
    use crate::tests::invented;

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
        let catalog = invented(60, 40, 900);
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

        // As a process leaves it that was killed within its third trial's line.
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        fs::write(&record, format!("{}{}{}", lines[0], lines[1], &lines[2][..20])).unwrap();
        let (again, heard) = searched(&record, &options).await;
        let mut again = again.unwrap();
        assert_eq!(heard, 1);
        again[2].seconds = trials[2].seconds;
        assert_eq!(again, trials);
        assert_eq!(fs::read_to_string(&record).unwrap().lines().count(), 3);

        let more = Options { trials: 4, time: Duration::ZERO, ..options.clone() };
        assert_eq!(searched(&record, &more).await.1, 0, "no time is left");
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
    fn numbers_are_short() {
        for (value, text) in [(0.012_345, "0.0123"), (1234.5, "1234"), (3.0, "3"), (0.5, "0.5")] {
            assert!(number_of(value).to_string().starts_with(text), "{}", number_of(value));
        }
    }
}
