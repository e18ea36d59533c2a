//! A user's features, and a movie's genres, in one value of few bytes, so that rows stay narrow until
//! they are written.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, DictionaryArray, FixedSizeBinaryArray, Float32Array, Int32Array,
    UInt8Array, UInt32Array, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, UInt8Type};
use datafusion::error::{DataFusionError, Result};
use sparrow_features::{Hundredths, RatingStats, USER_FIELDS, UserFeatures};
use sparrow_model::Genre;

/// Bytes of a user's packed value: five movie ids (u32), the deviation of years (u32), mean year, mean rating
/// and its deviation (u16), five genres and the count (u8), all in hundredths where there are decimals.
pub(crate) const LEN: usize = 36;

/// The same for Arrow.
pub(crate) const SIZE: i32 = 36;

const DEVIATION_OF_YEARS: usize = 20;
const MEAN_YEAR: usize = 24;
const MEAN_RATING: usize = 26;
const DEVIATION_OF_RATINGS: usize = 28;
const GENRES: usize = 30;
const COUNT: usize = 35;

/// The byte for a genre that is missing; there are at most 64 genres.
pub(crate) const NO_GENRE: u8 = 64;

/// The type of a packed value.
pub(crate) const TYPE: DataType = DataType::FixedSizeBinary(SIZE);

pub(crate) fn pack(features: &UserFeatures) -> [u8; LEN] {
    let mut packed = [0; LEN];
    for (place, movie) in features.rated_movies.iter().enumerate() {
        let id = movie.map_or(0, |movie| movie.0);
        packed[place * 4..place * 4 + 4].copy_from_slice(&id.to_le_bytes());
    }
    packed[DEVIATION_OF_YEARS..MEAN_YEAR]
        .copy_from_slice(&features.release_year_stddev.0.to_le_bytes());
    // Years are `u16`, and so is their mean; ratings are at most five stars; the window holds a hundred.
    for (at, number) in [
        (MEAN_YEAR, features.average_release_year),
        (MEAN_RATING, features.average_rating.0),
        (DEVIATION_OF_RATINGS, features.rating_stddev.0),
    ] {
        packed[at..at + 2].copy_from_slice(&(number as u16).to_le_bytes());
    }
    for (place, &genre) in features.genres.iter().enumerate() {
        packed[GENRES + place] = key(genre);
    }
    packed[COUNT] = features.rating_count as u8;
    packed
}

/// The key of a genre in a dictionary of all genre names with "" after the last; see [`names`].
pub(crate) fn key(genre: Option<Genre>) -> u8 {
    genre.map_or(NO_GENRE, |genre| genre.index() as u8)
}

/// The statistics of a movie: count (u32), mean and deviation in hundredths (u16), from the bottom.
pub(crate) fn pack_statistics(ratings: &RatingStats) -> u64 {
    u64::from(ratings.count())
        | u64::from(ratings.average().0) << 32
        | u64::from(ratings.stddev().0) << 48
}

/// One of the statistics in packed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statistic {
    Count,
    Mean,
    Deviation,
}

impl Statistic {
    /// The statistic of a name out of [`MOVIE_FIELDS`](sparrow_features::MOVIE_FIELDS).
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "movieRatingCount" => Some(Self::Count),
            "movieAvgRating" => Some(Self::Mean),
            "movieRatingStddev" => Some(Self::Deviation),
            _ => None,
        }
    }

    pub(crate) const fn data_type(self) -> DataType {
        match self {
            Self::Count => DataType::Int32,
            Self::Mean | Self::Deviation => DataType::Float32,
        }
    }

    /// Takes the statistic out of each packed value.
    pub(crate) fn unpack(self, packed: &UInt64Array) -> ArrayRef {
        let hundredths = |shift: u32| -> ArrayRef {
            let values = packed.values().iter();
            Arc::new(Float32Array::from_iter_values(
                values.map(|packed| Hundredths((packed >> shift) as u32 & 0xffff).value()),
            ))
        };
        match self {
            Self::Count => Arc::new(Int32Array::from_iter_values(
                packed.values().iter().map(|&packed| (packed as u32).cast_signed()),
            )),
            Self::Mean => hundredths(32),
            Self::Deviation => hundredths(48),
        }
    }
}

/// The first three genres of a movie, a byte each.
pub(crate) fn pack_genres(genres: &[Genre]) -> u32 {
    let keys = [0, 1, 2].map(|place: usize| key(genres.get(place).copied()));
    u32::from_le_bytes([keys[0], keys[1], keys[2], 0])
}

/// Takes one of the first three genres out of each packed value.
pub(crate) fn unpack_genre(
    packed: &UInt32Array,
    place: usize,
    genres: &ArrayRef,
) -> Result<ArrayRef> {
    let keys = packed.values().iter().map(|packed| packed.to_le_bytes()[place]);
    genre_array(UInt8Array::from_iter_values(keys), genres)
}

/// One of the features in packed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feature {
    Movie(usize),
    Genre(usize),
    Count,
    MeanYear,
    DeviationOfYears,
    MeanRating,
    DeviationOfRatings,
}

impl Feature {
    /// The feature of a name out of [`USER_FIELDS`].
    pub(crate) fn named(name: &str) -> Option<Self> {
        let place = USER_FIELDS.iter().position(|known| *known == name)?;
        Some(match place {
            0..5 => Self::Movie(place),
            5 => Self::Count,
            6 => Self::MeanYear,
            7 => Self::DeviationOfYears,
            8 => Self::MeanRating,
            9 => Self::DeviationOfRatings,
            _ => Self::Genre(place - 10),
        })
    }

    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Movie(_) => DataType::UInt32,
            Self::Count | Self::MeanYear => DataType::Int32,
            Self::Genre(_) => genre_type(),
            _ => DataType::Float32,
        }
    }

    /// Takes the feature out of each packed value. `genres` are those that packed bytes stand for.
    pub(crate) fn unpack(
        self,
        packed: &FixedSizeBinaryArray,
        genres: &ArrayRef,
    ) -> Result<ArrayRef> {
        let rows = || (0..packed.len()).map(|row| packed.value(row));
        let whole = |at: usize| {
            rows().map(move |row| i32::from(u16::from_le_bytes([row[at], row[at + 1]])))
        };
        let long = |at: usize| {
            rows().map(move |row| {
                u32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]])
            })
        };
        let decimals = |at: usize| {
            Arc::new(Float32Array::from_iter_values(
                whole(at).map(|number| Hundredths(number.unsigned_abs()).value()),
            )) as ArrayRef
        };
        Ok(match self {
            Self::Movie(place) => Arc::new(UInt32Array::from_iter_values(long(place * 4))),
            Self::Genre(place) => {
                let keys = UInt8Array::from_iter_values(rows().map(|row| row[GENRES + place]));
                genre_array(keys, genres)?
            }
            Self::Count => {
                Arc::new(Int32Array::from_iter_values(rows().map(|row| i32::from(row[COUNT]))))
            }
            Self::MeanYear => Arc::new(Int32Array::from_iter_values(whole(MEAN_YEAR))),
            Self::DeviationOfYears => Arc::new(Float32Array::from_iter_values(
                long(DEVIATION_OF_YEARS).map(|number| Hundredths(number).value()),
            )),
            Self::MeanRating => decimals(MEAN_RATING),
            Self::DeviationOfRatings => decimals(DEVIATION_OF_RATINGS),
        })
    }
}

/// The type of genre columns inside of the pipeline; in files they are plain text.
pub(crate) fn genre_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))
}

/// A column of genres. Names stand in `genres` by key.
pub(crate) fn genre_array(keys: UInt8Array, genres: &ArrayRef) -> Result<ArrayRef> {
    let column = DictionaryArray::<UInt8Type>::try_new(keys, Arc::clone(genres))
        .map_err(DataFusionError::from)?;
    Ok(Arc::new(column))
}
