//! The report of `tune`.

use sparrow_evaluate::tune::{MEASURE, Options, Trial, best};
use sparrow_report::{Axis, Cell, Plot, Report, Scale, Section, Series, Table};

use super::{chart, fact, over_whole, program, scale_of, series, title};

/// The report of a search: all trials of its record.
pub(crate) fn tuning(data: &str, options: &Options, trials: &[Trial]) -> Report {
    let best = best(trials);
    let chosen = best.map_or_else(
        || "no trial resulted in a model".to_owned(),
        |best| {
            let settings =
                if best.settings.is_empty() { "the defaults".to_owned() } else { best.flags() };
            format!("trial {}: {settings}", best.trial)
        },
    );
    let mut sections = vec![course(trials)];
    sections.extend(hyperparameters(trials));
    sections.push(table(trials));
    Report {
        title: format!("Search for hyperparameters of {}", options.tunable.name),
        facts: vec![
            fact("data", data),
            fact("protocol", options.protocol.name()),
            fact("seed", options.seed.to_string()),
            fact("trials", trials.len().to_string()),
            ("best".to_owned(), Cell::Code(chosen)),
            program(),
        ],
        notes: vec![format!(
            "Trials are compared by {} on a validation part; the test part is not used. The best of many trials is better by \
             chance, too: evaluate it on the test part.",
            title(MEASURE)
        )],
        sections,
    }
}

/// The trials with values.
fn valued(trials: &[Trial]) -> impl Iterator<Item = (&Trial, f64)> + Clone {
    trials.iter().filter_map(|trial| Some((trial, trial.value()?)))
}

fn course(trials: &[Trial]) -> Section {
    let points = valued(trials).map(|(trial, value)| (trial.trial as f64, value));
    let each = Series { line: false, ..series("trial", points.clone()) };
    let best = points.scan(f64::NEG_INFINITY, |best, (number, value)| {
        *best = best.max(value);
        Some((number, *best))
    });
    let best = Series { markers: false, ..series("best so far", best) };
    let seconds = trials.iter().map(|trial| (trial.trial as f64, trial.seconds));
    let seconds = Series { line: false, ..series("trial", seconds) };
    Section {
        heading: "Trials".to_owned(),
        text: vec!["Trial 0 has the defaults.".to_owned()],
        charts: vec![
            chart(
                &format!("{} by trial", title(MEASURE)),
                over_whole("trial", title(MEASURE), vec![each, best]),
            ),
            chart("Seconds by trial", over_whole("trial", "seconds", vec![seconds])),
        ],
        tables: Vec::new(),
    }
}

/// The measure over each hyperparameter that the search varied.
fn hyperparameters(trials: &[Trial]) -> Option<Section> {
    let mut names: Vec<&String> = trials.iter().flat_map(|trial| trial.settings.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let charts = names.into_iter().filter_map(|name| {
        let points: Vec<(f64, f64)> = valued(trials)
            .filter_map(|(trial, value)| Some((trial.settings.get(name)?.as_f64()?, value)))
            .collect();
        let values: Vec<f64> = points.iter().map(|point| point.0).collect();
        (!points.is_empty()).then(|| {
            let plot = Plot::Lines {
                x: Axis::new(name, scale_of(&values)),
                y: Axis::new(title(MEASURE), Scale::Linear),
                series: vec![Series { line: false, ..series("trial", points) }],
                diagonal: false,
            };
            chart(&format!("{} by {name}", title(MEASURE)), plot)
        })
    });
    let charts: Vec<_> = charts.collect();
    (!charts.is_empty()).then(|| Section {
        heading: "Hyperparameters".to_owned(),
        text: vec!["All hyperparameters of a trial are drawn at once, so each chart shows the effects of all.".to_owned()],
        charts,
        tables: Vec::new(),
    })
}

fn table(trials: &[Trial]) -> Section {
    let mut ordered: Vec<&Trial> = trials.iter().collect();
    // Failed trials last, equal ones by number.
    let value = |trial: &Trial| trial.value().unwrap_or(f64::NEG_INFINITY);
    ordered.sort_by(|a, b| value(b).total_cmp(&value(a)).then(a.trial.cmp(&b.trial)));
    let row = |trial: &&Trial| {
        let settings = match (&trial.error, trial.settings.is_empty()) {
            (Some(error), _) => format!("{}: {error}", trial.flags()),
            (None, true) => "the defaults".to_owned(),
            (None, false) => trial.flags(),
        };
        vec![
            Cell::Text(trial.trial.to_string()),
            trial.value().map_or(Cell::Missing, |value| Cell::number(value, 4)),
            Cell::number(trial.seconds, 1),
            Cell::Long(settings),
        ]
    };
    let columns: Vec<String> = ["trial", MEASURE, "seconds", "options"].map(str::to_owned).to_vec();
    let of = |caption: &str, trials: &[&Trial], folded| Table {
        caption: caption.to_owned(),
        columns: columns.clone(),
        rows: trials.iter().map(row).collect(),
        folded,
    };
    let best = &ordered[..ordered.len().min(10)];
    let mut tables = vec![of("The best trials", best, false)];
    if ordered.len() > best.len() {
        tables.push(of("All trials", &ordered, true));
    }
    Section { heading: "The trials in numbers".to_owned(), tables, ..Section::default() }
}
