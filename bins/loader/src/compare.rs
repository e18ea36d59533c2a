//! The subcommand `compare`.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use sparrow_console::{Console, keep_order};
use sparrow_evaluate::report::{self, Comparison};
use sparrow_evaluate::{self as evaluate, Protocol};
use sparrow_live_overlay::DataSet;

use crate::evaluate::{EvaluationArgs, models};
use crate::report::{self as page, ReportFile};

/// Evaluates several models on the same ratings and writes a Markdown table.
///
/// Evaluates each model as `evaluate` does. The table contains the command that reproduces it.
#[derive(Debug, Args)]
#[command(after_help = models())]
pub(crate) struct Compare {
    #[command(flatten)]
    evaluation: EvaluationArgs,

    /// Models, optionally with hyperparameters; several are separated by spaces, or the option is repeated
    /// [default: all that the protocol supports, and for lists also neuralcf with negative samples]
    #[arg(short, long, value_name = "MODEL", num_args = 1..)]
    models: Vec<String>,

    /// Output file, replaced if it exists; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    out: PathBuf,

    #[command(flatten)]
    report: ReportFile,
}

impl Compare {
    pub(crate) fn run(self, console: Console) -> anyhow::Result<()> {
        self.report.check()?;
        let evaluation = self.evaluation.clone();
        evaluation.on_data_set(console, move |data| self.work(data, console))
    }

    fn work(&self, data: &DataSet, console: Console) -> anyhow::Result<()> {
        let mut lines: Vec<String> = self
            .models
            .iter()
            .flat_map(|line| line.split_whitespace())
            .map(str::to_owned)
            .collect();
        if lines.is_empty() {
            let able = evaluate::models();
            let able =
                able.iter().filter(|m| m.scores || self.evaluation.protocol != Protocol::Label);
            for model in able {
                lines.push(model.name.to_owned());
                if model.name != "neuralcf" {
                    continue;
                }
                lines.push("neuralcf:pretraining=none".to_owned());
                if self.evaluation.protocol != Protocol::Label {
                    lines.push("neuralcf:pretraining=none:negatives=4".to_owned());
                }
            }
        }
        let comparison = self.evaluation.measure(data, lines, console)?;
        let mut table = Vec::new();
        let command = self.command(&comparison);
        report::markdown(&comparison, &command, &mut table)?;
        if self.out.as_os_str() == "-" {
            keep_order();
            io::stdout().write_all(&table).context("cannot write to standard output")?;
        } else {
            fs::write(&self.out, table)
                .with_context(|| format!("cannot write {}", self.out.display()))?;
        }
        self.report.write(console, || page::evaluation(&comparison, &command))
    }

    /// The command that reproduces the table, with the name of the data set instead of its path.
    fn command(&self, comparison: &Comparison) -> String {
        let mut command = format!("sparrow-loader compare --data {}", comparison.data);
        command.push_str(&self.evaluation.arguments());
        if !self.models.is_empty() {
            command.push_str(" --models ");
            command.push_str(&comparison.lines.join(" "));
        }
        command
    }
}
