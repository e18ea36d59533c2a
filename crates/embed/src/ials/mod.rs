//! Implicit alternating least squares: vectors of users and items whose dot products predict which items users choose
//! (Hu, Koren, Volinsky 2008, "Collaborative Filtering for Implicit Feedback Datasets").
//!
//! The settings and their scaling are those of Rendle, Krichene, Zhang, Koren 2021, "Revisiting the
//! Performance of iALS on Item Recommendation Benchmarks": all pairs count a little, and vectors are
//! pulled to zero in proportion to what they take part in. A half step moves each vector by a few steps
//! of conjugate gradients from where it was (Takács, Pilászy, Tikk 2011, "Applications of the Conjugate
//! Gradient Method for Implicit Feedback Collaborative Filtering"), which is several times cheaper than to
//! solve for it and loses nothing over a few epochs. The users' last half step is exact, so that
//! [`FoldIn`](sparrow_neural::FoldIn) gives a user the same vector as training.
//!
//! Start reading at [`train`], which is independent of movies and files.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use sparrow_hyperparameters::{Hyperparameter, Hyperparameters, Range, SearchSpace, Settings as _};
use sparrow_model::{Catalog, MovieIndex};
use sparrow_neural::{
    CONVERGED_STEPS, EmbeddingMetadata, Factors, HalfStep, Objective, Positives as Row, RowMut,
    Similarity,
};
use sparrow_progress::Progress;
use sparrow_random::Random;

use crate::interactions::{Interactions, Positives};
use crate::{Embeddings, Error, Execution, Method, MethodKind, Output, content};

/// Maximum dimension.
pub const MAX_DIMENSION: usize = 1024;

/// Number of vectors per unit of work.
const BLOCK: usize = 32;

/// The streams of random numbers.
const STREAM_USERS: u64 = 11;
const STREAM_ITEMS: u64 = 12;

/// The hyperparameters with their values, threads and seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Dimension of the vectors, from 1 to [`MAX_DIMENSION`].
    pub dimension: usize,
    /// Number of epochs; each updates all vectors.
    pub epochs: usize,
    /// The objective.
    pub objective: Objective,
    /// Which ratings count, and with which weight.
    pub positives: Positives,
    /// Conjugate gradient steps per half step.
    pub steps: usize,
    /// Expected norm of the initial vectors.
    pub start: f32,
    /// Number of threads; it does not change the result.
    pub threads: usize,
    /// The seed of the initial vectors.
    pub seed: u64,
}

impl Options {
    /// The defaults for small data sets, tuned on ml-latest-small, with and without rare movies; one thread.
    pub const DEFAULT: Self = Self {
        dimension: 64,
        epochs: 16,
        objective: Objective { unobserved: 0.25, regularization: 0.1, exponent: 0.7 },
        positives: Positives::All,
        steps: 3,
        start: 0.1,
        threads: 1,
        seed: 1,
    };

    /// The defaults for a number of ratings. Above 300,000 and 5 million ratings, they follow the settings of Rendle et
    /// al. 2021 for ML-1M and ML-20M.
    pub const fn for_ratings(count: usize) -> Self {
        let (dimension, epochs, objective) = match count {
            0..300_000 => return Self::DEFAULT,
            300_000..=5_000_000 => {
                (192, 12, Objective { unobserved: 0.3, regularization: 0.007, exponent: 1.0 })
            }
            _ => (256, 16, Objective { unobserved: 0.1, regularization: 0.003, exponent: 1.0 }),
        };
        Self { dimension, epochs, objective, ..Self::DEFAULT }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The hyperparameters as a user sets them: those that are `None` follow the number of ratings, see
/// [`Options::for_ratings`].
#[derive(Debug, Clone, PartialEq)]
pub struct Ials {
    /// See [`Options::dimension`].
    pub dimension: Option<usize>,
    /// See [`Options::epochs`].
    pub epochs: Option<usize>,
    /// See [`Objective::unobserved`].
    pub unobserved: Option<f32>,
    /// See [`Objective::regularization`].
    pub regularization: Option<f32>,
    /// See [`Objective::exponent`].
    pub exponent: Option<f32>,
    /// See [`Options::positives`].
    pub positives: Positives,
    /// See [`Options::steps`].
    pub steps: usize,
    /// The regularization of the regression that gives movies without ratings a vector; 0 gives them none.
    pub content_ridge: f32,
}

/// The default of [`Ials::content_ridge`].
const CONTENT_RIDGE: f32 = 10.0;

impl Default for Ials {
    fn default() -> Self {
        Self {
            dimension: None,
            epochs: None,
            unobserved: None,
            regularization: None,
            exponent: None,
            positives: Options::DEFAULT.positives,
            steps: Options::DEFAULT.steps,
            content_ridge: CONTENT_RIDGE,
        }
    }
}

impl From<&Options> for Ials {
    fn from(options: &Options) -> Self {
        Self {
            dimension: Some(options.dimension),
            epochs: Some(options.epochs),
            unobserved: Some(options.objective.unobserved),
            regularization: Some(options.objective.regularization),
            exponent: Some(options.objective.exponent),
            positives: options.positives,
            steps: options.steps,
            content_ridge: CONTENT_RIDGE,
        }
    }
}

impl Ials {
    /// The values for a number of ratings.
    pub fn resolved(&self, ratings: usize) -> Options {
        let default = Options::for_ratings(ratings);
        Options {
            dimension: self.dimension.unwrap_or(default.dimension),
            epochs: self.epochs.unwrap_or(default.epochs),
            objective: Objective {
                unobserved: self.unobserved.unwrap_or(default.objective.unobserved),
                regularization: self.regularization.unwrap_or(default.objective.regularization),
                exponent: self.exponent.unwrap_or(default.objective.exponent),
            },
            positives: self.positives,
            steps: self.steps,
            ..default
        }
    }
}

impl Hyperparameters for Ials {
    const TABLE: &'static [Hyperparameter<Self>] = &[
        Hyperparameter::<Self>::new(
            "dimension",
            Range::within(1.0, MAX_DIMENSION as f64),
            |o| &mut o.dimension,
            "Dimension of the vectors; auto is 64 below 300,000 ratings, 192 up to 5 million, 256 above",
        )
        .search(SearchSpace::OneOf(&[16.0, 32.0, 64.0, 128.0])),
        Hyperparameter::<Self>::new(
            "epochs",
            Range::within(1.0, 100_000.0),
            |o| &mut o.epochs,
            "Passes over the ratings; auto is 16, 12 from 300,000 to 5 million ratings",
        )
        .search(SearchSpace::OneOf(&[8.0, 16.0, 32.0])),
        Hyperparameter::<Self>::new(
            "unobserved-weight",
            Range::within(0.0, 1e6),
            |o| &mut o.unobserved,
            "Weight of every pair of user and movie; a rating adds 1. auto is 0.25, 0.3 or 0.1 by the number of ratings",
        )
        .search(SearchSpace::Logarithmic(0.03, 3.0)),
        Hyperparameter::<Self>::new(
            "regularization",
            Range::above(0.0, 1e6),
            |o| &mut o.regularization,
            "L2 regularization of the vectors; auto is 0.1, 0.007 or 0.003 by the number of ratings",
        )
        .search(SearchSpace::Logarithmic(0.001, 1.0)),
        Hyperparameter::<Self>::new(
            "regularization-exponent",
            Range::within(0.0, 2.0),
            |o| &mut o.exponent,
            "Growth of the regularization with the number of ratings of a row: 1 is proportional, 0 constant. auto is \
             0.7 below 300,000 ratings, 1 above",
        )
        .search(SearchSpace::Uniform(0.0, 1.2)),
        Hyperparameter::<Self>::new(
            "positives",
            Range::Names(&["all", "liked", "stars"]),
            |o| &mut o.positives,
            "Ratings that count: all, liked (3.5 stars or more) or stars (all, weighted by their stars)",
        ),
        Hyperparameter::<Self>::new(
            "steps",
            Range::within(1.0, 1000.0),
            |o| &mut o.steps,
            "Conjugate gradient steps in each half of an epoch",
        ),
        Hyperparameter::<Self>::new(
            "content-ridge",
            Range::within(0.0, 1e6),
            |o| &mut o.content_ridge,
            "Regularization of the regression that gives movies without ratings a vector, from genres, year and title \
             words; 0 gives them none",
        ),
    ];
}

/// `ials`.
pub const KIND: MethodKind = MethodKind {
    name: "ials",
    help: "Implicit alternating least squares",
    output: Output::Vectors,
    seeded: true,
    same_on_all_threads: true,
    new: || Box::new(Ials::default()),
};

impl Method for Ials {
    fn settings_for(&self, catalog: &Catalog) -> Vec<(String, String)> {
        let options = self.resolved(catalog.users().rating_count());
        Self { content_ridge: self.content_ridge, ..Self::from(&options) }.settings()
    }

    fn compute(
        &self,
        catalog: &Catalog,
        execution: Execution,
        progress: Progress<'_>,
    ) -> Result<crate::Model, Error> {
        let Execution { threads, seed } = execution;
        let options = Options { threads, seed, ..self.resolved(catalog.users().rating_count()) };
        let users = Interactions::of(catalog, self.positives);
        let items = users.transposed();
        let trained = train(&users, &options, progress)?;
        let movies: Vec<(MovieIndex, Vec<f32>)> =
            rows((0..catalog.len() as u32).map(MovieIndex), &items, &trained.items).collect();
        let unrated = content::predict(catalog, &movies, self.content_ridge, threads);
        let movies = movies.into_iter().chain(unrated);
        let user_ids = catalog.users().iter().map(|history| history.user().0);
        let embeddings = Embeddings::new(
            movies.map(|(movie, vector)| (catalog.movie(movie).id.0, vector)),
            rows(user_ids, &users, &trained.users),
            EmbeddingMetadata::new(KIND.name, Similarity::Dot, Some(options.objective)),
            users.pair_count(),
            &format!("a weaker regularization than {}", options.objective.regularization),
        )?;
        Ok(crate::Model::Vectors(embeddings))
    }
}

/// The ids and vectors of the rows with a positive pair.
fn rows<'a, Id: 'a>(
    ids: impl Iterator<Item = Id> + 'a,
    pairs: &'a Interactions,
    factors: &'a Factors,
) -> impl Iterator<Item = (Id, Vec<f32>)> + 'a {
    let rated = ids.enumerate().filter(|&(row, _)| !pairs.row(row).is_empty());
    rated.map(|(row, id)| (id, factors.row(row)))
}

/// The vectors of all rows (users) and columns (items); zeros without a positive pair.
#[derive(Debug, Clone)]
pub struct Model {
    /// By row.
    pub users: Factors,
    /// By column.
    pub items: Factors,
}

/// Trains vectors. Progress counts pairs, twice per epoch and once more at the end.
///
/// The same seed results in the same vectors for any number of threads, on processors with the same instruction
/// sets.
pub fn train(
    users: &Interactions,
    options: &Options,
    progress: Progress<'_>,
) -> Result<Model, Error> {
    Ials::from(options).check()?;
    if users.pair_count() == 0 {
        return Err(Error::NoTrainingData("no rating counts".to_owned()));
    }
    let items = users.transposed();
    let mut model = Model {
        users: start(users, options, STREAM_USERS),
        items: start(&items, options, STREAM_ITEMS),
    };
    let done = AtomicU64::new(0);
    let total = (2 * options.epochs as u64 + 1) * users.pair_count() as u64;
    let step = |fixed: &Factors, pairs: &Interactions, steps, moved: &mut Factors| {
        half_step(fixed, pairs, options, steps, moved, &|pairs| {
            progress(done.fetch_add(pairs, Ordering::Relaxed) + pairs, total);
        });
    };
    for _ in 0..options.epochs {
        step(&model.users, &items, options.steps, &mut model.items);
        step(&model.items, users, options.steps, &mut model.users);
    }
    step(&model.items, users, CONVERGED_STEPS, &mut model.users);
    let finite = |factors: &Factors| (0..factors.len()).all(|at| factors.is_finite(at));
    if finite(&model.users) && finite(&model.items) {
        Ok(model)
    } else {
        let regularization = options.objective.regularization;
        let remedy = format!("a stronger regularization than {regularization}");
        Err(Error::Diverged { remedy })
    }
}

/// Random vectors for rows with pairs, zeros for the others.
fn start(pairs: &Interactions, options: &Options, stream: u64) -> Factors {
    let mut random = Random::new(options.seed, stream);
    let deviation = f64::from(options.start) / (options.dimension as f64).sqrt();
    Factors::new(pairs.len(), options.dimension, |row| {
        if pairs.row(row).is_empty() { 0.0 } else { (random.normal() * deviation) as f32 }
    })
}

/// Updates all vectors of one side while those of the other side are fixed.
fn half_step(
    fixed: &Factors,
    pairs: &Interactions,
    options: &Options,
    steps: usize,
    moved: &mut Factors,
    done: &(dyn Fn(u64) + Sync),
) {
    let problem = HalfStep::new(fixed, options.objective.unobserved, options.threads);
    let others = (0..fixed.len()).filter(|&at| !fixed.is_zero(at)).count();
    let mut rows: Vec<RowMut<'_>> = moved.rows_mut().collect();
    let blocks = Mutex::new(rows.chunks_mut(BLOCK).enumerate());
    let work = || {
        loop {
            let next = blocks.lock().map_or(None, |mut blocks| blocks.next());
            let Some((block, rows)) = next else { return };
            let mut solved = 0;
            for (at, row) in (block * BLOCK..).zip(rows) {
                let positives = Row { rows: pairs.row(at), weights: pairs.weights(at) };
                let count = positives.rows.len();
                if count > 0 {
                    problem.solve(positives, options.objective.ridge(count, others), steps, row);
                }
                solved += count as u64;
            }
            done(solved);
        }
    };
    thread::scope(|scope| {
        for _ in 1..options.threads {
            scope.spawn(work);
        }
        work();
    });
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::Arc;

    use sparrow_neural::{FoldIn, ItemVectors, Similarity, TableBuilder};

    use super::*;

    /// Users of four groups, who each chose six of their group's ten items.
    fn groups(users: usize) -> Interactions {
        let mut random = Random::new(8, 0);
        let rows: Vec<Vec<u32>> = (0..users as u32)
            .map(|user| {
                let mut items: Vec<u32> = (0..10).map(|item| user % 4 * 10 + item).collect();
                random.shuffle(&mut items);
                items.truncate(6);
                items.sort_unstable();
                items
            })
            .collect();
        Interactions::from_rows(rows.iter().map(Vec::as_slice), 41)
    }

    fn options() -> Options {
        Options { dimension: 6, epochs: 8, ..Options::default() }
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn users_score_their_groups_items_highest() {
        let users = groups(200);
        let model = train(&users, &options(), &|_, _| {}).unwrap();
        assert!(model.items.is_zero(40) && !model.items.is_zero(39));
        for user in 0..200 {
            let vector = model.users.row(user);
            let score = |item: usize| dot(&vector, &model.items.row(item));
            let own = user % 4 * 10..user % 4 * 10 + 10;
            let least = own.clone().map(score).fold(f32::INFINITY, f32::min);
            let others = (0..41).filter(|item| !own.contains(item)).map(score);
            assert!(least > others.fold(f32::NEG_INFINITY, f32::max), "user {user}");
        }
    }

    #[test]
    fn results_depend_on_the_seed_but_not_on_threads() {
        let users = groups(300);
        let of = |threads, seed| {
            let model = train(&users, &Options { threads, seed, ..options() }, &|_, _| {}).unwrap();
            (0..300).flat_map(|user| model.users.row(user)).collect::<Vec<f32>>()
        };
        assert_eq!(of(1, 1), of(3, 1));
        assert_ne!(of(1, 1), of(1, 2));
    }

    #[test]
    fn folding_in_returns_the_vector_of_training() {
        let users = groups(200);
        let options = options();
        let model = train(&users, &options, &|_, _| {}).unwrap();
        let mut table = TableBuilder::default();
        for item in (0..40).filter(|&item| !model.items.is_zero(item)) {
            table.push(item as u32, &model.items.row(item)).unwrap();
        }
        let items = ItemVectors::new(&table.build().unwrap(), 41, Similarity::Dot, Some);
        let fold_in = FoldIn::new(Arc::new(items), options.objective).unwrap();
        for user in 0..200 {
            let (trained, folded) =
                (model.users.row(user), fold_in.fold_in(users.row(user)).unwrap());
            let size = dot(&trained, &trained).sqrt();
            let off: Vec<f32> = trained.iter().zip(&folded).map(|(a, b)| a - b).collect();
            assert!(dot(&off, &off).sqrt() < 1e-3 * size, "user {user}");
        }
    }

    #[test]
    fn values_that_are_not_set_follow_the_number_of_ratings() {
        let set = Ials { dimension: Some(8), exponent: Some(0.5), ..Ials::default() };
        for (ratings, epochs, unobserved, regularization) in [
            (100_000, 16, 0.25, 0.1),
            (300_000, 12, 0.3, 0.007),
            (5_000_000, 12, 0.3, 0.007),
            (5_000_001, 16, 0.1, 0.003),
        ] {
            let options = set.resolved(ratings);
            assert_eq!((options.dimension, options.epochs), (8, epochs));
            let objective = Objective { unobserved, regularization, exponent: 0.5 };
            assert_eq!(options.objective, objective);
            let all = Ials::default().resolved(ratings);
            assert_eq!(all, Options::for_ratings(ratings));
        }
    }

    #[test]
    fn progress_reaches_the_end() {
        let last = Mutex::new((0, 1));
        train(&groups(100), &options(), &|done, total| {
            let mut last = last.lock().unwrap();
            *last = (done.max(last.0), total);
        })
        .unwrap();
        assert_eq!(last.into_inner().unwrap(), (600 * 17, 600 * 17));
    }

    #[test]
    fn invalid_options_and_data_are_errors() {
        let with = |change: fn(&mut Options)| {
            let mut options = options();
            change(&mut options);
            train(&groups(4), &options, &|_, _| {}).unwrap_err().to_string()
        };
        assert_eq!(with(|o| o.dimension = 0), "dimension must be from 1 to 1024, got 0");
        assert!(with(|o| o.objective.regularization = f32::NAN).starts_with("regularization must"));
        assert!(with(|o| o.objective.unobserved = -1.0).starts_with("unobserved-weight must"));
        let nothing = Interactions::from_rows([&[][..]], 3);
        let error = train(&nothing, &options(), &|_, _| {}).unwrap_err().to_string();
        assert_eq!(error, "no training data: no rating counts");
    }
}
