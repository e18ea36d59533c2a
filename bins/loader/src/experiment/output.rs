//! The results as text and as JSON.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use sparrow_experiments::analysis::{Interleaved, Metric, POWER, VariantResults};
use sparrow_experiments::statistics::{Comparison, Estimate};

use super::Analysis;

/// What a reader must know before the results.
pub(super) fn warnings(analysis: &Analysis) -> Vec<String> {
    let Analysis { results, .. } = analysis;
    let mut warnings = Vec::new();
    if results.is_mismatched() {
        warnings.push(format!(
            "Sample-ratio mismatch: the numbers of users contradict the weights (p = {}). The variants are not comparable.",
            p_value(results.ratio_p_value)
        ));
    }
    if analysis.trimmed {
        warnings.push(
            "The log was trimmed: exposures and outcomes before that are missing.".to_owned(),
        );
    }
    for (count, what) in [
        (results.mixed, "users were exposed to several variants and are left out."),
        (results.unknown, "users were exposed to a variant that is not listed and are left out."),
        (results.open, "users are within the window of their last exposure: outcomes may follow."),
    ] {
        if count > 0 {
            warnings.push(format!("{count} {what}"));
        }
    }
    warnings
}

/// A metric in the output.
pub(super) struct Shown {
    /// The name in JSON.
    pub(super) key: &'static str,
    pub(super) title: &'static str,
    /// The digits behind the point.
    pub(super) digits: usize,
    pub(super) of: fn(&VariantResults) -> &Metric,
}

const fn shown(
    key: &'static str,
    title: &'static str,
    digits: usize,
    of: fn(&VariantResults) -> &Metric,
) -> Shown {
    Shown { key, title, digits, of }
}

/// The metrics: outcomes first, then guards.
pub(super) const METRICS: [Shown; 4] = [
    shown("conversion", "Conversion (share of users with an outcome)", 4, |it| &it.conversion),
    shown("movies", "Movies with an outcome per user", 4, |it| &it.movies),
    shown("degraded", "Guard: share of degraded answers", 4, |it| &it.degraded),
    shown("milliseconds", "Guard: milliseconds of recall and ranking", 3, |it| &it.milliseconds),
];

pub(super) fn p_value(value: f64) -> String {
    if value < 0.0001 { "< 0.0001".to_owned() } else { format!("{value:.4}") }
}

/// The first and the last exposure.
pub(super) fn period(analysis: &Analysis) -> Option<[String; 2]> {
    let (first, last) = analysis.results.period?;
    let time = |seconds: u32| {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into());
        humantime::format_rfc3339_seconds(time).to_string()
    };
    Some([time(first), time(last)])
}

/// The lift in percent.
pub(super) fn lift(comparison: &Comparison) -> Option<Estimate> {
    let percent = |value: f64| value * 100.0;
    comparison.lift.map(|Estimate { value, low, high }| Estimate {
        value: percent(value),
        low: percent(low),
        high: percent(high),
    })
}

pub(super) fn text(analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    let Analysis { name, results, .. } = analysis;
    writeln!(out, "experiment {name} in {}", analysis.store)?;
    if let Some([first, last]) = period(analysis) {
        writeln!(out, "exposures from {first} to {last}")?;
    }
    writeln!(out, "outcomes: {}", analysis.outcomes)?;
    for warning in warnings(analysis) {
        writeln!(out, "{warning}")?;
    }
    let mut rows = vec![
        ["variant", "users", "expected", "exposures", "models that ranked"].map(str::to_owned),
    ];
    for variant in &results.variants {
        let models = variant.models.iter().map(|(name, count)| format!("{name} {count}"));
        rows.push([
            variant.name.clone(),
            variant.users.to_string(),
            format!("{:.1}%", variant.weight * 100.0),
            variant.exposures.to_string(),
            models.collect::<Vec<_>>().join(", "),
        ]);
    }
    let p = p_value(results.ratio_p_value);
    writeln!(out, "\nUsers (sample ratio: p = {p})")?;
    table(&rows, out)?;
    for Shown { title, digits, of, .. } in METRICS {
        writeln!(out, "\n{title}")?;
        let mut rows = vec![
            [
                "variant",
                "mean",
                "95% interval",
                "difference",
                "95% interval",
                "lift",
                "95% interval",
                "p",
            ]
            .map(str::to_owned),
        ];
        for variant in &results.variants {
            let metric = of(variant);
            let [mean, interval] = estimate(metric.mean, digits, "");
            rows.push(row(&variant.name, [mean, interval], metric.plain.as_ref(), digits));
            if let Some(adjusted) = &metric.adjusted {
                let none = [String::new(), String::new()];
                rows.push(row("  with CUPED", none, Some(adjusted), digits));
            }
        }
        table(&rows, out)?;
        for variant in &results.variants {
            if let Some(difference) = of(variant).detectable {
                let percent = POWER * 100.0;
                writeln!(
                    out,
                    "{}: a difference of {difference:.digits$} is found with a probability of {percent:.0}%",
                    variant.name
                )?;
            }
        }
    }
    writeln!(out)?;
    for variant in &results.variants {
        if let Some([median, high, highest]) = variant.percentiles {
            writeln!(
                out,
                "{}: median {median:.3} ms, p95 {high:.3} ms, p99 {highest:.3} ms",
                variant.name
            )?;
        }
    }
    writeln!(
        out,
        "CUPED removes {:.1}% of the variance of the conversion, {:.1}% of that of movies",
        results.explained[0] * 100.0,
        results.explained[1] * 100.0
    )?;
    for (variant, Interleaved { models: [one, other], outcomes, users, p_value: p }) in
        interleaved(analysis)
    {
        writeln!(
            out,
            "{variant}, interleaved: {one} {} outcomes, {other} {}; more of {one} for {} users, of {other} for {} (sign test: p = {})",
            outcomes[0],
            outcomes[1],
            users[0],
            users[1],
            p_value(*p)
        )?;
    }
    Ok(())
}

/// The variants with interleaved lists.
pub(super) fn interleaved(analysis: &Analysis) -> impl Iterator<Item = (&str, &Interleaved)> {
    let variants = analysis.results.variants.iter();
    variants.filter_map(|variant| Some((&*variant.name, variant.interleaved.as_ref()?)))
}

/// A value and its interval, or dashes.
fn estimate(value: Option<Estimate>, digits: usize, unit: &str) -> [String; 2] {
    let Some(Estimate { value, low, high }) = value else {
        return ["–", "–"].map(str::to_owned);
    };
    [format!("{value:.digits$}{unit}"), format!("{low:.digits$} to {high:.digits$}{unit}")]
}

fn row(
    name: &str,
    mean: [String; 2],
    comparison: Option<&Comparison>,
    digits: usize,
) -> [String; 8] {
    let [mean, of_mean] = mean;
    let [difference, of_difference] = estimate(comparison.map(|it| it.difference), digits, "");
    let [lift, of_lift] = estimate(comparison.and_then(lift), 1, "%");
    let p = comparison.map_or_else(|| "–".to_owned(), |it| p_value(it.p_value));
    [name.to_owned(), mean, of_mean, difference, of_difference, lift, of_lift, p]
}

/// Writes rows with aligned columns: the first and the last left, the others right.
fn table<const N: usize>(rows: &[[String; N]], out: &mut dyn Write) -> io::Result<()> {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            if column == 0 || column + 1 == N {
                format!("{cell:width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

pub(super) fn json(analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    let Analysis { name, plan, results, .. } = analysis;
    let variant = |of: &VariantResults| {
        let mut object = Map::new();
        let mut insert = |key: &str, value: Value| object.insert(key.to_owned(), value);
        insert("name", json!(of.name));
        insert("weight", json!(of.weight));
        insert("users", json!(of.users));
        insert("exposures", json!(of.exposures));
        insert("models", json!(of.models));
        for metric in METRICS {
            insert(metric.key, metric_json((metric.of)(of)));
        }
        let percentiles =
            of.percentiles.map(|[p50, p95, p99]| json!({"p50": p50, "p95": p95, "p99": p99}));
        insert("millisecondsPercentiles", json!(percentiles));
        let interleaved = of.interleaved.as_ref().map(|Interleaved { models, outcomes, users, p_value }| {
            json!({"models": models, "outcomes": outcomes, "users": users, "pValue": p_value})
        });
        insert("interleaved", json!(interleaved));
        Value::Object(object)
    };
    let object = json!({
        "experiment": name,
        "control": plan.variants[0].0,
        "outcomes": analysis.outcomes,
        "windowSeconds": plan.window,
        "beforeSeconds": plan.before,
        "confidence": plan.confidence,
        "period": period(analysis),
        "sampleRatio": {"pValue": results.ratio_p_value, "mismatch": results.is_mismatched()},
        "leftOut": {"severalVariants": results.mixed, "unknownVariant": results.unknown},
        "openWindows": results.open,
        "logTrimmed": analysis.trimmed,
        "cupedExplained": {"conversion": results.explained[0], "movies": results.explained[1]},
        "variants": results.variants.iter().map(variant).collect::<Vec<_>>(),
    });
    serde_json::to_writer_pretty(&mut *out, &object)?;
    writeln!(out)
}

fn metric_json(metric: &Metric) -> Value {
    let estimate =
        |Estimate { value, low, high }: Estimate| json!({"value": value, "low": low, "high": high});
    let comparison = |it: &Comparison| {
        json!({
            "difference": estimate(it.difference),
            "lift": it.lift.map(estimate),
            "pValue": it.p_value,
        })
    };
    json!({
        "mean": metric.mean.map(estimate),
        "againstControl": metric.plain.as_ref().map(comparison),
        "withCuped": metric.adjusted.as_ref().map(comparison),
        "detectableDifference": metric.detectable,
    })
}
