//! Rewrites the values of users after live writes. `docs/live.md` describes the guarantees.
//!
//! Each value is written by one script, `project.lua`, which compares the sequence with that of the last projection of the
//! key: several projectors may run, and late ones change nothing.

use std::time::Duration;

use bytes::Bytes;
use sparrow_live::Sequence;
use sparrow_model::UserId;
use tokio::time::Instant;

use super::client::{Call, Reply, Script, refusal};
use super::embeddings::format_embedding;
use super::{Inner, Phase};
use crate::{
    Error, Fields, Generation, Kind, OtherGeneration, Projected, Projection, ProjectionOutcome,
    codec,
};

/// How long the record of a user without live data is kept: longer than a projection can be late.
const SETTLED_LIFETIME: Duration = Duration::from_hours(1);

static SCRIPT: Script = Script::new(include_str!("project.lua"));

/// One run of the script.
struct Step {
    /// The index of the projection.
    index: usize,
    call: Call,
}

impl Inner {
    /// Writes projections of `generation`. `Err` inside if the store has another generation, or has not completed it.
    pub(super) async fn project(
        &self,
        generation: Generation,
        users: &[Projection],
    ) -> Result<Result<ProjectionOutcome, OtherGeneration>, Error> {
        // A push waits for the grace period between the announcement of a generation and the renaming of its keys. Within
        // that time, what is written belongs to the generation that was read.
        let end = Instant::now() + self.options.grace / 2;
        let state = self.current(end).await?;
        if state.generation != generation || state.phase != Phase::Plain {
            return Ok(Err(OtherGeneration(state.generation)));
        }
        // An empty history is written before the features, and removed after them.
        let mut phases: [Vec<Step>; 3] = Default::default();
        for (index, projection) in users.iter().enumerate() {
            let Projection { user, sequence, features, embedding, is_new } = projection;
            let mut step = |phase: usize, kind, action: &str, value: Vec<Bytes>| {
                let call = self.call(*user, kind, generation, *sequence, action, value);
                phases[phase].push(Step { index, call });
            };
            let (action, value) = parts(features, fields);
            step(1, Kind::UserFeatures, action, value);
            let (action, value) =
                parts(embedding, |vector| vec![Bytes::from(format_embedding(vector))]);
            step(1, Kind::UserEmbedding, action, value);
            let empty = || vec![Bytes::from(codec::pack_ratings(&[]))];
            match features {
                Projected::Set(Some(_)) if *is_new => step(0, Kind::UserRatings, "set", empty()),
                Projected::Replace(Some(_)) => step(0, Kind::UserRatings, "replace", empty()),
                Projected::Replace(None) => step(2, Kind::UserRatings, "replace", Vec::new()),
                Projected::Restore if *is_new => step(2, Kind::UserRatings, "restore", Vec::new()),
                _ => {}
            }
        }
        let mut written = vec![false; users.len()];
        let mut failed: Vec<Option<Error>> = vec![None; users.len()];
        for steps in phases {
            let (indexes, calls): (Vec<usize>, Vec<Call>) = steps
                .into_iter()
                .filter(|step| failed[step.index].is_none())
                .map(|step| (step.index, step.call))
                .unzip();
            if calls.is_empty() {
                continue;
            }
            let answers = self.connections.run_script(&SCRIPT, calls, end).await;
            for (index, answer) in indexes.into_iter().zip(answers) {
                match answer {
                    Ok(Ok(Reply::Number(was_written))) => written[index] |= was_written == 1,
                    Ok(Ok(_)) => {
                        let error = self.connections.unavailable("a malformed reply to a script");
                        failed[index] = Some(error);
                    }
                    Ok(Err(message)) => {
                        failed[index] = Some(refusal(self.connections.address(), &message));
                    }
                    Err(error) => failed[index] = Some(error),
                }
            }
        }
        let mut outcome = ProjectionOutcome::default();
        for ((projection, written), failed) in users.iter().zip(written).zip(failed) {
            match failed {
                Some(error) => outcome.failed.push((projection.user, error)),
                None if written => outcome.written += 1,
                None => outcome.superseded += 1,
            }
        }
        Ok(Ok(outcome))
    }

    fn call(
        &self,
        user: UserId,
        kind: Kind,
        generation: Generation,
        sequence: Sequence,
        action: &str,
        value: Vec<Bytes>,
    ) -> Call {
        let kind_of_value = if super::is_hash(kind) { "hash" } else { "string" };
        let mut arguments = vec![
            Bytes::copy_from_slice(action.as_bytes()),
            Bytes::from_static(kind_of_value.as_bytes()),
            generation.to_string().into(),
            sequence.milliseconds.to_string().into(),
            sequence.count.to_string().into(),
            SETTLED_LIFETIME.as_millis().to_string().into(),
        ];
        arguments.extend(value);
        let keys = vec![self.keys.plain(kind, user.0), self.keys.projected(kind, user.0)];
        Call { keys, arguments }
    }
}

/// The action of the script, and the value.
fn parts<T>(
    projected: &Projected<T>,
    value: impl FnOnce(&T) -> Vec<Bytes>,
) -> (&'static str, Vec<Bytes>) {
    match projected {
        Projected::Set(new) => ("set", new.as_ref().map(value).unwrap_or_default()),
        Projected::Replace(new) => ("replace", new.as_ref().map(value).unwrap_or_default()),
        Projected::Restore => ("restore", Vec::new()),
        Projected::Settle => ("settle", Vec::new()),
    }
}

fn fields(fields: &Fields) -> Vec<Bytes> {
    let pairs = fields.0.iter();
    pairs.flat_map(|(name, value)| [name, value].map(|text| Bytes::from(text.clone()))).collect()
}
