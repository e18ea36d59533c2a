use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use async_trait::async_trait;
use sparrow_features::{MOVIE_FIELDS, MovieFeatures, RatingStats, USER_FIELDS, UserWindow};
use sparrow_model::{Catalog, MovieIndex, UserState};
use sparrow_rank::{Error, Query, Ranker, Status, UNSCORED};
use tokio::time::Instant;

use crate::body::{MovieValues, Values};
use crate::input::Source;
use crate::remote::now;
use crate::trial::Trial;
use crate::{Remote, batch};

/// Scores by a model at a TensorFlow Serving, for the movies of a catalogue.
#[derive(Debug)]
pub struct TfServingRanker {
    remote: Arc<Remote>,
    catalog: Arc<Catalog>,
    /// For each input that movies have values of, those.
    movie_values: Vec<Option<MovieValues>>,
    /// Which movies the model knows; empty if it knows all.
    known: Vec<bool>,
}

impl TfServingRanker {
    /// Prepares the movies' values of all inputs. From now on the extremes of this catalogue are what the
    /// model scores on trial.
    ///
    /// `movie_features` gives a movie's value of a field as text, and `None` where it has none: out of a feature
    /// store, or by [`movie_features_of`] a catalogue with histories. What it does not give is taken of the movie
    /// as one without ratings.
    pub fn new<'a>(
        remote: Arc<Remote>,
        catalog: &Arc<Catalog>,
        movie_features: impl Fn(MovieIndex, &str) -> Option<Cow<'a, str>>,
    ) -> Self {
        let movies = || (0..catalog.len() as u32).map(MovieIndex);
        let mut known = vec![true; catalog.len()];
        let mut movie_values = Vec::new();
        for (input, conversion) in remote.inputs().iter() {
            let mut values = MovieValues::default();
            match &input.source {
                Source::MovieId => {
                    for movie in movies() {
                        let id = catalog.movie(movie).id.0;
                        values.push(|out| known[movie.at()] &= conversion.write_id(id, out));
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
        remote.set_trial(Trial::of(remote.inputs(), catalog, &movie_values));
        if known.iter().all(|known| *known) {
            known = Vec::new();
        }
        Self { remote, catalog: Arc::clone(catalog), movie_values, known }
    }

    /// The model that is asked.
    pub const fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }

    /// How many of the catalogue's movies the model is asked about.
    pub fn known_movies(&self) -> usize {
        if self.known.is_empty() {
            return self.catalog.len();
        }
        self.known.iter().filter(|known| **known).count()
    }

    /// The values of the inputs that are the same for all movies; empty for the others.
    fn request_values(&self, user: &UserState<'_>) -> Result<Vec<String>, Error> {
        let computed: OnceCell<[String; USER_FIELDS.len()]> = OnceCell::new();
        let feature = |field: &str| -> Option<&str> {
            if let Some(features) = user.features {
                return features.get(field);
            }
            let place = USER_FIELDS.iter().position(|known| *known == field)?;
            let history = user.history.as_ref()?;
            let texts = computed.get_or_init(|| {
                let window = UserWindow::of(history, &self.catalog);
                window.features().texts(self.catalog.genres())
            });
            Some(&texts[place])
        };
        self.remote
            .inputs()
            .iter()
            .map(|(input, conversion)| {
                let mut text = String::new();
                match &input.source {
                    Source::UserId => {
                        if !conversion.write_id(user.id.0, &mut text) {
                            return Err(Error::UnknownUser(user.id));
                        }
                    }
                    Source::User(field) => conversion.write(feature(field), &mut text),
                    Source::Timestamp => {
                        if !conversion.write_id(now(), &mut text) {
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
        self.remote.status()
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        let Query { user, movies, .. } = *query;
        let until = Instant::now() + self.remote.options().deadline;
        let layout = self.remote.admit()?;
        if user.history.is_some() || user.features.is_some() {
            self.remote.saw_user(user.id);
        }
        let texts = self.request_values(user)?;
        let values: Vec<Values<'_>> = texts
            .iter()
            .zip(&self.movie_values)
            .map(|(text, values)| values.as_ref().map_or(Values::Same(text), Values::OfMovie))
            .collect();
        let asked: Cow<'_, [MovieIndex]> = if self.known.is_empty() {
            Cow::Borrowed(movies)
        } else {
            movies.iter().copied().filter(|movie| self.known[movie.at()]).collect()
        };
        scores.clear();
        if asked.is_empty() {
            scores.resize(movies.len(), UNSCORED);
            return Ok(());
        }
        let body = self.remote.form().body(&layout, &values, &asked);
        let answer = match &self.remote.options().batch {
            Some(batch) => batch::predict(&self.remote, batch, layout, body, until).await?,
            None => self.remote.predict(body, until).await?,
        };
        if asked.len() == movies.len() {
            *scores = answer;
        } else {
            let mut answer = answer.into_iter();
            scores.extend(movies.iter().map(|movie| {
                if self.known[movie.at()] { answer.next().unwrap_or(UNSCORED) } else { UNSCORED }
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

/// A feature of a movie that nobody has rated.
fn unrated(catalog: &Catalog, movie: MovieIndex, field: &str) -> Option<String> {
    let place = MOVIE_FIELDS.iter().position(|known| *known == field)?;
    let features = MovieFeatures::new(catalog.movie(movie), &RatingStats::default());
    Some(std::mem::take(&mut features.texts(catalog.genres())[place]))
}

/// The features of movies by the ratings that a catalogue holds, as a feature store would have them.
pub fn movie_features_of(
    catalog: &Catalog,
) -> impl Fn(MovieIndex, &str) -> Option<Cow<'static, str>> {
    let mut ratings = vec![RatingStats::default(); catalog.len()];
    for rated in catalog.users().iter().flat_map(|history| history.iter()) {
        ratings[rated.movie.at()].add(rated.stars);
    }
    let texts: Vec<[String; MOVIE_FIELDS.len()]> = catalog
        .movies()
        .iter()
        .zip(&ratings)
        .map(|(movie, ratings)| MovieFeatures::new(movie, ratings).texts(catalog.genres()))
        .collect();
    move |movie, field| {
        let place = MOVIE_FIELDS.iter().position(|known| *known == field)?;
        Some(Cow::Owned(texts[movie.at()][place].clone()))
    }
}
