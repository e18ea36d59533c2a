//! The time to fold in a user: `cargo bench -p sparrow-neural --bench fold_in`.
//!
//! 10,000 items with 64 dimensions, users with 10, 100 and 1,000 ratings, one thread. The variance of trained vectors differs
//! by dimension, which costs the solver steps, so it decreases here from the first dimension to the last. Prints the median
//! and the slowest of 200 users.
#![expect(clippy::print_stdout, reason = "the benchmark prints its results")]
#![expect(clippy::expect_used, reason = "sizes are valid by construction")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use sparrow_neural::{FoldIn, ItemVectors, Objective, Similarity, TableBuilder};

const ITEMS: u32 = 10_000;
const DIMENSION: usize = 64;
const USERS: u32 = 200;

fn main() {
    for decay in [0.0, 0.5, 1.0] {
        let objective = Objective { unobserved: 0.25, regularization: 0.1, exponent: 0.7 };
        let fold_in = FoldIn::new(items(decay), objective).expect("dot products");
        println!("{ITEMS} items, {DIMENSION} dimensions, scale of dimension d: (d + 1)^-{decay}");
        for ratings in [10, 100, 1000] {
            let mut times: Vec<f64> =
                (0..USERS).map(|user| time(&fold_in, user, ratings)).collect();
            times.sort_by(f64::total_cmp);
            let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
            println!(
                "{ratings:5} ratings: median {:7.1} µs, slowest {:7.1} µs",
                median * 1e6,
                slowest * 1e6
            );
        }
    }
}

/// The seconds for one user, without the first call, which fills the caches.
fn time(fold_in: &FoldIn, user: u32, ratings: u32) -> f64 {
    // The stride is coprime to the number of items, so the items are distinct.
    let rated: Vec<u32> =
        (0..ratings).map(|index| (index * 7919 + user * 104_729) % ITEMS).collect();
    black_box(fold_in.fold_in(&rated));
    let start = Instant::now();
    black_box(fold_in.fold_in(black_box(&rated)));
    start.elapsed().as_secs_f64()
}

/// Vectors with random components of decreasing scale.
fn items(decay: f32) -> Arc<ItemVectors> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut table = TableBuilder::default();
    for id in 0..ITEMS {
        let vector: Vec<f32> = (0..DIMENSION)
            .map(|dimension| next() * 0.5 * (dimension as f32 + 1.0).powf(-decay))
            .collect();
        table.push(id, &vector).expect("finite");
    }
    let table = table.build().expect("ascending");
    Arc::new(ItemVectors::new(&table, ITEMS as usize, Similarity::Dot, Some))
}
