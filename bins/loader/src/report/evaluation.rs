//! The reports of `evaluate` and `compare`.

use std::fmt::Write as _;

use sparrow_evaluate::breakdown::{self, Group};
use sparrow_evaluate::report::Comparison;
use sparrow_evaluate::{Difference, Evaluation, Measure, Options, Protocol};
use sparrow_report::{Axis, Cell, Chart, Plot, Point, Report, Row, Scale, Section, Series, Table};

use super::{best_series, chart, fact, program, title};

/// The report of evaluations on the same ratings. `command` reproduces their measures.
pub(crate) fn evaluation(comparison: &Comparison, command: &str) -> anyhow::Result<Report> {
    let Some(first) = comparison.evaluations.first() else { return Ok(Report::default()) };
    let models = Models { comparison };
    let protocol = first.options.protocol;
    let mut sections = vec![models.measures()];
    if comparison.evaluations.len() == 2 {
        sections.extend(models.differences(&comparison.differences()?));
    }
    sections.extend(models.accuracy_and_diversity(protocol));
    let by_history = "The users are grouped by their number of ratings in the training part.";
    sections.extend(models.breakdown(
        "By length of history",
        by_history,
        "ratings of the user in training, from",
        breakdown::measure_by_history(protocol),
        &breakdown::by_history,
    ));
    let of_group = match protocol {
        Protocol::FullRanking | Protocol::FirstK | Protocol::ColdItems => {
            "the share of a user's ratings of the group that the list contains"
        }
        Protocol::LeaveOneOut | Protocol::Replay => "the share of them that the list contains",
        Protocol::Label => "the measure over the ratings of the group",
    };
    let by_popularity = format!(
        "The held-out ratings are grouped by the movie's number of ratings in the training part; the value is {of_group}."
    );
    sections.extend(models.breakdown(
        "By popularity of the movie",
        &by_popularity,
        "ratings of the movie in training, from",
        breakdown::measure_by_popularity(protocol),
        &breakdown::by_popularity,
    ));
    sections.extend(models.calibration());
    sections.push(models.details());
    Ok(Report {
        title: format!("{}: {protocol} on {}", models.subject(), comparison.data),
        facts: facts(comparison, first, command),
        notes: models.notes(first),
        sections,
    })
}

fn facts(comparison: &Comparison, first: &Evaluation, command: &str) -> Vec<(String, Cell)> {
    let (facts, options) = (&first.facts, &first.options);
    let mut command = command.to_owned();
    if options.resamples != Options::new(options.protocol).resamples {
        let _ = write!(command, " --resamples {}", options.resamples);
    }
    let seeds: Vec<String> = options.seeds.iter().map(ToString::to_string).collect();
    let held_out = if options.fraction > 0.0 {
        format!("{} with {}% held out", options.hold_out, options.fraction * 100.0)
    } else {
        options.hold_out.to_string()
    };
    vec![
        fact(
            "data",
            format!(
                "{}: {} ratings of {} movies by {} users",
                comparison.data, facts.ratings, facts.rated_movies, facts.users
            ),
        ),
        fact("fingerprint", &*facts.fingerprint),
        fact("protocol", options.protocol.name()),
        fact("split", held_out),
        fact("seeds", seeds.join(", ")),
        ("command".to_owned(), Cell::Code(command)),
        program(),
    ]
}

struct Models<'a> {
    comparison: &'a Comparison,
}

impl<'a> Models<'a> {
    /// The models with their evaluations.
    fn all(&self) -> impl Iterator<Item = (&'a str, &'a Evaluation)> + use<'a> {
        let names = self.comparison.lines.iter().map(|line| &**line);
        names.zip(&self.comparison.evaluations)
    }

    fn subject(&self) -> String {
        match &self.comparison.lines[..] {
            [one] => one.clone(),
            [one, other] => format!("{one} and {other}"),
            more => format!("{} models", more.len()),
        }
    }

    fn notes(&self, first: &Evaluation) -> Vec<String> {
        let mut notes = Vec::new();
        if first.options.validation {
            notes.push("Within the training part; the test part is not used.".to_owned());
        }
        for (name, _) in self.all().filter(|(_, evaluation)| evaluation.unknown_training) {
            notes.push(format!(
                "The training data of {name} are unknown. If they contain the held-out ratings, its measures are too good."
            ));
        }
        notes
    }

    /// All measures that a model has, in order.
    fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for measure in self.all().flat_map(|(_, evaluation)| &evaluation.measures) {
            if !names.contains(&measure.name) {
                names.push(measure.name);
            }
        }
        names
    }

    fn measures(&self) -> Section {
        let names = self.names();
        let charts = names.iter().filter_map(|&name| {
            let rows: Vec<Row> = self
                .all()
                .filter_map(|(label, evaluation)| {
                    let Measure { mean, interval, .. } = *measure(evaluation, name)?;
                    Some(Row { label: label.to_owned(), value: mean, interval })
                })
                .collect();
            // Constants such as the share of seen movies, which are excluded.
            let constant = rows.iter().all(|row| row.value == 0.0 || row.value == 1.0);
            let plot = Plot::Rows { rows, label: name.to_owned(), reference: None };
            (!constant).then(|| chart(title(name), plot))
        });
        let cell = |evaluation: &Evaluation, name| {
            measure(evaluation, name).map_or(Cell::Missing, |it| uncertain(it.mean, it.interval))
        };
        let rows = self.all().map(|(label, evaluation)| {
            let cells = names.iter().map(|name| cell(evaluation, name));
            [Cell::Code(label.to_owned())].into_iter().chain(cells).collect()
        });
        Section {
            heading: "Measures".to_owned(),
            text: vec![
                "Means over the seeds, with 95% confidence intervals by the bootstrap over users. Intervals of two models \
                 may overlap although one is better for most users; the comparison of two models with evaluate --against is \
                 paired."
                    .to_owned(),
            ],
            charts: charts.collect(),
            tables: vec![Table {
                caption: "Means and 95% intervals".to_owned(),
                columns: with_first("model", names.iter().map(|name| (*name).to_owned())),
                rows: rows.collect(),
                folded: false,
            }],
        }
    }

    fn differences(&self, differences: &[Difference]) -> Option<Section> {
        let [first, second] = &self.comparison.lines[..] else { return None };
        if differences.is_empty() {
            return None;
        }
        // Novelty is in bits, and would hide the others.
        let small = differences.iter().filter(|difference| difference.name != "novelty");
        let rows = small.map(|it| Row {
            label: title(it.name).to_owned(),
            value: it.difference,
            interval: Some(it.interval),
        });
        let label = format!("{first} less {second}");
        let plot = Plot::Rows { rows: rows.collect(), label: label.clone(), reference: Some(0.0) };
        let rows = differences.iter().map(|it| {
            vec![
                Cell::Code(it.name.to_owned()),
                Cell::number(it.difference, 4),
                Cell::Number(range(it.interval)),
                Cell::number(it.p_value, 3),
            ]
        });
        Some(Section {
            heading: "Difference".to_owned(),
            text: vec!["The paired bootstrap: the same users for both models.".to_owned()],
            charts: vec![chart(&label, plot)],
            tables: vec![Table {
                caption: label,
                columns: ["measure", "difference", "95% interval", "p-value"]
                    .map(str::to_owned)
                    .to_vec(),
                rows: rows.collect(),
                folded: false,
            }],
        })
    }

    fn accuracy_and_diversity(&self, protocol: Protocol) -> Option<Section> {
        let accuracy = breakdown::measure_by_history(protocol);
        let chart_of = |beyond: &str| {
            let points: Vec<Point> = self
                .all()
                .filter_map(|(label, evaluation)| {
                    let [x, y] = [beyond, accuracy].map(|name| measure(evaluation, name));
                    Some(Point { label: label.to_owned(), at: (x?.mean, y?.mean) })
                })
                .collect();
            let axis = |name| Axis::new(title(name), Scale::Linear);
            let plot = Plot::Points { x: axis(beyond), y: axis(accuracy), points };
            chart(&format!("{} against {}", title(accuracy), lower(title(beyond))), plot)
        };
        let has_lists = self.all().any(|(_, it)| measure(it, "diversity").is_some());
        if !has_lists || self.comparison.lines.len() < 2 {
            return None;
        }
        Some(Section {
            heading: "Accuracy and diversity".to_owned(),
            text: vec![
                "Diversity is the mean distance of the genres of two movies of a list, coverage the share of the movies \
                 that any user gets, novelty the information of a movie by its popularity."
                    .to_owned(),
            ],
            charts: ["diversity", "coverage", "novelty"].map(chart_of).to_vec(),
            tables: Vec::new(),
        })
    }

    fn breakdown(
        &self,
        heading: &str,
        text: &str,
        axis: &str,
        name: &str,
        groups: &dyn Fn(&Evaluation) -> Vec<Group>,
    ) -> Option<Section> {
        let of_models: Vec<(&str, Vec<Group>)> =
            self.all().map(|(label, evaluation)| (label, groups(evaluation))).collect();
        let mut all: Vec<Group> =
            of_models.iter().flat_map(|(_, groups)| groups).copied().collect();
        all.sort_by_key(|group| group.least);
        all.dedup_by_key(|group| group.least);
        if all.len() < 2 {
            return None;
        }
        let index = |group: &Group| all.iter().position(|other| other.least == group.least);
        let series =
            of_models.iter().zip(&self.comparison.evaluations).map(|((label, groups), of)| {
                let points = groups
                    .iter()
                    .filter_map(|group| Some((index(group)? as f64, group.mean, group.interval)));
                let whole = measure(of, name).map_or(f64::NEG_INFINITY, |it| it.mean);
                let label = (*label).to_owned();
                (whole, Series { label, points: points.collect(), line: true, markers: true })
            });
        let (series, note) = best_series(series.collect());
        let categories = all.iter().map(|group| group.least.to_string()).collect();
        let plot = Plot::Lines {
            x: Axis::new(axis, Scale::Categories(categories)),
            y: Axis::new(title(name), Scale::Linear),
            series,
            diagonal: false,
        };
        let digits = usize::from(all.iter().any(|group| group.users.fract() != 0.0));
        let users = all.iter().map(|group| Cell::number(group.users, digits));
        let rows = of_models.iter().map(|(label, groups)| {
            let cells = all.iter().map(|group| {
                let own = groups.iter().find(|own| own.least == group.least);
                own.map_or(Cell::Missing, |own| uncertain(own.mean, own.interval))
            });
            [Cell::Code((*label).to_owned())].into_iter().chain(cells).collect()
        });
        let first = [Cell::Text("users per seed".to_owned())].into_iter().chain(users).collect();
        Some(Section {
            heading: heading.to_owned(),
            text: vec![text.to_owned()],
            charts: vec![Chart {
                note,
                ..chart(&format!("{} {}", title(name), lower(heading)), plot)
            }],
            tables: vec![Table {
                caption: format!("{} {}", title(name), lower(heading)),
                columns: with_first("ratings in training", all.iter().map(Group::name)),
                rows: [first].into_iter().chain(rows).collect(),
                folded: false,
            }],
        })
    }

    fn calibration(&self) -> Option<Section> {
        let calibrated: Vec<_> = self
            .all()
            .filter_map(|(label, evaluation)| Some((label, evaluation.calibration.as_ref()?)))
            .collect();
        if calibrated.is_empty() {
            return None;
        }
        let all = calibrated.iter().map(|(label, calibration)| {
            let bins = calibration.bins.iter().filter(|bin| bin.count > 0.0);
            let series = super::series(label, bins.map(|bin| (bin.predicted, bin.observed)));
            (-calibration.error, series)
        });
        let (series, note) = best_series(all.collect());
        let plot = Plot::Lines {
            x: Axis::new("predicted probability of a like", Scale::Linear),
            y: Axis::new("share of likes", Scale::Linear),
            series,
            diagonal: true,
        };
        let tables = calibrated.iter().map(|(label, calibration)| Table {
            caption: format!("Bins of {label}"),
            columns: ["predicted", "ratings", "mean", "likes"].map(str::to_owned).to_vec(),
            rows: (0..)
                .zip(&calibration.bins)
                .map(|(index, bin)| {
                    let (low, high) = (f64::from(index) / 10.0, f64::from(index + 1) / 10.0);
                    let mean = |value| {
                        if bin.count > 0.0 { Cell::number(value, 4) } else { Cell::Missing }
                    };
                    vec![
                        Cell::Text(format!("{low:.1} to {high:.1}")),
                        Cell::number(bin.count, 0),
                        mean(bin.predicted),
                        mean(bin.observed),
                    ]
                })
                .collect(),
            folded: true,
        });
        Some(Section {
            heading: "Calibration".to_owned(),
            text: vec!["Ratings in ten bins by the predicted probability. On the dashed line, as many ratings are likes as \
                        predicted."
                .to_owned()],
            charts: vec![Chart { note, ..chart("Share of likes by predicted probability", plot) }],
            tables: tables.collect(),
        })
    }

    fn details(&self) -> Section {
        let settings = self.all().map(|(label, evaluation)| {
            let settings =
                evaluation.settings.iter().map(|(name, value)| format!("{name}={value}"));
            vec![Cell::Code(label.to_owned()), Cell::Long(settings.collect::<Vec<_>>().join(" "))]
        });
        let seeds = self.all().flat_map(|(label, evaluation)| {
            evaluation.seeds.iter().map(move |seed| {
                vec![
                    Cell::Code(label.to_owned()),
                    Cell::Number(seed.seed.to_string()),
                    Cell::Number(seed.training.to_string()),
                    Cell::Number(seed.test.to_string()),
                    Cell::Number(seed.users.to_string()),
                    Cell::Number(seed.without_scores.to_string()),
                    Cell::number(seed.fitting.as_secs_f64(), 1),
                    Cell::number(seed.scoring.as_secs_f64(), 1),
                ]
            })
        });
        let columns = [
            "model",
            "seed",
            "ratings in training",
            "held out",
            "users",
            "without scores",
            "seconds to fit",
            "seconds to score",
        ];
        Section {
            heading: "Models and seeds".to_owned(),
            tables: vec![
                Table {
                    caption: "Settings of the models".to_owned(),
                    columns: ["model", "settings"].map(str::to_owned).to_vec(),
                    rows: settings.collect(),
                    folded: true,
                },
                Table {
                    caption: "Sizes and times by seed".to_owned(),
                    columns: columns.map(str::to_owned).to_vec(),
                    rows: seeds.collect(),
                    folded: true,
                },
            ],
            ..Section::default()
        }
    }
}

fn measure<'a>(evaluation: &'a Evaluation, name: &str) -> Option<&'a Measure> {
    evaluation.measures.iter().find(|measure| measure.name == name)
}

fn uncertain(mean: f64, interval: Option<(f64, f64)>) -> Cell {
    match interval {
        Some(interval) if mean.is_finite() => Cell::Measure(format!("{mean:.4}"), range(interval)),
        _ => Cell::number(mean, 4),
    }
}

fn range((low, high): (f64, f64)) -> String {
    format!("{low:.4} to {high:.4}")
}

fn with_first(first: &str, others: impl Iterator<Item = String>) -> Vec<String> {
    [first.to_owned()].into_iter().chain(others).collect()
}

/// A title within a sentence.
fn lower(title: &str) -> String {
    let mut letters = title.chars();
    let first = letters.next().map(|letter| letter.to_lowercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
