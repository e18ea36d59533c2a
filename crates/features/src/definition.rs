use sparrow_model::{Genre, Genres, Movie, MovieId};

use crate::{Hundredths, RatingStats, UserFeatures};

/// The definition of a feature. [`USER`](crate::USER) and [`MOVIE`](crate::MOVIE) are the only lists of features; hash
/// fields in stores, columns in files, types and `docs/features.md` follow from them.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// The hash field in stores and the column in files.
    pub name: &'static str,
    /// The type of the values: their format in stores and in files.
    pub value_type: ValueType,
    /// The possible values.
    pub bounds: Bounds,
    /// The index among the feature columns of training samples; `None` if samples do not contain the feature.
    pub sample_column: Option<usize>,
    /// What the feature is computed by.
    pub computed_by: Computation,
    /// The description in `docs/features.md`.
    pub description: &'static str,
}

/// What a feature belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// A user: `uf:` in stores.
    User,
    /// A movie: `mf:` in stores.
    Movie,
}

/// The type of a feature's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A movie id, or no movie: empty in stores and feature files, 0 in samples.
    MovieId,
    /// A genre, or no genre: empty everywhere.
    Genre,
    /// An integer that is never missing.
    Count,
    /// A year as an integer; 0 if missing.
    Year,
    /// A number with two decimals that is never missing.
    Mean,
    /// A number with two decimals; 0 if there are too few values.
    Deviation,
}

impl ValueType {
    /// The name in `docs/features.md`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MovieId => "movie id",
            Self::Genre => "genre",
            Self::Count => "count",
            Self::Year => "year",
            Self::Mean => "mean",
            Self::Deviation => "deviation",
        }
    }
}

/// The possible values of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounds {
    /// The movies or the genres of a catalogue.
    Catalog,
    /// From the least to the greatest value, with a decimal point two digits from the right for decimal types.
    Between(u32, u32),
    /// The release years of a catalogue.
    ReleaseYears,
    /// The standard deviations of release years of a catalogue.
    ReleaseYearDeviations,
}

/// The function that computes a feature, by its input.
#[derive(Debug, Clone, Copy)]
pub enum Computation {
    /// From the latest ratings of a user.
    User(fn(&UserFeatures<'_>) -> Value),
    /// From the attributes of a movie.
    Movie(fn(&Movie) -> Value),
    /// From the ratings of a movie.
    Ratings(fn(&RatingStats) -> Value),
}

impl Definition {
    /// Whether users or movies have the feature.
    pub const fn entity(&self) -> Entity {
        match self.computed_by {
            Computation::User(_) => Entity::User,
            Computation::Movie(_) | Computation::Ratings(_) => Entity::Movie,
        }
    }

    /// An upper limit of [`Value::to_bits`].
    pub const fn greatest_bits(&self) -> u32 {
        match (self.bounds, self.value_type) {
            (Bounds::Catalog, ValueType::Genre) => NO_GENRE,
            (Bounds::Between(_, greatest), _) => greatest,
            (Bounds::ReleaseYears, _) => u16::MAX as u32,
            (Bounds::Catalog | Bounds::ReleaseYearDeviations, _) => u32::MAX,
        }
    }

    /// The row of the feature in `docs/features.md`.
    pub fn documentation(&self) -> String {
        let key = match self.entity() {
            Entity::User => "uf:",
            Entity::Movie => "mf:",
        };
        let sample = if self.sample_column.is_some() { "yes" } else { "no" };
        let (name, value_type, text) = (self.name, self.value_type.name(), self.description);
        format!("| `{key}` | `{name}` | {value_type} | {sample} | {text} |")
    }
}

/// The definition of a name.
pub fn find(definitions: &'static [Definition], name: &str) -> Option<&'static Definition> {
    definitions.iter().find(|definition| definition.name == name)
}

/// The names of definitions, in order.
pub(crate) const fn names<const N: usize>(definitions: &[Definition]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut index = 0;
    while index < N {
        names[index] = definitions[index].name;
        index += 1;
    }
    names
}

/// The bits of a missing genre; there are at most 64 genres.
pub const NO_GENRE: u32 = 64;

/// The value of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A movie, of [`ValueType::MovieId`].
    Movie(Option<MovieId>),
    /// A genre, of [`ValueType::Genre`].
    Genre(Option<Genre>),
    /// Of [`ValueType::Count`] and [`ValueType::Year`].
    Integer(u32),
    /// Of [`ValueType::Mean`] and [`ValueType::Deviation`].
    Decimal(Hundredths),
}

impl Value {
    /// Formats the value as stores contain it; missing movies and genres are empty.
    pub fn text(self, names: &Genres) -> String {
        match self {
            Self::Movie(movie) => movie.map_or_else(String::new, |id| id.to_string()),
            Self::Genre(genre) => genre.map_or("", |genre| names.name(genre)).to_owned(),
            Self::Integer(number) => number.to_string(),
            Self::Decimal(number) => number.to_string(),
        }
    }

    /// The value as a number: a movie id or 0, the index of a genre or [`NO_GENRE`], an integer, or hundredths.
    pub fn to_bits(self) -> u32 {
        match self {
            Self::Movie(movie) => movie.map_or(0, |movie| movie.0),
            Self::Genre(genre) => genre.map_or(NO_GENRE, |genre| genre.index() as u32),
            Self::Integer(number) => number,
            Self::Decimal(number) => number.0,
        }
    }
}
