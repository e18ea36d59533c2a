//! The feature of `docs/extending-feature.md`, so that its code compiles and works.

use sparrow_model::{GenreSet, MovieId, Stars};

use crate::{Bounds, Computation, Definition, RatedMovie, UserWindow, Value, ValueType};

const EXAMPLE: Definition = Definition {
    name: "userLatestReleaseYear",
    value_type: ValueType::Year,
    bounds: Bounds::ReleaseYears,
    sample_column: Some(22),
    computed_by: Computation::User(|user| {
        let year = user.window.latest().and_then(|rated| rated.year);
        Value::Integer(year.unwrap_or(0).into())
    }),
    description: "release year of the movie that was rated last; 0 if unknown",
};

#[test]
fn the_example_is_computed_from_the_window() {
    let Computation::User(compute) = EXAMPLE.computed_by else { panic!("a feature of users") };
    let mut window = UserWindow::default();
    let mut years = Vec::new();
    for year in [None, Some(1990), Some(2004), None] {
        let movie = MovieId(1);
        window.push(RatedMovie { movie, stars: Stars::MIN, year, genres: GenreSet::EMPTY });
        years.push(compute(&window.features()));
    }
    assert_eq!(years, [0, 1990, 2004, 0].map(Value::Integer));
}

#[test]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
fn the_page_contains_the_code_and_the_row_of_the_example() {
    let (_, code) = include_str!("example.rs").split_once("const EXAMPLE: Definition = ").unwrap();
    let (code, _) = code.split_once(";\n\n").unwrap();
    let page = include_str!("../../../docs/extending-feature.md");
    assert!(page.contains(&format!("```rust,ignore\n{code},\n```\n")), "{code}");
    assert!(page.contains(&EXAMPLE.documentation()), "{}", EXAMPLE.documentation());
}
