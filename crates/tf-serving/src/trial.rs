//! What a model scores on trial before requests are sent to it: the extremes of a catalogue.

use sparrow_features::WINDOW;
use sparrow_model::Catalog;

use crate::body::MovieValues;
use crate::input::{Input, Inputs, Source};
use crate::value::Conversion;

/// The values of a trial for each input, as they are sent. A model that takes the extremes of a catalogue does
/// not refuse one of its ids or features later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trial {
    values: Vec<Pair>,
    /// The greatest user id of the catalogue.
    user: u32,
}

/// An ordinary value of an input, and its extreme.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    ordinary: String,
    extreme: String,
}

impl Trial {
    /// Ids from 1 on and missing features, for a model without a catalogue.
    pub(crate) fn without_catalog(inputs: &Inputs) -> Self {
        let values = inputs.iter().map(|(input, conversion)| {
            let ordinary = ordinary(input, conversion);
            Pair { extreme: ordinary.clone(), ordinary }
        });
        Self { values: values.collect(), user: 0 }
    }

    /// The extremes of a catalogue: of `movie_values`, which are those of its movies for each input, and of what
    /// users can have.
    pub(crate) fn of(
        inputs: &Inputs,
        catalog: &Catalog,
        movie_values: &[Option<MovieValues>],
    ) -> Self {
        let values = inputs.iter().zip(movie_values).map(|((input, conversion), of_movies)| {
            let ordinary = ordinary(input, conversion);
            let mut extreme = Extreme::from(ordinary.clone());
            match (of_movies, &input.source) {
                (Some(of_movies), _) => of_movies.iter().for_each(|value| extreme.add(value)),
                (None, Source::User(field)) => of_users(field, catalog, |value| {
                    let mut text = String::new();
                    conversion.write(Some(value), &mut text);
                    extreme.add(&text);
                }),
                _ => {}
            }
            Pair { ordinary, extreme: extreme.text }
        });
        let users = catalog.users().iter().map(|history| history.user().0);
        Self { values: values.collect(), user: users.max().unwrap_or(0) }
    }

    /// The same where the greatest user id is at least this one.
    pub(crate) fn with_user(&self, inputs: &Inputs, id: u32) -> Self {
        let mut trial = self.clone();
        let id = id.max(trial.user);
        if id == 0 {
            // No user is known.
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

    /// For each input the values of two rows: ordinary ones, and the extremes of the inputs that are chosen.
    pub(crate) fn rows(&self, is_chosen: impl Fn(usize) -> bool) -> Vec<MovieValues> {
        let rows = |(place, pair): (usize, &Pair)| {
            let mut values = MovieValues::default();
            let second = if is_chosen(place) { &pair.extreme } else { &pair.ordinary };
            values.push(|out| out.push_str(&pair.ordinary));
            values.push(|out| out.push_str(second));
            values
        };
        self.values.iter().enumerate().map(rows).collect()
    }

    /// The extreme of an input, as it is sent; `None` if it is nothing out of the ordinary.
    pub(crate) fn extreme(&self, place: usize) -> Option<&str> {
        let Pair { ordinary, extreme } = &self.values[place];
        (ordinary != extreme).then_some(extreme)
    }
}

/// The greatest number, or the longest text.
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

/// A value that every model takes.
fn ordinary(input: &Input, conversion: &Conversion) -> String {
    let mut text = String::new();
    let sent = match &input.source {
        // Models know the ids from 1 on, if any.
        Source::UserId | Source::MovieId => {
            conversion.write_id(1, &mut text) || conversion.write_id(0, &mut text)
        }
        Source::Timestamp => conversion.write_id(crate::remote::now(), &mut text),
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

/// The values that a feature of users can have at most and at least.
fn of_users(field: &str, catalog: &Catalog, mut value: impl FnMut(&str)) {
    let movies = || catalog.movies().iter();
    if field.starts_with("userRatedMovie") {
        movies().for_each(|movie| value(&movie.id.0.to_string()));
    } else if field.starts_with("userGenre") {
        let genres = catalog.genres();
        genres.iter().for_each(|genre| value(genres.name(genre)));
    } else {
        let years = || movies().filter_map(|movie| movie.year);
        let (first, last) = (years().min().unwrap_or(0), years().max().unwrap_or(0));
        let bounds = match field {
            "userRatingCount" => ["0".to_owned(), WINDOW.to_string()],
            "userAvgReleaseYear" => [first.to_string(), last.to_string()],
            // Two values deviate most, by their distance over the root of two.
            "userReleaseYearStddev" => {
                let greatest = f64::from(last - first) / std::f64::consts::SQRT_2;
                ["0.00".to_owned(), format!("{greatest:.2}")]
            }
            "userAvgRating" => ["0.50".to_owned(), "5.00".to_owned()],
            "userRatingStddev" => ["0.00".to_owned(), "3.18".to_owned()],
            _ => return,
        };
        for bound in bounds {
            value(&bound);
        }
    }
}
