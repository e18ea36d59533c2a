// MovieLens moves articles to the end of titles: "Lantern, The". Pages show "The Lantern".

const ARTICLE = /^(.+), (The|A|An|La|Le|Les|L'|El|Los|Las|Il|Lo|Das|Der|Un|Une)( \(.+\))?$/u;

/** The title with its article in front. */
export function displayTitle(title) {
  const match = ARTICLE.exec(title);
  if (!match) return title;
  const [, name, article, rest = ""] = match;
  return `${article}${article.endsWith("'") ? "" : " "}${name}${rest}`;
}

/** The same without other titles in parentheses at the end, for lettering: "The Lantern (Lyktan)" as "The Lantern". */
export function shortTitle(title) {
  const whole = displayTitle(title);
  const short = whole.replace(/(?: \([^()]*\))+$/u, "");
  return short === "" ? whole : short;
}
