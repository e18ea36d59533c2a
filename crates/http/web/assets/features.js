// The stored features and the embedding of a user or a movie.

import { get } from "./api.js";
import { h, plural, s } from "./dom.js";
import { movieUrl, problemBox } from "./parts.js";
import { restoreScroll } from "./scroll.js";
import { displayTitle } from "./title.js";

/** Features whose value is a movie id. */
const MOVIE_FIELD = /^userRatedMovie[0-9]+$/u;

/** A vector as bars above and below a line. */
function bars(vector) {
  const greatest = Math.max(...vector.map(Math.abs), 1e-9);
  const bar = (value, k) => {
    const height = Math.max(0.4, (19 * Math.abs(value)) / greatest);
    return s("rect", { class: "vector__bar", x: k * 6 + 1, width: 4, y: value < 0 ? 20 : 20 - height, height }, s("title", {}, value));
  };
  return s("svg", { class: "vector", viewBox: `0 0 ${vector.length * 6} 40`, role: "img", "aria-label": `A vector with ${plural(vector.length, "dimension")}` }, ...vector.map(bar));
}

/** The value of a feature: for a movie id the movie's title, if the catalogue has the movie. */
async function fieldValue([name, value]) {
  if (value === "") return "–";
  if (!MOVIE_FIELD.test(name)) return value;
  try {
    const movie = await get(`/v1/movies/${encodeURIComponent(value)}`);
    return h("a", { href: movieUrl(movie), "data-movie": movie.movieId }, displayTitle(movie.title));
  } catch {
    return `movie ${value}`;
  }
}

async function shown(stored) {
  const fields = Object.entries(stored.features ?? {});
  const values = await Promise.all(fields.map(fieldValue));
  const ratings = stored.ratingCount === null ? "no ratings" : plural(stored.ratingCount, "rating");
  return [
    h("p", { class: "quiet small" }, `Store: ${stored.store === "memory" ? "this server's memory" : stored.store}${stored.generation > 0 ? `, generation ${stored.generation}` : ""}, ${ratings}.`),
    fields.length > 0
      ? h("dl", { class: "features__fields" }, ...fields.map(([name], k) => h("div", {}, h("dt", {}, name), h("dd", {}, values[k]))))
      : h("p", {}, "There are no features."),
    stored.embedding === null ? h("p", {}, "There is no embedding.") : h("figure", { class: "features__vector" }, bars(stored.embedding), h("figcaption", { class: "quiet small" }, `Embedding, ${plural(stored.embedding.length, "dimension")}`)),
    ...stored.malformed.map((what) => h("p", { class: "notice" }, `Malformed: ${what}.`)),
  ];
}

/** Puts a closed box into `place`; when it is opened, it fetches its content from `path`. */
export function features(place, path) {
  const body = h("div", { "aria-live": "polite" });
  const load = async () => {
    body.replaceChildren(h("span", { class: "bone" }), h("span", { class: "bone bone--short" }));
    try {
      body.replaceChildren(...(await shown(await get(path))));
      restoreScroll();
    } catch (error) {
      body.replaceChildren(problemBox(error, load));
    }
  };
  const box = h("details", { class: "legend features" }, h("summary", {}, "Features and embedding"), body);
  box.addEventListener("toggle", () => {
    if (box.open && body.childElementCount === 0) load();
  });
  place.replaceChildren(box);
  restoreScroll();
}
