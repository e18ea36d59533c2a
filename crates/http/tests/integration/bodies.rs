//! Whole answers, compared with those that are kept in `tests/snapshots`. Answers with scores of vectors are not among them:
//! their last digits depend on the processor.

use std::fmt::Write as _;
use std::path::Path;

use sparrow_test_support::assert_snapshot;

use crate::support::{Running, patient};

#[test]
fn answers_are_as_kept() {
    let running = Running::start(patient());
    for (name, target) in [
        ("recommendations", "/v1/users/6/recommendations?size=2&model=popularity"),
        ("recommendations-by-fallback", "/v1/users/40/recommendations?size=1"),
        ("recommendations-for-an-unknown-user", "/v1/users/4000/recommendations?size=1"),
        ("users", "/v1/users?size=2"),
        ("movie", "/v1/movies/4"),
        ("movies", "/v1/movies?size=2&genre=Drama"),
        ("similar", "/v1/movies/4/similar?size=2&model=genre"),
        ("genres", "/v1/genres"),
        ("search", "/v1/search?q=lantern"),
        ("getmovie", "/getmovie?id=4"),
        ("getuser", "/getuser?id=1"),
        ("getrecommendation", "/getrecommendation?genre=Drama&size=2&sortby=rating"),
        ("problem-unknown-movie", "/v1/movies/2"),
        ("problem-size", "/v1/movies?size=0"),
        ("problem-unknown-parameter", "/v1/users/6/recommendations?modle=emb"),
        ("problem-unknown-model", "/v1/users/6/recommendations?model=embb"),
        ("problem-unknown-genre", "/v1/movies?genre=Dramas"),
        ("problem-no-endpoint", "/v1/film"),
    ] {
        let answer = running.get(target);
        let mut text = format!("GET {target}\n{}", answer.status);
        writeln!(text, " {}\n", answer.header("content-type").unwrap()).unwrap();
        text.push_str(&serde_json::to_string_pretty(&answer.json()).unwrap());
        text.push('\n');
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
        assert_snapshot(&folder.join(format!("{name}.txt")), &text);
    }
}
