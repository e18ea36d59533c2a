//! The tables of `[[events]]`.

use serde::{Deserialize, Serialize};
use sparrow_live::{Combination, EventType, EventTypes};
use toml::{Table, Value};

use super::TableProblem;

/// Types of events, which replace the built-in ones of the same name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Events(Vec<EventTable>);

/// A type of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EventTable {
    r#type: String,
    strength: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    half_life_days: Option<f32>,
    combine: Combine,
    seen: bool,
    hides: bool,
}

impl Default for EventTable {
    fn default() -> Self {
        Self {
            r#type: String::new(),
            strength: 1.0,
            half_life_days: None,
            combine: Combine::Newest,
            seen: false,
            hides: false,
        }
    }
}

/// How several events about one movie combine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Combine {
    Sum,
    Greatest,
    Newest,
}

impl Events {
    pub(super) const fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    /// A table with all keys, for the list of known keys.
    pub(super) fn table_of_all_keys() -> Table {
        let keys = ["type", "strength", "half_life_days", "combine", "seen", "hides"];
        keys.into_iter().map(|key| (key.to_owned(), Value::Boolean(false))).collect()
    }

    pub(super) fn new(tables: &[Table]) -> Result<Self, TableProblem> {
        let mut events: Vec<EventTable> = Vec::with_capacity(tables.len());
        for (index, table) in tables.iter().enumerate() {
            let problem = |key: &str, message: &str| TableProblem {
                key: format!("events[{index}].{key}"),
                message: message.to_owned(),
            };
            // One key at a time, so that an error names its key.
            let mut read = Table::new();
            let mut event = EventTable::default();
            for (key, value) in table {
                read.insert(key.clone(), value.clone());
                event = EventTable::deserialize(read.clone())
                    .map_err(|error| problem(key, error.message()))?;
            }
            if event.r#type.is_empty() || event.r#type.chars().count() > 100 {
                return Err(problem("type", "a type has a name of 1 to 100 characters"));
            }
            if events.iter().any(|known| known.r#type == event.r#type) {
                return Err(problem("type", "there is another table for this type"));
            }
            if !(-100.0..=100.0).contains(&event.strength) {
                return Err(problem("strength", "a strength is a number from -100 to 100"));
            }
            if event.half_life_days.is_some_and(|days| !(days > 0.0 && days.is_finite())) {
                return Err(problem("half_life_days", "a half-life is a number above 0"));
            }
            events.push(event);
        }
        Ok(Self(events))
    }

    /// All types, the built-in ones included.
    pub(crate) fn types(&self) -> EventTypes {
        let mut types = EventTypes::default();
        types.extend(self.0.iter().map(|event| EventType {
            name: event.r#type.as_str().into(),
            strength: event.strength,
            half_life_days: event.half_life_days,
            combination: match event.combine {
                Combine::Sum => Combination::Sum,
                Combine::Greatest => Combination::Greatest,
                Combine::Newest => Combination::Newest,
            },
            seen: event.seen,
            hides: event.hides,
        }));
        types
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::tests::layered;
    use super::*;

    #[test]
    fn types_replace_and_extend_the_built_in_ones() {
        let text = "[[events]]\ntype = \"watch\"\nstrength = 2\n\n[[events]]\ntype = \"trailer\"\n\
                    strength = 0.1\nhalf_life_days = 30\ncombine = \"sum\"\n";
        let config = layered(text, &[]).unwrap();
        let types = config.events.types();
        let watch = types.find("watch").unwrap();
        assert_eq!((watch.strength, watch.half_life_days, watch.seen), (2.0, None, false));
        let trailer = types.find("trailer").unwrap();
        assert_eq!((trailer.half_life_days, trailer.combination), (Some(30.0), Combination::Sum));
        assert_eq!(types.names().count(), EventTypes::default().names().count() + 1);
        assert_eq!(layered(&config.to_toml(), &[]).unwrap().events, config.events);
    }

    #[test]
    fn invalid_types_are_named() {
        for (table, key) in [
            ("strength = 1", "events[0].type"),
            ("type = \"\"", "events[0].type"),
            ("type = \"a\"\nstrength = \"strong\"", "events[0].strength"),
            ("type = \"a\"\nstrength = 1e9", "events[0].strength"),
            ("type = \"a\"\nhalf_life_days = 0", "events[0].half_life_days"),
            ("type = \"a\"\ncombine = \"mean\"", "events[0].combine"),
            ("type = \"a\"\n[[events]]\ntype = \"a\"", "events[1].type"),
            ("type = \"a\"\nstrenght = 1", "events[0].strenght"),
        ] {
            let error = layered(&format!("[[events]]\n{table}"), &[]).unwrap_err();
            assert!(error.contains(key), "{table}: {error}");
        }
    }
}
