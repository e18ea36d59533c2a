use std::fmt;

/// The valid values of a hyperparameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Range {
    /// Numbers between two bounds.
    Numbers {
        /// The lower bound.
        from: f64,
        /// The upper bound; infinite if there is none.
        to: f64,
        /// Whether the lower bound itself is invalid.
        from_excluded: bool,
        /// Whether the upper bound itself is invalid.
        to_excluded: bool,
    },
    /// One of these names.
    Names(&'static [&'static str]),
    /// All values of the type.
    Any,
}

impl Range {
    /// Numbers from `from` to `to`.
    pub const fn within(from: f64, to: f64) -> Self {
        Self::Numbers { from, to, from_excluded: false, to_excluded: false }
    }

    /// Numbers above `from` and up to `to`.
    pub const fn above(from: f64, to: f64) -> Self {
        Self::Numbers { from, to, from_excluded: true, to_excluded: false }
    }

    /// Numbers above `from` and below `to`.
    pub const fn between(from: f64, to: f64) -> Self {
        Self::Numbers { from, to, from_excluded: true, to_excluded: true }
    }

    /// Numbers from `from` on.
    pub const fn at_least(from: f64) -> Self {
        Self::within(from, f64::INFINITY)
    }

    /// Returns whether a number is valid.
    pub fn contains(&self, number: f64) -> bool {
        match *self {
            Self::Numbers { from, to, from_excluded, to_excluded } => {
                (number > from || (number == from && !from_excluded))
                    && (number < to || (number == to && !to_excluded))
            }
            Self::Names(_) => false,
            Self::Any => true,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Numbers { from, to, .. } if to == f64::INFINITY => write!(f, "at least {from}"),
            Self::Numbers { from, to, from_excluded: false, .. } => {
                write!(f, "from {from} to {to}")
            }
            Self::Numbers { from, to, to_excluded: false, .. } => {
                write!(f, "more than {from} and at most {to}")
            }
            Self::Numbers { from, to, .. } => write!(f, "more than {from} and less than {to}"),
            Self::Names([]) | Self::Any => f.write_str("any value"),
            Self::Names([name]) => f.write_str(name),
            Self::Names([names @ .., last]) => write!(f, "{} or {last}", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_included_or_excluded_as_displayed() {
        let inside = |range: Range| [0.0, 0.5, 1.0].map(|number| range.contains(number));
        for (range, text, valid) in [
            (Range::within(0.0, 1.0), "from 0 to 1", [true; 3]),
            (Range::above(0.0, 1.0), "more than 0 and at most 1", [false, true, true]),
            (Range::between(0.0, 1.0), "more than 0 and less than 1", [false, true, false]),
            (Range::at_least(1.0), "at least 1", [false, false, true]),
        ] {
            assert_eq!((range.to_string(), inside(range)), (text.to_owned(), valid));
            assert!(!range.contains(f64::NAN));
        }
        assert_eq!(Range::Names(&["a", "b", "c"]).to_string(), "a, b or c");
    }
}
