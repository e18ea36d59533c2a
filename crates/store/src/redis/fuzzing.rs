//! Fuzz targets of this crate, for `crates/fuzz`; tests replay their corpus.

use super::client::read_replies;
use super::embeddings::{format_embedding, parse_embedding, unstamped};
use crate::codec::{
    pack_movie, pack_ratings, pack_users, unpack_movie, unpack_ratings, unpack_text, unpack_users,
};

/// Reads these bytes as every kind of value, and as replies of a server. What is read is written and read again.
///
/// # Panics
/// If a value that was written is not read as the same value.
pub fn redis_values(data: &[u8]) {
    if let Ok(ratings) = unpack_ratings(data) {
        assert_eq!(unpack_ratings(&pack_ratings(&ratings)), Ok(ratings));
    }
    if let Ok(movie) = unpack_movie(data) {
        assert_eq!(unpack_movie(&pack_movie(&movie)), Ok(movie));
    }
    if let Ok(users) = unpack_users(data) {
        assert_eq!(unpack_users(&pack_users(&users)), Ok(users));
    }
    if let Ok(vector) = parse_embedding(data) {
        assert_eq!(parse_embedding(format_embedding(&vector).as_bytes()), Ok(vector));
    }
    if let Ok(text) = unpack_text(data) {
        let _ = unstamped(&text);
    }
    for chunk in [1, 7, data.len().max(1)] {
        read_replies(data, chunk);
    }
}

#[cfg(test)]
mod tests {
    use sparrow_model::{MovieId, Stars, TopRating, UserId};
    use sparrow_test_support::corpus;

    use super::*;
    use crate::{MovieRatings, StoredRating, UserList};

    #[test]
    fn corpus_of_redis_values_is_read_without_panics() {
        let stars = Stars::MAX;
        let rating = |movie, timestamp| StoredRating { movie: MovieId(movie), stars, timestamp };
        let ratings = pack_ratings(&[rating(3, 5), rating(u32::MAX, 9)]);
        let top = vec![TopRating { user: UserId(6), stars, timestamp: 1 }];
        let movie = pack_movie(&MovieRatings { count: 3, half_stars: 25, top });
        let most_active = vec![(UserId(6), 314, 2463), (UserId(2), 29, 229)];
        let users = pack_users(&UserList { total: 7, most_active });
        let seeds: [(&str, &[u8]); 9] = [
            ("ratings", &ratings),
            ("ratings-cut", &ratings[..ratings.len() - 3]),
            ("movie", &movie),
            ("users", &users),
            ("embedding", b"0.5 -0.25 1e-38 3"),
            ("embedding-malformed", b"0.5  NaN 1,5"),
            ("reply", b"*3\r\n$3\r\nabc\r\n:12\r\n*2\r\n$-1\r\n+OK\r\n"),
            ("reply-nested", b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"),
            ("reply-too-long", b"$99999999999\r\nabc\r\n*4294967296\r\n"),
        ];
        for (_, data) in corpus("redis-values", &seeds) {
            redis_values(&data);
        }
    }
}
