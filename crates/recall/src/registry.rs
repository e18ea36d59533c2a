use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use sparrow_neural::ItemVectors;

use crate::Recall;

/// A strategy that configurations can name, with its parameters.
#[derive(Clone, Copy)]
pub struct StrategyKind {
    /// The name, in configurations and in answers.
    pub name: &'static str,
    /// The number of candidates that it is asked for if a configuration does not specify one.
    pub share: usize,
    /// Whether the standard engine uses it.
    pub standard: bool,
    /// The parameters that a configuration can set.
    pub parameters: &'static [Parameter],
    /// Builds the strategy; `None` if it cannot work with these data, for example without vectors.
    pub build: fn(&Inputs<'_>) -> Option<Box<dyn Recall>>,
}

/// A parameter of a strategy: a whole number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The key in configurations.
    pub name: &'static str,
    /// The value if a configuration does not set it.
    pub default: usize,
    /// The valid values.
    pub range: RangeInclusive<usize>,
}

/// What strategies are built from.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Inputs<'a> {
    /// The movies' vectors, by movie index.
    pub items: Option<&'a Arc<ItemVectors>>,
    declared: &'a [Parameter],
    values: &'a [(String, usize)],
}

/// Why the parameters of a strategy are invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// The strategy has no such parameter.
    #[error("the strategy {strategy} has no parameter {name:?}")]
    Unknown {
        /// The strategy.
        strategy: &'static str,
        /// The name in question.
        name: String,
    },
    /// A value outside its range.
    #[error("{name} must be from {} to {}, got {value}", range.start(), range.end())]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// Its valid values.
        range: RangeInclusive<usize>,
        /// The value in question.
        value: usize,
    },
}

impl<'a> Inputs<'a> {
    /// The data of an engine: the movies' vectors, if there are any.
    pub const fn new(items: Option<&'a Arc<ItemVectors>>) -> Self {
        Self { items, declared: &[], values: &[] }
    }

    /// The value of a parameter of the strategy that is built, or its default; 0 for a parameter that the strategy
    /// does not declare.
    pub fn parameter(&self, name: &str) -> usize {
        let value = self.values.iter().find(|(known, _)| known == name).map(|&(_, value)| value);
        let default = || self.declared.iter().find(|known| known.name == name);
        value.or_else(|| default().map(|parameter| parameter.default)).unwrap_or_default()
    }
}

impl StrategyKind {
    /// Checks the values of parameters.
    pub fn check(&self, values: &[(String, usize)]) -> Result<(), ParameterError> {
        for (name, value) in values {
            let parameter = self.parameters.iter().find(|parameter| parameter.name == name);
            let parameter = parameter.ok_or_else(|| ParameterError::Unknown {
                strategy: self.name,
                name: name.clone(),
            })?;
            if !parameter.range.contains(value) {
                let (name, range) = (parameter.name, parameter.range.clone());
                return Err(ParameterError::OutOfRange { name, range, value: *value });
            }
        }
        Ok(())
    }

    /// Builds the strategy with these values of its parameters; `None` if it cannot work with these data.
    pub fn build(
        &self,
        inputs: &Inputs<'_>,
        values: &[(String, usize)],
    ) -> Result<Option<Box<dyn Recall>>, ParameterError> {
        self.check(values)?;
        Ok((self.build)(&Inputs { items: inputs.items, declared: self.parameters, values }))
    }
}

impl fmt::Debug for StrategyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StrategyKind").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use crate::STRATEGIES;

    use super::*;

    #[test]
    fn strategies_have_distinct_names_and_the_names_of_their_kinds() {
        let table = sparrow_neural::EmbeddingTable::read("1:1\n".as_bytes(), "test").unwrap();
        let similarity = sparrow_neural::Similarity::Dot;
        let items = Arc::new(ItemVectors::new(&table, 2, similarity, Some));
        for (index, kind) in STRATEGIES.iter().enumerate() {
            assert!(STRATEGIES[..index].iter().all(|other| other.name != kind.name));
            let built = kind.build(&Inputs::new(Some(&items)), &[]).unwrap().unwrap();
            assert_eq!(built.name(), kind.name);
        }
        let missing =
            STRATEGIES.iter().filter(|kind| kind.build(&Inputs::new(None), &[]).unwrap().is_none());
        assert_eq!(missing.map(|kind| kind.name).collect::<Vec<_>>(), ["embedding"]);
    }

    #[test]
    fn parameters_have_defaults_and_ranges() {
        let parameters: &[Parameter] = &[Parameter { name: "years", default: 3, range: 1..=9 }];
        let kind = StrategyKind { parameters, ..STRATEGIES[0] };
        let years = |values: &[(String, usize)]| {
            Inputs { items: None, declared: parameters, values }.parameter("years")
        };
        let given = |name: &str, value| vec![(name.to_owned(), value)];
        assert_eq!((years(&[]), years(&given("years", 5))), (3, 5));
        assert_eq!(kind.check(&given("years", 9)), Ok(()));
        let error = kind.check(&given("years", 10)).unwrap_err().to_string();
        assert_eq!(error, "years must be from 1 to 9, got 10");
        let error = kind.check(&given("year", 1)).unwrap_err().to_string();
        assert_eq!(error, format!("the strategy {} has no parameter \"year\"", kind.name));
    }
}
