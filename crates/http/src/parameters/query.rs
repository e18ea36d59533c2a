//! Query strings: strict, and without an allocation unless something is escaped.

use std::borrow::Cow;

use crate::parameters::definition::{Kind as Type, Parameter};
use crate::response::problem::{Kind, Problem, quoted};

/// The value of a parameter, percent-decoded.
#[derive(Debug, Clone)]
pub(crate) struct Value<'q> {
    parameter: &'static Parameter,
    text: Option<Cow<'q, str>>,
    /// Further values of a parameter that may be repeated.
    more: Vec<Cow<'q, str>>,
}

/// What happens with parameters that an endpoint does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    Refuse,
    /// Ignored, as by SparrowRecSys: jQuery adds `_` to get around caches.
    Ignore,
}

/// Reads a query with these parameters; the values are in the same order. Repeated and undecodable parameters are
/// a problem, and unknown ones if they are refused; empty parts (`a=1&&b=2`) are not.
pub(crate) fn parse<'q, const N: usize>(
    query: Option<&'q str>,
    parameters: &'static [Parameter; N],
    unknown: Unknown,
) -> Result<[Value<'q>; N], Problem> {
    let mut values =
        parameters.each_ref().map(|parameter| Value { parameter, text: None, more: Vec::new() });
    for part in query.unwrap_or_default().split('&') {
        if part.is_empty() {
            continue;
        }
        let (raw_name, raw_text) = part.split_once('=').unwrap_or((part, ""));
        let name = match decode(raw_name, Plus::IsSpace) {
            Some(name) => name,
            None if unknown == Unknown::Ignore => continue,
            None => {
                let detail = format!("the parameter name {} is {UNDECODABLE}", quoted(raw_name));
                return Err(Problem::new(Kind::MalformedRequest, detail));
            }
        };
        let Some(value) = values.iter_mut().find(|value| value.parameter.name == name) else {
            if unknown == Unknown::Ignore {
                continue;
            }
            return Err(unknown_parameter(&name, parameters));
        };
        let is_repeated = value.text.is_some();
        if is_repeated && !value.parameter.is_repeatable() {
            let detail = format!("{name} may be given only once");
            return Err(
                Problem::new(Kind::RepeatedParameter, detail).parameter(value.parameter.name)
            );
        }
        let text = decode(raw_text, Plus::IsSpace).ok_or_else(|| {
            let detail = format!("the value {} of {name} is {UNDECODABLE}", quoted(raw_text));
            Problem::new(Kind::InvalidParameter, detail).parameter(value.parameter.name)
        })?;
        if is_repeated {
            value.more.push(text);
        } else {
            value.text = Some(text);
        }
    }
    Ok(values)
}

const UNDECODABLE: &str = "not percent-encoded UTF-8";

fn unknown_parameter(name: &str, parameters: &[Parameter]) -> Problem {
    let known =
        if parameters.is_empty() { " takes no parameters" } else { " has no such parameter" };
    let detail = format!("this endpoint{known}: {}", quoted(name));
    Problem::new(Kind::UnknownParameter, detail)
        .parameter(name)
        .allowed(name, parameters.iter().map(|parameter| parameter.name))
}

/// The meaning of a plus sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// A space: in queries.
    IsSpace,
    /// Itself: in paths.
    IsPlus,
}

/// Decodes percent-encoding; `None` if that, or the resulting UTF-8, is invalid.
pub(crate) fn decode(raw: &str, plus: Plus) -> Option<Cow<'_, str>> {
    let is_escaped = |byte: u8| byte == b'%' || (byte == b'+' && plus == Plus::IsSpace);
    let Some(first) = raw.bytes().position(is_escaped) else { return Some(Cow::Borrowed(raw)) };
    let mut bytes = Vec::with_capacity(raw.len());
    bytes.extend_from_slice(&raw.as_bytes()[..first]);
    let mut rest = raw.bytes().skip(first);
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            b'+' if plus == Plus::IsSpace => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Reads a whole number: digits only, without a sign or leading zeros, so that each number has one
/// spelling.
pub(crate) fn whole(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
}

/// Reads an id in a path.
pub(crate) fn path_id(name: &str, text: &str) -> Result<u32, Problem> {
    whole(text).ok_or_else(|| not_a_number(name, text, 0, u32::MAX))
}

fn not_a_number(name: &str, text: &str, least: u32, most: u32) -> Problem {
    let detail =
        format!("{name} must be a whole number from {least} to {most}, got {}", quoted(text));
    Problem::new(Kind::InvalidParameter, detail).parameter(name)
}

#[cfg(test)]
impl<'q> Value<'q> {
    pub(crate) fn of(parameter: &'static Parameter, text: &'q str) -> Self {
        Self { parameter, text: Some(Cow::Borrowed(text)), more: Vec::new() }
    }
}

impl Value<'_> {
    pub(crate) const fn name(&self) -> &'static str {
        self.parameter.name
    }

    /// Whether the parameter is a list in a request body.
    pub(crate) const fn is_list(&self) -> bool {
        self.parameter.is_repeatable()
    }

    /// The type of the parameter, or of its items, in a request body.
    pub(crate) const fn json_type(&self) -> &'static str {
        match self.parameter.kind {
            Type::Number { .. } | Type::Decimal { .. } | Type::Id | Type::Ids => "a number",
            Type::Flag { .. } => "true or false",
            _ => "text",
        }
    }

    /// Removes all values.
    pub(crate) fn clear(&mut self) {
        self.text = None;
        self.more.clear();
    }

    /// Adds a value from a request body.
    pub(crate) fn push(&mut self, text: String) {
        match self.text {
            None => self.text = Some(Cow::Owned(text)),
            Some(_) => self.more.push(Cow::Owned(text)),
        }
    }

    /// The text, if the parameter was given.
    pub(crate) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// All texts of a parameter that may be repeated.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.text.iter().chain(&self.more).map(|text| &**text)
    }

    /// The text of a required parameter.
    pub(crate) fn required(&self) -> Result<&str, Problem> {
        self.text().ok_or_else(|| {
            let name = self.parameter.name;
            let detail = format!("{name} is required");
            Problem::new(Kind::MissingParameter, detail).parameter(name)
        })
    }

    /// A required id.
    pub(crate) fn id(&self) -> Result<u32, Problem> {
        let text = self.required()?;
        whole(text).ok_or_else(|| not_a_number(self.parameter.name, text, 0, u32::MAX))
    }

    /// Calls `each` for every id of a [`Type::Ids`].
    pub(crate) fn each_id(&self, mut each: impl FnMut(u32)) -> Result<(), Problem> {
        let name = self.parameter.name;
        for text in self.texts().flat_map(|text| text.split(',')) {
            each(whole(text).ok_or_else(|| not_a_number(name, text, 0, u32::MAX))?);
        }
        Ok(())
    }

    /// The number of a [`Type::Number`], or its default.
    pub(crate) fn number(&self) -> Result<usize, Problem> {
        let Type::Number { least, most, default } = self.parameter.kind else {
            return Err(self.misread());
        };
        let Some(text) = self.text() else { return Ok(default as usize) };
        whole(text)
            .filter(|number| (least..=most).contains(number))
            .map(|number| number as usize)
            .ok_or_else(|| not_a_number(self.parameter.name, text, least, most))
    }

    /// The number of a [`Type::Decimal`], or its default.
    pub(crate) fn decimal(&self) -> Result<f64, Problem> {
        let Type::Decimal { least, most, default } = self.parameter.kind else {
            return Err(self.misread());
        };
        let Some(text) = self.text() else { return Ok(default) };
        // The grammar of JSON, without the white space that the parser skips.
        let number = serde_json::from_str(text).ok().filter(|_| text.trim() == text);
        number.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            let name = self.parameter.name;
            let got = quoted(text);
            let detail = format!("{name} must be a number from {least} to {most}, got {got}");
            Problem::new(Kind::InvalidParameter, detail).parameter(name)
        })
    }

    /// The value of a [`Type::Flag`], or its default.
    pub(crate) fn flag(&self) -> Result<bool, Problem> {
        let Type::Flag { default } = self.parameter.kind else { return Err(self.misread()) };
        match self.text() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(self.not_one_of(other, &["true", "false"])),
        }
    }

    /// The meaning of a [`Type::Word`]: `meanings` are in the order of the parameter's words.
    pub(crate) fn choice<T: Copy, const N: usize>(&self, meanings: [T; N]) -> Result<T, Problem> {
        let Type::Word(words) = self.parameter.kind else { return Err(self.misread()) };
        let Some(text) = self.text() else { return Ok(meanings[0]) };
        let found = words.iter().zip(meanings).find(|(word, _)| **word == text);
        found.map(|(_, meaning)| meaning).ok_or_else(|| self.not_one_of(text, words))
    }

    /// The text of a required [`Type::Text`].
    pub(crate) fn not_blank(&self) -> Result<&str, Problem> {
        let Type::Text { most, .. } = self.parameter.kind else { return Err(self.misread()) };
        let text = self.required()?;
        // `NOT_BLANK` is the same as a pattern.
        let is_blank = |letter: char| letter.is_whitespace() || letter.is_control();
        if text.chars().all(is_blank) || text.chars().count() > most as usize {
            let name = self.parameter.name;
            let got = quoted(text);
            let detail = format!("{name} must be 1 to {most} characters, not all blank, got {got}");
            return Err(Problem::new(Kind::InvalidParameter, detail).parameter(name));
        }
        Ok(text)
    }

    /// The problem of a value that is not one of these.
    pub(crate) fn not_one_of(&self, got: &str, allowed: &[&str]) -> Problem {
        let expected = format!("one of {}", allowed.join(", "));
        self.unknown_word(got, &expected, allowed.iter().copied())
    }

    /// The problem of a value that is not allowed. `expected` describes what is.
    pub(crate) fn unknown_word<'a>(
        &self,
        got: &str,
        expected: &str,
        allowed: impl IntoIterator<Item = &'a str>,
    ) -> Problem {
        let name = self.parameter.name;
        let detail = format!("{name} must be {expected}, got {}", quoted(got));
        Problem::new(Kind::InvalidParameter, detail).parameter(name).allowed(got, allowed)
    }

    /// A handler reads a parameter as another type than its definition has.
    fn misread(&self) -> Problem {
        tracing::error!(parameter = self.parameter.name, "a parameter is read as another type");
        Problem::new(Kind::Internal, "the server misreads a parameter")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: Type = Type::Text { most: 9, example: "" };
    static PARAMETERS: [Parameter; 2] =
        [Parameter::new("id", Type::Id, ""), Parameter::new("q", TEXT, "")];

    fn texts(query: &str) -> Result<[Option<String>; 2], Kind> {
        let values = parse(Some(query), &PARAMETERS, Unknown::Refuse);
        let values = values.map_err(|problem| problem.kind())?;
        Ok(values.map(|value| value.text.map(Cow::into_owned)))
    }

    #[test]
    fn queries_are_read_strictly() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(texts(""), Ok([None, None]));
        assert_eq!(texts("id=6&q=a"), Ok([some("6"), some("a")]));
        assert_eq!(texts("q=a%20b+c%2B&&id"), Ok([some(""), some("a b c+")]));
        assert_eq!(texts("%69d=6"), Ok([some("6"), None]));
        assert_eq!(texts("q=a=b"), Ok([None, some("a=b")]));
        assert_eq!(texts("id=6&id=6"), Err(Kind::RepeatedParameter));
        assert_eq!(texts("ID=6"), Err(Kind::UnknownParameter));
        for broken in ["%", "%4", "%zz", "%e4", "a%80", "%+1", "%-1"] {
            assert_eq!(texts(&format!("q={broken}")), Err(Kind::InvalidParameter), "{broken}");
            assert_eq!(texts(&format!("{broken}=1")), Err(Kind::MalformedRequest), "{broken}");
        }
    }

    #[test]
    fn endpoints_can_ignore_unknown_parameters() {
        let lenient = |query| parse(Some(query), &PARAMETERS, Unknown::Ignore);
        let [id, q] = lenient("_=1&id=6&%zz=1&%=&callback=f&callback=g").unwrap();
        assert_eq!((id.text(), q.text()), (Some("6"), None));
        for (query, kind) in
            [("id=1&id=1", Kind::RepeatedParameter), ("q=%", Kind::InvalidParameter)]
        {
            assert_eq!(lenient(query).unwrap_err().kind(), kind, "{query}");
        }
    }

    #[test]
    fn genres_may_be_repeated() {
        static BOTH: [Parameter; 2] =
            [Parameter::new("q", Type::Genres, ""), Parameter::new("id", Type::Id, "")];
        let read = |query| parse(Some(query), &BOTH, Unknown::Refuse);
        let [q, id] = read("q=a&id=1&q=b,c&q=").unwrap();
        assert_eq!(q.texts().collect::<Vec<_>>(), ["a", "b,c", ""]);
        assert_eq!(id.texts().collect::<Vec<_>>(), ["1"]);
        assert_eq!(read("id=1&id=1").unwrap_err().kind(), Kind::RepeatedParameter);
    }

    #[test]
    fn ids_are_lists_that_may_be_repeated() {
        static IDS: [Parameter; 1] = [Parameter::new("exclude", Type::Ids, "")];
        let read = |query: &str| {
            let [value] = parse(Some(query), &IDS, Unknown::Refuse).unwrap();
            let mut ids = Vec::new();
            value.each_id(|id| ids.push(id)).map(|()| ids)
        };
        assert_eq!(read("exclude=1,20&exclude=3").unwrap(), [1, 20, 3]);
        assert_eq!(read("").unwrap(), [0; 0]);
        for bad in ["", "1,", ",", "1,-2", "01", "1;2", "a"] {
            let problem = read(&format!("exclude={bad}")).unwrap_err();
            assert_eq!(problem.kind(), Kind::InvalidParameter, "{bad}");
        }
    }

    #[test]
    fn decimals_have_the_grammar_of_json_and_limits() {
        static DIVERSITY: Parameter = crate::parameters::definition::DIVERSITY;
        for (text, number) in [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("1e-2", 0.01)] {
            assert_eq!(Value::of(&DIVERSITY, text).decimal().unwrap(), number, "{text}");
        }
        for bad in ["", "-0.1", "1.01", ".5", "0,5", "NaN", "inf", " 0.5", "0x1", "half"] {
            let problem = Value::of(&DIVERSITY, bad).decimal().unwrap_err();
            assert_eq!(problem.kind(), Kind::InvalidParameter, "{bad}");
        }
    }

    #[test]
    fn numbers_have_one_spelling_and_limits() {
        static SIZE: Parameter = crate::parameters::definition::size(20);
        assert_eq!(whole("0"), Some(0));
        assert_eq!(whole("4294967295"), Some(u32::MAX));
        for text in ["", "+1", "-1", "01", "00", "1.0", "1e3", "4294967296", "١", " 1", "0x1"] {
            assert_eq!(whole(text), None, "{text:?}");
        }
        assert_eq!(Value::of(&SIZE, "1000").number().unwrap(), 1000);
        for bad in ["0", "1001", "", "-1", "ten"] {
            let problem = Value::of(&SIZE, bad).number().unwrap_err();
            assert_eq!(problem.kind(), Kind::InvalidParameter, "{bad}");
        }
    }

    #[test]
    fn values_of_another_type_are_internal_errors() {
        static WORD: Parameter = Parameter::new("sort", Type::Word(&["a", "b"]), "");
        assert_eq!(Value::of(&WORD, "b").choice([1, 2]).unwrap(), 2);
        assert_eq!(
            Value::of(&WORD, "c").choice([1, 2]).unwrap_err().kind(),
            Kind::InvalidParameter
        );
        assert_eq!(Value::of(&WORD, "b").number().unwrap_err().kind(), Kind::Internal);
    }

    #[test]
    fn plus_is_itself_in_a_path() {
        assert_eq!(decode("a+b%2B", Plus::IsPlus).as_deref(), Some("a+b+"));
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in any::<String>()) {
            let _ = parse(Some(&query), &PARAMETERS, Unknown::Refuse);
        }

        #[test]
        fn values_come_back_as_they_were(id in any::<String>(), q in any::<String>()) {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("q", &q)
                .append_pair("id", &id)
                .finish();
            prop_assert_eq!(texts(&query), Ok([Some(id), Some(q)]));
        }
    }
}
