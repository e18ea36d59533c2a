//! The results as a page.

use sparrow_experiments::analysis::{Interleaved, VariantResults};
use sparrow_experiments::statistics::{Comparison, Estimate};
use sparrow_report::{Cell, Plot, Report, Row, Section, Table};

use super::Analysis;
use super::output::{METRICS, Shown, interleaved, lift, p_value, period, warnings};
use crate::report::{chart, fact, program};

pub(super) fn report(analysis: &Analysis) -> Report {
    let Analysis { name, plan, results, .. } = analysis;
    let mut facts = vec![
        fact("store", &*analysis.store),
        fact("control", &*plan.variants[0].0),
        fact("outcomes", &*analysis.outcomes),
    ];
    if let Some([first, last]) = period(analysis) {
        facts.push(fact("exposures", format!("{first} to {last}")));
    }
    facts.push(fact("sample ratio", format!("p = {}", p_value(results.ratio_p_value))));
    facts.push(program());
    let mut sections = vec![lifts(analysis), users(analysis)];
    for metric in METRICS {
        sections.push(section(&results.variants, &metric));
    }
    sections.extend(interleaving(analysis));
    Report { title: format!("Experiment {name}"), facts, notes: warnings(analysis), sections }
}

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The picture: the lift of each variant with its interval, plain and with CUPED.
fn lifts(analysis: &Analysis) -> Section {
    let charts = METRICS.iter().take(2).map(|Shown { title, of, .. }| {
        let mut rows = Vec::new();
        for variant in &analysis.results.variants {
            let metric = of(variant);
            for (suffix, comparison) in [("", &metric.plain), (", CUPED", &metric.adjusted)] {
                if let Some(Estimate { value, low, high }) = comparison.as_ref().and_then(lift) {
                    let label = format!("{}{suffix}", variant.name);
                    rows.push(Row { label, value, interval: Some((low, high)) });
                }
            }
        }
        let label = "lift in percent, 95% interval".to_owned();
        chart(title, Plot::Rows { rows, label, reference: Some(0.0) })
    });
    Section {
        heading: "Lift against the control".to_owned(),
        text: vec![
            "An interval that does not contain 0 is significant at 5%. Intervals of several variants or of repeated looks are \
             not corrected for that."
                .to_owned(),
        ],
        charts: charts.collect(),
        tables: Vec::new(),
    }
}

fn users(analysis: &Analysis) -> Section {
    let row = |of: &VariantResults| {
        let models = of.models.iter().map(|(name, count)| format!("{name} {count}"));
        vec![
            text(&*of.name),
            Cell::Number(of.users.to_string()),
            Cell::Number(format!("{:.1}%", of.weight * 100.0)),
            Cell::Number(of.exposures.to_string()),
            Cell::Long(models.collect::<Vec<_>>().join(", ")),
        ]
    };
    let table = Table {
        caption: "Users and exposures by variant".to_owned(),
        columns: columns(&["variant", "users", "expected", "exposures", "models that ranked"]),
        rows: analysis.results.variants.iter().map(row).collect(),
        folded: false,
    };
    Section { heading: "Users".to_owned(), tables: vec![table], ..Section::default() }
}

fn section(variants: &[VariantResults], metric: &Shown) -> Section {
    let Shown { key, title, digits, of } = *metric;
    let measure = |estimate: Option<Estimate>, digits: usize, unit: &str| match estimate {
        None => Cell::Missing,
        Some(Estimate { value, low, high }) => Cell::Measure(
            format!("{value:.digits$}{unit}"),
            format!("{low:.digits$} to {high:.digits$}"),
        ),
    };
    let cells = |name: Cell, mean: Cell, comparison: Option<&Comparison>| {
        vec![
            name,
            mean,
            measure(comparison.map(|it| it.difference), digits, ""),
            measure(comparison.and_then(lift), 1, "%"),
            comparison.map_or(Cell::Missing, |it| Cell::Number(p_value(it.p_value))),
        ]
    };
    let mut rows = Vec::new();
    for variant in variants {
        let metric = of(variant);
        let mean = measure(metric.mean, digits, "");
        rows.push(cells(text(&*variant.name), mean, metric.plain.as_ref()));
        if let Some(adjusted) = &metric.adjusted {
            let name = text(format!("{} with CUPED", variant.name));
            rows.push(cells(name, Cell::Missing, Some(adjusted)));
        }
    }
    let mut tables = vec![Table {
        caption: "Means with 95% intervals".to_owned(),
        columns: columns(&["variant", "mean", "difference", "lift", "p-value"]),
        rows,
        folded: false,
    }];
    if key == "milliseconds" {
        let row = |of: &VariantResults| {
            let mut cells = vec![text(&*of.name)];
            let values = of.percentiles.unwrap_or([f64::NAN; 3]);
            cells.extend(values.map(|value| Cell::number(value, 3)));
            cells
        };
        tables.push(Table {
            caption: "Percentiles over exposures".to_owned(),
            columns: columns(&["variant", "median", "p95", "p99"]),
            rows: variants.iter().map(row).collect(),
            folded: false,
        });
    }
    Section { heading: title.to_owned(), tables, ..Section::default() }
}

fn interleaving(analysis: &Analysis) -> Option<Section> {
    let rows: Vec<Vec<Cell>> = interleaved(analysis)
        .flat_map(|(variant, Interleaved { models, outcomes, users, p_value: p })| {
            let row = move |index: usize| {
                vec![
                    text(variant),
                    Cell::Code(models[index].clone()),
                    Cell::Number(outcomes[index].to_string()),
                    Cell::Number(users[index].to_string()),
                    Cell::Number(p_value(*p)),
                ]
            };
            [row(0), row(1)]
        })
        .collect();
    (!rows.is_empty()).then(|| Section {
        heading: "Interleaved models".to_owned(),
        tables: vec![Table {
            caption: "Outcomes of the movies of each model; sign test over users".to_owned(),
            columns: columns(&["variant", "model", "outcomes", "users with more", "p-value"]),
            rows,
            folded: false,
        }],
        ..Section::default()
    })
}
