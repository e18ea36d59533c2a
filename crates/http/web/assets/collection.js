// The movies of a genre, the results of a search, or all movies: one list with three kinds of queries.

import "./site.js";

import { get, latest, Problem } from "./api.js";
import { announce, h, pagePath, plural } from "./dom.js";
import { addressWith, card, emptyBox, NO_GENRE, pager, problemBox, problemPage, queryChoice, queryNumber, segmented, settled, waiting } from "./parts.js";
import { visit } from "./scroll.js";

// Fills whole rows of seven, six, three and two.
const SIZE = 42;
const SORTS = ["rating", "popularity", "releaseYear"];
const SORT_LABELS = new Map([["rating", "Best rated"], ["popularity", "Most rated"], ["releaseYear", "Newest"]]);
const $ = (id) => document.getElementById(id);
const ask = latest();

/** The genre in the path, or in the query if its name cannot be a path segment. */
function genreOfAddress() {
  const [, place, name] = pagePath.split("/");
  if (place !== "genres") return new URLSearchParams(location.search).get("genre");
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

const genre = genreOfAddress();

function state() {
  const query = genre === null ? (new URLSearchParams(location.search).get("q") ?? "").trim() : "";
  return { query, sort: queryChoice("sort", SORTS), page: queryNumber("page", 1) };
}

function go(changes, focus) {
  visit(addressWith(changes));
  show(focus);
}

function controls({ query, sort }) {
  if (query !== "") {
    $("controls").replaceChildren();
    return;
  }
  const options = SORTS.map((value) => ({ value, label: SORT_LABELS.get(value) }));
  const held = $("controls").contains(document.activeElement);
  $("controls").replaceChildren(segmented("Order", "sort", options, sort, (value) => go({ sort: value === SORTS[0] ? null : value, page: null })));
  if (held) $("controls").querySelector("input:checked").focus({ preventScroll: true });
}

function heading({ query }) {
  const title = genre === NO_GENRE ? "Without a genre" : genre ?? (query === "" ? "All movies" : `“${query}”`);
  $("eyebrow").textContent = genre !== null ? "Genre" : query === "" ? "Browse" : "Search";
  $("title").textContent = title;
  document.title = `${title} – Sparrow`;
  if (query !== "") $("q").value = query;
}

function request({ query, sort, page }, signal) {
  const offset = (page - 1) * SIZE;
  if (query !== "") return get("/v1/search", { q: query, size: SIZE, offset }, signal);
  return get("/v1/movies", { genre, sort, size: SIZE, offset }, signal);
}

function nothing({ query }, total) {
  if (total > 0) return emptyBox("There is no such page", h("p", {}, h("a", { href: addressWith({ page: null }) }, "Go to the first page")));
  if (query === "") return emptyBox("There are no movies here");
  return emptyBox("No title matches", h("p", {}, "Try fewer words, or only the beginning of one. Case, accents and word order do not matter."));
}

async function show(focus = false) {
  const now = state();
  heading(now);
  controls(now);
  const list = $("movies");
  waiting(list, SIZE);
  $("pages").replaceChildren();
  try {
    const found = await ask((signal) => request(now, signal));
    if (!found) return;
    $("count").textContent = plural(found.total, "movie");
    const pages = pager(now.query === "" ? "Pages of movies" : "Pages of results", found.total, SIZE, now.page, (to) => go({ page: to === 1 ? null : to }, true));
    $("pages").replaceChildren(...(found.items.length === 0 ? [nothing(now, found.total)] : []), ...(pages ? [pages] : []));
    settled(list, found.items.map((movie) => card(movie)));
    announce(`${plural(found.total, "movie")}${now.query === "" ? "" : " found"}, page ${now.page}${now.query === "" ? `, ${SORT_LABELS.get(now.sort)}` : ""}`);
    if (focus) $("title").focus();
  } catch (error) {
    if (genre !== null && error.status >= 400 && error.status < 500) {
      problemPage(new Problem({ title: `There is no genre “${genre}”`, detail: "The home page lists all genres", status: 404 }));
      return;
    }
    settled(list, []);
    $("count").textContent = "";
    $("pages").replaceChildren(problemBox(error, () => show()));
  }
}

addEventListener("popstate", () => show());
show();
