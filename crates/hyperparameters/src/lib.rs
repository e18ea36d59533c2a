//! Declarations of hyperparameters.
//!
//! A training method declares each hyperparameter once, in a table ([`Hyperparameters::TABLE`]): name, range, help
//! line, search space, and the field that contains the value. Command-line flags, parsing, range errors, reports and
//! hyperparameter search use this table, through [`Settings`]. Defaults are the values of the method's `Default` or of
//! the constant that it starts with.
//!
//! The crate does not train anything and depends on no command-line library. Start reading at [`Hyperparameter`].

mod range;
mod value;

use std::fmt;

pub use range::Range;
pub use value::Value;

/// A hyperparameter of the options `O`.
pub struct Hyperparameter<O: 'static> {
    name: &'static str,
    flag: &'static str,
    help: &'static str,
    range: Range,
    search: Option<SearchSpace>,
    value: fn(&mut O) -> &mut dyn Value,
}

impl<O> Hyperparameter<O> {
    /// Declares a hyperparameter: its name with hyphens, its valid values, the field that contains the value, and a
    /// line of help.
    pub const fn new(
        name: &'static str,
        range: Range,
        value: fn(&mut O) -> &mut dyn Value,
        help: &'static str,
    ) -> Self {
        Self { name, flag: name, help, range, search: None, value }
    }

    /// Sets the values that a hyperparameter search tries. Without them, the search keeps the default.
    #[must_use]
    pub const fn search(mut self, space: SearchSpace) -> Self {
        self.search = Some(space);
        self
    }

    /// Sets the command-line flag, if it differs from the name.
    #[must_use]
    pub const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = flag;
        self
    }

    fn check(&self, value: &dyn Value) -> Result<(), Error> {
        let valid = match self.range {
            Range::Names(names) => names.contains(&&*value.text()),
            range => value.numbers().into_iter().all(|number| range.contains(number)),
        };
        if valid { Ok(()) } else { Err(Error::new(self.name, &self.range, &value.text())) }
    }
}

impl<O> fmt::Debug for Hyperparameter<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hyperparameter").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The values that a hyperparameter search draws from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SearchSpace {
    /// Numbers between two bounds; each order of magnitude has the same probability.
    Logarithmic(f64, f64),
    /// Numbers between two bounds, uniformly.
    Uniform(f64, f64),
    /// One of these numbers.
    OneOf(&'static [f64]),
}

/// The error of an invalid value. Its message begins with the name of the hyperparameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be {allowed}, got {value}")]
pub struct Error {
    /// The hyperparameter.
    pub name: &'static str,
    /// Its valid values.
    pub allowed: String,
    /// The invalid value.
    pub value: String,
}

impl Error {
    /// An invalid value of a hyperparameter.
    pub fn new(name: &'static str, allowed: &dyn ToString, value: &dyn ToString) -> Self {
        Self { name, allowed: allowed.to_string(), value: value.to_string() }
    }
}

/// Options with a table of hyperparameters.
pub trait Hyperparameters: Clone + 'static {
    /// The hyperparameters, in the order of help and reports.
    const TABLE: &'static [Hyperparameter<Self>];

    /// Checks conditions that concern several hyperparameters.
    fn check_combination(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Called after a hyperparameter was set. One that determines the defaults of others sets them here. It is the first
    /// in the table: values are applied in the order of the table, so that those of the user replace the defaults.
    fn after_set(&mut self, _name: &str) {}
}

/// A hyperparameter with its current value.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The name, in reports, in model files and in `NAME=VALUE` pairs.
    pub name: &'static str,
    /// The command-line flag, without hyphens before it.
    pub flag: &'static str,
    /// A line of help.
    pub help: &'static str,
    /// The valid values.
    pub range: Range,
    /// The values that a search tries, if it varies this hyperparameter.
    pub search: Option<SearchSpace>,
    /// The value as text.
    pub value: String,
    /// The placeholder of the value in help, such as `N`; `None` for a switch.
    pub placeholder: Option<&'static str>,
}

/// The hyperparameters of a method by name, whatever its type.
pub trait Settings {
    /// Returns all hyperparameters with their current values.
    fn describe(&self) -> Vec<Description>;

    /// Parses and sets a value. Returns `Ok(false)` if there is no hyperparameter of this name.
    fn set(&mut self, name: &str, text: &str) -> Result<bool, Error>;

    /// Checks all ranges and combinations.
    fn check(&self) -> Result<(), Error>;

    /// Returns names and values, for reports.
    fn settings(&self) -> Vec<(String, String)> {
        self.describe().into_iter().map(|it| (it.name.to_owned(), it.value)).collect()
    }
}

impl<O: Hyperparameters> Settings for O {
    fn describe(&self) -> Vec<Description> {
        let mut options = self.clone();
        let table = O::TABLE.iter();
        let describe = |it: &Hyperparameter<O>| {
            let value = (it.value)(&mut options);
            Description {
                name: it.name,
                flag: it.flag,
                help: it.help,
                range: it.range,
                search: it.search,
                value: value.text(),
                placeholder: value.placeholder(),
            }
        };
        table.map(describe).collect()
    }

    fn set(&mut self, name: &str, text: &str) -> Result<bool, Error> {
        let Some(hyperparameter) = O::TABLE.iter().find(|it| it.name == name) else {
            return Ok(false);
        };
        let value = (hyperparameter.value)(self);
        if value.parse(text) {
            hyperparameter.check(value)?;
            self.after_set(name);
            return Ok(true);
        }
        let allowed = match hyperparameter.range {
            Range::Any => value.expected().to_owned(),
            Range::Names(_) => hyperparameter.range.to_string(),
            Range::Numbers { .. } => format!("{} {}", value.expected(), hyperparameter.range),
        };
        Err(Error { name: hyperparameter.name, allowed, value: text.to_owned() })
    }

    fn check(&self) -> Result<(), Error> {
        let mut options = self.clone();
        for hyperparameter in O::TABLE {
            hyperparameter.check((hyperparameter.value)(&mut options))?;
        }
        self.check_combination()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Options {
        count: usize,
        rate: f32,
        layers: Vec<usize>,
        limit: Option<usize>,
        weight: Option<f32>,
        refit: bool,
    }

    impl Hyperparameters for Options {
        const TABLE: &'static [Hyperparameter<Self>] = &[
            Hyperparameter::<Self>::new(
                "count",
                Range::within(1.0, 9.0),
                |o| &mut o.count,
                "A number",
            )
            .search(SearchSpace::OneOf(&[2.0, 4.0])),
            Hyperparameter::<Self>::new("rate", Range::above(0.0, 1.0), |o| &mut o.rate, "A rate"),
            Hyperparameter::<Self>::new(
                "layers",
                Range::within(1.0, 50.0),
                |o| &mut o.layers,
                "Sizes",
            ),
            Hyperparameter::<Self>::new("limit", Range::at_least(1.0), |o| &mut o.limit, "A limit"),
            Hyperparameter::<Self>::new(
                "weight",
                Range::at_least(0.0),
                |o| &mut o.weight,
                "A weight",
            ),
            Hyperparameter::<Self>::new("refit", Range::Any, |o| &mut o.refit, "A switch")
                .flag("no-refit"),
        ];

        fn check_combination(&self) -> Result<(), Error> {
            if self.count == 7 && !self.refit {
                return Err(Error::new("count", &"below 7 without refit", &self.count));
            }
            Ok(())
        }
    }

    fn options() -> Options {
        Options {
            count: 3,
            rate: 0.05,
            layers: vec![10, 20],
            limit: None,
            weight: None,
            refit: true,
        }
    }

    #[test]
    fn values_are_set_and_reported_by_name() {
        let mut set = options();
        for (name, text) in [
            ("count", "5"),
            ("rate", "0.5"),
            ("layers", "7,8"),
            ("limit", "4"),
            ("weight", "0.5"),
            ("refit", "false"),
        ] {
            assert_eq!(set.set(name, text), Ok(true));
            assert!(set.settings().contains(&(name.to_owned(), text.to_owned())));
        }
        let expected = Options {
            count: 5,
            rate: 0.5,
            layers: vec![7, 8],
            limit: Some(4),
            weight: Some(0.5),
            refit: false,
        };
        assert_eq!((set.set("other", "1"), set), (Ok(false), expected));
        let values: Vec<String> = options().describe().into_iter().map(|it| it.value).collect();
        assert_eq!(values, ["3", "0.05", "10,20", "auto", "auto", "true"]);
        let mut auto = options();
        assert_eq!(auto.set("layers", "auto"), Ok(true));
        assert_eq!((&*auto.layers, &*auto.describe()[2].value), (&[][..], "auto"));
    }

    /// `wide` determines the default of `width`.
    #[derive(Debug, Clone)]
    struct Dependent {
        wide: bool,
        width: usize,
    }

    impl Hyperparameters for Dependent {
        const TABLE: &'static [Hyperparameter<Self>] = &[
            Hyperparameter::<Self>::new("wide", Range::Any, |o| &mut o.wide, "A switch"),
            Hyperparameter::<Self>::new("width", Range::at_least(1.0), |o| &mut o.width, "A width"),
        ];

        fn after_set(&mut self, name: &str) {
            if name == "wide" {
                self.width = if self.wide { 100 } else { 10 };
            }
        }
    }

    #[test]
    fn a_hyperparameter_sets_the_defaults_that_depend_on_it() {
        let mut options = Dependent { wide: false, width: 10 };
        assert_eq!(options.set("wide", "true"), Ok(true));
        assert_eq!(options.width, 100);
        assert_eq!(options.set("width", "7"), Ok(true));
        assert_eq!(options.width, 7);
    }

    #[test]
    fn invalid_values_are_errors_with_name_and_range() {
        for (name, text, message) in [
            ("count", "0", "count must be from 1 to 9, got 0"),
            ("count", "x", "count must be a whole number from 1 to 9, got x"),
            ("rate", "0", "rate must be more than 0 and at most 1, got 0"),
            ("rate", "nan", "rate must be more than 0 and at most 1, got NaN"),
            ("layers", "3,60", "layers must be from 1 to 50, got 3,60"),
            (
                "layers",
                "3,",
                "layers must be whole numbers with commas between them from 1 to 50, got 3,",
            ),
            ("limit", "0", "limit must be at least 1, got 0"),
            ("weight", "-1", "weight must be at least 0, got -1"),
            ("weight", "x", "weight must be a number at least 0, got x"),
            ("refit", "no", "refit must be true or false, got no"),
        ] {
            let error = options().set(name, text).expect_err("it is invalid");
            assert_eq!(error.to_string(), message);
        }
        let mut combination = Options { count: 7, refit: false, ..options() };
        let error = combination.check().expect_err("the combination is invalid").to_string();
        assert_eq!(error, "count must be below 7 without refit, got 7");
        combination.refit = true;
        assert_eq!(combination.check(), Ok(()));
    }
}
