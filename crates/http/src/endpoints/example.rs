//! `/v1/years`.

use std::collections::BTreeMap;

use sparrow_model::MovieIndex;

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Group};
use crate::parameters::definition::{Kind, Parameter};
use crate::response::problem::Problem;
use crate::response::reply::Reply;
use crate::response::schema::{COUNT, Schema, json_type};

pub(crate) static LIST: Endpoint<[Parameter; 1]> = Endpoint::v1(
    Group::Movies,
    "/v1/years",
    "listYears",
    [Parameter::new(
        "since",
        Kind::Number { least: 0, most: 9999, default: 0 },
        "The first year of the list.",
    )],
    Answer::Json(Schema::Named(&Years::TYPE)),
    "Lists release years.",
);

json_type! {
    pub(crate) struct Years as "YearList" {
        /// In ascending order.
        items / "items": Vec<Year> = Schema::List(&Schema::Object(&Year::TYPE)),
    }
}

json_type! {
    pub(crate) struct Year as "Year" {
        year / "year": u16 = COUNT,
        movies / "movies": u32 = COUNT,
    }
}

pub(crate) fn list(call: &Call<'_>) -> Result<Reply, Problem> {
    let catalog = call.snapshot()?.catalog();
    let [since] = LIST.arguments(call)?;
    let since = since.number()?;
    let mut years = BTreeMap::new();
    for movie in (0..catalog.len() as u32).map(MovieIndex) {
        if let Some(year) = catalog.movie(movie).year.filter(|&year| usize::from(year) >= since) {
            *years.entry(year).or_default() += 1;
        }
    }
    let items = years.into_iter().map(|(year, movies)| Year { year, movies }).collect();
    Ok(Reply::serialized(&Years { items }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::Arc;

    use hyper::header::HeaderMap;
    use sparrow_engine::Engine;
    use sparrow_test_support::catalogue;

    use super::*;
    use crate::response::audience::Audience;
    use crate::response::problem::Kind as ProblemKind;
    use crate::state::options::Options;
    use crate::state::shared::Shared;
    use crate::state::snapshot::{Snapshot, SnapshotOptions};

    fn snapshot() -> Snapshot {
        let year = |id: u32| (id > 1).then_some(1990 + id as u16 / 2);
        let movies = (1..6).map(|id| catalogue::movie(id, year(id), catalogue::NO_GENRES));
        let catalog = Arc::new(catalogue::unrated(movies));
        let engine = Arc::new(Engine::builder(catalog).standard(None).build().unwrap());
        Snapshot::new(engine, SnapshotOptions::default())
    }

    #[test]
    fn years_are_counted() {
        let (shared, snapshot) = (Shared::new(Options::default()), snapshot());
        let list = |query| {
            list(&Call {
                shared: &shared,
                snapshot: Some(&snapshot),
                variables: [""; 2],
                query: Some(query),
                headers: &HeaderMap::new(),
                body: &[],
                audience: Audience::Public,
                access: None,
            })
        };
        let (all, late) = (list("").unwrap(), list("since=1992").unwrap());
        let two = r#"{"year":1991,"movies":2},{"year":1992,"movies":2}"#;
        assert_eq!(all.body(), format!(r#"{{"items":[{two}]}}"#).as_bytes());
        assert_eq!(late.body(), br#"{"items":[{"year":1992,"movies":2}]}"#);
        assert_eq!(list("since=x").unwrap_err().kind(), ProblemKind::InvalidParameter);
        assert_eq!(list("until=1").unwrap_err().kind(), ProblemKind::UnknownParameter);
    }

    #[test]
    fn the_guide_contains_this_endpoint() {
        let (file, _) = include_str!("example.rs").split_once("\n#[cfg(test)]").unwrap();
        let guide = include_str!("../../../../docs/extending-endpoint.md");
        assert!(guide.contains(&format!("```rust\n{file}```")), "docs differ from example.rs");
    }
}
