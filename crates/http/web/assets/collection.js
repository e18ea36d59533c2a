// A genre, the results of a search, or all movies: the same list with different questions behind it.

import "./site.js";

import { get, latest, Problem } from "./api.js";
import { announce, h, plural } from "./dom.js";
import { addressWith, card, emptyBox, pager, problemBox, problemPage, queryChoice, queryNumber, segmented, settled, waiting } from "./parts.js";

// Fills whole rows of seven, six, three and two.
const SIZE = 42;
const FOUND = 126;
const SORTS = ["rating", "popularity", "releaseYear"];
const SORT_LABELS = { rating: "Best rated", popularity: "Most rated", releaseYear: "Newest" };
const $ = (id) => document.getElementById(id);
const ask = latest();

function genreOfPath() {
  const [, place, name] = location.pathname.split("/");
  if (place !== "genres") return null;
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

const genre = genreOfPath();

function state() {
  const query = genre === null ? (new URLSearchParams(location.search).get("q") ?? "").trim() : "";
  return { query, sort: queryChoice("sort", SORTS), page: queryNumber("page", 1) };
}

function go(changes, focus) {
  history.pushState(null, "", addressWith(changes));
  show(focus);
}

function controls({ query, sort }) {
  if (query !== "") {
    $("controls").replaceChildren();
    return;
  }
  const options = SORTS.map((value) => ({ value, label: SORT_LABELS[value] }));
  const held = document.activeElement?.closest("#controls input") !== null && document.activeElement?.closest("#controls input") !== undefined;
  $("controls").replaceChildren(segmented("Order", "sort", options, sort, (value) => go({ sort: value === SORTS[0] ? null : value, page: null })));
  if (held) $("controls").querySelector("input:checked").focus();
}

function heading({ query }) {
  const title = genre ?? (query === "" ? "All movies" : `“${query}”`);
  $("eyebrow").textContent = genre !== null ? "Genre" : query === "" ? "Browse" : "Search";
  $("title").textContent = title;
  document.title = `${title} – Sparrow`;
  if (query !== "") $("q").value = query;
}

async function search({ query }, signal) {
  const found = await get("/v1/search", { q: query, size: FOUND }, signal);
  return { found, none: () => emptyBox("No title matches", h("p", {}, "Try fewer words, or only the beginning of one. Case, accents and word order do not matter.")) };
}

async function browse({ sort, page }, signal) {
  const found = await get("/v1/movies", { genre, sort, size: SIZE, offset: (page - 1) * SIZE }, signal);
  return { found, none: () => emptyBox(found.total === 0 ? "There are no movies here" : "There is no such page", found.total > 0 && h("p", {}, h("a", { href: addressWith({ page: null }) }, "Go to the first page"))) };
}

async function show(focus = false) {
  const now = state();
  heading(now);
  controls(now);
  const list = $("movies");
  waiting(list, 21);
  $("pages").replaceChildren();
  try {
    const answer = await ask((signal) => (now.query === "" ? browse(now, signal) : search(now, signal)));
    if (!answer) return;
    const { found, none } = answer;
    settled(list, found.items.map((movie) => card(movie)));
    const shown = now.query !== "" && found.total > found.items.length ? `, the first ${found.items.length} of them here` : "";
    $("count").textContent = plural(found.total, "movie") + shown;
    const pages = now.query === "" ? pager("Pages of movies", found.total, SIZE, now.page, (to) => go({ page: to === 1 ? null : to }, true)) : null;
    $("pages").replaceChildren(...(found.items.length === 0 ? [none()] : []), ...(pages ? [pages] : []));
    announce(now.query === "" ? `${plural(found.total, "movie")}, page ${now.page}, ${SORT_LABELS[now.sort]}` : `${plural(found.total, "movie")} found`);
    if (focus) $("title").focus();
  } catch (error) {
    if (genre !== null && error.status >= 400 && error.status < 500) {
      problemPage(new Problem({ title: "There is no such genre", detail: error.detail, status: 404 }));
      return;
    }
    settled(list, []);
    $("count").textContent = "";
    $("pages").replaceChildren(problemBox(error, () => show()));
  }
}

addEventListener("popstate", () => show());
show();
