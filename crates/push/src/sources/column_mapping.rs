//! Maps columns of files, as Spark and others write them, to entries of the store.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Float64Type, Int8Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow_cast::cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Schema};
use sparrow_features::{Definition, Hundredths, MOVIE, USER, ValueType};
use sparrow_model::{MovieId, UserId, nearest_name};
use sparrow_neural::MAX_DIMENSION;
use sparrow_store::{Entry, Fields};

use super::Table;

/// Names of the id column: that of the pipeline, and those of Spark's Word2Vec and ALS models.
const USER_ID: &[&str] = &["userId", "id"];
const MOVIE_ID: &[&str] = &["movieId", "id", "word"];
const VECTOR: &[&str] = &["embedding", "emb", "vector", "features"];

/// The greatest number for which two decimals are exact.
const MAX_REAL: f64 = 4e7;

/// The accepted values of a column, for messages.
const fn expected(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::MovieId => "movie ids",
        ValueType::Genre => "text",
        ValueType::Count | ValueType::Year => "whole numbers",
        ValueType::Mean | ValueType::Deviation => "numbers",
    }
}

/// The columns of a table in a file.
#[derive(Debug, Clone)]
pub(super) struct ColumnMapping {
    table: Table,
    id: String,
    /// The features and their columns; empty for tables of vectors.
    fields: Vec<(&'static Definition, String)>,
    /// The column with the vectors.
    vector: Option<String>,
}

impl ColumnMapping {
    /// Finds the columns; the error names the missing or mistyped one.
    pub(super) fn find(table: Table, schema: &Schema) -> Result<Self, String> {
        let ids = if table.is_of_users() { USER_ID } else { MOVIE_ID };
        let id = find(schema, ids)?;
        check_type(schema, &id, "ids", |values| !matches!(values, Type::Other | Type::List))?;
        let mut layout = Self { table, id, fields: Vec::new(), vector: None };
        let definitions = match table {
            Table::UserFeatures => USER,
            Table::MovieFeatures => MOVIE,
            Table::UserEmbeddings | Table::ItemEmbeddings => {
                let vector = find(schema, VECTOR)?;
                check_type(schema, &vector, "lists of numbers, or text", |values| {
                    matches!(values, Type::List | Type::Text)
                })?;
                layout.vector = Some(vector);
                return Ok(layout);
            }
        };
        for definition in definitions {
            let (value_type, column) = (definition.value_type, find(schema, &[definition.name])?);
            check_type(schema, &column, expected(value_type), |values| match value_type {
                ValueType::Genre => values == Type::Text,
                _ => matches!(values, Type::Whole | Type::Real | Type::Text),
            })?;
            layout.fields.push((definition, column));
        }
        Ok(layout)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The names of the required columns.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        let fields = self.fields.iter().map(|(_, column)| &**column);
        std::iter::once(&*self.id).chain(fields).chain(self.vector.as_deref())
    }

    /// The rows as entries. `first` is the number of the first row, for messages.
    pub(super) fn entries(&self, batch: &RecordBatch, first: u64) -> Result<Vec<Entry>, String> {
        let ids = Values::of(column(batch, &self.id)?)?;
        let id = |row: usize| {
            ids.id(row).map_err(|what| format!("row {}: {}: {what}", first + row as u64, self.id))
        };
        if let Some(name) = &self.vector {
            let vectors = Vectors::of(column(batch, name)?)?;
            return (0..batch.num_rows())
                .map(|row| {
                    let vector = vectors.vector(row);
                    let vector = vector
                        .map_err(|what| format!("row {}: {name}: {what}", first + row as u64))?;
                    Ok(self.table.embedding(id(row)?, vector))
                })
                .collect();
        }
        let columns = self
            .fields
            .iter()
            .map(|(definition, file)| Ok((*definition, Values::of(column(batch, file)?)?)))
            .collect::<Result<Vec<_>, String>>()?;
        (0..batch.num_rows())
            .map(|row| {
                let field = |(definition, values): &(&Definition, Values)| {
                    let Definition { name, value_type, .. } = *definition;
                    let text = values.text(*value_type, row);
                    let text =
                        text.map_err(|what| format!("row {}: {name}: {what}", first + row as u64))?;
                    Ok(((*name).to_owned(), text))
                };
                let fields = columns.iter().map(field).collect::<Result<Vec<_>, String>>()?;
                let (id, fields) = (id(row)?, Fields(fields));
                Ok(match self.table {
                    Table::UserFeatures => Entry::UserFeatures(UserId(id), fields),
                    _ => Entry::MovieFeatures(MovieId(id), fields),
                })
            })
            .collect()
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, String> {
    batch.column_by_name(name).ok_or_else(|| format!("no column {name}"))
}

/// The first of the names that the file contains, exactly or in another case.
fn find(schema: &Schema, names: &[&str]) -> Result<String, String> {
    let present: Vec<&str> = schema.fields().iter().map(|field| &**field.name()).collect();
    let exact = names.iter().find(|name| present.contains(name)).copied();
    let found = exact.or_else(|| {
        let mut pairs =
            names.iter().flat_map(|name| present.iter().map(move |column| (name, column)));
        pairs.find(|(name, column)| name.eq_ignore_ascii_case(column)).map(|(_, column)| *column)
    });
    if let Some(found) = found {
        let same = present.iter().filter(|column| column.eq_ignore_ascii_case(found));
        let same: Vec<String> = same.map(|name| format!("{name:?}")).collect();
        return match same[..] {
            [_] => Ok(found.to_owned()),
            _ => Err(format!("the columns {} have the same name: rename one", same.join(" and "))),
        };
    }
    let (expected, others) = (names[0], &names[1..]);
    let others = match others {
        [] => String::new(),
        others => format!(" (or {})", others.join(", ")),
    };
    let nearest = match nearest_name(expected, present.iter().copied()) {
        Some(nearest) => format!("; the nearest is {:?}", nearest.name),
        None if present.len() <= 20 => format!("; the columns are {}", present.join(", ")),
        None => String::new(),
    };
    Err(format!("no column {expected}{others}{nearest}"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Whole,
    Real,
    Text,
    List,
    Other,
}

impl Type {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            whole if whole.is_integer() => Self::Whole,
            real if real.is_floating() || real.is_decimal() => Self::Real,
            // A column of nulls only.
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                Self::Text
            }
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::FixedSizeList(item, _)
                if item.data_type().is_numeric() =>
            {
                Self::List
            }
            DataType::Struct(parts) if parts.find("values").is_some() => Self::List,
            _ => Self::Other,
        }
    }
}

fn check_type(
    schema: &Schema,
    name: &str,
    expected: &str,
    fits: impl FnOnce(Type) -> bool,
) -> Result<(), String> {
    match schema.field_with_name(name) {
        Ok(field) if fits(Type::of(field.data_type())) => Ok(()),
        Ok(field) => Err(format!("column {name} contains {}, not {expected}", field.data_type())),
        Err(error) => Err(error.to_string()),
    }
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    // "Safe" casts would turn invalid values into nulls.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|error| error.to_string())
}

/// A column of single values.
#[derive(Debug)]
enum Values {
    Whole(Int64Array),
    Real(Float64Array),
    Text(StringArray),
}

impl Values {
    fn of(array: &ArrayRef) -> Result<Self, String> {
        Ok(match Type::of(array.data_type()) {
            Type::Whole => Self::Whole(cast(array, &DataType::Int64)?.as_primitive().clone()),
            Type::Real => Self::Real(cast(array, &DataType::Float64)?.as_primitive().clone()),
            _ => Self::Text(cast(array, &DataType::Utf8)?.as_string().clone()),
        })
    }

    /// The trimmed text; `None` for a missing value, or NaN, which pandas writes for those.
    fn trimmed(values: &StringArray, row: usize) -> Option<&str> {
        let text = values.is_valid(row).then(|| values.value(row).trim())?;
        (!text.is_empty() && !text.eq_ignore_ascii_case("nan")).then_some(text)
    }

    /// The value as a number; `None` if missing.
    fn real(&self, row: usize) -> Result<Option<f64>, String> {
        let value = match self {
            Self::Whole(values) => values.is_valid(row).then(|| values.value(row) as f64),
            Self::Real(values) => values.is_valid(row).then(|| values.value(row)),
            Self::Text(values) => match Self::trimmed(values, row) {
                Some(text) => Some(text.parse().map_err(|_| format!("{text:?} is not a number"))?),
                None => None,
            },
        };
        match value.filter(|value| !value.is_nan()) {
            Some(value) if !(0.0..=MAX_REAL).contains(&value) => {
                Err(format!("{value} is not from 0 to {MAX_REAL}"))
            }
            value => Ok(value),
        }
    }

    /// The value as a whole number; `None` if missing. Numbers such as 318.0, which some libraries
    /// write in columns with gaps, are valid.
    fn whole(&self, row: usize) -> Result<Option<u32>, String> {
        let refused = |value: &dyn std::fmt::Display| {
            format!("{value} is not a whole number from 0 to {}", u32::MAX)
        };
        match self {
            Self::Whole(values) if values.is_valid(row) => {
                let value = values.value(row);
                u32::try_from(value).map(Some).map_err(|_| refused(&value))
            }
            Self::Whole(_) => Ok(None),
            Self::Text(values) => {
                let Some(text) = Self::trimmed(values, row) else { return Ok(None) };
                if let Ok(value) = text.parse() {
                    return Ok(Some(value));
                }
                let value = text.parse().ok().filter(|value: &f64| is_u32(*value));
                value.map(|value| Some(value as u32)).ok_or_else(|| refused(&format!("{text:?}")))
            }
            Self::Real(values) => {
                let value = values.is_valid(row).then(|| values.value(row));
                match value.filter(|value| !value.is_nan()) {
                    Some(value) if is_u32(value) => Ok(Some(value as u32)),
                    Some(value) => Err(refused(&value)),
                    None => Ok(None),
                }
            }
        }
    }

    fn id(&self, row: usize) -> Result<u32, String> {
        self.whole(row)?.ok_or_else(|| "no id".to_owned())
    }

    /// The value as the store has it.
    fn text(&self, value_type: ValueType, row: usize) -> Result<String, String> {
        let missing = || "no value".to_owned();
        Ok(match value_type {
            ValueType::MovieId => match self.whole(row)? {
                // samples contain 0 where there is none.
                None | Some(0) => String::new(),
                Some(id) => id.to_string(),
            },
            ValueType::Genre => match self {
                Self::Text(values) => Self::trimmed(values, row).unwrap_or("").to_owned(),
                Self::Whole(_) | Self::Real(_) => return Err("not text".to_owned()),
            },
            ValueType::Count => self.whole(row)?.ok_or_else(missing)?.to_string(),
            ValueType::Year => (self.real(row)?.unwrap_or(0.0) as u32).to_string(),
            ValueType::Mean => Hundredths::round(self.real(row)?.ok_or_else(missing)?).to_string(),
            ValueType::Deviation => Hundredths::round(self.real(row)?.unwrap_or(0.0)).to_string(),
        })
    }
}

fn is_u32(value: f64) -> bool {
    value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value)
}

/// A column of vectors.
#[derive(Debug)]
enum Vectors {
    List(ListArray),
    /// Spark's vector type: dense, or indices and values.
    Spark(StructArray),
    /// Numbers separated by spaces.
    Text(StringArray),
}

impl Vectors {
    fn of(array: &ArrayRef) -> Result<Self, String> {
        Ok(match array.data_type() {
            DataType::Struct(_) => Self::Spark(array.as_struct().clone()),
            _ if Type::of(array.data_type()) == Type::Text => {
                Self::Text(cast(array, &DataType::Utf8)?.as_string().clone())
            }
            _ => {
                let item = Arc::new(Field::new_list_field(DataType::Float32, true));
                Self::List(cast(array, &DataType::List(item))?.as_list().clone())
            }
        })
    }

    fn vector(&self, row: usize) -> Result<Vec<f32>, String> {
        let missing = || "no vector".to_owned();
        match self {
            Self::List(lists) => {
                let list = lists.is_valid(row).then(|| lists.value(row)).ok_or_else(missing)?;
                let list = list.as_primitive::<Float32Type>();
                if list.null_count() > 0 {
                    return Err("a number is missing".to_owned());
                }
                Ok(list.values().to_vec())
            }
            Self::Text(texts) => {
                let text = texts.is_valid(row).then(|| texts.value(row)).ok_or_else(missing)?;
                text.split_ascii_whitespace()
                    .map(|number| number.parse().map_err(|_| format!("{number:?} is not a number")))
                    .collect()
            }
            Self::Spark(vectors) => {
                if vectors.is_null(row) {
                    return Err(missing());
                }
                spark_vector(vectors, row).ok_or_else(|| "not a vector of Spark".to_owned())
            }
        }
    }
}

/// A value of Spark's vector type: `type` 1 is dense and has `values`, 0 is sparse and has `size`,
/// `indices` and `values`.
fn spark_vector(vectors: &StructArray, row: usize) -> Option<Vec<f32>> {
    let list = |name: &str| {
        let lists = vectors.column_by_name(name)?.as_list_opt::<i32>()?;
        lists.is_valid(row).then(|| lists.value(row))
    };
    let values = list("values")?;
    let values = values.as_primitive_opt::<Float64Type>()?.values();
    let kind = vectors.column_by_name("type")?;
    let kind = match kind.data_type() {
        DataType::Int8 => i64::from(kind.as_primitive::<Int8Type>().value(row)),
        _ => cast(kind, &DataType::Int64).ok()?.as_primitive::<Int64Type>().value(row),
    };
    if kind == 1 {
        return Some(values.iter().map(|&value| value as f32).collect());
    }
    let size = vectors.column_by_name("size")?.as_primitive_opt::<Int32Type>()?.value(row);
    let indices = list("indices")?;
    let indices = indices.as_primitive_opt::<Int32Type>()?.values();
    // A larger size is no embedding, and must not cause an allocation of gigabytes.
    let size = usize::try_from(size).ok().filter(|&size| size <= MAX_DIMENSION)?;
    let mut vector = vec![0.0; size];
    for (&index, &value) in indices.iter().zip(values) {
        *vector.get_mut(usize::try_from(index).ok()?)? = value as f32;
    }
    Some(vector)
}
