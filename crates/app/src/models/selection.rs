//! The default model, if the configuration leaves the choice to the server.

use sparrow_neural::Validation;

/// The value of `ranking.default` that leaves the choice to the server.
pub(crate) const AUTO: &str = "auto";

/// The kind that combines the others.
const BLEND: &str = "blend";

/// Models in the order of preference without comparable figures, by kind and, if it matters, name.
const PREFERRED: [(&str, Option<&str>); 5] = [
    ("next-item", None),
    ("ease", None),
    ("embedding", Some("ials")),
    ("embedding", None),
    ("popularity", None),
];

/// A model that can be the default.
#[derive(Debug, Clone)]
pub(super) struct Candidate<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    /// Whether it can rank: a model folder with a version, or the engine's vectors.
    pub(super) is_there: bool,
    /// The figures that are stored with it.
    pub(super) validation: Option<Validation>,
}

/// The name of the best model that is there, and why it was chosen: a blend; or else the model with the best figures, of
/// those that were validated by the same protocol on the same data; or else the first that is preferred.
pub(super) fn select<'a>(models: &[Candidate<'a>]) -> Option<(&'a str, String)> {
    let there: Vec<&Candidate<'a>> = models.iter().filter(|model| model.is_there).collect();
    if let Some(blend) = there.iter().find(|model| model.kind == BLEND) {
        return Some((blend.name, "a blend combines the other models".to_owned()));
    }
    if let Some(best) = best_validated(&there) {
        return Some(best);
    }
    PREFERRED.iter().find_map(|(kind, name)| {
        let is_meant = |model: &&&Candidate<'a>| {
            model.kind == *kind && name.is_none_or(|name| model.name == name)
        };
        let model = there.iter().find(is_meant)?;
        let reason = "the first that is there of next-item, ease, ials, emb and popularity, as no two models have \
                      comparable validation metrics";
        Some((model.name, reason.to_owned()))
    })
}

/// The best model of the largest group with figures of the same data and protocol. A group has at least two models.
fn best_validated<'a>(there: &[&Candidate<'a>]) -> Option<(&'a str, String)> {
    let figures = |model: &&Candidate<'a>| model.validation.as_ref().map(|it| it.ndcg_at_10);
    let mut groups: Vec<Vec<&Candidate<'a>>> = Vec::new();
    for model in there {
        let Some(own) = &model.validation else { continue };
        let is_comparable = |group: &&mut Vec<&Candidate<'a>>| {
            group[0].validation.as_ref().is_some_and(|other| {
                (&other.fingerprint, &other.protocol) == (&own.fingerprint, &own.protocol)
            })
        };
        match groups.iter_mut().find(is_comparable) {
            Some(group) => group.push(model),
            None => groups.push(vec![model]),
        }
    }
    // Of groups of equal size, the first.
    let group = groups.iter().rev().max_by_key(|group| group.len()).filter(|it| it.len() > 1)?;
    let best = group.iter().rev().max_by(|a, b| {
        let (a, b) = (figures(a).unwrap_or(f64::MIN), figures(b).unwrap_or(f64::MIN));
        a.total_cmp(&b)
    })?;
    let names: Vec<&str> = group.iter().map(|model| model.name).collect();
    let ndcg = figures(best).unwrap_or_default();
    let reason = format!("the best validation nDCG@10 ({ndcg:.4}) of {}", names.join(", "));
    Some((best.name, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &'static str, kind: &'static str) -> Candidate<'static> {
        Candidate { name, kind, is_there: true, validation: None }
    }

    fn validated(
        name: &'static str,
        kind: &'static str,
        fingerprint: &str,
        ndcg_at_10: f64,
    ) -> Candidate<'static> {
        let (fingerprint, protocol) = (fingerprint.to_owned(), "lists".to_owned());
        let validation = Some(Validation { fingerprint, protocol, ndcg_at_10 });
        Candidate { validation, ..candidate(name, kind) }
    }

    fn selected(models: &[Candidate<'static>]) -> Option<&'static str> {
        select(models).map(|(name, _)| name)
    }

    #[test]
    fn the_most_preferred_model_that_is_there_is_selected() {
        let all = [
            candidate("emb", "embedding"),
            candidate("popularity", "popularity"),
            candidate("ials", "embedding"),
            candidate("items", "ease"),
            candidate("following", "next-item"),
            candidate("mix", "blend"),
        ];
        assert_eq!(selected(&all), Some("mix"));
        assert_eq!(selected(&all[..5]), Some("following"));
        assert_eq!(selected(&all[..4]), Some("items"));
        assert_eq!(selected(&all[..3]), Some("ials"));
        assert_eq!(selected(&all[..2]), Some("emb"));
        assert_eq!(selected(&all[1..2]), Some("popularity"));
        let lost = [
            Candidate { is_there: false, ..all[5].clone() },
            candidate("popularity", "popularity"),
        ];
        assert_eq!(selected(&lost), Some("popularity"));
        assert_eq!(selected(&[]), None);
    }

    #[test]
    fn the_best_of_comparable_models_is_selected() {
        let mut models = vec![
            validated("emb", "embedding", "a", 0.39),
            validated("neuralcf", "neuralcf", "a", 0.36),
            validated("following", "next-item", "a", 0.13),
            // Other data.
            validated("items", "ease", "b", 0.9),
            candidate("popularity", "popularity"),
        ];
        let (name, reason) = select(&models).unwrap_or_default();
        assert_eq!(name, "emb");
        assert_eq!(reason, "the best validation nDCG@10 (0.3900) of emb, neuralcf, following");
        // A single figure compares nothing.
        let single = [models[0].clone(), models[3].clone(), candidate("after", "next-item")];
        assert_eq!(selected(&single), Some("after"));
        models[0].is_there = false;
        assert_eq!(selected(&models), Some("neuralcf"));
        models.push(candidate("mix", "blend"));
        assert_eq!(selected(&models), Some("mix"));
    }
}
