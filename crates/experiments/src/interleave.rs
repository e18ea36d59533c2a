//! Team-draft interleaving (Radlinski, Kurup and Joachims: How does clickthrough data reflect retrieval quality? 2008).

use std::collections::HashSet;
use std::hash::Hash;

/// One of two rankings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Team {
    /// The first.
    A,
    /// The second.
    B,
}

/// Interleaves two rankings into one of at most `size` items, each with the ranking that contributed it.
///
/// In each round, both rankings add their best item that is not in the list yet; a coin decides which is first. When a ranking is
/// exhausted, the other fills the list. `seed` determines the coins.
pub fn team_draft<T: Copy + Eq + Hash>(a: &[T], b: &[T], size: usize, seed: u64) -> Vec<(T, Team)> {
    let mut coins = Coins(seed);
    let mut taken = HashSet::with_capacity(size);
    let (mut a, mut b) = (a.iter(), b.iter());
    let mut list = Vec::with_capacity(size.min(a.len() + b.len()));
    while list.len() < size {
        let order = if coins.flip() { [Team::A, Team::B] } else { [Team::B, Team::A] };
        let before = list.len();
        for team in order {
            let ranking = if team == Team::A { &mut a } else { &mut b };
            if list.len() < size
                && let Some(&item) = ranking.find(|item| !taken.contains(*item))
            {
                taken.insert(item);
                list.push((item, team));
            }
        }
        if list.len() == before {
            break;
        }
    }
    list
}

/// SplitMix64.
struct Coins(u64);

impl Coins {
    const fn flip(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) >> 63 == 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranking() -> impl Strategy<Value = Vec<u8>> {
        Just((0..30_u8).collect::<Vec<_>>())
            .prop_shuffle()
            .prop_flat_map(|all| (0..=all.len()).prop_map(move |length| all[..length].to_vec()))
    }

    proptest! {
        #[test]
        fn each_item_is_the_best_that_its_team_had_left(a in ranking(), b in ranking(), size in 0..40_usize, seed in any::<u64>()) {
            let list = team_draft(&a, &b, size, seed);
            for (index, (item, team)) in list.iter().enumerate() {
                let before: Vec<u8> = list[..index].iter().map(|(item, _)| *item).collect();
                let ranking = if *team == Team::A { &a } else { &b };
                prop_assert_eq!(ranking.iter().find(|item| !before.contains(item)), Some(item));
            }
            let all: HashSet<u8> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(list.len(), size.min(all.len()));
        }

        #[test]
        fn teams_are_even_while_both_have_items(a in ranking(), b in ranking(), seed in any::<u64>()) {
            let size = a.len().min(b.len()) / 2;
            let list = team_draft(&a, &b, size, seed);
            let of_a = list.iter().filter(|(_, team)| *team == Team::A).count();
            prop_assert!(of_a.abs_diff(list.len() - of_a) <= 1);
        }
    }

    #[test]
    fn each_team_is_first_equally_often() {
        let (a, b) = ([1, 2, 3], [4, 5, 6]);
        let first = (0..10_000).filter(|&seed| team_draft(&a, &b, 2, seed)[0].1 == Team::A).count();
        assert!((4800..5200).contains(&first), "{first}");
    }
}
