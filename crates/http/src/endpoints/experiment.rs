//! Recommendations in experiments: which variants a request gets, and what is logged.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use sparrow_engine::{Item, Recommendations, Request};
use sparrow_experiments::{Team, Unit, team_draft};
use sparrow_live::{Action, Exposure, Idempotency, Write, unix_time};
use sparrow_model::{MovieIndex, UserId};
use sparrow_user_state::LoadedUser;

use crate::endpoints::endpoint::Call;
use crate::endpoints::ranking::{load_user, micros, recommend};
use crate::parameters::definition::{Kind as ParameterKind, Parameter};
use crate::parameters::query::Value;
use crate::response::json;
use crate::response::problem::Problem;
use crate::response::schema::{Field, Schema, TEXT, Type};
use crate::state::experiments::{Experiment, Variant, VariantModel};
use crate::state::snapshot::Snapshot;

/// Selects a variant for testing.
pub(crate) const VARIANT: Parameter = Parameter::new(
    "variant",
    ParameterKind::Text { most: 201, example: "ranking:b" },
    "For tests: a variant of an experiment, as `EXPERIMENT:VARIANT`. The answer takes part in no other experiment, and is \
     not logged as an exposure.",
);

const TRIAL: Type =
    Type::new("", "", &[Field::new("name", TEXT, ""), Field::new("variant", TEXT, "")]);

pub(crate) const EXPERIMENTS: Field = Field::new(
    "experiments",
    Schema::Optional(&Schema::List(&Schema::Object(&TRIAL))),
    "The experiments of which the answer is a part, with the variants; only if there are any.",
);

pub(crate) const RANKED_BY: Field = Field::new(
    "rankedBy",
    Schema::Optional(&TEXT),
    "For interleaved rankings: the model that contributed the movie.",
);

/// Recommendations with what an experiment changed about them.
pub(crate) struct Answered {
    pub(crate) found: Recommendations,
    /// The id of the answer.
    pub(crate) id: String,
    trials: Vec<Trial>,
    /// For interleaved rankings: the model that contributed each movie.
    pub(crate) credits: HashMap<MovieIndex, Arc<str>>,
}

/// A variant that a request got.
struct Trial {
    experiment: Arc<str>,
    variant: Variant,
}

/// What a request asks for besides the recommendations.
pub(crate) struct Subject<'a> {
    /// The user, unless they have no id.
    pub(crate) user: Option<UserId>,
    /// The parameter for the model.
    pub(crate) model: &'a Value<'a>,
    /// Whether the request itself sets the diversity, and the candidates.
    pub(crate) sets: [bool; 2],
    /// The parameter for a variant.
    pub(crate) variant: &'a Value<'a>,
    pub(crate) route: &'static str,
}

/// Asks the engine as the experiments in force determine, and logs the exposures.
pub(crate) async fn recommend_in_experiments(
    call: &Call<'_>,
    snapshot: &Snapshot,
    request: &Request<'_>,
    subject: &Subject<'_>,
    mut user: Option<LoadedUser>,
) -> Result<Answered, Problem> {
    let id = call.shared.recommendation_ids.next();
    let experiments = call.shared.experiments.get();
    let experiments = experiments.as_deref().unwrap_or_default();
    let (trials, is_test) = match subject.variant.text() {
        Some(text) => (vec![named(experiments, text, subject.variant)?], true),
        None if experiments.is_empty() || request.model.is_some() => (Vec::new(), false),
        None => (assigned(snapshot, experiments, request, subject, &mut user).await, false),
    };
    let mut request = request.clone();
    let mut model = VariantModel::Default;
    for Trial { variant, .. } in &trials {
        if variant.model != VariantModel::Default {
            model = variant.model.clone();
        }
        request.diversity = variant.diversity.unwrap_or(request.diversity);
        request.candidates = variant.candidates.unwrap_or(request.candidates);
        request.recall = variant.recall.as_deref().or(request.recall);
    }
    let mut credits = HashMap::new();
    let found = match &model {
        VariantModel::Default => recommend(call, snapshot, &request, subject.model, user).await?,
        VariantModel::Named(name) => {
            let request = Request { model: Some(name), ..request.clone() };
            recommend(call, snapshot, &request, subject.model, user).await?
        }
        VariantModel::Interleaved(names) => {
            let [one, other] = names;
            let of_one = Request { model: Some(one), ..request.clone() };
            let of_one = Box::pin(recommend(call, snapshot, &of_one, subject.model, user)).await?;
            // Reading a user again returns the same, unless something was written in between.
            let of_other = Request { model: Some(other), ..request.clone() };
            let of_other =
                Box::pin(recommend(call, snapshot, &of_other, subject.model, None)).await?;
            let mut hasher = DefaultHasher::new();
            id.hash(&mut hasher);
            interleave(of_one, &of_other, names, request.size, hasher.finish(), &mut credits)
        }
    };
    let answered = Answered { found, id, trials, credits };
    if !is_test && let (Some(user), false) = (subject.user, answered.trials.is_empty()) {
        expose(call, snapshot, user, &answered);
    }
    Ok(answered)
}

/// The variant that a request names.
fn named(experiments: &[Experiment], text: &str, parameter: &Value<'_>) -> Result<Trial, Problem> {
    let all = experiments.iter().flat_map(|experiment| {
        experiment.variants.iter().map(move |variant| (experiment, variant))
    });
    let wanted = text.split_once(':');
    for (experiment, variant) in all.clone() {
        if wanted == Some((&*experiment.name, &*variant.name)) {
            return Ok(Trial {
                experiment: Arc::clone(&experiment.name),
                variant: variant.clone(),
            });
        }
    }
    let names: Vec<String> =
        all.map(|(experiment, variant)| format!("{}:{}", experiment.name, variant.name)).collect();
    let expected = "a variant of an experiment, as EXPERIMENT:VARIANT";
    Err(parameter.unknown_word(text, expected, names.iter().map(String::as_str)))
}

/// The variants of a user. An experiment does not apply if the request or an earlier experiment sets what it changes.
async fn assigned(
    snapshot: &Snapshot,
    experiments: &[Experiment],
    request: &Request<'_>,
    subject: &Subject<'_>,
    user: &mut Option<LoadedUser>,
) -> Vec<Trial> {
    let Some(id) = subject.user else { return Vec::new() };
    let mut ratings = None;
    if experiments.iter().any(|experiment| experiment.rules.targeting.needs_ratings()) {
        if user.is_none() && !snapshot.source.is_catalog() {
            *user = load_user(snapshot, request.user).await;
        }
        ratings = Some(if let Some(user) = &*user {
            user.state().history.map_or(0, |history| history.len())
        } else {
            let users = snapshot.catalog().users();
            users.index_of(id).map_or(0, |index| users.get(index).len())
        });
    }
    let mut digits = itoa::Buffer::new();
    let unit = Unit { id: digits.format(id.0), ratings, route: subject.route };
    let [mut sets_diversity, mut sets_candidates] = subject.sets;
    let mut sets_model = false;
    let mut trials = Vec::new();
    for experiment in experiments {
        let changes = |is_changed: fn(&Variant) -> bool| experiment.variants.iter().any(is_changed);
        let model = changes(|variant| variant.model != VariantModel::Default);
        let diversity = changes(|variant| variant.diversity.is_some());
        let candidates =
            changes(|variant| variant.candidates.is_some() || variant.recall.is_some());
        if model && sets_model || diversity && sets_diversity || candidates && sets_candidates {
            continue;
        }
        let Ok(index) = experiment.rules.assign(&unit) else { continue };
        let Some(variant) = experiment.variants.get(index) else { continue };
        if !is_known(snapshot, &experiment.variants) {
            tracing::warn!(
                experiment = &*experiment.name,
                "a model or a recall mix of the experiment is unknown"
            );
            continue;
        }
        sets_model |= model;
        sets_diversity |= diversity;
        sets_candidates |= candidates;
        let variant = variant.clone();
        trials.push(Trial { experiment: Arc::clone(&experiment.name), variant });
    }
    trials
}

fn is_known(snapshot: &Snapshot, variants: &[Variant]) -> bool {
    let engine = &snapshot.engine;
    variants.iter().all(|variant| {
        let has_models = match &variant.model {
            VariantModel::Default => true,
            VariantModel::Named(name) => engine.has_model(name),
            VariantModel::Interleaved(names) => names.iter().all(|name| engine.has_model(name)),
        };
        has_models && engine.find_recall_mix(variant.recall.as_deref()).is_ok()
    })
}

/// Merges two answers into one, which names both models.
fn interleave(
    one: Recommendations,
    other: &Recommendations,
    names: &[Arc<str>; 2],
    size: usize,
    seed: u64,
    credits: &mut HashMap<MovieIndex, Arc<str>>,
) -> Recommendations {
    let movies = |found: &Recommendations| -> Vec<MovieIndex> {
        found.items.iter().map(|item| item.movie).collect()
    };
    let items: HashMap<(MovieIndex, Team), Item> = [(&one, Team::A), (other, Team::B)]
        .into_iter()
        .flat_map(|(found, team)| found.items.iter().map(move |item| ((item.movie, team), *item)))
        .collect();
    let drafted = team_draft(&movies(&one), &movies(other), size, seed);
    credits.extend(drafted.iter().map(|&(movie, team)| {
        (movie, Arc::clone(if team == Team::A { &names[0] } else { &names[1] }))
    }));
    let mut merged = one;
    merged.items = drafted.iter().filter_map(|key| items.get(key).copied()).collect();
    merged.contributions = Vec::new();
    merged.requested = format!("{}+{}", merged.requested, other.requested).into();
    merged.model = format!("{}+{}", merged.model, other.model).into();
    merged.degraded |= other.degraded;
    merged.reason = merged.reason.or(other.reason);
    merged.candidates = merged.candidates.max(other.candidates);
    merged.timings.recall += other.timings.recall;
    merged.timings.rank += other.timings.rank;
    merged.timings.total += other.timings.total;
    merged
}

/// Queues the exposures of an answer for the log.
fn expose(call: &Call<'_>, snapshot: &Snapshot, user: UserId, answered: &Answered) {
    let Some(live) = &snapshot.source.live else { return };
    let found = &answered.found;
    let time = unix_time();
    for Trial { experiment, variant } in &answered.trials {
        let is_interleaved = matches!(variant.model, VariantModel::Interleaved(_));
        let credits = is_interleaved.then(|| {
            Exposure::format_credits(found.items.iter().filter_map(|item| {
                let model = answered.credits.get(&item.movie)?;
                Some((snapshot.catalog().movie(item.movie).id, &**model))
            }))
        });
        let shown = Exposure {
            experiment: (&**experiment).into(),
            variant: (&*variant.name).into(),
            model: (&*found.model).into(),
            degraded: found.degraded,
            micros: u32::try_from(micros(found.timings.total)).unwrap_or(u32::MAX),
            credits,
        };
        // Clients cannot send keys with a space. Interleaved lists differ, so all of them are logged.
        let once = format!("exposure {experiment} {} {}", variant.name, time / 86_400);
        let once = (!is_interleaved).then_some(once);
        let write = Write {
            idempotency: once.as_deref().map(|key| Idempotency { key: key.into(), digest: 0 }),
            recommendation: Some(answered.id.as_str().into()),
            ..Write::new(user, Action::Expose(Box::new(shown)), time)
        };
        call.shared.exposures.record(&live.store, write, once.as_deref());
    }
}

impl Answered {
    /// Continues an object with the experiments of the answer.
    pub(crate) fn write_experiments(&self, out: &mut Vec<u8>) {
        if self.trials.is_empty() {
            return;
        }
        out.extend_from_slice(b",\"experiments\":");
        json::list(out, &self.trials, |out, trial| {
            out.extend_from_slice(b"{\"name\":");
            json::string(out, &trial.experiment);
            out.extend_from_slice(b",\"variant\":");
            json::string(out, &trial.variant.name);
            out.push(b'}');
        });
    }

    /// The experiments of the answer as the value of a header; `None` without any.
    pub(crate) fn header(&self) -> Option<String> {
        let trials = self.trials.iter();
        let names: Vec<String> =
            trials.map(|trial| format!("{}:{}", trial.experiment, trial.variant.name)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}
