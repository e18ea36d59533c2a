//! The time of requests for the blend: `cargo bench -p sparrow-engine --bench blend`.
//!
//! Microseconds on one core for whole requests by model, and for their parts, over a generated catalogue of the size of
//! ml-latest-small. EASE and item-kNN are scored for the whole catalogue from all ratings of the user; recall takes 200
//! candidates from each, and the blend combines both. Every user of the catalogue is
//! asked for once in a round. Scores of a known history are kept between requests, so the requests of a user after a new
//! rating are measured, too ("changed history"). Prints the median and the best of interleaved rounds, so noise affects all equally. Times are
//! those of the processor (on Linux), so that programs beside this one disturb them only through caches.
#![expect(clippy::print_stdout, reason = "the benchmark prints its results")]
#![expect(clippy::expect_used, reason = "the data are valid by construction")]

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use sparrow_blend::{Blend, BlendRanker, INPUTS, Objective, Signal, Term};
use sparrow_engine::{Embeddings, Engine, Model, Request, Scope};
use sparrow_model::{
    Catalog, GenreSet, History, MovieId, MovieIndex, MovieRecord, MovieSet, Movies, OwnedHistory,
    RatingLog, Stars, UserId, UserState,
};
use sparrow_neural::item_weights::{InputWeights, ItemWeights, Scorer};
use sparrow_neural::{EmbeddingTable, ItemScores, Similarity, TableBuilder};
use sparrow_random::{Random, Weighted};
use sparrow_rank::{ItemWeightsRanker, Query, Ranker, UNSCORED};
use sparrow_recall::{ByScores, Recall};

const MOVIES: u32 = 9742;
const USERS: u32 = 610;
const THEMES: usize = 19;
const DIMENSION: usize = 32;
const CANDIDATES: usize = 800;
const ROUNDS: usize = 15;
/// The number of ratings of the users of ml-latest-small at every fortieth of their order.
const RATINGS: [u32; 16] = [20, 22, 26, 30, 35, 42, 51, 62, 77, 95, 120, 152, 200, 290, 480, 940];

/// What is measured, for a user.
type Part<'a> = Box<dyn FnMut(UserId) + 'a>;

fn main() {
    let catalog = Arc::new(catalog());
    let counts = cooccurrences(&catalog);
    let of_rows = |keep, power| {
        let weights = weights(&counts, keep, power);
        Arc::new(Scorer::new(&weights, catalog.len(), |id| Some(id - 1)))
    };
    let summed = [of_rows(500, 0.6), of_rows(512, 0.4), of_rows(256, 0.4)];
    let blend = Arc::new(BlendRanker::new(&blend(), &catalog));
    // Two engines, because each keeps the scores of as many users as there are.
    let engines = [(); 2].map(|()| engine(&catalog, &summed, &blend));

    let users: Vec<UserId> = catalog.users().iter().map(|history| history.user()).collect();
    println!(
        "{MOVIES} movies, {} ratings of {USERS} users, {CANDIDATES} candidates, one thread",
        catalog.users().rating_count()
    );
    let mut scores = Vec::new();
    score_all(&summed[0], &catalog, users[7], &mut scores);
    let of_items = ItemScores::new(scores.clone());
    let mut parts: Vec<(&str, Part<'_>)> = Vec::new();
    for model in ["popularity", "emb", "ease", "blend"] {
        let engine = &engines[0];
        parts.push((
            model,
            Box::new(move |user| {
                let request = Request { model: Some(model), ..Request::new(user) };
                black_box(ready(engine.recommend(&request)).expect("the model exists"));
            }),
        ));
    }
    for (name, model) in [("ease, changed history", "ease"), ("blend, changed history", "blend")] {
        let (engine, catalog) = (&engines[1], &catalog);
        // The two models leave out other ratings, so that neither finds the scores of the other.
        let mut requests = if model == "blend" { ROUNDS * USERS as usize } else { 0 };
        parts.push((
            name,
            Box::new(move |user| {
                requests += 1;
                let history = catalog.users().find(user).expect("users have rated");
                let left_out = requests / USERS as usize % history.len();
                let others = history.iter().enumerate().filter(|(at, _)| *at != left_out);
                let changed = OwnedHistory::new(user, others.map(|(_, rated)| rated));
                let user_state =
                    UserState { history: Some(changed.get()), ..UserState::unknown(user) };
                let request = Request { model: Some(model), ..Request::new(user) };
                let answer = ready(engine.recommend_to(&request, &user_state, None));
                black_box(answer.expect("the model exists"));
            }),
        ));
    }
    for (name, index) in [("score all by ease", 0), ("score all by item-knn", 2)] {
        let (catalog, rows) = (&catalog, &summed[index]);
        let mut all = Vec::new();
        parts.push((name, Box::new(move |user| score_all(rows, catalog, user, &mut all))));
    }
    parts.push(("recall by scores", Box::new(recall(&catalog, &of_items))));
    parts.push(("combine", Box::new(combine(&catalog, &blend, &scores))));

    let mut times = vec![Vec::new(); parts.len()];
    let began = Instant::now();
    for _ in 0..ROUNDS {
        for ((_, part), times) in parts.iter_mut().zip(&mut times) {
            let start = seconds(began);
            for &user in &users {
                part(user);
            }
            times.push((seconds(began) - start) * 1e6 / users.len() as f64);
        }
    }
    for ((name, _), mut times) in parts.into_iter().zip(times) {
        times.sort_by(f64::total_cmp);
        println!("{name:22} {:7.1} µs (best {:7.1})", times[times.len() / 2], times[0]);
    }
}

/// The processor time of this thread, or the time since `began` if the system has none.
fn seconds(began: Instant) -> f64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = statistics.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| began.elapsed().as_secs_f64(), |nanoseconds| nanoseconds / 1e9)
}

/// Scores the catalogue for a user.
fn score_all(model: &Scorer, catalog: &Catalog, user: UserId, scores: &mut Vec<f32>) {
    let state = state(catalog, user);
    let input = state.rated_movies(false).map(|movie| (movie.0, 1.0));
    assert!(model.score_all(input, UNSCORED, scores), "every user has rated movies");
    black_box(scores);
}

/// Recall of 200 movies from the scores of a model.
fn recall<'a>(catalog: &'a Catalog, scores: &'a ItemScores) -> impl FnMut(UserId) + 'a {
    let strategy = ByScores::new("ease", "ease", 0.0);
    let mut found = Vec::new();
    move |user| {
        let user = state(catalog, user);
        let mut excluded = MovieSet::new(catalog.len());
        excluded.extend(user.rated_movies(false));
        let query = sparrow_recall::Query {
            catalog,
            user: &user,
            genres: GenreSet::EMPTY,
            excluded: &excluded,
            scores: Some(scores),
        };
        found.clear();
        strategy.recall(&query, 200, &mut found).expect("nothing can fail");
        black_box(&found);
    }
}

/// The blend of scores that exist already, for as many movies as there are candidates.
fn combine<'a>(
    catalog: &'a Catalog,
    blend: &'a BlendRanker,
    scores: &[f32],
) -> impl FnMut(UserId) + 'a {
    let movies: Vec<MovieIndex> =
        (0..CANDIDATES as u32).map(|index| MovieIndex(index * 7919 % MOVIES)).collect();
    let input: Vec<f32> = movies.iter().map(|movie| scores[movie.index()]).collect();
    let mut combined = Vec::new();
    move |user| {
        let user = state(catalog, user);
        let inputs = [Some(&input[..]); INPUTS.len()];
        let query = Query::new(&user, &movies).with_inputs(&inputs);
        ready(blend.score(&query, &mut combined)).expect("there are inputs");
        black_box(&combined);
    }
}

fn state(catalog: &Catalog, user: UserId) -> UserState<'_> {
    UserState { history: catalog.users().find(user), ..UserState::unknown(user) }
}

fn engine(
    catalog: &Arc<Catalog>,
    scorers: &[Arc<Scorer>; INPUTS.len()],
    blend: &Arc<BlendRanker>,
) -> Engine {
    let (items, users) = (table(MOVIES, 1), table(USERS, 2));
    let embeddings = Embeddings::new(&items, users, Similarity::Dot, catalog);
    let mut builder = Engine::builder(Arc::clone(catalog))
        .standard(Some(embeddings.expect("the dimensions are equal")))
        .candidates(CANDIDATES)
        .strategy_for(Scope::OwnModel, ByScores::new("ease", "ease", 0.0), 200)
        .strategy_for(Scope::OwnModel, ByScores::new("item-knn", "item-knn", 0.0), 200);
    for (name, scorer) in INPUTS.into_iter().zip(scorers) {
        let ranker = ItemWeightsRanker::new(name, Arc::clone(scorer), InputWeights::EQUAL);
        builder = builder.model(Model::new(name, Arc::new(ranker)));
    }
    let ranker: Arc<dyn Ranker> = Arc::<BlendRanker>::clone(blend);
    let model = Model::new("blend", ranker).inputs(INPUTS).fallback("popularity");
    builder.model(model).build().expect("names are distinct")
}

/// All signals but that of the next-item model.
fn blend() -> Blend {
    let terms = Signal::ALL.into_iter().filter(|&signal| signal != Signal::NextItem);
    let term = |(signal, weight): (Signal, f32)| {
        let epsilon = if signal.input().is_some() { 0.01 } else { 0.0 };
        Term { signal, weight, new_user_weight: None, epsilon }
    };
    let weighted = terms.zip([0.9, 0.6, 0.2, 0.1, 0.3, 1.5, 0.2]);
    Blend::new(Objective::Lists, weighted.map(term).collect()).expect("the terms are valid")
}

fn table(rows: u32, stream: u64) -> EmbeddingTable {
    let mut random = Random::new(1, stream);
    let mut table = TableBuilder::default();
    for id in 1..=rows {
        let row: Vec<f32> = (0..DIMENSION).map(|_| random.normal() as f32).collect();
        table.push(id, &row).expect("numbers are finite");
    }
    table.build().expect("ids ascend")
}

/// Movies of which a few are popular, as in MovieLens, and users that prefer three themes of movies.
fn catalog() -> Catalog {
    let mut random = Random::new(1, 3);
    let themes: Vec<usize> = (0..MOVIES).map(|_| random.below(THEMES)).collect();
    let record = |movie: u32| MovieRecord {
        id: MovieId(movie + 1),
        title: format!("Movie {movie}"),
        year: Some(1940 + (movie * 31 % 80) as u16),
        genres: [0, 7, 3]
            .into_iter()
            .take(1 + movie as usize % 3)
            .map(|offset| format!("Genre {:02}", (themes[movie as usize] + offset) % THEMES))
            .collect(),
        imdb_id: None,
        tmdb_id: None,
    };
    let movies = Movies::new((0..MOVIES).map(record).collect()).expect("ids ascend");
    // The ranks of popularity are scattered over the indexes.
    let popularity: Vec<f64> =
        (0..MOVIES).map(|movie| f64::from(movie * 5741 % MOVIES + 30).powf(-1.2)).collect();
    let of_theme = |theme: usize| {
        let weights = popularity.iter().zip(&themes);
        let of_theme = weights.map(|(&weight, &of)| if of == theme { weight } else { 0.0 });
        Weighted::new(&of_theme.collect::<Vec<_>>())
    };
    let by_theme: Vec<Weighted> = (0..THEMES).map(of_theme).collect();
    let all = Weighted::new(&popularity);
    let mut log = RatingLog::default();
    for user in 0..USERS {
        let tastes = [(); 3].map(|()| random.below(THEMES));
        let mut seen = MovieSet::new(MOVIES as usize);
        let count = RATINGS[user as usize % RATINGS.len()];
        let mut second = 0;
        while second < count {
            let mut draw = || {
                let pool =
                    if random.chance(0.5) { &by_theme[tastes[random.below(3)]] } else { &all };
                MovieIndex(pool.draw(&mut random) as u32)
            };
            let movie = draw();
            if !seen.contains(movie) {
                seen.insert(movie);
                second += 1;
                let stars = Stars::from_half_stars(4 + random.below(7) as u8);
                log.push(UserId(user + 1), movie, stars.expect("1 to 10"), second * 1_000_000);
            }
        }
    }
    Catalog::new(movies, log.into_histories().0)
}

/// For each movie, the numbers of users who rated it and another one.
fn cooccurrences(catalog: &Catalog) -> Vec<Vec<(u32, f32)>> {
    let mut raters = vec![Vec::new(); catalog.len()];
    for history in catalog.users().iter() {
        history.movies().for_each(|movie| raters[movie.index()].push(history));
    }
    let mut counts = vec![0.0_f32; catalog.len()];
    let rows = (0..).zip(&raters).map(|(movie, of_movie)| {
        let mut others = Vec::new();
        for other in of_movie.iter().flat_map(History::movies) {
            if counts[other.index()] == 0.0 && other.0 != movie {
                others.push(other.0);
            }
            counts[other.index()] += 1.0;
        }
        counts[movie as usize] = 0.0;
        others.sort_unstable();
        let row = others.into_iter();
        row.map(|other| (other, std::mem::take(&mut counts[other as usize]))).collect()
    });
    rows.collect()
}

/// The greatest `keep` weights of each movie: co-occurrences, divided by a power of the popularity of the target, which
/// makes popular movies the targets of more or of fewer rows.
fn weights(counts: &[Vec<(u32, f32)>], keep: usize, power: f32) -> ItemWeights {
    let totals: Vec<f32> =
        counts.iter().map(|row| 1.0 + row.iter().map(|(_, count)| count).sum::<f32>()).collect();
    let (mut starts, mut targets, mut weights) = (vec![0], Vec::new(), Vec::new());
    for (row, total) in counts.iter().zip(&totals) {
        let weight = |target: u32, count: f32| {
            let target = totals[target as usize];
            count / total.sqrt() / target.powf(power)
        };
        let mut row: Vec<(u32, f32)> =
            row.iter().map(|&(target, count)| (target, weight(target, count))).collect();
        row.sort_by(|a, b| b.1.total_cmp(&a.1));
        row.truncate(keep);
        row.sort_unstable_by_key(|&(target, _)| target);
        targets.extend(row.iter().map(|&(target, _)| target));
        weights.extend(row.iter().map(|&(_, weight)| weight));
        starts.push(targets.len() as u32);
    }
    let ids = (1..=counts.len() as u32).collect();
    ItemWeights::new(ids, starts, targets, weights).expect("the weights are valid")
}

/// Models in memory never wait, so requests are ready after one poll.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("a model in memory waited"),
    }
}
