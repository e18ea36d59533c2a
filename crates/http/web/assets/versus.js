// The lists of two models side by side.

import { get, latest } from "./api.js";
import { announce, h, plural } from "./dom.js";
import { addressWith, movieUrl, problemBox, segmented } from "./parts.js";
import { thumbnail } from "./poster.js";
import { modelLabel } from "./reasons.js";
import { readdress } from "./scroll.js";
import { displayTitle } from "./title.js";

const SIZE = 10;
const SIDES = ["first", "second"];
const $ = (id) => document.getElementById(id);

/** One list: each movie with its place in the other. */
function column(name, answer, other) {
  const place = (movie) => other.items.findIndex((item) => item.movie.movieId === movie.movieId) + 1;
  const item = ({ movie }, index) => {
    const there = place(movie);
    return h(
      "li",
      { class: "seen" },
      h(
        "a",
        { class: "seen__link", href: movieUrl(movie), "data-movie": movie.movieId },
        h("span", { class: "versus__place" }, index + 1),
        thumbnail(movie),
        h("span", {}, h("span", { class: "seen__title" }, displayTitle(movie.title)), movie.releaseYear !== null && h("span", { class: "quiet" }, ` ${movie.releaseYear}`)),
      ),
      h("span", { class: "quiet small" }, there === 0 ? "only here" : there === index + 1 ? "same place" : `No. ${there} there`),
    );
  };
  return h(
    "div",
    { class: "versus__side", "data-model": name },
    h("h3", { class: "small-title" }, modelLabel(name)),
    answer.degraded && h("p", { class: "notice" }, `“${modelLabel(name)}” could not answer. “${modelLabel(answer.model)}” ranked this list.`),
    h("ol", { class: "history", role: "list", "aria-label": `Recommended by ${modelLabel(name)}` }, ...answer.items.map(item)),
  );
}

/**
 * Fills the box in which two models are compared, when it is open. `models` and `chosen` return the known models and the name of
 * the one of the page, `filters` the parameters of both lists. Returns a function that draws the lists again.
 */
export function versus(userId, { models, chosen, filters }) {
  const box = $("versus");
  const ask = latest();

  /** The names of the two models: those in the address, or the model of the page and another that is available. */
  function names() {
    const address = new URLSearchParams(location.search);
    const first = address.get("first") ?? chosen();
    const others = models().filter((model) => model.name !== first);
    const other = others.find((model) => model.available) ?? others[0];
    return [first, address.get("second") ?? other?.name ?? first];
  }

  function controls(pair) {
    const held = document.activeElement?.closest("#versus-controls input");
    $("versus-controls").replaceChildren(
      ...SIDES.map((side, index) =>
        segmented(
          index === 0 ? "First model" : "Second model",
          side,
          models().map((model) => ({ value: model.name, label: modelLabel(model.name) })),
          pair[index],
          (name) => {
            readdress(addressWith({ [SIDES[1 - index]]: pair[1 - index], [side]: name }));
            draw();
          },
        ),
      ),
    );
    if (held) $("versus-controls").querySelector(`input[name=${held.name}]:checked`)?.focus({ preventScroll: true });
  }

  async function draw() {
    if (!box.open) return;
    const pair = names();
    controls(pair);
    const lists = $("versus-lists");
    lists.setAttribute("aria-busy", "true");
    try {
      const list = (model, signal) => get(`/v1/users/${userId}/recommendations`, { ...filters(), size: SIZE, model }, signal);
      const answers = await ask((signal) => Promise.all(pair.map((model) => list(model, signal))));
      if (!answers) return;
      const [one, other] = answers;
      const shown = new Set(one.items.map((item) => item.movie.movieId));
      const common = other.items.filter((item) => shown.has(item.movie.movieId)).length;
      const sentence = `${plural(common, "movie")} of the first ${SIZE} ${common === 1 ? "is" : "are"} in both lists.`;
      $("versus-summary").textContent = sentence;
      lists.replaceChildren(column(pair[0], one, other), column(pair[1], other, one));
      announce(sentence);
    } catch (error) {
      $("versus-summary").textContent = "";
      lists.replaceChildren(problemBox(error, draw));
    }
    lists.removeAttribute("aria-busy");
  }

  box.addEventListener("toggle", draw);
  if (SIDES.some((side) => new URLSearchParams(location.search).has(side))) box.open = true;
  // Restored after Back.
  draw();
  return draw;
}
