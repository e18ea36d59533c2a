//! A model at TensorFlow Serving, to be measured.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use sparrow_evaluate::{Answers, Fitted, Method, Training};
use sparrow_tf_serving::{Inputs, Options, ServedModel, TfServingRanker, movie_features_of};

/// The model's name on the command line.
pub(crate) const NAME: &str = "tf-serving";

/// A model that takes the ids of a user and a movie, as NeuralCF does. What it was trained on only its owner
/// knows.
pub(crate) struct Served {
    remote: Arc<ServedModel>,
}

impl Served {
    /// The model at a URL; looks whether it is there.
    pub(crate) async fn connect(url: &str) -> Result<Self, sparrow_tf_serving::Error> {
        // Users are asked for one after the other, and nobody waits: a slow answer is one, too.
        let options = Options { deadline: Duration::from_secs(30), ..Options::default() };
        let remote = ServedModel::new(url, Inputs::default(), options)?;
        remote.check().await?;
        Ok(Self { remote: Arc::new(remote) })
    }
}

impl Method for Served {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        vec![("url".to_owned(), self.remote.url())]
    }

    fn unknown_training(&self) -> bool {
        true
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Box<dyn Error + Send + Sync>> {
        let features = movie_features_of(training.catalog);
        let ranker = TfServingRanker::new(Arc::clone(&self.remote), training.catalog, features);
        // Its scores may be probabilities, or not; only their order is measured.
        let answers = Answers::Scores { ranker: Arc::new(ranker), probabilities: false };
        Ok(Fitted { catalog: Arc::clone(training.catalog), answers, users: None })
    }
}
