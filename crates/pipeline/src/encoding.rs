//! The features of a user or a movie in one value of few bytes, so that rows stay narrow until
//! they are written.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, DictionaryArray, FixedSizeBinaryArray, Float32Array, Int32Array,
    UInt8Array, UInt32Array,
};
use datafusion::arrow::datatypes::{DataType, UInt8Type};
use datafusion::error::{DataFusionError, Result};
use sparrow_features::{
    Computation, Definition, Hundredths, MOVIE, RatingStats, USER, Value, ValueType,
};

/// The features that one packed value contains: all with computations of one kind. Each takes as many bytes (1, 2 or
/// 4) as its greatest value requires, little-endian, in the order of the definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packed {
    /// Features of a user.
    User,
    /// Features of a movie that follow from its attributes.
    Movie,
    /// Features of a movie that follow from its ratings.
    Ratings,
}

impl Packed {
    const fn definitions(self) -> &'static [Definition] {
        match self {
            Self::User => USER,
            Self::Movie | Self::Ratings => MOVIE,
        }
    }

    const fn contains(self, definition: &Definition) -> bool {
        matches!(
            (self, definition.computed_by),
            (Self::User, Computation::User(_))
                | (Self::Movie, Computation::Movie(_))
                | (Self::Ratings, Computation::Ratings(_))
        )
    }

    /// The bytes before the definition with this index; those of all if the index is their number.
    const fn bytes_before(self, end: usize) -> usize {
        let definitions = self.definitions();
        let (mut bytes, mut index) = (0, 0);
        while index < end {
            if self.contains(&definitions[index]) {
                bytes += width(&definitions[index]);
            }
            index += 1;
        }
        bytes
    }

    /// The bytes of a packed value.
    pub(crate) const fn size(self) -> i32 {
        (self.bytes_before(self.definitions().len()) as u32).cast_signed()
    }

    /// The type of a packed value.
    pub(crate) const fn data_type(self) -> DataType {
        DataType::FixedSizeBinary(self.size())
    }

    /// Packs the values that `compute` returns; `None` for a feature that this value does not contain.
    pub(crate) fn pack(self, compute: impl Fn(&Computation) -> Option<Value>) -> Vec<u8> {
        let mut packed = Vec::with_capacity(self.size() as usize);
        for definition in self.definitions() {
            if let Some(value) = compute(&definition.computed_by) {
                packed.extend_from_slice(&value.to_bits().to_le_bytes()[..width(definition)]);
            }
        }
        packed
    }
}

/// The bytes of a feature in a packed value.
const fn width(definition: &Definition) -> usize {
    match definition.greatest_bits() {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    }
}

/// A feature in packed values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Feature {
    definition: &'static Definition,
    packed: Packed,
    offset: usize,
}

impl Feature {
    /// The feature of a name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Packed::User, Packed::Movie, Packed::Ratings].into_iter().find_map(|packed| {
            let definitions = packed.definitions();
            let index = definitions
                .iter()
                .position(|definition| definition.name == name && packed.contains(definition))?;
            let offset = packed.bytes_before(index);
            Some(Self { definition: &definitions[index], packed, offset })
        })
    }

    /// The packed values that contain the feature.
    pub(crate) const fn packed(self) -> Packed {
        self.packed
    }

    pub(crate) fn data_type(self) -> DataType {
        match self.definition.value_type {
            ValueType::MovieId => DataType::UInt32,
            ValueType::Genre => genre_type(),
            ValueType::Count | ValueType::Year => DataType::Int32,
            ValueType::Mean | ValueType::Deviation => DataType::Float32,
        }
    }

    /// Takes the feature out of each packed value. `genres` are the names of genres by index.
    pub(crate) fn unpack(
        self,
        packed: &FixedSizeBinaryArray,
        genres: &ArrayRef,
    ) -> Result<ArrayRef> {
        let bytes = self.offset..self.offset + width(self.definition);
        let bits = (0..packed.len()).map(|row| {
            let mut number = [0; 4];
            number[..bytes.len()].copy_from_slice(&packed.value(row)[bytes.clone()]);
            u32::from_le_bytes(number)
        });
        Ok(match self.definition.value_type {
            ValueType::MovieId => Arc::new(UInt32Array::from_iter_values(bits)),
            ValueType::Genre => {
                let keys = UInt8Array::from_iter_values(bits.map(|genre| genre as u8));
                let column = DictionaryArray::<UInt8Type>::try_new(keys, Arc::clone(genres));
                Arc::new(column.map_err(DataFusionError::from)?)
            }
            ValueType::Count | ValueType::Year => {
                Arc::new(Int32Array::from_iter_values(bits.map(u32::cast_signed)))
            }
            ValueType::Mean | ValueType::Deviation => {
                Arc::new(Float32Array::from_iter_values(bits.map(|bits| Hundredths(bits).value())))
            }
        })
    }
}

/// The type of genre columns inside of the pipeline; in files they are plain text.
fn genre_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))
}

/// Packs the features that follow from the ratings of a movie.
pub(super) fn pack_ratings(ratings: &RatingStats) -> Vec<u8> {
    Packed::Ratings.pack(|computation| match computation {
        Computation::Ratings(compute) => Some(compute(ratings)),
        Computation::User(_) | Computation::Movie(_) => None,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use datafusion::arrow::array::AsArray as _;
    use datafusion::arrow::datatypes::{Float32Type, Int32Type, UInt32Type};

    use super::*;

    #[test]
    fn every_feature_is_unpacked_as_it_was_packed() {
        let genres: ArrayRef = Arc::new(datafusion::arrow::array::StringArray::from(vec![""; 65]));
        for definition in USER.iter().chain(MOVIE) {
            let feature = Feature::named(definition.name).unwrap();
            let greatest = definition.greatest_bits() & 0xffff;
            let contained = |other: &&Definition| feature.packed.contains(other);
            let mut others = feature.packed.definitions().iter().filter(contained);
            let index = others.position(|other| other.name == definition.name).unwrap();
            let calls = std::cell::Cell::new(0);
            let packed = feature.packed.pack(|computation| {
                let is_contained = feature
                    .packed
                    .contains(&Definition { computed_by: *computation, ..*definition });
                is_contained.then(|| {
                    let call = calls.replace(calls.get() + 1);
                    Value::Integer(if call == index { greatest } else { 0 })
                })
            });
            assert_eq!(packed.len(), feature.packed.size() as usize);
            let packed = FixedSizeBinaryArray::try_from_iter([packed].into_iter()).unwrap();
            let unpacked = feature.unpack(&packed, &genres).unwrap();
            assert_eq!(unpacked.data_type(), &feature.data_type());
            let number = match definition.value_type {
                ValueType::MovieId => unpacked.as_primitive::<UInt32Type>().value(0),
                ValueType::Genre => unpacked.as_dictionary::<UInt8Type>().keys().value(0).into(),
                ValueType::Count | ValueType::Year => {
                    unpacked.as_primitive::<Int32Type>().value(0).cast_unsigned()
                }
                ValueType::Mean | ValueType::Deviation => {
                    (unpacked.as_primitive::<Float32Type>().value(0) * 100.0).round() as u32
                }
            };
            assert_eq!(number, greatest, "{}", definition.name);
        }
    }
}
