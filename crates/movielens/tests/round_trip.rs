//! The reader reads the output of the writers unchanged.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use sparrow_model::{MovieId, Stars, UserId, split_year};
use sparrow_movielens::write::{LinksWriter, MoviesWriter, RatingsWriter};
use sparrow_movielens::{Options, Source};

#[derive(Debug, Clone)]
struct Movie {
    title: String,
    genres: BTreeSet<String>,
    /// IMDb and TMDB ids, if the movie is in `links.csv`.
    links: Option<(Option<String>, Option<String>)>,
}

fn movie() -> impl Strategy<Value = Movie> {
    // Non-blank titles with characters that are special in CSV or in the detection of years.
    let title = "[a-z(),\"'é\r\n| 0-9]{0,12}[a-z][a-z(),\"'é\r\n| 0-9]{0,12}( \\([0-9]{4}\\) ?)?";
    let genre = select(vec!["Drama", "Sci-Fi", "Sea, Sky", "The \"New\" Wave", "Ø"]);
    let links = option::of((option::of("[0-9]{1,8}"), option::of("[1-9][0-9]{0,6}")));
    // The reader rejects a title line that starts like a record, since a quote may be missing.
    let title = title.prop_filter("a line of it begins with an id", |title: &String| {
        title.split('\n').skip(1).all(|line| {
            let id = line.split(',').next().unwrap_or_default().trim_matches('"');
            id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit())
        })
    });
    (title, btree_set(genre.prop_map(str::to_owned), 0..4), links)
        .prop_map(|(title, genres, links)| Movie { title, genres, links })
}

fn leak(content: Vec<u8>) -> &'static [u8] {
    content.leak()
}

proptest! {
    #[test]
    fn written_data_set_is_read_unchanged(
        movies in btree_map(1..=u32::MAX, movie(), 1..20),
        ratings in vec((1..5_u32, any::<prop::sample::Index>(), 1..=10_u8, any::<u32>()), 0..60),
    ) {
        let mut movies_csv = MoviesWriter::new(Vec::new())?;
        let mut links_csv = LinksWriter::new(Vec::new())?;
        // The file order differs from the id order.
        for (&id, movie) in movies.iter().rev() {
            let genres = movie.genres.iter().map(String::as_str);
            movies_csv.write(MovieId(id), &movie.title, genres)?;
            if let Some((imdb, tmdb)) = &movie.links {
                links_csv.write(MovieId(id), imdb.as_deref(), tmdb.as_deref())?;
            }
        }
        let ids: Vec<u32> = movies.keys().copied().collect();
        let mut ratings_csv = RatingsWriter::new(Vec::new())?;
        let mut last = BTreeMap::new();
        for (user, movie, half_stars, timestamp) in &ratings {
            let id = *movie.get(&ids);
            let stars = Stars::from_half_stars(*half_stars).expect("it is within the grid");
            ratings_csv.write(UserId(*user), MovieId(id), stars, *timestamp)?;
            let kept = last.entry((*user, id)).or_insert((*timestamp, stars));
            if *timestamp >= kept.0 {
                *kept = (*timestamp, stars);
            }
        }
        let files = [
            ("movies.csv", leak(movies_csv.finish()?)),
            ("ratings.csv", leak(ratings_csv.finish()?)),
            ("links.csv", leak(links_csv.finish()?)),
        ];
        let source = Source::in_memory("written", &files).expect("the files are there");
        let loaded = source.load(&Options::default()).expect("it is well-formed");

        let catalog = &loaded.catalog;
        prop_assert_eq!(catalog.len(), movies.len());
        for (read, (&id, movie)) in catalog.movies().iter().zip(&movies) {
            let (title, year) = split_year(&movie.title);
            prop_assert_eq!((read.id.0, &*read.title, read.year), (id, title, year));
            let genres: Vec<&str> =
                read.genres.iter().map(|&genre| catalog.genres().name(genre)).collect();
            prop_assert!(genres.iter().eq(&movie.genres), "{:?}", genres);
            let links = movie.links.clone().unwrap_or_default();
            prop_assert_eq!((read.imdb_id.as_deref(), read.tmdb_id.as_deref()),
                (links.0.as_deref(), links.1.as_deref()));
        }
        let mut read = BTreeMap::new();
        for history in catalog.users().iter() {
            for rated in history.iter() {
                let pair = (history.user().0, catalog.movie(rated.movie).id.0);
                read.insert(pair, (rated.timestamp, rated.stars));
            }
        }
        prop_assert_eq!(loaded.report.duplicates, ratings.len() - last.len());
        prop_assert_eq!(loaded.report.ratings, last.len());
        prop_assert_eq!(read, last);
    }
}
