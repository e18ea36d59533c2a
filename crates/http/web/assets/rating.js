// The visitor's own stars for a movie, and the button that dismisses it.

import { h, icon, s } from "./dom.js";
import { dismiss, failed, note, opinions, rate, starsInWords } from "./me.js";
import { displayTitle } from "./title.js";

const STARS = [0, 1, 2, 3, 4].map((k) => `M${k * 20 + 10} 1.6l2.5 5.6 6.1.6-4.6 4.1 1.3 6-5.3-3.1-5.3 3.1 1.3-6-4.6-4.1 6.1-.6z`).join("");
const CROSS = "M6 6l12 12M18 6L6 18";
// Keys move by half stars; the value is sent when they pause.
const PAUSE_MS = 700;

/** Five stars that are set in halves: a slider, by pointer or by arrow keys. `value` is null or a number of stars. */
function slider(label, choose) {
  let value = null;
  let timer;
  const some = s("svg", { width: 0, height: 20 }, s("path", { class: "stars__some", d: STARS }));
  const element = h(
    "span",
    { class: "rate__stars", role: "slider", tabindex: "0", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "5", title: "Rate this movie" },
    s("svg", { class: "stars", viewBox: "0 0 100 20", "aria-hidden": "true", focusable: "false" }, s("path", { class: "stars__none", d: STARS }), some),
  );
  const draw = (stars) => some.setAttribute("width", (stars ?? 0) * 20);
  const set = (stars) => {
    value = stars;
    draw(stars);
    element.setAttribute("aria-valuenow", stars ?? 0);
    element.setAttribute("aria-valuetext", stars === null ? "not rated" : starsInWords(stars));
    element.classList.toggle("rate__stars--set", stars !== null);
  };
  const at = (event) => {
    const box = element.getBoundingClientRect();
    return Math.min(5, Math.max(0.5, Math.ceil(((event.clientX - box.left) / box.width) * 10) / 2));
  };
  element.addEventListener("pointermove", (event) => event.pointerType === "mouse" && draw(at(event)));
  element.addEventListener("pointerleave", () => draw(value));
  element.addEventListener("click", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    const stars = at(event);
    choose(stars === value ? null : stars);
  });
  const steps = new Map(Object.entries({ ArrowRight: 0.5, ArrowUp: 0.5, ArrowLeft: -0.5, ArrowDown: -0.5, PageUp: 1, PageDown: -1 }));
  element.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    let stars;
    if (steps.has(event.key)) stars = Math.min(5, Math.max(0, (value ?? 0) + steps.get(event.key)));
    else if (event.key === "Home" || event.key === "Delete" || event.key === "Backspace") stars = 0;
    else if (event.key === "End") stars = 5;
    else if (/^[0-5]$/.test(event.key)) stars = Number(event.key);
    else return;
    event.preventDefault();
    set(stars === 0 ? null : stars);
    clearTimeout(timer);
    timer = setTimeout(() => choose(value), PAUSE_MS);
  });
  set(null);
  return { element, set };
}

/** The controls of all movies on the page, by movie id. */
const shown = new Map();

function show(movieId, known) {
  for (const control of shown.get(movieId) ?? []) control(known.stars.get(movieId) ?? null, known.dismissed.has(movieId));
}

/** Shows the opinions again, after they were changed elsewhere. */
export async function showOpinions() {
  const known = await opinions();
  for (const movieId of shown.keys()) show(movieId, known);
}

/** Stars for a movie, and a button: "not interested", or with `removes` one that removes the rating. */
export function rating(movie, { removes = false } = {}) {
  const { movieId } = movie;
  const title = displayTitle(movie.title);
  const change = async (work, text, undo) => {
    try {
      await work();
      note(text, undo);
    } catch (error) {
      failed(error);
    }
    show(movieId, await opinions());
  };
  const choose = async (stars) => {
    const before = (await opinions()).stars.get(movieId) ?? null;
    if (stars === before) return;
    const back = () => change(() => rate(movieId, before), `“${title}”: ${starsInWords(before)}.`);
    await change(() => rate(movieId, stars), stars === null ? `Removed your rating of “${title}”.` : `“${title}”: ${starsInWords(stars)}.`, back);
  };
  const hide = async () => {
    const now = (await opinions()).dismissed.has(movieId);
    const back = () => change(() => dismiss(movieId, now), `“${title}” may be recommended${now ? " no longer" : " again"}.`);
    await change(() => dismiss(movieId, !now), now ? `“${title}” may be recommended again.` : `“${title}” is no longer recommended.`, back);
  };
  const { element, set } = slider(`Your rating of ${title}`, choose);
  if (removes) {
    const button = h("button", { class: "rate__hide", type: "button", "aria-label": `Remove the rating of ${title}`, title: "Remove the rating", onclick: () => choose(null) }, icon(CROSS));
    shown.set(movieId, [...(shown.get(movieId) ?? []).slice(-8), set]);
    opinions().then((known) => set(known.stars.get(movieId) ?? null));
    return h("div", { class: "rate", "data-rate": movieId }, element, button);
  }
  const button = h("button", { class: "rate__hide", type: "button", "aria-pressed": "false", "aria-label": `Not interested in ${title}`, title: "Not interested", onclick: hide }, icon(CROSS));
  const control = (stars, dismissed) => {
    set(stars);
    button.setAttribute("aria-pressed", String(dismissed));
  };
  shown.set(movieId, [...(shown.get(movieId) ?? []).slice(-8), control]);
  opinions().then((known) => control(known.stars.get(movieId) ?? null, known.dismissed.has(movieId)));
  return h("div", { class: "rate", "data-rate": movieId }, element, button);
}
