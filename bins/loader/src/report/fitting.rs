//! The report of `fit`.

use sparrow_fit::Summary;
use sparrow_report::{Cell, Plot, Report, Row, Section, Table};

use super::{chart, fact, program};

/// The report of a fit.
pub(crate) fn fitting(summary: &Summary) -> Report {
    let blend = &summary.blend;
    let mut facts =
        vec![fact("data", summary.data.to_string()), fact("objective", blend.objective.name())];
    if let Some(validation) = &blend.validation {
        facts.push(fact("fingerprint", &*validation.fingerprint));
        facts.push(fact("lists", validation.lists.to_string()));
    }
    facts.push(program());
    let mut sections = vec![weights(summary)];
    sections.extend(validation(summary));
    sections.push(steps(summary));
    Report { title: "Fit of the models of a server".to_owned(), facts, notes: Vec::new(), sections }
}

fn row(label: &str, value: f64) -> Row {
    Row { label: label.to_owned(), value, interval: None }
}

/// A table of names and values with this many digits behind the point.
fn table(caption: &str, columns: [&str; 2], rows: &[Row], digits: usize) -> Table {
    let cells = |row: &Row| vec![Cell::Text(row.label.clone()), Cell::number(row.value, digits)];
    Table {
        caption: caption.to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.iter().map(cells).collect(),
        folded: false,
    }
}

fn weights(summary: &Summary) -> Section {
    let terms = summary.blend.terms().iter();
    let rows: Vec<Row> =
        terms.map(|term| row(term.signal.name(), f64::from(term.weight))).collect();
    Section {
        heading: "Weights of the blend".to_owned(),
        text: vec![
            "The score of a movie is the sum of its signals with these weights. The signals of models are logarithms of \
             scores, and the signals have different ranges, so weights show the direction, not the share of a signal."
                .to_owned(),
        ],
        tables: vec![table("Weights", ["signal", "weight"], &rows, 4)],
        charts: vec![chart("Weights by signal", Plot::Bars { rows, label: "weight".to_owned() })],
    }
}

fn validation(summary: &Summary) -> Option<Section> {
    let validation = summary.blend.validation.as_ref()?;
    let inputs = validation.inputs.iter().map(|(name, ndcg)| row(name, *ndcg));
    let rows: Vec<Row> = [row("blend", validation.ndcg_at_10)].into_iter().chain(inputs).collect();
    Some(Section {
        heading: "Validation".to_owned(),
        text: vec![
            "nDCG@10 on ratings that were held out from the fit, each half of the users ranked by weights that were fitted \
             to the other half."
                .to_owned(),
        ],
        tables: vec![table("nDCG@10 on held-out ratings", ["model", "ndcg_at_10"], &rows, 4)],
        charts: vec![chart(
            "nDCG@10 of the blend and of each model",
            Plot::Bars { rows, label: "ndcg_at_10".to_owned() },
        )],
    })
}

fn steps(summary: &Summary) -> Section {
    let rows: Vec<Row> =
        summary.steps.iter().map(|step| row(step.name, step.took.as_secs_f64())).collect();
    Section {
        heading: "Time".to_owned(),
        tables: vec![table("Seconds by step", ["step", "seconds"], &rows, 1)],
        charts: vec![chart("Seconds by step", Plot::Bars { rows, label: "seconds".to_owned() })],
        ..Section::default()
    }
}
