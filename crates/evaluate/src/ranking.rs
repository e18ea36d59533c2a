//! Measures of a ranked list, after Manning, Raghavan and Schütze, "Introduction to Information
//! Retrieval", chapter 8, and Järvelin and Kekäläinen 2002 for (n)DCG, with binary relevance.

/// How good one list is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ListMeasures {
    /// The part of the first k places that are relevant. A list that is shorter has empty places.
    pub precision: f64,
    /// The part of what is relevant that is in the first k places.
    pub recall: f64,
    /// The mean over all that is relevant, also beyond k, of the precision at its place; 0 where it is not in
    /// the first k.
    pub average_precision: f64,
    /// The discounted gain of the first k places, by that of the best list that there could be.
    pub ndcg: f64,
}

/// What a place, counted from 0, counts for.
fn discount(place: usize) -> f64 {
    1.0 / (place as f64 + 2.0).log2()
}

impl ListMeasures {
    /// Measures a list of which it is known which places are relevant; `relevant` is how many there are in
    /// all, `k` how many places count. Zero where nothing is relevant.
    pub fn new(list: impl IntoIterator<Item = bool>, relevant: usize, k: usize) -> Self {
        let mut measures = Self::default();
        let mut hits = 0_usize;
        for (place, _) in list.into_iter().take(k).enumerate().filter(|(_, relevant)| *relevant) {
            hits += 1;
            measures.average_precision += hits as f64 / (place + 1) as f64;
            measures.ndcg += discount(place);
        }
        if hits == 0 {
            return Self::default();
        }
        let ideal: f64 = (0..relevant.min(k)).map(discount).sum();
        Self {
            precision: hits as f64 / k as f64,
            recall: hits as f64 / relevant as f64,
            average_precision: measures.average_precision / relevant as f64,
            ndcg: measures.ndcg / ideal,
        }
    }
}

/// Where one relevant movie comes among others: hit rate and nDCG at k, which has no more than one place to
/// find.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PlaceMeasures {
    /// Whether it is in the first k places; with ties, how likely.
    pub hit_rate: f64,
    /// What its place counts for, 0 beyond k; with ties, in the mean.
    pub ndcg: f64,
}

impl PlaceMeasures {
    /// Measures a movie with `better` others before it and `tied` others of the same score. Those are taken
    /// to stand in random order, and the measures are the expected ones: neither a model that scores
    /// everything alike nor an order that happens to be that of ids gains by it.
    pub fn new(better: usize, tied: usize, k: usize) -> Self {
        let places = (better..=better + tied).take_while(|&place| place < k);
        let all = (tied + 1) as f64;
        let (count, sum) =
            places.fold((0_usize, 0.0), |(count, sum), place| (count + 1, sum + discount(place)));
        Self { hit_rate: count as f64 / all, ndcg: sum / all }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_measured_by_hand() {
        // Relevant at places 1 and 3 of the first 4; 3 are relevant in all.
        let measures = ListMeasures::new([true, false, true, false, true], 3, 4);
        assert!((measures.precision - 0.5).abs() < 1e-12);
        assert!((measures.recall - 2.0 / 3.0).abs() < 1e-12);
        assert!((measures.average_precision - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
        // Places count 1, 0.6309, 0.5, 0.4307.
        let expected = 1.5 / (1.0 + 0.630_929_753_571_457_4 + 0.5);
        assert!((measures.ndcg - expected).abs() < 1e-12);
    }

    #[test]
    fn lists_with_everything_and_nothing() {
        let best = ListMeasures::new([true, true], 2, 2);
        let all = ListMeasures { precision: 1.0, recall: 1.0, average_precision: 1.0, ndcg: 1.0 };
        assert_eq!(best, all);
        assert_eq!(ListMeasures::new([false, false], 2, 2), ListMeasures::default());
        assert_eq!(ListMeasures::new([], 0, 10), ListMeasures::default());
        // A short list has empty places; one that finds all there is has the best order.
        let short = ListMeasures::new([true], 1, 10);
        assert_eq!((short.precision, short.recall, short.ndcg), (0.1, 1.0, 1.0));
    }

    #[test]
    fn places_measured_by_hand() {
        let first = PlaceMeasures::new(0, 0, 10);
        assert_eq!((first.hit_rate, first.ndcg), (1.0, 1.0));
        let third = PlaceMeasures::new(2, 0, 10);
        assert_eq!((third.hit_rate, third.ndcg), (1.0, 0.5));
        assert_eq!(PlaceMeasures::new(10, 0, 10), PlaceMeasures::default());
        // Nine better, and one as good: in half of the orders it is tenth.
        let tied = PlaceMeasures::new(9, 1, 10);
        assert!((tied.hit_rate - 0.5).abs() < 1e-12);
        assert!((tied.ndcg - 0.5 / 11_f64.log2()).abs() < 1e-12);
        // A hundred alike: as by chance.
        assert!((PlaceMeasures::new(0, 99, 10).hit_rate - 0.1).abs() < 1e-12);
    }

    proptest! {
        /// Against the definitions, written down without any thought of speed.
        #[test]
        fn lists_are_measured_as_defined(
            list in prop::collection::vec(any::<bool>(), 0..15),
            beyond in 0..6_usize,
            k in 1..12_usize,
        ) {
            let found: Vec<usize> = (1..=list.len()).filter(|&rank| list[rank - 1]).collect();
            let relevant = found.len() + beyond;
            prop_assume!(relevant > 0);
            let top: Vec<usize> = found.iter().copied().filter(|&rank| rank <= k).collect();
            let precision_at = |rank: usize| {
                found.iter().filter(|&&other| other <= rank).count() as f64 / rank as f64
            };
            let gain = |ranks: &[usize]| -> f64 {
                ranks.iter().map(|&rank| 2_f64.ln() / (rank as f64 + 1.0).ln()).sum()
            };
            let ideal: Vec<usize> = (1..=relevant.min(k)).collect();
            let measures = ListMeasures::new(list.iter().copied(), relevant, k);
            prop_assert!((measures.precision - top.len() as f64 / k as f64).abs() < 1e-12);
            prop_assert!((measures.recall - top.len() as f64 / relevant as f64).abs() < 1e-12);
            let map = top.iter().map(|&rank| precision_at(rank)).sum::<f64>() / relevant as f64;
            prop_assert!((measures.average_precision - map).abs() < 1e-12);
            prop_assert!((measures.ndcg - gain(&top) / gain(&ideal)).abs() < 1e-12);
        }

        /// With one relevant movie in a list both say the same.
        #[test]
        fn places_are_the_mean_over_the_orders_of_ties(
            better in 0..20_usize,
            tied in 0..20_usize,
            k in 1..15_usize,
        ) {
            let measures = PlaceMeasures::new(better, tied, k);
            let orders = (better..=better + tied).map(|place| {
                let list = (0..=place).map(|at| at == place);
                ListMeasures::new(list, 1, k)
            });
            let (mut hits, mut ndcg) = (0.0, 0.0);
            for measures in orders {
                hits += measures.recall;
                ndcg += measures.ndcg;
            }
            let all = (tied + 1) as f64;
            prop_assert!((measures.hit_rate - hits / all).abs() < 1e-12);
            prop_assert!((measures.ndcg - ndcg / all).abs() < 1e-12);
        }
    }
}
