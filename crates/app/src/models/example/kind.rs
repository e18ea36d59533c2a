use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sparrow_model::Catalog;
use sparrow_rank::Ranker;

use super::{DecadeRanker, LoadedModel, ModelKind};
use crate::config::{Ranking, read_text};

/// The file of a version: a decade and its weight per line.
const FILE: &str = "decades.txt";

pub(super) struct Decade;

impl ModelKind for Decade {
    fn name(&self) -> &'static str {
        "decade"
    }

    // Makes it a recall strategy too.
    fn recall_above(&self) -> Option<f32> {
        Some(0.0)
    }

    fn files(&self) -> &'static [&'static str] {
        &[FILE]
    }

    fn recognises(&self, folder: &Path) -> bool {
        folder.join(FILE).is_file()
    }

    fn load(&self, folder: &Path, _ranking: &Ranking) -> Result<Box<dyn LoadedModel>> {
        let text = read_text(&folder.join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
        let weights = text.lines().enumerate().map(|(index, line)| {
            let line_number =
                || format!("line {} of {FILE} is not a decade and a weight", index + 1);
            let (decade, weight) = line.split_once(' ').with_context(line_number)?;
            let decade = decade.parse().with_context(line_number)?;
            Ok((decade, weight.parse().with_context(line_number)?))
        });
        Ok(Box::new(LoadedDecades(weights.collect::<Result<_>>()?)))
    }
}

struct LoadedDecades(Vec<(u16, f32)>);

impl LoadedModel for LoadedDecades {
    fn ranker(&self, catalog: &Catalog) -> Result<Arc<dyn Ranker>> {
        Ok(Arc::new(DecadeRanker::new(&self.0, catalog)))
    }
}

impl fmt::Display for LoadedDecades {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weights of {} decades", self.0.len())
    }
}
