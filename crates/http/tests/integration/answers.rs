//! Answers to well-formed requests.

use std::sync::Arc;

use serde_json::{Value, json};
use sparrow_engine::Engine;
use sparrow_http::{Snapshot, SnapshotOptions};
use sparrow_test_support::catalogue;

use crate::support::{MOVIES, Running, USERS, hiding, patient};

fn ids(items: &Value, path: &[&str]) -> Vec<u64> {
    let id =
        |item: &Value| path.iter().fold(item, |at, key| &at[*key])["movieId"].as_u64().unwrap();
    items.as_array().unwrap().iter().map(id).collect()
}

#[test]
fn sparrowrecsys_movie_has_its_fields_and_types() {
    let running = Running::start(patient());
    // Without ratings, year and TMDB id.
    assert_eq!(
        running.get("/getmovie?id=3478").text(),
        "{\"movieId\":3478,\"title\":\"Invented Number 1159\",\"releaseYear\":1979,\
         \"imdbId\":\"0101159\",\"tmdbId\":null,\"genres\":[\"Über & Out\",\"Comedy\",\"Drama\"],\
         \"ratingNumber\":0,\"averageRating\":0.0,\"topRatings\":[]}"
    );
    let lantern = running.json("/getmovie?id=1");
    assert_eq!(lantern["title"], "Lantern, The");
    assert_eq!(lantern["imdbId"], "0100000");
    assert_eq!(lantern["topRatings"].as_array().unwrap().len(), 10);
    let text = running.get("/getmovie?id=1").body;
    let text = std::str::from_utf8(&text).unwrap();
    let first = "\"topRatings\":[{\"rating\":{\"movieId\":1,\"userId\":39,\"score\":5.0,\
                 \"timestamp\":900039000}},";
    assert!(text.contains(first), "{text}");
    // A missing year is 0.
    assert_eq!(running.json("/getmovie?id=10")["releaseYear"], 0);
}

#[test]
fn sparrowrecsys_user_has_its_fields_and_types() {
    let running = Running::start(patient());
    let text = running.get("/getuser?id=1");
    let beginning = "{\"userId\":1,\"averageRating\":2.6666666666666665,\"highestRating\":5.0,\
                     \"lowestRating\":0.5,\"ratingCount\":21,\"ratings\":[{\"rating\":{\"movieId\":1,\
                     \"userId\":1,\"score\":1.0,\"timestamp\":900001000}},{\"rating\":{";
    assert!(text.text().starts_with(beginning), "{}", text.text());
    let user = text.json();
    let ratings = user["ratings"].as_array().unwrap();
    assert_eq!(ratings.len(), 21);
    assert!(ratings.is_sorted_by_key(|rated| rated["rating"]["timestamp"].as_u64().unwrap()));
}

#[test]
fn sparrowrecsys_recommendations_are_unseen_movies_with_model_headers() {
    let running = Running::start(patient());
    let answer = running.get("/getrecforyou?id=6&size=50&model=emb");
    assert_eq!(answer.header("x-sparrow-model"), Some("emb"));
    assert_eq!(answer.header("x-sparrow-degraded"), Some("false"));
    let movies = answer.json();
    assert_eq!(movies.as_array().unwrap().len(), 50);
    let seen: Vec<u64> = running.json("/getuser?id=6")["ratings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rated| rated["rating"]["movieId"].as_u64().unwrap())
        .collect();
    assert!(ids(&movies, &[]).iter().all(|id| !seen.contains(id)));
    // Each item equals the answer of the movie's own endpoint.
    let first = &movies[0];
    assert_eq!(first, &running.json(&format!("/getmovie?id={}", first["movieId"])));
    assert_eq!(running.json("/getrecforyou?id=6").as_array().unwrap().len(), 32);
}

#[test]
fn answer_of_a_fallback_is_marked_as_degraded() {
    let running = Running::start(patient());
    for (request, model, degraded) in [
        ("id=6&model=nerualcf", "emb", "true"),
        ("id=6&model=popularity", "popularity", "false"),
        // User 35 has no vector, user 999 does not exist.
        ("id=35", "popularity", "true"),
        ("id=999", "popularity", "true"),
    ] {
        let answer = running.get(&format!("/getrecforyou?{request}"));
        assert_eq!(answer.status, 200, "{request}");
        assert_eq!(answer.header("x-sparrow-model"), Some(model), "{request}");
        assert_eq!(answer.header("x-sparrow-degraded"), Some(degraded), "{request}");
        assert_eq!(answer.json().as_array().unwrap().len(), 32, "{request}");
    }
    let unknown = running.json("/v1/users/999/recommendations?size=3");
    assert_eq!(unknown["model"], "popularity");
    assert_eq!(unknown["degraded"], true);
    assert_eq!(unknown["requestedModel"], "emb");
    assert_eq!(unknown["reason"], "unknown-user");
    let missing = running.json("/v1/users/6/recommendations?size=3&model=nerualcf");
    assert_eq!(missing["requestedModel"], "neuralcf");
    assert_eq!(missing["reason"], "model-unavailable");
}

#[test]
fn excluded_movies_do_not_shorten_lists() {
    let running = Running::start(patient());
    for (list, path) in [
        ("/v1/users/6/recommendations?size=40", &["movie"][..]),
        ("/v1/users/6/recommendations?size=40&candidates=all", &["movie"]),
        ("/v1/users/999/recommendations?size=40", &["movie"]),
        ("/v1/movies/1/similar?size=40", &["movie"]),
        ("/v1/movies/1/similar?size=40&model=genre", &["movie"]),
        ("/v1/movies?size=40", &[]),
    ] {
        let all = ids(&running.json(list)["items"], path);
        let first: Vec<String> = all[..5].iter().map(u64::to_string).collect();
        let exclude = first.join(",");
        let rest =
            ids(&running.json(&format!("{list}&exclude={exclude}&exclude=4,2"))["items"], path);
        assert_eq!(rest.len(), 40, "{list}");
        assert!(rest.iter().all(|id| !all[..5].contains(id) && *id != 4), "{list}");
        let target =
            format!("{list}&exclude_genres=Drama,Sci-Fi&exclude_genres=Comedy&min_year=1990");
        let items = running.json(&target)["items"].clone();
        assert_eq!(items.as_array().unwrap().len(), 40, "{list}");
        for item in items.as_array().unwrap() {
            let movie = path.iter().fold(item, |at, key| &at[*key]);
            assert!(movie["releaseYear"].as_u64().unwrap() >= 1990, "{movie}");
            let genres = movie["genres"].as_array().unwrap();
            assert!(genres.iter().all(|g| g == "Film-Noir" || g == "Über & Out"), "{movie}");
        }
    }
    let total = running.json("/v1/movies?min_year=2010&size=1")["total"].as_u64().unwrap();
    assert!(total > 0 && total < 120, "{total}");
    for (parameter, value) in
        [("exclude", "1,x"), ("exclude_genres", "Dramma"), ("min_year", "10000")]
    {
        let answer = running.get(&format!("/v1/users/6/recommendations?{parameter}={value}"));
        assert_eq!(answer.status, 400);
        assert_eq!(answer.problem()["parameter"], parameter);
        if parameter == "exclude_genres" {
            assert_eq!(answer.problem()["nearest"], "Drama");
        }
    }
}

#[test]
fn hidden_movies_do_not_exist_for_clients() {
    let running = Running::with_snapshot(patient(), hiding(&[1, 2, 4]));
    for target in [
        "/v1/movies/1",
        "/v1/movies/1/similar",
        "/v1/movies/1/features",
        "/getmovie?id=1",
        "/getsimilarmovie?movieId=1",
        "/movies/1",
    ] {
        assert_eq!(running.get(target).status, 404, "{target}");
    }
    assert_eq!(running.json("/v1/movies?size=1")["total"], MOVIES - 2);
    assert_eq!(running.json("/v1/search?q=lantern")["total"], 0);
    for target in ["/v1/users/6/recommendations?size=1000", "/v1/movies/7/similar?size=1000"] {
        let found = ids(&running.json(target)["items"], &["movie"]);
        assert!(found.len() > 900 && !found.contains(&1) && !found.contains(&4), "{target}");
    }
    let movies = running.json("/getrecommendation?genre=Drama&size=1000");
    assert!(!ids(&movies, &[]).contains(&4));
}

fn rows(home: &Value) -> Vec<(String, Vec<u64>)> {
    let rows = home["rows"].as_array().unwrap().iter();
    rows.map(|row| (row["kind"].as_str().unwrap().to_owned(), ids(&row["items"], &["movie"])))
        .collect()
}

#[test]
fn home_of_a_user_has_personal_rows_without_repetition() {
    let running = Running::start(patient());
    let home = running.json("/v1/users/6/home?size=12");
    assert_eq!(home["userId"], 6);
    let rows = rows(&home);
    let kinds: Vec<&str> = rows.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds[..3], ["recommended", "because-you-liked", "genre"]);
    for kind in ["popular-now", "new-for-you"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    let first = running.json("/v1/users/6/recommendations?size=12");
    assert_eq!(rows[0].1, ids(&first["items"], &["movie"]));
    let mut all: Vec<u64> = rows.iter().flat_map(|(_, movies)| movies).copied().collect();
    let user = running.json("/v1/users/6?size=1000");
    let seen = ids(&user["ratings"]["items"], &["movie"]);
    assert!(all.iter().all(|movie| !seen.contains(movie)));
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), count), (count, 12 * rows.len()));
    for row in home["rows"].as_array().unwrap() {
        match row["kind"].as_str().unwrap() {
            "genre" => {
                let movies = row["items"].as_array().unwrap();
                let has = |item: &Value| {
                    item["movie"]["genres"].as_array().unwrap().contains(&row["genre"])
                };
                assert!(movies.iter().all(has));
                assert_eq!((&row["model"], &row["title"]), (&json!("emb"), &row["genre"]));
            }
            "because-you-liked" => {
                let because = row["because"]["movieId"].as_u64().unwrap();
                assert!(seen.contains(&because));
                let title =
                    format!("Because you liked {}", row["because"]["title"].as_str().unwrap());
                assert_eq!(row["title"], title);
            }
            "popular-now" => assert!(row.get("model").is_none()),
            _ => assert_eq!(row["degraded"], false),
        }
    }
    assert_eq!(running.get("/v1/users/6/home").header("cache-control"), Some("no-store"));

    let unknown = running.json("/v1/users/999/home");
    assert_eq!(unknown["rows"][0]["reason"], "unknown-user");
    assert_eq!(running.get("/v1/users/6/home?model=embb").problem()["nearest"], "emb");
    let by_popularity = running.json("/v1/users/6/home?model=popularity&size=3");
    assert_eq!(by_popularity["rows"][0]["model"], "popularity");
}

#[test]
fn home_without_a_user_has_public_rows() {
    let running = Running::start(patient());
    let home = running.json("/v1/home?size=10");
    let rows = rows(&home);
    assert_eq!((rows[0].0.as_str(), rows[1].0.as_str()), ("popular-now", "best-rated"));
    let mut all: Vec<u64> = rows.iter().flat_map(|(_, movies)| movies).copied().collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), count), (count, 10 * rows.len()));
    assert!(rows.len() >= 6);
}

#[test]
fn diversity_changes_the_order_within_the_best() {
    let running = Running::start(patient());
    let list = |query: &str| {
        ids(&running.json(&format!("/v1/users/6/recommendations?{query}"))["items"], &["movie"])
    };
    let best = list("size=40");
    assert_eq!(list("size=10&diversity=0"), best[..10]);
    let diverse = list("size=10&diversity=0.6");
    assert!(diverse.iter().all(|movie| best.contains(movie)));
    assert_ne!(diverse, best[..10]);
    assert_eq!(list("size=200&diversity=1").len(), 200);
    let answer = running.get("/v1/users/6/recommendations?diversity=1.5");
    assert_eq!((answer.status, &answer.problem()["parameter"]), (400, &json!("diversity")));
}

#[test]
fn explain_adds_scores_strategies_and_times() {
    let running = Running::start(patient());
    let plain = running.json("/v1/users/6/recommendations?size=5");
    let keys: Vec<&String> = plain.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["degraded", "items", "model", "userId"]);
    assert_eq!(plain["items"][0].as_object().unwrap().len(), 1);

    let explained = running.json("/v1/users/6/recommendations?size=5&explain=true");
    assert_eq!(ids(&explained["items"], &["movie"]), ids(&plain["items"], &["movie"]));
    assert_eq!(explained["candidates"], 200);
    for item in explained["items"].as_array().unwrap() {
        assert!(item["score"].as_f64().is_some_and(|score| (-1.01..=1.01).contains(&score)));
        assert!(!item["recalledBy"].as_array().unwrap().is_empty());
    }
    let scores: Vec<f64> = explained["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["score"].as_f64().unwrap())
        .collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    for time in ["recallMicros", "rankMicros", "totalMicros"] {
        assert!(explained["timings"][time].is_u64(), "{time}");
    }
}

#[test]
fn recommendations_can_be_limited_to_genres_and_include_seen_movies() {
    let running = Running::start(patient());
    let target = "/v1/users/6/recommendations?genres=Film-Noir,%C3%9Cber+%26+Out&size=40";
    for item in running.json(target)["items"].as_array().unwrap() {
        let genres = &item["movie"]["genres"];
        let fits = |name| genres.as_array().unwrap().contains(&json!(name));
        assert!(fits("Film-Noir") || fits("Über & Out"), "{genres}");
    }
    let all = format!("size={MOVIES}").replace("1200", "1000");
    let unseen = running.json(&format!("/v1/users/1/recommendations?{all}"));
    let everything = running.json(&format!("/v1/users/1/recommendations?{all}&exclude_seen=false"));
    let seen = running.json("/getuser?id=1")["ratings"][0]["rating"]["movieId"].as_u64().unwrap();
    assert_eq!(ids(&unseen["items"], &["movie"]).len(), 1000);
    assert!(!ids(&unseen["items"], &["movie"]).contains(&seen));
    assert!(ids(&everything["items"], &["movie"]).contains(&seen));
}

#[test]
fn similar_movies_exclude_the_movie_and_fall_back_to_genres() {
    let running = Running::start(patient());
    let near = running.json("/v1/movies/1/similar?size=7");
    assert_eq!(
        (&near["movieId"], &near["model"], &near["degraded"]),
        (&json!(1), &json!("emb"), &json!(false))
    );
    assert_eq!(near["items"].as_array().unwrap().len(), 7);
    assert!(!ids(&near["items"], &["movie"]).contains(&1));
    let original = running.get("/getsimilarmovie?movieId=1&size=7&model=emb");
    assert_eq!(original.header("x-sparrow-model"), Some("emb"));
    assert_eq!(ids(&original.json(), &[]), ids(&near["items"], &["movie"]));

    // The last fifty movies have no vector.
    let last = 3 * (MOVIES - 1) + 1;
    let fallen = running.json(&format!("/v1/movies/{last}/similar"));
    assert_eq!((&fallen["model"], &fallen["degraded"]), (&json!("genre"), &json!(true)));
    assert_eq!(fallen["reason"], "no-movie-embedding");
    assert_eq!(running.json("/v1/movies/1/similar?model=genre")["degraded"], false);
}

#[test]
fn movie_lists_are_ordered_and_paged() {
    let running = Running::start(patient());
    let all = running.json("/v1/movies?size=1000");
    assert_eq!(
        (&all["total"], &all["size"], &all["offset"]),
        (&json!(MOVIES), &json!(1000), &json!(0))
    );
    let rest = running.json("/v1/movies?size=1000&offset=1000");
    assert_eq!(rest["items"].as_array().unwrap().len(), 200);
    let beyond = running.json("/v1/movies?offset=4294967295");
    assert_eq!(beyond["items"], json!([]));
    let rating = |movie: &Value| movie["bayesianRating"].as_f64().unwrap();
    assert!(all["items"].as_array().unwrap().is_sorted_by(|a, b| rating(a) >= rating(b)));
    let page = running.json("/v1/movies?size=3&offset=500");
    assert_eq!(page["items"][2], all["items"][502]);

    let newest = running.json("/v1/movies?sort=releaseYear&genre=Sci-Fi&size=1000");
    let years: Vec<u64> = newest["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|movie| movie["releaseYear"].as_u64().unwrap_or(0))
        .collect();
    assert!(years.is_sorted_by(|a, b| a >= b) && years.last() == Some(&0), "{years:?}");
    let original = running.json("/getrecommendation?genre=Sci-Fi&size=10&sortby=releaseYear");
    assert_eq!(ids(&original, &[]), ids(&newest["items"], &[])[..10]);
    let popular = running.json("/v1/movies?sort=popularity&size=2");
    assert!(
        popular["items"][0]["ratingNumber"].as_u64()
            >= popular["items"][1]["ratingNumber"].as_u64()
    );

    let genres = running.json("/v1/genres");
    let names: Vec<&str> =
        genres["items"].as_array().unwrap().iter().map(|g| g["genre"].as_str().unwrap()).collect();
    assert_eq!(names, ["Comedy", "Drama", "Film-Noir", "Sci-Fi", "Über & Out"]);
    assert_eq!(genres["items"][3]["movies"], newest["total"]);
}

#[test]
fn users_are_listed_and_their_ratings_are_newest_first() {
    let running = Running::start(patient());
    let users = running.json("/v1/users?size=2");
    assert_eq!(users["total"], USERS);
    assert_eq!(users["items"][0], json!({"userId":1,"ratingCount":21,"averageRating":56.0 / 21.0}));
    let active = running.json("/v1/users?size=40&sort=ratingCount");
    let counts: Vec<u64> = active["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| u["ratingCount"].as_u64().unwrap())
        .collect();
    assert!(counts.is_sorted_by(|a, b| a >= b) && counts[0] > counts[39], "{counts:?}");

    let user = running.json("/v1/users/1?size=4&offset=1");
    let oldest_first = running.json("/getuser?id=1");
    for (field, original) in [
        ("averageRating", "averageRating"),
        ("highestRating", "highestRating"),
        ("ratingCount", "ratingCount"),
    ] {
        assert_eq!(user[field], oldest_first[original]);
    }
    let page = &user["ratings"];
    assert_eq!(
        (&page["total"], &page["offset"], &page["size"]),
        (&json!(21), &json!(1), &json!(4))
    );
    let times: Vec<u64> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["timestamp"].as_u64().unwrap())
        .collect();
    assert_eq!(times, [900_001_019, 900_001_018, 900_001_017, 900_001_016]);
    let user = running.json("/v1/users/2");
    let liked: Vec<u64> = user["favouriteGenres"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["liked"].as_u64().unwrap())
        .collect();
    assert!(liked.is_sorted_by(|a, b| a >= b) && !liked.is_empty());
}

#[test]
fn movie_has_its_best_ratings() {
    let running = Running::start(patient());
    let movie = running.json("/v1/movies/1");
    assert_eq!(movie["topRatings"][0], json!({"score":5.0,"timestamp":900_039_000}));
    assert_eq!(movie["topRatings"].as_array().unwrap().len(), 10);
    assert!(movie["bayesianRating"].is_f64());
    assert_eq!(running.json("/v1/movies/10")["releaseYear"], Value::Null);
}

#[test]
fn search_returns_titles_unchanged() {
    let running = Running::start(patient());
    let found = running.json("/v1/search?q=ZOE+backslash");
    assert_eq!(found["query"], "ZOE backslash");
    assert_eq!(found["total"], 1);
    assert_eq!(found["items"][0]["title"], "Zoë & the \\ Backslash");
    let markup = running.json("/v1/search?q=%3Cscript%3E");
    assert_eq!(markup["items"][0]["title"], "<script>alert(\"1\")</script>");
    assert_eq!(running.json("/v1/search?q=invented&size=3")["items"].as_array().unwrap().len(), 3);
    assert_eq!(running.json("/v1/search?q=nothing%20like%20it")["items"], json!([]));
    assert_eq!(running.json("/v1/search?q=lantrn")["items"][0]["title"], "Lantern, The");
}

#[test]
fn search_results_are_paged() {
    let running = Running::start(patient());
    let whole = running.json("/v1/search?q=invented&size=1000");
    let all = ids(&whole["items"], &[]);
    assert_eq!(
        (&whole["total"], &whole["offset"], &whole["size"]),
        (&json!(1197), &json!(0), &json!(1000))
    );
    let page = running.json("/v1/search?q=invented&size=42&offset=126");
    assert_eq!(
        (&page["total"], &page["offset"], &page["size"]),
        (&json!(1197), &json!(126), &json!(42))
    );
    assert_eq!(ids(&page["items"], &[]), all[126..168]);
    let last = running.json("/v1/search?q=invented&offset=1190");
    assert_eq!(last["items"].as_array().unwrap().len(), 7);
    let beyond = running.json("/v1/search?q=invented&offset=4294967295");
    assert_eq!((&beyond["total"], &beyond["items"]), (&json!(1197), &json!([])));
}

#[test]
fn genres_can_be_repeated_or_comma_separated() {
    let running = Running::start(patient());
    let base = "/v1/users/6/recommendations?size=40";
    let list = running.json(&format!("{base}&genres=Film-Noir,Sci-Fi"));
    for same in ["genres=Film-Noir&genres=Sci-Fi", "genres=Sci-Fi&genres=Film-Noir,Sci-Fi"] {
        assert_eq!(running.json(&format!("{base}&{same}")), list);
    }
}

#[test]
fn genre_names_may_contain_commas() {
    let genres = [(1, "Drama"), (2, "Song, Dance"), (3, "War")];
    let movies = genres.map(|(id, genre)| catalogue::movie(id, None, [genre]));
    let catalog = Arc::new(catalogue::unrated(movies));
    let engine = Arc::new(Engine::builder(catalog).standard(None).build().unwrap());
    let snapshot = Snapshot::new(engine, SnapshotOptions::default());
    let running = Running::with_snapshot(patient(), Arc::new(snapshot));
    for (genres, expected) in [
        ("genres=Song,+Dance", vec![2]),
        ("genres=Song%2C%20Dance&genres=War", vec![2, 3]),
        ("genres=War,Drama&genres=Song,+Dance", vec![1, 2, 3]),
    ] {
        let found = running.json(&format!("/v1/users/1/recommendations?{genres}"));
        let mut found = ids(&found["items"], &["movie"]);
        found.sort_unstable();
        assert_eq!(found, expected, "{genres}");
    }
    assert_eq!(running.get("/v1/users/1/recommendations?genres=Drama,Song,+Dance").status, 400);
    assert_eq!(ids(&running.json("/v1/movies?genre=Song,+Dance")["items"], &[]), [2]);
}

#[test]
fn models_are_described() {
    let running = Running::start(patient());
    let models = running.json("/v1/models");
    assert_eq!((&models["default"], &models["defaultReason"]), (&json!("emb"), &json!(null)));
    assert_eq!(models["posters"], false);
    assert_eq!(models["similar"], json!(["emb", "genre"]));
    let emb = json!({
        "name": "emb", "kind": "embedding", "available": true, "state": "ready", "reason": null,
        "version": null, "since": null, "dimension": 3, "fallback": "popularity",
        "requests": {"answered": 0, "stoodIn": 0, "declined": 0, "failed": 0}, "latency": null,
    });
    assert_eq!(models["items"][0], emb);
    let neuralcf = &models["items"][2];
    assert_eq!(
        (&neuralcf["name"], &neuralcf["state"]),
        (&json!("neuralcf"), &json!("unavailable"))
    );
    assert_eq!((&neuralcf["available"], &neuralcf["fallback"]), (&json!(false), &json!("emb")));
    assert!(neuralcf["reason"].is_string());

    for model in ["neuralcf", "emb", "emb"] {
        running.json(&format!("/v1/users/6/recommendations?model={model}"));
    }
    let models = running.json("/v1/models");
    let requests = |at: usize| &models["items"][at]["requests"];
    assert_eq!(requests(0), &json!({"answered": 3, "stoodIn": 1, "declined": 0, "failed": 0}));
    assert_eq!(requests(2), &json!({"answered": 0, "stoodIn": 0, "declined": 0, "failed": 1}));
    let latency = |percentile: &str| models["items"][0]["latency"][percentile].as_u64().unwrap();
    assert!(latency("p50Micros") <= latency("p90Micros"));
    assert!(latency("p90Micros") <= latency("p99Micros"));
}

#[test]
fn candidates_all_ranks_the_whole_catalogue() {
    let running = Running::start(patient());
    let target = "/v1/users/6/recommendations?explain=true&model=popularity&exclude_seen=false";
    let recalled = running.json(target);
    let all = running.json(&format!("{target}&candidates=all"));
    assert_eq!(recalled["candidates"], 800);
    assert!(all["candidates"].as_u64().unwrap() > 800);
    assert_eq!(ids(&all["items"], &["movie"]), ids(&recalled["items"], &["movie"]));
    assert_eq!(all["items"][0]["recalledBy"], json!([]));
    let original = "/getrecforyou?id=6&model=popularity";
    assert_eq!(running.json(&format!("{original}&candidates=all")), running.json(original));
}

#[test]
fn openapi_contains_the_names_of_models_and_genres() {
    let running = Running::start(patient());
    let document = running.json("/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    let schema = |path: &str, name: &str| {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        parameters.iter().find(|parameter| parameter["name"] == name).unwrap()["schema"].clone()
    };
    let genres = json!(["Comedy", "Drama", "Film-Noir", "Sci-Fi", "Über & Out"]);
    let mut or_none = genres.clone();
    or_none.as_array_mut().unwrap().push(json!("(no genres listed)"));
    assert_eq!(schema("/v1/movies", "genre")["enum"], or_none);
    assert_eq!(schema("/getrecommendation", "genre")["enum"], or_none);
    let recommendations = "/v1/users/{id}/recommendations";
    assert_eq!(schema(recommendations, "genres")["items"]["enum"], genres);
    let models = json!(["emb", "popularity", "neuralcf"]);
    assert_eq!(schema(recommendations, "model")["enum"], models);
    let similar = schema("/v1/movies/{id}/similar", "model");
    assert_eq!(similar["enum"], running.json("/v1/models")["similar"]);
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let running = Running::start(patient());
    // The problem comes first: it contains the request id, whose number then has one digit.
    let targets = [
        "/v1/movies/x",
        "/getrecforyou?id=6",
        "/v1/movies",
        "/",
        "/assets/site.css",
        "/openapi.json",
    ];
    let mut client = running.connect();
    for target in targets {
        let mut get = client.get(target);
        client.write(format!("HEAD {target} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        let mut head = client.head();
        // Every answer has its own.
        for varying in ["date", "x-request-id", "x-sparrow-recommendation-id"] {
            get.headers.remove(varying);
            head.headers.remove(varying);
        }
        assert_eq!((get.status, &get.headers), (head.status, &head.headers), "{target}");
        assert!(!get.body.is_empty());
    }
    // A body after the head would be read as this answer.
    assert_eq!(client.get("/healthz").text(), "{\"status\":\"ok\"}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let running = Running::start(patient());
    let mut client = running.connect();
    let targets =
        ["/healthz", "/getmovie?id=1", "/nothing", "/v1/movies?size=1000", "/getmovie?id=4"];
    let requests =
        targets.map(|target| format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")).concat();
    client.write(requests.as_bytes());
    let answers = targets.map(|_| client.answer());
    assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 200, 404, 200, 200]);
    assert_eq!(answers[4].json()["movieId"], 4);
}

#[test]
fn http_1_0_request_is_answered_and_the_connection_closed() {
    let running = Running::start(patient());
    let mut client = running.connect();
    client.write(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.rest(), b"");
}

#[test]
fn requests_before_the_first_snapshot_get_503() {
    let running = Running::unpublished(patient());
    assert_eq!(running.get("/healthz").text(), "{\"status\":\"ok\"}");
    for target in ["/readyz", "/getrecforyou?id=1", "/", "/v1/models"] {
        let answer = running.get(target);
        assert_eq!(answer.status, 503, "{target}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{target}");
        assert_eq!(answer.problem()["type"], "/problems/unavailable");
    }
    // An open connection uses the snapshot, too.
    let mut client = running.connect();
    assert_eq!(client.get("/readyz").status, 503);
    running.server.publish(crate::support::snapshot(sparrow_http::SnapshotOptions::default()));
    assert_eq!(client.get("/readyz").text(), "{\"status\":\"ready\"}");
    assert_eq!(client.get("/getrecforyou?id=1").status, 200);
}
