//! Scores out of the body of an answer.
//!
//! The bodies are large and of one form, so they are scanned rather than parsed into a tree. Anything that is
//! not exactly that form is an error.

use crate::value;

/// How deep values that are passed over may be nested.
const DEPTH: usize = 64;

/// Appends the scores of an answer of this many rows: `{"predictions":[[0.8],…]}`, or `outputs` in its place.
/// Where the model has several outputs, the named one counts.
///
/// An error says what is wrong; the scores are then as they were or a part of the answer's.
pub(crate) fn scores(
    body: &[u8],
    rows: usize,
    output: Option<&str>,
    scores: &mut Vec<f32>,
) -> Result<(), String> {
    let mut name = String::new();
    if let Some(output) = output {
        value::string(output, &mut name);
    }
    let mut scan = Scan { body, at: 0, output: output.map(|_| name.as_bytes()) };
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
        more = scan.goes_on(b'}')?;
    }
    scan.space();
    if scan.at != body.len() {
        return Err(scan.unexpected("the end"));
    }
    if !found {
        return Err("there are no predictions".to_owned());
    }
    let given = scores.len() - before;
    if given != rows {
        return Err(format!("{given} predictions for {rows} rows"));
    }
    Ok(())
}

/// The message of an error's body, `{"error":"…"}`, or its beginning.
pub(crate) fn error_message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        error: String,
    }
    let message = serde_json::from_slice(body).map_or_else(
        |_| String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned(),
        |body: Body| body.error,
    );
    // One line of a bearable length.
    let mut line: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(300) {
        line.truncate(end);
        line.push('…');
    }
    line
}

struct Scan<'a> {
    body: &'a [u8],
    at: usize,
    /// The output that counts, as a JSON string.
    output: Option<&'a [u8]>,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Takes this byte if it comes next, after any white space.
    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected(&char::from(byte).to_string())) }
    }

    #[cold]
    fn unexpected(&self, expected: &str) -> String {
        let rest = &self.body[self.at..];
        if rest.is_empty() {
            return format!("it ends where {expected} is expected");
        }
        let shown = String::from_utf8_lossy(&rest[..rest.len().min(12)]).into_owned();
        format!("{shown:?} at byte {} where {expected} is expected", self.at)
    }

    /// After an element: whether another one follows, or this bracket closes.
    fn goes_on(&mut self, close: u8) -> Result<bool, String> {
        if self.take(b',') {
            return Ok(true);
        }
        self.expect(close)?;
        Ok(false)
    }

    /// A key with its colon; as it is written, with its quotes.
    fn key(&mut self) -> Result<&'a [u8], String> {
        self.space();
        let start = self.at;
        self.text()?;
        let key = &self.body[start..self.at];
        self.expect(b':')?;
        Ok(key)
    }

    fn text(&mut self) -> Result<(), String> {
        self.expect(b'"')?;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err("it ends within a string".to_owned()),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Passes over a value of any form.
    fn skip(&mut self) -> Result<(), String> {
        let mut open = Vec::new();
        loop {
            self.space();
            match self.peek() {
                Some(b'"') => self.text()?,
                Some(bracket @ (b'[' | b'{')) => {
                    self.at += 1;
                    let close = if bracket == b'[' { b']' } else { b'}' };
                    if open.len() == DEPTH {
                        return Err("it is nested too deeply".to_owned());
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
                    let start = self.at;
                    while matches!(
                        self.peek(),
                        Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
                    ) {
                        self.at += 1;
                    }
                    if self.at == start {
                        return Err(self.unexpected("a value"));
                    }
                }
                None => return Err(self.unexpected("a value")),
            }
            // A value has ended, and perhaps what it is in.
            loop {
                let Some(&close) = open.last() else { return Ok(()) };
                if self.goes_on(close)? {
                    if close == b'}' {
                        self.key()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }

    /// The scores of all rows; no more than until there are `limit`.
    fn predictions(&mut self, limit: usize, scores: &mut Vec<f32>) -> Result<(), String> {
        self.space();
        if self.peek() == Some(b'{') {
            return self.chosen(|scan| scan.list(limit, scores));
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
            if !self.quick_row(scores) {
                self.row(scores)?;
            }
            // Almost always.
            if self.body.get(self.at..self.at + 2) == Some(b", ") {
                self.at += 2;
            } else if !self.goes_on(b']')? {
                return Ok(());
            }
        }
    }

    /// Reads a row such as `[0.823451]`, which almost all are; false, and nothing read, if it is another.
    fn quick_row(&mut self, scores: &mut Vec<f32>) -> bool {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let Some((b'[', number)) = rest.split_first() else { return false };
        let Some((score, len)) = quick(number) else { return false };
        if number.get(len) != Some(&b']') {
            return false;
        }
        scores.push(score);
        self.at += len + 2;
        true
    }

    /// `0.8`, `[0.8]`, or an object with outputs that are so.
    fn row(&mut self, scores: &mut Vec<f32>) -> Result<(), String> {
        self.space();
        match self.peek() {
            Some(b'[') => {
                self.at += 1;
                self.score(scores)?;
                if !self.take(b']') {
                    return Err(self.unexpected("one number a row"));
                }
                Ok(())
            }
            Some(b'{') => self.chosen(|scan| {
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

    /// Reads the output that counts out of an object of outputs.
    fn chosen(
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
                    return Err("there are several outputs, and none was chosen".to_owned());
                }
                found = true;
                read(self)?;
            } else {
                self.skip()?;
            }
            more = self.goes_on(b'}')?;
        }
        if found { Ok(()) } else { Err("the chosen output is missing".to_owned()) }
    }

    fn score(&mut self, scores: &mut Vec<f32>) -> Result<(), String> {
        self.space();
        let rest = &self.body[self.at..];
        if let Some((score, len)) = quick(rest) {
            self.at += len;
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
            let shown = String::from_utf8_lossy(&rest[..name.min(20)]).into_owned();
            return Err(format!("prediction {} is {shown}, not a number", scores.len()));
        };
        self.at += len;
        scores.push(score);
        Ok(())
    }
}

/// Powers of ten that are exact.
const POWERS: [f64; 15] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];

/// Reads what almost all scores look like, such as `0.823451`, and gives its length too; `None` for all others,
/// and where this would not be exact.
#[inline]
fn quick(rest: &[u8]) -> Option<(f32, usize)> {
    let [whole @ b'0'..=b'9', b'.', decimals @ ..] = rest else { return None };
    let mut digits = u64::from(whole - b'0');
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
    // Both are exact, so this is the nearest double; and the float nearest to that is the one that is wanted,
    // unless the double lies in the middle between two.
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
        scores(body.as_bytes(), rows, output, &mut all).map(|()| all)
    }

    #[test]
    fn every_form_of_an_answer_is_read() {
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
    fn anything_else_is_an_error() {
        for (body, expected) in [
            ("", "it ends where { is expected"),
            ("<html>", "\"<html>\" at byte 0"),
            ("{}", "no predictions"),
            (r#"{"error":"x"}"#, "no predictions"),
            (r#"{"predictions":[0.5]}"#, "1 predictions for 2 rows"),
            (r#"{"predictions":[0.5,0.5,0.5]}"#, "more predictions than rows"),
            (r#"{"predictions":[0.5,NaN]}"#, "prediction 1 is NaN, not a number"),
            (r#"{"predictions":[[0.5],[Infinity]]}"#, "prediction 1 is Infinity, not"),
            (r#"{"predictions":[-Infinity,0]}"#, "prediction 0 is -Infinity"),
            (r#"{"predictions":[1e39,0]}"#, "prediction 0 is 1e39"),
            (r#"{"predictions":["0.5",0]}"#, "not a number"),
            (r#"{"predictions":[null,0]}"#, "prediction 0 is null"),
            (r#"{"predictions":[[0.5,0.1],[0.5,0.1]]}"#, "one number a row"),
            (r#"{"predictions":[[],[]]}"#, "not a number"),
            (r#"{"predictions":[0.5,0.5"#, "it ends where ] is expected"),
            (r#"{"predictions":[0.5,0.5]} x"#, "where the end is expected"),
            (r#"{"outputs":{"a":[1,2],"b":[1,2]}}"#, "several outputs"),
            (r#"{"outputs":{}}"#, "the chosen output is missing"),
            (r#"{"x":"abc"#, "within a string"),
            (r#"{"x":,"predictions":[1,2]}"#, "where a value is expected"),
        ] {
            let error = read(body, 2, None).unwrap_err();
            assert!(error.contains(expected), "{body}: {error}");
        }
        let missing = read(r#"{"outputs":{"a":[1,2]}}"#, 2, Some("b")).unwrap_err();
        assert_eq!(missing, "the chosen output is missing");
        let deep = format!("{{\"x\":{}", "[".repeat(1000));
        assert_eq!(read(&deep, 1, None).unwrap_err(), "it is nested too deeply");
    }

    #[test]
    fn messages_of_errors_become_one_line() {
        assert_eq!(error_message(br#"{ "error": "Malformed\n  request" }"#), "Malformed request");
        assert_eq!(error_message(b"<h1>Bad\xff gateway</h1>"), "<h1>Bad\u{fffd} gateway</h1>");
        assert_eq!(error_message("é".repeat(400).as_bytes()).chars().count(), 150);
        assert_eq!(error_message(&[b'x'; 3000]).len(), 300);
    }

    proptest! {
        #[test]
        fn quick_reading_is_exact(digits in "[0-9]\\.[0-9]{1,17}", end in "[\\], }]") {
            let read = quick(format!("{digits}{end}").as_bytes());
            prop_assert_eq!(read.is_none(), digits.len() > 16);
            if let Some((score, len)) = read {
                prop_assert_eq!((score, len), (digits.parse::<f32>().unwrap(), digits.len()));
            }
        }

        #[test]
        fn floats_are_read_as_they_were_written(values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, 0..50)) {
            let values: Vec<f32> = values;
            let texts: Vec<String> = values.iter().map(|value| format!("[{value:?}]")).collect();
            let body = format!("{{\"predictions\": [{}]}}", texts.join(", "));
            prop_assert_eq!(read(&body, values.len(), None).unwrap(), values);
        }

        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(prop::sample::select(br#"{}[]":,.-019eENa\predictons "#.to_vec()), 0..60)) {
            let _ = scores(&body, 3, None, &mut Vec::new());
            let mut framed = br#"{"predictions":"#.to_vec();
            framed.extend(body);
            let _ = scores(&framed, 3, None, &mut Vec::new());
        }
    }
}
