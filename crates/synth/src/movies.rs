//! The films of a synthetic data set: their titles, and the hidden properties that determine who
//! watches and likes them.

use sparrow_random::{Random, Weighted};

use super::themes::{Era, NO_GENRES, THEMES};
use super::titles::Titles;

/// Days from 1970-01-01 to 2018-08-01, the last release.
const LAST_RELEASE: i32 = 17_744;
/// Days from 1970-01-01 to 1995-01-09, when the catalogue begins.
const OPENING: i32 = 9_139;

/// The probability that a film has no genres, a genre outside of its theme, or no TMDB id.
const GENRELESS: f64 = 0.004;
const STRAY_GENRE: f64 = 0.05;
const TMDBLESS: f64 = 0.004;

const STRAY_GENRES: &[&str] =
    &["Action", "Adventure", "Comedy", "Drama", "Fantasy", "Mystery", "Romance", "Thriller"];

/// A film. Films are indexed in the order of their ids.
#[derive(Debug)]
pub(super) struct Movie {
    pub(super) id: u32,
    pub(super) title: String,
    pub(super) genres: String,
    pub(super) imdb_id: String,
    pub(super) tmdb_id: String,
    pub(super) theme: u16,
    /// A subdivision of the theme, for tastes beyond genres.
    pub(super) strand: u16,
    /// Days since 1970-01-01, negative before.
    pub(super) release: i32,
    pub(super) year: i32,
    /// Stars relative to the average film.
    pub(super) quality: f64,
    /// Relative number of viewers.
    pub(super) popularity: f64,
}

/// The number of strands per theme: about 25 films each, so that small and large sets have a
/// structure that models can learn from the ratings.
fn strands(movies: usize) -> usize {
    (movies / (THEMES.len() * 25)).clamp(1, 12)
}

/// Generates films; `most_popular` is the share of ratings of the most popular one.
pub(super) fn generate(count: usize, most_popular: f64, seed: u64) -> Vec<Movie> {
    let mut random = Random::new(seed, super::STREAM_MOVIES);
    let themes = Weighted::new(&THEMES.iter().map(|theme| theme.share).collect::<Vec<_>>());
    let strands = strands(count);

    // In the order of release, so that sequels follow earlier films.
    let mut drafts: Vec<(i32, i32, usize)> = (0..count)
        .map(|_| {
            let theme = themes.draw(&mut random);
            let (year, release) = released(THEMES[theme].era, &mut random);
            (release, year, theme)
        })
        .collect();
    drafts.sort_unstable();

    let mut titles = Titles::new();
    let popularity = popularities(count, most_popular, &mut random);
    let mut movies: Vec<(i32, Movie)> = drafts
        .into_iter()
        .zip(popularity)
        .map(|((release, year, theme), (popularity, renown))| {
            let strand = random.below(strands);
            let movie = Movie {
                id: 0,
                title: titles.next(theme, strand, year, &mut random),
                genres: genres(theme, &mut random),
                imdb_id: String::new(),
                tmdb_id: String::new(),
                theme: theme as u16,
                strand: strand as u16,
                release,
                year,
                quality: 0.42 * random.normal() + 0.5 * (renown - 0.5),
                popularity,
            };
            // Old films are added during the first years of the catalogue, new ones when they are
            // released.
            let entered = if release < OPENING {
                let wait = random.unit();
                OPENING + (wait * wait * f64::from(LAST_RELEASE - OPENING)) as i32
            } else {
                release + random.below_signed(90) as i32
            };
            (entered, movie)
        })
        .collect();
    movies.sort_by_key(|(entered, _)| *entered);

    let mut movies: Vec<Movie> = movies.into_iter().map(|(_, movie)| movie).collect();
    number(&mut movies, &mut random);
    movies
}

/// A year, and a day in it as days since 1970-01-01.
fn released(era: Era, random: &mut Random) -> (i32, i32) {
    let (low, high) = match (era, random.below(100)) {
        (Era::Classic, 0..70) => (1932, 1965),
        (Era::Classic, 70..85) => (1965, 1995),
        (Era::Any, 0..15) => (1918, 1965),
        (Era::Any, 15..40) => (1960, 1992),
        (Era::Modern, 0..4) => (1930, 1970),
        (Era::Modern, 4..20) => (1966, 1992),
        _ => (1986, 2019),
    };
    let mut release = i32::MAX;
    let mut year = low;
    while release > LAST_RELEASE {
        year = low + random.below_signed(i64::from(high - low)) as i32;
        release = days_before_year(year) + random.below_signed(365) as i32;
    }
    (year, release)
}

/// Days from 1970-01-01 to the first day of this year (after 1900).
fn days_before_year(year: i32) -> i32 {
    let leap_days = |year: i32| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    (year - 1970) * 365 + leap_days(year) - leap_days(1970)
}

/// The relative number of viewers of each film, and its fame from 0 to 1: a Zipf-Mandelbrot law
/// with exponent 1.25, flattened at the top so that the most popular film has the given share.
fn popularities(count: usize, most_popular: f64, random: &mut Random) -> Vec<(f64, f64)> {
    // x^1.25 and the integral of x^-1.25, without `powf`, which differs between platforms.
    let power = |x: f64| x * x.sqrt().sqrt();
    let share = |flattening: f64| {
        let end = count as f64 + flattening;
        let all = 4.0 * (1.0 / flattening.sqrt().sqrt() - 1.0 / end.sqrt().sqrt());
        1.0 / power(flattening) / all
    };
    let (mut low, mut high) = (1.0, 100.0 * count as f64 + 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if share(middle) > most_popular {
            low = middle;
        } else {
            high = middle;
        }
    }
    let mut popularities: Vec<(f64, f64)> = (0..count)
        .map(|rank| (1.0 / power(rank as f64 + low), 1.0 - rank as f64 / count as f64))
        .collect();
    random.shuffle(&mut popularities);
    popularities
}

fn genres(theme: usize, random: &mut Random) -> String {
    if random.chance(GENRELESS) {
        return NO_GENRES.to_owned();
    }
    let mut genres: Vec<&str> = THEMES[theme]
        .genres
        .iter()
        .filter(|(_, probability)| random.chance(*probability))
        .map(|(genre, _)| *genre)
        .collect();
    if random.chance(STRAY_GENRE) {
        genres.push(random.pick(STRAY_GENRES));
    }
    genres.sort_unstable();
    genres.dedup();
    genres.join("|")
}

/// Assigns ids with gaps in the order of entry, dense at first and sparser later, and unique ids of
/// other catalogues beyond the ranges in use there, so that links never lead to real films.
fn number(movies: &mut [Movie], random: &mut Random) {
    let close = movies.len() * 2 / 5;
    let mut id = 0;
    let mut imdb_id = 90_000_000;
    let mut tmdb_id = 9_000_000;
    let mut tmdb_ids = Vec::with_capacity(movies.len());
    for (index, movie) in movies.iter_mut().enumerate() {
        id +=
            1 + if index < close { u32::from(random.chance(0.1)) } else { random.below(9) as u32 };
        imdb_id += 1 + random.below(9);
        tmdb_id += 1 + random.below(9);
        movie.id = id;
        movie.imdb_id = imdb_id.to_string();
        tmdb_ids.push(tmdb_id);
    }
    random.shuffle(&mut tmdb_ids);
    for (movie, tmdb_id) in movies.iter_mut().zip(tmdb_ids) {
        if !random.chance(TMDBLESS) {
            movie.tmdb_id = tmdb_id.to_string();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_years() {
        let days = [1918, 1969, 1970, 1971, 1973, 2000, 2001, 2018].map(days_before_year);
        assert_eq!(days, [-18_993, -365, 0, 365, 1_096, 10_957, 11_323, 17_532]);
    }

    #[test]
    fn ids_ascend_and_are_unique() {
        let movies = generate(5000, 0.005, 1);
        assert!(movies.is_sorted_by(|a, b| a.id < b.id));
        let mut others: Vec<&str> = movies.iter().map(|movie| movie.tmdb_id.as_str()).collect();
        others.retain(|id| !id.is_empty());
        assert!(others.len() < 5000 && others.len() > 4900);
        others.sort_unstable();
        assert!(others.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn popularity_has_a_long_tail() {
        let movies = generate(9742, 0.004, 1);
        let mut popularity: Vec<f64> = movies.iter().map(|movie| movie.popularity).collect();
        popularity.sort_unstable_by(|a, b| b.total_cmp(a));
        let all: f64 = popularity.iter().sum();
        let top = popularity[0] / all;
        assert!((0.0035..0.0045).contains(&top), "{top}");
        let head: f64 = popularity[..974].iter().sum::<f64>() / all;
        assert!(head > 0.4, "a tenth of the films gets only {head} of the viewers");
    }

    #[test]
    fn one_film_is_enough() {
        assert_eq!(generate(1, 1.0, 1).len(), 1);
    }
}
