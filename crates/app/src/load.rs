use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use sparrow_engine::{Embeddings, Engine, Model, Options, Parts};
use sparrow_model::{Catalog, MovieId, Movies, Stars, TopRating};
use sparrow_movielens::Source;
use sparrow_neural::neural_cf::{MODEL_FILE, ModelFile, versions};
use sparrow_neural::{EmbeddingTable, ITEM_FILE, TableBuilder, USER_FILE};
use sparrow_rank::{NeuralCfRanker, Ranker, Slot};
use sparrow_store::StoredMovie;

use crate::config::{Config, Similarity};

/// The demonstration set, so that the binary needs no files beside it.
mod demo {
    pub(super) const FILES: [(&str, &[u8]); 3] = [
        ("movies.csv", include_bytes!("../../../fixtures/demo/movies.csv")),
        ("ratings.csv", include_bytes!("../../../fixtures/demo/ratings.csv")),
        ("links.csv", include_bytes!("../../../fixtures/demo/links.csv")),
    ];
    pub(super) const ITEMS: &[u8] = include_bytes!("../../../fixtures/demo/item2vecEmb.csv");
    pub(super) const USERS: &[u8] = include_bytes!("../../../fixtures/demo/userEmb.csv");
}

/// Reads the movies of the data set that the configuration names, for a server whose users are in a
/// feature store.
pub(crate) fn load_movies(config: &Config) -> Result<Movies> {
    let source = match &config.data.path {
        Some(folder) => Source::open_movies(folder)?,
        None => Source::in_memory("demonstration set", &demo::FILES)?,
    };
    let options = sparrow_movielens::Options { max_bad_lines: config.data.max_bad_lines };
    let (movies, report) = source.load_movies(&options)?;
    if report.bad_line_count > 0 {
        tracing::warn!("{report}");
    } else {
        tracing::info!("{} movies", report.movies);
    }
    Ok(movies)
}

/// The standard engine over movies and what a feature store says of them; without that, an engine
/// that knows their titles, years and genres.
pub(crate) fn engine_of(
    movies: Movies,
    stored: Vec<(MovieId, StoredMovie)>,
    config: &Config,
) -> Result<Engine> {
    let mut sums = HashMap::new();
    let mut vectors = Ok(TableBuilder::default());
    for (id, movie) in stored {
        if let (Some(vector), Ok(table)) = (&movie.embedding, &mut vectors)
            && let Err(what) = table.push(id.0, vector)
        {
            vectors = Err(format!("the feature store's item vectors: {what}"));
        }
        sums.insert(id, rating_sums(movie));
    }
    let catalog = Catalog::from_sums(movies, |id| sums.remove(&id).unwrap_or_default());
    let catalog = Arc::new(catalog);
    let embeddings = vectors.and_then(TableBuilder::build).and_then(|table| {
        if table.is_empty() {
            return Err("the feature store has no item vectors".to_owned());
        }
        Embeddings::of_items(&table, similarity(config), &catalog).map_err(|e| e.to_string())
    });
    let neuralcf = load_neuralcf(config, &catalog);
    let parts = Parts::standard(&catalog, embeddings, &engine_options(config)).with_model(neuralcf);
    Engine::new(catalog, parts).context("models.default")
}

/// Number and sum of a movie's ratings, and the best of them. Where only the features are stored, the
/// sum is what their mean, of two decimals, says.
fn rating_sums(movie: StoredMovie) -> (u32, u32, Vec<TopRating>) {
    if let Some(ratings) = movie.ratings {
        let most = ratings.count.saturating_mul(u32::from(Stars::MAX.half_stars()));
        return (ratings.count, ratings.half_stars.min(most), ratings.top);
    }
    let Some(features) = movie.features else { return Default::default() };
    let number = |name| features.get(name).and_then(|text| text.parse::<f64>().ok());
    let count = number("movieRatingCount").unwrap_or(0.0) as u32;
    let average = number("movieAvgRating").unwrap_or(0.0).clamp(0.0, 5.0);
    (count, (average * 2.0 * f64::from(count)).round() as u32, Vec::new())
}

fn similarity(config: &Config) -> sparrow_neural::Similarity {
    match config.models.similarity {
        Similarity::Cosine => sparrow_neural::Similarity::Cosine,
        Similarity::Dot => sparrow_neural::Similarity::Dot,
    }
}

/// Reads the data set and the embeddings that the configuration names, and builds the standard engine
/// over them. Takes as long as reading the files does; meant for a thread of its own.
pub fn load_engine(config: &Config) -> Result<Engine> {
    let start = Instant::now();
    let data = &config.data;
    let source = match &data.path {
        Some(folder) => Source::open(folder)?,
        None => Source::in_memory("demonstration set", &demo::FILES)?,
    };
    let options = sparrow_movielens::Options { max_bad_lines: data.max_bad_lines };
    let loaded = source.load(&options)?;
    if loaded.report.bad_line_count > 0 {
        tracing::warn!("{}", loaded.report);
    } else {
        tracing::info!("{}", loaded.report);
    }
    let catalog = Arc::new(loaded.catalog);

    let embeddings = match (&data.embeddings, &data.path) {
        (Some(folder), _) => {
            let items = read(&folder.join(ITEM_FILE))?;
            let users = read(&folder.join(USER_FILE))?;
            let about = || format!("the embeddings in {} do not fit", folder.display());
            Ok(lay_out(&items, users, config, &catalog).with_context(about)?)
        }
        (None, None) => {
            let items = EmbeddingTable::read(demo::ITEMS, ITEM_FILE)?;
            let users = EmbeddingTable::read(demo::USERS, USER_FILE)?;
            Ok(lay_out(&items, users, config, &catalog)?)
        }
        (None, Some(_)) => {
            tracing::warn!("no embeddings folder is configured: the model emb is unavailable");
            Err("no embeddings folder is configured".to_owned())
        }
    };
    let neuralcf = load_neuralcf(config, &catalog);
    let parts = Parts::standard(&catalog, embeddings, &engine_options(config)).with_model(neuralcf);
    let engine = Engine::new(catalog, parts).context("models.default")?;
    tracing::info!(took = ?start.elapsed(), "loaded");
    Ok(engine)
}

/// The greatest version of the model in `neuralcf` of the models folder that can be loaded. One that
/// cannot is reported and passed over: a broken model must not take the server down.
fn load_neuralcf(config: &Config, catalog: &Catalog) -> Model {
    let mut model = Model::new("neuralcf", "neuralcf", neuralcf_ranker(config, catalog));
    model.fallback = Some("emb".into());
    model
}

fn neuralcf_ranker(config: &Config, catalog: &Catalog) -> Result<Arc<dyn Ranker>, String> {
    let Some(models) = &config.models.path else {
        return Err("no models folder is configured".to_owned());
    };
    let folder = models.join("neuralcf");
    let found = versions(&folder).map_err(|error| {
        tracing::warn!(folder = %folder.display(), %error, "cannot look for versions of neuralcf");
        format!("the models folder has no neuralcf: {error}")
    })?;
    for version in found {
        match read_model(&version.path.join(MODEL_FILE)) {
            Ok(file) => {
                let ranker = NeuralCfRanker::new(&file.model, catalog);
                tracing::info!(
                    version = version.number,
                    architecture = file.metadata.architecture,
                    roc_auc = file.metadata.metrics.get("roc_auc"),
                    "neuralcf knows {} of {} movies",
                    ranker.known_movies(),
                    catalog.len()
                );
                return Ok(Arc::new(Slot::new(Arc::new(ranker), Some(version.number))));
            }
            Err(error) => {
                let version = version.number;
                tracing::warn!(version, "cannot load a version of neuralcf: {error:#}");
            }
        }
    }
    Err("no version of neuralcf can be loaded".to_owned())
}

fn read_model(path: &Path) -> Result<ModelFile> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(ModelFile::read(&bytes, &path.display().to_string())?)
}

fn engine_options(config: &Config) -> Options {
    let recall = &config.recall;
    Options {
        candidates: recall.candidates.get(),
        by_embedding: recall.embedding,
        by_genre: recall.genre,
        by_rating: recall.rating,
        by_recency: recall.recency,
        default_model: config.models.default.clone(),
    }
}

fn lay_out(
    items: &EmbeddingTable,
    users: EmbeddingTable,
    config: &Config,
    catalog: &Catalog,
) -> Result<Embeddings> {
    let user_vectors = users.len();
    let embeddings = Embeddings::new(items, users, similarity(config), catalog)?;
    tracing::info!(
        dimension = items.dimension(),
        "vectors for {} of {} movies and for {user_vectors} users",
        embeddings.items.len(),
        catalog.len(),
    );
    Ok(embeddings)
}

fn read(path: &Path) -> Result<EmbeddingTable> {
    let file = File::open(path)
        .with_context(|| format!("cannot open the embedding file {}", path.display()))?;
    let input: Box<dyn BufRead> = Box::new(BufReader::with_capacity(1 << 18, file));
    Ok(EmbeddingTable::read(input, &path.display().to_string())?)
}
