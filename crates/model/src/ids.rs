use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A movie's id in the outside world, as MovieLens numbers it.
    MovieId
}
id! {
    /// A user's id in the outside world, as MovieLens numbers it.
    UserId
}
id! {
    /// A movie's position in its catalogue: `0..catalog.len()`, in order of movie id.
    MovieIndex
}
id! {
    /// A user's position among the users of a catalogue, in order of user id.
    UserIndex
}

impl MovieIndex {
    /// The position as a `usize`, for indexing.
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

impl UserIndex {
    /// The position as a `usize`, for indexing.
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// From ids to positions: ascending ids, and a direct table where the ids are dense enough for one.
#[derive(Debug, Clone, Default)]
pub(crate) struct IdIndex {
    ids: Vec<u32>,
    /// `table[id]` is the position, or `ABSENT`; empty where ids are too sparse.
    table: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

impl IdIndex {
    /// `ids` must be ascending and without duplicates.
    pub(crate) fn new(ids: Vec<u32>) -> Self {
        debug_assert!(ids.is_sorted_by(|a, b| a < b));
        // MovieLens ids are about twenty times sparser than dense; 32 table entries an id cover that.
        let table_len = ids.last().map_or(0, |&last| last as usize + 1);
        let mut table = Vec::new();
        if table_len <= ids.len() * 32 + 1024 {
            table = vec![ABSENT; table_len];
            for (position, &id) in ids.iter().enumerate() {
                table[id as usize] = position as u32;
            }
        }
        Self { ids, table }
    }

    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub(crate) fn position(&self, id: u32) -> Option<u32> {
        if self.table.is_empty() {
            return self.ids.binary_search(&id).ok().map(|position| position as u32);
        }
        self.table.get(id as usize).copied().filter(|&position| position != ABSENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_dense_and_sparse_ids_and_nothing_else() {
        for ids in [vec![], vec![0], vec![1, 2, 3, 900], vec![5, 1_000_000, u32::MAX]] {
            let index = IdIndex::new(ids.clone());
            for (position, &id) in ids.iter().enumerate() {
                assert_eq!(index.position(id), Some(position as u32));
            }
            for absent in [4, 899, 1_000_001, u32::MAX - 1] {
                assert_eq!(index.position(absent), None, "{absent} in {ids:?}");
            }
        }
    }
}
