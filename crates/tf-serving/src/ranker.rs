use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use async_trait::async_trait;
use sparrow_features::{MOVIE_FIELDS, MovieFeatures, RatingStats, USER_FIELDS, UserWindow};
use sparrow_model::{Catalog, MovieIndex, UserState};
use sparrow_rank::{Error, Query, Ranker, Status, UNSCORED};
use tokio::time::Instant;

use crate::input::{Source, unix_time};
use crate::request_body::{MovieValues, Values};
use crate::trial::Trial;
use crate::{ServedModel, batch};

/// A ranker that scores the movies of a catalogue by a model in TensorFlow Serving.
#[derive(Debug)]
pub struct TfServingRanker {
    model: Arc<ServedModel>,
    catalog: Arc<Catalog>,
    /// The movie values of each movie input.
    movie_values: Vec<Option<MovieValues>>,
    /// Whether each movie id is in the model's range; empty if all are.
    known: Vec<bool>,
}

impl TfServingRanker {
    /// Serialises the movie values of all inputs, and replaces the trial of the model by the extremes of this catalogue.
    ///
    /// `movie_features` returns the value of a movie feature as text, from a feature store or from
    /// [`movie_features_of`]. Missing features default to those of a movie without ratings.
    pub fn new<'a>(
        model: Arc<ServedModel>,
        catalog: &Arc<Catalog>,
        movie_features: impl Fn(MovieIndex, &str) -> Option<Cow<'a, str>>,
    ) -> Self {
        let movies = || (0..catalog.len() as u32).map(MovieIndex);
        let mut known = vec![true; catalog.len()];
        let mut movie_values = Vec::new();
        for (input, conversion) in model.inputs().iter() {
            let mut values = MovieValues::default();
            match &input.source {
                Source::MovieId => {
                    for movie in movies() {
                        let id = catalog.movie(movie).id.0;
                        values.push(|out| known[movie.index()] &= conversion.write_id(id, out));
                    }
                }
                Source::Movie(field) => {
                    for movie in movies() {
                        let value = movie_features(movie, field)
                            .or_else(|| unrated(catalog, movie, field).map(Cow::Owned));
                        values.push(|out| conversion.write(value.as_deref(), out));
                    }
                }
                Source::UserId | Source::User(_) | Source::Timestamp | Source::Constant(_) => {
                    movie_values.push(None);
                    continue;
                }
            }
            movie_values.push(Some(values));
        }
        model.set_trial(Trial::of(model.inputs(), catalog, &movie_values));
        if known.iter().all(|known| *known) {
            known = Vec::new();
        }
        Self { model, catalog: Arc::clone(catalog), movie_values, known }
    }

    /// The model.
    pub const fn model(&self) -> &Arc<ServedModel> {
        &self.model
    }

    /// The number of movies of the catalogue in the model's range.
    pub fn known_movies(&self) -> usize {
        if self.known.is_empty() {
            return self.catalog.len();
        }
        self.known.iter().filter(|known| **known).count()
    }

    /// Serialises the values of the inputs that are equal for all movies; empty for the others.
    fn request_values(&self, user: &UserState<'_>) -> Result<Vec<String>, Error> {
        let computed: OnceCell<[String; USER_FIELDS.len()]> = OnceCell::new();
        let feature = |field: &str| -> Option<&str> {
            if let Some(features) = user.features {
                return features.get(field);
            }
            let index = USER_FIELDS.iter().position(|known| *known == field)?;
            let history = user.history.as_ref()?;
            let texts = computed.get_or_init(|| {
                let window = UserWindow::of(history, &self.catalog);
                window.features().texts(self.catalog.genres())
            });
            Some(&texts[index])
        };
        self.model
            .inputs()
            .iter()
            .map(|(input, conversion)| {
                let mut text = String::new();
                match &input.source {
                    Source::UserId => {
                        if user.is_anonymous || !conversion.write_id(user.id.0, &mut text) {
                            return Err(Error::UnknownUser(user.id));
                        }
                    }
                    Source::User(field) => conversion.write(feature(field), &mut text),
                    Source::Timestamp => {
                        if !conversion.write_id(unix_time(), &mut text) {
                            conversion.write(None, &mut text);
                        }
                    }
                    Source::Constant(constant) => conversion.write(Some(constant), &mut text),
                    Source::MovieId | Source::Movie(_) => {}
                }
                Ok(text)
            })
            .collect()
    }
}

#[async_trait]
impl Ranker for TfServingRanker {
    fn kind(&self) -> &'static str {
        "tf-serving"
    }

    fn status(&self) -> Status {
        self.model.status()
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        let Query { user, movies, .. } = *query;
        let deadline = Instant::now() + self.model.options().deadline;
        let layout = self.model.admit()?;
        let is_known = user.history.is_some() || user.features.is_some();
        if is_known && !user.is_anonymous {
            self.model.record_user(user.id);
        }
        let texts = self.request_values(user)?;
        let values: Vec<Values<'_>> = texts
            .iter()
            .zip(&self.movie_values)
            .map(|(text, values)| values.as_ref().map_or(Values::Same(text), Values::PerMovie))
            .collect();
        let scorable: Cow<'_, [MovieIndex]> = if self.known.is_empty() {
            Cow::Borrowed(movies)
        } else {
            movies.iter().copied().filter(|movie| self.known[movie.index()]).collect()
        };
        scores.clear();
        if scorable.is_empty() {
            scores.resize(movies.len(), UNSCORED);
            return Ok(());
        }
        let body = self.model.template().body(&layout, &values, &scorable);
        let response = match &self.model.options().batch {
            Some(batch) => batch::predict(&self.model, batch, layout, body, deadline).await?,
            None => self.model.predict(body, deadline).await?,
        };
        if scorable.len() == movies.len() {
            *scores = response;
        } else {
            let mut response = response.into_iter();
            scores.extend(movies.iter().map(|movie| {
                if self.known[movie.index()] {
                    response.next().unwrap_or(UNSCORED)
                } else {
                    UNSCORED
                }
            }));
        }
        Ok(())
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::TimedOut => Self::TimedOut,
            crate::Error::Malformed(what) => Self::Malformed(what),
            crate::Error::Refused(what) => Self::Refused(what),
            error => Self::Unavailable(Box::new(error)),
        }
    }
}

/// Returns a feature of a movie without ratings.
fn unrated(catalog: &Catalog, movie: MovieIndex, field: &str) -> Option<String> {
    let index = MOVIE_FIELDS.iter().position(|known| *known == field)?;
    let ratings = RatingStats::default();
    let value = MovieFeatures::new(catalog.movie(movie), &ratings).values()[index];
    Some(value.text(catalog.genres()))
}

/// Computes the movie features from the ratings of a catalogue, in the format of a feature store.
pub fn movie_features_of(
    catalog: &Catalog,
) -> impl Fn(MovieIndex, &str) -> Option<Cow<'static, str>> {
    let ratings = RatingStats::of_movies(catalog.users(), catalog.len());
    let texts: Vec<[String; MOVIE_FIELDS.len()]> = catalog
        .movies()
        .iter()
        .zip(&ratings)
        .map(|(movie, ratings)| MovieFeatures::new(movie, ratings).texts(catalog.genres()))
        .collect();
    move |movie, field| {
        let index = MOVIE_FIELDS.iter().position(|known| *known == field)?;
        Some(Cow::Owned(texts[movie.index()][index].clone()))
    }
}
