use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sparrow_engine::{Embeddings, Engine};
use sparrow_model::{Catalog, MovieId, Movies, Stars, TopRating};
use sparrow_movielens::Source;
use sparrow_neural::{
    EmbeddingFolder, EmbeddingMetadata, EmbeddingTable, ITEM_FILE, Similarity, USER_FILE,
};
use sparrow_store::{Fields, MovieRatings};

use crate::Error;
use crate::config::Config;
use crate::models::{EngineVectors, ModelError, MovieFeatures, Registry, similarity_of};
use crate::stored::Stored;

/// Checks that the posters folder exists, if one is configured.
pub(crate) fn check_posters(config: &Config) -> Result<(), Error> {
    match config.data.posters.as_ref().filter(|folder| !folder.is_dir()) {
        Some(folder) => {
            let message = format!("the posters folder {} does not exist", folder.display());
            Err(Error::Setting(message))
        }
        None => Ok(()),
    }
}

/// Reads the movies of the configured data set, for a server with a feature store.
pub(crate) fn load_movies(config: &Config) -> Result<Movies, Error> {
    let source = match &config.data.path {
        Some(folder) => Source::open_movies(folder)?,
        None => Source::in_memory("demonstration set", &sparrow_demo::FILES)?,
    };
    let options = sparrow_movielens::Options { max_bad_lines: config.data.max_bad_lines };
    if let Some(folder) = &config.data.embeddings {
        tracing::warn!(
            folder = %folder.display(),
            "data.embeddings is not used: with a feature store, its vectors are"
        );
    }
    let (movies, report) = source.load_movies(&options)?;
    if report.is_incomplete() {
        tracing::warn!("{report}");
    } else {
        tracing::info!("{} movies", report.movies);
    }
    Ok(movies)
}

/// Reads the ratings of the configured data set, for a feature store without rating histories; `None` if no data set is
/// configured or it has no ratings.
pub(crate) fn load_histories(config: &Config) -> Result<Option<Catalog>, Error> {
    let Some(folder) = &config.data.path else { return Ok(None) };
    let source = Source::open_movies(folder)?;
    if !Path::new(source.ratings_file()).is_file() {
        return Ok(None);
    }
    let options = sparrow_movielens::Options { max_bad_lines: config.data.max_bad_lines };
    let loaded = source.load(&options)?;
    tracing::info!("rating histories of the data set: {}", loaded.report);
    Ok(Some(loaded.catalog))
}

/// Builds the engine over movies with the statistics and vectors of a feature store. With an empty [`Stored`], the movies
/// have only titles, years and genres.
pub(crate) fn engine_of(
    movies: Movies,
    stored: Stored,
    config: &Config,
    registry: &Registry,
) -> Result<Engine, Error> {
    let takes_features = registry.takes_movie_features();
    let (mut sums, mut features) = (HashMap::new(), HashMap::new());
    let vectors = stored.item_vectors();
    for (id, mut movie) in stored.movies {
        let movie_features = movie.features.take();
        sums.insert(id, rating_sums(movie.ratings, movie_features.as_ref()));
        features.extend(movie_features.filter(|_| takes_features).map(|fields| (id, fields)));
    }
    let mut catalog = Catalog::from_sums(movies, |id| sums.remove(&id).unwrap_or_default());
    hide_movies(&mut catalog, config);
    let catalog = Arc::new(catalog);
    let embeddings = vectors.and_then(|(table, metadata)| {
        let similarity = similarity_of(&config.ranking, metadata.as_ref());
        let embeddings = Embeddings::of_items(&table, similarity, &catalog);
        let embeddings = embeddings.map_err(|error| error.to_string())?;
        Ok(described(embeddings, metadata))
    });
    let features = MovieFeatures::Stored(features);
    Ok(registry.build(&catalog, embeddings, &features)?)
}

/// The number, sum and best of a movie's ratings. If only the features are stored, the sum follows from their mean, which
/// has two decimals.
fn rating_sums(
    ratings: Option<MovieRatings>,
    features: Option<&Fields>,
) -> (u32, u32, Vec<TopRating>) {
    if let Some(ratings) = ratings {
        let most = ratings.count.saturating_mul(u32::from(Stars::MAX.half_stars()));
        return (ratings.count, ratings.half_stars.min(most), ratings.top);
    }
    let Some(features) = features else { return Default::default() };
    let number = |name| features.get(name).and_then(|text| text.parse::<f64>().ok());
    let count = number("movieRatingCount").unwrap_or(0.0) as u32;
    let average = number("movieAvgRating").unwrap_or(0.0).clamp(0.0, 5.0);
    (count, (average * 2.0 * f64::from(count)).round() as u32, Vec::new())
}

/// Reads the configured data set and embeddings, and builds the engine over them with the versions of models that are
/// there now. Blocks until all files are read.
pub fn load_engine(config: &Config) -> Result<Engine, Error> {
    load(config, &Registry::new(config)?)
}

/// The same with the models of a registry, which follow new versions.
pub(crate) fn load(config: &Config, registry: &Registry) -> Result<Engine, Error> {
    let start = Instant::now();
    let data = &config.data;
    let folder = config.embeddings();
    let source = match (&data.path, &folder) {
        (Some(folder), _) => Source::open(folder)?,
        (None, Some(folder)) => return Err(Error::NoDataSet { folder: folder.clone() }),
        (None, None) => Source::in_memory("demonstration set", &sparrow_demo::FILES)?,
    };
    let options = sparrow_movielens::Options { max_bad_lines: data.max_bad_lines };
    let loaded = source.load(&options)?;
    if loaded.report.is_incomplete() {
        tracing::warn!("{}", loaded.report);
    } else {
        tracing::info!("{}", loaded.report);
    }
    let mut catalog = loaded.catalog;
    hide_movies(&mut catalog, config);
    let catalog = Arc::new(catalog);

    let embeddings = match (&folder, &data.path) {
        (Some(folder), _) => {
            let vectors = EmbeddingFolder::read(folder).map_err(ModelError::invalid);
            let vectors = vectors.and_then(|EmbeddingFolder { items, users, metadata }| {
                let similarity = similarity_of(&config.ranking, metadata.as_ref());
                Ok(described(lay_out(&items, users, similarity, &catalog)?, metadata))
            });
            Ok(vectors.map_err(|source| Error::Embeddings { folder: folder.clone(), source })?)
        }
        (None, None) => {
            let read = |bytes, file| EmbeddingTable::read(bytes, file).map_err(ModelError::invalid);
            let vectors = read(sparrow_demo::ITEM_EMBEDDINGS, ITEM_FILE).and_then(|items| {
                let similarity = similarity_of(&config.ranking, None);
                lay_out(
                    &items,
                    read(sparrow_demo::USER_EMBEDDINGS, USER_FILE)?,
                    similarity,
                    &catalog,
                )
                .map(|embeddings| described(embeddings, None))
            });
            let folder = || PathBuf::from("the demonstration set");
            Ok(vectors.map_err(|source| Error::Embeddings { folder: folder(), source })?)
        }
        (None, Some(_)) => {
            tracing::warn!("no embeddings folder is configured: the model emb is unavailable");
            Err("no embeddings folder is configured".to_owned())
        }
    };
    let engine = registry.build(&catalog, embeddings, &MovieFeatures::OfCatalog)?;
    registry.load();
    tracing::info!(took = ?start.elapsed(), "loaded");
    Ok(engine)
}

/// Hides the movies that the configuration names.
fn hide_movies(catalog: &mut Catalog, config: &Config) {
    let unknown = catalog.hide(config.catalog.hidden.iter().copied().map(MovieId));
    if let Some(first) = unknown.first() {
        tracing::warn!("{} ids of catalog.hidden belong to no movie, first {first}", unknown.len());
    }
}

/// Vectors with what their metadata specify.
fn described(embeddings: Embeddings, metadata: Option<EmbeddingMetadata>) -> EngineVectors {
    let (objective, validation) =
        metadata.map_or((None, None), |metadata| (metadata.objective, metadata.validation));
    EngineVectors { embeddings: embeddings.with_objective(objective), validation }
}

fn lay_out(
    items: &EmbeddingTable,
    users: EmbeddingTable,
    similarity: Similarity,
    catalog: &Catalog,
) -> Result<Embeddings, ModelError> {
    let user_vectors = users.len();
    let embeddings =
        Embeddings::new(items, users, similarity, catalog).map_err(ModelError::invalid)?;
    tracing::info!(
        dimension = items.dimension(),
        ?similarity,
        "vectors for {} of {} movies and for {user_vectors} users",
        embeddings.items.len(),
        catalog.len(),
    );
    Ok(embeddings)
}
