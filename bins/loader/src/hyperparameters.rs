//! Hyperparameters as command-line flags.
//!
//! The flags, their help and their errors follow from the declarations of the methods.

use std::fmt::Write as _;
use std::marker::PhantomData;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use sparrow_hyperparameters::{Description, Range, Settings};

use crate::failure::Failure;

/// The methods of a command.
pub(crate) trait Methods {
    /// The flag that selects the method.
    const SELECTOR: &'static str;
    /// The heading above the flags in help.
    const HEADING: Option<&'static str> = None;

    /// The names of the methods, and their hyperparameters with the defaults as values.
    fn list() -> Vec<(&'static str, Vec<Description>)>;
}

/// The hyperparameters on a command line.
#[derive(Debug)]
pub(crate) struct Hyperparameters<M> {
    /// Flags and values, in the order of help.
    given: Vec<(&'static str, String)>,
    methods: PhantomData<M>,
}

/// A flag, and the methods that have it.
type Flag = (&'static str, Vec<(&'static str, Description)>);

/// The flags of all methods, each once, in the order of their first occurrence.
fn flags<M: Methods>() -> Vec<Flag> {
    let mut flags: Vec<Flag> = Vec::new();
    for (method, described) in M::list() {
        for hyperparameter in described {
            let known = flags.iter().position(|(flag, _)| *flag == hyperparameter.flag);
            let index = known.unwrap_or_else(|| {
                flags.push((hyperparameter.flag, Vec::new()));
                flags.len() - 1
            });
            flags[index].1.push((method, hyperparameter));
        }
    }
    flags
}

/// The help of a flag: for methods with the same help line once, with their defaults.
fn help(of: &[(&'static str, Description)], all: usize) -> String {
    let mut text = String::new();
    let mut lines: Vec<&str> = Vec::new();
    for (_, hyperparameter) in of {
        if lines.contains(&hyperparameter.help) {
            continue;
        }
        lines.push(hyperparameter.help);
        let same: Vec<_> =
            of.iter().filter(|(_, other)| other.help == hyperparameter.help).collect();
        let separator = if text.is_empty() { "" } else { "; " };
        text.push_str(separator);
        if same.len() < all {
            let names: Vec<&str> = same.iter().map(|(method, _)| *method).collect();
            let _ = write!(text, "{}: ", names.join(", "));
        }
        text.push_str(hyperparameter.help);
        if hyperparameter.placeholder.is_none() {
            continue;
        }
        let mut defaults = vec![hyperparameter.value.clone()];
        for (method, other) in &same[1..] {
            if other.value != hyperparameter.value {
                defaults.push(format!("{} for {method}", other.value));
            }
        }
        let _ = write!(text, " [default: {}]", defaults.join(", "));
    }
    text
}

impl<M: Methods> Args for Hyperparameters<M> {
    fn augment_args(command: Command) -> Command {
        let all = M::list().len();
        flags::<M>().into_iter().fold(command, |command, (flag, of)| {
            let (_, first) = &of[0];
            let mut arg = Arg::new(flag).long(flag).help(help(&of, all));
            if let Some(heading) = M::HEADING {
                arg = arg.help_heading(heading);
            }
            let negative = |range| matches!(range, Range::Numbers { from, .. } if from < 0.0);
            arg = match first.placeholder {
                Some(placeholder) => arg
                    .value_name(placeholder)
                    .allow_negative_numbers(of.iter().any(|(_, it)| negative(it.range))),
                None => arg.action(ArgAction::SetTrue),
            };
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<M: Methods> FromArgMatches for Hyperparameters<M> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Vec::new();
        for (flag, of) in flags::<M>() {
            if of[0].1.placeholder.is_some() {
                given.extend(matches.get_one::<String>(flag).map(|text| (flag, text.clone())));
            } else if matches.get_flag(flag) {
                // A switch turns off what is on by default, and the other way round.
                let turned = of[0].1.value != "true";
                given.push((flag, turned.to_string()));
            }
        }
        Ok(Self { given, methods: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<M: Methods> Hyperparameters<M> {
    /// Sets the hyperparameters of `method` to the values on the command line. A flag of another method is an error.
    pub(crate) fn apply(&self, method: &str, settings: &mut dyn Settings) -> Result<(), Failure> {
        let described = settings.describe();
        let invalid = |error: sparrow_hyperparameters::Error| {
            let flag = described.iter().find(|it| it.name == error.name).map(|it| it.flag);
            let sparrow_hyperparameters::Error { name, allowed, value } = error;
            Failure::Usage(format!("--{} must be {allowed}, got {value}", flag.unwrap_or(name)))
        };
        for (flag, text) in &self.given {
            let Some(hyperparameter) = described.iter().find(|it| it.flag == *flag) else {
                return Err(Self::not_of(method, flag));
            };
            settings.set(hyperparameter.name, text).map_err(invalid)?;
        }
        settings.check().map_err(invalid)
    }

    fn not_of(method: &str, flag: &str) -> Failure {
        let of = flags::<M>().into_iter().find(|(known, _)| *known == flag);
        let of = of.map_or_else(Vec::new, |(_, of)| of);
        let names = of.into_iter().map(|(name, _)| name).filter(|name| *name != method);
        Self::other_method(flag, names)
    }

    /// The error of a flag that only the methods with these names have.
    pub(crate) fn other_method(flag: &str, names: impl Iterator<Item = &'static str>) -> Failure {
        let names: Vec<&str> = names.collect();
        let names = match &names[..] {
            [others @ .., last] if !others.is_empty() => {
                format!("{} and {last}", others.join(", "))
            }
            names => names.join(", "),
        };
        Failure::Usage(format!("--{flag} is an option of --{} {names}", M::SELECTOR))
    }
}
