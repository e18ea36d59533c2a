//! The credentials in a request: `Authorization: Bearer`, `X-API-Key`, or the cookie of a browser's session.

use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue};

use crate::response::problem::{Kind, Problem};

/// The cookie that contains the key with which somebody signed in.
pub(crate) const SESSION_COOKIE: &str = "sparrow_session";

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The longest credential, in bytes.
pub(crate) const LONGEST: usize = 4096;

/// What a client sent to prove who it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credential<'a> {
    pub(crate) secret: &'a str,
    /// Whether a browser sent it by itself: a page of another origin may have caused the request.
    pub(crate) is_cookie: bool,
}

impl<'a> Credential<'a> {
    /// The credential in the headers, of which there may be one. A header takes precedence over the cookie.
    pub(crate) fn of(headers: &'a HeaderMap) -> Result<Option<Self>, Problem> {
        let malformed = |detail| Err(Problem::new(Kind::InvalidCredentials, detail));
        let mut values = headers.get_all(AUTHORIZATION).iter().map(|value| (value, true));
        let mut keys = headers.get_all(API_KEY).iter().map(|value| (value, false));
        let Some((value, is_authorization)) = values.next().or_else(|| keys.next()) else {
            return Ok(Self::of_cookie(headers));
        };
        if values.next().is_some() || keys.next().is_some() {
            return malformed("the request has several credentials");
        }
        let text = value.to_str().unwrap_or_default();
        let secret = if is_authorization {
            let scheme = text.split_once(' ');
            scheme.filter(|(name, _)| name.eq_ignore_ascii_case("bearer")).map(|(_, rest)| rest)
        } else {
            Some(text)
        };
        match secret.map(str::trim).filter(|secret| is_secret(secret)) {
            Some(secret) => Ok(Some(Self { secret, is_cookie: false })),
            None if is_authorization => {
                malformed("the header Authorization must be `Bearer KEY`, with a key")
            }
            None => malformed("the header X-API-Key must be a key"),
        }
    }

    fn of_cookie(headers: &'a HeaderMap) -> Option<Self> {
        let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut cookies = values.flat_map(|value| value.split(';')).map(str::trim);
        let secret = cookies.find_map(|cookie| {
            cookie.strip_prefix(SESSION_COOKIE)?.strip_prefix('=').filter(|it| is_secret(it))
        })?;
        Some(Self { secret, is_cookie: true })
    }
}

/// Whether a text can be a key, and the value of a cookie.
pub(crate) fn is_secret(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(allowed)
}

/// The value of `Set-Cookie` that starts a session, or that ends it if there is no secret. Scripts cannot read the cookie, and
/// requests that other sites cause do not contain it. It ends with the browser.
pub(crate) fn set_cookie(
    secret: Option<&str>,
    path: &str,
    is_secure: bool,
) -> Result<HeaderValue, Problem> {
    let (secret, age) = secret.map_or(("", "; Max-Age=0"), |secret| (secret, ""));
    let secure = if is_secure { "; Secure" } else { "" };
    let text =
        format!("{SESSION_COOKIE}={secret}; Path={path}; HttpOnly; SameSite=Strict{age}{secure}");
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| Problem::new(Kind::InvalidBody, "the key cannot be kept in a cookie"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn one_credential_is_read_from_a_header_or_the_cookie() {
        for (lines, secret, is_cookie) in [
            (&[("authorization", "Bearer abc")][..], "abc", false),
            (&[("authorization", "bearer  a.b-c ")], "a.b-c", false),
            (&[("x-api-key", "abc")], "abc", false),
            (&[("cookie", "a=b; sparrow_session=abc; c=d")], "abc", true),
            (&[("cookie", "sparrow_session=old"), ("x-api-key", "abc")], "abc", false),
        ] {
            let headers = headers(lines);
            let found = Credential::of(&headers).ok().flatten().unwrap();
            assert_eq!((found.secret, found.is_cookie), (secret, is_cookie), "{lines:?}");
        }
    }

    #[test]
    fn malformed_credentials_are_refused_and_foreign_cookies_ignored() {
        for lines in [
            &[("authorization", "Basic YTpi")][..],
            &[("authorization", "Bearer")],
            &[("authorization", "Bearer a b")],
            &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
            &[("authorization", "Bearer a"), ("x-api-key", "a")],
            &[("x-api-key", "")],
        ] {
            let problem = Credential::of(&headers(lines)).err().unwrap();
            assert_eq!(problem.kind(), Kind::InvalidCredentials, "{lines:?}");
        }
        for cookie in ["", "sparrow_session=", "sparrow_sessions=a", "xsparrow_session=a"] {
            let headers = headers(&[("cookie", cookie)]);
            assert!(Credential::of(&headers).ok().unwrap().is_none(), "{cookie}");
        }
    }
}
