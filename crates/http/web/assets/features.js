// What the feature store holds of a user or a movie, for those who want to look behind the page.

import { get } from "./api.js";
import { count, h, plural, s } from "./dom.js";
import { problemBox } from "./parts.js";

/** A vector as bars above and below a line. */
function bars(vector) {
  const greatest = Math.max(...vector.map(Math.abs), 1e-9);
  const bar = (value, k) => {
    const height = Math.max(0.4, (19 * Math.abs(value)) / greatest);
    return s("rect", { class: "vector__bar", x: k * 6 + 1, width: 4, y: value < 0 ? 20 : 20 - height, height }, s("title", {}, value));
  };
  return s("svg", { class: "vector", viewBox: `0 0 ${vector.length * 6} 40`, role: "img", "aria-label": `A vector of ${plural(vector.length, "number")}` }, ...vector.map(bar));
}

function shown(stored) {
  const fields = Object.entries(stored.features ?? {});
  const ratings = stored.ratingCount === null ? "no ratings" : plural(stored.ratingCount, "rating");
  return [
    h("p", { class: "quiet small" }, `In ${stored.store === "memory" ? "the memory of this server" : stored.store}${stored.generation > 0 ? `, generation ${stored.generation}` : ""}, with ${ratings}.`),
    fields.length > 0
      ? h("dl", { class: "features__fields" }, ...fields.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value === "" ? "–" : value))))
      : h("p", {}, "There are no features."),
    stored.embedding === null ? h("p", {}, "There is no embedding.") : h("figure", { class: "features__vector" }, bars(stored.embedding), h("figcaption", { class: "quiet small" }, `Embedding, ${count(stored.embedding.length)} numbers`)),
    ...stored.malformed.map((what) => h("p", { class: "notice" }, `Cannot be read: ${what}.`)),
  ];
}

/** Puts a box into `place` that fetches from `path` what it shows when it is opened. */
export function features(place, path) {
  const body = h("div", { "aria-live": "polite" });
  const load = async () => {
    body.replaceChildren(h("span", { class: "bone" }), h("span", { class: "bone bone--short" }));
    try {
      body.replaceChildren(...shown(await get(path)));
    } catch (error) {
      body.replaceChildren(problemBox(error, load));
    }
  };
  const box = h("details", { class: "legend features" }, h("summary", {}, "Features: what the models know"), body);
  box.addEventListener("toggle", () => {
    if (box.open && body.childElementCount === 0) load();
  });
  place.replaceChildren(box);
}
