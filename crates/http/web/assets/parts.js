// The pieces that several pages share: movie cards, stars, error and empty states, paging.

import { Problem } from "./api.js";
import { base, count, h, icon, plainClick, s } from "./dom.js";
import { poster } from "./poster.js";
import { rating } from "./rating.js";
import { restoreScroll } from "./scroll.js";
import { displayTitle } from "./title.js";

const STARS = [0, 1, 2, 3, 4].map((k) => `M${k * 20 + 10} 1.6l2.5 5.6 6.1.6-4.6 4.1 1.3 6-5.3-3.1-5.3 3.1 1.3-6-4.6-4.1 6.1-.6z`).join("");

/** Half stars out of five, with the label "4.5 of 5 stars". */
export function stars(score) {
  return s(
    "svg",
    { class: "stars", viewBox: "0 0 100 20", role: "img", "aria-label": `${score} of 5 stars` },
    s("path", { class: "stars__none", d: STARS }),
    s("svg", { width: Math.max(0, Math.min(100, score * 20)), height: 20 }, s("path", { class: "stars__some", d: STARS })),
  );
}

export const movieUrl = (movie) => `${base}/movies/${movie.movieId}`;
export const userUrl = (userId) => `${base}/users/${userId}`;

/** The name for movies without a genre, in MovieLens and in this API. */
export const NO_GENRE = "(no genres listed)";

/** Browsers remove path segments that are dots, encoded or not, so genres with such names go into the query. */
export const genreUrl = (genre) => (/^\.{0,2}$/u.test(genre) ? `${base}/search?genre=${encodeURIComponent(genre)}` : `${base}/genres/${encodeURIComponent(genre)}`);

/** A movie as a list item, with the visitor's stars; `extra` stands under the caption, outside the link. */
export function card(movie, ...extra) {
  const rated = movie.ratingNumber > 0;
  return h(
    "li",
    { class: "card" },
    h(
      "a",
      { class: "card__link", href: movieUrl(movie), "data-movie": movie.movieId },
      poster(movie),
      h("span", { class: "card__title" }, displayTitle(movie.title)),
      h(
        "span",
        { class: "card__facts" },
        movie.releaseYear !== null && h("span", {}, movie.releaseYear),
        rated
          ? h(
              "span",
              { class: "card__score" },
              h("span", { "aria-hidden": "true" }, "★ "),
              movie.averageRating.toFixed(1),
              h("span", { class: "hidden" }, " of 5 stars"),
            )
          : h("span", {}, "not rated"),
      ),
    ),
    rating(movie),
    ...extra,
  );
}

/** Placeholders of the size of cards, so that nothing moves when the cards arrive. */
export function skeletons(number) {
  return Array.from({ length: number }, () =>
    h(
      "li",
      { class: "card card--waiting", "aria-hidden": "true" },
      h("span", { class: "poster" }),
      h("span", { class: "card__title" }, h("span", { class: "bone" })),
      h("span", { class: "card__facts" }, h("span", { class: "bone bone--short" })),
      h("span", { class: "rate" }),
    ),
  );
}

/** Puts placeholders into a list and marks it busy. */
export function waiting(list, number) {
  list.setAttribute("aria-busy", "true");
  list.replaceChildren(...skeletons(number));
}

/** Replaces the placeholders by the real items. */
export function settled(list, items) {
  list.removeAttribute("aria-busy");
  list.replaceChildren(...items);
  restoreScroll();
}

/** Turns a detail of the server, a fragment such as `there is no user 7`, into a sentence. */
function sentence(fragment) {
  const text = fragment.charAt(0).toUpperCase() + fragment.slice(1);
  return /[.!?]$/u.test(text) ? text : `${text}.`;
}

/** The box for an error; `retry` adds a button. An error that is not a Problem is a bug and is rethrown. */
export function problemBox(error, retry) {
  if (!(error instanceof Problem)) throw error;
  return h(
    "div",
    { class: "state state--problem", role: "alert" },
    h("p", { class: "state__title" }, error.title),
    error.detail && h("p", {}, sentence(error.detail)),
    retry && h("button", { class: "button", type: "button", onclick: retry }, "Try again"),
  );
}

/** The box for an empty result. */
export function emptyBox(title, ...children) {
  return h("div", { class: "state" }, h("p", { class: "state__title" }, title), ...children);
}

/**
 * The box for a choice in the address that does not exist, such as an unknown model: names it, and links to
 * the values that do. `label` turns a value into text, `link` into an address.
 */
export function unknownChoiceBox(error, thing, value, { label = (name) => name, link }) {
  const choice = (name) => h("a", { href: link(name) }, label(name));
  const others = error.allowed.map((name) => h("li", {}, choice(name)));
  return h(
    "div",
    { class: "state state--problem", role: "alert" },
    h("p", { class: "state__title" }, `There is no ${thing} named “${value}”`),
    error.nearest !== "" && h("p", {}, "Did you mean ", choice(error.nearest), "?"),
    others.length > 0 && h("p", {}, `This server has these ${thing}s:`),
    others.length > 0 && h("ul", { class: "state__choices", role: "list" }, ...others),
  );
}

/**
 * Replaces the whole page by an error. If the page's subject does not exist, `missing` is its
 * `{ title, detail }`; other errors show what the server answered.
 */
export function problemPage(error, missing) {
  if (!(error instanceof Problem)) throw error;
  const { title, detail } = error.status === 404 && missing ? missing : error;
  document.title = `${title} – Sparrow`;
  document.getElementById("main").replaceChildren(
    h(
      "div",
      { class: "state state--page", id: "problem" },
      error.status > 0 && h("p", { class: "state__code" }, error.status),
      h("h1", {}, title),
      detail && h("p", {}, sentence(detail)),
      h(
        "p",
        { class: "state__ways" },
        h("a", { class: "button", href: `${base}/` }, "Home"),
        h("a", { class: "button button--quiet", href: `${base}/users` }, "Pick a user"),
        h("a", { class: "button button--quiet", href: `${base}/search` }, "Browse movies"),
      ),
    ),
  );
}

/** Replaces the page's query parameters; null, "" or [] removes one, a list repeats it. Returns the new address as text. */
export function addressWith(changes) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    url.searchParams.delete(name);
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "") url.searchParams.append(name, String(one));
    }
  }
  return `${url.pathname}${url.search}`;
}

/** A positive whole number from the query, else `fallback`. */
export function queryNumber(name, fallback, greatest = 1e6) {
  const text = new URLSearchParams(location.search).get(name) ?? "";
  if (!/^[1-9][0-9]{0,6}$/.test(text)) return fallback;
  return Math.min(Number(text), greatest);
}

/** One of `allowed` from the query, else the first of them. */
export function queryChoice(name, allowed) {
  const text = new URLSearchParams(location.search).get(name);
  return allowed.includes(text) ? text : allowed[0];
}

const BACK = "M15 5l-7 7 7 7";
const ON = "M9 5l7 7-7 7";

/**
 * Paging as links, so that they can be opened in a tab; a plain click calls `go(page)` instead.
 * `total` items, `size` a page, `page` from 1.
 */
export function pager(label, total, size, page, go) {
  const last = Math.max(1, Math.ceil(total / size));
  if (last === 1) return null;
  const link = (to, content, attributes = {}) =>
    h(
      "a",
      {
        class: "pager__link",
        href: addressWith({ page: to === 1 ? null : to }),
        onclick: (event) => {
          if (!plainClick(event)) return;
          event.preventDefault();
          go(to);
        },
        ...attributes,
      },
      content,
    );
  const near = [...new Set([1, page - 1, page, page + 1, last])].filter((n) => n >= 1 && n <= last).sort((x, y) => x - y);
  const numbers = near.flatMap((n, k) => {
    const gap = k > 0 && n - near[k - 1] > 1 ? [h("li", { class: "pager__gap", "aria-hidden": "true" }, "…")] : [];
    const current = n === page;
    return [...gap, h("li", {}, link(n, count(n), { "aria-label": `Page ${n}`, "aria-current": current ? "page" : null }))];
  });
  const side = (to, label, path) =>
    h("li", {}, to >= 1 && to <= last ? link(to, icon(path), { "aria-label": label, rel: to < page ? "prev" : "next" }) : h("span", { class: "pager__link pager__link--off", "aria-hidden": "true" }, icon(path)));
  return h("nav", { class: "pager", "aria-label": label }, h("ul", { role: "list" }, side(page - 1, "Previous page", BACK), ...numbers, side(page + 1, "Next page", ON)));
}

/** A set of radio buttons drawn as one control. `options` are { value, label, note, off, title }. */
export function segmented(legend, name, options, chosen, choose) {
  return h(
    "fieldset",
    { class: "segmented" },
    h("legend", {}, legend),
    h(
      "div",
      { class: "segmented__options" },
      ...options.map((option) => {
        const input = h("input", { type: "radio", name, value: option.value, disabled: option.off, onchange: () => choose(option.value) });
        input.checked = option.value === chosen;
        return h("label", { class: "segmented__option", title: option.title }, input, h("span", {}, option.label, option.note && h("small", {}, ` ${option.note}`)));
      }),
    ),
  );
}

/** The buttons of a row that scrolls sideways, for visitors without a touch screen. */
export function scroller(label, list) {
  const button = (name, path, direction) =>
    h("button", { class: "scroller__button", type: "button", "aria-label": `${label}: ${name}`, onclick: () => list.scrollBy({ left: direction * list.clientWidth * 0.85 }) }, icon(path));
  const back = button("scroll back", BACK, -1);
  const on = button("scroll on", ON, 1);
  const buttons = h("div", { class: "scroller__buttons" }, back, on);
  const update = () => {
    const room = list.scrollWidth - list.clientWidth;
    buttons.hidden = room < 4;
    back.disabled = list.scrollLeft < 4;
    on.disabled = list.scrollLeft > room - 4;
  };
  list.addEventListener("scroll", update, { passive: true });
  new ResizeObserver(update).observe(list);
  new MutationObserver(update).observe(list, { childList: true });
  update();
  return buttons;
}

/** Calls `work` once when the element is near the screen. */
export function whenNear(element, work) {
  const observer = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      work();
    },
    { rootMargin: "500px 0px" },
  );
  observer.observe(element);
}
