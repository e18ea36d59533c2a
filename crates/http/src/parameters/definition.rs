//! Parameters: one definition from which they are parsed, and described in OpenAPI and in problem documents.

/// A parameter in the query or in the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

/// The type of a parameter, with its limits and its default.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// An id of a movie or of a user.
    Id,
    /// A whole number.
    Number { least: u32, most: u32, default: u32 },
    /// `true` or `false`.
    Flag { default: bool },
    /// One of a few words, by default the first.
    Word(&'static [&'static str]),
    /// Text with 1 to `most` characters, not all of them white space or control characters.
    Text { most: u32, example: &'static str },
    /// The name of a ranking model.
    Model,
    /// The name of a model for similar movies.
    SimilarModel,
    /// The name of a genre, or [`NO_GENRE`].
    Genre,
    /// Names of genres. May be repeated.
    Genres,
    /// Ids of movies. May be repeated.
    Ids,
}

/// MovieLens' name for the genre of movies without one. Lists of movies accept it.
pub(crate) const NO_GENRE: &str = "(no genres listed)";

/// A pattern for texts that are not blank: white space and control characters as Rust defines them.
pub(crate) const NOT_BLANK: &str =
    "[^\\u0000-\\u0020\\u007f-\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";

impl Parameter {
    /// An optional parameter.
    pub(crate) const fn new(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, description, kind, required: false }
    }

    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub(crate) const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    pub(crate) const fn is_repeatable(&self) -> bool {
        matches!(self.kind, Kind::Genres | Kind::Ids)
    }
}

pub(crate) const MOVIE_ID: Parameter =
    Parameter::new("id", Kind::Id, "A movie's id in the data set.").required();

pub(crate) const USER_ID: Parameter =
    Parameter::new("id", Kind::Id, "A user's id in the data set.").required();

/// The length of a list, or of a page of it.
pub(crate) const fn size(default: u32) -> Parameter {
    let kind = Kind::Number { least: 1, most: 1000, default };
    Parameter::new("size", kind, "The maximum number of items.")
}

pub(crate) const OFFSET: Parameter = Parameter::new(
    "offset",
    Kind::Number { least: 0, most: u32::MAX, default: 0 },
    "The number of items to skip at the beginning of the list.",
);

pub(crate) const MODEL: Parameter = Parameter::new(
    "model",
    Kind::Model,
    "The ranking model, by default the default model; see `/v1/models`. Aliases are accepted. If the model cannot \
     rank, its fallback does, and the answer is marked as degraded.",
);

pub(crate) const SIMILAR_MODEL: Parameter = Parameter::new(
    "model",
    Kind::SimilarModel,
    "How movies are compared: by their vectors or by their genres.",
);

pub(crate) const CANDIDATES: Parameter = Parameter::new(
    "candidates",
    Kind::Word(&["recalled", "all"]),
    "Which movies are ranked: those that recall returns, or the whole catalogue.",
);

pub(crate) const GENRE: Parameter = Parameter::new(
    "genre",
    Kind::Genre,
    "Only movies of this genre, or without a genre; see `/v1/genres`.",
);

pub(crate) const GENRES: Parameter = Parameter::new(
    "genres",
    Kind::Genres,
    "Only movies with at least one of these genres. May be repeated. A value that is not the name of a genre is a \
     comma-separated list of names.",
);

pub(crate) const EXCLUDE: Parameter = Parameter::new(
    "exclude",
    Kind::Ids,
    "Ids of movies to leave out, separated by commas. May be repeated. Ids that no movie has are ignored.",
);

pub(crate) const EXCLUDE_GENRES: Parameter = Parameter::new(
    "exclude_genres",
    Kind::Genres,
    "Movies with any of these genres are left out. May be repeated. A value that is not the name of a genre is a \
     comma-separated list of names.",
);

pub(crate) const MIN_YEAR: Parameter = Parameter::new(
    "min_year",
    Kind::Number { least: 0, most: 9999, default: 0 },
    "Movies with an earlier release year, or without a release year, are left out; 0 for no limit.",
);
