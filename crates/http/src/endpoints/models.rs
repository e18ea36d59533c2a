//! `/v1/models`.

use sparrow_engine::ModelInfo;
use sparrow_rank::State;

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Exposure, Group};
use crate::endpoints::ranking::micros;
use crate::parameters::definition::Parameter;
use crate::response::audience::Audience;
use crate::response::problem::Problem;
use crate::response::reply::Reply;
use crate::response::schema::{COUNT, Schema, TEXT, json_type};

pub(crate) static LIST: Endpoint<[Parameter; 0]> = Endpoint::v1(
    Group::Recommendations,
    "/v1/models",
    "listModels",
    [],
    Answer::Json(Schema::Named(&Models::TYPE)),
    "Lists the models.",
)
.exposed(Exposure::PublicAndAdmin);

json_type! {
    pub(crate) struct Models<'a> as "Models" {
        /// The name of the default ranking model.
        default / "default": &'a str = TEXT,
        /// Why it is the default; `null` if it is not known.
        default_reason / "defaultReason": Option<&'a str> = Schema::OrNull(&TEXT),
        /// The ranking models.
        items / "items": Vec<Model> = Schema::List(&Schema::Object(&Model::TYPE)),
        /// The models for similar movies.
        similar / "similar": [&'a str; 2] = Schema::List(&TEXT),
        /// Whether there are images under `/posters`.
        posters / "posters": bool = Schema::Boolean,
    }
}

json_type! {
    pub(crate) struct Model as "Model" {
        /// The name of a ranking model.
        name / "name": String = TEXT,
        kind / "kind": &'static str = TEXT,
        available / "available": bool = Schema::Boolean,
        /// Whether the model can rank; it is available if it is ready.
        state / "state": &'static str = Schema::Words(&["ready", "loading", "failing", "unavailable"]),
        /// Why the model cannot rank, or why the newest version does not.
        reason / "reason": Option<String> = Schema::OrNull(&TEXT),
        /// The version that ranks.
        version / "version": Option<u64> = Schema::OrNull(&COUNT),
        /// The beginning of this state of this version.
        since / "since": Option<String> = Schema::OrNull(&Schema::Formatted("date-time")),
        /// The number of dimensions of its vectors.
        dimension / "dimension": Option<usize> =
            Schema::OrNull(&Schema::Integer { least: 1, most: None }),
        /// The model that ranks if this one cannot.
        fallback / "fallback": Option<String> = Schema::OrNull(&TEXT),
        /// Its requests since the server's start.
        requests / "requests": Requests = Schema::Object(&Requests::TYPE),
        /// The time of its answers, in microseconds.
        latency / "latency": Option<Latency> = Schema::OrNull(&Schema::Object(&Latency::TYPE)),
    }
}

json_type! {
    pub(crate) struct Requests as "Requests" {
        answered / "answered": u64 = COUNT,
        /// Those of the answers that it gave as the fallback of another model.
        stood_in / "stoodIn": u64 = COUNT,
        /// Requests for users that are not in the model.
        declined / "declined": u64 = COUNT,
        failed / "failed": u64 = COUNT,
    }
}

json_type! {
    pub(crate) struct Latency as "Latency" {
        p50 / "p50Micros": u64 = COUNT,
        p90 / "p90Micros": u64 = COUNT,
        p99 / "p99Micros": u64 = COUNT,
    }
}

pub(crate) fn list(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [] = LIST.arguments(call)?;
    let engine = &snapshot.engine;
    let models = engine.models().into_iter();
    Ok(Reply::serialized(&Models {
        default: engine.default_model(),
        default_reason: engine.default_reason(),
        items: models.map(|model| Model::new(model, call.audience)).collect(),
        similar: engine.similar_models(),
        posters: snapshot.posters.is_some(),
    }))
}

impl Model {
    fn new(model: ModelInfo, audience: Audience) -> Self {
        let (status, counts) = (model.status, model.counts);
        Self {
            name: model.name.to_string(),
            kind: model.kind,
            available: status.state == State::Ready,
            state: status.state.as_str(),
            reason: status.trouble.map(|trouble| audience.message(trouble)),
            version: status.version,
            since: status.since.map(|time| humantime::format_rfc3339_seconds(time).to_string()),
            dimension: model.dimension,
            fallback: model.fallback.map(|name| name.to_string()),
            requests: Requests {
                answered: counts.answered,
                stood_in: counts.stood_in,
                declined: counts.declined,
                failed: counts.failed,
            },
            latency: counts.latency.map(|latency| Latency {
                p50: micros(latency.p50),
                p90: micros(latency.p90),
                p99: micros(latency.p99),
            }),
        }
    }
}
