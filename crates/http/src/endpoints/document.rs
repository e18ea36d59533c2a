//! `/openapi.json`: the description of the API in OpenAPI 3.1, made from the endpoints.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Serialize, Serializer};
use sparrow_engine::Engine;

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Exposure, Group};
use crate::endpoints::live::{IDEMPOTENCY_KEY, LONGEST_KEY, latest};
use crate::parameters::definition::{Kind as ParameterKind, NO_GENRE, NOT_BLANK, Parameter};
use crate::response::json;
use crate::response::problem::{Document, Kind, Problem};
use crate::response::reply::{Methods, Reply};
use crate::response::schema::{Field, Schema, Type};

pub(crate) static DESCRIPTION: Endpoint<[Parameter; 0]> = Endpoint::other(
    Group::Server,
    "/openapi.json",
    "getDescription",
    [],
    Answer::Json(Schema::Object(&Type::new("", "", &[]))),
    "Shows this document.",
)
.open();

pub(crate) fn show(
    call: &Call<'_>,
    endpoints: impl Iterator<Item = &'static Endpoint>,
) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let base = &call.shared.options.base_path;
    if let Some((of, kept)) = snapshot.open_api.get()
        && of == base
    {
        return Ok(Reply::json(kept.clone()));
    }
    let document = document(&Names::of(&snapshot.engine), base.or_root(), endpoints);
    let text = Bytes::from(json::document(&document));
    // Kept for the first base path of a snapshot, which is that of its only server.
    let _ = snapshot.open_api.set((base.clone(), text.clone()));
    Ok(Reply::json(text))
}

/// The names from data and configuration that are values of parameters.
struct Names<'a> {
    models: Vec<String>,
    similar_models: [&'a str; 2],
    genres: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn of(engine: &'a Engine) -> Self {
        let genres = engine.catalog().genres();
        Self {
            models: engine.models().into_iter().map(|model| model.name.to_string()).collect(),
            similar_models: engine.similar_models(),
            genres: genres.iter().map(|genre| genres.name(genre)).collect(),
        }
    }
}

/// JSON whose objects keep the order of their fields.
enum Json {
    Bool(bool),
    Integer(u64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
    Value(serde_json::Value),
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(fields) => serializer.collect_map(fields.iter().map(|(k, v)| (k, v))),
            Self::Value(value) => value.serialize(serializer),
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u32> for Json {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Json {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

impl<const N: usize> From<[(&str, Self); N]> for Json {
    fn from(fields: [(&str, Self); N]) -> Self {
        Self::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

impl Json {
    fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::List(texts.into_iter().map(Self::from).collect())
    }

    fn with(mut self, name: &str, value: impl Into<Self>) -> Self {
        if let Self::Object(fields) = &mut self {
            fields.push((name.to_owned(), value.into()));
        }
        self
    }

    /// Adds a text, unless it is empty. Lines of doc comments are joined.
    fn with_text(self, name: &str, text: &str) -> Self {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() { self } else { self.with(name, &*text) }
    }
}

fn reference(kind: &str, name: &str) -> Json {
    Json::from([("$ref", Json::Text(format!("#/components/{kind}/{name}")))])
}

fn document(
    names: &Names<'_>,
    base: &str,
    endpoints: impl Iterator<Item = &'static Endpoint>,
) -> Json {
    let mut types = BTreeMap::new();
    let mut paths: Vec<(String, Json)> = Vec::new();
    let mut method_sets = Vec::new();
    let endpoints: Vec<&Endpoint> = endpoints.collect();
    for endpoint in &endpoints {
        if let Answer::Json(schema) | Answer::Ranked(schema) = &endpoint.answer {
            collect_types(schema, &mut types);
        }
        let template = endpoint.path.template;
        let at_path = endpoints.iter().filter(|other| other.path.template == template);
        let methods = at_path.fold(Methods::NONE, |methods, other| methods.and(other.methods));
        if !method_sets.contains(&methods) {
            method_sets.push(methods);
        }
        let name = endpoint.methods.names().next().unwrap_or_default().to_ascii_lowercase();
        let operation = (name, operation(endpoint, methods, names));
        match paths.iter_mut().find(|(path, _)| path == template) {
            Some((_, Json::Object(operations))) => operations.push(operation),
            _ => paths.push((template.to_owned(), Json::Object(vec![operation]))),
        }
    }
    collect_types(&Schema::Named(&Document::TYPE), &mut types);
    let schemas = types.into_values().map(|named| (named.name.to_owned(), object(named)));
    let other_methods = method_sets.into_iter().map(|methods| {
        let (name, description) = other_method(methods);
        (name, problem_response(&methods.refuse("PATCH"), &description))
    });
    let responses = PROBLEMS.iter().map(|problem| {
        let response = problem_response(&(problem.example)(), problem.description);
        (problem.name.to_owned(), response)
    });
    let responses = other_methods.chain(responses);
    Json::from([
        ("openapi", "3.1.0".into()),
        ("info", info()),
        ("servers", Json::List(vec![Json::from([("url", base.into())])])),
        ("tags", Json::List(GROUPS.into_iter().map(tag).collect())),
        ("paths", Json::Object(paths)),
        (
            "components",
            Json::from([
                ("schemas", Json::Object(schemas.collect())),
                ("responses", Json::Object(responses.collect())),
                ("securitySchemes", security_schemes()),
            ]),
        ),
    ])
}

/// A server without keys needs none of them.
fn security_schemes() -> Json {
    let bearer = Json::from([("type", "http".into()), ("scheme", "bearer".into())])
        .with_text("description", "A key of `[auth]`.");
    let header = Json::from([
        ("type", "apiKey".into()),
        ("in", "header".into()),
        ("name", "X-API-Key".into()),
    ]);
    let header = header.with_text("description", "A key of `[auth]`.");
    let token = Json::from([
        ("type", "http".into()),
        ("scheme", "bearer".into()),
        ("bearerFormat", "JWT".into()),
    ]);
    let token = token.with_text(
        "description",
        "A token of an issuer in `[auth.tokens]`. It permits movies and the data of its user alone.",
    );
    Json::from([("bearer", bearer), ("apiKey", header), ("token", token)])
}

/// What an endpoint accepts: nothing, on a server without keys.
fn security(endpoint: &Endpoint) -> Json {
    let schemes = ["bearer", "apiKey"].into_iter();
    let schemes = schemes.chain(endpoint.accepts_tokens().then_some("token"));
    let schemes = schemes.map(|name| Json::from([(name, Json::List(Vec::new()))]));
    Json::List(std::iter::once(Json::from([])).chain(schemes).collect())
}

fn info() -> Json {
    let license = [("name", "Apache-2.0".into()), ("identifier", "Apache-2.0".into())];
    let description = "Answers are JSON; problems are documents of RFC 9457. Endpoints take GET and HEAD without \
        a body, or POST and PUT with a body in JSON. Web pages of other origins must not change data. Endpoints under `/v1` take exactly the listed parameters, each at most once unless its description \
        permits more; the others ignore unknown parameters. Web pages of every origin may read `/getmovie`, \
        `/getsimilarmovie` and `/getrecommendation`; those of the origins in `[cors] origins` may read `/getuser`, \
        `/getrecforyou` and `/v1`. Numbers are decimal digits without a sign or leading zeros. The names of genres \
        and models are those of the data and configuration of this server. The web pages of the server are not \
        described here.";
    Json::from([
        ("title", "Sparrow".into()),
        ("version", "1".into()),
        ("summary", "A movie recommender.".into()),
        ("license", Json::from(license)),
    ])
    .with_text("description", description)
}

const GROUPS: [Group; 5] =
    [Group::Recommendations, Group::Movies, Group::Users, Group::SparrowRecSys, Group::Server];

impl Group {
    const fn tag(self) -> &'static str {
        match self {
            Self::Recommendations => "recommendations",
            Self::Movies => "movies",
            Self::Users => "users",
            Self::SparrowRecSys => "original",
            Self::Server => "server",
        }
    }
}

fn tag(group: Group) -> Json {
    let tag = Json::from([("name", group.tag().into())]);
    if group != Group::SparrowRecSys {
        return tag;
    }
    tag.with_text(
        "description",
        "Endpoints with the paths, parameters and field names of SparrowRecSys, so that its front ends can use this \
         server.",
    )
}

fn operation(endpoint: &Endpoint, methods: Methods, names: &Names<'_>) -> Json {
    let variable = endpoint.variables.iter().map(|parameter| (parameter, "path"));
    let query = endpoint.query.iter().map(|parameter| (parameter, "query"));
    let described = variable.chain(query);
    let mut parameters: Vec<Json> =
        described.map(|(parameter, location)| describe(parameter, location, names)).collect();
    if endpoint.writes {
        let values = schema(&Schema::Key);
        let key = Json::from([("name", IDEMPOTENCY_KEY.into()), ("in", "header".into())])
            .with_text("description", KEY_DESCRIPTION)
            .with("schema", values);
        parameters.push(key);
    }
    let mut operation = Json::from([
        ("operationId", endpoint.operation_id.into()),
        ("tags", Json::texts([endpoint.group.tag()])),
    ])
    .with_text("summary", endpoint.summary)
    .with_text("description", endpoint.description);
    if !parameters.is_empty() {
        operation = operation.with("parameters", Json::List(parameters));
    }
    if let Some(fields) = endpoint.body {
        operation = operation.with("requestBody", request_body(fields, endpoint, names));
    }
    if !endpoint.is_open {
        operation = operation.with("security", security(endpoint));
    }
    operation.with("responses", responses(endpoint, methods))
}

const KEY_DESCRIPTION: &str = "Identifies the change for retries: of several requests of a user with one key within 24 \
     hours, only the first changes data, and all get its answer.";

/// The object in the body of a request.
fn request_body(body: &[Field], endpoint: &Endpoint, names: &Names<'_>) -> Json {
    let own = body.iter().map(|field| {
        (field.name.to_owned(), schema(&field.schema).with_text("description", field.description))
    });
    // Requests for recommendations may have their parameters there.
    let query = if endpoint.writes { &[][..] } else { &endpoint.query };
    let parameters = query.iter().map(|parameter| {
        let values = values(parameter, names);
        (parameter.name.to_owned(), values.with_text("description", parameter.description))
    });
    let object = Json::from([
        ("type", "object".into()),
        ("properties", Json::Object(own.chain(parameters).collect())),
        (
            "required",
            Json::texts(
                body.iter()
                    .filter(|field| !matches!(field.schema, Schema::Optional(_)))
                    .map(|field| field.name),
            ),
        ),
        ("additionalProperties", false.into()),
    ]);
    let content = Json::from([("application/json", Json::from([("schema", object)]))]);
    Json::from([("required", true.into()), ("content", content)])
}

fn responses(endpoint: &Endpoint, methods: Methods) -> Json {
    let mut responses = vec![("200".to_owned(), success(&endpoint.answer))];
    let (name, _) = other_method(methods);
    responses.push(("405".to_owned(), reference("responses", &name)));
    if matches!(endpoint.answer, Answer::Image) {
        let description = "The client has this version (`If-None-Match`).";
        responses.push(("304".to_owned(), Json::from([("description", description.into())])));
    }
    for problem in &PROBLEMS {
        let is_possible = match problem.kind {
            Kind::UnexpectedBody => endpoint.body.is_none(),
            Kind::BodyTooLarge | Kind::UnsupportedMediaType => endpoint.body.is_some(),
            Kind::NotFound | Kind::Internal => endpoint.problems.contains(&problem.kind),
            Kind::Forbidden | Kind::Unauthorized => !endpoint.is_open || endpoint.body.is_some(),
            Kind::KeyReused => endpoint.writes,
            Kind::MisdirectedRequest | Kind::TooManyRequests => {
                endpoint.exposure != Exposure::Probe
            }
            _ => true,
        };
        if is_possible {
            let status = problem.kind.status().as_str().to_owned();
            responses.push((status, reference("responses", problem.name)));
        }
    }
    Json::Object(responses)
}

fn success(answer: &Answer) -> Json {
    let response = Json::from([("description", "The answer.".into())]);
    let content = |content: Json| Json::from([("application/json", content)]);
    let of = |described: &Schema| content(Json::from([("schema", schema(described))]));
    match answer {
        Answer::Json(described) => response.with("content", of(described)),
        Answer::Image => response.with("content", Json::from([("image/jpeg", Json::from([]))])),
        Answer::Text => response.with("content", Json::from([("text/plain", Json::from([]))])),
        Answer::Ranked(described) => {
            let header = |description: &str, schema: Json| {
                Json::from([
                    ("description", description.into()),
                    ("required", true.into()),
                    ("schema", schema),
                ])
            };
            let model = header("The model that answered.", schema(&Schema::Text));
            let degraded = schema(&Schema::Words(&["true", "false"]));
            let degraded = header("Whether the answer is degraded.", degraded);
            response
                .with(
                    "headers",
                    Json::from([("X-Sparrow-Model", model), ("X-Sparrow-Degraded", degraded)]),
                )
                .with("content", of(described))
        }
    }
}

fn describe(parameter: &Parameter, location: &str, names: &Names<'_>) -> Json {
    let mut described = Json::from([("name", parameter.name.into()), ("in", location.into())])
        .with_text("description", parameter.description);
    if parameter.required {
        described = described.with("required", true);
    }
    let values = values(parameter, names);
    let values = if parameter.is_repeatable() { values.with("minItems", 1) } else { values };
    described = described.with("schema", values);
    match parameter.kind {
        ParameterKind::Id => described.with("example", 1),
        ParameterKind::Text { example, .. } => described.with("example", example),
        ParameterKind::Genres | ParameterKind::Ids => {
            described.with("style", "form").with("explode", true)
        }
        _ => described,
    }
}

/// The description of the values of a parameter.
fn values(parameter: &Parameter, names: &Names<'_>) -> Json {
    let words = |words: Json| Json::from([("type", "string".into()), ("enum", words)]);
    let genres = || Json::texts(names.genres.iter().copied());
    match parameter.kind {
        ParameterKind::Id => schema(&crate::response::schema::ID),
        ParameterKind::Number { least, most, default } => {
            schema(&Schema::Integer { least, most: Some(most) }).with("default", default)
        }
        ParameterKind::Decimal { least, most, default } => {
            schema(&Schema::Within(least, most)).with("default", Json::Float(default))
        }
        ParameterKind::Flag { default } => schema(&Schema::Boolean).with("default", default),
        ParameterKind::Word(all) => schema(&Schema::Words(all)).with("default", all[0]),
        ParameterKind::Text { most, .. } => schema(&Schema::Text)
            .with("minLength", 1)
            .with("maxLength", most)
            .with("pattern", NOT_BLANK),
        ParameterKind::Model => words(Json::texts(names.models.iter().map(String::as_str))),
        ParameterKind::SimilarModel => {
            words(Json::texts(names.similar_models)).with("default", names.similar_models[0])
        }
        ParameterKind::Genre => words(Json::texts(names.genres.iter().copied().chain([NO_GENRE]))),
        ParameterKind::Genres => Json::from([("type", "array".into()), ("items", words(genres()))]),
        ParameterKind::Ids => schema(&Schema::List(&crate::response::schema::ID)),
    }
}

/// The description of a JSON value.
fn schema(described: &Schema) -> Json {
    let of = |name: &str| Json::from([("type", name.into())]);
    let float = |number: f64| {
        if number.fract() == 0.0 { Json::Integer(number as u64) } else { Json::Float(number) }
    };
    match *described {
        Schema::Boolean => of("boolean"),
        Schema::Text => of("string"),
        Schema::Formatted(format) => of("string").with("format", format),
        Schema::Short(most) => of("string").with("minLength", 1).with("maxLength", most),
        Schema::Key => schema(&Schema::Short(LONGEST_KEY)).with("pattern", "^[!-~]+$"),
        // The greatest is that of the time when this document is made.
        Schema::Time => of("integer").with("minimum", 0).with("maximum", latest()),
        Schema::Constant(text) => Json::from([("const", text.into())]),
        Schema::Words(words) => of("string").with("enum", Json::texts(words.iter().copied())),
        Schema::Integer { least, most } => {
            let integer = of("integer").with("minimum", least);
            match most {
                Some(most) => integer.with("maximum", most),
                None => integer,
            }
        }
        Schema::Number => of("number"),
        Schema::Within(least, most) => {
            of("number").with("minimum", float(least)).with("maximum", float(most))
        }
        Schema::HalfSteps(least, most) => {
            schema(&Schema::Within(least, most)).with("multipleOf", Json::Float(0.5))
        }
        Schema::List(items) => of("array").with("items", schema(items)),
        Schema::AtMost(most, items) => schema(&Schema::List(items)).with("maxItems", most),
        Schema::NonEmpty(items) => schema(&Schema::List(items)).with("minItems", 1),
        Schema::Anything => of("object"),
        Schema::TextMap => of("object").with("additionalProperties", of("string")),
        Schema::CountMap => {
            of("object").with("additionalProperties", of("integer").with("minimum", 1))
        }
        Schema::Object(described) => object(described),
        Schema::Named(described) => reference("schemas", described.name),
        Schema::Optional(described) => schema(described),
        Schema::OrNull(described) => match schema(described) {
            Json::Object(mut fields) => {
                for (name, value) in &mut fields {
                    if let ("type", Json::Text(text)) = (&**name, &*value) {
                        *value = Json::texts([text, "null"]);
                    }
                }
                Json::Object(fields)
            }
            other => other,
        },
    }
}

/// The fields of a type, those of its base first.
fn fields(described: &Type) -> impl Iterator<Item = &'static Field> {
    described.base.map_or(&[][..], |base| base.fields).iter().chain(described.fields)
}

fn object(described: &Type) -> Json {
    let object =
        Json::from([("type", "object".into())]).with_text("description", described.description);
    // The description of this document is the only one without fields.
    if fields(described).next().is_none() {
        return object.with("required", Json::texts(["openapi", "info", "paths"]));
    }
    let properties = fields(described).map(|field| {
        (field.name.to_owned(), schema(&field.schema).with_text("description", field.description))
    });
    let required = fields(described)
        .filter(|field| !matches!(field.schema, Schema::Optional(_)))
        .map(|field| field.name);
    let object = object
        .with("properties", Json::Object(properties.collect()))
        .with("required", Json::texts(required))
        .with("additionalProperties", false);
    let example = described.example.and_then(|example| serde_json::from_str(example).ok());
    match example {
        Some(example) => object.with("examples", Json::List(vec![Json::Value(example)])),
        None => object,
    }
}

/// Collects the named types in a schema.
fn collect_types(schema: &Schema, types: &mut BTreeMap<&'static str, &'static Type>) {
    match *schema {
        Schema::List(inner)
        | Schema::AtMost(_, inner)
        | Schema::NonEmpty(inner)
        | Schema::OrNull(inner)
        | Schema::Optional(inner) => collect_types(inner, types),
        Schema::Object(described) => {
            for field in fields(described) {
                collect_types(&field.schema, types);
            }
        }
        Schema::Named(described) if types.insert(described.name, described).is_none() => {
            collect_types(&Schema::Object(described), types);
        }
        _ => {}
    }
}

/// A problem of endpoints, as a response.
struct ProblemResponse {
    name: &'static str,
    kind: Kind,
    description: &'static str,
    example: fn() -> Problem,
}

const fn response(
    name: &'static str,
    kind: Kind,
    description: &'static str,
    example: fn() -> Problem,
) -> ProblemResponse {
    ProblemResponse { name, kind, description, example }
}

/// The name and the description of the response to a method that a path does not take.
fn other_method(methods: Methods) -> (String, String) {
    let names: Vec<&str> = methods.names().collect();
    let capital = |name: &&str| format!("{}{}", &name[..1], name[1..].to_ascii_lowercase());
    let name = format!("Only{}", names.iter().map(capital).collect::<String>());
    (name, format!("Every method but {}.", names.join(" and ")))
}

static PROBLEMS: [ProblemResponse; 15] = [
    response(
        "BadRequest",
        Kind::InvalidParameter,
        "A parameter is missing, repeated, unknown or invalid, or the request or its body is malformed.",
        || {
            let detail = "size must be a whole number from 1 to 1000, got \"abc\"";
            Problem::new(Kind::InvalidParameter, detail).parameter("size")
        },
    ),
    response("NotFound", Kind::NotFound, "Nothing has this id.", || {
        Problem::not_found("there is no movie 2")
    }),
    response(
        "Timeout",
        Kind::Timeout,
        "The request did not arrive in time. The connection is closed.",
        || Problem::new(Kind::Timeout, "the request head did not arrive within 10s"),
    ),
    response(
        "UnexpectedBody",
        Kind::UnexpectedBody,
        "The request has a body. The connection is closed.",
        || Problem::new(Kind::UnexpectedBody, "this endpoint takes no request body"),
    ),
    response(
        "BodyTooLarge",
        Kind::BodyTooLarge,
        "The request body is larger than 1 MiB. The connection is closed.",
        || Problem::new(Kind::BodyTooLarge, "the request body may have 1048576 bytes"),
    ),
    response(
        "UnsupportedMediaType",
        Kind::UnsupportedMediaType,
        "The request body is not `application/json`, or is encoded. The connection is closed.",
        || {
            let detail = "the request body must be application/json without an encoding, got Content-Type \"text/plain\"";
            Problem::new(Kind::UnsupportedMediaType, detail)
        },
    ),
    response(
        "UriTooLong",
        Kind::UriTooLong,
        "The URL is longer than the configured limit, 8 KiB by default.",
        || Problem::new(Kind::UriTooLong, "the URL may have 8192 bytes, it has 9000"),
    ),
    response(
        "Misdirected",
        Kind::MisdirectedRequest,
        "The server does not accept this host (`[server] hosts`).",
        || {
            let detail = "this server does not answer for the host \"rebound.example\"; if it should, add it to hosts \
                          in [server] of the configuration";
            Problem::new(Kind::MisdirectedRequest, detail)
        },
    ),
    response(
        "HeadersTooLarge",
        Kind::HeadersTooLarge,
        "There are more than a hundred headers, or they are larger than the configured limit, 16 KiB by default.",
        || {
            let detail = "the headers may have 16384 bytes in all, they have 20000";
            Problem::new(Kind::HeadersTooLarge, detail)
        },
    ),
    response(
        "Forbidden",
        Kind::Forbidden,
        "The key lacks a scope, the server accepts no writes (`[live] open_writes`), or a web \
         page of another origin sent the request.",
        || {
            let detail =
                "web pages of \"https://other.example\" must not change data of this server";
            Problem::new(Kind::Forbidden, detail)
        },
    ),
    response(
        "Unauthorized",
        Kind::Unauthorized,
        "The server has keys (`[auth]`), and the request has none that is valid.",
        || {
            let detail = "this needs a key with the scope read, or a token if the server accepts them: send it as \
                 Authorization: Bearer KEY";
            Problem::new(Kind::Unauthorized, detail)
        },
    ),
    response(
        "KeyReused",
        Kind::KeyReused,
        "The idempotency key was used for another request.",
        || {
            let detail = "the idempotency key \"7f3a\" was used for another write";
            Problem::new(Kind::KeyReused, detail)
        },
    ),
    response(
        "TooManyRequests",
        Kind::TooManyRequests,
        "The key or the address sends more requests than `[limits]` allows: repeat the request after `Retry-After`. Or \
         the user has as many live ratings as `[live] max_ratings` allows.",
        || {
            let detail = "more than 50 requests per second by this key";
            Problem::new(Kind::TooManyRequests, detail)
        },
    ),
    response("Internal", Kind::Internal, "The server has failed.", || {
        Problem::new(Kind::Internal, "the engine has failed")
    }),
    response(
        "Unavailable",
        Kind::Unavailable,
        "The server is loading its data or shutting down, has too many connections, a model took too long, or the \
         feature store or the store for live data does not answer.",
        || Problem::new(Kind::Unavailable, "the server is loading its data"),
    ),
];

fn problem_response(example: &Problem, description: &str) -> Json {
    let response = Json::from([("description", description.into())]);
    let header = |name: &str, header: Json| Json::from([(name, header)]);
    let response = match example.kind() {
        Kind::MethodNotAllowed => {
            let methods = Json::Text(example.allowed_names().join(", "));
            let methods = Json::from([("const", methods)]);
            let allow = Json::from([("required", true.into()), ("schema", methods)]);
            response.with("headers", header("Allow", allow))
        }
        Kind::Unauthorized => {
            let challenge =
                Json::from([("required", true.into()), ("schema", schema(&Schema::Text))]);
            response.with("headers", header("WWW-Authenticate", challenge))
        }
        Kind::Unavailable => {
            let seconds = schema(&Schema::Integer { least: 1, most: None });
            let retry = Json::from([
                ("description", "Seconds.".into()),
                ("required", true.into()),
                ("schema", seconds),
            ]);
            response.with("headers", header("Retry-After", retry))
        }
        _ => response,
    };
    let example = serde_json::from_slice(&example.to_json(None, None)).unwrap_or_default();
    let content = Json::from([
        ("schema", reference("schemas", Document::TYPE.name)),
        ("example", Json::Value(example)),
    ]);
    response.with("content", Json::from([("application/problem+json", content)]))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::endpoints::public_endpoints;

    fn described() -> serde_json::Value {
        let names = Names {
            models: vec!["emb".to_owned()],
            similar_models: ["emb", "genre"],
            genres: vec!["Drama"],
        };
        let endpoints = public_endpoints();
        serde_json::from_slice(&json::document(&document(&names, "/", endpoints))).unwrap()
    }

    #[test]
    fn examples_are_json() {
        let document = described();
        for name in ["Movie", "OriginalMovie"] {
            assert!(document["components"]["schemas"][name]["examples"][0].is_object(), "{name}");
        }
        for problem in document["components"]["responses"].as_object().unwrap().values() {
            let example = &problem["content"]["application/problem+json"]["example"];
            assert!(example["detail"].is_string(), "{problem}");
        }
    }

    #[test]
    fn operations_parameters_and_references_are_unambiguous() {
        let document = described();
        let operations: BTreeSet<_> = public_endpoints().map(|e| e.operation_id).collect();
        let paths: BTreeSet<_> = public_endpoints().map(|e| e.path.template).collect();
        assert_eq!(operations.len(), public_endpoints().count());
        let described = document["paths"].as_object().unwrap();
        assert_eq!(described.len(), paths.len());
        let described = described.values().map(|path| path.as_object().unwrap().len());
        assert_eq!(described.sum::<usize>(), public_endpoints().count());
        for endpoint in public_endpoints() {
            let template = endpoint.path.template;
            let variables = endpoint.variables.iter().map(|one| format!("{{{}}}", one.name));
            assert_eq!(variables.clone().count(), template.matches('{').count(), "{template}");
            assert!(variables.into_iter().all(|name| template.contains(&name)), "{template}");
            let names: BTreeSet<_> = endpoint.query.iter().map(|one| one.name).collect();
            assert_eq!(names.len(), endpoint.query.len(), "{}", endpoint.path.template);
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
