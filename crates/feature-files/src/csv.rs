//! Rows as CSV. Decimals have two digits, as in the store.

use std::io::{self, Write};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Int32Type, Int64Type, UInt8Type};
use arrow_array::{Array as _, ArrayRef, Float32Array, Int32Array, Int64Array, RecordBatch};
use arrow_schema::{DataType, Schema};
use sparrow_features::Hundredths;
use sparrow_movielens::write::field;

pub(crate) fn header(out: &mut impl Write, schema: &Schema) -> io::Result<()> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    writeln!(out, "{}", names.join(","))
}

/// A column, downcast once for all rows.
enum Column<'a> {
    Whole(&'a Int32Array),
    Long(&'a Int64Array),
    /// A rating, with one decimal.
    Stars(&'a Float32Array),
    /// A number with two decimals.
    Decimals(&'a Float32Array),
    /// A dictionary column: the encoded text of each key.
    Names(&'a [u8], Vec<Vec<u8>>),
}

impl<'a> Column<'a> {
    fn new(name: &str, values: &'a ArrayRef) -> io::Result<Self> {
        match values.data_type() {
            DataType::Int32 => Ok(Self::Whole(values.as_primitive::<Int32Type>())),
            DataType::Int64 => Ok(Self::Long(values.as_primitive::<Int64Type>())),
            DataType::Float32 if name == RATING => {
                Ok(Self::Stars(values.as_primitive::<Float32Type>()))
            }
            DataType::Float32 => Ok(Self::Decimals(values.as_primitive::<Float32Type>())),
            _ => {
                let column = values.as_dictionary_opt::<UInt8Type>();
                let names = column.and_then(|column| column.values().as_string_opt::<i32>());
                let (Some(column), Some(names)) = (column, names) else {
                    let problem = format!("unsupported type {}", values.data_type());
                    return Err(io::Error::other(problem));
                };
                let written = |name: Option<&str>| {
                    let mut text = Vec::new();
                    field(&mut text, name.unwrap_or_default()).map(|()| text)
                };
                let names = names.iter().map(written).collect::<io::Result<_>>()?;
                Ok(Self::Names(column.keys().values(), names))
            }
        }
    }

    /// Appends the value of a row; nothing for null.
    fn append(&self, row: usize, line: &mut Vec<u8>, digits: &mut itoa::Buffer) {
        match self {
            Self::Whole(values) if values.is_valid(row) => {
                line.extend_from_slice(digits.format(values.value(row)).as_bytes());
            }
            Self::Long(values) if values.is_valid(row) => {
                line.extend_from_slice(digits.format(values.value(row)).as_bytes());
            }
            Self::Stars(values) if values.is_valid(row) => {
                let tenths = (values.value(row) * 10.0) as u8;
                line.extend_from_slice(&[b'0' + tenths / 10, b'.', b'0' + tenths % 10]);
            }
            Self::Decimals(values) if values.is_valid(row) => {
                let hundredths = Hundredths::round(f64::from(values.value(row))).0;
                line.extend_from_slice(digits.format(hundredths / 100).as_bytes());
                let (tens, ones) = (hundredths / 10 % 10, hundredths % 10);
                line.extend_from_slice(&[b'.', b'0' + tens as u8, b'0' + ones as u8]);
            }
            Self::Names(keys, names) => line.extend_from_slice(&names[usize::from(keys[row])]),
            Self::Whole(_) | Self::Long(_) | Self::Stars(_) | Self::Decimals(_) => {}
        }
    }
}

/// The column with ratings in stars.
const RATING: &str = "rating";

pub(crate) fn rows(out: &mut impl Write, batch: &RecordBatch) -> io::Result<()> {
    let columns: Vec<Column<'_>> = batch
        .schema_ref()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, values)| Column::new(field.name(), values))
        .collect::<io::Result<_>>()?;
    let mut line = Vec::with_capacity(256);
    let mut digits = itoa::Buffer::new();
    for row in 0..batch.num_rows() {
        line.clear();
        for column in &columns {
            column.append(row, &mut line, &mut digits);
            line.push(b',');
        }
        line.pop();
        line.push(b'\n');
        out.write_all(&line)?;
    }
    Ok(())
}
