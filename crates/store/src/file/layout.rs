use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, TableError};
use sha2::{Digest as _, Sha256};
use sparrow_live::Watermark;
use sparrow_model::{MovieId, UserId};

use super::{REMEDY, damaged};
use crate::codec::{self, Fault};
use crate::{Entry, Error, Fields, Generation, Kind, Malformed, StoredMovie, StoredUser, UserList};

/// The packed values of one kind by id.
pub(super) type Table = TableDefinition<'static, u32, &'static [u8]>;
/// The properties of the file by name.
pub(super) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
pub(super) const FORMAT: &str = "format";
pub(super) const GENERATION: &str = "generation";

/// A digest of the two properties above.
pub(super) const DIGEST: &str = "digest";

/// The version of tables and values. Files of later versions are rejected. Values of versions
/// before [`FIRST_WITH_DIGESTS`] have no digest.
pub(super) const FORMAT_VERSION: u64 = 2;
const FIRST_WITH_DIGESTS: u64 = 2;

const DIGEST_BYTES: usize = 8;

/// The beginning of the SHA-256 of a value, its table and its id.
fn digest(table: &str, id: u32, packed: &[u8]) -> [u8; DIGEST_BYTES] {
    let hash = Sha256::new()
        .chain_update(table.as_bytes())
        .chain_update(id.to_le_bytes())
        .chain_update(packed)
        .finalize();
    hash.first_chunk().copied().unwrap_or_default()
}

/// The digest of the properties of the file.
pub(super) fn digest_of_meta(format: u64, generation: u64) -> u64 {
    let packed = [format.to_le_bytes(), generation.to_le_bytes()].concat();
    u64::from_le_bytes(digest("meta", 0, &packed))
}

/// A value followed by its digest.
fn sealed(kind: Kind, id: u32, mut packed: Vec<u8>) -> Vec<u8> {
    packed.extend(digest(kind.key_prefix(), id, &packed));
    packed
}

/// The value without its digest, which is verified.
fn unsealed(kind: Kind, id: u32, sealed: &[u8]) -> Result<&[u8], Fault> {
    match sealed.split_last_chunk::<DIGEST_BYTES>() {
        Some((packed, stored)) if *stored == digest(kind.key_prefix(), id, packed) => Ok(packed),
        _ => Err("is damaged: its digest does not match".to_owned()),
    }
}

pub(super) const fn table(kind: Kind) -> Table {
    TableDefinition::new(match kind {
        Kind::UserFeatures => "user features",
        Kind::UserEmbedding => "user embeddings",
        Kind::UserRatings => "user ratings",
        Kind::MovieFeatures => "movie features",
        Kind::MovieEmbedding => "movie embeddings",
        Kind::MovieRatings => "movie ratings",
        Kind::UserList => "user list",
        Kind::EmbeddingInfo => "embedding info",
        Kind::Watermark => "watermark",
    })
}

/// The tables of one generation, open for reading.
pub(super) struct Tables {
    generation: Generation,
    address: String,
    has_digests: bool,
    /// In the order of [`Kind::ALL`].
    by_kind: Vec<Option<ReadOnlyTable<u32, &'static [u8]>>>,
}

impl Tables {
    pub(super) fn open(transaction: &ReadTransaction, address: &str) -> Result<Self, Error> {
        let foreign = || Error::refused(address, "the file is not a feature store");
        let meta = transaction.open_table(META).map_err(|_| foreign())?;
        let number = |name| {
            let value = meta.get(name).map_err(|error| read_fault(address, &error))?;
            value.map(|value| value.value()).ok_or_else(foreign)
        };
        let format = number(FORMAT)?;
        if format > FORMAT_VERSION {
            let what = format!(
                "the file has format {format}, this program reads formats up to {FORMAT_VERSION}"
            );
            return Err(Error::refused(address, what));
        }
        let generation = Generation(number(GENERATION)?);
        let has_digests = format >= FIRST_WITH_DIGESTS;
        if has_digests && number(DIGEST)? != digest_of_meta(format, generation.0) {
            return Err(damaged(address));
        }
        let tables = Kind::ALL.into_iter().map(|kind| match transaction.open_table(table(kind)) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(read_fault(address, &error)),
        });
        Ok(Self {
            generation,
            has_digests,
            address: address.to_owned(),
            by_kind: tables.collect::<Result<_, _>>()?,
        })
    }

    pub(super) const fn generation(&self) -> Generation {
        self.generation
    }

    /// All packed values of a kind, by id.
    pub(super) fn of_kind(&self, kind: Kind) -> Option<&ReadOnlyTable<u32, &'static [u8]>> {
        self.by_kind[kind as usize].as_ref()
    }

    /// A value for a new file. A damaged one remains damaged.
    pub(super) fn copy(&self, kind: Kind, id: u32, value: &[u8]) -> Vec<u8> {
        if self.has_digests { value.to_vec() } else { sealed(kind, id, value.to_vec()) }
    }

    fn value<T>(
        &self,
        kind: Kind,
        id: u32,
        malformed: &mut Vec<Malformed>,
        unpack: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Error> {
        let Some(table) = self.of_kind(kind) else { return Ok(None) };
        let packed = table.get(id).map_err(|error| read_fault(&self.address, &error))?;
        let Some(packed) = packed else { return Ok(None) };
        let packed = packed.value();
        let packed = if self.has_digests { unsealed(kind, id, packed) } else { Ok(packed) };
        Ok(packed
            .and_then(unpack)
            .map_err(|what| malformed.push(Malformed { key: kind.key(id), what }))
            .ok())
    }

    pub(super) fn user(&self, id: UserId) -> Result<StoredUser, Error> {
        let mut malformed = Vec::new();
        Ok(StoredUser {
            live: None,
            features: self.value(Kind::UserFeatures, id.0, &mut malformed, unpack_fields)?,
            embedding: self.value(Kind::UserEmbedding, id.0, &mut malformed, unpack_vector)?,
            ratings: self.value(Kind::UserRatings, id.0, &mut malformed, codec::unpack_ratings)?,
            malformed,
        })
    }

    pub(super) fn movie(&self, id: MovieId) -> Result<StoredMovie, Error> {
        let mut malformed = Vec::new();
        Ok(StoredMovie {
            features: self.value(Kind::MovieFeatures, id.0, &mut malformed, unpack_fields)?,
            embedding: self.value(Kind::MovieEmbedding, id.0, &mut malformed, unpack_vector)?,
            ratings: self.value(Kind::MovieRatings, id.0, &mut malformed, codec::unpack_movie)?,
            malformed,
        })
    }

    pub(super) fn all_movies(&self) -> Result<Vec<(MovieId, StoredMovie)>, Error> {
        let mut ids = Vec::new();
        for kind in [Kind::MovieFeatures, Kind::MovieEmbedding, Kind::MovieRatings] {
            let Some(table) = self.of_kind(kind) else { continue };
            for row in table.iter().map_err(|error| read_fault(&self.address, &error))? {
                ids.push(row.map_err(|error| read_fault(&self.address, &error))?.0.value());
            }
        }
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().map(|id| Ok((MovieId(id), self.movie(MovieId(id))?))).collect()
    }

    pub(super) fn user_list(&self) -> Result<UserList, Error> {
        Ok(self.single(Kind::UserList, codec::unpack_users)?.unwrap_or_default())
    }

    pub(super) fn embedding_info(&self) -> Result<Option<String>, Error> {
        self.single(Kind::EmbeddingInfo, codec::unpack_text)
    }

    pub(super) fn watermark(&self) -> Result<Option<Watermark>, Error> {
        self.single(Kind::Watermark, codec::unpack_watermark)
    }

    fn single<T>(
        &self,
        kind: Kind,
        unpack: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Error> {
        let mut malformed = Vec::new();
        let value = self.value(kind, 0, &mut malformed, unpack)?;
        match malformed.pop() {
            Some(Malformed { key, what }) => Err(Error::Malformed { key, what }),
            None => Ok(value),
        }
    }
}

fn read_fault(address: &str, error: &dyn std::error::Error) -> Error {
    let what = format!("{error}; if the file is damaged, {REMEDY}");
    Error::Unavailable { store: address.to_owned(), what }
}

/// The packed value of an entry with its digest.
pub(super) fn pack(entry: &Entry) -> Vec<u8> {
    let packed = match entry {
        Entry::UserFeatures(_, fields) | Entry::MovieFeatures(_, fields) => pack_fields(fields),
        Entry::UserEmbedding(_, vector) | Entry::MovieEmbedding(_, vector) => {
            vector.iter().flat_map(|value| value.to_le_bytes()).collect()
        }
        Entry::UserRatings(_, ratings) => codec::pack_ratings(ratings),
        Entry::MovieRatings(_, ratings) => codec::pack_movie(ratings),
        Entry::UserList(list) => codec::pack_users(list),
        Entry::EmbeddingInfo(text) => text.clone().into_bytes(),
        Entry::Watermark(watermark) => watermark.to_csv().into_bytes(),
    };
    sealed(entry.kind(), entry.id(), packed)
}

/// Alternating names and values, each after its length.
fn pack_fields(fields: &Fields) -> Vec<u8> {
    let mut packed = Vec::new();
    for text in fields.0.iter().flat_map(|(name, value)| [name, value]) {
        packed.extend((text.len() as u32).to_le_bytes());
        packed.extend(text.as_bytes());
    }
    packed
}

fn unpack_fields(packed: &[u8]) -> Result<Fields, Fault> {
    fn text<'a>(packed: &mut &'a [u8]) -> Option<&'a str> {
        let (length, rest) = packed.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        *packed = rest;
        std::str::from_utf8(text).ok()
    }
    let (mut rest, mut fields) = (packed, Vec::new());
    while !rest.is_empty() {
        match (text(&mut rest), text(&mut rest)) {
            (Some(name), Some(value)) => fields.push((name.to_owned(), value.to_owned())),
            _ => return Err("is truncated".to_owned()),
        }
    }
    Ok(Fields(fields))
}

fn unpack_vector(packed: &[u8]) -> Result<Vec<f32>, Fault> {
    match packed.as_chunks::<4>() {
        (numbers, []) if !numbers.is_empty() => {
            Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        }
        _ => Err("is truncated".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn flipped_bits_and_swapped_values_are_detected() {
        let sealed = sealed(Kind::UserEmbedding, 6, vec![1, 2, 3]);
        assert_eq!(unsealed(Kind::UserEmbedding, 6, &sealed), Ok(&[1, 2, 3][..]));
        assert!(unsealed(Kind::UserEmbedding, 7, &sealed).is_err());
        assert!(unsealed(Kind::MovieEmbedding, 6, &sealed).is_err());
        assert!(unsealed(Kind::UserEmbedding, 6, &sealed[..4]).is_err());
        for bit in 0..8 * sealed.len() {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(unsealed(Kind::UserEmbedding, 6, &damaged).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn fields_read_back_and_no_bytes_panic(
            fields in prop::collection::vec((".{0,9}", ".{0,9}"), 0..6),
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let fields = Fields(fields);
            prop_assert_eq!(unpack_fields(&pack_fields(&fields)), Ok(fields));
            let _ = (unpack_fields(&bytes), unpack_vector(&bytes));
        }
    }
}
