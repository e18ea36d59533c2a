//! Item vectors of a feature store. Other programs may have written them, so each is checked.

use std::collections::BTreeMap;

use sparrow_model::MovieId;
use sparrow_neural::{EmbeddingMetadata, EmbeddingTable, TableBuilder, check_vector};
use sparrow_store::{Kind, StoredMovie};

/// The movies of a feature store.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) movies: Vec<(MovieId, StoredMovie)>,
    /// The pushed `embedding.json`, or why it cannot be read.
    pub(crate) embedding_info: Result<Option<String>, String>,
}

impl Default for Stored {
    fn default() -> Self {
        Self { movies: Vec::new(), embedding_info: Ok(None) }
    }
}

impl Stored {
    /// The vectors and their description. Invalid vectors are skipped and logged. The dimension is that of the description,
    /// or else the most frequent one. The error is the reason why there are no vectors.
    pub(crate) fn item_vectors(
        &self,
    ) -> Result<(EmbeddingTable, Option<EmbeddingMetadata>), String> {
        let metadata = match self.embedding_info.as_ref().map_err(Clone::clone)? {
            Some(text) => {
                let key = format!("{} in the feature store", Kind::EmbeddingInfo.key(0));
                Some(
                    EmbeddingMetadata::read(text.as_bytes(), &key)
                        .map_err(|error| error.to_string())?,
                )
            }
            None => None,
        };
        let vectors =
            || self.movies.iter().filter_map(|(id, it)| Some((id.0, it.embedding.as_deref()?)));
        let described = metadata.as_ref().and_then(EmbeddingMetadata::dimension);
        let Some(dimension) =
            described.or_else(|| most_frequent(vectors().map(|(_, it)| it.len())))
        else {
            return Err("the feature store has no item vectors".to_owned());
        };
        let mut table = TableBuilder::default();
        let mut skipped = SkippedVectors::default();
        for (id, vector) in vectors() {
            if vector.len() != dimension {
                let length = vector.len();
                skipped.add(id, || format!("it has {length} dimensions and not {dimension}"));
            } else if let Err(what) = check_vector(id, vector, None) {
                skipped.add(id, || what);
            } else {
                table.push(id, vector)?;
            }
        }
        skipped.log();
        let table = table.build()?;
        if table.is_empty() {
            return Err(format!("the feature store has no item vectors of dimension {dimension}"));
        }
        Ok((table, metadata))
    }
}

/// The most frequent value; the greatest of equally frequent ones.
fn most_frequent(values: impl Iterator<Item = usize>) -> Option<usize> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_insert(0) += 1;
    }
    counts.into_iter().max_by_key(|&(_, count): &(usize, usize)| count).map(|(value, _)| value)
}

/// Skipped vectors: the first with their keys, and the number of all.
#[derive(Debug, Default)]
struct SkippedVectors {
    named: Vec<String>,
    count: usize,
}

impl SkippedVectors {
    const NAMED: usize = 5;

    fn add(&mut self, id: u32, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < Self::NAMED {
            self.named.push(format!("{}: {}", Kind::MovieEmbedding.key(id), what()));
        }
    }

    fn log(&self) {
        if self.count > 0 {
            let first = self.named.join("; ");
            tracing::warn!(count = self.count, "item vectors of the store are skipped: {first}");
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn stored(vectors: &[(u32, &[f32])], info: Option<&str>) -> Stored {
        let movie = |&(id, vector): &(u32, &[f32])| {
            let embedding = Some(vector.to_vec());
            (MovieId(id), StoredMovie { embedding, ..StoredMovie::default() })
        };
        Stored {
            movies: vectors.iter().map(movie).collect(),
            embedding_info: Ok(info.map(str::to_owned)),
        }
    }

    const MIXED: [(u32, &[f32]); 4] = [
        (1, &[1.0, 0.0, 1.0, 0.0]),
        (2, &[1.0, 1.0, 0.0, 0.0]),
        (3, &[1.0, 0.0, 1.0]),
        (4, &[0.0, 0.0, 1.0, 1.0]),
    ];

    fn ids(stored: &Stored) -> Vec<u32> {
        stored.item_vectors().unwrap().0.iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn vectors_of_another_dimension_than_most_are_skipped() {
        assert_eq!(ids(&stored(&MIXED, None)), [1, 2, 4]);
        // Wherever the odd one stands, and whatever it is.
        let first = [MIXED[2], MIXED[0], MIXED[1]];
        assert_eq!(ids(&stored(&first, None)), [1, 2]);
        let huge = [MIXED[0], MIXED[1], (3, &[1e20, 0.0, 0.0, 0.0])];
        assert_eq!(ids(&stored(&huge, None)), [1, 2]);
    }

    #[test]
    fn the_description_decides_on_dimension_and_similarity() {
        let three = r#"{"format":1,"method":"als","similarity":"dot","dimension":3}"#;
        let (table, about) = stored(&MIXED, Some(three)).item_vectors().unwrap();
        assert_eq!((table.len(), table.dimension()), (1, 3));
        assert_eq!(about.unwrap().similarity, sparrow_neural::Similarity::Dot);
    }

    #[test]
    fn unknown_formats_and_missing_vectors_are_named() {
        let fault = |stored: &Stored| stored.item_vectors().unwrap_err();
        let newer = r#"{"format":7,"method":"x","similarity":"dot"}"#;
        assert_eq!(
            fault(&stored(&MIXED, Some(newer))),
            "sparrow:embedding in the feature store: unsupported format 7, this program supports up to 1"
        );
        assert_eq!(fault(&stored(&[], None)), "the feature store has no item vectors");
    }

    #[test]
    fn skipped_vectors_are_named_by_key() {
        let mut skipped = SkippedVectors::default();
        for id in 1..=9 {
            skipped.add(id, || "short".to_owned());
        }
        assert_eq!((skipped.count, skipped.named.len()), (9, SkippedVectors::NAMED));
        assert_eq!(skipped.named[0], "i2vEmb:1: short");
    }
}
