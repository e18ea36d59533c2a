//! `/v1/session`: who the caller is, and how a browser signs in.
//!
//! The key or token is kept in a cookie that scripts cannot read, so a script that got into a page cannot steal it, and images have
//! it, too. The cookie is not sent with requests that other sites cause, and changes of data need the header `Origin` with
//! the origin of the server beside it.

use hyper::header::{CACHE_CONTROL, HeaderValue, SET_COOKIE};

use crate::auth::access::{Access, Caller};
use crate::auth::credentials::{is_secret, set_cookie};
use crate::endpoints::endpoint::{Answer, Call, Endpoint, Group};
use crate::parameters::body::{Item, read_object};
use crate::parameters::definition::Parameter;
use crate::policy::cors::Origins;
use crate::response::problem::{Kind, Problem};
use crate::response::reply::{Methods, Reply};
use crate::response::schema::{Field, ID, Schema, TEXT, json_type};

const KEY: &str = "key";

/// The longest key in a body, in characters.
const LONGEST: u32 = 4096;

json_type! {
    /// What the caller may do.
    pub(crate) struct Session<'a> as "Session" {
        /// Whether the server needs credentials, so that signing in can change what the caller may do.
        guarded / "guarded": bool = Schema::Boolean,
        /// Whether the caller may read movies.
        reads / "reads": bool = Schema::Boolean,
        /// Whether the caller may change data.
        writes / "writes": bool = Schema::Boolean,
        /// The name of the caller's key.
        #[serde(skip_serializing_if = "Option::is_none")]
        key / "key": Option<&'a str> = Schema::Optional(&TEXT),
        /// The user of the caller's token: the only one whose data the caller may read and change.
        #[serde(skip_serializing_if = "Option::is_none")]
        user / "user": Option<u32> = Schema::Optional(&ID),
    }
}

pub(crate) static SHOW: Endpoint<[Parameter; 0]> = Endpoint::other(
    Group::Server,
    "/v1/session",
    "getSession",
    [],
    Answer::Json(Schema::Named(&Session::TYPE)),
    "Shows what the caller may do.",
)
.open();

pub(crate) fn show(call: &Call<'_>) -> Reply {
    private(reply(call, call.access))
}

pub(crate) static SIGN_IN: Endpoint<[Parameter; 0]> = Endpoint {
    origins: Origins::Own,
    ..Endpoint::other(
        Group::Server,
        "/v1/session",
        "signIn",
        [],
        Answer::Json(Schema::Named(&Session::TYPE)),
        "Keeps a key or a token in a cookie of the browser.",
    )
    .described("The cookie is HttpOnly and SameSite=Strict, and ends with the browser. For the web pages of the server.")
    .posted(&BODY)
    .open()
};

const BODY: [Field; 1] = [Field::new(KEY, Schema::Short(LONGEST), "A key, or a token.")];

pub(crate) fn sign_in(call: &Call<'_>) -> Result<Reply, Problem> {
    let fields = read_object(call.body)?;
    let item = Item::body(&fields, &[KEY])?;
    let secret = item.text(KEY, LONGEST, |_| true, "a key")?;
    let secret = secret
        .ok_or_else(|| Problem::new(Kind::InvalidBody, "key is required: a key").parameter(KEY))?;
    let auth = call.shared.auth.get();
    let auth = auth.ok_or_else(|| Problem::new(Kind::Forbidden, "this server has no keys"))?;
    if !is_secret(secret) {
        return Err(Problem::new(Kind::InvalidCredentials, "the key is not valid"));
    }
    let access = Access::identify(&auth, secret)?;
    let cookie =
        set_cookie(Some(secret), call.shared.options.base_path.or_root(), is_secure(call))?;
    Ok(private(reply(call, Some(&access))).with(SET_COOKIE, cookie))
}

pub(crate) static SIGN_OUT: Endpoint<[Parameter; 0]> = Endpoint {
    methods: Methods::DELETE,
    ..Endpoint::other(
        Group::Server,
        "/v1/session",
        "signOut",
        [],
        Answer::Json(Schema::Named(&Session::TYPE)),
        "Removes the cookie.",
    )
    .open()
};

pub(crate) fn sign_out(call: &Call<'_>) -> Result<Reply, Problem> {
    let cookie = set_cookie(None, call.shared.options.base_path.or_root(), is_secure(call))?;
    let auth = call.shared.auth.get();
    let anonymous = auth.as_ref().map(|auth| Access::anonymous(auth));
    Ok(private(reply(call, anonymous.as_ref())).with(SET_COOKIE, cookie))
}

fn reply(call: &Call<'_>, access: Option<&Access>) -> Reply {
    let session = match access {
        None => Session {
            guarded: false,
            reads: true,
            writes: call.shared.options.accepts_writes,
            key: None,
            user: None,
        },
        Some(access) => Session {
            guarded: true,
            reads: access.reads_catalog(),
            writes: access.writes(),
            key: match &access.caller {
                Caller::Key(name) => Some(name),
                Caller::Anonymous | Caller::User(_) => None,
            },
            user: access.only_user(),
        },
    };
    Reply::serialized(&session)
}

fn private(reply: Reply) -> Reply {
    reply.with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// Whether the browser uses TLS: with this server, or as far as a proxy in front reports it. A wrong report only affects the client
/// that sent it.
fn is_secure(call: &Call<'_>) -> bool {
    let value = call.headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    call.shared.tls().is_some()
        || value.is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}
