use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use sparrow_engine::{Embeddings, Engine};
use sparrow_model::{Catalog, Movies, Stars, TopRating};
use sparrow_movielens::Source;
use sparrow_neural::{EmbeddingTable, ITEM_FILE, Similarity, USER_FILE};
use sparrow_store::{Fields, MovieRatings};

use crate::config::Config;
use crate::models::{MovieFeatures, Registry, Vectors, read_vectors, similarity_of};
use crate::stored::Stored;

/// Reads the movies of the data set that the configuration names, for a server whose users are in a
/// feature store.
pub(crate) fn load_movies(config: &Config) -> Result<Movies> {
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

/// The data set that the configuration names with its ratings, for a feature store without rating
/// histories; `None` without such a data set.
pub(crate) fn load_histories(config: &Config) -> Result<Option<Catalog>> {
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

/// The standard engine over movies and what a feature store says of them; without that, an engine
/// that knows their titles, years and genres.
pub(crate) fn engine_of(
    movies: Movies,
    stored: Stored,
    config: &Config,
    registry: &Registry,
) -> Result<Engine> {
    let wants_features = registry.takes_movie_features();
    let (mut sums, mut features) = (HashMap::new(), HashMap::new());
    let vectors = stored.item_vectors();
    for (id, mut movie) in stored.movies {
        let movie_features = movie.features.take();
        sums.insert(id, rating_sums(movie.ratings, movie_features.as_ref()));
        features.extend(movie_features.filter(|_| wants_features).map(|fields| (id, fields)));
    }
    let catalog = Catalog::from_sums(movies, |id| sums.remove(&id).unwrap_or_default());
    let catalog = Arc::new(catalog);
    let embeddings = vectors.and_then(|(table, about)| {
        let similarity = similarity_of(&config.ranking, about.as_ref());
        Embeddings::of_items(&table, similarity, &catalog).map_err(|e| e.to_string())
    });
    let features = MovieFeatures::Stored(features);
    registry.build(&catalog, embeddings, &features).context("cannot build the engine")
}

/// Number and sum of a movie's ratings, and the best of them. Where only the features are stored, the
/// sum is what their mean, of two decimals, says.
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

/// Reads the data set and the embeddings that the configuration names, and builds the standard engine
/// over them, with its models as they are now. Takes as long as reading the files does; meant for a thread
/// of its own.
pub fn load_engine(config: &Config) -> Result<Engine> {
    load(config, &Registry::new(config)?)
}

/// The same with models that go on to be kept up to date.
pub(crate) fn load(config: &Config, registry: &Registry) -> Result<Engine> {
    let start = Instant::now();
    let data = &config.data;
    let source = match (&data.path, &data.embeddings) {
        (Some(folder), _) => Source::open(folder)?,
        (None, Some(folder)) => bail!(
            "the embeddings in {} need the data set that they were made from (data.path, --data): {ITEM_FILE} holds \
             vectors of its movies, not of those of the demonstration set",
            folder.display()
        ),
        (None, None) => Source::in_memory("demonstration set", &sparrow_demo::FILES)?,
    };
    let options = sparrow_movielens::Options { max_bad_lines: data.max_bad_lines };
    let loaded = source.load(&options)?;
    if loaded.report.is_incomplete() {
        tracing::warn!("{}", loaded.report);
    } else {
        tracing::info!("{}", loaded.report);
    }
    let catalog = Arc::new(loaded.catalog);

    let embeddings = match (&data.embeddings, &data.path) {
        (Some(folder), _) => {
            let Vectors { items, users, metadata } = read_vectors(folder)
                .with_context(|| format!("cannot read the embeddings in {}", folder.display()))?;
            let about = || format!("the embeddings in {} do not fit", folder.display());
            let similarity = similarity_of(&config.ranking, metadata.as_ref());
            Ok(lay_out(&items, users, similarity, &catalog).with_context(about)?)
        }
        (None, None) => {
            let items = EmbeddingTable::read(sparrow_demo::ITEM_EMBEDDINGS, ITEM_FILE)?;
            let users = EmbeddingTable::read(sparrow_demo::USER_EMBEDDINGS, USER_FILE)?;
            Ok(lay_out(&items, users, similarity_of(&config.ranking, None), &catalog)?)
        }
        (None, Some(_)) => {
            tracing::warn!("no embeddings folder is configured: the model emb is unavailable");
            Err("no embeddings folder is configured".to_owned())
        }
    };
    let engine = registry
        .build(&catalog, embeddings, &MovieFeatures::OfCatalog)
        .context("cannot build the engine")?;
    registry.load();
    tracing::info!(took = ?start.elapsed(), "loaded");
    Ok(engine)
}

fn lay_out(
    items: &EmbeddingTable,
    users: EmbeddingTable,
    similarity: Similarity,
    catalog: &Catalog,
) -> Result<Embeddings> {
    let user_vectors = users.len();
    let embeddings = Embeddings::new(items, users, similarity, catalog)?;
    tracing::info!(
        dimension = items.dimension(),
        ?similarity,
        "vectors for {} of {} movies and for {user_vectors} users",
        embeddings.items.len(),
        catalog.len(),
    );
    Ok(embeddings)
}
