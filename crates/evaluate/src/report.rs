//! Reports of evaluations as text, JSON and Markdown.

use std::io::{self, Write};

use serde_json::{Map, Value, json};
use sparrow_train::metrics::Calibration;

use crate::{Difference, Error, Evaluation, Measure, Seed, compare};

/// Evaluations of several models on the same ratings.
#[derive(Debug)]
pub struct Comparison {
    /// The name of the data set.
    pub data: String,
    /// What was read from it.
    pub reading: sparrow_movielens::Report,
    /// The models, as lines for [`method`](crate::method).
    pub lines: Vec<String>,
    /// The evaluation of each model.
    pub evaluations: Vec<Evaluation>,
}

impl Comparison {
    /// The differences between the first two models.
    pub fn differences(&self) -> Result<Vec<Difference>, Error> {
        match &self.evaluations[..] {
            [first, second, ..] => compare(first, second),
            _ => Ok(Vec::new()),
        }
    }
}

/// Writes one evaluation as a table, and the differences from a second one, if there is one.
pub fn text(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", comparison.reading)?;
    for evaluation in &comparison.evaluations {
        writeln!(out)?;
        evaluation_text(evaluation, out)?;
    }
    if let [first, second] = &comparison.evaluations[..] {
        writeln!(out, "\n{} less {}, paired bootstrap over users:", first.model, second.model)?;
        writeln!(out, "{:22}{:>10}  {:>22}  p-value", "", "difference", "95% interval")?;
        for Difference { name, difference, interval: (low, high), p_value } in
            comparison.differences().map_err(io::Error::other)?
        {
            writeln!(out, "{name:22}{difference:10.4}  {low:10.4} to {high:8.4}  {p_value:.3}")?;
        }
    }
    Ok(())
}

fn evaluation_text(evaluation: &Evaluation, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", heading(evaluation))?;
    let settings: Vec<String> =
        evaluation.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !settings.is_empty() {
        writeln!(out, "settings: {}", settings.join(" "))?;
    }
    if evaluation.unknown_training {
        writeln!(out, "{UNKNOWN_TRAINING}")?;
    }
    for seed in &evaluation.seeds {
        let Seed { seed, training, test, users, without_scores, fitting, scoring, .. } = seed;
        write!(
            out,
            "seed {seed}: {training} ratings in training, {test} held out; {users} users evaluated"
        )?;
        if *without_scores > 0 {
            write!(out, ", {without_scores} without scores")?;
        }
        let (fitting, scoring) = (fitting.as_secs_f64(), scoring.as_secs_f64());
        writeln!(out, "; {fitting:.1} s to fit, {scoring:.1} s to score")?;
    }
    writeln!(out, "{:22}{:>10}  {:>9}  {:>22}", "", "mean", "deviation", "95% interval")?;
    for Measure { name, mean, deviation, interval } in &evaluation.measures {
        write!(out, "{name:22}{mean:10.4}  {deviation:9.4}")?;
        match interval {
            Some((low, high)) => writeln!(out, "  {low:10.4} to {high:8.4}")?,
            None => writeln!(out)?,
        }
    }
    if let Some(Calibration { bins, .. }) = &evaluation.calibration {
        writeln!(out, "predicted     ratings   mean   liked")?;
        for (index, bin) in bins.iter().enumerate() {
            let (low, high) = (index as f64 / 10.0, (index + 1) as f64 / 10.0);
            write!(out, "{low:.1} to {high:.1}  {:9}", bin.count)?;
            match bin.count {
                0.0 => writeln!(out)?,
                _ => writeln!(out, "  {:.3}   {:.3}", bin.predicted, bin.observed)?,
            }
        }
    }
    Ok(())
}

/// The warning about models with unknown training data.
const UNKNOWN_TRAINING: &str = "WARNING: the training data of this model are unknown. If they contain \
    the held-out ratings, these measures are too good.";

fn heading(evaluation: &Evaluation) -> String {
    let options = &evaluation.options;
    let seeds: Vec<String> = options.seeds.iter().map(ToString::to_string).collect();
    format!(
        "{}, protocol {}, split {}, seeds {}{}",
        evaluation.model,
        options.protocol,
        options.hold_out,
        seeds.join(", "),
        if options.validation { ", within the training part" } else { "" }
    )
}

/// Writes one evaluation as a JSON object, with the second one under `against`.
pub fn json(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let mut evaluations = comparison.evaluations.iter();
    let mut whole = evaluations.next().map_or_else(Map::new, evaluation_json);
    whole.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
    if let Some(first) = comparison.evaluations.first() {
        let facts = &first.facts;
        whole.insert(
            "data".to_owned(),
            json!({
                "name": comparison.data,
                "fingerprint": facts.fingerprint,
                "users": facts.users,
                "movies": facts.movies,
                "rated_movies": facts.rated_movies,
                "ratings": facts.ratings,
            }),
        );
    }
    if let Some(second) = evaluations.next() {
        let mut against = evaluation_json(second);
        let differences = comparison.differences().map_err(io::Error::other)?;
        let differences: Map<String, Value> = differences
            .into_iter()
            .map(|difference| {
                let Difference { name, difference, interval: (low, high), p_value } = difference;
                let value =
                    json!({"difference": difference, "interval": [low, high], "p_value": p_value});
                (name.to_owned(), value)
            })
            .collect();
        against.insert("differences".to_owned(), differences.into());
        whole.insert("against".to_owned(), against.into());
    }
    serde_json::to_writer_pretty(&mut *out, &whole)?;
    writeln!(out)
}

fn evaluation_json(evaluation: &Evaluation) -> Map<String, Value> {
    let options = &evaluation.options;
    let settings: Map<String, Value> =
        evaluation.settings.iter().map(|(name, value)| (name.clone(), value[..].into())).collect();
    let mut whole = Map::new();
    let mut add = |name: &str, value: Value| whole.insert(name.to_owned(), value);
    add("model", evaluation.model[..].into());
    add("settings", settings.into());
    add("unknown_training", evaluation.unknown_training.into());
    add("protocol", options.protocol.name().into());
    add("split", options.hold_out.name().into());
    add("test_fraction", options.fraction.into());
    add("keep_seen", options.keep_seen.into());
    add("validation", options.validation.into());
    add("resamples", options.resamples.into());
    let by_name = |value: fn(&Measure) -> Option<Value>| -> Map<String, Value> {
        let all = evaluation.measures.iter();
        all.filter_map(|measure| Some((measure.name.to_owned(), value(measure)?))).collect()
    };
    add("stddev", by_name(|measure| Some(measure.deviation.into())).into());
    add(
        "interval",
        by_name(|measure| measure.interval.map(|(low, high)| json!([low, high]))).into(),
    );
    let seeds: Vec<Value> = evaluation.seeds.iter().map(seed_json).collect();
    add("seeds", seeds.into());
    if let Some(Calibration { bins, .. }) = &evaluation.calibration {
        let bins = bins.iter().enumerate().map(|(index, bin)| {
            json!({
                "from": index as f64 / 10.0,
                "count": bin.count,
                "predicted": bin.predicted,
                "observed": bin.observed,
            })
        });
        add("calibration", bins.collect::<Vec<_>>().into());
    }
    whole.extend(by_name(|measure| Some(measure.mean.into())));
    whole
}

fn seed_json(seed: &Seed) -> Value {
    let mut whole: Map<String, Value> =
        seed.measures.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect();
    let mut add = |name: &str, value: Value| whole.insert(name.to_owned(), value);
    add("seed", seed.seed.into());
    add("training_ratings", seed.training.into());
    add("test_ratings", seed.test.into());
    add("users", seed.users.into());
    add("users_without_scores", seed.without_scores.into());
    add("fit_seconds", seed.fitting.as_secs_f64().into());
    add("ask_seconds", seed.scoring.as_secs_f64().into());
    whole.into()
}

/// Writes all evaluations as a Markdown table.
pub fn markdown(comparison: &Comparison, command: &str, out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = comparison.evaluations.first() else { return Ok(()) };
    let (facts, options) = (&first.facts, &first.options);
    let seeds: Vec<String> = options.seeds.iter().map(ToString::to_string).collect();
    writeln!(
        out,
        "{}: {} ratings of {} movies by {} users. Protocol {}, split {}{}, {}{}.\n",
        comparison.data,
        facts.ratings,
        facts.rated_movies,
        facts.users,
        options.protocol,
        options.hold_out,
        if options.fraction > 0.0 {
            format!(" with {}% held out", options.fraction * 100.0)
        } else {
            String::new()
        },
        if seeds.len() == 1 { "seed " } else { "means and deviations over seeds " },
        seeds.join(", "),
    )?;
    if options.validation {
        writeln!(out, "Within the training part; the test part is not used.\n")?;
    }
    let mut columns: Vec<&str> = Vec::new();
    for measure in comparison.evaluations.iter().flat_map(|evaluation| &evaluation.measures) {
        if !columns.contains(&measure.name) {
            columns.push(measure.name);
        }
    }
    writeln!(out, "| model | {} |", columns.join(" | "))?;
    writeln!(out, "|---|{}", "---|".repeat(columns.len()))?;
    for (line, evaluation) in comparison.lines.iter().zip(&comparison.evaluations) {
        let mark = if evaluation.unknown_training { " (*)" } else { "" };
        write!(out, "| `{line}`{mark} |")?;
        for column in &columns {
            let found = evaluation.measures.iter().find(|measure| measure.name == *column);
            match found {
                Some(measure) if seeds.len() > 1 => {
                    write!(out, " {:.4} ± {:.4} |", measure.mean, measure.deviation)?;
                }
                Some(measure) => write!(out, " {:.4} |", measure.mean)?,
                None => write!(out, " – |")?,
            }
        }
        writeln!(out)?;
    }
    writeln!(out, "\n`{command}`")?;
    if comparison.evaluations.iter().any(|evaluation| evaluation.unknown_training) {
        writeln!(out, "\n(*) {UNKNOWN_TRAINING}")?;
    }
    Ok(())
}
