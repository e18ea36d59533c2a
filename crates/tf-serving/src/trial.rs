//! The trial: a request with the extremes of a catalogue, which a model must score before it receives requests.

use sparrow_features::{Bounds, Hundredths, ValueType};
use sparrow_model::Catalog;

use crate::conversion::Conversion;
use crate::input::{Input, Source};
use crate::inputs::Inputs;
use crate::request_body::MovieValues;

/// The serialised values of a trial for each input. A model that accepts the extremes of a catalogue accepts all its ids
/// and features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trial {
    values: Vec<Pair>,
    /// The greatest user id of the catalogue.
    user: u32,
}

/// An ordinary and an extreme value of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    ordinary: String,
    extreme: String,
}

impl Trial {
    /// Creates a trial with id 1 and missing features, for a model without a catalogue.
    pub(crate) fn without_catalog(inputs: &Inputs) -> Self {
        let values = inputs.iter().map(|(input, conversion)| {
            let ordinary = ordinary(input, conversion);
            Pair { extreme: ordinary.clone(), ordinary }
        });
        Self { values: values.collect(), user: 0 }
    }

    /// Creates a trial with the extremes of a catalogue: of its `movie_values` for each input, and of the ranges of user
    /// features.
    pub(crate) fn of(
        inputs: &Inputs,
        catalog: &Catalog,
        movie_values: &[Option<MovieValues>],
    ) -> Self {
        let values =
            inputs.iter().zip(movie_values).map(|((input, conversion), values_of_movies)| {
                let ordinary = ordinary(input, conversion);
                let mut extreme = Extreme::from(ordinary.clone());
                match (values_of_movies, &input.source) {
                    (Some(values_of_movies), _) => {
                        values_of_movies.iter().for_each(|value| extreme.add(value));
                    }
                    (None, source @ Source::User(_)) => {
                        for_user_extremes(source, catalog, |value| {
                            let mut text = String::new();
                            conversion.write(Some(value), &mut text);
                            extreme.add(&text);
                        });
                    }
                    _ => {}
                }
                Pair { ordinary, extreme: extreme.text }
            });
        let users = catalog.users().iter().map(|history| history.user().0);
        Self { values: values.collect(), user: users.max().unwrap_or(0) }
    }

    /// Returns the trial with a greatest user id of at least `id`.
    pub(crate) fn with_user(&self, inputs: &Inputs, id: u32) -> Self {
        let mut trial = self.clone();
        let id = id.max(trial.user);
        if id == 0 {
            // There are no known users.
            return trial;
        }
        for (pair, (input, conversion)) in trial.values.iter_mut().zip(inputs.iter()) {
            let mut text = String::new();
            let greatest = || [Some(id), input.max].into_iter().flatten();
            if input.source == Source::UserId
                && greatest().any(|id| conversion.write_id(id, &mut text))
            {
                pair.extreme = text;
            }
        }
        trial
    }

    /// Returns two rows of values per input: ordinary values, and the extremes of the selected inputs.
    pub(crate) fn rows(&self, is_selected: impl Fn(usize) -> bool) -> Vec<MovieValues> {
        let rows = |(index, pair): (usize, &Pair)| {
            let mut values = MovieValues::default();
            let second = if is_selected(index) { &pair.extreme } else { &pair.ordinary };
            values.push(|out| out.push_str(&pair.ordinary));
            values.push(|out| out.push_str(second));
            values
        };
        self.values.iter().enumerate().map(rows).collect()
    }

    /// The serialised extreme of an input; `None` if it equals the ordinary value.
    pub(crate) fn extreme(&self, index: usize) -> Option<&str> {
        let Pair { ordinary, extreme } = &self.values[index];
        (ordinary != extreme).then_some(extreme)
    }
}

/// Keeps the greatest number or the longest text.
struct Extreme {
    text: String,
    size: f64,
}

impl From<String> for Extreme {
    fn from(text: String) -> Self {
        Self { size: size(&text), text }
    }
}

impl Extreme {
    fn add(&mut self, text: &str) {
        let size = size(text);
        if size > self.size {
            self.size = size;
            text.clone_into(&mut self.text);
        }
    }
}

fn size(text: &str) -> f64 {
    text.parse().unwrap_or(text.len() as f64)
}

/// Returns a value that every model accepts.
fn ordinary(input: &Input, conversion: &Conversion) -> String {
    let mut text = String::new();
    let sent = match &input.source {
        // Ids start from 1, in some models from 0.
        Source::UserId | Source::MovieId => {
            conversion.write_id(1, &mut text) || conversion.write_id(0, &mut text)
        }
        Source::Timestamp => conversion.write_id(crate::input::unix_time(), &mut text),
        Source::Constant(constant) => {
            conversion.write(Some(constant), &mut text);
            true
        }
        Source::User(_) | Source::Movie(_) => false,
    };
    if !sent {
        conversion.write(None, &mut text);
    }
    text
}

/// Calls `value` with the possible extremes of a user feature; not at all for fields of other programs.
fn for_user_extremes(source: &Source, catalog: &Catalog, mut value: impl FnMut(&str)) {
    let Some(definition) = source.definition() else { return };
    let movies = || catalog.movies().iter();
    let years = || movies().filter_map(|movie| movie.year);
    let (earliest, latest) = (years().min().unwrap_or(0), years().max().unwrap_or(0));
    let bounds = match (definition.bounds, definition.value_type) {
        (Bounds::Catalog, ValueType::Genre) => {
            let genres = catalog.genres();
            return genres.iter().for_each(|genre| value(genres.name(genre)));
        }
        (Bounds::Catalog, _) => {
            return movies().for_each(|movie| value(&movie.id.0.to_string()));
        }
        (Bounds::Between(least, greatest), ValueType::Mean | ValueType::Deviation) => {
            [least, greatest].map(|bound| Hundredths(bound).to_string())
        }
        (Bounds::Between(least, greatest), _) => [least, greatest].map(|bound| bound.to_string()),
        (Bounds::ReleaseYears, _) => [earliest, latest].map(|year| year.to_string()),
        (Bounds::ReleaseYearDeviations, _) => {
            // The deviation of two values is greatest: their distance divided by √2.
            let greatest = f64::from(latest - earliest) / std::f64::consts::SQRT_2;
            ["0.00".to_owned(), format!("{greatest:.2}")]
        }
    };
    for bound in bounds {
        value(&bound);
    }
}
