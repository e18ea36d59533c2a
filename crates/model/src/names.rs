//! Suggestions for misspelt names.

/// The longest text that is compared: comparing is quadratic in the lengths, and a longer text is not a misspelt name.
const LONGEST: usize = 128;

/// The least similarity of a suggestion.
const SIMILAR: f64 = 0.5;

/// A name that is similar to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NearestName<'a> {
    /// The name.
    pub name: &'a str,
    /// The number of edits between both, ignoring case: insertions, deletions, substitutions and transpositions of neighbours.
    pub edits: usize,
}

/// The name that is most similar to a misspelt one, ignoring case; the first of equally similar ones. `None` if none has
/// half of its characters.
///
/// ```
/// use sparrow_model::nearest_name;
///
/// let names = ["size", "model"];
/// assert_eq!(nearest_name("sise", names).map(|nearest| nearest.name), Some("size"));
/// assert_eq!(nearest_name("utm_source", names), None);
/// ```
pub fn nearest_name<'a>(
    misspelt: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<NearestName<'a>> {
    if misspelt.len() > LONGEST {
        return None;
    }
    let lowercase = misspelt.to_lowercase();
    let mut best: Option<(f64, NearestName<'a>)> = None;
    for name in names {
        let edits = strsim::osa_distance(&lowercase, &name.to_lowercase());
        let longest = misspelt.chars().count().max(name.chars().count()).max(1);
        let similarity = 1.0 - edits as f64 / longest as f64;
        if similarity >= best.map_or(SIMILAR, |(best, _)| best.next_up()) {
            best = Some((similarity, NearestName { name, edits }));
        }
    }
    best.map(|(_, nearest)| nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_suggested() {
        let nearest = |misspelt: &str, names: &[&'static str]| {
            nearest_name(misspelt, names.iter().copied())
                .map(|nearest| (nearest.name, nearest.edits))
        };
        assert_eq!(nearest("MODEL", &["size", "model"]), Some(("model", 0)));
        assert_eq!(nearest("userGenre6", &["userGenre1", "userGenre2"]), Some(("userGenre1", 1)));
        assert_eq!(nearest("emd", &["popularity", "emb"]), Some(("emb", 1)));
        assert_eq!(nearest("abcd", &["wxyz"]), None);
        assert_eq!(nearest(&"size".repeat(100), &["size"]), None);
        assert_eq!(nearest("", &[]), None);
    }
}
