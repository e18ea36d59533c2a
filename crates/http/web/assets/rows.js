// Rows of movies that scroll sideways.

import { base, h } from "./dom.js";
import { card, genreUrl, movieUrl, scroller } from "./parts.js";
import { displayTitle } from "./title.js";

/** The kinds of rows in the answers of `/v1/home` and `/v1/users/{id}/home`: a note, and the list of all such movies. */
const KINDS = new Map(Object.entries({
  "popular-now": { note: "by recent ratings", href: `${base}/search?sort=popularity` },
  "best-rated": { note: "by Bayesian average, so that a single rating counts little", href: `${base}/search?sort=rating` },
  newest: { note: "by release year", href: `${base}/search?sort=releaseYear` },
  "new-for-you": { note: "the best matches among the newest releases", href: `${base}/search?sort=releaseYear` },
}));

/** A row without cards; `list` receives them. */
export function emptyRow({ title, note, key, href }) {
  const list = h("ul", { class: "row__list", role: "list" });
  const heading = h("h2", { class: "row__title" }, href ? h("a", { href }, title) : title);
  const section = h(
    "section",
    { class: "row", "aria-label": title, "data-row": key },
    h("div", { class: "row__head" }, heading, note && h("p", { class: "row__note" }, note), scroller(title, list)),
    list,
  );
  return { section, list };
}

/** A row of a home page, from its JSON. */
export function homeRow({ kind, title, genre, because, items }) {
  const known = KINDS.get(kind) ?? {};
  const shown = because ? `Because you liked ${displayTitle(because.title)}` : title;
  const href = because ? movieUrl(because) : genre ? genreUrl(genre) : known.href;
  const { section, list } = emptyRow({ title: shown, note: known.note, key: genre ?? kind, href });
  list.append(...items.map((item) => card(item.movie)));
  return section;
}
