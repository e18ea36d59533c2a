use std::fmt;

/// A rating from 0.5 to 5.0 stars in steps of half a star.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stars(u8);

impl Stars {
    /// The lowest rating.
    pub const MIN: Self = Self(1);
    /// The highest rating.
    pub const MAX: Self = Self(10);
    /// The lowest rating that counts as liked (label 1).
    pub const LIKED: Self = Self(7);

    /// Converts from half stars; `None` outside 1 to 10.
    pub const fn from_half_stars(half_stars: u8) -> Option<Self> {
        if half_stars >= 1 && half_stars <= 10 { Some(Self(half_stars)) } else { None }
    }

    /// The number of half stars, from 1 to 10.
    pub const fn half_stars(self) -> u8 {
        self.0
    }

    /// The value in stars, from 0.5 to 5.0.
    pub fn value(self) -> f32 {
        f32::from(self.0) / 2.0
    }

    /// Returns whether the rating is at least 3.5 stars.
    pub fn is_liked(self) -> bool {
        self >= Self::LIKED
    }
}

impl fmt::Display for Stars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 2, if self.0.is_multiple_of(2) { 0 } else { 5 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_bounded_and_display_one_decimal() {
        assert_eq!(Stars::from_half_stars(0), None);
        assert_eq!(Stars::from_half_stars(11), None);
        assert_eq!(Stars::MIN.to_string(), "0.5");
        assert_eq!(Stars::MAX.to_string(), "5.0");
        assert!(Stars::LIKED.is_liked());
        assert!(Stars::from_half_stars(6).is_some_and(|stars| !stars.is_liked()));
    }
}
