use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use sparrow_blend::Objective;
use sparrow_embed::{self as embed, METHODS, MethodKind, Output};
use sparrow_hyperparameters::Settings;
use sparrow_train as train;

use super::{Blend, EndToEnd, Error, Method, Popularity, Trained, UserAndMovieBiases, Vectors};
use crate::models::{Computed, EMBEDDING_MODEL, ListOptions, VectorFolder, model_of};

/// A model that [`method`] can build.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelKind {
    /// The name.
    pub name: &'static str,
    /// A line of help.
    pub help: &'static str,
    /// Whether it scores single movies; otherwise it returns lists only.
    pub scores: bool,
    method: MethodOf,
}

/// The method behind a model.
#[derive(Debug, Clone, Copy, PartialEq)]
enum MethodOf {
    Popularity,
    Biases,
    Embed(MethodKind),
    Train(train::Method),
    Blend,
    Engine,
}

/// The blend.
const BLEND_MODEL: &str = "blend";

/// The models that can be fitted here: two baselines, all methods of `embed` and `train`, the blend and the engine.
pub fn models() -> Vec<ModelKind> {
    let model = |name, help, method| ModelKind { name, help, scores: true, method };
    let embed = METHODS.into_iter().map(|kind| {
        let help = match model_of(&kind) {
            EMBEDDING_MODEL => {
                "item2vec vectors by their cosine; or vectors from files, see --embeddings"
            }
            _ => kind.help,
        };
        model(model_of(&kind), help, MethodOf::Embed(kind))
    });
    let train = train::Method::ALL.into_iter();
    let train = train.map(|method| model(method.name(), method.help(), MethodOf::Train(method)));
    let mut models = vec![
        model("popularity", "Number of ratings", MethodOf::Popularity),
        model("biases", "User and movie biases", MethodOf::Biases),
    ];
    models.extend(embed.chain(train));
    let blend = "Blend of ease, next-item and item-knn, fitted for what the protocol measures";
    models.push(model(BLEND_MODEL, blend, MethodOf::Blend));
    let engine = "Recall and ranking end to end as in the server, by the blend";
    models.push(ModelKind { scores: false, ..model("engine", engine, MethodOf::Engine) });
    models
}

/// Builds the method that a line such as `gmf` or `gmf:l2=4:embedding=16` names: a model, and values of its
/// hyperparameters. With `embeddings`, a folder with files, `emb` and `engine` use these vectors instead of
/// vectors trained on the training part.
pub fn method(line: &str, embeddings: Option<&Path>) -> Result<Box<dyn Method>, Error> {
    let mut parts = line.split(':');
    let name = parts.next().unwrap_or_default();
    let mut settings = LineSettings { line, list: Vec::new() };
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            return settings.error(&format!("{part:?} is not a setting such as l2=4"));
        };
        settings.list.push((name, value));
    }
    let Some(model) = models().into_iter().find(|model| model.name == name) else {
        let names = models().iter().map(|model| model.name).collect::<Vec<_>>().join(", ");
        return Err(Error::Option(format!("no model is named {name:?}; there are {names}")));
    };
    let method: Box<dyn Method> = match model.method {
        MethodOf::Popularity => Box::new(Popularity),
        MethodOf::Biases => {
            let mut biases = UserAndMovieBiases::default();
            settings.apply(&mut biases)?;
            Box::new(biases)
        }
        MethodOf::Embed(kind) => match embeddings {
            Some(folder) if kind == METHODS[0] => Box::new(VectorFolder(folder.to_owned())),
            _ => Box::new(settings.computed(kind)?),
        },
        MethodOf::Train(method) => Box::new(settings.trained(method)?),
        MethodOf::Blend => Box::new(settings.blend(None)?),
        MethodOf::Engine => settings.engine(embeddings)?,
    };
    match settings.list.first() {
        Some((unknown, _)) => settings.error(&format!("the model has no setting {unknown:?}")),
        None => Ok(method),
    }
}

/// The settings of a line that have not been applied yet.
struct LineSettings<'a> {
    line: &'a str,
    list: Vec<(&'a str, &'a str)>,
}

impl<'a> LineSettings<'a> {
    fn error<T>(&self, message: &str) -> Result<T, Error> {
        Err(Error::Option(format!("model {:?}: {message}", self.line)))
    }

    fn take(&mut self, name: &str) -> Option<&'a str> {
        let index = self.list.iter().position(|(own, _)| *own == name)?;
        Some(self.list.remove(index).1)
    }

    /// Parses the setting of this name, if there is one.
    fn parse<T: FromStr<Err: Display>>(&mut self, name: &str, default: T) -> Result<T, Error> {
        let Some(text) = self.take(name) else { return Ok(default) };
        text.parse().or_else(|error| self.error(&format!("{name}={text}: {error}")))
    }

    /// Sets all hyperparameters that the line contains.
    fn apply(&mut self, method: &mut dyn Settings) -> Result<(), Error> {
        for hyperparameter in method.describe() {
            if let Some(text) = self.take(hyperparameter.name)
                && let Err(error) = method.set(hyperparameter.name, text)
            {
                return self.error(&error.to_string());
            }
        }
        method.check().or_else(|error| self.error(&error.to_string()))
    }

    fn trained(&mut self, method: train::Method) -> Result<Trained, Error> {
        let mut options = train::Options::new(method);
        self.apply(&mut options)?;
        Ok(Trained { options })
    }

    fn computed(&mut self, kind: MethodKind) -> Result<Computed, Error> {
        let mut method = (kind.new)();
        self.apply(as_settings(&mut *method))?;
        Ok(Computed { kind, method })
    }

    fn blend(&mut self, lists: Option<ListOptions>) -> Result<Blend, Error> {
        let objective = match self.take("objective") {
            None => None,
            Some(name) => {
                let known = Objective::ALL.into_iter().find(|known| known.name() == name);
                if known.is_none() {
                    let names = Objective::ALL.map(Objective::name).join(", ");
                    return self.error(&format!("objective={name}: not one of {names}"));
                }
                known
            }
        };
        Ok(Blend { objective, lists })
    }

    /// The engine: by the blend, unless the line or files choose other models.
    fn engine(&mut self, embeddings: Option<&Path>) -> Result<Box<dyn Method>, Error> {
        let has = |name: &str| self.list.iter().any(|(own, _)| *own == name);
        let ranking = self.list.iter().find(|(own, _)| *own == "ranking").map(|(_, value)| *value);
        let by_default = embeddings.is_none() && !has("embeddings");
        if ranking.map_or(by_default, |ranking| ranking == BLEND_MODEL) {
            self.take("ranking");
            let lists = self.lists()?;
            return Ok(Box::new(self.blend(Some(lists))?));
        }
        Ok(Box::new(self.end_to_end(embeddings)?))
    }

    fn lists(&mut self) -> Result<ListOptions, Error> {
        let default = ListOptions::DEFAULT;
        let lists = ListOptions {
            candidates: self.parse("candidates", default.candidates)?,
            diversity: self.parse("diversity", default.diversity)?,
        };
        if (0.0..=1.0).contains(&lists.diversity) {
            return Ok(lists);
        }
        self.error(&format!("diversity must be from 0 to 1, got {}", lists.diversity))
    }

    fn end_to_end(&mut self, embeddings: Option<&Path>) -> Result<EndToEnd, Error> {
        let ranking = match self.take("ranking") {
            None | Some(EMBEDDING_MODEL) => None,
            Some(name) => Some(self.trained(name.parse().map_err(Error::Option)?)?),
        };
        let lists = self.lists()?;
        let vectors = self.take("embeddings").unwrap_or(EMBEDDING_MODEL);
        let vectors = if let Some(folder) = embeddings {
            Vectors::Files(VectorFolder(folder.to_owned()))
        } else {
            let kinds = METHODS.into_iter().filter(|kind| kind.output == Output::Vectors);
            let Some(kind) = kinds.clone().find(|kind| model_of(kind) == vectors) else {
                let names = kinds.map(|kind| model_of(&kind)).collect::<Vec<_>>().join(", ");
                return self.error(&format!("{vectors:?} is not one of {names}"));
            };
            Vectors::Computed(self.computed(kind)?)
        };
        Ok(EndToEnd { vectors, ranking, lists })
    }
}

pub(crate) fn as_settings(method: &mut dyn embed::Method) -> &mut dyn Settings {
    method
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn every_model_is_built_by_its_name() {
        let all = models();
        for (index, model) in all.iter().enumerate() {
            let method = method(model.name, None).unwrap();
            assert_eq!((&*method.name(), method.scores()), (model.name, model.scores));
            assert!(all[..index].iter().all(|other| other.name != model.name));
            assert!(!method.unknown_training());
        }
        let files = method("emb", Some(Path::new("vectors"))).unwrap();
        assert!(files.unknown_training());
        let engine = method("engine", Some(Path::new("vectors"))).unwrap();
        assert!(engine.unknown_training());
    }

    #[test]
    fn settings_of_a_line_are_applied() {
        let gmf = method("gmf:l2=4:embedding=16:hidden=20,10", None).unwrap();
        let settings = gmf.settings();
        for (name, value) in [("l2", "4"), ("embedding", "16"), ("hidden", "20,10")] {
            assert!(settings.contains(&(name.to_owned(), value.to_owned())), "{settings:?}");
        }
        let engine = method("engine:ranking=gmf:l2=4:candidates=300", None).unwrap();
        assert_eq!(
            engine.settings()[..2],
            [("ranking".to_owned(), "gmf".to_owned()), ("candidates".to_owned(), "300".to_owned()),]
        );
        let diverse = ("diversity".to_owned(), "0.3".to_owned());
        for line in ["engine:diversity=0.3", "engine:ranking=emb:diversity=0.3"] {
            assert!(method(line, None).unwrap().settings().contains(&diverse), "{line}");
        }
    }

    #[test]
    fn errors_name_the_line_and_the_setting() {
        let wrong = |line: &str| method(line, None).err().unwrap().to_string();
        assert!(
            wrong("nothing").starts_with("no model is named \"nothing\"; there are popularity, ")
        );
        assert_eq!(
            wrong("gmf:window=3"),
            "model \"gmf:window=3\": the model has no setting \"window\""
        );
        assert_eq!(wrong("gmf:l2"), "model \"gmf:l2\": \"l2\" is not a setting such as l2=4");
        assert_eq!(
            wrong("gmf:l2=x"),
            "model \"gmf:l2=x\": l2 must be a number from 0 to 100, got x"
        );
        assert_eq!(wrong("gmf:l2=-1"), "model \"gmf:l2=-1\": l2 must be from 0 to 100, got -1");
        assert_eq!(
            wrong("engine:embeddings=ease"),
            "model \"engine:embeddings=ease\": \"ease\" is not one of emb, ials"
        );
        assert_eq!(
            wrong("engine:diversity=2"),
            "model \"engine:diversity=2\": diversity must be from 0 to 1, got 2"
        );
        assert_eq!(
            wrong("gmf:l2=1:l2=2"),
            "model \"gmf:l2=1:l2=2\": the model has no setting \"l2\""
        );
    }
}
