//! Durations in configuration: text with a unit, such as `10s` or `1m 30s`.

use std::time::Duration;

use serde::{Deserializer, Serializer, de};
use sparrow_process::units::format_duration;

pub(crate) fn serialize<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let duration = or_zero::deserialize(deserializer)?;
    if duration.is_zero() {
        return Err(de::Error::custom("a duration must be above zero"));
    }
    Ok(duration)
}

/// Durations that may be zero.
pub(crate) mod or_zero {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, de};
    use sparrow_process::units::parse_duration;

    pub(crate) use super::serialize;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map_err(de::Error::custom)
    }
}

/// Durations that may be missing.
pub(crate) mod optional {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
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
        struct AboveZero(#[serde(with = "super")] Duration);
        Option::<AboveZero>::deserialize(deserializer)
            .map(|duration| duration.map(|AboveZero(duration)| duration))
    }
}
