//! The default model, if the configuration leaves the choice to the server.

/// The value of `ranking.default` that leaves the choice to the server.
pub(crate) const AUTO: &str = "auto";

/// The kinds of models in the order of preference, best first: the blend, models by the history alone, vectors, popularity.
const PREFERRED_KINDS: [&str; 5] = ["blend", "next-item", "ease", "embedding", "popularity"];

/// A model that can be the default.
pub(super) struct Candidate<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    /// Whether it can rank: a model folder with a version, or the engine's vectors.
    pub(super) is_there: bool,
}

/// The name of the best model that is there, and why it was chosen.
pub(super) fn select<'a>(models: &[Candidate<'a>]) -> Option<(&'a str, String)> {
    PREFERRED_KINDS.iter().find_map(|kind| {
        let model = models.iter().find(|model| model.kind == *kind && model.is_there)?;
        let reason = format!("the first of {} that is loaded", PREFERRED_KINDS.join(", "));
        Some((model.name, reason))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_preferred_model_that_is_there_is_selected() {
        let candidate = |name, kind, is_there| Candidate { name, kind, is_there };
        let select = |models: &[Candidate<'static>]| select(models).map(|(name, _)| name);
        let all = [
            candidate("emb", "embedding", true),
            candidate("popularity", "popularity", true),
            candidate("items", "ease", true),
            candidate("mix", "blend", true),
        ];
        assert_eq!(select(&all), Some("mix"));
        assert_eq!(select(&all[..3]), Some("items"));
        assert_eq!(select(&all[..2]), Some("emb"));
        assert_eq!(select(&all[1..2]), Some("popularity"));
        let lost = [candidate("mix", "blend", false), candidate("popularity", "popularity", true)];
        assert_eq!(select(&lost), Some("popularity"));
        assert_eq!(select(&[]), None);
    }
}
