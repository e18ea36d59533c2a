//! A model folder that is watched: the greatest version that can be loaded is the one that is served.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};
use std::{fmt, fs, io};

use anyhow::Result;
use sparrow_model::Catalog;
use sparrow_neural::neural_cf::versions;
use sparrow_rank::Slot;
use sparrow_recall::ByEase;

use super::content::{Content, Format, Layout};

/// A folder with the versions of a model, what is loaded of it, and where that is in use.
pub(super) struct Folder {
    name: Arc<str>,
    path: PathBuf,
    format: Format,
    /// How long a version may take to score a catalogue on trial.
    trial: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    loaded: Option<Loaded>,
    /// Versions that could not be loaded.
    broken: Vec<Broken>,
    /// What there is to say beside that.
    trouble: Option<String>,
    /// Where the model is in use.
    places: Vec<Place>,
}

/// The model's place in the engine of a catalogue. Both go with the engine.
struct Place {
    catalog: Weak<Catalog>,
    slot: Weak<Slot>,
    recall: Option<Arc<ByEase>>,
    /// Why what is loaded does not serve this catalogue.
    misfit: Option<String>,
}

struct Loaded {
    version: Version,
    content: Content,
    since: SystemTime,
}

/// A version as it is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    /// `None` for files that stand in the model's folder itself.
    number: Option<u64>,
    path: PathBuf,
    /// Of each of its files, when it was written and how long it is; `None` for one that is not there.
    files: Vec<Option<(Option<SystemTime>, u64)>>,
}

struct Broken {
    version: Version,
    why: String,
    since: Instant,
    reported: bool,
}

impl Folder {
    pub(super) fn new(name: Arc<str>, path: PathBuf, format: Format, trial: Duration) -> Self {
        Self { name, path, format, trial, state: Mutex::default() }
    }

    /// What sort of model it is.
    pub(super) const fn kind(&self) -> &'static str {
        self.format.kind()
    }

    /// The model's place in the engine of a catalogue, and for models that recall can go by, its strategy
    /// there. They follow what [`look`](Self::look) finds.
    pub(super) fn join(&self, catalog: &Arc<Catalog>) -> (Arc<Slot>, Option<Arc<ByEase>>) {
        let mut state = self.state();
        let recall = matches!(self.format, Format::Ease).then(Arc::<ByEase>::default);
        let slot = Arc::new(Slot::empty(self.format.kind(), "no version is loaded"));
        let mut misfit = None;
        if let Some(Loaded { version, content, since }) = &state.loaded {
            match content.lay_out(catalog, self.trial) {
                Ok(layout) => layout.put(&slot, recall.as_deref(), version.number, *since),
                Err(error) => misfit = Some(format!("{version} cannot be served: {error:#}")),
            }
        }
        state.places.retain(|place| place.slot.strong_count() > 0);
        state.places.push(Place {
            catalog: Arc::downgrade(catalog),
            slot: Arc::downgrade(&slot),
            recall: recall.clone(),
            misfit,
        });
        state.tell();
        (slot, recall)
    }

    /// Looks whether another version is to be served than the one that is, and if so loads it, lets it
    /// score, and puts it in the place of that one. One that cannot be loaded is passed over; it is
    /// reported, once, when it has been as it is for `patience`: somebody may be copying it.
    pub(super) fn look(&self, patience: Duration) {
        let found = self.found();
        let mut broken = Vec::new();
        let mut trouble = None;
        match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                trouble = Some("the model's folder is not there".to_owned());
            }
            Err(error) => trouble = Some(format!("the model's folder cannot be read: {error}")),
            Ok(found) if found.is_empty() => {
                trouble = Some("the model's folder has no versions".to_owned());
            }
            Ok(found) => {
                for version in found {
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
        if let Some(trouble) = trouble.as_ref().filter(|_| trouble != state.trouble) {
            tracing::warn!(model = &*self.name, folder = %self.path.display(), "{trouble}");
        }
        (state.broken, state.trouble) = (broken, trouble);
        state.tell();
    }

    /// The versions that are there, greatest first; files that stand in the folder itself come last.
    fn found(&self) -> io::Result<Vec<Version>> {
        let numbered = versions(&self.path)?;
        let numbered =
            numbered.into_iter().map(|found| self.version(Some(found.number), found.path));
        let mut found: Vec<Version> = numbered.collect();
        if matches!(self.format, Format::Vectors(_)) {
            let bare = self.version(None, self.path.clone());
            found.extend(bare.files.iter().any(Option::is_some).then_some(bare));
        }
        Ok(found)
    }

    fn version(&self, number: Option<u64>, path: PathBuf) -> Version {
        let stamp = |name: &&str| {
            let about = fs::metadata(path.join(name)).ok()?;
            Some((about.modified().ok(), about.len()))
        };
        let files = self.format.files().iter().map(stamp).collect();
        Version { number, path, files }
    }

    fn is_loaded(&self, version: &Version) -> bool {
        let state = self.state();
        state.loaded.as_ref().is_some_and(|loaded| loaded.version == *version)
    }

    fn try_version(&self, version: &Version, patience: Duration) -> Result<(), Broken> {
        let before = {
            let mut state = self.state();
            let place = state.broken.iter().position(|broken| broken.version == *version);
            place.map(|place| state.broken.swap_remove(place))
        };
        let since = match before {
            // It was given up on, and is as it was.
            Some(broken) if broken.reported => return Err(broken),
            Some(broken) => broken.since,
            None => Instant::now(),
        };
        self.load(version).map_err(|error| {
            let why = format!("{version} cannot be served: {error:#}");
            let reported = since.elapsed() >= patience;
            if reported {
                tracing::warn!(model = &*self.name, folder = %version.path.display(), "{why}");
            }
            Broken { version: version.clone(), why, since, reported }
        })
    }

    /// Loads a version and puts it in all places, or in none.
    fn load(&self, version: &Version) -> Result<()> {
        let start = Instant::now();
        let content = self.format.read(&version.path)?;
        let mut state = self.state();
        state.places.retain(|place| place.slot.strong_count() > 0);
        let mut layouts = Vec::new();
        for place in &state.places {
            if let (Some(catalog), Some(slot)) = (place.catalog.upgrade(), place.slot.upgrade()) {
                layouts.push((slot, place.recall.clone(), content.lay_out(&catalog, self.trial)?));
            }
        }
        let since = SystemTime::now();
        for (slot, recall, layout) in layouts {
            layout.put(&slot, recall.as_deref(), version.number, since);
        }
        for place in &mut state.places {
            place.misfit = None;
        }
        let took = start.elapsed();
        tracing::info!(model = &*self.name, version = version.number, ?took, "loaded {content}");
        state.loaded = Some(Loaded { version: version.clone(), content, since });
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic leaves is whole: it is written in one go.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Layout {
    fn put(self, slot: &Slot, recall: Option<&ByEase>, version: Option<u64>, since: SystemTime) {
        slot.put(self.ranker, version, since);
        if let (Some(recall), Some((scorer, liked_only))) = (recall, self.weights) {
            recall.set(scorer, liked_only);
        }
    }
}

impl State {
    /// Lets the places say what is the matter.
    fn tell(&self) {
        let trouble = self.trouble();
        for place in &self.places {
            if let Some(slot) = place.slot.upgrade() {
                slot.set_trouble(trouble.clone().or_else(|| place.misfit.clone()));
            }
        }
    }

    /// What is the matter with the model.
    fn trouble(&self) -> Option<String> {
        let told = |broken: &&Broken| broken.reported || self.loaded.is_none();
        let broken = self.broken.iter().find(told).map(|broken| broken.why.clone());
        broken.or_else(|| {
            let trouble = self.trouble.clone()?;
            Some(match &self.loaded {
                Some(loaded) => format!("{trouble}; {} goes on", loaded.version),
                None => trouble,
            })
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "version {number}"),
            None => f.write_str("what is in the model's folder"),
        }
    }
}
