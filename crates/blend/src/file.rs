use std::collections::BTreeMap;
use std::iter;

use serde::{Deserialize, Serialize};

use crate::Term;

/// The format version, incremented by incompatible changes.
const FORMAT: u32 = 2;

/// What the weights were fitted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Lists of movies that the user rates at any time.
    #[default]
    Lists,
    /// The movie that the user rates next.
    Next,
}

impl Objective {
    /// All objectives.
    pub const ALL: [Self; 2] = [Self::Lists, Self::Next];

    /// The name on command lines and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lists => "lists",
            Self::Next => "next",
        }
    }
}

/// Metrics on ratings that were held out from the fit, by halves of the users: each half is ranked by weights that were
/// fitted to the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The SHA-256 of the ratings, as training computes it.
    pub fingerprint: String,
    /// The number of lists.
    pub lists: usize,
    /// nDCG@10 of the blend.
    pub ndcg_at_10: f64,
    /// nDCG@10 of each model alone.
    pub inputs: BTreeMap<String, f64>,
}

/// A blend: the sum of its terms.
///
/// The file is JSON: `format`, `objective`, `terms` (each with `signal`, `weight`, `new_user_weight` and, for the scores of
/// models, `epsilon`) and `validation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blend {
    format: u32,
    /// What the weights were fitted for.
    pub objective: Objective,
    terms: Vec<Term>,
    /// How good the weights are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
}

/// The error of an unreadable or invalid blend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {message}")]
pub struct InvalidBlend {
    file: String,
    message: String,
}

impl Blend {
    /// A blend of these terms.
    ///
    /// # Errors
    /// If there is no term with the scores of a model, a signal is there twice, a weight is not finite, or ε is not
    /// greater than 0 for a model's scores.
    pub fn new(objective: Objective, terms: Vec<Term>) -> Result<Self, InvalidBlend> {
        let blend = Self { format: FORMAT, objective, terms, validation: None };
        blend.check().map_err(|message| InvalidBlend { file: "blend".to_owned(), message })?;
        Ok(blend)
    }

    /// Parses the content of a file; `file` is the name in error messages.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, InvalidBlend> {
        let invalid = |message: String| InvalidBlend { file: file.to_owned(), message };
        let blend: Self =
            serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        blend.check().map_err(invalid)?;
        Ok(blend)
    }

    /// The content of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Weights are finite, and keys are text, so this does not fail.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The terms.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    fn check(&self) -> Result<(), String> {
        if self.format > FORMAT {
            return Err(format!(
                "unsupported format {}, this program supports up to {FORMAT}",
                self.format
            ));
        }
        if !self.terms.iter().any(|term| term.signal.input().is_some()) {
            return Err("no term has the scores of a model".to_owned());
        }
        for (index, term) in self.terms.iter().enumerate() {
            let name = term.signal.name();
            if self.terms[..index].iter().any(|other| other.signal == term.signal) {
                return Err(format!("the signal {name} occurs twice"));
            }
            let mut weights = iter::once(term.weight).chain(term.new_user_weight);
            if !weights.all(|weight| weight.is_finite() && weight.abs() < 1e6) {
                return Err(format!("the weight of {name} is not finite or too large"));
            }
            if term.signal.input().is_some() && !(1e-12..=1e6).contains(&term.epsilon) {
                return Err(format!("epsilon of {name} must be from 1e-12 to 1e6"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::Signal;

    fn terms() -> Vec<Term> {
        vec![
            Term {
                signal: Signal::NextItem,
                weight: 0.5,
                new_user_weight: Some(0.125),
                epsilon: 0.01,
            },
            Term {
                signal: Signal::PopularityForNewUsers,
                weight: -0.25,
                new_user_weight: None,
                epsilon: 0.0,
            },
        ]
    }

    #[test]
    fn written_blend_is_read_unchanged() {
        let blend = Blend::new(Objective::Next, terms()).unwrap();
        let text = String::from_utf8(blend.to_bytes()).unwrap();
        assert!(text.contains("\"popularity-for-new-users\""), "{text}");
        assert_eq!(Blend::read(text.as_bytes(), "b").unwrap(), blend);
    }

    #[test]
    fn invalid_blends_return_descriptive_errors() {
        let error = |change: fn(&mut Vec<Term>)| {
            let mut changed = terms();
            change(&mut changed);
            Blend::new(Objective::Lists, changed).unwrap_err().to_string()
        };
        let none = error(|terms| terms.retain(|term| term.epsilon == 0.0));
        assert_eq!(none, "blend: no term has the scores of a model");
        let twice = error(|terms| terms.push(terms[0]));
        assert_eq!(twice, "blend: the signal next-item occurs twice");
        let nan = error(|terms| terms[1].weight = f32::NAN);
        assert_eq!(nan, "blend: the weight of popularity-for-new-users is not finite or too large");
        let infinite = error(|terms| terms[0].new_user_weight = Some(f32::INFINITY));
        assert_eq!(infinite, "blend: the weight of next-item is not finite or too large");
        let zero = error(|terms| terms[0].epsilon = 0.0);
        assert_eq!(zero, "blend: epsilon of next-item must be from 1e-12 to 1e6");
        let read = |text: &str| Blend::read(text.as_bytes(), "b").unwrap_err().to_string();
        assert!(read("{").starts_with("b: EOF"), "{}", read("{"));
        let newer = String::from_utf8(Blend::new(Objective::Lists, terms()).unwrap().to_bytes());
        let newer = newer.unwrap().replace("\"format\": 2", "\"format\": 3");
        assert_eq!(read(&newer), "b: unsupported format 3, this program supports up to 2");
    }
}
