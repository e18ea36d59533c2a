//! Parses the scores of a predict response.
//!
//! Bodies are large and have a fixed structure, so a scanner reads them without building a tree. Any deviation is an
//! error.

use crate::conversion::write_json_string;

/// Maximum nesting of skipped values.
const MAX_DEPTH: usize = 64;

/// Appends the scores of a response with `rows` rows: `{"predictions":[[0.8],…]}`, or with the key `outputs`. Of
/// several outputs, `output` selects one.
///
/// The error is a message; `scores` may then contain a part of the scores.
pub(crate) fn parse_scores(
    body: &[u8],
    rows: usize,
    output: Option<&str>,
    scores: &mut Vec<f32>,
) -> Result<(), String> {
    let mut name = String::new();
    if let Some(output) = output {
        write_json_string(output, &mut name);
    }
    let mut scan = Scanner { body, offset: 0, output: output.map(|_| name.as_bytes()) };
    let before = scores.len();
    scores.reserve(rows);
    let mut found = false;
    scan.expect(b'{')?;
    let mut more = !scan.take(b'}');
    while more {
        let key = scan.key()?;
        if !found && matches!(key, br#""predictions""# | br#""outputs""#) {
            found = true;
            scan.predictions(before + rows, scores)?;
        } else {
            scan.skip()?;
        }
        more = scan.has_next(b'}')?;
    }
    scan.space();
    if scan.offset != body.len() {
        return Err(scan.unexpected("the end"));
    }
    if !found {
        return Err("missing predictions".to_owned());
    }
    let count = scores.len() - before;
    if count != rows {
        return Err(format!("{count} predictions for {rows} rows"));
    }
    Ok(())
}

/// Extracts the message of an error body `{"error":"…"}`, or the start of any other body.
pub(crate) fn error_message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        error: String,
    }
    let message = serde_json::from_slice(body).map_or_else(
        |_| String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned(),
        |body: Body| body.error,
    );
    // One line of limited length.
    let mut line: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(300) {
        line.truncate(end);
        line.push('…');
    }
    line
}

struct Scanner<'a> {
    body: &'a [u8],
    offset: usize,
    /// The selected output, as a JSON string.
    output: Option<&'a [u8]>,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.offset).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.offset += 1;
        }
    }

    /// Consumes this byte if it is next, after white space.
    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let is_next = self.peek() == Some(byte);
        self.offset += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected(&char::from(byte).to_string())) }
    }

    #[cold]
    fn unexpected(&self, expected: &str) -> String {
        let rest = &self.body[self.offset..];
        if rest.is_empty() {
            return format!("unexpected end, expected {expected}");
        }
        let excerpt = String::from_utf8_lossy(&rest[..rest.len().min(12)]).into_owned();
        format!("unexpected {excerpt:?} at byte {}, expected {expected}", self.offset)
    }

    /// Consumes a comma and returns true, or the closing bracket and returns false.
    fn has_next(&mut self, close: u8) -> Result<bool, String> {
        if self.take(b',') {
            return Ok(true);
        }
        self.expect(close)?;
        Ok(false)
    }

    /// Consumes a key and its colon; returns the raw key with its quotes.
    fn key(&mut self) -> Result<&'a [u8], String> {
        self.space();
        let start = self.offset;
        self.skip_string()?;
        let key = &self.body[start..self.offset];
        self.expect(b':')?;
        Ok(key)
    }

    fn skip_string(&mut self) -> Result<(), String> {
        self.expect(b'"')?;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.offset += 2,
                Some(_) => self.offset += 1,
                None => return Err("unexpected end in a string".to_owned()),
            }
        }
        self.offset += 1;
        Ok(())
    }

    /// Skips any value.
    fn skip(&mut self) -> Result<(), String> {
        let mut open = Vec::new();
        loop {
            self.space();
            match self.peek() {
                Some(b'"') => self.skip_string()?,
                Some(bracket @ (b'[' | b'{')) => {
                    self.offset += 1;
                    let close = if bracket == b'[' { b']' } else { b'}' };
                    if open.len() == MAX_DEPTH {
                        return Err("nesting too deep".to_owned());
                    }
                    if !self.take(close) {
                        open.push(close);
                        if close == b'}' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(_) => {
                    let start = self.offset;
                    while matches!(
                        self.peek(),
                        Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
                    ) {
                        self.offset += 1;
                    }
                    if self.offset == start {
                        return Err(self.unexpected("a value"));
                    }
                }
                None => return Err(self.unexpected("a value")),
            }
            // After a value, close the containers that end with it.
            loop {
                let Some(&close) = open.last() else { return Ok(()) };
                if self.has_next(close)? {
                    if close == b'}' {
                        self.key()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }

    /// Reads the scores of all rows, until `scores` has `limit` entries.
    fn predictions(&mut self, limit: usize, scores: &mut Vec<f32>) -> Result<(), String> {
        self.space();
        if self.peek() == Some(b'{') {
            return self.select_output(|scan| scan.list(limit, scores));
        }
        self.list(limit, scores)
    }

    fn list(&mut self, limit: usize, scores: &mut Vec<f32>) -> Result<(), String> {
        self.expect(b'[')?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            if scores.len() == limit {
                return Err("more predictions than rows".to_owned());
            }
            if !self.fast_row(scores) {
                self.row(scores)?;
            }
            // The common case.
            if self.body.get(self.offset..self.offset + 2) == Some(b", ") {
                self.offset += 2;
            } else if !self.has_next(b']')? {
                return Ok(());
            }
        }
    }

    /// Reads a row of the common form `[0.823451]`; returns false and reads nothing for any other form.
    fn fast_row(&mut self, scores: &mut Vec<f32>) -> bool {
        let rest = self.body.get(self.offset..).unwrap_or_default();
        let Some((b'[', number)) = rest.split_first() else { return false };
        let Some((score, len)) = parse_fast(number) else { return false };
        if number.get(len) != Some(&b']') {
            return false;
        }
        scores.push(score);
        self.offset += len + 2;
        true
    }

    /// Reads `0.8`, `[0.8]`, or an object of such outputs.
    fn row(&mut self, scores: &mut Vec<f32>) -> Result<(), String> {
        self.space();
        match self.peek() {
            Some(b'[') => {
                self.offset += 1;
                self.score(scores)?;
                if !self.take(b']') {
                    return Err(self.unexpected("one number per row"));
                }
                Ok(())
            }
            Some(b'{') => self.select_output(|scan| {
                if scan.take(b'[') {
                    scan.score(scores)?;
                    scan.expect(b']')
                } else {
                    scan.score(scores)
                }
            }),
            _ => self.score(scores),
        }
    }

    /// Reads the selected output of an object of outputs.
    fn select_output(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.expect(b'{')?;
        let mut found = false;
        let mut more = !self.take(b'}');
        while more {
            let key = self.key()?;
            if self.output.is_none_or(|output| output == key) {
                if found {
                    return Err("several outputs, none is configured".to_owned());
                }
                found = true;
                read(self)?;
            } else {
                self.skip()?;
            }
            more = self.has_next(b'}')?;
        }
        if found { Ok(()) } else { Err("missing output".to_owned()) }
    }

    fn score(&mut self, scores: &mut Vec<f32>) -> Result<(), String> {
        self.space();
        let rest = &self.body[self.offset..];
        if let Some((score, len)) = parse_fast(rest) {
            self.offset += len;
            scores.push(score);
            return Ok(());
        }
        let is_of_number =
            |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'0'..=b'9' | b'e' | b'E');
        let len = rest.iter().position(|byte| !is_of_number(byte)).unwrap_or(rest.len());
        let text = std::str::from_utf8(&rest[..len]).unwrap_or_default();
        let Some(score) = text.parse().ok().filter(|score: &f32| score.is_finite()) else {
            let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n');
            let name = rest.iter().position(ends).unwrap_or(rest.len());
            let excerpt = String::from_utf8_lossy(&rest[..name.min(20)]).into_owned();
            return Err(format!("prediction {} is {excerpt}, not a number", scores.len()));
        };
        self.offset += len;
        scores.push(score);
        Ok(())
    }
}

/// Powers of ten that are exact in double precision.
const POWERS: [f64; 15] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];

/// Parses a score of the common form `0.823451`; returns it with its length. Returns `None` for other forms, or if the
/// result would not be exact.
#[inline]
fn parse_fast(rest: &[u8]) -> Option<(f32, usize)> {
    let [integer @ b'0'..=b'9', b'.', decimals @ ..] = rest else { return None };
    let mut digits = u64::from(integer - b'0');
    let mut count = 0;
    loop {
        match decimals.get(count) {
            Some(digit @ b'0'..=b'9') => digits = digits * 10 + u64::from(digit - b'0'),
            Some(b'e' | b'E' | b'.' | b'-' | b'+') | None => return None,
            Some(_) => break,
        }
        count += 1;
        if count >= POWERS.len() {
            return None;
        }
    }
    if count == 0 {
        return None;
    }
    // Both operands are exact, so this is the nearest double. Rounding it to a float is correct, unless the double is
    // halfway between two floats.
    let value = digits as f64 / POWERS[count];
    let below_float = value.to_bits() & ((1 << 29) - 1);
    (below_float != 1 << 28).then_some((value as f32, 2 + count))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str, rows: usize, output: Option<&str>) -> Result<Vec<f32>, String> {
        let mut all = Vec::new();
        parse_scores(body.as_bytes(), rows, output, &mut all).map(|()| all)
    }

    #[test]
    fn all_response_formats_are_parsed() {
        let expected = vec![0.25, -1.5e-7, 3.0];
        for body in [
            r#"{"predictions":[0.25,-1.5e-7,3]}"#,
            r#"{"outputs":[[0.25],[-1.5e-7],[3]]}"#,
            "{\n    \"predictions\": [[0.25], [-1.5e-7], [3.0\n        ]\n    ]\n}",
            r#" { "outputs" : { "score" : [ [ 0.25 ] , [-1.5e-07] , [3] ] } } "#,
            r#"{"model":{"a":[1,{"b":[]}],"c":"]}\""},"predictions":[0.25,-1.5E-7,3],"x":{}}"#,
        ] {
            assert_eq!(read(body, 3, None).unwrap(), expected, "{body}");
        }
        for body in [
            r#"{"outputs":{"embedding":[[1,2],[3,4]],"score":[[0.5],[0.75]]}}"#,
            r#"{"outputs":{"score":[0.5,0.75],"embedding":[]}}"#,
            r#"{"predictions":[{"e":[1,2],"score":[0.5]},{"score":0.75,"e":[3,4]}]}"#,
            r#"{"predictions":[[0.5],[0.75]]}"#,
        ] {
            assert_eq!(read(body, 2, Some("score")).unwrap(), [0.5, 0.75], "{body}");
        }
        assert_eq!(read(r#"{"predictions":[]}"#, 0, None).unwrap(), [] as [f32; 0]);
    }

    #[test]
    fn malformed_responses_are_errors() {
        for (body, expected) in [
            ("", "unexpected end, expected {"),
            ("<html>", "\"<html>\" at byte 0"),
            ("{}", "missing predictions"),
            (r#"{"error":"x"}"#, "missing predictions"),
            (r#"{"predictions":[0.5]}"#, "1 predictions for 2 rows"),
            (r#"{"predictions":[0.5,0.5,0.5]}"#, "more predictions than rows"),
            (r#"{"predictions":[0.5,NaN]}"#, "prediction 1 is NaN, not a number"),
            (r#"{"predictions":[[0.5],[Infinity]]}"#, "prediction 1 is Infinity, not"),
            (r#"{"predictions":[-Infinity,0]}"#, "prediction 0 is -Infinity"),
            (r#"{"predictions":[1e39,0]}"#, "prediction 0 is 1e39"),
            (r#"{"predictions":["0.5",0]}"#, "not a number"),
            (r#"{"predictions":[null,0]}"#, "prediction 0 is null"),
            (r#"{"predictions":[[0.5,0.1],[0.5,0.1]]}"#, "one number per row"),
            (r#"{"predictions":[[],[]]}"#, "not a number"),
            (r#"{"predictions":[0.5,0.5"#, "unexpected end, expected ]"),
            (r#"{"predictions":[0.5,0.5]} x"#, "expected the end"),
            (r#"{"outputs":{"a":[1,2],"b":[1,2]}}"#, "several outputs"),
            (r#"{"outputs":{}}"#, "missing output"),
            (r#"{"x":"abc"#, "end in a string"),
            (r#"{"x":,"predictions":[1,2]}"#, "expected a value"),
        ] {
            let error = read(body, 2, None).unwrap_err();
            assert!(error.contains(expected), "{body}: {error}");
        }
        let missing = read(r#"{"outputs":{"a":[1,2]}}"#, 2, Some("b")).unwrap_err();
        assert_eq!(missing, "missing output");
        let deep = format!("{{\"x\":{}", "[".repeat(1000));
        assert_eq!(read(&deep, 1, None).unwrap_err(), "nesting too deep");
    }

    #[test]
    fn error_messages_are_truncated_to_one_line() {
        assert_eq!(error_message(br#"{ "error": "Malformed\n  request" }"#), "Malformed request");
        assert_eq!(error_message(b"<h1>Bad\xff gateway</h1>"), "<h1>Bad\u{fffd} gateway</h1>");
        assert_eq!(error_message("é".repeat(400).as_bytes()).chars().count(), 150);
        assert_eq!(error_message(&[b'x'; 3000]).len(), 300);
    }

    proptest! {
        #[test]
        fn fast_parsing_is_exact(digits in "[0-9]\\.[0-9]{1,17}", end in "[\\], }]") {
            let read = parse_fast(format!("{digits}{end}").as_bytes());
            prop_assert_eq!(read.is_none(), digits.len() > 16);
            if let Some((score, len)) = read {
                prop_assert_eq!((score, len), (digits.parse::<f32>().unwrap(), digits.len()));
            }
        }

        #[test]
        fn written_floats_are_parsed_unchanged(values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, 0..50)) {
            let values: Vec<f32> = values;
            let texts: Vec<String> = values.iter().map(|value| format!("[{value:?}]")).collect();
            let body = format!("{{\"predictions\": [{}]}}", texts.join(", "));
            prop_assert_eq!(read(&body, values.len(), None).unwrap(), values);
        }

        #[test]
        fn arbitrary_bodies_do_not_panic(body in prop::collection::vec(prop::sample::select(br#"{}[]":,.-019eENa\predictons "#.to_vec()), 0..60)) {
            let _ = parse_scores(&body, 3, None, &mut Vec::new());
            let mut framed = br#"{"predictions":"#.to_vec();
            framed.extend(body);
            let _ = parse_scores(&framed, 3, None, &mut Vec::new());
        }
    }
}
