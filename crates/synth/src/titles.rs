//! Generates film titles in the format of MovieLens: articles are at the end (`Copper Comet, The
//! (1994)`), a second title is in parentheses before the year.

use std::collections::HashSet;

use sparrow_random::Random;

use super::themes::{
    CALLS, FIRST_NAMES, LANGUAGES, Language, NICKNAMES, NUMBERS, PLACE_ENDS, PLACE_STARTS,
    SURNAMES, THEMES, TIMES, Theme, VERBS,
};

/// The probability that a film is a sequel, has a foreign title, has a second name, or has no year
/// in its title.
const SEQUEL: f64 = 0.05;
const FOREIGN: f64 = 0.045;
const ALSO_KNOWN_AS: f64 = 0.012;
const YEARLESS: f64 = 0.002;

/// The maximum number of films in a series, and of attempts before a title is lengthened.
const MAX_SERIES: usize = 5;
const MAX_ATTEMPTS: usize = 20;

/// A title before formatting.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Title {
    /// `The`, `A`, `Les`; empty if there is none.
    article: &'static str,
    body: String,
}

impl Title {
    fn new(article: &'static str, body: impl Into<String>) -> Self {
        Self { article, body: body.into() }
    }

    /// The title with the article at the end.
    fn filed(&self) -> String {
        match self.article {
            "" => self.body.clone(),
            article => format!("{}, {article}", self.body),
        }
    }
}

/// The first film of a series.
#[derive(Debug)]
struct Origin {
    title: Title,
    /// The latest release year of the series.
    latest_year: i32,
    films: usize,
}

/// Assigns unique titles. Films must be in the order of their release, so that sequels follow the
/// films that they continue.
#[derive(Debug)]
pub(super) struct Titles {
    used: HashSet<String>,
    origins: Vec<Vec<Origin>>,
}

impl Titles {
    pub(super) fn new() -> Self {
        Self { used: HashSet::new(), origins: THEMES.iter().map(|_| Vec::new()).collect() }
    }

    /// The title of a film of this theme, with the year. Films with the same `strand` (any number)
    /// prefer the same words.
    pub(super) fn next(
        &mut self,
        theme: usize,
        strand: usize,
        year: i32,
        random: &mut Random,
    ) -> String {
        let undated = self.undated(theme, strand, year, random);
        if random.chance(YEARLESS) { undated } else { format!("{undated} ({year})") }
    }

    fn undated(&mut self, theme: usize, strand: usize, year: i32, random: &mut Random) -> String {
        if random.chance(SEQUEL)
            && let Some(title) = self.sequel(theme, strand, year, random)
        {
            return title.filed();
        }
        if random.chance(FOREIGN)
            && let Some(title) = self.foreign(random)
        {
            return title;
        }
        let title = self.unused(theme, strand, random);
        let mut filed = title.filed();
        if random.chance(ALSO_KNOWN_AS) {
            let other = self.unused(theme, strand, random);
            filed = format!("{filed} (a.k.a. {})", other.filed());
        }
        if title.body.ends_with('?') {
            return filed; // not "Who Owns the Comet? 2"
        }
        self.origins[theme].push(Origin { title, latest_year: year, films: 1 });
        filed
    }

    /// A unique title, lengthened if necessary.
    fn unused(&mut self, theme: usize, strand: usize, random: &mut Random) -> Title {
        let words = Words { theme: &THEMES[theme], strand };
        let mut tries = 0;
        loop {
            let mut title = words.title(random);
            if tries >= MAX_ATTEMPTS {
                title.body = format!("{}: {}", title.body, words.title(random).spoken());
            }
            if self.used.insert(title.body.clone()) {
                return title;
            }
            tries += 1;
        }
    }

    /// The next film of a series that is neither too long nor too recent, if there is one.
    fn sequel(
        &mut self,
        theme: usize,
        strand: usize,
        year: i32,
        random: &mut Random,
    ) -> Option<Title> {
        let origins = &mut self.origins[theme];
        // Sequels of recent films are more frequent.
        let recent = origins.len().min(40);
        if recent == 0 {
            return None;
        }
        let chosen = origins.len() - 1 - random.below(recent);
        let origin = &mut origins[chosen];
        if origin.latest_year >= year || origin.films >= MAX_SERIES {
            return None;
        }
        let part = origin.films + 1;
        let roman = ["I", "II", "III", "IV", "V"][origin.films];
        let words = Words { theme: &THEMES[theme], strand };
        let body = &origin.title.body;
        let body = match random.below(6) {
            0 | 1 => format!("{body} {part}"),
            2 | 3 => format!("{body} {roman}"),
            4 => format!("{body}: Part {roman}"),
            _ => format!("{body} {part}: {}", words.title(random).spoken()),
        };
        let title = Title::new(origin.title.article, body);
        if !self.used.insert(title.body.clone()) {
            return None;
        }
        origin.films = part;
        origin.latest_year = year;
        Some(title)
    }

    /// "Light of Valmorin, The (Lumière de Valmorin, La)", or the reverse.
    fn foreign(&mut self, random: &mut Random) -> Option<String> {
        let language = random.pick(LANGUAGES);
        let (article, noun, english) = random.pick(language.nouns);
        let place = random.pick(language.places);
        let (other_article, other_noun, other_english) = random.pick(language.nouns);
        let mut capital: String = noun.chars().take(1).flat_map(char::to_uppercase).collect();
        capital.extend(noun.chars().skip(1));
        let (original, translated) = if other_noun != noun && random.chance(0.5) {
            let other = format!("{} {other_noun}", other_article.to_lowercase());
            (
                format!("{capital} {} {}", language.and, other.trim_start()),
                format!("{english} and the {other_english}"),
            )
        } else {
            (
                format!("{capital} {}{place}", language.of_place(place)),
                format!("{english} of {place}"),
            )
        };
        let original = Title::new(article, original);
        let translated = Title::new("The", translated);
        if !self.used.insert(original.body.clone()) || !self.used.insert(translated.body.clone()) {
            return None;
        }
        Some(match random.below(4) {
            0 => original.filed(),
            1 => format!("{} ({})", original.filed(), translated.filed()),
            _ => format!("{} ({})", translated.filed(), original.filed()),
        })
    }
}

impl Language {
    /// The preposition before a place: "de ", "d'", "von ".
    fn of_place(&self, place: &str) -> String {
        if self.elides && place.starts_with(['A', 'E', 'I', 'O', 'U', 'É']) {
            "d'".to_owned()
        } else {
            format!("{} ", self.of)
        }
    }
}

impl Title {
    /// The title with the article in front.
    fn spoken(&self) -> String {
        match self.article {
            "" => self.body.clone(),
            article => format!("{article} {}", self.body),
        }
    }
}

/// The words of one theme and strand.
struct Words<'a> {
    theme: &'a Theme,
    strand: usize,
}

impl Words<'_> {
    fn title(&self, random: &mut Random) -> Title {
        let noun = self.noun(random);
        let adjective = random.pick(self.theme.adjectives);
        match random.below(64) {
            0..13 => Title::new("The", format!("{adjective} {noun}")),
            13..17 => Title::new(indefinite(adjective), format!("{adjective} {noun}")),
            17..24 => Title::new("The", format!("{noun} of {}", place(random))),
            24..28 => Title::new("", format!("{adjective} {}", plural(noun))),
            28..31 => Title::new("", format!("{} {}", random.pick(NUMBERS), plural(noun))),
            31..36 => Title::new("", format!("{}'s {noun}", random.pick(FIRST_NAMES))),
            36..42 => {
                let gerund = random.pick(self.theme.gerunds);
                match random.below(3) {
                    0 => Title::new("", format!("{gerund} {}", place(random))),
                    1 => Title::new("", format!("{gerund} {}", random.pick(FIRST_NAMES))),
                    _ => Title::new("", format!("{gerund} the {noun}")),
                }
            }
            42..45 => {
                let name = random.pick(FIRST_NAMES);
                Title::new("", format!("{name} and the {adjective} {noun}"))
            }
            45..48 => Title::new("The", format!("Last {noun} of {}", place(random))),
            48..51 => {
                let other = self.noun(random);
                if other == noun {
                    Title::new("", format!("{noun} by {noun}"))
                } else {
                    Title::new("The", format!("{noun} and the {other}"))
                }
            }
            51..53 => {
                let name = random.pick(FIRST_NAMES);
                Title::new(indefinite(noun), format!("{noun} for {name}"))
            }
            53..55 => Title::new("", format!("When the {} {}", plural(noun), random.pick(VERBS))),
            55..57 => Title::new("", format!("{} in {}", random.pick(TIMES), place(random))),
            57 => Title::new("", format!("Goodbye, {}", place(random))),
            58 => Title::new("", format!("{}, {}", random.pick(FIRST_NAMES), adjective)),
            59 => {
                let (first, surname) = (random.pick(FIRST_NAMES), random.pick(SURNAMES));
                if random.chance(0.3) {
                    Title::new("", format!("{first} \"{}\" {surname}", random.pick(NICKNAMES)))
                } else {
                    Title::new("", format!("{first} {surname}"))
                }
            }
            60 => Title::new("", format!("{}, {}", random.pick(CALLS), random.pick(FIRST_NAMES))),
            61 => {
                let surname = random.pick(SURNAMES);
                Title::new("The", format!("{surname} {}", plural(noun)))
            }
            62 => Title::new("", format!("Dear {}", place(random))),
            _ => Title::new("", format!("Who Owns the {noun}?")),
        }
    }

    /// Mostly a noun of the strand.
    fn noun(&self, random: &mut Random) -> &'static str {
        let nouns = self.theme.nouns;
        if random.chance(0.6) {
            nouns[(self.strand * 7 + random.below(7)) % nouns.len()]
        } else {
            random.pick(nouns)
        }
    }
}

fn place(random: &mut Random) -> String {
    let start = random.pick(PLACE_STARTS);
    let end = random.pick(PLACE_ENDS);
    match random.below(12) {
        0 => format!("Port {start}{end}"),
        1 => format!("Lake {start}{end}"),
        2 => format!("{start}{end} Street"),
        3 => format!("{start}{end} Bay"),
        _ => format!("{start}{end}"),
    }
}

fn indefinite(next_word: &str) -> &'static str {
    // "Honest" is the only word of the lists with a silent consonant.
    if next_word == "Honest" || next_word.starts_with(['A', 'E', 'I', 'O', 'U']) {
        "An"
    } else {
        "A"
    }
}

/// The plural of a noun in the lists.
fn plural(noun: &str) -> String {
    if let Some(stem) = noun.strip_suffix("man").or_else(|| noun.strip_suffix("Man")) {
        let end = if noun.ends_with("Man") { "Men" } else { "men" };
        return format!("{stem}{end}");
    }
    if let Some(stem) = noun.strip_suffix('y')
        && !stem.ends_with(['a', 'e', 'i', 'o', 'u'])
    {
        return format!("{stem}ies");
    }
    let hissing = ["s", "x", "z", "ch", "sh"].iter().any(|end| noun.ends_with(end));
    format!("{noun}{}", if hissing { "es" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals() {
        let cases = [
            ("Comet", "Comets"),
            ("Colony", "Colonies"),
            ("Relay", "Relays"),
            ("Waltz", "Waltzes"),
            ("Trench", "Trenches"),
            ("Rifleman", "Riflemen"),
            ("Best Man", "Best Men"),
        ];
        for (one, many) in cases {
            assert_eq!(plural(one), many);
        }
    }

    #[test]
    fn titles_are_distinct_and_of_every_kind() {
        let mut titles = Titles::new();
        let mut random = Random::new(5, 0);
        let all: Vec<String> = (0..62_000_u32)
            .map(|index| {
                titles.next(
                    index as usize % THEMES.len(),
                    index as usize % 5,
                    1920 + (index / 640).cast_signed(),
                    &mut random,
                )
            })
            .collect();
        let distinct: HashSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        let has = |what: &str| all.iter().filter(|title| title.contains(what)).count();
        assert!(has(", The (") > 10_000);
        assert!(has(", A (") > 500);
        assert!(has(" II (") > 100);
        assert!(has("a.k.a.") > 100);
        assert!(has("\"") > 20);
        assert!(has("é") > 100);
        assert!(all.iter().filter(|title| !title.ends_with(')')).count() > 20);
        let longest = all.iter().map(|title| title.chars().count()).max();
        assert!(longest < Some(110), "{longest:?}");
    }
}
