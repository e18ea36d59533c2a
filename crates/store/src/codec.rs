//! The layout of lists in every store: packed numbers after a version byte. `docs/redis.md`
//! describes it for other programs.

use sparrow_live::Watermark;
use sparrow_model::{MovieId, Stars, TopRating, UserId};

use crate::{MovieRatings, StoredRating, UserList};

/// The version byte at the beginning of packed values.
const VERSION: u8 = 1;

/// The description of a malformed value.
pub(crate) type Fault = String;

/// Ratings: timestamp, movie id, half stars of each.
pub(crate) fn pack_ratings(ratings: &[StoredRating]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(1 + 9 * ratings.len());
    packed.push(VERSION);
    for rating in ratings {
        packed.extend(rating.timestamp.to_le_bytes());
        packed.extend(rating.movie.0.to_le_bytes());
        packed.push(rating.stars.half_stars());
    }
    packed
}

pub(crate) fn unpack_ratings(packed: &[u8]) -> Result<Vec<StoredRating>, Fault> {
    let (rows, rest) = after_version(packed)?.as_chunks::<9>();
    expect_end(rest)?;
    let mut ratings = Vec::with_capacity(rows.len());
    for [t0, t1, t2, t3, m0, m1, m2, m3, half_stars] in rows {
        ratings.push(StoredRating {
            timestamp: u32::from_le_bytes([*t0, *t1, *t2, *t3]),
            movie: MovieId(u32::from_le_bytes([*m0, *m1, *m2, *m3])),
            stars: stars(*half_stars)?,
        });
    }
    if ratings.is_sorted_by(|a, b| (a.timestamp, a.movie) < (b.timestamp, b.movie)) {
        Ok(ratings)
    } else {
        Err("is not ordered by timestamp and movie id".to_owned())
    }
}

/// A movie's ratings: number and sum; then user id, timestamp, half stars of the best ones.
pub(crate) fn pack_movie(ratings: &MovieRatings) -> Vec<u8> {
    let mut packed = Vec::with_capacity(9 + 9 * ratings.top.len());
    packed.push(VERSION);
    packed.extend(ratings.count.to_le_bytes());
    packed.extend(ratings.half_stars.to_le_bytes());
    for top in &ratings.top {
        packed.extend(top.user.0.to_le_bytes());
        packed.extend(top.timestamp.to_le_bytes());
        packed.push(top.stars.half_stars());
    }
    packed
}

pub(crate) fn unpack_movie(packed: &[u8]) -> Result<MovieRatings, Fault> {
    let rest = after_version(packed)?;
    let (count, rest) = number(rest)?;
    let (half_stars, rest) = number(rest)?;
    let (rows, rest) = rest.as_chunks::<9>();
    expect_end(rest)?;
    let mut top = Vec::with_capacity(rows.len());
    for [u0, u1, u2, u3, t0, t1, t2, t3, half_stars] in rows {
        top.push(TopRating {
            user: UserId(u32::from_le_bytes([*u0, *u1, *u2, *u3])),
            timestamp: u32::from_le_bytes([*t0, *t1, *t2, *t3]),
            stars: stars(*half_stars)?,
        });
    }
    Ok(MovieRatings { count, half_stars, top })
}

/// Users for lists: number of all users; then id, number of ratings, sum in half stars of each.
pub(crate) fn pack_users(list: &UserList) -> Vec<u8> {
    let mut packed = Vec::with_capacity(5 + 12 * list.most_active.len());
    packed.push(VERSION);
    packed.extend(list.total.to_le_bytes());
    for (user, count, half_stars) in &list.most_active {
        packed.extend(user.0.to_le_bytes());
        packed.extend(count.to_le_bytes());
        packed.extend(half_stars.to_le_bytes());
    }
    packed
}

pub(crate) fn unpack_users(packed: &[u8]) -> Result<UserList, Fault> {
    let (total, rest) = number(after_version(packed)?)?;
    let (rows, rest) = rest.as_chunks::<12>();
    expect_end(rest)?;
    let row = |[u0, u1, u2, u3, c0, c1, c2, c3, s0, s1, s2, s3]: &[u8; 12]| {
        (
            UserId(u32::from_le_bytes([*u0, *u1, *u2, *u3])),
            u32::from_le_bytes([*c0, *c1, *c2, *c3]),
            u32::from_le_bytes([*s0, *s1, *s2, *s3]),
        )
    };
    Ok(UserList { total, most_active: rows.iter().map(row).collect() })
}

pub(crate) fn unpack_text(bytes: &[u8]) -> Result<String, Fault> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "is not valid UTF-8".to_owned())
}

/// The watermark of live data.
pub(crate) fn unpack_watermark(bytes: &[u8]) -> Result<Watermark, Fault> {
    Watermark::from_csv(bytes).map_err(|error| format!("is not a watermark: {error}"))
}

fn after_version(packed: &[u8]) -> Result<&[u8], Fault> {
    match packed {
        [VERSION, rest @ ..] => Ok(rest),
        [] => Err("is empty".to_owned()),
        [version, ..] => {
            Err(format!("has version {version}, this program reads version {VERSION}"))
        }
    }
}

fn number(packed: &[u8]) -> Result<(u32, &[u8]), Fault> {
    let (bytes, rest) = packed.split_first_chunk::<4>().ok_or_else(truncated)?;
    Ok((u32::from_le_bytes(*bytes), rest))
}

fn expect_end(rest: &[u8]) -> Result<(), Fault> {
    if rest.is_empty() { Ok(()) } else { Err(truncated()) }
}

fn truncated() -> Fault {
    "is truncated".to_owned()
}

fn stars(half_stars: u8) -> Result<Stars, Fault> {
    Stars::from_half_stars(half_stars)
        .ok_or_else(|| format!("has a rating of {half_stars} half stars"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows() -> impl Strategy<Value = Vec<(u32, u32, u8)>> {
        prop::collection::btree_set((any::<u32>(), any::<u32>(), 1..=10_u8), 0..20)
            .prop_map(|rows| rows.into_iter().collect())
    }

    proptest! {
        #[test]
        fn packed_values_round_trip_and_truncated_ones_are_errors(rows in rows(), cut in 1..9_usize) {
            let mut ratings: Vec<StoredRating> = rows
                .iter()
                .map(|&(timestamp, movie, half_stars)| StoredRating {
                    timestamp,
                    movie: MovieId(movie),
                    stars: stars(half_stars).unwrap(),
                })
                .collect();
            ratings.dedup_by_key(|rating| (rating.timestamp, rating.movie));
            let packed = pack_ratings(&ratings);
            prop_assert_eq!(packed.len(), 1 + 9 * ratings.len());
            prop_assert_eq!(unpack_ratings(&packed), Ok(ratings.clone()));
            prop_assert!(unpack_ratings(&packed[..packed.len().saturating_sub(cut)]).is_err());

            let top = rows
                .iter()
                .map(|&(user, timestamp, half_stars)| TopRating {
                    user: UserId(user),
                    timestamp,
                    stars: stars(half_stars).unwrap(),
                })
                .collect();
            let movie = MovieRatings { count: 7, half_stars: 50, top };
            let packed = pack_movie(&movie);
            prop_assert_eq!(unpack_movie(&packed), Ok(movie));
            prop_assert!(unpack_movie(&packed[..packed.len() - cut]).is_err());

            let most_active = rows.iter().map(|&(a, b, c)| (UserId(a), b, u32::from(c))).collect();
            let list = UserList { total: 99, most_active };
            let packed = pack_users(&list);
            prop_assert_eq!(unpack_users(&packed), Ok(list));
            prop_assert!(unpack_users(&packed[..packed.len().saturating_sub(cut)]).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (unpack_ratings(&bytes), unpack_movie(&bytes), unpack_users(&bytes));
        }
    }

    #[test]
    fn faults_are_described() {
        assert_eq!(
            unpack_ratings(&[2, 0]).unwrap_err(),
            "has version 2, this program reads version 1"
        );
        let twice = [1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 3];
        assert_eq!(unpack_ratings(&twice).unwrap_err(), "is not ordered by timestamp and movie id");
        assert_eq!(
            unpack_ratings(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 11]).unwrap_err(),
            "has a rating of 11 half stars"
        );
    }
}
