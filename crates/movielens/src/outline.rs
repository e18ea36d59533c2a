//! What a survey of a ratings file keeps: a few numbers.

use sparrow_model::{MovieIndex, Stars, UserId};

use crate::ratings::Gather;

/// Counts, and whether the rows are strictly ascending by (user, movie).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) rows: u64,
    /// Runs of equal user ids: the number of users if `ascending`.
    pub(crate) users: u64,
    pub(crate) ascending: bool,
    pub(crate) greatest_user: UserId,
    ends: Option<[(UserId, MovieIndex); 2]>,
}

impl Default for Outline {
    fn default() -> Self {
        Self { rows: 0, users: 0, ascending: true, greatest_user: UserId(0), ends: None }
    }
}

impl Gather for Outline {
    fn push(&mut self, user: UserId, movie: MovieIndex, _: Stars, _: u32) {
        let row = (user, movie);
        self.append(Self {
            rows: 1,
            users: 1,
            ascending: true,
            greatest_user: user,
            ends: Some([row, row]),
        });
    }

    fn append(&mut self, later: Self) {
        let Some([later_first, later_last]) = later.ends else { return };
        let mut first = later_first;
        if let Some([own_first, own_last]) = self.ends {
            first = own_first;
            self.users -= u64::from(own_last.0 == later_first.0);
            self.ascending &= own_last < later_first;
        }
        self.rows += later.rows;
        self.users += later.users;
        self.ascending &= later.ascending;
        self.greatest_user = self.greatest_user.max(later.greatest_user);
        self.ends = Some([first, later_last]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outline(rows: &[(u32, u32)]) -> Outline {
        let mut outline = Outline::default();
        for &(user, movie) in rows {
            outline.push(UserId(user), MovieIndex(movie), Stars::LIKED, 0);
        }
        outline
    }

    proptest! {
        #[test]
        fn parts_join_to_the_outline_of_the_whole(
            mut rows in prop::collection::vec((1..9_u32, 0..30_u32), 0..40),
            sort: bool,
            cut in 0..40_usize,
        ) {
            if sort {
                rows.sort_unstable();
                rows.dedup();
            }
            let whole = outline(&rows);
            let cut = cut.min(rows.len());
            let mut joined = outline(&rows[..cut]);
            joined.append(outline(&rows[cut..]));
            prop_assert_eq!(joined, whole);
            prop_assert_eq!(whole.ascending, rows.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(whole.rows, rows.len() as u64);
            if whole.ascending {
                let runs = rows.chunk_by(|a, b| a.0 == b.0).count();
                prop_assert_eq!(whole.users, runs as u64);
            }
        }
    }
}
