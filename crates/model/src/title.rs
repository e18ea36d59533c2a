/// Splits a MovieLens title such as `Lantern, The (1994)` into the title and the release year.
///
/// The year is the content of the last parentheses if that is four digits other than `0000`; `(2009– )` is not
/// a year. It is removed from the title only at its end.
pub fn split_year(raw: &str) -> (&str, Option<u16>) {
    let title = raw.trim();
    let Some(open) = title.rfind('(') else { return (title, None) };
    let Some(inside) = title[open + 1..].find(')') else { return (title, None) };
    let (digits, rest) =
        (title[open + 1..open + 1 + inside].trim(), &title[open + 1 + inside + 1..]);
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return (title, None);
    }
    let year = digits.parse().ok().filter(|&year| year != 0);
    if year.is_some() && rest.is_empty() && open > 0 {
        return (title[..open].trim_end(), year);
    }
    (title, year)
}

#[cfg(test)]
mod tests {
    use super::split_year;

    #[test]
    fn years_are_split_from_titles() {
        for (raw, title, year) in [
            ("Lantern, The (1994)", "Lantern, The", Some(1994)),
            ("  Lantern (a.k.a. Lamp) (1994)  ", "Lantern (a.k.a. Lamp)", Some(1994)),
            ("Station 5", "Station 5", None),
            ("Long Run (2006–2007)", "Long Run (2006–2007)", None),
            ("Long Run (2009– )", "Long Run (2009– )", None),
            ("Lantern (1994) (restored)", "Lantern (1994) (restored)", None),
            ("Lantern (1994) restored", "Lantern (1994) restored", Some(1994)),
            ("(1994)", "(1994)", Some(1994)),
            ("Open (1994", "Open (1994", None),
            ("Naught (0000)", "Naught (0000)", None),
            ("1984 (1984)", "1984", Some(1984)),
            ("Persian (١٩٩٤)", "Persian (١٩٩٤)", None),
            ("", "", None),
        ] {
            assert_eq!(split_year(raw), (title, year), "{raw:?}");
        }
    }
}
