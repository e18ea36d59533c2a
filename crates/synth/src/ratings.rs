//! The ratings of each user: films, times and stars.

use sparrow_model::Stars;
use sparrow_random::{Random, Weighted};

use super::STREAM_RATINGS;
use super::movies::Movie;
use super::themes::THEMES;

const DAY: i64 = 86_400;
/// Days from 1970-01-01 to 1996-03-29 and to 2018-09-24, the period of ratings.
const FIRST_DAY: i64 = 9_584;
const LAST_DAY: i64 = 17_798;
/// Days from 1970-01-01 to 2003-02-18, when half stars were introduced.
const HALF_STARS: i64 = 12_101;

/// A rating of the film with an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rating {
    pub(super) movie: u32,
    pub(super) stars: Stars,
    /// Seconds since 1970-01-01.
    pub(super) timestamp: i64,
}

/// The films as pools to draw from: all of them, those of each theme, and those of each strand.
#[derive(Debug)]
pub(super) struct Audience<'a> {
    movies: &'a [Movie],
    all: Pool,
    themes: Vec<Pool>,
    /// By theme, then strand.
    strands: Vec<Vec<Pool>>,
    tastes: Weighted,
    /// Release days, ascending.
    releases: Vec<i32>,
    seed: u64,
}

/// A set of films, drawn by popularity.
#[derive(Debug)]
struct Pool {
    movies: Vec<u32>,
    weights: Weighted,
}

impl Pool {
    fn new(movies: &[Movie], belongs: impl Fn(&Movie) -> bool) -> Self {
        let chosen: Vec<u32> =
            (0..movies.len()).filter(|&index| belongs(&movies[index])).map(|i| i as u32).collect();
        let weights: Vec<f64> =
            chosen.iter().map(|&index| movies[index as usize].popularity).collect();
        Self { movies: chosen, weights: Weighted::new(&weights) }
    }

    fn draw(&self, random: &mut Random) -> Option<u32> {
        (!self.weights.is_empty()).then(|| self.movies[self.weights.draw(random)])
    }
}

struct Taste {
    /// The preferred themes, each with a strand and a weight.
    favourites: Vec<(usize, usize)>,
    preference: Weighted,
    /// The probability of watching any popular film.
    curiosity: f64,
    /// Stars added per theme.
    affinity: Vec<f64>,
    /// The centre and width of the preferred release years.
    era: f64,
    era_loyalty: f64,
    /// The user's bias in stars, the weight of quality, and the noise.
    bias: f64,
    discernment: f64,
    whim: f64,
    /// The probability of half stars.
    half_stars: f64,
}

/// Buffers that a worker reuses for each user.
#[derive(Debug)]
pub(super) struct Scratch {
    /// The last user who rated each film.
    rated_by: Vec<u32>,
    drawn: Vec<u32>,
    remaining: Vec<u32>,
}

impl<'a> Audience<'a> {
    pub(super) fn new(movies: &'a [Movie], seed: u64) -> Self {
        let strands = movies.iter().map(|movie| movie.strand).max().map_or(1, |most| most + 1);
        let of_theme = |theme: usize| {
            let theme = theme as u16;
            (0..strands).map(move |strand| {
                Pool::new(movies, |movie| movie.theme == theme && movie.strand == strand)
            })
        };
        let themes: Vec<Pool> = (0..THEMES.len())
            .map(|theme| Pool::new(movies, |movie| usize::from(movie.theme) == theme))
            .collect();
        let shares: Vec<f64> = THEMES.iter().map(|theme| theme.share.sqrt()).collect();
        let mut releases: Vec<i32> = movies.iter().map(|movie| movie.release).collect();
        releases.sort_unstable();
        Self {
            movies,
            all: Pool::new(movies, |_| true),
            themes,
            strands: (0..THEMES.len()).map(|theme| of_theme(theme).collect()).collect(),
            tastes: Weighted::new(&shares),
            releases,
            seed,
        }
    }

    pub(super) fn scratch(&self) -> Scratch {
        Scratch {
            rated_by: vec![u32::MAX; self.movies.len()],
            drawn: Vec::new(),
            remaining: Vec::new(),
        }
    }

    /// The ratings of one user (counted from 0), by film. They depend only on the seed and the
    /// user. `count` must not exceed the number of films.
    pub(super) fn ratings_of(
        &self,
        user: u32,
        count: u32,
        scratch: &mut Scratch,
        ratings: &mut Vec<Rating>,
    ) {
        let mut random = Random::new(self.seed, STREAM_RATINGS + u64::from(user));
        let taste = self.taste(&mut random);
        let sessions = self.sessions(count as usize, &mut random);
        let last = *sessions.last().unwrap_or(&(LAST_DAY * DAY));
        self.watch(user, count as usize, last, &taste, scratch, &mut random);

        ratings.clear();
        let mut clocks = sessions.clone();
        for &movie in &scratch.drawn {
            let film = &self.movies[movie as usize];
            // Any session after the film's release.
            let first = sessions.partition_point(|&start| !is_out(film, start));
            let session = first + random.below(sessions.len() - first);
            let timestamp = clocks[session];
            clocks[session] += random.below_signed(25);
            let stars = taste.judge(film, timestamp, &mut random);
            ratings.push(Rating { movie, stars, timestamp });
        }
        ratings.sort_unstable();
    }

    fn taste(&self, random: &mut Random) -> Taste {
        let mut affinity: Vec<f64> = THEMES.iter().map(|_| 0.12 * random.normal()).collect();
        for _ in 0..3 {
            affinity[random.below(THEMES.len())] -= random.between(0.3, 0.9);
        }
        let count = 1 + random.below(3) + random.below(2);
        let mut favourites = Vec::with_capacity(count);
        let mut weights = Vec::with_capacity(count);
        for _ in 0..count {
            let theme = self.tastes.draw(random);
            affinity[theme] = random.between(0.35, 0.8);
            favourites.push((theme, random.below(self.strands[theme].len())));
            weights.push(random.between(0.3, 1.0));
        }
        let age = random.unit();
        Taste {
            favourites,
            preference: Weighted::new(&weights),
            curiosity: random.between(0.12, 0.5),
            affinity,
            era: 2012.0 - 50.0 * age * age,
            era_loyalty: random.unit(),
            bias: 0.4 * random.normal(),
            discernment: random.between(0.5, 1.3),
            whim: random.between(0.45, 0.9),
            half_stars: random.unit(),
        }
    }

    /// The start times of the user's sessions in seconds, ascending. At least `count` films are
    /// released before the last one.
    fn sessions(&self, count: usize, random: &mut Random) -> Vec<i64> {
        let span = LAST_DAY - FIRST_DAY;
        let mut number = 1;
        while random.chance(0.45) && number < 2 + count / 10 {
            number += 1;
        }
        let joined = random.below_signed(span);
        let stays = if number == 1 { 1 } else { 1 + random.below_signed(span - joined) };
        let mut starts: Vec<i64> = (0..number)
            .map(|_| {
                let day = FIRST_DAY + joined + random.below_signed(stays);
                day * DAY + random.below_signed(DAY)
            })
            .collect();
        starts.sort_unstable();
        let last = starts[starts.len() - 1];
        let out = self.releases.partition_point(|&release| i64::from(release + 1) * DAY <= last);
        if out < self.releases.len().min(count + count / 2 + 10) {
            // Too few films are released by then: this user rates after the last release.
            let latest = self.releases.last().map_or(FIRST_DAY, |&day| i64::from(day) + 1);
            let day = latest + random.below_signed(LAST_DAY - latest);
            let later = day * DAY + random.below_signed(DAY) - last;
            // Earlier sessions keep their distances.
            for start in &mut starts {
                *start += later;
            }
        }
        starts
    }

    /// Draws `count` different films that are released by `last`, into `scratch.drawn`.
    fn watch(
        &self,
        user: u32,
        count: usize,
        last: i64,
        taste: &Taste,
        scratch: &mut Scratch,
        random: &mut Random,
    ) {
        let Scratch { rated_by, drawn, remaining } = scratch;
        drawn.clear();
        let by_taste = 12 * count + 200;
        for attempt in 0..2 * by_taste {
            if drawn.len() == count {
                return;
            }
            // After the preferred films, the user watches popular ones.
            let pool = if attempt > by_taste || random.chance(taste.curiosity) {
                &self.all
            } else {
                let (theme, strand) = taste.favourites[taste.preference.draw(random)];
                if random.chance(0.6) { &self.strands[theme][strand] } else { &self.themes[theme] }
            };
            let Some(movie) = pool.draw(random) else { continue };
            let film = &self.movies[movie as usize];
            let last_user = &mut rated_by[movie as usize];
            if *last_user == user || !is_out(film, last) || taste.is_out_of_era(film, random) {
                continue;
            }
            *last_user = user;
            drawn.push(movie);
        }
        // Finally, any of the remaining films.
        remaining.clear();
        remaining.extend((0..self.movies.len() as u32).filter(|&movie| {
            rated_by[movie as usize] != user && is_out(&self.movies[movie as usize], last)
        }));
        while drawn.len() < count && !remaining.is_empty() {
            let movie = remaining.swap_remove(random.below(remaining.len()));
            rated_by[movie as usize] = user;
            drawn.push(movie);
        }
    }
}

/// Whether the film was released before the day of this time.
fn is_out(movie: &Movie, timestamp: i64) -> bool {
    i64::from(movie.release + 1) * DAY <= timestamp
}

impl Taste {
    /// Whether the film is too far from the user's preferred years.
    fn is_out_of_era(&self, movie: &Movie, random: &mut Random) -> bool {
        let distance = (f64::from(movie.year) - self.era).abs() / 20.0;
        random.chance(self.era_loyalty * (distance / (1.0 + distance)))
    }

    fn judge(&self, movie: &Movie, timestamp: i64, random: &mut Random) -> Stars {
        let theme = usize::from(movie.theme);
        let own_strand = self.favourites.contains(&(theme, usize::from(movie.strand)));
        let disappointed = random.chance(0.1);
        let stars = 3.3
            + self.bias
            + self.discernment * movie.quality
            + self.affinity[theme]
            + if own_strand { 0.25 } else { 0.0 }
            + self.whim * random.normal()
            - if disappointed { 1.1 } else { 0.0 };
        let stars = stars.clamp(0.5, 5.0);
        let whole = timestamp < HALF_STARS * DAY || !random.chance(self.half_stars);
        let half_stars =
            if whole { 2 * (stars + 0.5).max(1.0) as u8 } else { (2.0 * stars + 0.5) as u8 };
        // The clamp ensures values from 1 to 10.
        Stars::from_half_stars(half_stars).unwrap_or(Stars::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::movies::generate;
    use super::*;

    fn all_ratings(movies: &[Movie], users: u32, count: u32) -> Vec<Vec<Rating>> {
        let audience = Audience::new(movies, 4);
        let mut scratch = audience.scratch();
        (0..users)
            .map(|user| {
                let mut ratings = Vec::new();
                audience.ratings_of(user, count, &mut scratch, &mut ratings);
                ratings
            })
            .collect()
    }

    #[test]
    fn ratings_are_valid_and_later_than_releases() {
        let movies = generate(400, 0.01, 1);
        for count in [1, 20, 150, 399, 400] {
            for ratings in all_ratings(&movies, 30, count) {
                assert_eq!(ratings.len(), count as usize);
                assert!(ratings.is_sorted_by(|a, b| a.movie < b.movie), "no film twice");
                for rating in ratings {
                    assert!(is_out(&movies[rating.movie as usize], rating.timestamp));
                    assert!(rating.timestamp < (LAST_DAY + 2) * DAY);
                    let whole = rating.stars.half_stars().is_multiple_of(2);
                    assert!(whole || rating.timestamp >= HALF_STARS * DAY);
                }
            }
        }
    }

    #[test]
    fn users_are_independent_of_each_other() {
        let movies = generate(300, 0.01, 1);
        let audience = Audience::new(&movies, 4);
        let mut alone = Vec::new();
        audience.ratings_of(9, 40, &mut audience.scratch(), &mut alone);
        assert_eq!(all_ratings(&movies, 10, 40)[9], alone);
    }

    /// Two films of a user share a theme much more often than popularity alone explains.
    #[test]
    fn users_prefer_themes() {
        let movies = generate(2000, 0.006, 1);
        let mut same = 0;
        let mut pairs = 0;
        let mut counts = vec![0_usize; THEMES.len()];
        for ratings in all_ratings(&movies, 100, 30) {
            let themes: Vec<usize> =
                ratings.iter().map(|r| usize::from(movies[r.movie as usize].theme)).collect();
            for (index, a) in themes.iter().enumerate() {
                counts[*a] += 1;
                pairs += index;
                same += themes[..index].iter().filter(|b| *b == a).count();
            }
        }
        let all: usize = counts.iter().sum();
        let by_chance: f64 = counts.iter().map(|&c| (c as f64 / all as f64).powi(2)).sum();
        let observed = f64::from(u32::try_from(same).expect("few")) / pairs as f64;
        assert!(observed > 2.0 * by_chance, "observed {observed}, by chance {by_chance}");
    }
}
