//! Evaluates a model at TensorFlow Serving.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use sparrow_evaluate::{Answers, Fitted, Method, Training};
use sparrow_tf_serving::{Inputs, Options, ServedModel, TfServingRanker, movie_features_of};

/// The model's name on the command line.
pub(crate) const NAME: &str = "tf-serving";

/// A model whose inputs are the ids of a user and a movie, as those of NeuralCF. Its training data are unknown.
pub(crate) struct TfServingModel {
    model: Arc<ServedModel>,
}

impl TfServingModel {
    /// Connects to the model at a URL and checks that it is available.
    pub(crate) async fn connect(url: &str) -> Result<Self, sparrow_tf_serving::Error> {
        // Latency does not matter here: a slow answer is still evaluated.
        let options = Options { deadline: Duration::from_secs(30), ..Options::default() };
        let model = ServedModel::new(url, Inputs::default(), options)?;
        model.check().await?;
        Ok(Self { model: Arc::new(model) })
    }
}

impl Method for TfServingModel {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        vec![("url".to_owned(), self.model.url().to_owned())]
    }

    fn unknown_training(&self) -> bool {
        true
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Box<dyn Error + Send + Sync>> {
        let features = movie_features_of(training.catalog);
        let ranker = TfServingRanker::new(Arc::clone(&self.model), training.catalog, features);
        // Whether the scores are probabilities is unknown, so only their order is evaluated.
        let answers = Answers::Scores { ranker: Arc::new(ranker), probabilities: false };
        Ok(Fitted { catalog: Arc::clone(training.catalog), answers, users: None })
    }
}
