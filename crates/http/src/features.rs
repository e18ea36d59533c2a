//! The endpoints that show the features of a user and of a movie, as the store holds them.

use sparrow_features::{MOVIE_FIELDS, MovieFeatures, RatingStats, USER_FIELDS, UserWindow};
use sparrow_model::{Histories, MovieId, UserId};
use sparrow_store::{Fields, Malformed};

use crate::json;
use crate::problem::Problem;
use crate::public::kind_of;
use crate::query;
use crate::reply::Reply;
use crate::site::Site;
use crate::users::unread;

/// What these endpoints call the store of a server that has none.
const MEMORY: &str = "memory";

/// The ratings of each movie in sum, by movie index.
pub(crate) fn movie_ratings(users: &Histories, movies: usize) -> Vec<RatingStats> {
    let mut ratings = vec![RatingStats::default(); movies];
    for rated in users.iter().flat_map(|history| history.iter()) {
        ratings[rated.movie.index()].add(rated.stars);
    }
    ratings
}

/// An answer in the making.
struct Shown<'a> {
    store: &'a str,
    generation: u64,
    fields: Option<Vec<(&'a str, &'a str)>>,
    embedding: Option<&'a [f32]>,
    ratings: Option<usize>,
    malformed: &'a [Malformed],
}

impl Shown<'_> {
    fn reply(&self, id_name: &str, id: u32) -> Reply {
        let mut out = b"{".to_vec();
        json::string(&mut out, id_name);
        out.push(b':');
        json::integer(&mut out, id);
        out.extend_from_slice(b",\"store\":");
        json::string(&mut out, self.store);
        out.extend_from_slice(b",\"generation\":");
        json::integer(&mut out, self.generation);
        out.extend_from_slice(b",\"ratingCount\":");
        match self.ratings {
            Some(count) => json::integer(&mut out, count),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"features\":");
        match &self.fields {
            Some(fields) => {
                out.push(b'{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    json::string(&mut out, name);
                    out.push(b':');
                    json::string(&mut out, value);
                }
                out.push(b'}');
            }
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"embedding\":");
        match self.embedding {
            Some(vector) => {
                json::list(&mut out, vector, |out, &value| json::float32(out, value));
            }
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"malformed\":");
        json::list(&mut out, self.malformed, |out, value| {
            json::string(out, &format!("{}: {}", value.key, value.what));
        });
        out.push(b'}');
        Reply::json(out)
    }
}

/// Fields in the order of their definitions; others come last, by name.
fn in_order<'f>(fields: &'f Fields, definitions: &[&str]) -> Vec<(&'f str, &'f str)> {
    let mut pairs: Vec<(&str, &str)> =
        fields.0.iter().map(|(name, value)| (&**name, &**value)).collect();
    let place = |name| definitions.iter().position(|known| *known == name);
    pairs.sort_by_key(|&(name, _)| (place(name).unwrap_or(definitions.len()), name));
    pairs
}

impl Site {
    /// `/v1/users/{id}/features`.
    pub(crate) async fn v1_user_features(
        &self,
        id: &str,
        query: Option<&str>,
    ) -> Result<Reply, Problem> {
        let id = query::path_id(id)?;
        let [] = query::parse(query, [])?;
        let unknown = || Problem::not_found(format!("there is no user {id}"));
        let Some(store) = &self.store else {
            let catalog = self.catalog();
            let history = catalog.users().find(UserId(id)).ok_or_else(unknown)?;
            let texts = UserWindow::of(&history, catalog).features().texts(catalog.genres());
            let fields = USER_FIELDS.into_iter().zip(texts.iter().map(String::as_str));
            let embeddings = self.engine.embeddings();
            let features = Shown {
                store: MEMORY,
                generation: 0,
                fields: Some(fields.collect()),
                embedding: embeddings.and_then(|vectors| vectors.users.get(id)),
                ratings: Some(history.len()),
                malformed: &[],
            };
            return Ok(features.reply("userId", id));
        };
        let read = store.reader.user(UserId(id)).await.map_err(|error| unread(&error))?;
        let user = read.value;
        if user.is_empty() {
            return Err(store.missing(UserId(id), read.generation));
        }
        let features = Shown {
            store: kind_of(store.reader.address()),
            generation: read.generation.0,
            fields: user.features.as_ref().map(|fields| in_order(fields, &USER_FIELDS)),
            embedding: user.embedding.as_deref(),
            ratings: user.ratings.as_ref().map(Vec::len),
            malformed: &user.malformed,
        };
        Ok(features.reply("userId", id))
    }

    /// `/v1/movies/{id}/features`.
    pub(crate) async fn v1_movie_features(
        &self,
        id: &str,
        query: Option<&str>,
    ) -> Result<Reply, Problem> {
        let id = query::path_id(id)?;
        let [] = query::parse(query, [])?;
        let movie = self.movie(id);
        let Some(store) = &self.store else {
            let (catalog, index) = (self.catalog(), movie?);
            // Stores have no features of movies that nobody has rated.
            let ratings = self.movie_ratings.get(index.index()).filter(|stats| stats.count() > 0);
            let texts = ratings.map(|stats| {
                MovieFeatures::new(catalog.movie(index), stats).texts(catalog.genres())
            });
            let fields = texts.as_ref().map(|texts| {
                MOVIE_FIELDS.into_iter().zip(texts.iter().map(String::as_str)).collect()
            });
            let embeddings = self.engine.embeddings();
            let vector = embeddings.and_then(|vectors| vectors.items.get(index.0));
            let features = Shown {
                store: MEMORY,
                generation: 0,
                fields,
                embedding: vector.as_deref(),
                ratings: ratings.map(|stats| stats.count() as usize),
                malformed: &[],
            };
            return Ok(features.reply("movieId", id));
        };
        let read = store.reader.movie(MovieId(id)).await.map_err(|error| unread(&error))?;
        let stored = read.value;
        if stored.is_empty() {
            movie?;
        }
        let features = Shown {
            store: kind_of(store.reader.address()),
            generation: read.generation.0,
            fields: stored.features.as_ref().map(|fields| in_order(fields, &MOVIE_FIELDS)),
            embedding: stored.embedding.as_deref(),
            ratings: stored.ratings.as_ref().map(|ratings| ratings.count as usize),
            malformed: &stored.malformed,
        };
        Ok(features.reply("movieId", id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_the_order_of_their_definitions() {
        let field = |name: &str| (name.to_owned(), String::new());
        let mut names: Vec<&str> = USER_FIELDS.into_iter().rev().collect();
        names.extend(["other", "another"]);
        let fields = Fields(names.into_iter().map(field).collect());
        let ordered: Vec<&str> =
            in_order(&fields, &USER_FIELDS).into_iter().map(|(name, _)| name).collect();
        let expected: Vec<&str> = USER_FIELDS.into_iter().chain(["another", "other"]).collect();
        assert_eq!(ordered, expected);
    }
}
