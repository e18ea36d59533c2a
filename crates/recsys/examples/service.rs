//! A recommendation service of one's own: a catalogue and a ranker of the service, users from a feature store, and
//! Sparrow's HTTP front end.
//!
//! ```sh
//! cargo run -p sparrow-recsys --example service
//! curl 'http://127.0.0.1:6010/v1/users/7/recommendations?size=2'
//! ```
#![expect(clippy::print_stdout, reason = "the program prints its address")]

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use sparrow_recsys::catalog::{
    Catalog, MovieId, MovieRecord, Movies, RatingLog, Sort, Stars, UserId,
};
use sparrow_recsys::engine::{Engine, Model};
use sparrow_recsys::http::{Options, Server, Snapshot, SnapshotOptions};
use sparrow_recsys::rank::{self, PopularityRanker, Ranker};
use sparrow_recsys::recall::{ByGenre, ByOrder};
use sparrow_recsys::store::{
    Entry, FeatureStore, GuardOptions, Guarded, MemoryStore, StoredRating, UserList,
};
use sparrow_recsys::user::{StoreReader, StoreSource};
use tokio::net::TcpListener;

/// The ratings of the service, as (user, movie, half stars).
const RATINGS: [(u32, u32, u8); 7] =
    [(7, 1, 9), (7, 2, 4), (8, 3, 10), (8, 4, 8), (9, 3, 9), (9, 5, 7), (9, 6, 3)];

/// A ranker of the service: new movies first.
struct Newest(Arc<Catalog>);

#[async_trait]
impl Ranker for Newest {
    fn kind(&self) -> &'static str {
        "newest"
    }

    async fn score(
        &self,
        query: &rank::Query<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), rank::Error> {
        let year = |movie| self.0.movie(movie).year.map_or(rank::UNSCORED, f32::from);
        scores.clear();
        scores.extend(query.movies.iter().map(|&movie| year(movie)));
        Ok(())
    }
}

fn catalog() -> Result<Catalog, Box<dyn Error>> {
    let movie = |id, title: &str, year, genre: &str| MovieRecord {
        id: MovieId(id),
        title: title.to_owned(),
        year: Some(year),
        genres: vec![genre.to_owned()],
        imdb_id: None,
        tmdb_id: None,
    };
    let movies = Movies::new(vec![
        movie(1, "The Glass Harbour", 1994, "Drama"),
        movie(2, "Three Kites", 2003, "Comedy"),
        movie(3, "A Winter Abroad", 2011, "Drama"),
        movie(4, "The Clockmaker's Dog", 2010, "Comedy"),
        movie(5, "Salt and Thunder", 1987, "Drama"),
        movie(6, "The Last Tram", 2019, "Thriller"),
    ])?;
    let mut log = RatingLog::default();
    for (user, movie, half_stars) in RATINGS {
        let movie = movies.index_of(MovieId(movie)).ok_or("a rating of an unknown movie")?;
        let stars = Stars::from_half_stars(half_stars).ok_or("a rating outside 0.5 to 5")?;
        log.push(UserId(user), movie, stars, 964_982_703);
    }
    let (histories, _duplicates) = log.into_histories();
    Ok(Catalog::new(movies, histories))
}

/// The engine of the service: recall by favourite genres and by rating; ranking by `newest`, or by `popularity`
/// if a request asks for it.
fn engine() -> Result<Engine, Box<dyn Error>> {
    let catalog = Arc::new(catalog()?);
    let newest = Model::new("newest", Arc::new(Newest(Arc::clone(&catalog))));
    let popularity = Arc::new(PopularityRanker::new(Arc::clone(&catalog)));
    let engine = Engine::builder(catalog)
        .strategy(ByGenre::default(), 50)
        .strategy(ByOrder(Sort::Rating), 50)
        .model(newest.fallback("popularity"))
        .model(Model::new("popularity", popularity))
        .default_model("newest")
        .build()?;
    Ok(engine)
}

/// Users in memory. `sparrow_recsys::store::open` opens a store in Redis or in a file instead, with the Cargo features
/// `redis` and `file`; a data base of the service implements `FeatureStore`.
async fn users() -> Result<StoreSource, Box<dyn Error>> {
    let store = MemoryStore::default();
    let mut push = store.push().await?;
    let histories = RATINGS.chunk_by(|one, next| one.0 == next.0).map(|ratings| {
        let stored = ratings.iter().map(|&(_, movie, half_stars)| {
            let stars = Stars::from_half_stars(half_stars).ok_or("a rating outside 0.5 to 5")?;
            Ok::<_, &str>(StoredRating { movie: MovieId(movie), stars, timestamp: 964_982_703 })
        });
        Ok(Entry::UserRatings(UserId(ratings[0].0), stored.collect::<Result<_, _>>()?))
    });
    push.put(histories.collect::<Result<_, &str>>()?).await?;
    push.put(vec![Entry::UserList(UserList { total: 3, most_active: Vec::new() })]).await?;
    push.commit().await?;
    // With a deadline and a circuit breaker around every read.
    let reader = StoreReader::new(Arc::new(Guarded::new(Arc::new(store), GuardOptions::default())));
    let generation = Some(reader.generation().await?);
    Ok(StoreSource {
        reader: Arc::new(reader),
        generation,
        sample_movies: Vec::new(),
        histories: None,
    })
}

/// A server that is ready for a listener.
async fn server() -> Result<Server, Box<dyn Error>> {
    let options = SnapshotOptions { store: Some(users().await?), ..SnapshotOptions::default() };
    let server = Server::new(Options::default());
    server.publish(Arc::new(Snapshot::new(Arc::new(engine()?), options)));
    Ok(server)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:6010").await?;
    println!("http://{}", listener.local_addr()?);
    server().await?.serve(listener, std::future::pending()).await;
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn service_recommends_unseen_movies_newest_first() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = server().await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let client = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = "GET /v1/users/7/recommendations?size=2 HTTP/1.1\r\nHost: localhost\r\n\
                           Connection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            stop.send(()).unwrap();
            answer
        };
        let (_, answer) =
            tokio::join!(server.serve(listener, async { drop(stopped.await) }), client);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(
            answer.contains("\"model\":\"newest\"") && !answer.contains("degraded\":true"),
            "{answer}"
        );
        let position = |title| answer.find(title).unwrap_or_else(|| panic!("no {title}: {answer}"));
        assert!(position("The Last Tram") < position("A Winter Abroad"), "{answer}");
        assert!(!answer.contains("Three Kites"), "{answer}");
    }
}
