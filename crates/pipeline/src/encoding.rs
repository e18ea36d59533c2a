//! A user's features, and a movie's genres, packed into one small value, so that rows stay narrow
//! until they are written.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, DictionaryArray, FixedSizeBinaryArray, Float32Array, Int32Array,
    UInt8Array, UInt32Array, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, UInt8Type};
use datafusion::error::{DataFusionError, Result};
use sparrow_features::{Hundredths, RatingStats, USER_FIELDS, UserFeatures};
use sparrow_model::Genre;

/// The size of a user's packed value: five movie ids (u32), the deviation of years (u32), mean
/// year, mean rating and its deviation (u16), five genres and the count (u8). Decimals are in
/// hundredths.
pub(crate) const LEN: usize = 36;

/// The size for Arrow.
pub(crate) const SIZE: i32 = 36;

const DEVIATION_OF_YEARS: usize = 20;
const MEAN_YEAR: usize = 24;
const MEAN_RATING: usize = 26;
const DEVIATION_OF_RATINGS: usize = 28;
const GENRES: usize = 30;
const COUNT: usize = 35;

/// The byte of a missing genre; there are at most 64 genres.
pub(crate) const NO_GENRE: u8 = 64;

pub(crate) const TYPE: DataType = DataType::FixedSizeBinary(SIZE);

pub(crate) fn pack(features: &UserFeatures) -> [u8; LEN] {
    let mut packed = [0; LEN];
    for (index, movie) in features.rated_movies.iter().enumerate() {
        let id = movie.map_or(0, |movie| movie.0);
        packed[index * 4..index * 4 + 4].copy_from_slice(&id.to_le_bytes());
    }
    packed[DEVIATION_OF_YEARS..MEAN_YEAR]
        .copy_from_slice(&features.release_year_stddev.0.to_le_bytes());
    // The numbers fit: years are `u16`, and so is their mean; ratings are at most five stars; the
    // window contains a hundred ratings.
    for (at, number) in [
        (MEAN_YEAR, features.average_release_year),
        (MEAN_RATING, features.average_rating.0),
        (DEVIATION_OF_RATINGS, features.rating_stddev.0),
    ] {
        packed[at..at + 2].copy_from_slice(&(number as u16).to_le_bytes());
    }
    for (index, &genre) in features.genres.iter().enumerate() {
        packed[GENRES + index] = key(genre);
    }
    packed[COUNT] = features.rating_count as u8;
    packed
}

/// The key of a genre in a dictionary of all genre names, with "" last; see [`names`].
pub(crate) fn key(genre: Option<Genre>) -> u8 {
    genre.map_or(NO_GENRE, |genre| genre.index() as u8)
}

/// The packed statistics of a movie, from the lowest bits: count (u32), mean and deviation in
/// hundredths (u16).
pub(crate) fn pack_statistics(ratings: &RatingStats) -> u64 {
    u64::from(ratings.count())
        | u64::from(ratings.average().0) << 32
        | u64::from(ratings.stddev().0) << 48
}

/// One of the packed statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statistic {
    Count,
    Mean,
    Deviation,
}

impl Statistic {
    /// The statistic with a name in [`MOVIE_FIELDS`](sparrow_features::MOVIE_FIELDS).
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

    /// Extracts the statistic from packed values.
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

/// The first three genres of a movie, one byte each.
pub(crate) fn pack_genres(genres: &[Genre]) -> u32 {
    let keys = [0, 1, 2].map(|index: usize| key(genres.get(index).copied()));
    u32::from_le_bytes([keys[0], keys[1], keys[2], 0])
}

/// Extracts one of the first three genres from packed values.
pub(crate) fn unpack_genre(
    packed: &UInt32Array,
    index: usize,
    genres: &ArrayRef,
) -> Result<ArrayRef> {
    let keys = packed.values().iter().map(|packed| packed.to_le_bytes()[index]);
    genre_array(UInt8Array::from_iter_values(keys), genres)
}

/// One of the packed features.
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
    /// The feature with a name in [`USER_FIELDS`].
    pub(crate) fn named(name: &str) -> Option<Self> {
        let index = USER_FIELDS.iter().position(|known| *known == name)?;
        Some(match index {
            0..5 => Self::Movie(index),
            5 => Self::Count,
            6 => Self::MeanYear,
            7 => Self::DeviationOfYears,
            8 => Self::MeanRating,
            9 => Self::DeviationOfRatings,
            _ => Self::Genre(index - 10),
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

    /// Extracts the feature from packed values. `genres` are the names by key.
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
            Self::Movie(index) => Arc::new(UInt32Array::from_iter_values(long(index * 4))),
            Self::Genre(index) => {
                let keys = UInt8Array::from_iter_values(rows().map(|row| row[GENRES + index]));
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

/// The type of genre columns in the pipeline; in files they are plain text.
pub(crate) fn genre_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))
}

/// A column of genres. `genres` are the names by key.
pub(crate) fn genre_array(keys: UInt8Array, genres: &ArrayRef) -> Result<ArrayRef> {
    let column = DictionaryArray::<UInt8Type>::try_new(keys, Arc::clone(genres))
        .map_err(DataFusionError::from)?;
    Ok(Arc::new(column))
}
