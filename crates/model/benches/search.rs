//! Latency of title searches in 62,000 generated movies, including the most expensive queries:
//! `cargo bench -p sparrow-model --bench search`.
#![expect(clippy::print_stdout, reason = "the benchmark prints its results")]

use std::time::{Duration, Instant};

use sparrow_model::{Catalog, MovieId, MovieRecord, Movies, RatingLog};

const MOVIES: u32 = 62_000;
const WORDS: u64 = 45_000;
const ROUNDS: usize = 200;

/// The splitmix64 random number generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Returns the pronounceable word of frequency rank `rank`.
fn word(rank: u64) -> String {
    const SYLLABLES: [&str; 20] = [
        "la", "ri", "ston", "me", "co", "ba", "tu", "der", "no", "ka", "shi", "pe", "gra", "fi",
        "lo", "ven", "su", "hal", "wi", "mor",
    ];
    let mut random = Random(rank);
    (0..2 + random.below(3)).map(|_| SYLLABLES[random.below(20) as usize]).collect()
}

/// Returns a title whose words follow Zipf's law.
fn title(random: &mut Random) -> String {
    let mut words = Vec::new();
    for _ in 0..=random.below(6) {
        let uniform = random.below(1 << 20) as f64 / f64::from(1 << 20);
        let rank = (WORDS as f64).powf(uniform) as u64;
        words.push(match rank {
            1 => "of".to_owned(),
            2 => "a".to_owned(),
            3 => "in".to_owned(),
            rank => word(rank),
        });
    }
    let title = words.join(" ");
    match random.below(20) {
        0..4 => format!("{title}, The"),
        4 => format!("{title} II"),
        5 => format!("{title} {}", 2 + random.below(8)),
        _ => title,
    }
}

fn main() {
    let mut random = Random(7);
    let record = |id| MovieRecord {
        id: MovieId(id),
        title: title(&mut random),
        year: Some(1915 + (id % 105) as u16),
        genres: Vec::new(),
        imdb_id: None,
        tmdb_id: None,
    };
    let movies = match Movies::new((0..MOVIES).map(record).collect()) {
        Ok(movies) => movies,
        Err(error) => return println!("{error}"),
    };
    let catalog = Catalog::new(movies, RatingLog::default().into_histories().0);
    let all_letters: Vec<String> =
        ('a'..='z').chain('0'..='9').map(|letter| letter.to_string()).collect();
    let rare: Vec<String> = (0..30).map(|n| word(40_000 + n)).collect();
    let misspelt: Vec<String> = (0..20).map(|n| word(n * 7 + 1) + "x").collect();
    let queries = [
        "the".to_owned(),
        "a".to_owned(),
        "t".to_owned(),
        "s".to_owned(),
        "1".to_owned(),
        "19".to_owned(),
        "the of a in 19".to_owned(),
        "l m s c b t d n".to_owned(),
        all_letters.join(" "),
        rare.join(" "),
        misspelt[..1].join(" "),
        misspelt[..5].join(" "),
        misspelt.join(" "),
        "lastonme costonba lamelame veninsula grahalwi".to_owned(),
        "x".repeat(200),
        "la".repeat(100),
        "lastonmecobatuder".to_owned(),
    ];
    println!("{MOVIES} movies, median and slowest of {ROUNDS} searches, in µs");
    for query in queries {
        let mut times: Vec<Duration> = Vec::with_capacity(ROUNDS);
        let mut total = 0;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            total = catalog.search(&query, 0, 20).total;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        let micros = |time: Duration| time.as_micros();
        let prefix: String = query.chars().take(60).collect();
        println!(
            "{:>8} {:>8}  {total:>6} found  {prefix}",
            micros(times[ROUNDS / 2]),
            micros(times[ROUNDS - 1])
        );
    }
}
