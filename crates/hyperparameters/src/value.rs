/// The type of a hyperparameter's value.
pub trait Value {
    /// Parses and sets the value; returns `false` and leaves it unchanged if the text is malformed.
    fn parse(&mut self, text: &str) -> bool;

    /// Formats the value so that [`parse`](Self::parse) reads it back.
    fn text(&self) -> String;

    /// The type in error messages, such as "a whole number".
    fn expected(&self) -> &'static str;

    /// The numbers that the range restricts.
    fn numbers(&self) -> Vec<f64> {
        Vec::new()
    }

    /// The placeholder in help; `None` for a switch.
    fn placeholder(&self) -> Option<&'static str> {
        Some("NAME")
    }
}

/// Implements [`Value`] for a number.
macro_rules! number {
    ($type:ty, $expected:literal, $placeholder:literal, $to_f64:expr) => {
        impl Value for $type {
            fn parse(&mut self, text: &str) -> bool {
                text.parse().map(|value| *self = value).is_ok()
            }

            fn text(&self) -> String {
                self.to_string()
            }

            fn expected(&self) -> &'static str {
                $expected
            }

            fn numbers(&self) -> Vec<f64> {
                vec![$to_f64(*self)]
            }

            fn placeholder(&self) -> Option<&'static str> {
                Some($placeholder)
            }
        }
    };
}

number!(usize, "a whole number", "N", |value| value as f64);
number!(f32, "a number", "X", f64::from);
number!(f64, "a number", "X", f64::from);

/// Implements [`Value`] for an optional number. `None` is written as `auto`: the method chooses the number.
macro_rules! optional {
    ($type:ty, $expected:literal, $placeholder:literal, $to_f64:expr) => {
        impl Value for Option<$type> {
            fn parse(&mut self, text: &str) -> bool {
                if text == AUTO {
                    *self = None;
                    return true;
                }
                text.parse().map(|value| *self = Some(value)).is_ok()
            }

            fn text(&self) -> String {
                self.map_or_else(|| AUTO.to_owned(), |value| value.to_string())
            }

            fn expected(&self) -> &'static str {
                $expected
            }

            fn numbers(&self) -> Vec<f64> {
                self.iter().map(|&value| $to_f64(value)).collect()
            }

            fn placeholder(&self) -> Option<&'static str> {
                Some($placeholder)
            }
        }
    };
}

/// The text of a value that the method chooses.
const AUTO: &str = "auto";

optional!(usize, "a whole number", "N", |value| value as f64);
optional!(f32, "a number", "X", f64::from);

/// An empty list is written as `auto`: the method chooses the numbers.
impl Value for Vec<usize> {
    fn parse(&mut self, text: &str) -> bool {
        if text == AUTO {
            self.clear();
            return true;
        }
        let numbers = text.split(',').map(str::parse).collect::<Result<_, _>>();
        numbers.map(|numbers| *self = numbers).is_ok()
    }

    fn text(&self) -> String {
        if self.is_empty() {
            return AUTO.to_owned();
        }
        self.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    fn expected(&self) -> &'static str {
        "whole numbers with commas between them"
    }

    fn numbers(&self) -> Vec<f64> {
        self.iter().map(|&value| value as f64).collect()
    }

    fn placeholder(&self) -> Option<&'static str> {
        Some("N,N")
    }
}

impl Value for bool {
    fn parse(&mut self, text: &str) -> bool {
        text.parse().map(|value| *self = value).is_ok()
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn expected(&self) -> &'static str {
        "true or false"
    }

    fn placeholder(&self) -> Option<&'static str> {
        None
    }
}
