use std::collections::HashSet;

use sparrow_features::{MOVIE_FIELDS, USER_FIELDS};
use sparrow_model::nearest_name;

use crate::Error;
use crate::conversion::Conversion;
use crate::input::{Input, Source, Type};

/// The validated inputs of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    inputs: Vec<Input>,
    conversions: Vec<Conversion>,
}

impl Default for Inputs {
    /// The inputs of NeuralCF: `userId` and `movieId`, 32-bit integers.
    fn default() -> Self {
        let inputs = vec![
            Input::plain("userId", Source::UserId, Type::Int32),
            Input::plain("movieId", Source::MovieId, Type::Int32),
        ];
        let conversions = vec![Conversion::integer(), Conversion::integer()];
        Self { inputs, conversions }
    }
}

impl Inputs {
    /// Validates inputs. An empty list means those of NeuralCF.
    ///
    /// Fields outside the feature definitions, which other programs write to the store, require a default.
    ///
    /// # Errors
    /// [`Error::Input`] for missing or duplicate names, likely typing errors in field names, and invalid steps, types or
    /// defaults.
    pub fn new(inputs: Vec<Input>) -> Result<Self, Error> {
        if inputs.is_empty() {
            return Ok(Self::default());
        }
        let mut names = HashSet::new();
        let mut conversions = Vec::with_capacity(inputs.len());
        for input in &inputs {
            let fault = |what| Error::Input { input: input.name.clone(), what };
            if input.name.is_empty() {
                return Err(fault("missing name".to_owned()));
            }
            if !names.insert(&*input.name) {
                return Err(fault("duplicate name".to_owned()));
            }
            check_field(input).map_err(fault)?;
            conversions.push(Conversion::new(input).map_err(fault)?);
        }
        Ok(Self { inputs, conversions })
    }

    /// The inputs in their configured order.
    pub fn as_slice(&self) -> &[Input] {
        &self.inputs
    }

    /// Iterates over the inputs and their conversions.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&Input, &Conversion)> {
        self.inputs.iter().zip(&self.conversions)
    }
}

/// Maximum edit distance of a typing error.
const MAX_TYPO_DISTANCE: usize = 2;

fn check_field(input: &Input) -> Result<(), String> {
    let (field, owners, known): (_, _, &[&str]) = match &input.source {
        Source::User(field) => (field, "users", &USER_FIELDS),
        Source::Movie(field) => (field, "movies", &MOVIE_FIELDS),
        _ => return Ok(()),
    };
    if known.contains(&&**field) {
        return Ok(());
    }
    let nearest = nearest_name(field, known.iter().copied());
    if let Some(near) = nearest.filter(|near| near.edits <= MAX_TYPO_DISTANCE) {
        return Err(format!("{owners} have no feature {field:?}, did you mean {:?}?", near.name));
    }
    if input.default.is_none() {
        return Err(format!(
            "{owners} have no feature {field:?}; fields of other programs require a default"
        ));
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn error_of(change: impl FnOnce(&mut Input)) -> String {
        let mut input = Input::plain("x", Source::UserId, Type::Int32);
        change(&mut input);
        Inputs::new(vec![input]).unwrap_err().to_string()
    }

    #[test]
    fn constants_must_match_the_type_without_steps() {
        let constant = |value: &str| Source::Constant(value.to_owned());
        let wrong = error_of(|input| input.source = constant("3.5"));
        assert_eq!(wrong, "input x: the constant \"3.5\" is not a valid int32");
        let with_max = error_of(|input| (input.source, input.max) = (constant("3"), Some(4)));
        assert!(with_max.contains("does not allow max, default or steps"), "{with_max}");
        let good = Input::plain("x", constant("3.5"), Type::Float32);
        assert!(Inputs::new(vec![good]).is_ok());
    }

    #[test]
    fn unknown_fields_are_typos_or_require_a_default() {
        let typo = error_of(|input| input.source = Source::User("userGenre6".to_owned()));
        assert_eq!(
            typo,
            "input x: users have no feature \"userGenre6\", did you mean \"userGenre1\"?"
        );
        let typo = error_of(|input| input.source = Source::Movie("releaseyear".to_owned()));
        assert!(typo.ends_with("did you mean \"releaseYear\"?"), "{typo}");
        let other = error_of(|input| input.source = Source::User("country".to_owned()));
        assert!(other.ends_with("require a default"), "{other}");

        let mut input = Input::plain("x", Source::User("country".to_owned()), Type::String);
        input.default = Some("none".to_owned());
        assert!(Inputs::new(vec![input]).is_ok());
    }

    #[test]
    fn missing_and_duplicate_names_are_errors() {
        assert_eq!(error_of(|input| input.name.clear()), "input : missing name");
        let twice = vec![Input::plain("x", Source::UserId, Type::Int32); 2];
        let error = Inputs::new(twice).unwrap_err().to_string();
        assert_eq!(error, "input x: duplicate name");
        let neural_cf = Inputs::new(Vec::new()).unwrap();
        let names: Vec<&str> = neural_cf.as_slice().iter().map(|input| &*input.name).collect();
        assert_eq!(names, ["userId", "movieId"]);
    }
}
