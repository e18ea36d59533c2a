//! A model folder: the greatest version that can be loaded is served, and new versions replace it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};
use std::{fmt, fs, io};

use sparrow_model::Catalog;
use sparrow_neural::Validation;
use sparrow_neural::model_folder::versions;
use sparrow_rank::{Ranker, VersionedRanker};

use super::{EngineData, LoadedModel, ModelError, ModelKind, ModelSource, trial};
use crate::config::Ranking;
use crate::error::Chain;

/// A folder with the versions of a model, the loaded version, and the engines that use it.
pub(super) struct ModelFolder {
    kind: &'static dyn ModelKind,
    name: Arc<str>,
    path: PathBuf,
    ranking: Ranking,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    loaded: Option<LoadedVersion>,
    /// Versions that could not be loaded.
    broken: Vec<BrokenVersion>,
    /// A problem of the folder itself.
    problem: Option<String>,
    uses: Vec<Use>,
}

/// The model in the engine of one catalogue. The engine owns both.
struct Use {
    catalog: Weak<Catalog>,
    ranker: Weak<VersionedRanker>,
    /// Why the loaded version cannot rank this catalogue.
    problem: Option<String>,
}

struct LoadedVersion {
    version: Version,
    model: Box<dyn LoadedModel>,
    since: SystemTime,
}

/// A version on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    /// `None` for files in the model's folder itself.
    number: Option<u64>,
    path: PathBuf,
    /// The modification time and length of each file; `None` for a missing file.
    files: Vec<Option<(Option<SystemTime>, u64)>>,
}

struct BrokenVersion {
    version: Version,
    reason: String,
    since: Instant,
    reported: bool,
}

impl ModelFolder {
    pub(super) fn new(
        kind: &'static dyn ModelKind,
        name: Arc<str>,
        path: PathBuf,
        ranking: Ranking,
    ) -> Self {
        Self { kind, name, path, ranking, state: Mutex::default() }
    }

    fn try_model(
        &self,
        model: &dyn LoadedModel,
        catalog: &Catalog,
    ) -> Result<Arc<dyn Ranker>, ModelError> {
        trial::ranker(model, catalog, self.ranking.trial_timeout)
    }

    /// The versions on disk, greatest first; files in the folder itself come last.
    fn versions(&self) -> io::Result<Vec<Version>> {
        let numbered = versions(&self.path)?;
        let numbered =
            numbered.into_iter().map(|found| self.version(Some(found.number), found.path));
        let mut found: Vec<Version> = numbered.collect();
        if self.kind.allows_unversioned() {
            let unversioned = self.version(None, self.path.clone());
            found.extend(unversioned.files.iter().any(Option::is_some).then_some(unversioned));
        }
        Ok(found)
    }

    fn version(&self, number: Option<u64>, path: PathBuf) -> Version {
        let stamp = |name: &&str| {
            let metadata = fs::metadata(path.join(name)).ok()?;
            Some((metadata.modified().ok(), metadata.len()))
        };
        let files = self.kind.files().iter().map(stamp).collect();
        Version { number, path, files }
    }

    fn is_loaded(&self, version: &Version) -> bool {
        let state = self.state();
        state.loaded.as_ref().is_some_and(|loaded| loaded.version == *version)
    }

    fn try_version(&self, version: &Version, patience: Duration) -> Result<(), BrokenVersion> {
        let before = {
            let mut state = self.state();
            let index = state.broken.iter().position(|broken| broken.version == *version);
            index.map(|index| state.broken.swap_remove(index))
        };
        let since = match before {
            // It was reported, and has not changed since.
            Some(broken) if broken.reported => return Err(broken),
            Some(broken) => broken.since,
            None => Instant::now(),
        };
        self.load(version).map_err(|error| {
            let reason = format!("{version} cannot be served: {}", Chain(&error));
            let reported = since.elapsed() >= patience;
            if reported {
                tracing::warn!(model = &*self.name, folder = %version.path.display(), "{reason}");
            }
            BrokenVersion { version: version.clone(), reason, since, reported }
        })
    }

    /// Loads a version for all engines that use the model, or for none.
    fn load(&self, version: &Version) -> Result<(), ModelError> {
        let start = Instant::now();
        let model = self.kind.load(&version.path, &self.ranking)?;
        let mut state = self.state();
        state.uses.retain(|of_engine| of_engine.ranker.strong_count() > 0);
        let mut rankers = Vec::new();
        for of_engine in &state.uses {
            let (catalog, ranker) = (of_engine.catalog.upgrade(), of_engine.ranker.upgrade());
            if let (Some(catalog), Some(ranker)) = (catalog, ranker) {
                rankers.push((ranker, self.try_model(&*model, &catalog)?));
            }
        }
        let since = SystemTime::now();
        for (ranker, new) in rankers {
            ranker.replace(new, version.number, since);
        }
        for of_engine in &mut state.uses {
            of_engine.problem = None;
        }
        let took = start.elapsed();
        tracing::info!(model = &*self.name, version = version.number, ?took, "loaded {model}");
        state.loaded = Some(LoadedVersion { version: version.clone(), model, since });
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic leaves a valid state, because it is written at once.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ModelSource for ModelFolder {
    fn ranker(&self, data: &EngineData<'_>) -> Arc<dyn Ranker> {
        let mut state = self.state();
        let ranker = Arc::new(VersionedRanker::empty(self.kind.name(), "no version is loaded"));
        let mut problem = None;
        if let Some(LoadedVersion { version, model, since }) = &state.loaded {
            match self.try_model(&**model, data.catalog) {
                Ok(loaded) => ranker.replace(loaded, version.number, *since),
                Err(error) => {
                    problem = Some(format!("{version} cannot be served: {}", Chain(&error)));
                }
            }
        }
        state.uses.retain(|of_engine| of_engine.ranker.strong_count() > 0);
        state.uses.push(Use {
            catalog: Arc::downgrade(data.catalog),
            ranker: Arc::downgrade(&ranker),
            problem,
        });
        state.publish_problems();
        ranker
    }

    fn is_there(&self, _data: &EngineData<'_>) -> bool {
        self.versions().is_ok_and(|versions| !versions.is_empty())
    }

    fn validation(&self, _data: &EngineData<'_>) -> Option<Validation> {
        let versions = self.versions().ok()?;
        self.kind.validation(&versions.first()?.path)
    }

    fn inputs(&self) -> &'static [&'static str] {
        self.kind.inputs()
    }

    fn recall(&self) -> Option<&'static str> {
        self.kind.recall()
    }

    fn is_watched(&self) -> bool {
        true
    }

    fn check(&self, patience: Duration) {
        let mut broken = Vec::new();
        let mut problem = None;
        match self.versions() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                problem = Some("the model's folder does not exist".to_owned());
            }
            Err(error) => problem = Some(format!("the model's folder cannot be read: {error}")),
            Ok(versions) if versions.is_empty() => {
                problem = Some("the model's folder has no versions".to_owned());
            }
            Ok(versions) => {
                for version in versions {
                    if self.is_loaded(&version) {
                        break;
                    }
                    match self.try_version(&version, patience) {
                        Ok(()) => break,
                        Err(one) => broken.push(one),
                    }
                }
            }
        }
        let mut state = self.state();
        if let Some(problem) = problem.as_ref().filter(|_| problem != state.problem) {
            tracing::warn!(model = &*self.name, folder = %self.path.display(), "{problem}");
        }
        (state.broken, state.problem) = (broken, problem);
        state.publish_problems();
    }
}

impl State {
    /// Updates the problem in the status of the model in all engines.
    fn publish_problems(&self) {
        let problem = self.problem();
        for of_engine in &self.uses {
            if let Some(ranker) = of_engine.ranker.upgrade() {
                ranker.set_problem(problem.clone().or_else(|| of_engine.problem.clone()));
            }
        }
    }

    /// The problem of the model in all engines.
    fn problem(&self) -> Option<String> {
        let is_shown = |broken: &&BrokenVersion| broken.reported || self.loaded.is_none();
        let broken = self.broken.iter().find(is_shown).map(|broken| broken.reason.clone());
        broken.or_else(|| {
            let problem = self.problem.clone()?;
            Some(match &self.loaded {
                Some(loaded) => format!("{problem}; {} remains in use", loaded.version),
                None => problem,
            })
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "version {number}"),
            None => f.write_str("the version in the model's folder itself"),
        }
    }
}
