//! Live data as files: ratings in force, the log of all writes, and how far it was read.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sparrow_live::{
    Action, InvalidWatermark, Limits, LiveStore, LiveUser, Recorded, Sequence, Watermark,
};
use sparrow_model::{Catalog, MovieId, Stars, UserId};
use sparrow_movielens::write::{LinksWriter, MoviesWriter, RatingsWriter, field};
use sparrow_output::{AtomicFile, Error as OutputError};
use sparrow_progress::Progress;

use crate::live_tables::{EventsTable, RatingsTable, columns};

/// The files of an export.
pub const RATINGS: &str = "ratings.csv";
/// All writes.
pub const EVENTS: &str = "events.csv";
/// The same as Parquet.
pub const RATINGS_TABLE: &str = "ratings.parquet";
/// The same as Parquet.
pub const EVENTS_TABLE: &str = "events.parquet";
/// The last exported sequence of each partition.
pub const WATERMARK: &str = Watermark::FILE;
/// With a data set: its movies.
pub const MOVIES: &str = "movies.csv";
/// With a data set: its links.
pub const LINKS: &str = "links.csv";

/// Entries of the log per read.
const PAGE: usize = 1000;

/// Why live data were not exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] sparrow_live::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Output(#[from] sparrow_output::Error),
    /// A file cannot be read.
    #[error("{}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The data set lacks writes that were trimmed from the log.
    #[error(
        "the data set contains the live data of partition {partition} up to {contained}, but the log in {store} was trimmed up to \
         {trimmed}: take an export that contains them"
    )]
    Trimmed {
        /// The store with the log.
        store: String,
        /// The first such partition.
        partition: u16,
        /// The last sequence in the data set.
        contained: Sequence,
        /// The last trimmed sequence.
        trimmed: Sequence,
    },
    /// A watermark is malformed.
    #[error("{}, {fault}", path.display())]
    Watermark {
        /// The file.
        path: PathBuf,
        /// The line and its fault.
        fault: InvalidWatermark,
    },
}

/// Reads the [`WATERMARK`] of a folder; `None` if it has none. Errors name the file and the line.
pub fn read_watermark(folder: &Path) -> Result<Option<Watermark>, Error> {
    let path = folder.join(WATERMARK);
    match sparrow_files::read(&path, Watermark::LARGEST_FILE) {
        Ok(content) => match Watermark::from_csv(&content) {
            Ok(watermark) => Ok(Some(watermark)),
            Err(fault) => Err(Error::Watermark { path, fault }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Unreadable { path, source }),
    }
}

/// What an export contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Ratings in `ratings.csv`.
    pub ratings: u64,
    /// Writes in `events.csv`.
    pub writes: u64,
    /// Users with live data.
    pub users: u64,
}

/// The formats of ratings and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Formats {
    /// CSV, which all commands read.
    Csv,
    /// Parquet too: [`RATINGS_TABLE`] and [`EVENTS_TABLE`].
    CsvAndParquet,
}

/// The data set that live data are combined with.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// The data set.
    pub catalog: &'a Catalog,
    /// Which live data it contains; `None` if nothing is known about that.
    pub watermark: Option<&'a Watermark>,
}

impl Base<'_> {
    /// Rejects the data set if it lacks writes that were trimmed from the log. Returns up to where the log was trimmed.
    pub(crate) async fn check(&self, store: &dyn LiveStore) -> Result<Watermark, Error> {
        let (trimmed, none) = (store.trimmed().await?, Watermark::default());
        let contained =
            self.watermark.filter(|it| it.partitions() == store.partitions()).unwrap_or(&none);
        match trimmed.beyond(contained) {
            None => Ok(trimmed),
            Some((partition, contained, trimmed)) => {
                let store = store.address().to_owned();
                Err(Error::Trimmed { store, partition, contained, trimmed })
            }
        }
    }
}

/// Reads the log of a store, and writes [`EVENTS`], [`WATERMARK`] and [`RATINGS`] to a folder: the live ratings in force.
///
/// With a data set, the folder is a complete data set with [`MOVIES`] and [`LINKS`]: [`RATINGS`] contains its ratings
/// overlaid with the live ones, as servers combine them. Ratings of movies outside the data set are left out, and deleted
/// users have only what they wrote afterwards.
///
/// What was trimmed from the log is not exported. A data set that lacks it is an error.
pub async fn export(
    store: &dyn LiveStore,
    data: Option<Base<'_>>,
    folder: &Path,
    formats: Formats,
    progress: Progress<'_>,
) -> Result<(Counts, Vec<(PathBuf, u64)>), Error> {
    let mut events = AtomicFile::create(folder, EVENTS)?;
    events.write(
        b"partition,sequence,action,userId,movieId,type,value,timestamp,session,recommendation,applied\n",
    )?;
    if let Some(base) = &data {
        base.check(store).await?;
    }
    let with_tables = formats == Formats::CsvAndParquet;
    let events_table = || EventsTable::create(folder, EVENTS_TABLE);
    let mut events_table = with_tables.then(events_table).transpose()?;
    let Replayed { users, watermark, writes } = replayed(store, progress, |partition, page| {
        events.write_with(|to| {
            if let Some(table) = &mut events_table {
                table.write(partition, page)?;
            }
            page.iter().try_for_each(|entry| write_event(to, partition, entry))
        })?;
        Ok(())
    })
    .await?;
    let mut counts = Counts { writes, users: users.len() as u64, ..Counts::default() };
    // Again, as the log may have been trimmed before all of it was read.
    let trimmed = match &data {
        Some(base) => base.check(store).await?,
        None => store.trimmed().await?,
    };
    let watermark = watermark.union(&trimmed);
    let data = data.map(|base| base.catalog);
    let mut ratings = AtomicFile::create(folder, RATINGS)?;
    let ratings_table = || RatingsTable::create(folder, RATINGS_TABLE);
    let mut ratings_table = with_tables.then(ratings_table).transpose()?;
    ratings.write_with(|to| {
        let mut csv = RatingsWriter::new(to)?;
        for_each_rating(&users, data, &mut |user, movie, stars, time| {
            counts.ratings += 1;
            if let Some(table) = &mut ratings_table {
                table.push(user, movie, stars, time)?;
            }
            csv.write(user, movie, stars, time)
        })?;
        csv.finish().map(drop)
    })?;
    let mut position = AtomicFile::create(folder, WATERMARK)?;
    position.write(watermark.to_csv().as_bytes())?;
    let mut files = vec![ratings, events, position];
    if let Some(table) = ratings_table {
        files.push(table.finish().map_err(OutputError::io(&folder.join(RATINGS_TABLE)))?);
    }
    if let Some(table) = events_table {
        files.push(table.finish().map_err(OutputError::io(&folder.join(EVENTS_TABLE)))?);
    }
    if let Some(data) = data {
        let mut movies = AtomicFile::create(folder, MOVIES)?;
        movies.write_with(|to| write_movies(to, data))?;
        let mut links = AtomicFile::create(folder, LINKS)?;
        links.write_with(|to| write_links(to, data))?;
        files.extend([movies, links]);
    }
    Ok((counts, AtomicFile::commit(files)?))
}

/// The log of a store, applied.
pub(crate) struct Replayed {
    pub(crate) users: BTreeMap<UserId, LiveUser>,
    /// The last write of each partition.
    pub(crate) watermark: Watermark,
    /// The number of writes.
    pub(crate) writes: u64,
}

/// Applies the log of a store, and passes its pages to `each`.
pub(crate) async fn replayed(
    store: &dyn LiveStore,
    progress: Progress<'_>,
    mut each: impl FnMut(u16, &[Recorded]) -> Result<(), Error>,
) -> Result<Replayed, Error> {
    let (mut users, mut writes) = (BTreeMap::new(), 0);
    let watermark = read(store, progress, |partition, page| {
        each(partition, page)?;
        writes += page.len() as u64;
        for entry in page {
            replay(&mut users, entry);
        }
        Ok(())
    })
    .await?;
    Ok(Replayed { users, watermark, writes })
}

/// Reads the log of a store: all partitions in pages, each with its partition. Entries of one user are in order. Returns the
/// last position of each partition.
pub async fn read(
    store: &dyn LiveStore,
    progress: Progress<'_>,
    mut each: impl FnMut(u16, &[Recorded]) -> Result<(), Error>,
) -> Result<Watermark, Error> {
    let mut watermark = Watermark::new(store.partitions());
    for partition in 0..store.partitions() {
        let mut last = Sequence::default();
        loop {
            let page = store.log(partition, last, PAGE).await?;
            let Some(newest) = page.last() else { break };
            last = newest.sequence;
            each(partition, &page)?;
            if page.len() < PAGE {
                break;
            }
        }
        watermark.advance(partition, last);
        progress(u64::from(partition) + 1, u64::from(store.partitions()));
    }
    Ok(watermark)
}

/// Applies an entry of the log. Those of one user are in order.
fn replay(users: &mut BTreeMap<UserId, LiveUser>, entry: &Recorded) {
    let Recorded { sequence, write, applied } = entry;
    // The log does not contain why a write was not applied.
    if matches!(write.action, Action::Event { .. } | Action::Expose(_)) || !applied {
        return;
    }
    let unlimited = Limits { ratings: usize::MAX, events: 0 };
    let user = users.entry(write.user).or_default();
    // Without a limit, it is never reached.
    let _ = user.apply(write, *sequence, unlimited);
}

fn write_event(to: &mut impl Write, partition: u16, entry: &Recorded) -> io::Result<()> {
    let Recorded { sequence, write, applied } = entry;
    let (action, kind, value) = columns(&write.action);
    let value = value.map(|value| value.to_string()).unwrap_or_default();
    let movie = write.action.movie().map(|movie| movie.to_string()).unwrap_or_default();
    write!(to, "{partition},{sequence},{action},{},{movie},", write.user)?;
    field(to, kind)?;
    write!(to, ",{value},{},", write.time)?;
    field(to, write.session.as_deref().unwrap_or_default())?;
    to.write_all(b",")?;
    field(to, write.recommendation.as_deref().unwrap_or_default())?;
    writeln!(to, ",{}", u8::from(*applied))
}

/// A rating to write.
type OnRating<'a> = dyn FnMut(UserId, MovieId, Stars, u32) -> io::Result<()> + 'a;

/// Passes the live ratings in force, with a data set those of the data set overlaid with them.
fn for_each_rating(
    users: &BTreeMap<UserId, LiveUser>,
    data: Option<&Catalog>,
    write: &mut OnRating<'_>,
) -> io::Result<()> {
    let Some(data) = data else {
        for (&id, user) in users {
            for rating in &user.ratings {
                if let Some(stars) = rating.stars {
                    write(id, rating.movie, stars, rating.time)?;
                }
            }
        }
        return Ok(());
    };
    let mut ids: Vec<UserId> = data.users().iter().map(|history| history.user()).collect();
    ids.extend(users.keys().filter(|&&id| data.users().find(id).is_none()));
    ids.sort_unstable();
    let none = LiveUser::default();
    for id in ids {
        let user = users.get(&id).unwrap_or(&none);
        for rated in user.history(id, data.users().find(id), data).get().iter() {
            write(id, data.movie(rated.movie).id, rated.stars, rated.timestamp)?;
        }
    }
    Ok(())
}

fn write_movies(to: &mut impl Write, data: &Catalog) -> io::Result<()> {
    let mut movies = MoviesWriter::new(to)?;
    for movie in data.movies() {
        let title = match movie.year {
            Some(year) => format!("{} ({year})", movie.title),
            None => movie.title.to_string(),
        };
        movies.write(
            movie.id,
            &title,
            movie.genres.iter().map(|&genre| data.genres().name(genre)),
        )?;
    }
    movies.finish().map(drop)
}

fn write_links(to: &mut impl Write, data: &Catalog) -> io::Result<()> {
    let mut links = LinksWriter::new(to)?;
    for movie in data.movies() {
        links.write(movie.id, movie.imdb_id.as_deref(), movie.tmdb_id.as_deref())?;
    }
    links.finish().map(drop)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;

    use sparrow_live::{MemoryLive, Write};
    use sparrow_movielens::{Options, Source};
    use sparrow_test_support::catalogue::{catalog, movie};

    use super::*;

    fn rate(user: u32, movie: u32, half_stars: u8, time: u32) -> Write {
        let stars = Stars::from_half_stars(half_stars).unwrap();
        Write::new(UserId(user), Action::Rate(MovieId(movie), stars), time)
    }

    async fn store() -> MemoryLive {
        let store = MemoryLive::new(Limits::default());
        let view = Action::Event { movie: MovieId(10), kind: "a \"b\", c".into(), value: 0.1 };
        let writes = [
            rate(1, 10, 9, 100),
            Write::new(UserId(1), Action::Unrate(MovieId(20)), 100),
            Write { stored_time: Some(7), ..rate(1, 30, 1, 5) },
            rate(3, 99, 5, 5),
            rate(4, 20, 8, 5),
            Write::new(UserId(2), Action::Forget, 50),
            Write { session: Some("s".into()), ..Write::new(UserId(1), view, 60) },
        ];
        let results = store.write(&writes).await;
        let applied: Vec<bool> =
            results.into_iter().map(|result| result.unwrap().applied).collect();
        assert_eq!(applied, [true, true, false, true, true, true, true]);
        store
    }

    fn rows(folder: &Path, name: &str) -> Vec<String> {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        text.lines().skip(1).map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn exports_contain_ratings_in_force_and_all_writes() {
        let (store, folder) = (store().await, tempfile::tempdir().unwrap());
        let (counts, files) =
            export(&store, None, folder.path(), Formats::Csv, &|_, _| {}).await.unwrap();
        assert_eq!(counts, Counts { ratings: 3, writes: 7, users: 4 });
        assert_eq!(files.len(), 3);
        assert_eq!(rows(folder.path(), RATINGS), ["1,10,4.5,100", "3,99,2.5,5", "4,20,4.0,5"]);
        let events = rows(folder.path(), EVENTS);
        let without_sequence: Vec<String> =
            events.iter().map(|row| row.splitn(3, ',').nth(2).unwrap().to_owned()).collect();
        assert_eq!(
            without_sequence,
            [
                "rate,1,10,rate,4.5,100,,,1",
                "unrate,1,20,unrate,,100,,,1",
                "rate,1,30,rate,0.5,5,,,0",
                "rate,3,99,rate,2.5,5,,,1",
                "rate,4,20,rate,4,5,,,1",
                "forget,2,,forget,,50,,,1",
                "event,1,10,\"a \"\"b\"\", c\",0.1,60,s,,1",
            ]
        );
        let last = events[6].split(',').nth(1).unwrap().to_owned();
        assert_eq!(rows(folder.path(), WATERMARK), [format!("0,{last}")]);
        let mut watermark = Watermark::new(1);
        watermark.advance(0, last.parse().unwrap());
        assert_eq!(read_watermark(folder.path()).unwrap(), Some(watermark));
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(read_watermark(empty.path()).unwrap(), None);
        fs::write(empty.path().join(WATERMARK), "partition,sequence\n1,1-1\n").unwrap();
        let error = read_watermark(empty.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("watermark.csv, line 2: expected partition 0, not \"1\""),
            "{error}"
        );
    }

    #[tokio::test]
    async fn exports_with_a_data_set_are_complete_data_sets_with_the_overlay() {
        let (store, folder) = (store().await, tempfile::tempdir().unwrap());
        let movies = [
            movie(10, Some(1994), ["Drama", "Comedy"]),
            movie(20, None, ["Drama"]),
            movie(30, Some(2000), [""; 0]),
        ];
        // The live rating of movie 10 is newer, movie 20 is removed, user 2 is deleted.
        let ratings = [(1, 0, 2, 50), (1, 1, 4, 60), (1, 2, 6, 70), (2, 0, 10, 1), (5, 0, 3, 3)];
        let data = catalog(movies, ratings);
        let base = Base { catalog: &data, watermark: None };
        let exported = export(&store, Some(base), folder.path(), Formats::Csv, &|_, _| {}).await;
        let (counts, files) = exported.unwrap();
        assert_eq!((counts.ratings, files.len()), (4, 5));
        let expected = ["1,30,3.0,70", "1,10,4.5,100", "4,20,4.0,5", "5,10,1.5,3"];
        assert_eq!(rows(folder.path(), RATINGS), expected);
        // It is read as a data set, by its manifest as well.
        let loaded = Source::open(folder.path()).unwrap().load(&Options::default()).unwrap();
        assert_eq!(loaded.catalog.movies().len(), 3);
        for (found, original) in loaded.catalog.movies().iter().zip(data.movies()) {
            assert_eq!((&found.title, found.year), (&original.title, original.year));
            assert_eq!(found.genres.len(), original.genres.len());
        }
        for (id, ratings) in [(1, 2), (4, 1), (5, 1)] {
            assert_eq!(loaded.catalog.users().find(UserId(id)).unwrap().len(), ratings);
        }
        assert!(loaded.catalog.users().find(UserId(2)).is_none());
    }

    #[tokio::test]
    async fn data_sets_that_lack_trimmed_writes_are_rejected() {
        let (store, folder) = (store().await, tempfile::tempdir().unwrap());
        let data = catalog([movie(10, None, ["Drama"])], [(1, 0, 2, 50)]);
        let base = Base { catalog: &data, watermark: None };
        let exported = async |base| {
            export(&store, Some(base), folder.path(), Formats::Csv, &|_, _| {})
                .await
                .map_err(|it| it.to_string())
        };
        exported(base).await.unwrap();
        let watermark = read_watermark(folder.path()).unwrap().unwrap();
        assert_eq!(store.trim(&watermark).await.unwrap(), 7);
        let last = watermark.get(0);
        assert_eq!(
            exported(base).await.unwrap_err(),
            format!(
                "the data set contains the live data of partition 0 up to 0-0, but the log in memory was trimmed up to {last}: take \
                 an export that contains them"
            )
        );
        // That of other live data is no help.
        let mut other = Watermark::new(2);
        other.advance(0, last);
        assert!(exported(Base { watermark: Some(&other), ..base }).await.is_err());
        let base = Base { watermark: Some(&watermark), ..base };
        let (counts, _) = exported(base).await.unwrap();
        assert_eq!(counts, Counts { ratings: 1, writes: 0, users: 0 });
        // The data set still contains them.
        assert_eq!(read_watermark(folder.path()).unwrap(), Some(watermark));
    }
}
