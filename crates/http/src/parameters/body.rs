//! Reads request bodies: objects in JSON, with problems that name the field.

use serde_json::{Map, Value as Json};
use sparrow_model::Stars;

use crate::response::problem::{Kind, Problem, quoted};

/// The object in a request body.
pub(crate) fn read_object(body: &[u8]) -> Result<Map<String, Json>, Problem> {
    match serde_json::from_slice(body) {
        Ok(Json::Object(fields)) => Ok(fields),
        Ok(other) => {
            let detail = format!("the request body must be an object, got {}", shown(&other));
            Err(Problem::new(Kind::InvalidBody, detail))
        }
        Err(error) => {
            Err(Problem::new(Kind::InvalidBody, format!("the request body is not JSON: {error}")))
        }
    }
}

/// An object inside a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'j> {
    fields: &'j Map<String, Json>,
    /// The list that contains it, and its index there.
    place: Option<(&'static str, usize)>,
}

impl<'j> Item<'j> {
    /// The body itself, which may have these fields.
    pub(crate) fn body(
        fields: &'j Map<String, Json>,
        known: &[&'static str],
    ) -> Result<Self, Problem> {
        Self { fields, place: None }.with_fields("the request body", known)
    }

    /// An item of a list, which may have these fields.
    pub(crate) fn of_list(
        list: &'static str,
        index: usize,
        json: &'j Json,
        what: &str,
        known: &[&'static str],
    ) -> Result<Self, Problem> {
        let Json::Object(fields) = json else {
            return Err(invalid(&format!("{list}[{index}]"), "an object", Some(json)));
        };
        Self { fields, place: Some((list, index)) }.with_fields(what, known)
    }

    fn with_fields(self, what: &str, known: &[&'static str]) -> Result<Self, Problem> {
        let unknown = self.fields.keys().find(|name| !known.contains(&name.as_str()));
        let Some(name) = unknown else { return Ok(self) };
        let detail = format!("{what} has no such field: {}", quoted(name));
        let problem = Problem::new(Kind::InvalidBody, detail).parameter(&self.path(name));
        Err(problem.allowed(name, known.iter().copied()))
    }

    /// The name of a field in problems, such as `ratings[3].stars`.
    pub(crate) fn path(&self, field: &str) -> String {
        match self.place {
            Some((list, index)) => format!("{list}[{index}].{field}"),
            None => field.to_owned(),
        }
    }

    fn invalid(&self, field: &str, expected: &str) -> Problem {
        invalid(&self.path(field), expected, self.fields.get(field))
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// A required whole number.
    pub(crate) fn whole(&self, field: &str) -> Result<u32, Problem> {
        let number = self.fields.get(field).and_then(whole);
        number.ok_or_else(|| self.invalid(field, "a whole number from 0 to 4294967295"))
    }

    /// A whole number, if there is one.
    pub(crate) fn optional_whole(&self, field: &str) -> Result<Option<u32>, Problem> {
        if self.has(field) { self.whole(field).map(Some) } else { Ok(None) }
    }

    /// A required number of stars.
    pub(crate) fn stars(&self, field: &str) -> Result<Stars, Problem> {
        let half_stars = self.fields.get(field).and_then(Json::as_f64).map(|stars| stars * 2.0);
        let half_stars =
            half_stars.filter(|half| half.fract() == 0.0 && (1.0..=10.0).contains(half));
        let stars = half_stars.and_then(|half| Stars::from_half_stars(half as u8));
        stars.ok_or_else(|| self.invalid(field, "a number from 0.5 to 5 in steps of 0.5"))
    }

    /// A number within limits, if there is one.
    pub(crate) fn number(
        &self,
        field: &str,
        least: f64,
        most: f64,
    ) -> Result<Option<f64>, Problem> {
        let Some(json) = self.fields.get(field) else { return Ok(None) };
        let number = json.as_f64().filter(|number| (least..=most).contains(number));
        let expected = || self.invalid(field, &format!("a number from {least} to {most}"));
        number.ok_or_else(expected).map(Some)
    }

    /// A text of 1 to `most` characters that `accepts` accepts, if there is one.
    pub(crate) fn text(
        &self,
        field: &str,
        most: u32,
        accepts: fn(&str) -> bool,
        expected: &str,
    ) -> Result<Option<&'j str>, Problem> {
        let Some(json) = self.fields.get(field) else { return Ok(None) };
        let fits = |text: &&str| {
            !text.is_empty() && text.chars().count() <= most as usize && accepts(text)
        };
        json.as_str().filter(fits).ok_or_else(|| self.invalid(field, expected)).map(Some)
    }
}

/// A required list of at most `most` items.
pub(crate) fn list<'j>(
    fields: &'j Map<String, Json>,
    name: &str,
    what: &str,
    most: usize,
) -> Result<&'j [Json], Problem> {
    match fields.get(name) {
        Some(Json::Array(items)) if items.len() <= most => Ok(items),
        Some(Json::Array(items)) => {
            let detail = format!("{name} may have {most} items, it has {}", items.len());
            Err(Problem::new(Kind::InvalidBody, detail).parameter(name))
        }
        other => Err(invalid(name, what, other)),
    }
}

/// A whole number, also if it is written as `5.0`.
pub(crate) fn whole(json: &Json) -> Option<u32> {
    let is_whole =
        |number: &f64| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number);
    json.as_f64().filter(is_whole).map(|number| number as u32)
}

/// The problem of a field whose value is not what is expected.
pub(crate) fn invalid(path: &str, expected: &str, got: Option<&Json>) -> Problem {
    let detail = match got {
        None => format!("{path} is required: {expected}"),
        Some(got) => format!("{path} must be {expected}, got {}", shown(got)),
    };
    Problem::new(Kind::InvalidBody, detail).parameter(path)
}

/// A value for messages: lists and objects without their content.
fn shown(json: &Json) -> String {
    match json {
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
        Json::String(text) => quoted(text),
        other => other.to_string(),
    }
}
