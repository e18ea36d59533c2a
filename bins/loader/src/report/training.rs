//! The report of `train`.

use sparrow_hyperparameters::Settings as _;
use sparrow_report::{Cell, Plot, Report, Row, Section, Series, Table};
use sparrow_train::{Epoch, Options, Summary};

use super::{chart, fact, over_whole, program, series, title};

/// The report of a training with its epochs.
pub(crate) fn training(options: &Options, summary: &Summary, epochs: &[Epoch]) -> Report {
    let [training, validation, test] = summary.trained.samples;
    let settings = options.settings().into_iter();
    let settings = settings.map(|(name, value)| vec![Cell::Code(name), Cell::Text(value)]);
    Report {
        title: format!("Training of {}", options.method),
        facts: vec![
            fact("data", summary.data.to_string()),
            fact("split", options.split.to_string()),
            fact(
                "samples",
                format!(
                    "{training} for training, {validation} for validation, {test} for the test"
                ),
            ),
            fact("epochs", summary.trained.epochs.to_string()),
            fact("seed", options.seed.to_string()),
            program(),
        ],
        notes: Vec::new(),
        sections: vec![
            curves(epochs),
            metrics(summary),
            Section {
                heading: "Hyperparameters".to_owned(),
                tables: vec![Table {
                    caption: "Hyperparameters".to_owned(),
                    columns: ["name", "value"].map(str::to_owned).to_vec(),
                    rows: settings.collect(),
                    folded: true,
                }],
                ..Section::default()
            },
        ],
    }
}

/// Counts are no metrics.
fn is_metric(name: &str) -> bool {
    !matches!(name, "samples" | "users")
}

fn curves(epochs: &[Epoch]) -> Section {
    // Early stopping keeps the weights of the last epoch that was the best so far.
    let kept = epochs.iter().rfind(|epoch| epoch.best);
    let names = epochs.first().map(|epoch| epoch.validation.named()).unwrap_or_default();
    let names: Vec<&str> =
        names.into_iter().map(|(name, _)| name).filter(|name| is_metric(name)).collect();
    let value = |epoch: &Epoch, wanted: &str| {
        let mut metrics = epoch.validation.named().into_iter();
        metrics.find(|(name, _)| *name == wanted).map_or(f64::NAN, |(_, value)| value)
    };
    let number = |epoch: &Epoch| epoch.number as f64;
    let mut charts = Vec::new();
    for name in &names {
        let every = series(
            "validation part",
            epochs.iter().map(|epoch| (number(epoch), value(epoch, name))),
        );
        let kept = kept.map(|epoch| (number(epoch), value(epoch, name)));
        let kept = Series { line: false, ..series("kept epoch", kept) };
        let plot = over_whole("epoch", title(name), vec![every, kept]);
        charts.push(chart(&format!("{} by epoch", title(name)), plot));
    }
    let losses = epochs.iter().filter(|epoch| epoch.loss.is_finite());
    let losses = series("training part", losses.map(|epoch| (number(epoch), epoch.loss)));
    if !losses.points.is_empty() {
        let plot = over_whole("epoch", "mean loss", vec![losses]);
        charts.push(chart("Loss in training by epoch", plot));
    }
    let rows = epochs.iter().map(|epoch| {
        let mut row = vec![Cell::Text(epoch.number.to_string()), Cell::number(epoch.loss, 4)];
        row.extend(names.iter().map(|name| Cell::number(value(epoch, name), 4)));
        row.push(Cell::Text(if epoch.best { "best so far" } else { "" }.to_owned()));
        row
    });
    let columns =
        ["epoch", "loss in training"].into_iter().chain(names.iter().copied()).chain([""]);
    Section {
        heading: "Learning curves".to_owned(),
        text: vec![
            "The metrics on the validation part after each epoch. The loss in training is the mean over the epoch's samples, \
             each before its update. Epoch 0 is a pre-trained model."
                .to_owned(),
        ],
        charts,
        tables: vec![Table {
            caption: "Epochs".to_owned(),
            columns: columns.map(str::to_owned).collect(),
            rows: rows.collect(),
            folded: true,
        }],
    }
}

fn metrics(summary: &Summary) -> Section {
    let named = summary.trained.test.named();
    let rows = named.iter().filter(|(name, _)| is_metric(name)).map(|(name, value)| Row {
        label: title(name).to_owned(),
        value: *value,
        interval: None,
    });
    let plot = Plot::Bars { rows: rows.collect(), label: "value".to_owned() };
    let cells = named.iter().map(|(name, value)| {
        vec![
            Cell::Code((*name).to_owned()),
            Cell::number(*value, if is_metric(name) { 4 } else { 0 }),
        ]
    });
    Section {
        heading: "Test".to_owned(),
        text: vec!["The metrics of the written model on the test part.".to_owned()],
        charts: vec![chart("Metrics on the test part", plot)],
        tables: vec![Table {
            caption: "Metrics on the test part".to_owned(),
            columns: ["metric", "value"].map(str::to_owned).to_vec(),
            rows: cells.collect(),
            folded: false,
        }],
    }
}
