use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sparrow_blend::{BLEND_FILE, Blend};
use sparrow_embed::{Embeddings, Execution, Method, Model};
use sparrow_movielens::{Options as ReaderOptions, Report as ReaderReport, Source};
use sparrow_neural::model_folder::{MODEL_FILE, versions};
use sparrow_output::model_folder;
use sparrow_train as train;

use crate::Inputs;
use crate::validate::Validator;

/// The folder of the vectors of users and movies: the vectors of a server with this models folder.
pub const VECTORS: &str = "emb";

/// The folder of the blend.
const BLEND: &str = "blend";

/// The folder of NeuralCF.
const NEURAL_CF: &str = "neuralcf";

/// The largest file of a blend, in bytes.
const LARGEST_BLEND: u64 = 1 << 20;

/// What to train.
#[derive(Debug)]
pub struct Options {
    /// How the blend is fitted; its threads are those of all methods.
    pub blend: sparrow_blend::fit::Options,
    /// How NeuralCF is trained.
    pub neural_cf: train::Options,
    /// The greatest number of weights per movie of the item–item models; `None` for their defaults.
    pub keep: Option<usize>,
    /// The method of the vectors.
    pub vectors: Box<dyn Method>,
    /// Whether a blend is published that validates worse than the current one on the same data.
    pub force: bool,
}

/// Why nothing was published. Models that were written before a failure are complete versions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data set cannot be read.
    #[error("cannot read the data set")]
    Input(#[from] sparrow_movielens::Error),
    /// An item–item model or the vectors cannot be computed.
    #[error("cannot train the models of the blend")]
    Embed(#[from] sparrow_embed::Error),
    /// The method of the vectors computes weights.
    #[error("the method of the vectors computes no vectors")]
    NoVectors,
    /// NeuralCF cannot be trained.
    #[error("cannot train NeuralCF")]
    Train(#[from] train::Error),
    /// The blend cannot be fitted.
    #[error("cannot fit the blend")]
    Blend(#[from] sparrow_blend::fit::Error),
    /// The new blend validates worse than the current one.
    #[error(
        "not published: nDCG@10 of the new blend is {new:.4} on validation data, and {current:.4} of the current version \
         on the same data; --force publishes it"
    )]
    Worse {
        /// nDCG@10 of the current version.
        current: f64,
        /// nDCG@10 of the new one.
        new: f64,
    },
    /// A model does not fit into its file.
    #[error("cannot store a model")]
    File(#[from] sparrow_neural::ModelFileError),
    /// A version cannot be written.
    #[error(transparent)]
    Output(#[from] sparrow_output::Error),
    /// A folder cannot be read or changed.
    #[error("cannot access {}", .path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is no earlier version to go back to.
    #[error("no model in {} has an earlier version", .0.display())]
    NoEarlierVersion(PathBuf),
}

/// A step of [`write()`] and its duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was done.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
}

/// The result of [`write()`].
#[derive(Debug)]
pub struct Summary {
    /// What was read.
    pub data: ReaderReport,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The blend.
    pub blend: Blend,
    /// The vectors of users and movies.
    pub vectors: Embeddings,
    /// The files with their sizes in bytes.
    pub files: Vec<(PathBuf, u64)>,
}

/// Trains all models on the data set in the folder `data`, and writes them as the next versions into folders of `out`,
/// which is created if it does not exist. `step` is called before each step.
pub fn write(
    data: &Path,
    out: &Path,
    reader: &ReaderOptions,
    options: &Options,
    step: &mut dyn FnMut(&'static str),
) -> Result<Summary, Error> {
    let mut steps = Vec::new();
    let mut timed = |name: &'static str| {
        step(name);
        steps.push((name, Instant::now()));
    };
    let execution = Execution { threads: options.blend.threads, seed: options.blend.seed };
    timed("reading the data set");
    let loaded = Source::open(data)?.load(reader)?;
    let catalog = Arc::new(loaded.catalog);
    timed("fitting the blend");
    let blend = crate::blend(&catalog, &options.blend, options.keep)?;
    if let Some((current, new)) = figures_of_the_same_data(out, &blend)
        && new < current
        && !options.force
    {
        return Err(Error::Worse { current, new });
    }
    timed("training ease, next-item and item-knn");
    let (objective, threads) = (options.blend.objective, options.blend.threads);
    let mut inputs = Inputs::train(&catalog, objective, options.keep, threads)?;
    timed("training vectors");
    let mut vectors = match options.vectors.compute(&catalog, execution, &|_, _| {})? {
        Model::Vectors(vectors) => vectors,
        Model::Weights { .. } => return Err(Error::NoVectors),
    };
    timed("validating them");
    let validator = Validator::new(&catalog);
    inputs.validate(&catalog, &validator, (objective, options.keep), threads)?;
    vectors.metadata.validation = validator.validate(&catalog, &*options.vectors, execution)?;
    timed("training neuralcf");
    let neural_cf = train::run(&catalog, &options.neural_cf, &mut ())?;
    timed("writing");
    let mut files = Vec::new();
    for (name, file) in inputs.files() {
        let content = [(MODEL_FILE, file.to_bytes()?)];
        files.extend(model_folder::write(&out.join(name), &content)?.files);
    }
    files.extend(vectors.write(&out.join(VECTORS))?);
    let written = train::export::write(&out.join(NEURAL_CF), &neural_cf.file);
    files.extend(written.map_err(train::Error::from)?.files);
    // The blend last: a server that finds it finds its models.
    let content = [(BLEND_FILE, blend.to_bytes())];
    files.extend(model_folder::write(&out.join(BLEND), &content)?.files);
    let ends = steps.iter().skip(1).map(|(_, start)| *start).chain([Instant::now()]);
    let steps =
        steps.iter().zip(ends).map(|((name, start), end)| Step { name, took: end - *start });
    Ok(Summary { data: loaded.report, steps: steps.collect(), blend, vectors, files })
}

/// nDCG@10 of the current blend in a models folder and of a new one, if both were validated in the same way on the same
/// data.
fn figures_of_the_same_data(out: &Path, new: &Blend) -> Option<(f64, f64)> {
    let versions = versions(&out.join(BLEND)).ok()?;
    let file = versions.first()?.path.join(BLEND_FILE);
    let bytes = sparrow_files::read(&file, LARGEST_BLEND).ok()?;
    // A version that cannot be read is none to compare with.
    let current = Blend::read(&bytes, BLEND_FILE).ok()?;
    let (of_current, of_new) = (current.validation.as_ref()?, new.validation.as_ref()?);
    let comparable =
        current.objective == new.objective && of_current.fingerprint == of_new.fingerprint;
    comparable.then_some((of_current.ndcg_at_10, of_new.ndcg_at_10))
}

/// Withdraws the greatest version of each model that [`write()`] wrote, so that servers load the version before it. The
/// folders get hidden names. Returns the folders of the versions that are current then.
pub fn rollback(out: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut current = Vec::new();
    // The blend first: it must not rank by models of another version.
    let names = [BLEND].into_iter().chain(sparrow_blend::INPUTS).chain([NEURAL_CF]);
    for folder in names.map(|name| out.join(name)) {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        let versions = versions(&folder).map_err(failed(&folder))?;
        let [withdrawn, before, ..] = &versions[..] else { continue };
        let hidden = folder.join(format!(".{}.withdrawn", withdrawn.number));
        drop(fs::remove_dir_all(&hidden));
        fs::rename(&withdrawn.path, &hidden).map_err(failed(&withdrawn.path))?;
        current.push(before.path.clone());
    }
    if current.is_empty() { Err(Error::NoEarlierVersion(out.to_owned())) } else { Ok(current) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_blend::Objective;
    use sparrow_neural::Validation;
    use sparrow_synth as synth;
    use tempfile::TempDir;

    use super::*;

    fn data() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let options = synth::Options {
            size: synth::Size { users: 120, movies: 150, ratings: 6000 },
            seed: 3,
            replace: true,
        };
        synth::write(folder.path(), &options, &|_, _| {}).unwrap();
        folder
    }

    fn options() -> Options {
        Options {
            blend: sparrow_blend::fit::Options::DEFAULT,
            neural_cf: train::Options::new(train::Method::NeuralCf),
            keep: None,
            vectors: Box::new(sparrow_embed::ials::Ials::default()),
            force: false,
        }
    }

    #[test]
    fn all_models_are_written_and_withdrawn() {
        let (data, out) = (data(), tempfile::tempdir().unwrap());
        let write = |options: &Options| {
            let reader = ReaderOptions::default();
            write(data.path(), out.path(), &reader, options, &mut |_| {})
        };
        let first = write(&options()).unwrap();
        assert_eq!(first.blend.objective, Objective::Lists);
        for file in ["ease/001/model.safetensors", "emb/embedding.json", "blend/001/blend.json"] {
            let path = out.path().join(file);
            assert!(first.files.iter().any(|(written, _)| *written == path), "{file}");
        }
        assert!(matches!(rollback(out.path()), Err(Error::NoEarlierVersion(_))));
        // The figures of all models but the blend are comparable.
        let figures = ["ease/001", "next-item/001", "item-knn/001", "neuralcf/001", "emb"]
            .map(|folder| Validation::of_folder(&out.path().join(folder)).unwrap());
        for of_model in &figures {
            assert_eq!(
                (&of_model.fingerprint, &of_model.protocol),
                (&figures[0].fingerprint, &figures[0].protocol)
            );
            assert!(of_model.ndcg_at_10 > 0.0 && of_model.ndcg_at_10 < 1.0, "{figures:?}");
        }

        // The same data and seed result in the same figures.
        let second = write(&options()).unwrap();
        assert_eq!(second.blend, first.blend);
        assert!(out.path().join("blend/002").is_dir());
        let current = rollback(out.path()).unwrap();
        assert_eq!(current.len(), 5, "{current:?}");
        assert!(current.iter().all(|path| path.ends_with("001")), "{current:?}");
        assert!(!out.path().join("blend/002").exists());
    }

    #[test]
    fn worse_blend_is_published_only_by_force() {
        let (data, out) = (data(), tempfile::tempdir().unwrap());
        let reader = ReaderOptions::default();
        let write = |options: &Options| {
            write(data.path(), out.path(), &reader, options, &mut |_| {})
                .map(|summary| summary.blend)
        };
        let mut better = write(&options()).unwrap();
        better.validation.as_mut().unwrap().ndcg_at_10 += 0.1;
        let content = [(BLEND_FILE, better.to_bytes())];
        model_folder::write(&out.path().join(BLEND), &content).unwrap();
        assert!(matches!(write(&options()), Err(Error::Worse { .. })));
        assert!(!out.path().join("blend/003").exists() && !out.path().join("ease/002").exists());
        write(&Options { force: true, ..options() }).unwrap();
        assert!(out.path().join("blend/003").is_dir());
    }
}
