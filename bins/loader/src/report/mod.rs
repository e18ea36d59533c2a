//! `--report`: the results of a command as a page.

mod evaluation;
mod fitting;
mod training;
mod tuning;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use sparrow_console::Console;
use sparrow_output::AtomicFile;
use sparrow_report::{Axis, Cell, Chart, MAX_SERIES, Plot, Report, Scale, Series};

use crate::failure::Failure;

pub(crate) use evaluation::evaluation;
pub(crate) use fitting::fitting;
pub(crate) use training::training;
pub(crate) use tuning::tuning;

/// The option `--report`.
#[derive(Debug, Args)]
pub(crate) struct ReportFile {
    /// Also write the results as a page with tables and charts (HTML), replaced if it exists
    #[arg(id = "report", long, value_name = "FILE")]
    path: Option<PathBuf>,
}

impl ReportFile {
    /// Checks before any work that the page can be written.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let (folder, name) = folder_and_name(path)?;
        // Dropped, and with it the temporary file.
        AtomicFile::create(folder, &name)?;
        Ok(())
    }

    /// Writes the page, if there is the option.
    pub(crate) fn write(
        &self,
        console: Console,
        report: impl FnOnce() -> anyhow::Result<Report>,
    ) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let page = sparrow_report::html(&report()?).context("cannot make the report")?;
        let (folder, name) = folder_and_name(path)?;
        let mut file = AtomicFile::create(folder, &name)?;
        file.write(page.as_bytes())?;
        for (path, size) in AtomicFile::publish(vec![file])? {
            console.note(&format!("wrote {} ({size} bytes)", path.display()));
        }
        Ok(())
    }
}

fn folder_and_name(path: &Path) -> Result<(&Path, String), Failure> {
    let name = path.file_name().filter(|_| !path.is_dir());
    let Some(name) = name.map(|name| name.to_string_lossy().into_owned()) else {
        return Err(Failure::Usage(format!("--report {}: not a file", path.display())));
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok((folder.unwrap_or(Path::new(".")), name))
}

/// The program, for the facts of a report.
pub(crate) fn program() -> (String, Cell) {
    fact("program", concat!("sparrow-loader ", env!("CARGO_PKG_VERSION")))
}

pub(crate) fn fact(name: &str, value: impl Into<String>) -> (String, Cell) {
    (name.to_owned(), Cell::Text(value.into()))
}

/// A chart without a note.
pub(crate) fn chart(title: &str, plot: Plot) -> Chart {
    Chart { title: title.to_owned(), note: String::new(), plot }
}

/// A line with markers.
fn series(label: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Series {
    let points = points.into_iter().map(|(x, y)| (x, y, None)).collect();
    Series { label: label.to_owned(), points, line: true, markers: true }
}

/// The first series of those ordered by their value, the greatest first, in the given order; and a note if some are
/// omitted.
fn best_series(all: Vec<(f64, Series)>) -> (Vec<Series>, String) {
    let count = all.len();
    if count <= MAX_SERIES {
        return (all.into_iter().map(|(_, series)| series).collect(), String::new());
    }
    let mut values: Vec<f64> = all.iter().map(|(value, _)| *value).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    let least = values[MAX_SERIES - 1];
    let best = all.into_iter().filter(|(value, _)| *value >= least).map(|(_, series)| series);
    let note = format!("The best {MAX_SERIES} of {count} models; the table has all.");
    (best.take(MAX_SERIES).collect(), note)
}

/// The numbers of a hyperparameter or an epoch over an axis that fits them.
fn scale_of(values: &[f64]) -> Scale {
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(low, high), &value| (low.min(value), high.max(value)));
    let whole = values.iter().all(|value| value.fract() == 0.0);
    match () {
        () if low > 0.0 && high / low >= 20.0 => Scale::Logarithmic,
        () if whole => Scale::Whole,
        () => Scale::Linear,
    }
}

/// A chart with a line over whole numbers.
fn over_whole(x: &str, y: &str, series: Vec<Series>) -> Plot {
    Plot::Lines {
        x: Axis::new(x, Scale::Whole),
        y: Axis::new(y, Scale::Linear),
        series,
        diagonal: false,
    }
}

/// The name of a measure in charts. Measures are documented under their own names, which tables have.
fn title(measure: &str) -> &str {
    match measure {
        "ndcg_at_10" => "nDCG@10",
        "map_at_10" => "MAP@10",
        "precision_at_10" => "Precision@10",
        "recall_at_10" => "Recall@10",
        "hit_rate_at_10" => "Hit rate@10",
        "ndcg_at_10_all" => "nDCG@10 among all movies",
        "hit_rate_at_10_all" => "Hit rate@10 among all movies",
        "ndcg_at_10_first_1" => "nDCG@10 by the first rating",
        "ndcg_at_10_first_3" => "nDCG@10 by the first 3 ratings",
        "ndcg_at_10_first_5" => "nDCG@10 by the first 5 ratings",
        "ndcg_at_10_first_10" => "nDCG@10 by the first 10 ratings",
        "hit_rate_at_10_first_1" => "Hit rate@10 by the first rating",
        "hit_rate_at_10_first_3" => "Hit rate@10 by the first 3 ratings",
        "hit_rate_at_10_first_5" => "Hit rate@10 by the first 5 ratings",
        "hit_rate_at_10_first_10" => "Hit rate@10 by the first 10 ratings",
        "cold_share" => "Share of movies without ratings",
        "genre_divergence" => "Divergence of genres from the history",
        "roc_auc" => "ROC AUC",
        "pr_auc" => "PR AUC",
        "user_roc_auc" => "ROC AUC within users",
        "log_loss" => "Log loss",
        "accuracy" => "Accuracy",
        "calibration_error" => "Calibration error",
        "scored_share" => "Share of ratings with a score",
        "coverage" => "Coverage of the catalogue",
        "novelty" => "Novelty in bits",
        "diversity" => "Diversity of genres",
        "seen_share" => "Share of seen movies",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_beyond_the_limit_are_those_with_the_least_values() {
        let all = |count: u8| (0..count).map(|n| (f64::from(n % 7), series(&n.to_string(), [])));
        let (few, note) = best_series(all(6).collect());
        assert_eq!((few.len(), &*note), (6, ""));
        let (best, note) = best_series(all(8).collect());
        let names: Vec<&str> = best.iter().map(|series| &*series.label).collect();
        assert_eq!(names, ["1", "2", "3", "4", "5", "6"]);
        assert_eq!(note, "The best 6 of 8 models; the table has all.");
    }

    #[test]
    fn scales_fit_the_values() {
        assert_eq!(scale_of(&[0.001, 0.5]), Scale::Logarithmic);
        assert_eq!(scale_of(&[0.0, 1.0, 50.0]), Scale::Whole);
        assert_eq!(scale_of(&[0.25, 1.0]), Scale::Linear);
        assert_eq!(scale_of(&[-1.5, 100.0]), Scale::Linear);
    }

    #[test]
    fn path_of_a_report_is_a_file() {
        let name = |path: &str| {
            folder_and_name(Path::new(path)).map(|(folder, name)| (folder.to_owned(), name))
        };
        assert!(
            matches!(name("a.html"), Ok((folder, name)) if folder == Path::new(".") && name == "a.html")
        );
        assert!(matches!(name("b/a.html"), Ok((folder, _)) if folder == Path::new("b")));
        assert!(name("/").is_err() && name("..").is_err());
    }
}
