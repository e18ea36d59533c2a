//! Item vectors as a feature store has them: what other programs wrote is checked one by one.

use std::collections::BTreeMap;

use sparrow_model::MovieId;
use sparrow_neural::{EmbeddingMetadata, EmbeddingTable, TableBuilder, check_vector};
use sparrow_store::{Kind, StoredMovie};

/// What a feature store says of movies.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) movies: Vec<(MovieId, StoredMovie)>,
    /// How the vectors were made and how they compare, as it was pushed; an error is why that is unknown.
    pub(crate) embedding_info: Result<Option<String>, String>,
}

impl Default for Stored {
    fn default() -> Self {
        Self { movies: Vec::new(), embedding_info: Ok(None) }
    }
}

impl Stored {
    /// The vectors, and what is said of them. Vectors that do not fit are left out and logged: those
    /// of another length than the description says, or without one, than most have. What makes all of
    /// them useless comes back in words.
    pub(crate) fn item_vectors(
        &self,
    ) -> Result<(EmbeddingTable, Option<EmbeddingMetadata>), String> {
        let about = match self.embedding_info.as_ref().map_err(Clone::clone)? {
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
        let said = about.as_ref().and_then(EmbeddingMetadata::dimension);
        let Some(dimension) = said.or_else(|| most_frequent(vectors().map(|(_, it)| it.len())))
        else {
            return Err("the feature store has no item vectors".to_owned());
        };
        let mut table = TableBuilder::default();
        let mut left_out = LeftOut::default();
        for (id, vector) in vectors() {
            if vector.len() != dimension {
                let length = vector.len();
                left_out.add(id, || format!("it has {length} dimensions and not {dimension}"));
            } else if let Err(what) = check_vector(id, vector, None) {
                left_out.add(id, || what);
            } else {
                table.push(id, vector)?;
            }
        }
        left_out.log();
        let table = table.build()?;
        if table.is_empty() {
            return Err(format!("the feature store has no item vectors of dimension {dimension}"));
        }
        Ok((table, about))
    }
}

/// The value that occurs most often, of several the greatest.
fn most_frequent(values: impl Iterator<Item = usize>) -> Option<usize> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_insert(0) += 1;
    }
    counts.into_iter().max_by_key(|&(_, count): &(usize, usize)| count).map(|(value, _)| value)
}

/// Vectors that cannot be used: the first of them by key, the rest in number.
#[derive(Debug, Default)]
struct LeftOut {
    named: Vec<String>,
    count: usize,
}

impl LeftOut {
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
            tracing::warn!(count = self.count, "item vectors of the store are left out: {first}");
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
    fn vectors_of_another_length_than_most_are_left_out() {
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
    fn left_out_vectors_are_named_by_key() {
        let mut left_out = LeftOut::default();
        for id in 1..=9 {
            left_out.add(id, || "short".to_owned());
        }
        assert_eq!((left_out.count, left_out.named.len()), (9, LeftOut::NAMED));
        assert_eq!(left_out.named[0], "i2vEmb:1: short");
    }
}
