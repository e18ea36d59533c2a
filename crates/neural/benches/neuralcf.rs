//! Throughput of NeuralCF scoring: `cargo bench -p sparrow-neural --bench neuralcf`.
//!
//! Pairs per second on one core for each available instruction set: all 62,000 movies of one user after another, and
//! 800 scattered candidates. The networks are two layers of 10 units, and that of a pre-trained model: six units for each of
//! 32 dimensions, and two for their sum. Prints the median and the best of interleaved rounds, so noise affects all equally.
#![expect(clippy::print_stdout, reason = "the benchmark prints its results")]
#![expect(clippy::expect_used, reason = "sizes are valid by construction")]

use std::hint::black_box;
use std::time::Instant;

use sparrow_neural::TableBuilder;
use sparrow_neural::neural_cf::{Dense, Embedding, Model, Network, Scorer};

const MOVIES: u32 = 62_000;
const USERS: u32 = 1000;
const CANDIDATES: u32 = 800;
const ROUNDS: usize = 25;

fn main() {
    println!("{MOVIES} movies, one thread");
    println!("embeddings of 10, layers of 10 and 10");
    measure(&model(10, &[10, 10]));
    println!("embeddings of 32, one pre-trained layer of 194");
    measure(&pretrained(32));
}

fn measure(model: &Model) {
    let mut kernels: Vec<Scorer> = Scorer::for_each_kernel(model, &(0..MOVIES));
    let mut all_times = vec![Vec::new(); kernels.len()];
    let mut some_times = all_times.clone();
    let mut scores = Vec::new();
    for round in 0..ROUNDS {
        for (index, kernel) in kernels.iter_mut().enumerate() {
            all_times[index].push(time(20, |user| all(kernel, user, &mut scores)));
            let first = round as u32;
            some_times[index].push(time(200, |user| some(kernel, user + first, &mut scores)));
        }
    }
    println!("{:10}  {:37}  {CANDIDATES} candidates, one user", "", "all movies, one user");
    for ((kernel, all), some) in kernels.iter().zip(all_times).zip(some_times) {
        let line = |times: Vec<f64>, pairs: u32| {
            let (median, best) = median_and_best(times);
            let rate = |seconds: f64| f64::from(pairs) / seconds / 1e6;
            let micros = median * 1e6;
            format!("{micros:7.1} µs {:5.0} M/s (best {:4.0} M/s)", rate(median), rate(best))
        };
        let name = kernel.kernel_name();
        println!("{name:10}  {}  {}", line(all, MOVIES), line(some, CANDIDATES));
    }
}

fn all(model: &Scorer, user: u32, scores: &mut Vec<f32>) {
    scores.clear();
    model.score_all(&model.query(user), scores);
    black_box(&scores);
}

fn some(model: &Scorer, user: u32, scores: &mut Vec<f32>) {
    // The stride is coprime to the number of movies, so the movies are distinct.
    let items = (0..CANDIDATES).map(|index| (index * 7919 + user * 104_729) % MOVIES);
    scores.clear();
    model.score(&model.query(user), items, scores);
    black_box(&scores);
}

/// Returns the seconds per call.
fn time(calls: u32, mut call: impl FnMut(u32)) -> f64 {
    let start = Instant::now();
    for user in 0..calls {
        call(user % USERS);
    }
    start.elapsed().as_secs_f64() / f64::from(calls)
}

fn median_and_best(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[0])
}

/// Creates a model in which units depend on one dimension of the movie each, or on the sum of all.
fn pretrained(dimension: usize) -> Model {
    let width = 6 * dimension + 2;
    let random = model(dimension, &[width]);
    let mut weight = vec![0.0; 2 * dimension * width];
    for unit in 0..width {
        let sign = if unit % 2 == 0 { 1.0 } else { -1.0 };
        for row in 0..dimension {
            if unit / 6 == row || unit >= 6 * dimension {
                weight[row * width + unit] = sign;
                weight[(dimension + row) * width + unit] = sign;
            }
        }
    }
    let hidden = vec![Dense { weight, bias: vec![0.1; width] }];
    let (movies, users) = (random.movies().clone(), random.users().clone());
    let network = Network::NeuralCf { hidden };
    Model::new(movies, users, network, random.output().clone()).expect("sizes fit")
}

/// Creates a model with random weights of the magnitude of trained ones.
fn model(dimension: usize, layers: &[usize]) -> Model {
    let mut state = 1_u64;
    let mut numbers = |count: usize, size: f32| -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * size
        };
        (0..count).map(|_| next()).collect()
    };
    let mut embedding = |count: u32| {
        let mut table = TableBuilder::default();
        for id in 0..count {
            table.push(id, &numbers(dimension, 0.5)).expect("finite");
        }
        let unknown = vec![0.0; dimension];
        Embedding { table: table.build().expect("ascending"), unknown }
    };
    let (movies, users) = (embedding(MOVIES), embedding(USERS));
    let mut dense = |inputs: usize, outputs: usize| Dense {
        weight: numbers(inputs * outputs, 0.5),
        bias: numbers(outputs, 0.5),
    };
    let (mut hidden, mut inputs) = (Vec::new(), 2 * dimension);
    for &outputs in layers {
        hidden.push(dense(inputs, outputs));
        inputs = outputs;
    }
    Model::new(movies, users, Network::NeuralCf { hidden }, dense(inputs, 1)).expect("sizes fit")
}
