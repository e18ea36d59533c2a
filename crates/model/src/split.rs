use std::fmt;
use std::str::FromStr;

/// How ratings are divided into a part for training and a test part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Split {
    /// At random; every rating has the same probability of being in the test part.
    #[default]
    Random,
    /// The latest ratings are the test part.
    Time,
    /// The latest ratings of each user are the test part.
    PerUserTime,
}

impl Split {
    /// All splits.
    pub const ALL: [Self; 3] = [Self::Random, Self::Time, Self::PerUserTime];

    /// The name on command lines and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Time => "time",
            Self::PerUserTime => "per-user-time",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let split = Self::ALL.into_iter().find(|split| split.name() == name);
        split.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{name:?} is not one of {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed() {
        for split in Split::ALL {
            assert_eq!(split.name().parse(), Ok(split));
        }
        assert!("coin".parse::<Split>().is_err());
    }
}
