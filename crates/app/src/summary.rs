//! Lines about an engine for its operator.

use sparrow_engine::Engine;
use sparrow_rank::State;

/// The movies, the users and the models of an engine.
pub(crate) fn summary(engine: &Engine) -> String {
    let catalog = engine.catalog();
    let models: Vec<String> = engine
        .models()
        .into_iter()
        .filter(|model| model.status.state == State::Ready)
        .map(|model| model.name.to_string())
        .collect();
    format!(
        "{} movies, {} users, {} ratings; models: {}; {}",
        catalog.len(),
        catalog.users().len(),
        catalog.users().rating_count(),
        models.join(", "),
        default_model(engine)
    )
}

/// The default model and why it is.
pub(crate) fn default_model(engine: &Engine) -> String {
    let reason = engine.default_reason().map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("default: {}{reason}", engine.default_model())
}
