//! The engine over a small catalogue: order, filters, fallbacks and what answers say of them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use sparrow_engine::{
    Candidates, Embeddings, Engine, Error, Item, Model, NO_MODEL, Options, Parts, Reason,
    Recommendations, Request, SimilarRequest, Strategy,
};
use sparrow_model::{
    Catalog, GenreSet, MovieId, MovieIndex, MovieRecord, Movies, OwnedHistory, RatingLog, Stars,
    UserId, UserState,
};
use sparrow_neural::{EmbeddingTable, Similarity};
use sparrow_rank::{Ranker, State, UNSCORED};
use sparrow_recall::{Query, Recall};

const MOVIES: u32 = 60;

/// Movies 0 to 59 with ids of a hundred more; movie m has 60 − m ratings, genre A if even, B if a
/// multiple of three. User u rated the movies below 60 − u. User 0 is thus everybody's opposite:
/// there is nothing left for them.
fn catalog() -> Arc<Catalog> {
    let record = |m: u32| MovieRecord {
        id: MovieId(m + 100),
        title: format!("Movie {m}"),
        year: Some(1950 + m as u16),
        genres: [(2, "A"), (3, "B")]
            .into_iter()
            .filter(|(every, _)| m.is_multiple_of(*every))
            .map(|(_, genre)| genre.to_owned())
            .collect(),
        imdb_id: None,
        tmdb_id: None,
    };
    let movies = Movies::new((0..MOVIES).map(record).collect()).unwrap();
    let mut log = RatingLog::default();
    for user in 0..MOVIES {
        for movie in 0..MOVIES - user {
            let stars = Stars::from_half_stars((movie % 10) as u8 + 1).unwrap();
            log.push(UserId(user), MovieIndex(movie), stars, user * 100 + movie);
        }
    }
    Arc::new(Catalog::new(movies, log.into_histories().0))
}

/// Movies 10 to 59 have vectors on a half circle, users 20 to 58 look at one of them; user 59 none.
fn embeddings(catalog: &Catalog) -> Embeddings {
    let line = |id: u32, at: u32| {
        let angle = f64::from(at) * 0.05;
        format!("{id}:{} {}\n", angle.cos(), angle.sin())
    };
    let items: String = (10..MOVIES).map(|m| line(m + 100, m)).collect();
    let users: String = (20..59).map(|u| line(u, u)).collect();
    let read = |text: &str| EmbeddingTable::read(text.as_bytes(), "test").unwrap();
    Embeddings::new(&read(&items), read(&users), Similarity::Cosine, catalog).unwrap()
}

fn engine() -> Engine {
    let catalog = catalog();
    let embeddings = embeddings(&catalog);
    let parts = Parts::standard(&catalog, Ok(embeddings), &Options::default());
    Engine::new(catalog, parts).unwrap()
}

fn movies(answer: &Recommendations) -> Vec<u32> {
    answer.items.iter().map(|item| item.movie.0).collect()
}

fn found_by(engine: &Engine, answer: &Recommendations, at: usize) -> Vec<String> {
    let names = engine.strategies().iter().enumerate();
    names
        .filter(|(place, _)| answer.items[at].recalled_by.contains(*place))
        .map(|(_, name)| name.to_string())
        .collect()
}

#[tokio::test]
async fn the_nearest_unseen_movies_come_first_and_say_who_found_them() {
    let engine = engine();
    let request = Request { size: 4, ..Request::new(UserId(40)) };
    let answer = engine.recommend(&request).await.unwrap();
    // User 40 has seen movies 0 to 19 and looks at movie 40; equal distances go to the lesser id.
    assert_eq!(movies(&answer)[0], 40);
    let mut near = movies(&answer);
    near.sort_unstable();
    assert!(near == [38, 39, 40, 41] || near == [39, 40, 41, 42], "{near:?}");
    assert_eq!((&*answer.model, answer.degraded, answer.reason), ("emb", false, None));
    assert!((answer.items[0].score.unwrap() - 1.0).abs() < 1e-6);
    assert!(answer.items.is_sorted_by(|a, b| a.score >= b.score));
    let found_by = found_by(&engine, &answer, 0);
    assert_eq!(found_by, ["embedding", "genre", "rating", "recency"]);
    assert_eq!(answer.candidates, 40);
    assert!(answer.timings.total >= answer.timings.recall + answer.timings.rank);
}

#[tokio::test]
async fn seen_movies_stay_out_unless_asked_for() {
    let engine = engine();
    let request = Request { size: 100, ..Request::new(UserId(40)) };
    let unseen = engine.recommend(&request).await.unwrap();
    assert_eq!(unseen.items.len(), 40);
    assert!(unseen.items.iter().all(|item| item.movie.0 >= 20));
    let all = engine.recommend(&Request { exclude_seen: false, ..request }).await.unwrap();
    assert_eq!(all.items.len(), 60);
    // Movies 0 to 9 have no vector: they come last, the most popular first, without a score.
    assert_eq!(movies(&all)[50..], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let by = |item: &Item| item.ordered_by.map(|place| engine.models()[place].name.to_string());
    assert!(all.items[50..].iter().all(|item| item.score.is_none()));
    assert!(all.items[50..].iter().all(|item| by(item).as_deref() == Some("popularity")));
    assert!(all.items[..50].iter().all(|item| by(item).is_none()));
    assert!(all.items[..50].iter().all(|item| item.score.is_some()));
    // Somebody who has seen everything gets an empty list, not an error.
    let nothing = engine.recommend(&Request::new(UserId(0))).await.unwrap();
    assert_eq!(nothing.items.len(), 0);
}

#[tokio::test]
async fn a_state_from_elsewhere_gives_the_same_answer() {
    let engine = engine();
    let catalog = engine.catalog();
    let request = Request::new(UserId(40));
    let expected = engine.recommend(&request).await.unwrap();
    // Of another length, which does not count for the cosine.
    let angle: f32 = 40.0 * 0.05;
    let mut vector = [angle.cos() * 3.0, angle.sin() * 3.0];
    let embeddings = engine.embeddings().unwrap();
    assert!(embeddings.prepare(&mut vector));
    let history = OwnedHistory::new(UserId(40), catalog.users().find(UserId(40)).unwrap().iter());
    let genres = engine.favourite_genres(&history.get());
    let state = UserState {
        history: Some(history.get()),
        favourite_genres: &genres,
        embedding: Some(&vector),
        ..UserState::unknown(UserId(40))
    };
    let answer = engine.recommend_to(&request, &state, None).await.unwrap();
    assert_eq!(movies(&answer), movies(&expected));
    assert_eq!((&*answer.model, answer.degraded, answer.reason), ("emb", false, None));

    let seen = [MovieIndex(39), MovieIndex(40)];
    let some = UserState { history: None, also_rated: &seen, ..state };
    let answer = engine.recommend_to(&request, &some, None).await.unwrap();
    assert!(!movies(&answer).iter().any(|movie| [39, 40].contains(movie)));
    for unfit in [&mut [1.0_f32][..], &mut [f32::NAN, 1.0], &mut [1e30, 1.0]] {
        assert!(!embeddings.prepare(unfit));
    }
}

#[tokio::test]
async fn an_answer_tells_what_its_state_lacks() {
    let engine = engine();
    let nobody = UserState::unknown(UserId(40));
    for (model, lacking, degraded) in [
        ("emb", Reason::StoreUnavailable, true),
        ("popularity", Reason::StoreUnavailable, true),
        ("neuralcf", Reason::StoreUpdating, true),
        ("popularity", Reason::StoreFailed, true),
        ("emb", Reason::UnknownUser, true),
        ("popularity", Reason::UnknownUser, false),
    ] {
        let request = Request { model: Some(model), ..Request::new(UserId(40)) };
        let answer = engine.recommend_to(&request, &nobody, Some(lacking)).await.unwrap();
        assert_eq!((answer.degraded, answer.reason), (degraded, Some(lacking)), "{model}");
        assert_eq!(&*answer.model, "popularity");
        assert_eq!(answer.items.len(), 32);
    }
}

#[tokio::test]
async fn genres_limit_the_answer() {
    let engine = engine();
    let genre = |name| engine.catalog().genres().find(name).unwrap();
    let both: GenreSet = [genre("A"), genre("B")].into_iter().collect();
    for genres in [[genre("B")].into_iter().collect(), both] {
        let request = Request { genres, size: 100, ..Request::new(UserId(40)) };
        let answer = engine.recommend(&request).await.unwrap();
        let mut found = movies(&answer);
        found.sort_unstable();
        let expected: Vec<u32> =
            (20..MOVIES).filter(|m| m % 3 == 0 || (genres == both && m % 2 == 0)).collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn users_without_a_vector_get_popular_movies_and_are_told() {
    let engine = engine();
    let ask = async |user, model| {
        let request = Request { size: 3, model, ..Request::new(UserId(user)) };
        engine.recommend(&request).await.unwrap()
    };
    let known = ask(59, None).await;
    assert_eq!(movies(&known), [1, 2, 3]);
    assert_eq!((&*known.requested, &*known.model), ("emb", "popularity"));
    assert_eq!((known.degraded, known.reason), (true, Some(Reason::NoUserEmbedding)));

    let unknown = ask(9999, Some("emb")).await;
    assert_eq!(movies(&unknown), [0, 1, 2]);
    assert_eq!((unknown.degraded, unknown.reason), (true, Some(Reason::UnknownUser)));

    let popular = ask(9999, Some("popularity")).await;
    assert_eq!((popular.degraded, popular.reason), (false, Some(Reason::UnknownUser)));
    let popular = ask(40, Some("popularity")).await;
    assert_eq!((popular.degraded, popular.reason), (false, None));
    assert_eq!(movies(&popular), [20, 21, 22]);
}

#[tokio::test]
async fn models_that_are_not_there_are_stood_in_for() {
    let engine = engine();
    for name in ["neuralcf", "nerualcf"] {
        let request = Request { model: Some(name), ..Request::new(UserId(40)) };
        let answer = engine.recommend(&request).await.unwrap();
        assert_eq!((&*answer.requested, &*answer.model), ("neuralcf", "emb"));
        assert_eq!((answer.degraded, answer.reason), (true, Some(Reason::ModelUnavailable)));
    }
    let catalog = catalog();
    let none = Err("no embeddings were given".to_owned());
    let parts = Parts::standard(&catalog, none, &Options::default());
    let engine = Engine::new(catalog, parts).unwrap();
    let status = &engine.models()[0].status;
    assert_eq!(status.state, State::Unavailable);
    assert_eq!(status.trouble.as_deref(), Some("no embeddings were given"));
    let answer = engine.recommend(&Request::new(UserId(40))).await.unwrap();
    assert_eq!((&*answer.model, answer.degraded), ("popularity", true));
    assert_eq!(answer.reason, Some(Reason::ModelUnavailable));

    let request = Request { model: Some("emd"), ..Request::new(UserId(40)) };
    let error = engine.recommend(&request).await.unwrap_err();
    let Error::UnknownModel { known, .. } = error else { panic!("{error}") };
    assert_eq!(known.iter().map(|n| &**n).collect::<Vec<_>>(), ["emb", "popularity", "neuralcf"]);
}

#[tokio::test]
async fn an_empty_list_names_no_model_that_could_not_rank() {
    let engine = engine();
    // User 0 has rated every movie that there is a vector of, and no vector.
    let ask = async |user: u32, model: &str| {
        let request = Request { model: Some(model), ..Request::new(UserId(user)) };
        let answer = engine.recommend(&request).await.unwrap();
        assert!(answer.items.is_empty());
        (answer.model.to_string(), answer.degraded, answer.reason)
    };
    let none_left = |model: &str| (model.to_owned(), false, None);
    assert_eq!(ask(0, "popularity").await, none_left("popularity"));
    let unavailable = ("popularity".to_owned(), true, Some(Reason::ModelUnavailable));
    assert_eq!(ask(0, "neuralcf").await, unavailable);
    let no_vector = ("popularity".to_owned(), true, Some(Reason::NoUserEmbedding));
    assert_eq!(ask(0, "emb").await, no_vector);
}

#[tokio::test]
async fn where_no_model_can_rank_none_is_named() {
    let catalog = catalog();
    let parts = Parts::standard(&catalog, Ok(embeddings(&catalog)), &Options::default());
    let failing = Fixed(Err(|| sparrow_rank::Error::TimedOut), 0);
    let model = Model::new("fixed", "fixed", Ok(Arc::new(failing)));
    let engine = Engine::new(Arc::clone(&catalog), parts.with_model(model)).unwrap();
    for (user, count) in [(40, 5), (0, 0)] {
        let request = Request { model: Some("fixed"), size: 5, ..Request::new(UserId(user)) };
        let answer = engine.recommend(&request).await.unwrap();
        assert_eq!((&*answer.requested, &*answer.model), ("fixed", NO_MODEL));
        assert_eq!((answer.degraded, answer.reason), (true, Some(Reason::ModelTimedOut)));
        assert_eq!(answer.items.len(), count);
    }
}

struct Fixed(Result<f32, fn() -> sparrow_rank::Error>, usize);

#[async_trait]
impl Ranker for Fixed {
    fn kind(&self) -> &'static str {
        "fixed"
    }

    async fn score(
        &self,
        _user: &UserState<'_>,
        movies: &[MovieIndex],
        scores: &mut Vec<f32>,
    ) -> Result<(), sparrow_rank::Error> {
        let score = *self.0.as_ref().map_err(|error| error())?;
        scores.clear();
        scores.resize(movies.len() - self.1, score);
        Ok(())
    }
}

struct Broken;

impl Recall for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn recall(
        &self,
        query: &Query<'_>,
        _limit: usize,
        found: &mut Vec<MovieIndex>,
    ) -> Result<(), sparrow_recall::Error> {
        found.push(MovieIndex(query.catalog.len() as u32 - 1));
        Err(sparrow_recall::Error::Unavailable { strategy: "broken".into(), source: "gone".into() })
    }
}

#[tokio::test]
async fn rankers_that_fail_or_lie_are_stood_in_for() {
    let catalog = catalog();
    let cases: [(Fixed, Option<Reason>); 5] = [
        (Fixed(Ok(0.5), 0), None),
        (Fixed(Ok(0.5), 1), Some(Reason::ModelFailed)),
        (Fixed(Ok(f32::NAN), 0), Some(Reason::ModelFailed)),
        (Fixed(Err(|| sparrow_rank::Error::TimedOut), 0), Some(Reason::ModelTimedOut)),
        (
            Fixed(Err(|| sparrow_rank::Error::Unavailable("gone".into())), 0),
            Some(Reason::ModelUnavailable),
        ),
    ];
    for (ranker, reason) in cases {
        let parts = Parts::standard(&catalog, Ok(embeddings(&catalog)), &Options::default());
        let mut model = Model::new("fixed", "fixed", Ok(Arc::new(ranker)));
        model.fallback = Some("emb".into());
        let engine = Engine::new(Arc::clone(&catalog), parts.with_model(model)).unwrap();
        let request = Request { model: Some("fixed"), size: 5, ..Request::new(UserId(40)) };
        let answer = engine.recommend(&request).await.unwrap();
        assert_eq!((answer.degraded, answer.reason), (reason.is_some(), reason));
        assert_eq!(&*answer.model, if reason.is_some() { "emb" } else { "fixed" });
        if reason.is_none() {
            // Equal scores: by movie id.
            assert_eq!(movies(&answer), [20, 21, 22, 23, 24]);
        }
    }
}

/// Scores the movies below a bound by their number, and none of the others.
struct Knows(u32);

#[async_trait]
impl Ranker for Knows {
    fn kind(&self) -> &'static str {
        "knows"
    }

    async fn score(
        &self,
        user: &UserState<'_>,
        movies: &[MovieIndex],
        scores: &mut Vec<f32>,
    ) -> Result<(), sparrow_rank::Error> {
        if user.id.0 >= 1000 {
            return Err(sparrow_rank::Error::UnknownUser(user.id));
        }
        let score = |movie: &MovieIndex| if movie.0 < self.0 { movie.0 as f32 } else { UNSCORED };
        scores.clear();
        scores.extend(movies.iter().map(score));
        Ok(())
    }
}

#[tokio::test]
async fn what_a_model_does_not_know_comes_last_in_the_order_of_its_fallback() {
    let catalog = catalog();
    let mut parts = Parts::standard(&catalog, Ok(embeddings(&catalog)), &Options::default());
    for (name, known, fallback) in [("few", 23, "more"), ("more", 26, "emb"), ("last", 22, "")] {
        let mut model = Model::new(name, "knows", Ok(Arc::new(Knows(known))));
        model.fallback = Some(fallback.into()).filter(|_| !fallback.is_empty());
        parts = parts.with_model(model);
    }
    let engine = Engine::new(catalog, parts).unwrap();
    let ask = async |model, user| {
        let request = Request { model: Some(model), size: 12, ..Request::new(UserId(user)) };
        engine.recommend(&request).await.unwrap()
    };
    // Movies 20 to 22 by the model, 23 to 25 by the next, the others by how near they are to user 40.
    let answer = ask("few", 40).await;
    assert_eq!((&*answer.model, answer.degraded, answer.reason), ("few", false, None));
    assert_eq!(movies(&answer)[..7], [22, 21, 20, 25, 24, 23, 40]);
    let ordered_by = |item: &Item| item.ordered_by.map(|at| engine.models()[at].name.to_string());
    let ordered_by: Vec<_> = answer.items.iter().map(ordered_by).collect();
    assert!(ordered_by[..3].iter().all(Option::is_none));
    assert!(ordered_by[3..6].iter().all(|name| name.as_deref() == Some("more")));
    assert!(ordered_by[6..].iter().all(|name| name.as_deref() == Some("emb")));
    assert!(answer.items.iter().all(|item| item.score.is_some() == item.ordered_by.is_none()));
    // Without a fallback the number of ratings orders.
    assert_eq!(movies(&ask("last", 40).await)[..4], [21, 20, 22, 23]);

    let stranger = ask("few", 1000).await;
    assert_eq!((&*stranger.model, stranger.reason), ("popularity", Some(Reason::UnknownUser)));
    let counts = |name: &str| {
        let model = engine.models().into_iter().find(|model| *model.name == *name).unwrap();
        (model.counts.answered, model.counts.stood_in, model.counts.declined)
    };
    assert_eq!(counts("few"), (1, 0, 1));
    assert_eq!(counts("more"), (1, 1, 1));
    assert_eq!(counts("emb"), (1, 1, 1));
    assert_eq!(counts("popularity"), (1, 1, 0));
}

#[tokio::test]
async fn the_whole_catalogue_can_be_ranked() {
    let catalog = catalog();
    let options = Options { candidates: 5, ..Options::default() };
    let parts = Parts::standard(&catalog, Ok(embeddings(&catalog)), &options)
        .with_model(Model::new("all", "knows", Ok(Arc::new(Knows(MOVIES)))));
    let engine = Engine::new(catalog, parts).unwrap();
    let genre = engine.catalog().genres().find("B").unwrap();
    let all = Request {
        model: Some("all"),
        size: 4,
        candidates: Candidates::All,
        ..Request::new(UserId(40))
    };
    let answer = engine.recommend(&all).await.unwrap();
    assert_eq!((movies(&answer), answer.candidates), (vec![59, 58, 57, 56], 40));
    assert_eq!(found_by(&engine, &answer, 0), [""; 0]);
    let genres = [genre].into_iter().collect();
    let answer = engine.recommend(&Request { genres, ..all }).await.unwrap();
    assert_eq!((movies(&answer), answer.candidates), (vec![57, 54, 51, 48], 13));
}

#[tokio::test]
async fn a_broken_strategy_degrades_the_answer_and_nothing_more() {
    let catalog = catalog();
    let mut parts = Parts::standard(&catalog, Ok(embeddings(&catalog)), &Options::default());
    parts.strategies.insert(0, Strategy { recall: Box::new(Broken), share: 10 });
    let engine = Engine::new(catalog, parts).unwrap();
    let answer = engine.recommend(&Request { size: 3, ..Request::new(UserId(40)) }).await.unwrap();
    assert_eq!((&*answer.model, answer.degraded), ("emb", true));
    assert_eq!(answer.reason, Some(Reason::RecallFailed));
    assert_eq!(movies(&answer)[0], 40);
    assert!(!found_by(&engine, &answer, 0).contains(&"broken".to_owned()));
}

#[tokio::test]
async fn requests_leave_nothing_behind_for_the_next() {
    let engine = engine();
    let request = Request { size: 10, ..Request::new(UserId(40)) };
    let first = engine.recommend(&request).await.unwrap();
    for user in [0, 59, 9999] {
        let all = Request { exclude_seen: false, size: 100, ..Request::new(UserId(user)) };
        engine.recommend(&all).await.unwrap();
    }
    let again = engine.recommend(&request).await.unwrap();
    assert_eq!(first.items, again.items);
}

#[test]
fn similar_movies_by_vector_and_by_genre() {
    let engine = engine();
    let ask = |movie, model, size| {
        engine.similar(&SimilarRequest { movie: MovieIndex(movie), model, size }).unwrap()
    };
    let near = ask(30, None, 2);
    let mut ids: Vec<u32> = near.items.iter().map(|item| item.movie.0).collect();
    ids.sort_unstable();
    assert_eq!((&*near.model, near.reason, ids), ("emb", None, vec![29, 31]));
    assert!((near.items[0].score - 0.05_f32.cos()).abs() < 1e-5);

    // Movie 5 has no vector.
    let stand_in = ask(5, Some("emb"), 2);
    assert_eq!((&*stand_in.requested, &*stand_in.model), ("emb", "genre"));
    assert_eq!(stand_in.reason, Some(Reason::NoMovieEmbedding));

    let alike = ask(6, Some("genre"), 59);
    assert_eq!((alike.items.len(), alike.reason), (59, None));
    let catalog = engine.catalog();
    for item in &alike.items {
        // Movie 6 has both genres.
        let other = catalog.movie(item.movie).genre_set.len();
        let shared = if other == 0 { 0.0 } else { 2.0 * other as f32 / (2 + other) as f32 };
        let expected = 0.7 * shared + 0.3 * catalog.stats(item.movie).bayesian / 5.0;
        assert!((item.score - expected).abs() < 1e-6);
        assert_ne!(item.movie, MovieIndex(6));
    }
    assert!(
        alike
            .items
            .is_sorted_by(|a, b| a.score > b.score || (a.score == b.score && a.movie < b.movie))
    );

    let unknown = SimilarRequest { movie: MovieIndex(6), model: Some("popularity"), size: 2 };
    assert!(matches!(engine.similar(&unknown), Err(Error::UnknownModel { .. })));
}

/// As [`embeddings`], with zero vectors for user 40 and movie 30.
fn engine_with_zeros(similarity: Similarity) -> Engine {
    let catalog = catalog();
    let line = |id: u32, at: u32| {
        let angle = f64::from(at) * 0.05;
        format!("{id}:{} {}\n", angle.cos(), angle.sin())
    };
    let zero = |id: u32| format!("{id}:0 -0\n");
    let items: String =
        (10..MOVIES).map(|m| if m == 30 { zero(m + 100) } else { line(m + 100, m) }).collect();
    let users: String = (20..59).map(|u| if u == 40 { zero(u) } else { line(u, u) }).collect();
    let read = |text: &str| EmbeddingTable::read(text.as_bytes(), "test").unwrap();
    let embeddings = Embeddings::new(&read(&items), read(&users), similarity, &catalog).unwrap();
    let parts = Parts::standard(&catalog, Ok(embeddings), &Options::default());
    Engine::new(catalog, parts).unwrap()
}

#[tokio::test]
async fn zero_vectors_count_as_missing() {
    for similarity in [Similarity::Cosine, Similarity::Dot] {
        let engine = engine_with_zeros(similarity);
        let answer = engine.recommend(&Request::new(UserId(40))).await.unwrap();
        assert_eq!((&*answer.model, answer.degraded), ("popularity", true));
        assert_eq!(answer.reason, Some(Reason::NoUserEmbedding));
        let embedding = engine.strategies().iter().position(|name| &**name == "embedding").unwrap();
        assert!(answer.items.iter().all(|item| !item.recalled_by.contains(embedding)));

        // Movie 30 is ranked, without a score.
        let all = Request { candidates: Candidates::All, size: 60, ..Request::new(UserId(50)) };
        let answer = engine.recommend(&all).await.unwrap();
        assert_eq!((&*answer.model, answer.degraded), ("emb", false));
        let item = answer.items.iter().find(|item| item.movie.0 == 30).unwrap();
        assert_eq!(item.score, None);

        let request = |movie| SimilarRequest { movie: MovieIndex(movie), model: None, size: 59 };
        let similar = engine.similar(&request(30)).unwrap();
        assert_eq!((&*similar.model, similar.reason), ("genre", Some(Reason::NoMovieEmbedding)));
        let similar = engine.similar(&request(31)).unwrap();
        assert_eq!((&*similar.model, similar.items.len()), ("emb", 48));
    }
    // The vector of a user who is in a store.
    let engine = engine_with_zeros(Similarity::Cosine);
    let state = UserState { embedding: Some(&[0.0, 0.0]), ..UserState::unknown(UserId(7)) };
    let answer = engine.recommend_to(&Request::new(UserId(7)), &state, None).await.unwrap();
    assert_eq!((&*answer.model, answer.degraded), ("popularity", true));
    assert_eq!(answer.reason, Some(Reason::NoUserEmbedding));
}

#[test]
fn parts_that_contradict_each_other_are_refused() {
    let catalog = catalog();
    let standard = || Parts::standard(&catalog, Err("none".to_owned()), &Options::default());
    let build = |parts| Engine::new(Arc::clone(&catalog), parts).unwrap_err().to_string();
    let default = Parts { default_model: "emd".to_owned(), ..standard() };
    assert_eq!(build(default), "no model is named \"emd\"");
    let stands_in = |name: &str, fallback: &str| {
        let mut model = Model::new(name, "test", Err("not there".to_owned()));
        model.fallback = Some(fallback.into());
        standard().with_model(model)
    };
    assert_eq!(build(stands_in("new", "pop")), "no model is named \"pop\"");
    let circle = stands_in("popularity", "nerualcf");
    assert_eq!(build(circle), "the fallbacks of the model \"emb\" go in a circle");
    let mut twice = standard();
    twice.models.append(&mut standard().models);
    assert_eq!(build(twice), "two models are named \"emb\"");

    let read = |text: &str| EmbeddingTable::read(text.as_bytes(), "test").unwrap();
    let vectors = |items, users| {
        Embeddings::new(&read(items), read(users), Similarity::Dot, &catalog)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(vectors("100:1 2\n", "1:1\n"), "user vectors have 1 numbers, item vectors 2");
    assert_eq!(
        vectors("9999:1\n", "1:1\n"),
        "none of the 1 item vectors belongs to a movie of the catalogue"
    );
    assert_eq!(
        vectors("100:0\n101:0\n9999:1\n", "1:1\n"),
        "all 2 item vectors of the catalogue's movies are zero"
    );
}
