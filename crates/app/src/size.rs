//! Sizes in configuration: text with a unit, such as `16MiB`.

use std::fmt;

use serde::{Deserialize, Serialize};

const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub usize);

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
        let size =
            unit.or_else(|| Some((text.strip_suffix('B')?, &1))).and_then(|(number, factor)| {
                number.trim_end().parse::<usize>().ok()?.checked_mul(*factor)
            });
        size.map(Self).ok_or_else(|| format!("{text:?} is not a size such as \"16MiB\""))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |factor: usize| self.0 > 0 && self.0.is_multiple_of(factor);
        match UNITS.iter().find(|(_, factor)| whole(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        for (text, bytes) in [("16MiB", 16 << 20), ("1 KiB", 1024), ("0B", 0), ("1025B", 1025)] {
            let size = Size::try_from(text.to_owned());
            assert_eq!(size, Ok(Size(bytes)));
            assert_eq!(Size::try_from(Size(bytes).to_string()), size);
        }
        for bad in ["", "16", "MiB", "-1B", "1.5MiB", "16MB", "99999999999GiB"] {
            assert!(Size::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
