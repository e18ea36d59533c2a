//! Durations in configuration: text with a unit, such as `10s` or `1m 30s`.

use std::time::Duration;

use serde::{Deserializer, Serializer, de};

/// Longer waits than anybody means, and short enough to be added to any time.
const LONGEST: Duration = Duration::from_hours(24 * 3653);

pub(crate) fn serialize<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let duration = or_zero::deserialize(deserializer)?;
    if duration.is_zero() {
        return Err(de::Error::custom("a duration of zero would cut everything at once"));
    }
    Ok(duration)
}

/// The same where it may be zero.
pub(crate) mod or_zero {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, de};

    pub(crate) use super::serialize;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration = humantime::parse_duration(&text).map_err(|error| {
            de::Error::custom(format_args!("{text:?} is not a duration such as \"10s\": {error}"))
        })?;
        if duration > super::LONGEST {
            return Err(de::Error::custom(format_args!("{text:?} is longer than ten years")));
        }
        Ok(duration)
    }
}

/// The same where there need not be one.
pub(crate) mod optional {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands it so")]
    pub(crate) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Given(#[serde(with = "super")] Duration);
        Option::<Given>::deserialize(deserializer)
            .map(|given| given.map(|Given(duration)| duration))
    }
}
