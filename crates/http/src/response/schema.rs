//! JSON types: their serialisation and their description in OpenAPI, in one declaration.

/// The description of a JSON value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Schema {
    Boolean,
    Text,
    /// Text in a format of JSON Schema, such as `date-time`.
    Formatted(&'static str),
    /// Text of 1 to so many characters.
    Short(u32),
    /// An idempotency key.
    Key,
    /// Unix time in seconds, at most five minutes ahead.
    Time,
    /// One text.
    Constant(&'static str),
    /// One of these texts.
    Words(&'static [&'static str]),
    Integer {
        least: u32,
        most: Option<u32>,
    },
    Number,
    /// A number within these limits.
    Within(f64, f64),
    /// A number within these limits, in steps of a half.
    HalfSteps(f64, f64),
    List(&'static Schema),
    /// A list of at most so many items.
    AtMost(u32, &'static Schema),
    NonEmpty(&'static Schema),
    /// An object that is described elsewhere.
    Anything,
    /// An object with any fields, whose values are texts.
    TextMap,
    /// An object with any fields, whose values are counts from 1.
    CountMap,
    /// An object that is described where it is used.
    Object(&'static Type),
    /// An object that is described once, under its name.
    Named(&'static Type),
    /// The value or `null`.
    OrNull(&'static Schema),
    /// A field that may be absent.
    Optional(&'static Schema),
}

/// The description of a JSON object with exactly these fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Type {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// A type whose fields come first.
    pub(crate) base: Option<&'static Type>,
    pub(crate) fields: &'static [Field],
    /// An example, in JSON.
    pub(crate) example: Option<&'static str>,
}

/// A field of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) schema: Schema,
}

impl Type {
    pub(crate) const fn new(
        name: &'static str,
        description: &'static str,
        fields: &'static [Field],
    ) -> Self {
        Self { name, description, base: None, fields, example: None }
    }
}

impl Field {
    pub(crate) const fn new(name: &'static str, schema: Schema, description: &'static str) -> Self {
        Self { name, description, schema }
    }
}

pub(crate) const TEXT: Schema = Schema::Text;
pub(crate) const ID: Schema = Schema::Integer { least: 0, most: Some(u32::MAX) };
pub(crate) const COUNT: Schema = Schema::Integer { least: 0, most: None };
/// A rating, in stars.
pub(crate) const STARS: Schema = Schema::HalfSteps(0.5, 5.0);
/// A mean of ratings, in stars; 0 without ratings.
pub(crate) const MEAN: Schema = Schema::Within(0.0, 5.0);
/// A point in time.
pub(crate) const SECONDS: Field = Field::new("timestamp", ID, "Seconds since 1970 (UTC).");
pub(crate) const SCORE: Field = Field::new("score", STARS, "The rating, in stars.");

/// Declares a struct, its serialisation and its description ([`Type`]).
///
/// Doc comments become descriptions. Each field has its JSON name, its Rust type and its schema:
///
/// ```text
/// json_type! {
///     /// A genre.
///     pub(crate) struct Genre<'a> as "Genre" {
///         genre / "genre": &'a str = TEXT,
///         /// How many movies have the genre.
///         movies / "movies": usize = COUNT,
///     }
/// }
/// ```
macro_rules! json_type {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident $(<$life:lifetime>)? as $json_name:literal {
            $(
                $(#[doc = $field_doc:literal])*
                $(#[serde($($serde:tt)*)])?
                $field:ident / $json:literal: $type:ty = $schema:expr,
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, serde::Serialize)]
        $vis struct $name $(<$life>)? {
            $(
                $(#[doc = $field_doc])*
                #[serde(rename = $json $(, $($serde)*)?)]
                $vis $field: $type,
            )*
        }

        impl $(<$life>)? $name $(<$life>)? {
            $vis const TYPE: $crate::response::schema::Type = $crate::response::schema::Type::new(
                $json_name,
                concat!("" $(, $doc)*),
                &[
                    $($crate::response::schema::Field::new(
                        $json,
                        $schema,
                        concat!("" $(, $field_doc)*),
                    ),)*
                ],
            );
        }
    };
}

pub(crate) use json_type;
