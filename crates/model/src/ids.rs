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
    /// The MovieLens id of a movie.
    MovieId
}
id! {
    /// The MovieLens id of a user.
    UserId
}
id! {
    /// The index of a movie in its catalogue, `0..catalog.len()`, in order of movie id.
    MovieIndex
}
id! {
    /// The index of a user in a catalogue, in order of user id.
    UserIndex
}

impl MovieIndex {
    /// The index as a `usize`.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl UserIndex {
    /// The index as a `usize`.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Maps ids to indexes: by a direct table if the ids are dense, otherwise by binary search.
#[derive(Debug, Clone, Default)]
pub(crate) struct IdIndex {
    ids: Vec<u32>,
    /// `table[id]` is the index or `ABSENT`; empty if the ids are sparse.
    table: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

impl IdIndex {
    /// `ids` must be strictly ascending.
    pub(crate) fn new(ids: Vec<u32>) -> Self {
        debug_assert!(ids.is_sorted_by(|a, b| a < b));
        // MovieLens ids are about 20 times sparser than dense ones, which 32 entries per id cover.
        let table_len = ids.last().map_or(0, |&last| last as usize + 1);
        let mut table = Vec::new();
        if table_len <= ids.len() * 32 + 1024 {
            table = vec![ABSENT; table_len];
            for (index, &id) in ids.iter().enumerate() {
                table[id as usize] = index as u32;
            }
        }
        Self { ids, table }
    }

    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub(crate) fn index_of(&self, id: u32) -> Option<u32> {
        if self.table.is_empty() {
            return self.ids.binary_search(&id).ok().map(|index| index as u32);
        }
        self.table.get(id as usize).copied().filter(|&index| index != ABSENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_contained_ids_have_an_index() {
        for ids in [vec![], vec![0], vec![1, 2, 3, 900], vec![5, 1_000_000, u32::MAX]] {
            let map = IdIndex::new(ids.clone());
            for (index, &id) in ids.iter().enumerate() {
                assert_eq!(map.index_of(id), Some(index as u32));
            }
            for absent in [4, 899, 1_000_001, u32::MAX - 1] {
                assert_eq!(map.index_of(absent), None, "{absent} in {ids:?}");
            }
        }
    }
}
