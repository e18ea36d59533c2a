use std::fmt;
use std::path::Path;
use std::sync::Arc;

use sparrow_model::Catalog;
use sparrow_rank::Ranker;

use super::{DecadeRanker, LoadedModel, ModelError, ModelKind};
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

    fn load(&self, folder: &Path, _ranking: &Ranking) -> Result<Box<dyn LoadedModel>, ModelError> {
        let text = read_text(&folder.join(FILE)).map_err(ModelError::read(FILE))?;
        let weights = text.lines().enumerate().map(|(index, line)| {
            let parsed = line
                .split_once(' ')
                .and_then(|(decade, weight)| Some((decade.parse().ok()?, weight.parse().ok()?)));
            parsed.ok_or_else(|| {
                let line = index + 1;
                let message = format!("line {line} of {FILE} is not a decade and a weight");
                ModelError::invalid(message)
            })
        });
        Ok(Box::new(LoadedDecades(weights.collect::<Result<_, _>>()?)))
    }
}

struct LoadedDecades(Vec<(u16, f32)>);

impl LoadedModel for LoadedDecades {
    fn ranker(&self, catalog: &Catalog) -> Result<Arc<dyn Ranker>, ModelError> {
        Ok(Arc::new(DecadeRanker::new(&self.0, catalog)))
    }
}

impl fmt::Display for LoadedDecades {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weights of {} decades", self.0.len())
    }
}
