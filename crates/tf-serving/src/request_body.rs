//! Builds the bodies of predict requests by copying serialised values.

use std::ops::Range;

use bytes::Bytes;
use sparrow_model::MovieIndex;

use crate::conversion::write_json_string;
use crate::inputs::Inputs;
use crate::options::{Format, SERVING_DEFAULT};
use crate::signature::Layout;

/// The serialised values of all movies for an input, each followed by a comma.
#[derive(Debug, Default)]
pub(crate) struct MovieValues {
    text: String,
    /// End offset of the value of each movie.
    ends: Vec<usize>,
}

/// Block size for copying: one instruction, and most values are shorter.
const BLOCK: usize = 16;

impl MovieValues {
    /// Adds the value of the next movie.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.text);
        self.text.push(',');
        self.ends.push(self.text.len());
    }

    /// Iterates over the values in the order of the movies.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..end - 1])
    }

    /// Appends the value of a movie and its comma.
    fn append(&self, movie: MovieIndex, bytes: &mut Vec<u8>) {
        let start = movie.index().checked_sub(1).map_or(0, |before| self.ends[before]);
        let end = self.ends[movie.index()];
        let text = self.text.as_bytes();
        match text[start..].first_chunk::<BLOCK>() {
            Some(block) if end - start <= BLOCK => {
                let before = bytes.len();
                bytes.extend_from_slice(block);
                bytes.truncate(before + end - start);
            }
            _ => bytes.extend_from_slice(&text[start..end]),
        }
    }

    /// Appends the value of a movie as a list of one element, and its comma.
    fn append_wrapped(&self, movie: MovieIndex, bytes: &mut Vec<u8>) {
        bytes.push(b'[');
        self.append(movie, bytes);
        bytes.pop();
        bytes.extend_from_slice(b"],");
    }
}

/// The values of an input in a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Values<'a> {
    /// The same value in all rows.
    Same(&'a str),
    /// The value of each row's movie.
    PerMovie(&'a MovieValues),
}

/// The constant parts of the bodies for a model.
#[derive(Debug)]
pub(crate) struct RequestTemplate {
    format: Format,
    /// The text before and after the values.
    frame: (String, &'static str),
    /// The input names as keys, `"userId":`.
    keys: Vec<String>,
}

/// The body of a predict request.
#[derive(Debug)]
pub(crate) struct RequestBody {
    bytes: Vec<u8>,
    /// The byte ranges of the values of each input, or of all rows.
    spans: Vec<Range<usize>>,
    pub(crate) rows: usize,
}

impl RequestBody {
    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }
}

impl RequestTemplate {
    /// Creates the template for a signature.
    pub(crate) fn new(format: Format, inputs: &Inputs, signature: &str) -> Self {
        let key = |name: &str| {
            let mut key = String::new();
            write_json_string(name, &mut key);
            key.push(':');
            key
        };
        let keys = inputs.as_slice().iter().map(|input| key(&input.name)).collect();
        let mut start = "{".to_owned();
        if signature != SERVING_DEFAULT {
            start.push_str("\"signature_name\":");
            write_json_string(signature, &mut start);
            start.push(',');
        }
        let (values, end) = match format {
            Format::Columns => ("\"inputs\":{", "}}"),
            Format::Rows => ("\"instances\":[", "]}"),
        };
        Self { format, frame: (start + values, end), keys }
    }

    /// Builds the body for these movies from the values of each input. Without movie inputs, only the number of movies
    /// matters.
    pub(crate) fn body(
        &self,
        layout: &Layout,
        values: &[Values<'_>],
        movies: &[MovieIndex],
    ) -> RequestBody {
        match self.format {
            Format::Columns => self.columns(layout, values, movies),
            Format::Rows => self.rows(layout, values, movies),
        }
    }

    fn columns(
        &self,
        layout: &Layout,
        values: &[Values<'_>],
        movies: &[MovieIndex],
    ) -> RequestBody {
        let rows = movies.len();
        // An estimate from the length of ids and counts.
        let mut bytes = Vec::with_capacity(64 + values.len() * (32 + rows * 8));
        let mut spans = Vec::with_capacity(values.len());
        bytes.extend_from_slice(self.frame.0.as_bytes());
        for ((values, key), &wrapped) in values.iter().zip(&self.keys).zip(&layout.wrapped) {
            bytes.extend_from_slice(key.as_bytes());
            bytes.push(b'[');
            let start = bytes.len();
            match values {
                Values::Same(value) => repeat(&mut bytes, value.as_bytes(), wrapped, rows),
                Values::PerMovie(values) if wrapped => {
                    for &movie in movies {
                        values.append_wrapped(movie, &mut bytes);
                    }
                }
                Values::PerMovie(values) => {
                    for &movie in movies {
                        values.append(movie, &mut bytes);
                    }
                }
            }
            bytes.truncate(bytes.len() - usize::from(rows > 0));
            spans.push(start..bytes.len());
            bytes.extend_from_slice(b"],");
        }
        bytes.pop();
        bytes.extend_from_slice(self.frame.1.as_bytes());
        RequestBody { bytes, spans, rows }
    }

    fn rows(&self, layout: &Layout, values: &[Values<'_>], movies: &[MovieIndex]) -> RequestBody {
        let rows = movies.len();
        let mut same = vec![b'{'];
        let mut differing = Vec::new();
        for ((values, key), &wrapped) in values.iter().zip(&self.keys).zip(&layout.wrapped) {
            match values {
                Values::Same(value) => {
                    same.extend_from_slice(key.as_bytes());
                    repeat(&mut same, value.as_bytes(), wrapped, 1);
                }
                Values::PerMovie(values) => differing.push((key.as_bytes(), *values, wrapped)),
            }
        }
        let each = same.len() + differing.iter().map(|(key, ..)| key.len() + 10).sum::<usize>();
        let mut bytes = Vec::with_capacity(64 + rows * each);
        bytes.extend_from_slice(self.frame.0.as_bytes());
        let start = bytes.len();
        for &movie in movies {
            bytes.extend_from_slice(&same);
            for (key, values, wrapped) in &differing {
                bytes.extend_from_slice(key);
                if *wrapped {
                    values.append_wrapped(movie, &mut bytes);
                } else {
                    values.append(movie, &mut bytes);
                }
            }
            bytes.pop();
            bytes.extend_from_slice(b"},");
        }
        bytes.truncate(bytes.len() - usize::from(rows > 0));
        let span = start..bytes.len();
        bytes.extend_from_slice(self.frame.1.as_bytes());
        RequestBody { bytes, spans: vec![span], rows }
    }

    /// Joins bodies of equal layout into one.
    pub(crate) fn join(&self, bodies: &[&RequestBody]) -> Bytes {
        let mut bytes = Vec::with_capacity(bodies.iter().map(|body| body.bytes.len()).sum());
        let values = |bytes: &mut Vec<u8>, index: usize| {
            for body in bodies.iter().filter(|body| body.rows > 0) {
                bytes.extend_from_slice(&body.bytes[body.spans[index].clone()]);
                bytes.push(b',');
            }
            if bytes.last() == Some(&b',') {
                bytes.pop();
            }
        };
        match self.format {
            Format::Columns => {
                bytes.extend_from_slice(self.frame.0.as_bytes());
                for (index, key) in self.keys.iter().enumerate() {
                    bytes.extend_from_slice(key.as_bytes());
                    bytes.push(b'[');
                    values(&mut bytes, index);
                    bytes.extend_from_slice(b"],");
                }
                bytes.pop();
                bytes.extend_from_slice(self.frame.1.as_bytes());
            }
            Format::Rows => {
                bytes.extend_from_slice(self.frame.0.as_bytes());
                values(&mut bytes, 0);
                bytes.extend_from_slice(self.frame.1.as_bytes());
            }
        }
        bytes.into()
    }
}

/// Appends a value `times` times, each followed by a comma.
fn repeat(bytes: &mut Vec<u8>, value: &[u8], wrapped: bool, times: usize) {
    if times == 0 {
        return;
    }
    let start = bytes.len();
    if wrapped {
        bytes.push(b'[');
    }
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(if wrapped { b"]," } else { b"," });
    let total = (bytes.len() - start) * times;
    while bytes.len() - start < total {
        let written = bytes.len() - start;
        bytes.extend_from_within(start..start + written.min(total - written));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movie_values(values: &[&str]) -> MovieValues {
        let mut all = MovieValues::default();
        for value in values {
            all.push(|out| out.push_str(value));
        }
        all
    }

    fn body(format: Format, wrapped: [bool; 2], movies: &[u32]) -> RequestBody {
        let ids = movie_values(&["1", "20", "300"]);
        let movies: Vec<MovieIndex> = movies.iter().copied().map(MovieIndex).collect();
        let layout = Layout { wrapped: wrapped.to_vec() };
        let values = [Values::Same("6"), Values::PerMovie(&ids)];
        RequestTemplate::new(format, &Inputs::default(), SERVING_DEFAULT)
            .body(&layout, &values, &movies)
    }

    fn text(body: RequestBody) -> String {
        String::from_utf8_lossy(&body.into_bytes()).into_owned()
    }

    #[test]
    fn both_formats_keep_the_order_of_rows() {
        for (format, wrapped, expected) in [
            (
                Format::Columns,
                [false, false],
                r#"{"inputs":{"userId":[6,6,6],"movieId":[300,1,300]}}"#,
            ),
            (
                Format::Columns,
                [true, true],
                r#"{"inputs":{"userId":[[6],[6],[6]],"movieId":[[300],[1],[300]]}}"#,
            ),
            (
                Format::Rows,
                [false, true],
                r#"{"instances":[{"userId":6,"movieId":[300]},{"userId":6,"movieId":[1]},{"userId":6,"movieId":[300]}]}"#,
            ),
        ] {
            assert_eq!(text(body(format, wrapped, &[2, 0, 2])), expected);
        }
        let none = text(body(Format::Columns, [false, true], &[]));
        assert_eq!(none, r#"{"inputs":{"userId":[],"movieId":[]}}"#);
        assert_eq!(text(body(Format::Rows, [false, true], &[])), r#"{"instances":[]}"#);
    }

    #[test]
    fn non_default_signature_is_sent() {
        let layout = Layout { wrapped: vec![false; 2] };
        for (format, expected) in [
            (
                Format::Columns,
                r#"{"signature_name":"predict","inputs":{"userId":[6],"movieId":[1]}}"#,
            ),
            (
                Format::Rows,
                r#"{"signature_name":"predict","instances":[{"userId":6,"movieId":1}]}"#,
            ),
        ] {
            let form = RequestTemplate::new(format, &Inputs::default(), "predict");
            let values = [Values::Same("6"), Values::Same("1")];
            let body = form.body(&layout, &values, &[MovieIndex(0)]);
            assert_eq!(form.join(&[&body]), expected);
            assert_eq!(text(body), expected);
        }
    }

    #[test]
    fn joined_bodies_equal_a_body_of_all_rows() {
        for format in [Format::Columns, Format::Rows] {
            for wrapped in [[false, false], [true, true]] {
                let parts = [[1, 2].as_slice(), &[], &[0], &[0, 1, 2]];
                let bodies = parts.map(|movies| body(format, wrapped, movies));
                let joined = RequestTemplate::new(format, &Inputs::default(), SERVING_DEFAULT)
                    .join(&bodies.iter().collect::<Vec<_>>());
                let together = body(format, wrapped, &parts.concat());
                assert_eq!(joined, together.into_bytes());
            }
        }
    }
}
