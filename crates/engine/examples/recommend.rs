//! Builds a catalogue and an engine with a recall strategy and a ranker of its own, and prints recommendations:
//! `cargo run -p sparrow-engine --example recommend`.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::sync::Arc;

use async_trait::async_trait;
use sparrow_engine::{Engine, Model, Request};
use sparrow_model::{
    Catalog, MovieId, MovieIndex, MovieRecord, Movies, RatingLog, Sort, Stars, UserId,
};
use sparrow_rank::Ranker;
use sparrow_recall::{ByGenre, ByOrder, Recall};

/// A strategy of our own: movies released within three years of the user's most recent like.
struct SameTime;

impl Recall for SameTime {
    fn name(&self) -> &'static str {
        "same-time"
    }

    fn recall(
        &self,
        query: &sparrow_recall::Query<'_>,
        limit: usize,
        found: &mut Vec<MovieIndex>,
    ) -> Result<(), sparrow_recall::Error> {
        let Some(history) = query.user.history else { return Ok(()) };
        let year = |movie| query.catalog.movie(movie).year;
        let liked = history.iter().rev().find(|rated| rated.stars.is_liked());
        let Some(around) = liked.and_then(|rated| year(rated.movie)) else { return Ok(()) };
        let newest_first = query.catalog.ordered(Sort::ReleaseYear, None).iter().copied();
        found.extend(
            newest_first
                .filter(|&movie| year(movie).is_some_and(|year| year.abs_diff(around) <= 3))
                .filter(|&movie| !query.excluded.contains(movie))
                .take(limit),
        );
        Ok(())
    }
}

/// A ranker of our own: the Bayesian average rating.
struct BestRated(Arc<Catalog>);

#[async_trait]
impl Ranker for BestRated {
    fn kind(&self) -> &'static str {
        "rating"
    }

    async fn score(
        &self,
        query: &sparrow_rank::Query<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), sparrow_rank::Error> {
        scores.clear();
        scores.extend(query.movies.iter().map(|&movie| self.0.stats(movie).bayesian));
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A service would read its own tables here, or a MovieLens folder with `sparrow-movielens`.
    let record = |id, title: &str, year, genre: &str| MovieRecord {
        id: MovieId(id),
        title: title.to_owned(),
        year: Some(year),
        genres: vec![genre.to_owned()],
        imdb_id: None,
        tmdb_id: None,
    };
    let movies = Movies::new(vec![
        record(1, "The Glass Harbour", 1994, "Drama"),
        record(2, "Three Kites", 1995, "Comedy"),
        record(3, "A Winter Abroad", 1996, "Drama"),
        record(4, "The Clockmaker's Dog", 2010, "Comedy"),
    ])?;
    let mut log = RatingLog::default();
    for (user, movie, half_stars) in [(7, 1, 9), (7, 2, 4), (8, 3, 10), (8, 4, 8), (9, 3, 9)] {
        let movie = movies.index_of(MovieId(movie)).ok_or("a rating of an unknown movie")?;
        let stars = Stars::from_half_stars(half_stars).ok_or("a rating outside 0.5 to 5")?;
        log.push(UserId(user), movie, stars, 964_982_703);
    }
    let (histories, _duplicates) = log.into_histories();
    let catalog = Arc::new(Catalog::new(movies, histories));

    let engine = Engine::builder(Arc::clone(&catalog))
        .strategy(SameTime, 50)
        .strategy(ByGenre::default(), 50)
        .strategy(ByOrder(Sort::Rating), 50)
        .model(Model::new("best-rated", Arc::new(BestRated(Arc::clone(&catalog)))))
        .default_model("best-rated")
        .candidates(100)
        .build()?;

    let answer = engine.recommend(&Request { size: 3, ..Request::new(UserId(7)) }).await?;
    println!("for user 7, by {} in {:?}:", answer.model, answer.timings.total);
    for item in &answer.items {
        let movie = catalog.movie(item.movie);
        let found_by: Vec<&str> = answer.recalled_by(item).collect();
        println!(
            "{:.2}  {} ({}), found by {}",
            item.score.unwrap_or_default(),
            movie.title,
            movie.year.unwrap_or_default(),
            found_by.join(", ")
        );
    }
    Ok(())
}
