use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use sparrow_features::{MOVIE_FIELDS, MovieFeatures, RatingStats};
use sparrow_model::{Catalog, MovieIndex, UserState};
use sparrow_rank::{Error, Ranker};

use crate::Remote;

/// Scores by a model at a TensorFlow Serving, for the movies of a catalogue.
#[derive(Debug)]
pub struct TfServingRanker {
    remote: Arc<Remote>,
    catalog: Arc<Catalog>,
}

impl TfServingRanker {
    /// Prepares the movies' values of all inputs.
    ///
    /// `movie_features` gives a movie's value of a field as text, `None` where it has none: of a feature store, or
    /// [`movie_features_of`] a catalogue with histories.
    pub fn new<'a>(
        remote: Arc<Remote>,
        catalog: &Arc<Catalog>,
        _movie_features: impl Fn(MovieIndex, &str) -> Option<Cow<'a, str>>,
    ) -> Self {
        Self { remote, catalog: Arc::clone(catalog) }
    }

    /// The model that is asked.
    pub const fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }
}

#[async_trait]
impl Ranker for TfServingRanker {
    fn kind(&self) -> &'static str {
        "tf-serving"
    }

    async fn score(
        &self,
        _user: &UserState<'_>,
        _movies: &[MovieIndex],
        _scores: &mut Vec<f32>,
    ) -> Result<(), Error> {
        Err(Error::Unavailable("to come".into()))
    }
}

/// The features of movies by the ratings that a catalogue holds, as a feature store would have them. Movies
/// without ratings have none of their statistics.
pub fn movie_features_of(
    catalog: &Catalog,
) -> impl Fn(MovieIndex, &str) -> Option<Cow<'static, str>> {
    let mut ratings = vec![RatingStats::default(); catalog.len()];
    for rated in catalog.users().iter().flat_map(|history| history.iter()) {
        ratings[rated.movie.at()].add(rated.stars);
    }
    let features: Vec<MovieFeatures> = catalog
        .movies()
        .iter()
        .zip(&ratings)
        .map(|(movie, ratings)| MovieFeatures::new(movie, ratings))
        .collect();
    let names = catalog.genres().clone();
    move |movie, field| {
        let place = MOVIE_FIELDS.iter().position(|known| *known == field)?;
        let mut texts = features[movie.at()].texts(&names);
        Some(Cow::Owned(std::mem::take(&mut texts[place])))
    }
}
