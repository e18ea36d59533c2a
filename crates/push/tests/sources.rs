//! Reads features and embeddings written by Spark, pandas and this project.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::{Float32Type, Float64Type, Int32Type};
use arrow_array::{
    ArrayRef, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
    Int64Array, LargeStringArray, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow_schema::{DataType, Field};
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use sparrow_features::{MOVIE_FIELDS, USER_FIELDS};
use sparrow_model::{MovieId, UserId};
use sparrow_push::sources::{Location, Reader, Sources};
use sparrow_store::{Entry, Fields};
use sparrow_test_support::random::Random;

type Columns = Vec<(&'static str, ArrayRef)>;

fn write_parquet(path: &Path, columns: Columns) {
    write_compressed(path, columns, Compression::SNAPPY);
}

fn write_compressed(path: &Path, columns: Columns, compression: Compression) {
    write_with(path, columns, WriterProperties::builder().set_compression(compression).build());
}

async fn read(sources: &Sources) -> Result<Vec<Entry>, String> {
    let chain = |error: sparrow_push::sources::Error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{error}{}", cause.unwrap_or_default())
    };
    let mut reader = Reader::open(sources).await.map_err(chain)?;
    let mut all = Vec::new();
    while let Some(entries) = reader.next().await.map_err(chain)? {
        // The metadata of vectors are tested elsewhere.
        all.extend(entries.into_iter().filter(|entry| !matches!(entry, Entry::EmbeddingInfo(_))));
    }
    let (done, total) = reader.progress();
    assert_eq!(done, total);
    Ok(all)
}

fn location(path: &Path) -> Location {
    Location::Local(path.to_owned())
}

async fn user_features(path: &Path) -> Result<Vec<Entry>, String> {
    read(&Sources { user_features: Some(location(path)), ..Sources::default() }).await
}

async fn movie_features(path: &Path) -> Result<Vec<Entry>, String> {
    read(&Sources { movie_features: Some(location(path)), ..Sources::default() }).await
}

async fn item_embeddings(path: &Path) -> Result<Vec<Entry>, String> {
    read(&Sources { item_embeddings: Some(location(path)), ..Sources::default() }).await
}

fn fields(names: &[&str], values: &[&str]) -> Fields {
    assert_eq!(names.len(), values.len());
    Fields(
        names.iter().zip(values).map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    )
}

fn ints(values: [Option<i64>; 2]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: [Option<&str>; 2]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Users 6 and 7 in the format of a Spark job: ids and movies as numbers or text, counts as long
/// integers, numbers with two decimals as text, missing values as nulls.
fn of_spark(first_user: i32) -> Columns {
    let mut columns: Columns =
        vec![("userId", Arc::new(Int32Array::from(vec![first_user, first_user + 1])))];
    for name in USER_FIELDS {
        columns.push((
            name,
            match name {
                "userRatedMovie1" => texts([Some("318"), None]),
                "userRatedMovie2" => texts([Some("50"), None]),
                "userRatingCount" => ints([Some(100), Some(1)]),
                "userAvgReleaseYear" => Arc::new(Int32Array::from(vec![Some(1994), None])),
                "userReleaseYearStddev" => texts([Some("8.10"), Some("NaN")]),
                "userAvgRating" => texts([Some("3.92"), Some("5.00")]),
                "userRatingStddev" => texts([Some("0.99"), None]),
                "userGenre1" => texts([Some("Drama"), None]),
                _ => texts([None, None]),
            },
        ));
    }
    // An additional column, as in files of other programs.
    columns.push(("timestamp", ints([Some(1), Some(2)])));
    columns
}

fn user(id: u32, first: bool) -> Entry {
    let values: &[&str] = if first {
        &["318", "50", "", "", "", "100", "1994", "8.10", "3.92", "0.99", "Drama", "", "", "", ""]
    } else {
        &["", "", "", "", "", "1", "0", "0.00", "5.00", "0.00", "", "", "", "", ""]
    };
    Entry::UserFeatures(UserId(id), fields(&USER_FIELDS, values))
}

#[tokio::test]
async fn a_folder_of_part_files_is_read_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str| folder.path().join(name);
    write_parquet(&part("part-00000-8f1c-c000.snappy.parquet"), of_spark(6));
    write_compressed(&part("part-00001-8f1c-c000.zstd.parquet"), of_spark(8), {
        Compression::ZSTD(ZstdLevel::default())
    });
    fs::write(part("_SUCCESS"), "").unwrap();
    fs::write(part(".part-00000-8f1c-c000.snappy.parquet.crc"), "crc").unwrap();
    let entries = user_features(folder.path()).await.unwrap();
    assert_eq!(entries, [user(6, true), user(7, false), user(8, true), user(9, false)]);
    let one = user_features(&part("part-00000-8f1c-c000.snappy.parquet")).await.unwrap();
    assert_eq!(one, [user(6, true), user(7, false)]);
}

#[tokio::test]
async fn numbers_of_all_widths_become_the_same_text() {
    let folder = tempfile::tempdir().unwrap();
    let decimal = |values: Vec<Option<i128>>| {
        let array = Decimal128Array::from(values).with_precision_and_scale(10, 2).unwrap();
        Arc::new(array) as ArrayRef
    };
    // pandas converts integers to floats in columns with gaps.
    let mut of_pandas: Columns =
        vec![("USERID", Arc::new(LargeStringArray::from(vec!["6", " 7 "])))];
    for name in USER_FIELDS {
        of_pandas.push((
            name,
            match name {
                "userRatedMovie1" => Arc::new(Float64Array::from(vec![318.0, f64::NAN])),
                "userRatedMovie2" => Arc::new(Int32Array::from(vec![50, 0])),
                "userRatingCount" => Arc::new(Int16Array::from(vec![100, 1])),
                "userAvgReleaseYear" => Arc::new(Float64Array::from(vec![1994.71, f64::NAN])),
                "userReleaseYearStddev" => Arc::new(Float32Array::from(vec![8.1, f32::NAN])),
                "userAvgRating" => decimal(vec![Some(392), Some(500)]),
                "userRatingStddev" => Arc::new(Float64Array::from(vec![Some(0.9899), None])),
                "userGenre1" => Arc::new(LargeStringArray::from(vec![Some("Drama"), None])),
                _ => Arc::new(StringArray::from(vec![None::<&str>, None])),
            },
        ));
    }
    let path = folder.path().join("users");
    write_parquet(&path, of_pandas);
    let entries = user_features(&path).await.unwrap();
    assert_eq!(entries, [user(6, true), user(7, false)]);
}

#[tokio::test]
async fn csv_is_read_like_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("movies.csv");
    let header = MOVIE_FIELDS.join(",");
    let text = format!(
        "\u{feff}{header},movieId\r\nDrama,\"Sci-Fi, old\",,3,1994,3.5,0.705,1\r\n,,,1,0,5.00,0.00,2\r\n"
    );
    fs::write(&path, text).unwrap();
    let entries = movie_features(&path).await.unwrap();
    let movie =
        |id, values: &[&str]| Entry::MovieFeatures(MovieId(id), fields(&MOVIE_FIELDS, values));
    let expected = [
        movie(1, &["Drama", "Sci-Fi, old", "", "3", "1994", "3.50", "0.70"]),
        movie(2, &["", "", "", "1", "0", "5.00", "0.00"]),
    ];
    assert_eq!(entries, expected);

    // More rows than a batch, and no line end after the last one.
    let mut long = format!("movieId,{header}\n");
    for id in 1..=5000 {
        writeln!(long, "{id},,,,{id},1990,3.00,1.00").unwrap();
    }
    fs::write(&path, long.trim_end()).unwrap();
    let entries = movie_features(&path).await.unwrap();
    assert_eq!(entries.len(), 5000);
    assert_eq!(entries[4999], movie(5000, &["", "", "", "5000", "1990", "3.00", "1.00"]));
}

#[tokio::test]
async fn vectors_are_read_from_lists_text_lines_and_sparks_vector_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors");
    let expected = [
        Entry::MovieEmbedding(MovieId(1), vec![0.5, -1.25]),
        Entry::MovieEmbedding(MovieId(2), vec![0.0, 3.0]),
    ];
    let rows = [Some([0.5, -1.25]), Some([0.0, 3.0])];
    let list = |rows: [Option<[f64; 2]>; 2]| {
        let rows = rows.map(|row| row.map(|row| row.map(Some)));
        Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows)) as ArrayRef
    };
    let floats = rows.map(|row| row.map(|row| row.map(|value| Some(value as f32))));
    let floats = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(floats)) as ArrayRef;
    let indices = [None, Some([Some(1)])];
    let indices = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(indices)) as ArrayRef;
    let values = [Some(vec![Some(0.5), Some(-1.25)]), Some(vec![Some(3.0)])];
    let values = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(values)) as ArrayRef;
    let item = |data_type| Arc::new(Field::new_list_field(data_type, true));
    let udt = StructArray::from(vec![
        (
            Arc::new(Field::new("type", DataType::Int8, true)),
            Arc::new(Int8Array::from(vec![1, 0])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("size", DataType::Int32, true)),
            Arc::new(Int32Array::from(vec![None, Some(2)])),
        ),
        (Arc::new(Field::new("indices", DataType::List(item(DataType::Int32)), true)), indices),
        (Arc::new(Field::new("values", DataType::List(item(DataType::Float64)), true)), values),
    ]);
    let tables: [Columns; 4] = [
        vec![("movieId", ints([Some(1), Some(2)])), ("embedding", list(rows))],
        // ALS.
        vec![("id", ints([Some(1), Some(2)])), ("features", floats)],
        // Word2Vec.
        vec![("word", texts([Some("1"), Some("2")])), ("vector", Arc::new(udt))],
        vec![
            ("movieId", ints([Some(1), Some(2)])),
            ("emb", texts([Some("0.5 -1.25"), Some("0 3")])),
        ],
    ];
    for columns in tables {
        write_parquet(&path, columns);
        assert_eq!(item_embeddings(&path).await.unwrap(), expected);
    }
    for text in [
        "1:0.5 -1.25\n2:0 3\n",
        "\u{feff}1: 0.5 -1.25\r\n\r\n2:0.0 3.0",
        "embedding,movieId\n0.5 -1.25,1\n0 3,2\n",
    ] {
        fs::write(&path, text).unwrap();
        assert_eq!(item_embeddings(&path).await.unwrap(), expected, "{text}");
    }

    write_parquet(
        &path,
        vec![("id", ints([Some(1), Some(2)])), ("emb", list([Some([1.0; 2]), None]))],
    );
    let error = item_embeddings(&path).await.unwrap_err();
    assert!(error.ends_with("vectors: row 2: emb: no vector"), "{error}");
    for (text, expected) in [
        ("1:1 2\n2:1\n", "id 2 has 1 dimensions, previous vectors have 2"),
        ("1:1\n1:2\n", "id 1 occurs twice"),
        ("1:1\n2:x\n", "line 2: \"x\" is not a number"),
        ("1:1\n2:inf\n", "id 2: component inf is not finite"),
        ("1:\n", "id 1 has no components"),
        ("1,2\n", "no column movieId (or id, word); the columns are 1, 2"),
        ("", "it has no rows"),
    ] {
        fs::write(&path, text).unwrap();
        let error = item_embeddings(&path).await.unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[tokio::test]
async fn faults_are_reported_with_file_row_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("movies.csv");
    let row = |values: &str| {
        format!("movieId,{}\n1,,,,1,1990,3.00,1.00\n{values}\n", MOVIE_FIELDS.join(","))
    };
    for (text, expected) in [
        (row("x,,,,1,1990,3.00,1.00"), "movies.csv: row 2: movieId: \"x\" is not a whole number"),
        (row(",,,,1,1990,3.00,1.00"), "row 2: movieId: no id"),
        (row("-2,,,,1,1990,3.00,1.00"), "row 2: movieId: \"-2\" is not a whole number"),
        (row("2,,,,,1990,3.00,1.00"), "row 2: movieRatingCount: no value"),
        (row("2,,,,1.5,1990,3.00,1.00"), "row 2: movieRatingCount: \"1.5\" is not a whole number"),
        (row("2,,,,1,1990,three,1.00"), "row 2: movieAvgRating: \"three\" is not a number"),
        (row("2,,,,1,1990,-3,1.00"), "row 2: movieAvgRating: -3 is not from 0 to"),
        (row("2,,,,1,1990,inf,1.00"), "row 2: movieAvgRating: inf is not from 0 to"),
        (row("2,,,,1,1990,,1.00"), "row 2: movieAvgRating: no value"),
        (row("1,,,,1,1990,3.00,1.00"), "id 1 occurs twice"),
        (row("2,,,"), "movies.csv: is not readable as CSV"),
        (
            row("").replace("movieRatingCount", "movie_rating_count"),
            "movies.csv: no column movieRatingCount; the nearest is \"movie_rating_count\"",
        ),
        ("a,b\n1,2\n".to_owned(), "no column movieId (or id, word); the columns are a, b"),
    ] {
        fs::write(&path, &text).unwrap();
        let error = movie_features(&path).await.unwrap_err();
        assert!(error.contains(expected), "{error}\nis not: {expected}");
        assert!(error.contains("movies.csv"), "{error}");
    }
    fs::write(&path, [row("").as_bytes(), b"2,\xff,,,1,1990,3.00,1.00\n"].concat()).unwrap();
    let error = movie_features(&path).await.unwrap_err();
    assert!(error.contains("movies.csv") && error.contains("UTF-8"), "{error}");
    fs::write(&path, b"1:0.5\n\xff:1\n").unwrap();
    let error = item_embeddings(&path).await.unwrap_err();
    assert!(error.ends_with("movies.csv: line 2: not UTF-8 text"), "{error}");
    fs::write(&path, [0x1f, 0x8b, 8, 0]).unwrap();
    let error = movie_features(&path).await.unwrap_err();
    assert!(error.contains("movies.csv: is not readable as gzip: "), "{error}");
    fs::write(&path, b"PK\x03\x04\x14\0").unwrap();
    let error = movie_features(&path).await.unwrap_err();
    assert!(error.ends_with("movies.csv: is a zip archive: unpack it"), "{error}");
    fs::write(&path, vec![b'x'; 3 << 20]).unwrap();
    let error = movie_features(&path).await.unwrap_err();
    assert!(error.contains("line 1 has no end"), "{error}");
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn text_around_quotes_in_csv_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("movies.csv");
    let row =
        |row: &str| format!("movieId,{}\n1,,,,1,1990,3.00,1.00\n{row}\n", MOVIE_FIELDS.join(","));
    for (rows, problem) in [
        ("\"2\"0,,,,1,1990,3.00,1.00", "line 3: text after a closing quote"),
        ("2,\"Sci\"-Fi,,,1,1990,3.00,1.00", "line 3: text after a closing quote"),
        ("2,Sci \"Fi\",,,1,1990,3.00,1.00", "line 3: quote inside an unquoted field"),
        (
            "2,\"Drama,,,1,1990,3.00,1.00\n3,Drama\",,,1,1990,3.00,1.00",
            "line 3: quoted field contains the next record",
        ),
        ("2,\"Drama,,,1,1990,3.00,1.00", "line 3: quoted field without a closing quote"),
        ("2,,,,1,1990,3.00,1.00,", "line 3: 8 columns expected, 9 found"),
    ] {
        fs::write(&path, row(rows)).unwrap();
        let error = movie_features(&path).await.unwrap_err();
        let expected = format!("movies.csv: is not readable as CSV: {problem}");
        assert!(error.contains(&expected), "{error}\nis not: {expected}");
    }
    // The quoting of Spark.
    fs::write(&path, row("2,\"The \\\"New\\\" Wave\",,,1,1990,3.00,1.00")).unwrap();
    let entries = movie_features(&path).await.unwrap();
    let values = ["The \"New\" Wave", "", "", "1", "1990", "3.00", "1.00"];
    assert_eq!(entries[1], Entry::MovieFeatures(MovieId(2), fields(&MOVIE_FIELDS, &values)));
}

#[tokio::test]
async fn text_may_be_compressed_with_gzip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("movies.csv.gz");
    let mut text = format!("\u{feff}movieId,{}\n", MOVIE_FIELDS.join(","));
    for id in 1..=5000 {
        writeln!(text, "{id},,,,{id},1990,3.00,1.00").unwrap();
    }
    let compressed = gzip(text.as_bytes());
    fs::write(&path, &compressed).unwrap();
    let entries = movie_features(&path).await.unwrap();
    fs::write(&path, &text).unwrap();
    assert_eq!(entries, movie_features(&path).await.unwrap());
    // Two concatenated members.
    let (first, second) = text.split_at(text.len() / 2);
    fs::write(&path, [gzip(first.as_bytes()), gzip(second.as_bytes())].concat()).unwrap();
    assert_eq!(entries, movie_features(&path).await.unwrap());
    fs::write(&path, &compressed[..compressed.len() - 20]).unwrap();
    let error = movie_features(&path).await.unwrap_err();
    assert!(error.contains("movies.csv.gz: is not readable as gzip"), "{error}");

    fs::write(&path, gzip("\u{feff}1:0.5\n2:1\n".as_bytes())).unwrap();
    assert_eq!(item_embeddings(&path).await.unwrap().len(), 2);
    fs::write(&path, gzip(&gzip(b"1:0.5\n"))).unwrap();
    let error = item_embeddings(&path).await.unwrap_err();
    assert!(error.contains("another compressed file"), "{error}");
}

#[tokio::test]
async fn nan_is_a_missing_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.csv");
    let header = USER_FIELDS.join(",");
    fs::write(
        &path,
        format!(
            "userId,{header}\n6.0,318.0,NaN,nan,NaN,NaN,100,1994,8.1,3.92,0.99,Drama,NaN,nan,NaN,NaN\n"
        ),
    )
    .unwrap();
    let values =
        ["318", "", "", "", "", "100", "1994", "8.10", "3.92", "0.99", "Drama", "", "", "", ""];
    let expected = [Entry::UserFeatures(UserId(6), fields(&USER_FIELDS, &values))];
    assert_eq!(user_features(&path).await.unwrap(), expected);
    let mut columns: Columns = vec![("userId", Arc::new(Int32Array::from(vec![6])))];
    for (name, value) in USER_FIELDS.into_iter().zip(values) {
        let text = if value.is_empty() { "NaN" } else { value };
        columns.push((name, Arc::new(StringArray::from(vec![text]))));
    }
    write_parquet(&path, columns);
    assert_eq!(user_features(&path).await.unwrap(), expected);
    fs::write(&path, format!("userId,{header}\nNaN,,,,,,1,1994,,3.92,,,,,,\n")).unwrap();
    let error = user_features(&path).await.unwrap_err();
    assert!(error.ends_with("row 1: userId: no id"), "{error}");
}

#[tokio::test]
async fn columns_whose_names_differ_only_in_case_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors");
    let column = |values| ints([Some(values), Some(values + 1)]);
    let vectors = || texts([Some("1 2"), Some("3 4")]);
    write_parquet(
        &path,
        vec![("movieId", column(1)), ("movieid", column(7)), ("embedding", vectors())],
    );
    let expected = "the columns \"movieId\" and \"movieid\" have the same name: rename one";
    let error = item_embeddings(&path).await.unwrap_err();
    assert!(error.ends_with(expected), "{error}");
    fs::write(&path, "movieId,movieid,embedding\n1,7,1 2\n").unwrap();
    let error = item_embeddings(&path).await.unwrap_err();
    assert!(error.ends_with(expected), "{error}");
}

#[tokio::test]
async fn truncated_parquet_and_missing_columns_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.parquet");
    write_parquet(&path, of_spark(1));
    let whole = fs::read(&path).unwrap();
    for length in [0, 3, 11, 200, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = user_features(&path).await.unwrap_err();
        assert!(error.contains("users.parquet") && error.contains("Parquet"), "{length}: {error}");
    }
    // A footer that refers to missing data.
    let mut hollow = whole.clone();
    hollow.drain(4..100);
    fs::write(&path, hollow).unwrap();
    let error = user_features(&path).await.unwrap_err();
    assert!(error.contains("users.parquet"), "{error}");

    let mut columns = of_spark(1);
    columns.remove(6);
    write_parquet(&path, columns);
    let error = user_features(&path).await.unwrap_err();
    assert!(error.contains("users.parquet: no column userRatingCount"), "{error}");
    let mut columns = of_spark(1);
    columns[6].1 = Arc::new(arrow_array::BooleanArray::from(vec![true, false]));
    write_parquet(&path, columns);
    let error = user_features(&path).await.unwrap_err();
    assert!(
        error.contains("column userRatingCount contains Boolean, not whole numbers"),
        "{error}"
    );
    write_parquet(&path, of_spark(-1));
    let error = user_features(&path).await.unwrap_err();
    assert!(error.contains("row 1: userId: -1 is not a whole number"), "{error}");
}

/// Files with features and vectors in several encodings.
fn good_parquet(path: &Path) -> Vec<(bool, Vec<u8>)> {
    let mut files = Vec::new();
    let builder = WriterProperties::builder;
    let delta = |encoding| builder().set_dictionary_enabled(false).set_encoding(encoding);
    for properties in [
        builder().set_compression(Compression::SNAPPY),
        builder().set_writer_version(WriterVersion::PARQUET_2_0),
        delta(Encoding::PLAIN).set_compression(Compression::ZSTD(ZstdLevel::default())),
    ] {
        write_with(path, of_spark(6), properties.build());
        files.push((true, fs::read(path).unwrap()));
    }
    let vectors = |data_type| {
        let rows =
            (0..40).map(|row| Some((0..8).map(move |column| Some(f64::from(row * column) / 7.0))));
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows));
        let ids = (1..=40).map(|id: i32| id.to_string()).collect::<Vec<_>>();
        let ids = arrow_cast::cast::cast(&StringArray::from(ids), &data_type).unwrap();
        vec![("movieId", ids), ("embedding", list)]
    };
    for (data_type, properties) in [
        (DataType::Int32, builder()),
        (DataType::Int64, delta(Encoding::PLAIN)),
        (
            DataType::Utf8,
            delta(Encoding::PLAIN)
                .set_column_encoding("movieId".into(), Encoding::DELTA_BYTE_ARRAY),
        ),
        (
            DataType::Utf8,
            delta(Encoding::PLAIN)
                .set_column_encoding("movieId".into(), Encoding::DELTA_LENGTH_BYTE_ARRAY),
        ),
        (
            DataType::Int32,
            delta(Encoding::PLAIN)
                .set_column_encoding("movieId".into(), Encoding::DELTA_BINARY_PACKED),
        ),
    ] {
        write_with(path, vectors(data_type), properties.build());
        files.push((false, fs::read(path).unwrap()));
    }
    files
}

fn write_with(path: &Path, columns: Columns, properties: WriterProperties) {
    // Nullable columns, as Spark writes them.
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[tokio::test]
async fn damaged_parquet_is_read_or_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.parquet");
    let mut numbers = Random(1);
    let mut refused = 0;
    let rounds =
        sparrow_test_support::rounds("damaged Parquet files, each of several kinds", 100, 2000);
    let mut files = 0;
    for (features, good) in good_parquet(&path) {
        files += rounds;
        for round in 0..rounds {
            let mut bytes = good.clone();
            if round > 0 {
                for _ in 0..=numbers.below(3) {
                    // Half of the damage is in the footer.
                    let tail = bytes.len().min(1 + numbers.below(2) * bytes.len() + 600);
                    let offset = bytes.len() - 1 - numbers.below(tail);
                    match numbers.below(4) {
                        0 => bytes[offset] = numbers.below(256) as u8,
                        1 => bytes[offset] = [0, 0x7f, 0x80, 0xff][numbers.below(4)],
                        2 => {
                            let end = (offset + numbers.below(4)).min(bytes.len());
                            bytes.drain(offset..end);
                        }
                        _ => bytes[offset] ^= 1 << numbers.below(8),
                    }
                }
            }
            fs::write(&path, &bytes).unwrap();
            let outcome =
                if features { user_features(&path).await } else { item_embeddings(&path).await };
            match outcome {
                Ok(entries) => assert!(entries.len() <= 40, "{}", entries.len()),
                Err(error) => {
                    assert!(round > 0, "{error}");
                    assert!(error.contains("damaged.parquet"), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused * 4 > files, "{refused} of {files}");
}

#[tokio::test]
async fn small_files_that_claim_large_contents_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claims.parquet");
    let ids = |count| Arc::new(Int32Array::from(vec![7; count])) as ArrayRef;
    let zeros = |count| {
        let values = std::iter::repeat_n(Some(0.0), count);
        let rows = std::iter::once(Some(values));
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows)) as ArrayRef
    };
    let zeros_as_text = |count| Arc::new(StringArray::from(vec!["0"; count])) as ArrayRef;
    let long_text = || Arc::new(StringArray::from(vec!["0 ".repeat(9 << 20)])) as ArrayRef;
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let large_pages = || {
        let properties = WriterProperties::builder().set_compression(zstd);
        let properties = properties.set_dictionary_enabled(false);
        properties.set_data_page_size_limit(1 << 30).set_data_page_row_count_limit(usize::MAX)
    };
    for (columns, properties, expected) in [
        (
            vec![("movieId", ids(1)), ("embedding", zeros(2_000_000))],
            WriterProperties::builder(),
            "it claims 2000000 values in 1 rows and",
        ),
        (
            vec![("movieId", ids(2_000_000)), ("embedding", zeros_as_text(2_000_000))],
            WriterProperties::builder(),
            "it claims 2000000 rows in",
        ),
        (vec![("movieId", ids(1)), ("embedding", long_text())], large_pages(), "uncompressed"),
    ] {
        write_with(&path, columns, properties.build());
        let size = fs::metadata(&path).unwrap().len();
        assert!(size < 20_000, "{size}");
        let error = item_embeddings(&path).await.unwrap_err();
        assert!(
            error.contains("claims.parquet: is not readable as Parquet")
                && error.contains(expected),
            "{error}"
        );
    }
    // The same number of components in text.
    let numbers = format!("7:{}\n", "0 ".repeat(70_000));
    fs::write(path.with_extension("csv"), numbers).unwrap();
    let error = item_embeddings(&path.with_extension("csv")).await.unwrap_err();
    assert!(error.ends_with("id 7 has 70000 components, more than 65536"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn named_pipes_are_rejected_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("userFeatures.csv");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&*pipe, folder.path()] {
        let error = user_features(path).await.unwrap_err();
        assert!(error.contains("userFeatures.csv: it is a named pipe, not a file"), "{error}");
    }
    // A pipe in place of the metadata of vectors.
    let vectors = folder.path().join("vectors");
    fs::create_dir(&vectors).unwrap();
    fs::write(vectors.join("item2vecEmb.csv"), "1:0.5 0.5\n").unwrap();
    let pipe = vectors.join("embedding.json");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = item_embeddings(&vectors.join("item2vecEmb.csv")).await.unwrap_err();
    assert!(error.contains("embedding.json: it is a named pipe, not a file"), "{error}");
}

#[tokio::test]
async fn folders_without_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let error = user_features(&folder.path().join("nowhere")).await.unwrap_err();
    assert!(error.starts_with("cannot read") && error.contains("nowhere"), "{error}");
    fs::write(folder.path().join("_SUCCESS"), "").unwrap();
    let error = user_features(folder.path()).await.unwrap_err();
    assert!(error.ends_with("the folder contains no files"), "{error}");
    fs::create_dir(folder.path().join("year=2020")).unwrap();
    let error = user_features(folder.path()).await.unwrap_err();
    assert!(error.contains("contains the folder year=2020"), "{error}");
    let error = read(&Sources::default()).await.unwrap_err();
    assert!(error.contains("there are no sources"), "{error}");
}

#[tokio::test]
async fn special_characters_in_names_are_supported() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a b%20c.csv", "fäkta#1.csv", "x?y.csv"] {
        let path = folder.path().join(name);
        fs::write(&path, "1:1\n").unwrap();
        assert_eq!(item_embeddings(&path).await.unwrap().len(), 1, "{name}");
    }
}
