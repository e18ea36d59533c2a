//! The entries that the loader pushes, from a data set in memory.

use sparrow_features::{MOVIE_FIELDS, MovieFeatures, RatingStats, USER_FIELDS, UserWindow};
use sparrow_model::{Catalog, History, MovieId, MovieIndex, UserId};
use sparrow_neural::EmbeddingTable;
use sparrow_store::{Entry, Fields, MovieRatings, StoredRating, UserList};

/// All entries of a catalogue and its vectors.
pub(crate) fn entries(
    catalog: &Catalog,
    items: &EmbeddingTable,
    users: &EmbeddingTable,
) -> Vec<Entry> {
    let mut entries = contract_entries(catalog, items, users);
    let mut list = UserList::default();
    for history in catalog.users().iter() {
        list.most_active.push((history.user(), history.len() as u32, history.half_stars() as u32));
        entries.push(Entry::UserRatings(history.user(), stored(&history, catalog)));
    }
    list.total = list.most_active.len() as u32;
    list.most_active.sort_by_key(|&(id, count, _)| (std::cmp::Reverse(count), id));
    entries.push(Entry::UserList(list));
    for movie in (0..catalog.len() as u32).map(MovieIndex) {
        let stats = catalog.stats(movie);
        if stats.count > 0 {
            let ratings = MovieRatings {
                count: stats.count,
                half_stars: stats.half_stars(),
                top: catalog.top_ratings(movie).to_vec(),
            };
            entries.push(Entry::MovieRatings(catalog.movie(movie).id, ratings));
        }
    }
    entries
}

/// The entries that Spark jobs write: features and vectors.
pub(crate) fn contract_entries(
    catalog: &Catalog,
    items: &EmbeddingTable,
    users: &EmbeddingTable,
) -> Vec<Entry> {
    let mut entries = Vec::new();
    for history in catalog.users().iter() {
        let texts = UserWindow::of(&history, catalog).features().texts(catalog.genres());
        entries.push(Entry::UserFeatures(history.user(), fields(&USER_FIELDS, texts)));
    }
    let movie_ratings = RatingStats::of_movies(catalog.users(), catalog.len());
    for (movie, ratings) in catalog.movies().iter().zip(&movie_ratings) {
        if ratings.count() > 0 {
            let texts = MovieFeatures::new(movie, ratings).texts(catalog.genres());
            entries.push(Entry::MovieFeatures(movie.id, fields(&MOVIE_FIELDS, texts)));
        }
    }
    let user_vectors = users.iter().map(|(id, v)| Entry::UserEmbedding(UserId(id), v.to_vec()));
    let item_vectors = items.iter().map(|(id, v)| Entry::MovieEmbedding(MovieId(id), v.to_vec()));
    entries.extend(user_vectors.chain(item_vectors));
    entries
}

fn fields(names: &[&str], texts: impl IntoIterator<Item = String>) -> Fields {
    Fields(names.iter().map(|&name| name.to_owned()).zip(texts).collect())
}

fn stored(history: &History<'_>, catalog: &Catalog) -> Vec<StoredRating> {
    let stored = history.iter().map(|rated| StoredRating {
        movie: catalog.movie(rated.movie).id,
        stars: rated.stars,
        timestamp: rated.timestamp,
    });
    stored.collect()
}
