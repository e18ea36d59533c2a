//! Tokenisation and normalisation of titles and queries.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use deunicode::deunicode;

/// Roman numerals from 1.
const ROMAN: [&str; 20] = [
    "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii", "xiv", "xv",
    "xvi", "xvii", "xviii", "xix", "xx",
];

/// Splits a text into lower-case ASCII words. Apostrophes are removed; other punctuation separates words.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut plain = deunicode(text);
    plain.make_ascii_lowercase();
    plain.retain(|letter| letter != '\'');
    plain
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Hyphenated words without their hyphens: `nightlight` for `Night-Light`.
pub(super) fn joined(title: &str) -> Vec<String> {
    title
        .split_whitespace()
        .map(words)
        .filter(|parts| parts.len() > 1)
        .map(|p| p.concat())
        .collect()
}

/// Converts between Roman and Arabic numerals: `ii` for `2` and `2` for `ii`.
pub(super) fn other_numeral(word: &str) -> Option<String> {
    if let Some(index) = ROMAN.iter().position(|roman| *roman == word) {
        return Some((index + 1).to_string());
    }
    let value: usize = word.parse().ok()?;
    ROMAN.get(value.checked_sub(1)?).map(|roman| (*roman).to_owned())
}

pub(super) fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Hashes a title twice: without parentheses, and only its part before a colon. Keys are equal for titles that
/// differ only in case, accents, punctuation, articles or numerals.
pub(super) fn title_keys(title: &str) -> [u64; 2] {
    let main = title.split_once(" (").map_or(title, |(main, _)| main);
    let (lead, rest) = main.split_once(':').unwrap_or((main, ""));
    // `Godfather: Part II, The`: the article belongs before the title.
    let article = rest.rsplit_once(", ").map(|(_, article)| article).unwrap_or_default();
    [key(main), key(&format!("{lead}, {article}"))]
}

/// Hashes a normalised title or query.
pub(super) fn key(title: &str) -> u64 {
    let mut words = match title.rsplit_once(", ") {
        // `Lantern, The` becomes `The Lantern`.
        Some((name, article)) if article.trim().len() <= 3 => {
            let mut words = words(article);
            words.extend(self::words(name));
            words
        }
        _ => words(title),
    };
    if words.len() > 1 && ["the", "a", "an"].contains(&words[0].as_str()) {
        words.remove(0);
    }
    let mut hasher = DefaultHasher::new();
    for (index, word) in words.iter().enumerate() {
        // Byte by byte, so that `spider-man` and `spiderman` have equal hashes.
        let digits = other_numeral(word).filter(|_| index > 0 && !is_number(word));
        for byte in digits.as_deref().unwrap_or(word).bytes() {
            byte.hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerals_convert_between_notations() {
        for (word, other) in [("2", "ii"), ("ii", "2"), ("20", "xx"), ("iv", "4")] {
            assert_eq!(other_numeral(word).as_deref(), Some(other));
        }
        for word in ["0", "21", "mix", "", "2001"] {
            assert_eq!(other_numeral(word), None, "{word}");
        }
    }

    #[test]
    fn equivalent_titles_have_equal_keys() {
        for (title, query) in [
            ("Lantern, The", "the lantern"),
            ("Lantern, The", "LANTERN"),
            ("Misérables, Les", "les miserables"),
            ("Night-Light II", "nightlight 2"),
            ("Seven (a.k.a. Se7en)", "seven"),
        ] {
            assert_eq!(title_keys(title)[0], key(query), "{title}");
        }
        assert_eq!(title_keys("Harbour: Part II, The")[1], key("the harbour"));
        assert_ne!(title_keys("Harbour: Part II, The")[0], key("the harbour"));
        assert_ne!(key("lantern"), key("lanterns"));
    }
}
