use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::thread;

use sparrow_embed::interactions::Positives;
use sparrow_embed::{self as embed, cooccurrence, ease, ials, item2vec};
use sparrow_train as train;

use super::{
    Cooccurrence, Ease, Embeddings, Error, Method, Popularity, Trained, UserAndMovieBiases,
    WholePath,
};

/// A model that [`method`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// What it is, for help.
    pub about: &'static str,
    /// Whether it has scores for given pairs, or only lists.
    pub scores: bool,
}

/// The models that can be fitted here.
pub const KNOWN: [Known; 13] = [
    Known { name: "popularity", about: "the number of ratings", scores: true },
    Known {
        name: "biases",
        about: "how easily pleased users are, and how well liked movies",
        scores: true,
    },
    Known {
        name: "emb",
        about: "item2vec vectors by their cosine; or vectors from files, see --embeddings",
        scores: true,
    },
    Known { name: "ials", about: "implicit alternating least squares", scores: true },
    Known { name: "ease", about: "item-item weights in closed form", scores: true },
    Known {
        name: "next-item",
        about: "sparse weights to the movies rated soon after",
        scores: true,
    },
    Known {
        name: "item-knn",
        about: "conditional probabilities of pairs near in time",
        scores: true,
    },
    Known { name: "blend", about: "a blend", scores: true },
    Known { name: "served", about: "a blend", scores: false },
    Known { name: "neuralcf", about: "NeuralCF, as `train` trains it", scores: true },
    Known { name: "two-towers", about: "the dot product of two networks", scores: true },
    Known { name: "gmf", about: "matrix factorization with biases", scores: true },
    Known {
        name: "engine",
        about: "recall and ranking as the server does them, with emb",
        scores: false,
    },
];

/// The method that a line such as `gmf` or `gmf:l2=4:embedding=16` names: a model, and settings for it under the
/// names that the loader's options have. `embeddings` is a folder with files for models that rank or recall
/// by vectors, rather than vectors trained on the training part.
pub fn method(line: &str, embeddings: Option<&Path>) -> Result<Box<dyn Method>, Error> {
    let mut parts = line.split(':');
    let name = parts.next().unwrap_or_default();
    let mut settings = Settings { line, list: Vec::new() };
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            return settings.refuse(&format!("{part:?} is not a setting such as l2=4"));
        };
        settings.list.push((name, value));
    }
    let method: Box<dyn Method> = match name {
        "popularity" => Box::new(Popularity),
        "biases" => {
            let mut biases = UserAndMovieBiases::default();
            settings.take("bias-prior", &mut biases.prior)?;
            Box::new(biases)
        }
        "emb" => match embeddings {
            Some(folder) => Box::new(Embeddings::Files(folder.to_owned())),
            None => Box::new(Embeddings::Computed(settings.item2vec()?)),
        },
        "ials" => Box::new(Embeddings::Computed(settings.ials()?)),
        "ease" => Box::new(settings.ease()?),
        "blend" | "served" => {
            let mut objective = String::new();
            settings.take("objective", &mut objective)?;
            let objective =
                sparrow_blend::Objective::ALL.into_iter().find(|known| known.name() == objective);
            let mut candidates = 800;
            settings.take("candidates", &mut candidates)?;
            let candidates = (name == "served").then_some(candidates);
            Box::new(super::Blend { objective, candidates, threads: processors() })
        }
        "next-item" => Box::new(settings.cooccurrence(cooccurrence::Options::NEXT_ITEM)?),
        "item-knn" => Box::new(settings.cooccurrence(cooccurrence::Options::ITEM_KNN)?),
        "neuralcf" | "two-towers" | "gmf" => {
            let method = name.parse().map_err(Error::Option)?;
            Box::new(settings.trained(method)?)
        }
        "engine" => {
            let mut ranking = "emb".to_owned();
            settings.take("ranking", &mut ranking)?;
            let mut candidates = sparrow_engine::DEFAULT_CANDIDATES;
            settings.take("candidates", &mut candidates)?;
            let ranking = match &*ranking {
                "emb" => None,
                name => Some(settings.trained(name.parse().map_err(Error::Option)?)?),
            };
            let mut vectors = "emb".to_owned();
            settings.take("embeddings", &mut vectors)?;
            let embeddings = match (embeddings, &*vectors) {
                (Some(folder), _) => Embeddings::Files(folder.to_owned()),
                (None, "emb") => {
                    Embeddings::Computed(embed::Method::Item2Vec(item2vec::Options::DEFAULT))
                }
                (None, "ials") => Embeddings::Computed(settings.ials()?),
                (None, other) => {
                    return settings.refuse(&format!("{other:?} is not one of emb, ials"));
                }
            };
            Box::new(WholePath { embeddings, ranking, candidates })
        }
        _ => {
            let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
            let names = names.join(", ");
            return Err(Error::Option(format!("no model is named {name:?}; there are {names}")));
        }
    };
    match settings.list.first() {
        Some((unknown, _)) => settings.refuse(&format!("the model has no setting {unknown:?}")),
        None => Ok(method),
    }
}

/// The settings of a line that nothing has taken yet.
struct Settings<'a> {
    line: &'a str,
    list: Vec<(&'a str, &'a str)>,
}

impl<'a> Settings<'a> {
    fn refuse<T>(&self, why: &str) -> Result<T, Error> {
        Err(Error::Option(format!("model {:?}: {why}", self.line)))
    }

    fn find(&mut self, name: &str) -> Option<&'a str> {
        let place = self.list.iter().position(|(own, _)| *own == name)?;
        Some(self.list.remove(place).1)
    }

    /// Puts the setting of this name, if there is one, into `value`.
    fn take<T: FromStr<Err: Display>>(&mut self, name: &str, value: &mut T) -> Result<(), Error> {
        let Some(text) = self.find(name) else { return Ok(()) };
        match text.parse() {
            Ok(parsed) => {
                *value = parsed;
                Ok(())
            }
            Err(error) => self.refuse(&format!("{name}={text}: {error}")),
        }
    }

    fn trained(&mut self, method: train::Method) -> Result<Trained, Error> {
        let mut options = train::Options::new(method);
        if let Some(layers) = self.find("hidden") {
            let parsed: Result<Vec<usize>, _> = layers.split(',').map(str::parse).collect();
            match parsed {
                Ok(layers) => options.hidden = layers,
                Err(error) => return self.refuse(&format!("hidden={layers}: {error}")),
            }
        }
        self.take("embedding", &mut options.embedding)?;
        self.take("epochs", &mut options.epochs)?;
        self.take("patience", &mut options.patience)?;
        self.take("batch", &mut options.batch)?;
        self.take("learning-rate", &mut options.learning_rate)?;
        self.take("l2", &mut options.l2)?;
        self.take("l2-layers", &mut options.l2_layers)?;
        self.take("bias-prior", &mut options.bias_prior)?;
        self.take("ordinal", &mut options.ordinal)?;
        self.take("negatives", &mut options.negatives)?;
        self.take("choices", &mut options.choices)?;
        self.take("dropout", &mut options.dropout)?;
        self.take("unknown", &mut options.unknown)?;
        self.take("validation", &mut options.validation)?;
        self.take("refit", &mut options.refit)?;
        options.check().map_err(|error| Error::Option(error.to_string()))?;
        Ok(Trained { options })
    }

    fn item2vec(&mut self) -> Result<embed::Method, Error> {
        let mut options = item2vec::Options::DEFAULT;
        self.take("dimension", &mut options.dimension)?;
        self.take("window", &mut options.window)?;
        let mut epochs = 0;
        self.take("epochs", &mut epochs)?;
        options.epochs = (epochs > 0).then_some(epochs);
        self.take("negatives", &mut options.negatives)?;
        self.take("negative-exponent", &mut options.negative_exponent)?;
        self.take("learning-rate", &mut options.learning_rate)?;
        self.take("subsample", &mut options.subsample)?;
        self.take("min-count", &mut options.min_count)?;
        options.check().map_err(|error| Error::Option(error.to_string()))?;
        Ok(embed::Method::Item2Vec(options))
    }

    fn ials(&mut self) -> Result<embed::Method, Error> {
        // Threads do not change what comes out.
        let mut options = ials::Options { threads: processors(), ..ials::Options::DEFAULT };
        self.take("dimension", &mut options.dimension)?;
        self.take("epochs", &mut options.epochs)?;
        self.take("unobserved-weight", &mut options.objective.unobserved)?;
        self.take("regularization", &mut options.objective.regularization)?;
        self.take("regularization-exponent", &mut options.objective.exponent)?;
        self.take("positives", &mut options.positives)?;
        self.take("steps", &mut options.steps)?;
        options.check().map_err(|error| Error::Option(error.to_string()))?;
        Ok(embed::Method::Ials(options))
    }

    fn ease(&mut self) -> Result<Ease, Error> {
        let mut options = ease::Options { threads: processors(), ..ease::Options::DEFAULT };
        self.take("regularization", &mut options.regularization)?;
        self.take("min-count", &mut options.min_count)?;
        self.take("keep", &mut options.keep)?;
        let mut positives = Positives::All;
        self.take("positives", &mut positives)?;
        options.liked_only = match positives {
            Positives::All => false,
            Positives::Liked => true,
            Positives::Stars => return self.refuse("positives is all or liked here"),
        };
        self.take("recency", &mut options.recency)?;
        options.check().map_err(|error| Error::Option(error.to_string()))?;
        Ok(Ease { options })
    }

    fn cooccurrence(&mut self, default: cooccurrence::Options) -> Result<Cooccurrence, Error> {
        let mut options = cooccurrence::Options { threads: processors(), ..default };
        self.take("window", &mut options.window)?;
        self.take("decay", &mut options.decay)?;
        self.take("reverse", &mut options.reverse)?;
        self.take("shrinkage", &mut options.shrinkage)?;
        self.take("scale", &mut options.scale)?;
        self.take("popularity-exponent", &mut options.popularity_exponent)?;
        self.take("history-window", &mut options.history_window)?;
        self.take("history-decay", &mut options.history_decay)?;
        self.take("keep", &mut options.keep)?;
        options.check().map_err(|error| Error::Option(error.to_string()))?;
        Ok(Cooccurrence { options })
    }
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn every_known_model_can_be_made() {
        for known in KNOWN {
            let method = method(known.name, None).unwrap();
            assert_eq!((&*method.name(), method.scores()), (known.name, known.scores));
            assert!(!method.unknown_training());
        }
        let files = method("emb", Some(Path::new("vectors"))).unwrap();
        assert!(files.unknown_training());
        let engine = method("engine", Some(Path::new("vectors"))).unwrap();
        assert!(engine.unknown_training());
    }

    #[test]
    fn settings_are_taken() {
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
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |line: &str| method(line, None).err().unwrap().to_string();
        assert!(
            wrong("nothing").starts_with("no model is named \"nothing\"; there are popularity, ")
        );
        assert_eq!(
            wrong("gmf:window=3"),
            "model \"gmf:window=3\": the model has no setting \"window\""
        );
        assert_eq!(wrong("gmf:l2"), "model \"gmf:l2\": \"l2\" is not a setting such as l2=4");
        assert_eq!(wrong("gmf:l2=x"), "model \"gmf:l2=x\": l2=x: invalid float literal");
        assert_eq!(wrong("gmf:l2=-1"), "l2 must be from 0 to 100, got -1");
    }
}
