//! Query strings: strict, and without an allocation where nothing is escaped.

use std::borrow::Cow;

use crate::problem::{Kind, Problem, quoted};

/// The value of one of an endpoint's parameters, percent-decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value<'q> {
    name: &'static str,
    text: Option<Cow<'q, str>>,
    /// Further values of a parameter that may be repeated.
    more: Vec<Cow<'q, str>>,
}

/// What an endpoint does about parameters that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Refuse,
    Ignore,
}

/// Reads the query of an endpoint that takes exactly the parameters `names`; the values come in the
/// same order. Unknown, repeated and undecodable parameters are a problem; empty parts (`a=1&&b=2`)
/// are not.
pub(crate) fn parse<'q, const N: usize>(
    query: Option<&'q str>,
    names: [&'static str; N],
) -> Result<[Value<'q>; N], Problem> {
    read(query, names, Unknown::Refuse, None)
}

/// The same for an endpoint of which the parameter `repeatable` may be given more than once.
pub(crate) fn parse_repeatable<'q, const N: usize>(
    query: Option<&'q str>,
    names: [&'static str; N],
    repeatable: &'static str,
) -> Result<[Value<'q>; N], Problem> {
    read(query, names, Unknown::Refuse, Some(repeatable))
}

/// The same for an endpoint that ignores unknown parameters, as the original's did: jQuery adds `_`
/// to get around caches.
pub(crate) fn parse_known<'q, const N: usize>(
    query: Option<&'q str>,
    names: [&'static str; N],
) -> Result<[Value<'q>; N], Problem> {
    read(query, names, Unknown::Ignore, None)
}

/// The same for a page, whose `genres` may be repeated.
pub(crate) fn parse_of_page<'q, const N: usize>(
    query: Option<&'q str>,
    names: [&'static str; N],
) -> Result<[Value<'q>; N], Problem> {
    read(query, names, Unknown::Ignore, Some("genres"))
}

fn read<'q, const N: usize>(
    query: Option<&'q str>,
    names: [&'static str; N],
    others: Unknown,
    repeatable: Option<&'static str>,
) -> Result<[Value<'q>; N], Problem> {
    let mut values = names.map(|name| Value { name, text: None, more: Vec::new() });
    for part in query.unwrap_or_default().split('&') {
        if part.is_empty() {
            continue;
        }
        let (raw_name, raw_text) = part.split_once('=').unwrap_or((part, ""));
        let name = match decode(raw_name, Plus::IsSpace) {
            Some(name) => name,
            None if others == Unknown::Ignore => continue,
            None => {
                let detail = format!("the parameter name {} is {UNDECODABLE}", quoted(raw_name));
                return Err(Problem::new(Kind::MalformedRequest, detail));
            }
        };
        let Some(value) = values.iter_mut().find(|value| value.name == name) else {
            if others == Unknown::Ignore {
                continue;
            }
            return Err(unknown(&name, &names));
        };
        let is_repeated = value.text.is_some();
        if is_repeated && repeatable != Some(value.name) {
            let detail = format!("{name} may be given only once");
            return Err(Problem::new(Kind::RepeatedParameter, detail).parameter(value.name));
        }
        let text = decode(raw_text, Plus::IsSpace).ok_or_else(|| {
            let detail = format!("the value {} of {name} is {UNDECODABLE}", quoted(raw_text));
            Problem::new(Kind::InvalidParameter, detail).parameter(value.name)
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

fn unknown(name: &str, names: &[&'static str]) -> Problem {
    let known = if names.is_empty() { " takes no parameters" } else { " has no such parameter" };
    let detail = format!("this endpoint{known}: {}", quoted(name));
    Problem::new(Kind::UnknownParameter, detail)
        .parameter(name)
        .allowed(name, names.iter().copied())
}

/// What a plus sign stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// A space: in queries.
    IsSpace,
    /// Itself: in paths.
    IsPlus,
}

/// Decodes percent-encoding; `None` where that, or the UTF-8 that comes out, is broken.
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
fn whole(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
}

/// Reads an id that is part of a path.
pub(crate) fn path_id(text: &str) -> Result<u32, Problem> {
    whole(text).ok_or_else(|| not_a_number("id", text, 0, u32::MAX))
}

fn not_a_number(name: &str, text: &str, least: u32, most: u32) -> Problem {
    let detail =
        format!("{name} must be a whole number from {least} to {most}, got {}", quoted(text));
    Problem::new(Kind::InvalidParameter, detail).parameter(name)
}

impl Value<'_> {
    /// The text, where the parameter was given.
    pub(crate) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// All texts of a parameter that may be repeated.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.text.iter().chain(&self.more).map(|text| &**text)
    }

    /// The text of a parameter that must be given.
    pub(crate) fn required(&self) -> Result<&str, Problem> {
        self.text().ok_or_else(|| {
            let detail = format!("{} is required", self.name);
            Problem::new(Kind::MissingParameter, detail).parameter(self.name)
        })
    }

    /// An id that must be given.
    pub(crate) fn id(&self) -> Result<u32, Problem> {
        let text = self.required()?;
        whole(text).ok_or_else(|| not_a_number(self.name, text, 0, u32::MAX))
    }

    /// A number of items: 1 to 1,000.
    pub(crate) fn size(&self, default: usize) -> Result<usize, Problem> {
        const MOST: u32 = 1000;
        let Some(text) = self.text() else { return Ok(default) };
        whole(text)
            .filter(|size| (1..=MOST).contains(size))
            .map(|size| size as usize)
            .ok_or_else(|| not_a_number(self.name, text, 1, MOST))
    }

    /// How many items to leave out; 0 where it is not given.
    pub(crate) fn offset(&self) -> Result<usize, Problem> {
        let Some(text) = self.text() else { return Ok(0) };
        whole(text)
            .map(|offset| offset as usize)
            .ok_or_else(|| not_a_number(self.name, text, 0, u32::MAX))
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, default: bool) -> Result<bool, Problem> {
        self.choice(&[("true", true), ("false", false)], default)
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &self,
        choices: &[(&'static str, T)],
        default: T,
    ) -> Result<T, Problem> {
        let Some(text) = self.text() else { return Ok(default) };
        let found = choices.iter().find(|(word, _)| *word == text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.unknown_word(text, &format!("one of {}", words.join(", ")), words)
        })
    }

    /// The problem of a value that is none of those allowed. `expected` says what it should be.
    pub(crate) fn unknown_word<'a>(
        &self,
        got: &str,
        expected: &str,
        allowed: impl IntoIterator<Item = &'a str>,
    ) -> Problem {
        let detail = format!("{} must be {expected}, got {}", self.name, quoted(got));
        Problem::new(Kind::InvalidParameter, detail).parameter(self.name).allowed(got, allowed)
    }

    /// The problem of a value that is wrong in another way.
    pub(crate) fn invalid(&self, expected: &str) -> Problem {
        let got = self.text.as_deref().unwrap_or_default();
        let detail = format!("{} must be {expected}, got {}", self.name, quoted(got));
        Problem::new(Kind::InvalidParameter, detail).parameter(self.name)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(query: &str) -> Result<[Option<String>; 2], Kind> {
        let values = parse(Some(query), ["id", "q"]).map_err(|problem| problem.kind())?;
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
    fn unknown_parameters_are_ignored_where_the_endpoint_says_so() {
        let query = Some("_=1&id=6&%zz=1&%=&callback=f&callback=g");
        let [id, q] = parse_known(query, ["id", "q"]).unwrap();
        assert_eq!((id.text(), q.text()), (Some("6"), None));
        for (query, kind) in
            [("id=1&id=1", Kind::RepeatedParameter), ("q=%", Kind::InvalidParameter)]
        {
            assert_eq!(parse_known(Some(query), ["id", "q"]).unwrap_err().kind(), kind, "{query}");
        }
    }

    #[test]
    fn one_parameter_may_be_repeated() {
        let [q, id] = parse_repeatable(Some("q=a&id=1&q=b,c&q="), ["q", "id"], "q").unwrap();
        assert_eq!(q.texts().collect::<Vec<_>>(), ["a", "b,c", ""]);
        assert_eq!(id.texts().collect::<Vec<_>>(), ["1"]);
        let twice = parse_repeatable(Some("id=1&id=1"), ["q", "id"], "q").unwrap_err();
        assert_eq!(twice.kind(), Kind::RepeatedParameter);
    }

    #[test]
    fn numbers_have_one_spelling() {
        assert_eq!(whole("0"), Some(0));
        assert_eq!(whole("4294967295"), Some(u32::MAX));
        for text in ["", "+1", "-1", "01", "00", "1.0", "1e3", "4294967296", "١", " 1", "0x1"] {
            assert_eq!(whole(text), None, "{text:?}");
        }
        let [size, _] = parse(Some("size=1000"), ["size", "offset"]).unwrap();
        assert_eq!(size.size(20).unwrap(), 1000);
        for bad in ["size=0", "size=1001", "size=", "size=-1", "size=ten"] {
            let [size] = parse(Some(bad), ["size"]).unwrap();
            assert_eq!(size.size(20).unwrap_err().kind(), Kind::InvalidParameter, "{bad}");
        }
    }

    #[test]
    fn plus_is_itself_in_a_path() {
        assert_eq!(decode("a+b%2B", Plus::IsPlus).as_deref(), Some("a+b+"));
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in any::<String>()) {
            let _ = parse(Some(&query), ["id", "q"]);
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
