//! Writes as the text fields of an entry in a log. `docs/live.md` lists them for other programs.

use std::str::FromStr;

use sparrow_live::{Action, Exposure, Idempotency, Recorded, Sequence, Write};
use sparrow_model::{MovieId, Stars, UserId};

use crate::codec::Fault;

/// The version of entries.
const VERSION: &str = "1";

/// The field that states whether the write was in force, `0` or `1`.
pub(crate) const APPLIED: &str = "applied";

/// The name of an action.
pub(crate) const fn action_name(action: &Action) -> &'static str {
    match action {
        Action::Rate(..) => "rate",
        Action::Unrate(_) => "unrate",
        Action::Event { .. } => "event",
        Action::Expose(_) => "expose",
        Action::Forget => "forget",
    }
}

/// Names and values of the fields, except [`APPLIED`]. Missing optional parts have no field.
pub(crate) fn fields(write: &Write) -> Vec<(&'static str, String)> {
    let action = action_name(&write.action);
    let mut fields = Vec::with_capacity(12);
    let mut field = |name, value: String| fields.push((name, value));
    field("v", VERSION.to_owned());
    field("action", action.to_owned());
    field("user", write.user.to_string());
    if let Some(movie) = write.action.movie() {
        field("movie", movie.to_string());
    }
    match &write.action {
        Action::Rate(_, stars) => {
            field("type", action.to_owned());
            field("value", stars.value().to_string());
        }
        Action::Event { kind, value, .. } => {
            field("type", kind.to_string());
            field("value", value.to_string());
        }
        Action::Expose(shown) => {
            field("type", "exposure".to_owned());
            field("experiment", shown.experiment.to_string());
            field("variant", shown.variant.to_string());
            field("model", shown.model.to_string());
            field("degraded", u8::from(shown.degraded).to_string());
            field("micros", shown.micros.to_string());
            if let Some(credits) = &shown.credits {
                field("credits", credits.to_string());
            }
        }
        Action::Unrate(_) | Action::Forget => field("type", action.to_owned()),
    }
    field("time", write.time.to_string());
    let optional = [("session", &write.session), ("recommendation", &write.recommendation)];
    for (name, value) in optional {
        if let Some(value) = value {
            field(name, value.to_string());
        }
    }
    if let Some(Idempotency { key, digest }) = &write.idempotency {
        field("id", key.to_string());
        field("digest", digest.to_string());
    }
    fields
}

/// The write with these fields, of which `field` returns the values by name. Unknown fields are ignored.
pub(crate) fn recorded<'a>(
    sequence: Sequence,
    field: impl Fn(&str) -> Option<&'a str>,
) -> Result<Recorded, Fault> {
    let fault = |name: &str| format!("has the entry {sequence} with a malformed field {name:?}");
    if field("v") != Some(VERSION) {
        let version = field("v").unwrap_or_default();
        return Err(format!(
            "has the entry {sequence} with version {version:?}, this program reads version {VERSION}"
        ));
    }
    let user = number(field("user")).map(UserId).ok_or_else(|| fault("user"))?;
    let time = number(field("time")).ok_or_else(|| fault("time"))?;
    let movie = || number(field("movie")).map(MovieId).ok_or_else(|| fault("movie"));
    let action = match field("action") {
        Some("rate") => {
            let value: f32 = number(field("value")).ok_or_else(|| fault("value"))?;
            let stars = Stars::from_half_stars((value * 2.0) as u8);
            let stars = stars.filter(|stars| stars.value() == value);
            Action::Rate(movie()?, stars.ok_or_else(|| fault("value"))?)
        }
        Some("unrate") => Action::Unrate(movie()?),
        Some("event") => Action::Event {
            movie: movie()?,
            kind: field("type").ok_or_else(|| fault("type"))?.into(),
            value: number(field("value")).ok_or_else(|| fault("value"))?,
        },
        Some("expose") => {
            let text = |name| field(name).map(Box::from).ok_or_else(|| fault(name));
            Action::Expose(Box::new(Exposure {
                experiment: text("experiment")?,
                variant: text("variant")?,
                model: text("model")?,
                degraded: number::<u8>(field("degraded")).ok_or_else(|| fault("degraded"))? != 0,
                micros: number(field("micros")).unwrap_or(0),
                credits: field("credits").map(Box::from),
            }))
        }
        Some("forget") => Action::Forget,
        _ => return Err(fault("action")),
    };
    let idempotency = match field("id") {
        None => None,
        Some(key) => {
            let digest = number(field("digest")).ok_or_else(|| fault("digest"))?;
            Some(Idempotency { key: key.into(), digest })
        }
    };
    let write = Write {
        idempotency,
        session: field("session").map(Box::from),
        recommendation: field("recommendation").map(Box::from),
        ..Write::new(user, action, time)
    };
    let applied = match field(APPLIED) {
        Some("1") => true,
        Some("0") => false,
        _ => return Err(fault(APPLIED)),
    };
    Ok(Recorded { sequence, write, applied })
}

fn number<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

/// Fields in one value: each name and each value after its length in 4 bytes.
#[cfg(any(test, feature = "file"))]
pub(crate) fn pack(write: &Write, applied: bool) -> Vec<u8> {
    let mut packed = Vec::with_capacity(160);
    let applied = if applied { "1" } else { "0" };
    let fields = fields(write);
    let fields = fields.iter().map(|(name, value)| (*name, &**value));
    for (name, value) in fields.chain([(APPLIED, applied)]) {
        for text in [name, value] {
            packed.extend((text.len() as u32).to_le_bytes());
            packed.extend(text.as_bytes());
        }
    }
    packed
}

/// The write in a value that [`pack`] returned.
#[cfg(any(test, feature = "file"))]
pub(crate) fn unpack(sequence: Sequence, packed: &[u8]) -> Result<Recorded, Fault> {
    let (mut rest, mut texts) = (packed, Vec::with_capacity(24));
    while !rest.is_empty() {
        let text = rest.split_first_chunk::<4>().and_then(|(length, behind)| {
            let (text, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = behind;
            str::from_utf8(text).ok()
        });
        texts.push(text.ok_or_else(|| format!("has the entry {sequence}, which is truncated"))?);
    }
    let (pairs, _) = texts.as_chunks::<2>();
    recorded(sequence, |name| {
        pairs.iter().find(|[known, _]| *known == name).map(|[_, value]| *value)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write() -> impl Strategy<Value = Write> {
        let text = || prop::option::of(".{0,8}");
        (0..5, any::<u32>(), any::<f32>(), text(), text(), text(), ".{0,8}", any::<u64>()).prop_map(
            |(action, number, value, key, session, recommendation, kind, digest)| {
                let movie = MovieId(number.rotate_left(7));
                let value = if value.is_nan() { 0.1 } else { value };
                let action = match (action, Stars::from_half_stars(1 + (number % 10) as u8)) {
                    (0, Some(stars)) => Action::Rate(movie, stars),
                    (1, _) => Action::Unrate(movie),
                    (2, _) => Action::Event { movie, kind: kind.into(), value },
                    (3, _) => Action::Expose(Box::new(Exposure {
                        experiment: kind.as_str().into(),
                        variant: "b".into(),
                        model: "ease".into(),
                        degraded: digest % 2 == 0,
                        micros: number,
                        credits: session.as_deref().map(Box::from),
                    })),
                    _ => Action::Forget,
                };
                Write {
                    idempotency: key.map(|key| Idempotency { key: key.into(), digest }),
                    session: session.map(String::into_boxed_str),
                    recommendation: recommendation.map(String::into_boxed_str),
                    ..Write::new(UserId(number), action, !number)
                }
            },
        )
    }

    proptest! {
        #[test]
        fn entries_round_trip_and_truncated_ones_are_errors(
            write in write(),
            applied: bool,
            cut in 1..60_usize,
        ) {
            let sequence = Sequence { milliseconds: 5, count: 6 };
            let packed = pack(&write, applied);
            prop_assert_eq!(unpack(sequence, &packed), Ok(Recorded { sequence, write, applied }));
            let cut_off = &packed[..packed.len().saturating_sub(cut)];
            prop_assert!(unpack(sequence, cut_off).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = unpack(Sequence::default(), &bytes);
        }
    }
}
