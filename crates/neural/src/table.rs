use std::io::{self, BufRead, Write};

use sparrow_model::skip_byte_order_mark;

/// The name of the item vectors file, as in the original system.
pub const ITEM_FILE: &str = "item2vecEmb.csv";
/// The name of the user vectors file.
pub const USER_FILE: &str = "userEmb.csv";

/// Maximum magnitude of a component: sums of squares stay finite.
const MAX_MAGNITUDE: f32 = 1e15;

/// The error of an embedding file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An I/O error.
    #[error("cannot read {file}")]
    Io {
        /// The file.
        file: String,
        /// The cause.
        source: io::Error,
    },
    /// A line is not `id:f f f …`.
    #[error("{file}:{line}: {message}")]
    Malformed {
        /// The file.
        file: String,
        /// The line number, from 1.
        line: usize,
        /// The error.
        message: String,
    },
    /// The SHA-256 of the file differs from the metadata.
    #[error(
        "the SHA-256 of {0} differs from embedding.json: the file is damaged or from another run of embed"
    )]
    Digest(String),
    /// The file has no vectors.
    #[error("{0} has no vectors")]
    Empty(String),
}

/// Vectors of equal dimension by id, in order of id.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EmbeddingTable {
    dimension: usize,
    ids: Vec<u32>,
    /// Row-major.
    values: Vec<f32>,
}

impl EmbeddingTable {
    /// Reads the text format: one line `id:f f f …` per vector, in any order. `file` is the name in error messages.
    ///
    /// # Errors
    /// On I/O errors, malformed lines, different dimensions, duplicate ids, non-finite components or no vectors.
    pub fn read(mut input: impl BufRead, file: &str) -> Result<Self, Error> {
        let malformed = |line, message| Error::Malformed { file: file.to_owned(), line, message };
        let mut builder = TableBuilder::default();
        let (mut bytes, mut line) = (Vec::new(), 0);
        loop {
            bytes.clear();
            let read = input.read_until(b'\n', &mut bytes);
            if read.map_err(|source| Error::Io { file: file.to_owned(), source })? == 0 {
                break;
            }
            line += 1;
            let text = str::from_utf8(skip_byte_order_mark(&bytes))
                .map_err(|_| malformed(line, "not UTF-8 text".to_owned()))?
                .trim();
            if !text.is_empty() {
                let parsed = parse_line(text, &mut builder.values);
                parsed
                    .and_then(|id| builder.close_row(id))
                    .map_err(|message| malformed(line, message))?;
            }
        }
        if builder.ids.is_empty() {
            return Err(Error::Empty(file.to_owned()));
        }
        builder.build().map_err(|message| malformed(line, message))
    }

    /// Like [`read`](Self::read), and verifies the SHA-256 if given.
    #[cfg(feature = "model-file")]
    pub fn read_verified(
        input: impl io::Read,
        file: &str,
        sha256: Option<&str>,
    ) -> Result<Self, Error> {
        let mut input = io::BufReader::with_capacity(1 << 18, sparrow_files::Hashing::new(input));
        let table = Self::read(&mut input, file)?;
        match sha256 {
            Some(expected) if input.get_ref().sha256() != expected => {
                Err(Error::Digest(file.to_owned()))
            }
            _ => Ok(table),
        }
    }

    /// Writes the text format in order of id, with the shortest exact decimal representation.
    pub fn write(&self, mut output: impl Write) -> io::Result<()> {
        for (id, row) in self.iter() {
            write!(output, "{id}:")?;
            for (index, value) in row.iter().enumerate() {
                write!(output, "{}{value}", if index == 0 { "" } else { " " })?;
            }
            output.write_all(b"\n")?;
        }
        output.flush()
    }

    /// The dimension of the vectors.
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// The number of vectors.
    pub const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns whether there are no vectors.
    pub const fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Returns the vector of an id.
    pub fn get(&self, id: u32) -> Option<&[f32]> {
        // MovieLens user ids are dense from 1 on: try the direct index first.
        let index = match self.ids.get((id as usize).wrapping_sub(1)) {
            Some(&there) if there == id => id as usize - 1,
            _ => self.ids.binary_search(&id).ok()?,
        };
        Some(self.row(index))
    }

    /// Iterates over ids and vectors in order of id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &[f32])> {
        self.ids.iter().enumerate().map(|(index, &id)| (id, self.row(index)))
    }

    /// The number of vectors without a [direction](has_direction).
    pub fn zero_count(&self) -> usize {
        self.iter().filter(|(_, row)| !has_direction(row)).count()
    }

    /// Normalises every vector to length 1, except zero vectors.
    pub fn normalise(&mut self) {
        for row in self.values.chunks_exact_mut(self.dimension) {
            normalise(row);
        }
    }

    fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dimension..(index + 1) * self.dimension]
    }
}

/// Normalises a vector to length 1, unless it has no [direction](has_direction).
pub fn normalise(vector: &mut [f32]) {
    let scale = inverse_length(vector);
    for value in vector {
        *value *= scale;
    }
}

/// Returns whether a vector can be normalised: it is neither zero nor so short that 1 / length overflows. Vectors
/// without a direction are treated as missing.
pub fn has_direction(vector: &[f32]) -> bool {
    reciprocal_length(vector).is_some()
}

/// 1 / length; 1 for a vector without a direction.
pub(crate) fn inverse_length(vector: &[f32]) -> f32 {
    reciprocal_length(vector).unwrap_or(1.0)
}

fn reciprocal_length(vector: &[f32]) -> Option<f32> {
    let square: f64 = vector.iter().map(|&value| f64::from(value).powi(2)).sum();
    let inverse = (1.0 / square.sqrt()) as f32;
    inverse.is_finite().then_some(inverse)
}

/// Appends the components of a line `id:f f f …` to `values` and returns the id. The error is a message.
pub fn parse_line(text: &str, values: &mut Vec<f32>) -> Result<u32, String> {
    let (id, numbers) = text
        .split_once(':')
        .ok_or_else(|| format!("no colon after the id in {:?}", truncate(text)))?;
    let id = id
        .trim()
        .parse()
        .map_err(|_| format!("id {:?} is not an integer from 0 to {}", truncate(id), u32::MAX))?;
    for number in numbers.split_ascii_whitespace() {
        values.push(number.parse().map_err(|_| format!("{:?} is not a number", truncate(number)))?);
    }
    Ok(id)
}

/// The maximum number of dimensions of a vector.
pub const MAX_DIMENSION: usize = 1 << 16;

/// Checks that a vector is not empty and not too long, has the given dimension, and finite components of at most 1e15. The
/// error is a message.
pub fn check_vector(id: u32, vector: &[f32], dimension: Option<usize>) -> Result<(), String> {
    if vector.is_empty() {
        return Err(format!("id {id} has no components"));
    }
    if vector.len() > MAX_DIMENSION {
        return Err(format!("id {id} has {} components, more than {MAX_DIMENSION}", vector.len()));
    }
    if let Some(dimension) = dimension.filter(|&dimension| dimension != vector.len()) {
        let length = vector.len();
        return Err(format!("id {id} has {length} dimensions, previous vectors have {dimension}"));
    }
    match vector.iter().find(|value| value.is_nan() || value.abs() > MAX_MAGNITUDE) {
        Some(bad) => Err(format!("id {id}: component {bad} is not finite or too large")),
        None => Ok(()),
    }
}

/// Truncates a text for a message.
fn truncate(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(end, _)| &text[..end])
}

/// Builds an [`EmbeddingTable`].
#[derive(Debug, Default)]
pub struct TableBuilder {
    dimension: usize,
    ids: Vec<u32>,
    values: Vec<f32>,
}

impl TableBuilder {
    /// Adds a vector. The first one determines the dimension. The error is a message.
    pub fn push(&mut self, id: u32, vector: &[f32]) -> Result<(), String> {
        self.values.extend_from_slice(vector);
        self.close_row(id)
    }

    /// Completes a row: the values after the last row become the vector of `id`.
    fn close_row(&mut self, id: u32) -> Result<(), String> {
        let start = self.ids.len() * self.dimension;
        let row = &self.values[start..];
        check_vector(id, row, (!self.ids.is_empty()).then_some(self.dimension))?;
        self.dimension = row.len();
        self.ids.push(id);
        Ok(())
    }

    /// Builds the table. The error is a message that names a duplicate id.
    pub fn build(self) -> Result<EmbeddingTable, String> {
        let Self { dimension, ids, values } = self;
        if ids.is_sorted_by(|a, b| a < b) {
            return Ok(EmbeddingTable { dimension, ids, values });
        }
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&index| ids[index]);
        let sorted: Vec<u32> = order.iter().map(|&index| ids[index]).collect();
        if let Some([duplicate, _]) = sorted.array_windows().find(|[a, b]| a == b) {
            return Err(format!("duplicate id {duplicate}"));
        }
        let mut ordered = Vec::with_capacity(values.len());
        for index in order {
            ordered.extend_from_slice(&values[index * dimension..(index + 1) * dimension]);
        }
        Ok(EmbeddingTable { dimension, ids: sorted, values: ordered })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<EmbeddingTable, String> {
        EmbeddingTable::read(text.as_bytes(), "emb.csv").map_err(|error| error.to_string())
    }

    #[test]
    fn lines_are_read_in_any_order_with_any_line_end() {
        let table = read("\u{feff}9:1 -2.5e-1\r\n\r\n3: 0.5  7\n").unwrap();
        assert_eq!((table.dimension(), table.len()), (2, 2));
        assert_eq!(table.get(9), Some(&[1.0, -0.25][..]));
        assert_eq!(table.iter().map(|(id, _)| id).collect::<Vec<_>>(), [3, 9]);
        assert_eq!(table.get(4), None);
        assert_eq!(table.get(0), None);
    }

    #[test]
    fn errors_contain_file_and_line() {
        for (text, message) in [
            ("", "emb.csv has no vectors"),
            ("1:0.5\n2 0.5\n", "emb.csv:2: no colon after the id in \"2 0.5\""),
            ("-1:0.5\n", "emb.csv:1: id \"-1\" is not an integer from 0 to 4294967295"),
            ("1:0.5 x\n", "emb.csv:1: \"x\" is not a number"),
            ("1:\n", "emb.csv:1: id 1 has no components"),
            ("1:1 2\n2:1\n", "emb.csv:2: id 2 has 1 dimensions, previous vectors have 2"),
            ("1:nan\n", "emb.csv:1: id 1: component NaN is not finite or too large"),
            ("1:1e39\n", "emb.csv:1: id 1: component inf is not finite or too large"),
            ("2:1\n1:1\n2:3\n", "emb.csv:3: duplicate id 2"),
            ("1:1\n1:1\n", "emb.csv:2: duplicate id 1"),
        ] {
            assert_eq!(read(text).unwrap_err(), message);
        }
        let error = EmbeddingTable::read(&b"1:1\n\xff:2\n"[..], "emb.csv").unwrap_err();
        assert_eq!(error.to_string(), "emb.csv:2: not UTF-8 text");
    }

    #[test]
    fn normalise_scales_all_but_zero_vectors() {
        let mut table = read("1:3 4\n2:0 0\n3:1e-40 0\n").unwrap();
        table.normalise();
        assert_eq!(table.get(1), Some(&[0.6, 0.8][..]));
        assert_eq!(table.get(2), Some(&[0.0, 0.0][..]));
        assert_eq!(table.get(3), Some(&[1e-40, 0.0][..]));
        assert_eq!(table.zero_count(), 2);
    }

    proptest! {
        #[test]
        fn written_table_is_read_unchanged(
            rows in prop::collection::btree_map(any::<u32>(), prop::array::uniform3(-1e15..1e15_f32), 1..20),
        ) {
            let mut builder = TableBuilder::default();
            for (id, row) in rows.iter().rev() {
                builder.push(*id, row).unwrap();
            }
            let table = builder.build().unwrap();
            let mut text = Vec::new();
            table.write(&mut text).unwrap();
            prop_assert_eq!(EmbeddingTable::read(&text[..], "emb.csv").unwrap(), table);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = EmbeddingTable::read(&bytes[..], "emb.csv");
        }
    }
}
